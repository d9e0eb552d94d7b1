package vault

import (
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// waiting connects callers with the requests they wait for. Verified signatures are
// handed out before their completion is committed, and kept until then for whoever
// asks again.
type waiting struct {
	mu    sync.Mutex
	calls map[command.RequestID]*call
	fresh map[command.RequestID]*fsm.Request // verified here, completion not yet applied
	count int
}

// call is everybody who waits for one request. Result and error are set before done is
// closed.
type call struct {
	done    chan struct{}
	callers int
	req     *fsm.Request
	err     error
}

func newWaiting() *waiting {
	return &waiting{calls: map[command.RequestID]*call{}, fresh: map[command.RequestID]*fsm.Request{}}
}

// join begins to wait, so that nothing that happens from now on is missed.
func (w *waiting) join(id command.RequestID) (*call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count >= maxWaiters {
		return nil, errs.New(errs.Throttled, "%d callers wait for requests already", maxWaiters)
	}
	c := w.calls[id]
	if c == nil {
		c = &call{done: make(chan struct{})}
		if req, ok := w.fresh[id]; ok {
			c.req = req
			close(c.done)
		} else {
			w.calls[id] = c
		}
	}
	c.callers++
	w.count++
	return c, nil
}

func (w *waiting) leave(id command.RequestID, c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if c.callers--; c.callers == 0 && w.calls[id] == c {
		delete(w.calls, id)
	}
}

// signed hands out verified signatures.
func (w *waiting) signed(req *fsm.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh[req.ID] = req
	w.finish(req.ID, req, nil)
}

// fail ends the wait for a request that can get no signatures now.
func (w *waiting) fail(id command.RequestID, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish(id, nil, err)
}

// applied ends the wait for requests that are final in the committed state.
func (w *waiting) applied(view fsm.View, ids []command.RequestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		delete(w.fresh, id)
		if w.calls[id] == nil {
			continue // mostly: the caller went when the signatures were there
		}
		if req, ok := view.Request(id); ok {
			w.finish(id, req, verdict(req))
		}
	}
}

// abandon ends all waiting: this region no longer leads. What it had verified stays
// true, but the next leader may have to draw again.
func (w *waiting) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.fresh)
	for id := range w.calls {
		w.finish(id, nil, unknown(id))
	}
}

func (w *waiting) finish(id command.RequestID, req *fsm.Request, err error) {
	if c := w.calls[id]; c != nil {
		c.req, c.err = req, err
		close(c.done)
		delete(w.calls, id)
	}
}

func unknown(id command.RequestID) error {
	return errs.New(errs.OutcomeUnknown, "request %s: its outcome is not known here", id).
		WithHint("ask again with the same id: the answer will be the same")
}

// verdict says how a final request ended; nil when it has its signatures.
func verdict(req *fsm.Request) error {
	switch {
	case req.State == fsm.RequestExpired:
		return errs.New(errs.Expired, "request %s expired before enough regions signed", req.ID).
			WithHint("send a new request with a new id")
	case req.State == fsm.RequestFailed && len(req.Attempts) < maxAttempts: // only a freeze ends a request early
		return errs.New(errs.Frozen, "request %s: its key or the vault was frozen", req.ID).
			WithHint("after an unfreeze by two administrators send a new request with a new id")
	case req.State == fsm.RequestFailed:
		return errs.New(errs.BadState, "request %s failed: none of its draws brought enough signatures", req.ID).
			WithHint("see the state of the regions, then send a new request with a new id")
	}
	return nil
}
