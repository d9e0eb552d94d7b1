package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	bold   colour = "1"
)

// terminal finds out whether a person watches standard output, and how wide.
func (a *app) terminal() {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	a.width = int(ws.Col)
	a.color = a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

func (a *app) paint(c colour, s string) string {
	if !a.color {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// print writes a result: v as JSON, or what human writes.
func (a *app) print(v any, human func(w io.Writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	var b strings.Builder
	human(&b)
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// line writes one element of a stream: a line of JSON, or what human writes.
func (a *app) line(v any, human func(w io.Writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	human(a.stdout)
	return nil
}

// table lays rows out in columns that fit the terminal.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

const (
	columnGap = 2
	columnMin = 8 // a column is not cut below this
)

func (a *app) table(w io.Writer, t *table) {
	if len(t.rows) == 0 {
		fmt.Fprintln(w, "none")
		return
	}
	widths := t.widths(a.width)
	row := func(cells []string, paint bool) {
		var b strings.Builder
		for i, c := range cells {
			c = fit(c, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+columnGap)
			if paint {
				c = a.paint(bold, c)
			} else {
				c = a.state(c)
			}
			b.WriteString(c)
			if i < len(cells)-1 {
				b.WriteString(pad)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	row(t.head, true)
	for _, r := range t.rows {
		row(r, false)
	}
}

// widths shrinks the widest columns until a row fits into width (0: any).
func (t *table) widths(width int) []int {
	ws, total := make([]int, len(t.head)), -columnGap
	for i, h := range t.head {
		ws[i] = utf8.RuneCountInString(h)
		for _, r := range t.rows {
			ws[i] = max(ws[i], utf8.RuneCountInString(r[i]))
		}
		total += ws[i] + columnGap
	}
	for width > 0 && total > width {
		widest := 0
		for i := range ws {
			if ws[i] > ws[widest] {
				widest = i
			}
		}
		if ws[widest] <= columnMin {
			break
		}
		ws[widest]--
		total--
	}
	return ws
}

func fit(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// state colours the words that say how things are.
func (a *app) state(s string) string {
	switch s {
	case "ready", "active", "complete", "ok", "yes", "leader":
		return a.paint(green, s)
	case "pending", "open", "not ready", "catching up", "frozen":
		return a.paint(yellow, s)
	case "sealed", "failed", "expired", "unreachable", "quarantined", "removed", "no":
		return a.paint(red, s)
	}
	return s
}

// pairs prints names and values below each other.
func (a *app) pairs(w io.Writer, kv ...string) {
	width := 0
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] != "" {
			width = max(width, len(kv[i]))
		}
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			fmt.Fprintf(w, "%s%s%s\n", a.paint(bold, kv[i]), strings.Repeat(" ", width-len(kv[i])+columnGap), a.state(kv[i+1]))
		}
	}
}

func stamp(t time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func iso(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339Nano)
}

// save writes a result file, whole or not at all; "-" is standard output.
func (a *app) save(name string, data []byte, mode os.FileMode) error {
	if name == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	f, err := os.CreateTemp(dirOf(name), ".vaultctl-*")
	if err != nil {
		return durable.Coded(err, "writing %s", name)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	for _, step := range []func() error{func() error { return f.Chmod(mode) }, f.Sync, f.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return durable.Coded(err, "writing %s", name)
}

func dirOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i+1]
	}
	return "."
}

// input reads a file of at most limit bytes; "-" is standard input.
func (a *app) input(name string, limit int64) ([]byte, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, durable.Coded(err, "reading %s", name)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, durable.Coded(err, "reading %s", name)
	}
	if int64(len(b)) > limit {
		return nil, errs.New(errs.TooLarge, "%s is over %d bytes", name, limit)
	}
	return b, nil
}
