package vault

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestSwear: what a region says it never released it never releases, also after a restart,
// and it says so of nothing it released or cannot know.
func TestSwear(t *testing.T) {
	disk, ctx, expiry := durabletest.New(), context.Background(), time.Now().Add(time.Hour).Truncate(time.Millisecond)
	a, err := openAnswers(journalConfig(disk))
	if err != nil {
		t.Fatal(err)
	}
	swear := func(n byte, opened uint64) errs.Code { return errs.CodeOf(a.swear(ctx, item7(n, 1), opened, expiry)) }
	if c := swear(1, 9); c != errs.BadState {
		t.Errorf("before it is ready: %s", c)
	}
	a.knows(5)
	a.knows(9) // only the first counts
	for _, tc := range []struct {
		opened uint64
		want   errs.Code
	}{{4, errs.BadState}, {5, errs.BadState}, {6, errs.OK}, {6, errs.OK}} {
		if c := swear(1, tc.opened); c != tc.want {
			t.Errorf("opened at %d: %s, want %s", tc.opened, c, tc.want)
		}
	}
	release := func(n byte) {
		s, mine, fault := a.claim(item7(n, 1), expiry)
		if fault != nil || !mine {
			t.Fatalf("claim: mine %v, %v", mine, fault)
		}
		s.Signatures = [][]byte{{1}}
		if err := a.settle(ctx, []*slot{s}); err != nil {
			t.Fatal(err)
		}
	}
	release(2)
	if c := swear(2, 7); c != errs.BadState {
		t.Errorf("released: %s", c)
	}
	a.forget([]command.RequestID{{2}}, false)
	if c := swear(2, 7); c != errs.BadState {
		t.Errorf("released, and ended since: %s", c)
	}
	if s, mine, _ := a.claim(item7(1, 1), expiry); mine || !s.Refused {
		t.Error("an attempt sworn off may be signed")
	}
	b, err := openAnswers(journalConfig(disk))
	if err != nil {
		t.Fatal(err)
	}
	if s, mine, _ := b.claim(item7(1, 1), expiry); mine || !s.Refused {
		t.Error("an attempt sworn off may be signed after a restart")
	}
	if err := b.swear(ctx, item7(3, 1), 99, expiry); errs.CodeOf(err) != errs.BadState {
		t.Errorf("after a restart: %v", err)
	}
}

// TestSwearWhileSigning: a word waits for the signature that is being made.
func TestSwearWhileSigning(t *testing.T) {
	expiry := time.Now().Add(time.Hour)
	a, err := openAnswers(journalConfig(durabletest.New()))
	if err != nil {
		t.Fatal(err)
	}
	a.knows(1)
	s, _, _ := a.claim(item7(1, 1), expiry)
	a.forget([]command.RequestID{{1}}, false) // being signed still: stays
	sworn := make(chan error, 1)
	go func() { sworn <- a.swear(context.Background(), item7(1, 1), 2, expiry) }()
	s.Signatures = [][]byte{{1}}
	if err := a.settle(context.Background(), []*slot{s}); err != nil {
		t.Fatal(err)
	}
	if err := <-sworn; errs.CodeOf(err) != errs.BadState {
		t.Errorf("a word on what was signed meanwhile: %v", err)
	}
}
