package cluster_test

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
)

// lines counts what is logged.
type lines struct {
	slog.Handler
	mu    sync.Mutex
	count map[string]int
	text  bytes.Buffer
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Level < slog.LevelInfo || strings.HasPrefix(r.Message, "raft: ") {
		return nil
	}
	l.count[r.Message]++
	return slog.NewTextHandler(&l.text, nil).Handle(ctx, r)
}

func (l *lines) of(msg string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[msg]
}

// TestRegionFillsNoLog: a region says the same wrong thing a hundred times, under server
// names of its own making, and leaves a few lines.
func TestRegionFillsNoLog(t *testing.T) {
	logged := &lines{count: map[string]int{}}
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	o := clustertest.Options{Logger: func(name string) *slog.Logger {
		if name == "r2" {
			return slog.New(logged)
		}
		return silent
	}}
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		id, addr := raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr)
		own := a.List[0].ServerID
		for i := range 10 {
			a.List[0].ServerID = own[:len(own)-1] + string(rune('0'+i))
			l := speakerOf(t, a.List[0], victim)
			base := l.founding()
			for range 10 {
				_ = l.Endpoint().TimeoutNow(id, addr, &raft.TimeoutNowRequest{RPCHeader: l.Header()}, &raft.TimeoutNowResponse{})
				_ = l.Accuse(id, victim.Addr, chain.RivalEntries, 3, []byte("x"), []byte("y"))
				bad := &raft.Log{Index: 2, Term: 2, Type: 99}
				l.lead(2, base, a.List[2].Session(), a.List[3].Session())
				_, _ = l.append(base, l.Sign(bad, base.Hash, l.proof))
			}
			l.Close()
		}
		time.Sleep(time.Second)
		for _, msg := range []string{"transfer refused", "evidence does not stand", "append refused"} {
			if n := logged.of(msg); n == 0 || n > cluster.SparseLines {
				t.Errorf("%q is logged %d times, want 1 to %d", msg, n, cluster.SparseLines)
			}
		}
		time.Sleep(time.Minute)
		l := speakerOf(t, a.List[0], victim)
		l.lead(2, l.founding(), a.List[2].Session(), a.List[3].Session())
		_ = l.Endpoint().TimeoutNow(id, addr, &raft.TimeoutNowRequest{RPCHeader: l.Header()}, &raft.TimeoutNowResponse{})
		if text := logged.text.String(); !strings.Contains(text, `msg="transfer refused" unwritten=`) {
			t.Errorf("what was not written is not counted:\n%s", text)
		}
	})
}

// TestWhatRegionsBringAboutIsNoted: in what answers another region no line is written but
// by note.
func TestWhatRegionsBringAboutIsNoted(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !answersRegion(fn) || f.Name() == "stamp.go" { // which shuns who errs, and says so once for that
				continue
			}
			looked++
			ast.Inspect(fn, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && isLog(s.X) && s.Sel.Name != "Debug" {
					t.Errorf("%s: %s writes a line with every call of another region: use note", f.Name(), fn.Name.Name)
				}
				return true
			})
		}
	}
	if looked < 20 {
		t.Errorf("%d functions answer other regions: the test does not find them", looked)
	}
}

func answersRegion(fn *ast.FuncDecl) bool {
	for _, p := range fn.Type.Params.List {
		if id, ok := p.Type.(*ast.Ident); ok && id.Name == "remote" {
			return true
		}
	}
	return false
}

func isLog(x ast.Expr) bool {
	s, ok := x.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "log"
}
