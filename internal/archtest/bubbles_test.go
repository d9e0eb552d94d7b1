package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSimulatedTimeOnOneProcessor: a package that tests in simulated time asks for one processor
// in its TestMain, first of all,, or the race detector crashes on it now and then (internal/race).
func TestSimulatedTimeOnOneProcessor(t *testing.T) {
	bubbles, kept := map[string]bool{}, map[string]bool{} // folders that make bubbles, that keep to one processor
	for _, f := range files(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		if slices.Contains(f.imports, "testing/synctest") {
			bubbles[f.dir] = true
		}
		if slices.Contains(f.imports, module+"internal/race") && oneProcessor(t, f.name) {
			kept[f.dir] = true
		}
	}
	if len(bubbles) < 5 {
		t.Fatalf("found only %d folders", len(bubbles))
	}
	for _, dir := range slices.Sorted(maps.Keys(bubbles)) {
		if !kept[dir] {
			t.Errorf("%s: tests in simulated time, and no TestMain calls race.OneProcessor or race.Main", dir)
		}
	}
}

// oneProcessor reports whether the file's TestMain calls race.OneProcessor first, or is race.Main.
func oneProcessor(t *testing.T, name string) bool {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", name), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "TestMain" && len(f.Body.List) > 0 {
			if s, ok := f.Body.List[0].(*ast.ExprStmt); ok {
				if c, ok := s.X.(*ast.CallExpr); ok {
					sel, ok := c.Fun.(*ast.SelectorExpr)
					return ok && (sel.Sel.Name == "OneProcessor" || sel.Sel.Name == "Main")
				}
			}
		}
	}
	return false
}
