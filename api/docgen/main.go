// Command docgen writes docs/api.md, the reference of the gRPC API, from the comments
// in api/tetrad/v1/*.proto. A test keeps the committed file current.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// order is how the reference reads: what to call first, then what it speaks of.
var order = []string{"vault.proto", "types.proto", "peer.proto"}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("docgen", flag.ContinueOnError)
	in := flags.String("in", "api/tetrad/v1", "folder of the .proto files")
	out := flags.String("out", "docs/api.md", "file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	doc, err := generate(*in)
	if err != nil {
		return err
	}
	return os.WriteFile(*out, doc, 0o644)
}

func generate(dir string) ([]byte, error) {
	var files []*file
	for _, name := range order {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		f, err := parse(name, bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	var b strings.Builder
	b.WriteString(preface)
	for _, kind := range []string{"service", "message", "enum"} {
		for _, f := range files {
			for _, d := range f.decls {
				if d.kind == kind {
					d.render(&b)
				}
			}
		}
		if kind == "service" {
			renderCodes(&b)
			b.WriteString("## Messages\n\n")
		}
		if kind == "message" {
			b.WriteString("## Enumerations\n\n")
		}
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n"), nil
}

const preface = `# API reference

Generated from ` + "`api/tetrad/v1/*.proto`" + ` by ` + "`make generate`" + `; do not edit.

The API is gRPC over TLS 1.3 with X25519MLKEM768. Both sides show self-signed
certificates: a node's carries its region's session certificate, which clients check
against the identity keys of the genesis; a client's holds the key of its principal.
Requests are at most 1 MiB. Reflection is on for principals, ` + "`grpc.health.v1.Health`" + ` for all.
Go programs use [api/client](../api/client); [design/rpc.md](design/rpc.md) says why things are so.

`

func renderCodes(b *strings.Builder) {
	b.WriteString("## Errors\n\nAn error carries a `google.rpc.ErrorInfo` with domain `tetrad`, the name below as reason, and\n" +
		"metadata `code` (the number) and, where something can be done, `hint`.\n\n| number | name |\n|---|---|\n")
	for c := errs.Code(1); c < 1<<15; c++ {
		if c.Known() {
			fmt.Fprintf(b, "| %d | `%s` |\n", c, c)
		}
	}
	b.WriteString("\n")
}

func (d *decl) render(b *strings.Builder) {
	level := "###"
	if d.kind == "service" {
		level = "## Service"
	}
	fmt.Fprintf(b, "%s %s\n\n", level, d.name)
	if d.about != "" {
		fmt.Fprintf(b, "%s\n\n", d.about)
	}
	if len(d.members) == 0 {
		if d.kind == "message" {
			b.WriteString("No fields.\n\n")
		}
		return
	}
	switch d.kind {
	case "service":
		b.WriteString("| call | takes | gives | |\n|---|---|---|---|\n")
		for _, m := range d.members {
			gives, stream := strings.CutPrefix(m.number, "stream ")
			link := ref(gives)
			if stream {
				link = "stream of " + link
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", m.name, ref(m.typ), link, cell(m.about))
		}
	case "message":
		b.WriteString("| # | field | type | |\n|---|---|---|---|\n")
		for _, m := range d.members {
			fmt.Fprintf(b, "| %s | `%s` | %s | %s |\n", m.number, m.name, typeOf(m.typ), cell(m.about))
		}
	case "enum":
		b.WriteString("| # | value | |\n|---|---|---|\n")
		for _, m := range d.members {
			fmt.Fprintf(b, "| %s | `%s` | %s |\n", m.number, m.name, cell(m.about))
		}
	}
	b.WriteString("\n")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func ref(name string) string { return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name)) }

func typeOf(t string) string {
	base, repeated := strings.CutPrefix(t, "repeated ")
	link := base
	switch {
	case strings.HasPrefix(base, "google.protobuf."):
		link = strings.TrimPrefix(base, "google.protobuf.")
	case base[0] >= 'A' && base[0] <= 'Z':
		link = ref(base)
	}
	if repeated {
		return "list of " + link
	}
	return link
}
