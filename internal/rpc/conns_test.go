package rpc_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// TestConnsFollowTheAddress of a region, redial after Reset and end with Close.
func TestConnsFollowTheAddress(t *testing.T) {
	c := start(t, 2)
	me := c.Nodes[1]
	var mu sync.Mutex
	addr := "nowhere:1"
	dials := map[string]int{}
	conns := rpc.NewConns(rpc.ConnsConfig{
		TLS: func(r identity.RegionID) *tls.Config {
			return identity.ClientTLS(me.Session, r, func(r identity.RegionID) []identity.PublicKey { return c.Pins()[r] }, c.ID)
		},
		Address: func(r identity.RegionID) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			return addr, r == 1
		},
		Dial: func(ctx context.Context, a string) (net.Conn, error) {
			mu.Lock()
			dials[a]++
			mu.Unlock()
			return me.Network.Dial(ctx, a)
		},
	})
	defer conns.Close()
	peers := rpc.NewPeers(conns)
	ask := func(region identity.RegionID) error {
		_, err := peers.Word(within(t), region, nil)
		return err
	}
	want(t, ask(1), errs.Unavailable)
	want(t, ask(2), errs.Unavailable)
	mu.Lock()
	addr = c.Nodes[0].Addr
	mu.Unlock()
	want(t, ask(1), errs.OK)
	want(t, ask(1), errs.OK)
	conns.Reset(1)
	want(t, ask(1), errs.OK)
	mu.Lock()
	if n := dials[c.Nodes[0].Addr]; n != 2 {
		t.Errorf("dialled %d times, want 2", n)
	}
	mu.Unlock()
	conns.Close()
	want(t, ask(1), errs.Unavailable)
}

// TestConnsReachOnlyTheRegionAskedFor: another region at that address is refused.
func TestConnsReachOnlyTheRegionAskedFor(t *testing.T) {
	c := start(t, 3)
	me := c.Nodes[2]
	conns := rpc.NewConns(rpc.ConnsConfig{
		TLS: func(r identity.RegionID) *tls.Config {
			return identity.ClientTLS(me.Session, r, func(r identity.RegionID) []identity.PublicKey { return c.Pins()[r] }, c.ID)
		},
		Address: func(identity.RegionID) (string, bool) { return c.Nodes[1].Addr, true },
		Dial:    me.Network.Dial,
	})
	defer conns.Close()
	_, err := rpc.NewPeers(conns).Word(within(t), 2, nil)
	want(t, err, errs.OK)
	_, err = rpc.NewPeers(conns).Word(within(t), 1, nil)
	want(t, err, errs.Unavailable)
}
