package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	File string
	Line int
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Problems is all that is wrong with a configuration, in file order.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads and validates a configuration file. The error is Invalid and lists
// every problem as file:line.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Wrap(errs.NotFound, err, "configuration").WithHint("pass the file with --config; docs/ops/configuration.md has an example")
	} else if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "configuration")
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, errs.Wrap(errs.DiskFailed, err, "reading configuration %s", path)
	}
	return Parse(path, src)
}

// Parse validates src; filename is used in messages and as the base of relative paths.
func Parse(filename string, src []byte) (*Config, error) {
	if len(src) > maxFile {
		return nil, errs.New(errs.TooLarge, "configuration %s is over %d bytes", filename, maxFile)
	}
	parsed, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	if parsed == nil || parsed.Body == nil || diags.HasErrors() {
		// After one syntax error the parser's further complaints are mostly its echo.
		return nil, problems(filename, diags[:min(1, len(diags))], nil)
	}
	var raw file
	diags = gohcl.DecodeBody(parsed.Body, nil, &raw)
	c := &checker{file: filename, body: parsed.Body.(*hclsyntax.Body)}
	cfg := c.config(&raw)
	if len(diags) > 0 || len(c.found) > 0 {
		return nil, problems(filename, diags, c.found)
	}
	return cfg, nil
}

// problems joins what HCL and our own checks found, one a line. Where both speak of
// one line, HCL's word is enough: a value that did not decode reads as missing.
func problems(filename string, diags hcl.Diagnostics, found []Problem) error {
	var out Problems
	seen := map[int]bool{}
	for _, d := range diags {
		p := Problem{File: filename, Line: 1, Text: diagText(d)}
		if d.Subject != nil {
			p.Line = d.Subject.Start.Line
		}
		if !seen[p.Line] {
			out = append(out, p)
		}
		seen[p.Line] = true
	}
	for _, p := range found {
		if !seen[p.Line] {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return errs.Wrap(errs.Invalid, out, "configuration %s has %d problem(s)", filepath.Base(filename), len(out))
}

// diagText is HCL's message without its own source excerpt. A PIN written into the
// file must not be echoed, so only names HCL prints are kept, never values.
func diagText(d *hcl.Diagnostic) string {
	if strings.Contains(d.Detail, `"pin"`) {
		return "the PIN does not belong in this file: name a file (pin_file) or a systemd credential (pin_credential)"
	}
	return strings.TrimSuffix(d.Summary, ".") + ": " + strings.Join(strings.Fields(d.Detail), " ")
}
