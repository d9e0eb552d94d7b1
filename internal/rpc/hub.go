package rpc

import (
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// hub tells followers what was applied. It never waits for one: a follower whose
// buffer is full is dropped.
type hub struct {
	mu        sync.Mutex
	followers map[*follower]struct{}
	wake      chan struct{} // closed at the next notify; nil while nobody waits
	closed    error
}

// follower is one stream. Changes are sent on changes; done is closed when it is
// dropped, for the reason in err.
type follower struct {
	tenant  string
	all     bool
	changes chan *fsm.Request // nil for a follower of the audit log
	done    chan struct{}
	err     error // set before done is closed
}

func newHub() *hub { return &hub{followers: map[*follower]struct{}{}} }

func (h *hub) add(f *follower) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return h.closed
	}
	if len(h.followers) >= followersMax {
		return errs.New(errs.Throttled, "%d streams follow already", len(h.followers)).WithHint("ask another node, or end idle followers")
	}
	f.done = make(chan struct{})
	h.followers[f] = struct{}{}
	return nil
}

func (h *hub) remove(f *follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.followers, f)
}

// end drops one follower; the lock is held.
func (h *hub) end(f *follower, why error) {
	delete(h.followers, f)
	f.err = why
	close(f.done)
}

// drop ends all followers; new ones may come.
func (h *hub) drop(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range h.followers {
		h.end(f, why)
	}
}

func (h *hub) close(why error) {
	h.mu.Lock()
	h.closed = why
	h.mu.Unlock()
	h.drop(why)
}

// next returns a channel that is closed at the next notify.
func (h *hub) next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return h.wake
}

// lookup reads a request from the state after the results.
type lookup func(command.RequestID) (*fsm.Request, bool)

// notify hands changed requests to their followers. Without followers it costs nothing.
func (h *hub) notify(results []fsm.Result, state func() lookup) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
	if len(h.followers) == 0 {
		return
	}
	find := state()
	for i := range results {
		r := &results[i]
		for _, ids := range [][]command.RequestID{r.Opened, r.Completed, r.Failed, r.Expired} {
			for _, id := range ids {
				h.changed(id, find)
			}
		}
	}
}

func (h *hub) changed(id command.RequestID, find lookup) {
	r, ok := find(id)
	if !ok {
		return
	}
	for f := range h.followers {
		if f.changes == nil || !f.all && f.tenant != r.Tenant {
			continue
		}
		select {
		case f.changes <- r:
		default:
			h.end(f, errs.New(errs.Throttled, "this stream is %d changes behind and was dropped", followBuffer).
				WithHint("read faster, or follow one tenant; list the requests and follow again"))
		}
	}
}
