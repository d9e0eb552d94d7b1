package cluster

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestCompletionWaitsForCompany: a completion goes with the next command, or alone after
// a while; nothing else waits for a timer.
func TestCompletionWaitsForCompany(t *testing.T) {
	for name, c := range map[string]struct {
		bodies []command.Body
		pauses []time.Duration // before each
		after  []time.Duration // when each entry was proposed
		sizes  []int
	}{
		"command": {[]command.Body{&command.Tick{}}, []time.Duration{0}, []time.Duration{0}, []int{1}},
		"alone":   {[]command.Body{&command.Complete{}}, []time.Duration{0}, []time.Duration{completionWait}, []int{1}},
		"company": {[]command.Body{&command.Complete{}, &command.Tick{}}, []time.Duration{0, completionWait / 2},
			[]time.Duration{completionWait / 2}, []int{2}},
		"two": {[]command.Body{&command.Complete{}, &command.Complete{}}, []time.Duration{0, completionWait / 2},
			[]time.Duration{completionWait}, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var after []time.Duration
				var sizes []int
				begin := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				p := newProposer(ctx, func(_ context.Context, cmds []*command.Command) ([]fsm.Outcome, error) {
					after, sizes = append(after, time.Since(begin)), append(sizes, len(cmds))
					return make([]fsm.Outcome, len(cmds)), nil
				})
				var work sync.WaitGroup
				work.Go(p.run)
				var callers sync.WaitGroup
				for i, body := range c.bodies {
					time.Sleep(c.pauses[i])
					callers.Go(func() {
						if _, err := p.submit(ctx, aCommand(t, body)); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				callers.Wait()
				cancel()
				work.Wait()
				if !slices.Equal(after, c.after) || !slices.Equal(sizes, c.sizes) {
					t.Fatalf("entries of %v commands after %v, want %v after %v", sizes, after, c.sizes, c.after)
				}
				if p.calls != 0 || p.bytes != 0 {
					t.Fatalf("%d calls and %d bytes are left of an empty queue", p.calls, p.bytes)
				}
			})
		})
	}
}

// TestGather: after an entry of many commands the next waits for company, half of what
// that one took and never long; after one of few it does not wait.
func TestGather(t *testing.T) {
	const takes = 6 * time.Millisecond // every entry
	for name, c := range map[string]struct {
		first int
		wait  time.Duration
		sizes []int
	}{
		"light": {1, 0, []int{1, 1, 1}},
		"heavy": {gatherFrom, takes / 2, []int{gatherFrom, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begun []time.Duration
				var sizes []int
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				p := newProposer(ctx, func(_ context.Context, cmds []*command.Command) ([]fsm.Outcome, error) {
					begun, sizes = append(begun, time.Since(start)), append(sizes, len(cmds))
					time.Sleep(takes)
					return make([]fsm.Outcome, len(cmds)), nil
				})
				var work, callers sync.WaitGroup
				submit := func() {
					callers.Go(func() {
						if _, err := p.submit(ctx, aCommand(t, &command.Tick{})); err != nil {
							t.Error(err)
						}
					})
				}
				for range c.first {
					submit()
				}
				synctest.Wait()
				work.Go(p.run)
				time.Sleep(takes - 1)
				submit()
				time.Sleep(takes / 4)
				submit()
				callers.Wait()
				cancel()
				work.Wait()
				if !slices.Equal(sizes, c.sizes) || begun[1] != takes+c.wait {
					t.Fatalf("entries of %v commands after %v, want %v, the second %v after the first ended", sizes, begun, c.sizes, c.wait)
				}
			})
		})
	}
	if gatherFor(gatherFrom, time.Minute) != gatherMost {
		t.Error("a slow entry holds up the next one for long")
	}
}

// TestWithdrawnCommandHurriesNobody: what a caller gave up on takes no completion along.
func TestWithdrawnCommandHurriesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := newProposer(ctx, nil)
		gone, leave := context.WithCancel(ctx)
		var callers sync.WaitGroup
		for ctx, body := range map[context.Context]command.Body{ctx: &command.Complete{}, gone: &command.Tick{}} {
			callers.Go(func() {
				if _, err := p.submit(ctx, aCommand(t, body)); errs.CodeOf(err) != errs.Canceled {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if batch, wait := p.take(); len(batch) != 0 || wait != completionWait {
			t.Errorf("%d commands taken, %s to wait", len(batch), wait)
		}
		cancel()
		callers.Wait()
	})
}

func aCommand(t *testing.T, body command.Body) *command.Command {
	t.Helper()
	key := identity.GenerateEd25519()
	var id command.ID
	_, _ = rand.Read(id[:])
	c, err := command.New(body, key.Public().Fingerprint(), id, time.Now().Add(time.Minute), rand.Reader)
	if err == nil {
		err = c.Sign(t.Context(), identity.ClusterID{}, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
