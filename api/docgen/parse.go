package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// file is what one .proto file declares.
type file struct {
	name  string
	about string // comment above the package line
	decls []*decl
}

// decl is a service, message or enum with its members.
type decl struct {
	kind, name, about string
	members           []member
}

// member is a field, value or call.
type member struct {
	name, typ, number string // a call has its request in typ and its reply in number
	about             string
}

var (
	declLine  = regexp.MustCompile(`^(service|message|enum) (\w+) \{(\})?$`)
	callLine  = regexp.MustCompile(`^rpc (\w+)\((\w+)\) returns \(((?:stream )?\w+)\);$`)
	fieldLine = regexp.MustCompile(`^((?:repeated )?[\w.]+) (\w+) = (\d+);$`)
	valueLine = regexp.MustCompile(`^(\w+) = (\d+);$`)
)

// parse reads the part of the language our files use, one declaration a line; anything
// else is an error, so that the reference cannot silently miss something.
func parse(name string, r io.Reader) (*file, error) {
	f := &file{name: name}
	var open *decl
	var comment []string
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		code, trailing, commented := strings.Cut(strings.TrimSpace(lines.Text()), "//")
		code, trailing = strings.TrimSpace(code), strings.TrimSpace(trailing)
		if code == "" {
			switch {
			case trailing != "":
				comment = append(comment, trailing)
			case commented:
				comment = append(comment, "\n\n") // a new paragraph
			default:
				comment = nil
			}
			continue
		}
		about := strings.ReplaceAll(strings.Join(append(comment, trailing), " "), " \n\n ", "\n\n")
		comment = nil
		var err error
		if open, err = f.take(open, code, strings.TrimSpace(about)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return f, lines.Err()
}

// take reads one line of code inside open, and returns the declaration open after it.
func (f *file) take(open *decl, code, about string) (*decl, error) {
	if open != nil {
		if code == "}" {
			return nil, nil
		}
		m, ok := readMember(open.kind, code)
		if !ok {
			return nil, fmt.Errorf("%q is no member of a %s that docgen reads", code, open.kind)
		}
		m.about = about
		open.members = append(open.members, m)
		return open, nil
	}
	if m := declLine.FindStringSubmatch(code); m != nil {
		d := &decl{kind: m[1], name: m[2], about: about}
		f.decls = append(f.decls, d)
		if m[3] != "" {
			return nil, nil
		}
		return d, nil
	}
	for _, skip := range []string{"syntax ", "import ", "option ", "package "} {
		if strings.HasPrefix(code, skip) {
			if skip == "package " {
				f.about = about
			}
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%q is no declaration that docgen reads", code)
}

func readMember(kind, code string) (member, bool) {
	switch kind {
	case "service":
		if m := callLine.FindStringSubmatch(code); m != nil {
			return member{name: m[1], typ: m[2], number: m[3]}, true
		}
	case "message":
		if m := fieldLine.FindStringSubmatch(code); m != nil {
			return member{typ: m[1], name: m[2], number: m[3]}, true
		}
	case "enum":
		if m := valueLine.FindStringSubmatch(code); m != nil {
			return member{name: m[1], number: m[2]}, true
		}
	}
	return member{}, false
}
