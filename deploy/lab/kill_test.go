package lab_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// TestKillUnderLoad kills a follower, then the leader in the middle of requests, twice.
func TestKillUnderLoad(t *testing.T) {
	w := take(t)
	l := w.load(t, 4)
	l.goesOn(10)
	for _, who := range []func(*testing.T) *lab.Region{w.follower, w.leader, w.leader} {
		r := who(t)
		r.Kill()
		l.goesOn(20)
		if err := w.Start(r); err != nil {
			t.Fatal(err)
		}
		if err := w.ready(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		l.goesOn(5)
	}
	w.same(t, l.stop())
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKillAll kills all four at once; what was answered is there afterwards, and nobody
// had to do anything for it.
func TestKillAll(t *testing.T) {
	w := take(t)
	l := w.load(t, 4)
	l.goesOn(30)
	for _, r := range w.Regions {
		r.Signal(syscall.SIGKILL)
	}
	for _, r := range w.Regions {
		r.Kill()
	}
	if err := w.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.goesOn(10)
	w.same(t, l.stop())
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPause stops the leader's and a follower's process for longer than an election takes,
// as a hypervisor may, and lets them go on.
func TestPause(t *testing.T) {
	w := take(t)
	l := w.load(t, 4)
	l.goesOn(10)
	leaderPause := 1500 * time.Millisecond
	if long {
		leaderPause = 5500 * time.Millisecond // longer than a write may hang
	}
	for _, c := range []struct {
		who   func(*testing.T) *lab.Region
		pause time.Duration
	}{{w.leader, leaderPause}, {w.follower, time.Second}} {
		r := c.who(t)
		r.Signal(syscall.SIGSTOP)
		defer r.Signal(syscall.SIGCONT)
		time.Sleep(c.pause)
		l.goesOn(20)
		r.Signal(syscall.SIGCONT)
		l.goesOn(20)
		if err := w.healthy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if gone, err := r.Exited(); gone {
			t.Fatalf("a pause ended region %s: %v\n%s", r.Name, err, r.Said())
		}
	}
	w.same(t, l.stop())
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStop asks the leader to stop: it hands over and ends in order. A second request
// ends a process at once.
func TestStop(t *testing.T) {
	w := take(t)
	l := w.load(t, 4)
	l.goesOn(10)
	r := w.leader(t)
	begin := time.Now()
	r.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if code, err := r.Wait(ctx); code != 0 || err != nil {
		t.Errorf("SIGTERM: exit status %d, %v", code, err)
	}
	l.goesOn(20)
	t.Logf("stopped and went on after %s", time.Since(begin))
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	w.same(t, l.stop())
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}
