package rpc_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

var auditLeaf = audit.Leaf{Command: command.Commitment{Format: command.Format, Type: command.TypeTick}, Code: errs.OK, Text: "leaf"}

func follow(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner, node int, tenant string) (recv func() (*tetradv1.Request, error), cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	s, err := vaultOf(t, c, k, node).FollowRequests(ctx, &tetradv1.FollowRequestsRequest{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	recv = func() (*tetradv1.Request, error) {
		m, err := s.Recv()
		return m.GetRequest(), err
	}
	if r, err := recv(); err != nil || r != nil {
		t.Fatalf("first message %v, %v", r, err)
	}
	return recv, cancel
}

// TestFollowers at the leader and at another node see their tenant's requests only.
func TestFollowers(t *testing.T) {
	c := start(t, 4)
	acme, root := c.Principal("acme", signer), c.Principal("", admin)
	put := func(n byte, tenant string) command.RequestID {
		id := command.RequestID{n}
		c.State.PutRequest(fsm.Request{ID: id, Tenant: tenant, State: fsm.RequestComplete})
		return id
	}
	one, two := put(1, "acme"), put(2, "zenith")
	for node := range c.Nodes {
		mine, stop1 := follow(t, c, acme, node, "")
		all, stop2 := follow(t, c, root, node, "")
		c.Notify(two, one)
		if r, err := mine(); err != nil || r.Id[0] != 1 {
			t.Errorf("node %d: tenant sees %v, %v", node+1, r, err)
		}
		for _, want := range []byte{2, 1} {
			if r, err := all(); err != nil || r.Id[0] != want {
				t.Errorf("node %d: vault sees %v, %v", node+1, r, err)
			}
		}
		stop1()
		stop2()
		_, err := mine()
		want(t, err, errs.Canceled)
	}
}

// TestFollowersEnd when the leader steps down, when their principal is removed, and
// when the node shuts down.
func TestFollowersEnd(t *testing.T) {
	c := start(t, 2)
	acme := c.Principal("acme", signer)
	here, _ := follow(t, c, acme, 0, "")
	there, _ := follow(t, c, acme, 1, "")
	c.Lead(2)
	_, err := here()
	want(t, err, errs.NotLeader)
	_, err = there()
	want(t, err, errs.NotLeader)

	again, _ := follow(t, c, acme, 0, "")
	p, _ := c.State.Principal(acme.Public().Fingerprint())
	removed := *p
	removed.Removed = true
	c.State.PutPrincipal(removed)
	c.State.PutRequest(fsm.Request{ID: command.RequestID{1}, Tenant: "acme"})
	c.Notify(command.RequestID{1})
	_, err = again()
	want(t, err, errs.Unauthenticated)

	last, _ := follow(t, c, c.Principal("acme", signer), 1, "")
	c.Nodes[1].Stop()
	_, err = last()
	want(t, err, errs.Unavailable)
}

// TestSlowFollowerIsDropped: one that does not read loses its stream, with a reason,
// and nobody waits for it. The others go on.
func TestSlowFollowerIsDropped(t *testing.T) {
	c := start(t, 2)
	acme := c.Principal("acme", signer)
	id := command.RequestID{1}
	c.State.PutRequest(fsm.Request{ID: id, Tenant: "acme", Note: string(make([]byte, 1024))})
	for node := range c.Nodes {
		slow, _ := follow(t, c, acme, node, "")
		for range 5000 { // more than the buffers on the way take
			c.Notify(id)
		}
		var err error
		for err == nil {
			_, err = slow()
		}
		want(t, err, errs.Throttled)
		fresh, stop := follow(t, c, acme, node, "")
		c.Notify(id)
		if _, err := fresh(); err != nil {
			t.Errorf("a fresh follower: %v", err)
		}
		stop()
	}
}

func TestFollowAudit(t *testing.T) {
	c := start(t, 2)
	root := c.Principal("", command.RoleAuditor)
	for range 5 {
		c.State.AddLeaf(auditLeaf)
	}
	for node := range c.Nodes {
		ctx, cancel := context.WithCancel(within(t))
		s, err := vaultOf(t, c, root, node).FollowAudit(ctx, &tetradv1.FollowAuditRequest{From: 2})
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(2)
		read := func() {
			m, err := s.Recv()
			if err != nil || m.From != next {
				t.Fatalf("page %v, %v, want from %d", m, err, next)
			}
			next += uint64(len(m.Leaves))
		}
		for f := c.State.Frontier(); next < f.Size(); {
			read()
		}
		c.State.AddLeaf(auditLeaf)
		c.Notify()
		read()
		if f := c.State.Frontier(); next != f.Size() {
			t.Errorf("node %d: read to %d of %d", node+1, next, f.Size())
		}
		cancel()
	}
	s, err := vaultOf(t, c, root, 0).FollowAudit(within(t), &tetradv1.FollowAuditRequest{From: 99})
	if err == nil {
		_, err = s.Recv()
	}
	want(t, err, errs.Invalid)
}

func TestTooManyFollowers(t *testing.T) {
	c := start(t, 1)
	acme := c.Principal("acme", signer)
	v := vaultOf(t, c, acme, 0)
	var err error
	for i := range 300 {
		s, serr := v.FollowRequests(within(t), &tetradv1.FollowRequestsRequest{})
		if serr != nil {
			t.Fatal(serr)
		}
		if _, err = s.Recv(); err != nil {
			if i != 256 {
				t.Errorf("follower %d was refused", i)
			}
			break
		}
	}
	want(t, err, errs.Throttled)
}

// TestInSimulatedTime: a whole cluster lives in a bubble, and an hour passes at once.
func TestInSimulatedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rpctest.New(4)
		acme := c.Principal("acme", signer)
		c.State.PutRequest(fsm.Request{ID: command.RequestID{1}, Tenant: "acme"})
		cc := dial(t, c, acme, 2, "client")
		ctx, cancel := context.WithCancel(t.Context())
		s, err := tetradv1.NewVaultClient(cc).FollowRequests(ctx, &tetradv1.FollowRequestsRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		c.Notify(command.RequestID{1})
		if m, err := s.Recv(); err != nil || m.Request.Id[0] != 1 {
			t.Errorf("after an hour: %v, %v", m, err)
		}
		cancel()
		if _, err := s.Recv(); err == nil || errors.Is(err, io.EOF) {
			t.Error("the stream did not end")
		}
		_ = cc.Close()
		c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
