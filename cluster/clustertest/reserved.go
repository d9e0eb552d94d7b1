package clustertest

import (
	"net"
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/network"
)

// reserved is the operating system's network with two ports taken in advance, so
// that addresses are known before anybody listens.
type reserved struct {
	network.OS
	raft, gossip string

	mu   sync.Mutex
	held map[string]net.Listener
}

func newReserved(tb testing.TB) *reserved {
	r := &reserved{held: map[string]net.Listener{}}
	for _, addr := range []*string{&r.raft, &r.gossip} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		*addr = l.Addr().String()
		r.held[*addr] = l
	}
	tb.Cleanup(func() {
		for _, l := range r.held {
			_ = l.Close()
		}
	})
	return r
}

func (r *reserved) Listen(addr string) (net.Listener, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.held[addr]; l != nil {
		delete(r.held, addr)
		return l, nil
	}
	return r.OS.Listen(addr)
}
