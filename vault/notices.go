package vault

import (
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// notices is a queue of keys to be looked at, each at most once, in order of first notice.
// A key that is being worked on is queued again when it is released.
type notices struct {
	news bell

	mu    sync.Mutex
	queue []command.KeyID
	state map[command.KeyID]noticed // of every key queued or taken
}

type noticed uint8

const (
	queued noticed = 1
	taken  noticed = 2
	both   noticed = 3 // taken, and news came since
)

func newNotices() notices {
	return notices{news: newBell(), state: map[command.KeyID]noticed{}}
}

func (n *notices) add(ids []command.KeyID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		switch n.state[id] {
		case 0:
			n.state[id] = queued
			n.queue = append(n.queue, id)
		case taken:
			n.state[id] = both
		}
	}
	n.signal()
}

func (n *notices) take() (id command.KeyID, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return id, false
	}
	id, n.queue = n.queue[0], n.queue[1:]
	n.state[id] = taken
	return id, true
}

func (n *notices) release(id command.KeyID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state[id] == both {
		n.state[id] = queued
		n.queue = append(n.queue, id)
		n.signal()
		return
	}
	delete(n.state, id)
}

func (n *notices) signal() {
	if len(n.queue) == 0 {
		return
	}
	n.news.ring()
}
