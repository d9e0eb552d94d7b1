package client_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// lies are proofs that prove nothing, or another thing.
func lies(c *rpctest.Cluster) map[string]rpctest.Prove {
	by := func(at chain.Link, n int) *rpc.Proof { return c.Certify(at, c.Nodes[:n]...) }
	return map[string]rpctest.Prove{
		"none":          func(uint64) *rpc.Proof { return nil },
		"nonsense":      func(uint64) *rpc.Proof { return &rpc.Proof{Cover: []byte("certified")} },
		"two regions":   func(i uint64) *rpc.Proof { return by(rpctest.Place(i), 2) },
		"another index": func(i uint64) *rpc.Proof { return by(rpctest.Place(i+1), 4) },
		"another lineage": func(i uint64) *rpc.Proof {
			p := by(rpctest.Place(i), 3)
			cover, _ := chain.DecodeCover(p.Cover)
			cover.Certificate.Lineage[0] ^= 1
			p.Cover = cover.Encode()
			return p
		},
		"without the sessions": func(i uint64) *rpc.Proof {
			p := by(rpctest.Place(i), 3)
			p.Sessions = p.Sessions[:2]
			return p
		},
		"a session of its own making": func(i uint64) *rpc.Proof {
			p := by(rpctest.Place(i), 3)
			cert := *c.Nodes[2].Session.Cert
			key := identity.GenerateEd25519()
			cert.Session = key.Public()
			p.Sessions[2] = cert.Encode()
			return p
		},
		"one region three times": func(i uint64) *rpc.Proof {
			p := by(rpctest.Place(i), 3)
			cover, _ := chain.DecodeCover(p.Cover)
			w := cover.Certificate.Witnesses
			w[1].Signature, w[2].Signature = w[0].Signature, w[0].Signature
			p.Cover = cover.Encode()
			return p
		},
		"headers from nowhere": func(i uint64) *rpc.Proof {
			h := chain.Header{Prev: [32]byte{9}, Term: 1, Index: i + 2}
			p := by(h.Link(), 3)
			cover, _ := chain.DecodeCover(p.Cover)
			cover.Path = []chain.Header{h}
			p.Cover = cover.Encode()
			return p
		},
	}
}

// words has every node give its region's words, or only such as prove nothing.
func words(c *rpctest.Cluster, give bool) {
	for _, n := range c.Nodes {
		if n.GiveWords(nil); !give {
			n.GiveWords(func(o *command.OutcomeWord) { o.Nonce = [16]byte{} })
		}
	}
}

// TestUnprovenIsUnknown: whatever a leader says, without the proof of three regions the
// client calls the outcome unknown; with it, the same command has its answer.
func TestUnprovenIsUnknown(t *testing.T) {
	for name := range lies(nil) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for what does not come
			unprovenBy(t, name)
		})
	}
}

func unprovenBy(t *testing.T, lie string) {
	const patience = 2 * time.Second // connections are made in it, too
	c := start(t, 4)
	admin, signer := c.Principal("", command.RoleAdmin), c.Principal("acme", command.RoleSigner)
	words(c, lie != "none") // which make up for a missing proof, never for a bad one
	cl, boss := dial(t, config(c, signer)), dial(t, config(c, admin))
	for _, n := range c.Nodes {
		n.OnProve(lies(c)[lie])
	}
	cmd := request(t, cl, lie)
	_, err := cl.Sign(within(t, patience), cmd)
	want(t, err, client.OutcomeUnknown)
	if err != nil && !strings.Contains(err.Error(), "not proven") {
		t.Errorf("says %q", err)
	}
	_, err = cl.Await(within(t, patience), client.RequestIDOf(cmd))
	want(t, err, client.OutcomeUnknown)
	freeze, err := boss.Command(&command.FreezeVault{Reason: lie})
	want(t, err, errs.OK)
	_, err = boss.Submit(within(t, patience), freeze)
	want(t, err, client.OutcomeUnknown)
	for _, n := range c.Nodes {
		n.OnProve(nil)
	}
	words(c, true)
	r, err := cl.Sign(within(t, 5*time.Second), cmd)
	want(t, err, errs.OK)
	if by := client.CertifiedBy(r.GetCertified()); !slices.Equal(by, []client.RegionID{1, 2, 3, 4}) {
		t.Errorf("certified by %v", by)
	}
	o, err := boss.Submit(within(t, 5*time.Second), freeze)
	want(t, err, errs.OK)
	if by := client.CertifiedBy(o.GetCertified()); len(by) != 4 {
		t.Errorf("certified by %v", by)
	}
}

// TestProofOfAnotherDraw: a proof has to be of the very entry the request names.
func TestProofOfAnotherDraw(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	c.Nodes[0].OnProve(func(i uint64) *rpc.Proof {
		at := rpctest.Place(i)
		at.Hash[0] ^= 1
		return c.Certify(at, c.Nodes[:3]...)
	})
	_, err := cl.Sign(within(t, 2*time.Second), request(t, cl, "m"))
	want(t, err, client.OutcomeUnknown)
}

// TestCoverByHeaders: an entry without a certificate of its own is proven along the
// headers to one that has.
func TestCoverByHeaders(t *testing.T) {
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	c.Nodes[0].OnProve(func(i uint64) *rpc.Proof {
		h := chain.Header{Prev: rpctest.Place(i).Hash, Term: 2, Index: i + 1}
		p := c.Certify(h.Link(), c.Nodes[1:]...)
		cover, _ := chain.DecodeCover(p.Cover)
		cover.Path = []chain.Header{h}
		p.Cover = cover.Encode()
		return p
	})
	r, err := cl.Sign(within(t, 5*time.Second), request(t, cl, "m"))
	want(t, err, errs.OK)
	if by := client.CertifiedBy(r.GetCertified()); !slices.Equal(by, []client.RegionID{2, 3, 4}) {
		t.Errorf("certified by %v", by)
	}
}

// TestRefusalsAreProven: a leader that signs a request and tells its client that it was
// refused is found out, whatever it says; a true refusal is believed with its proof only.
func TestRefusalsAreProven(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	hidden := func(code errs.Code) rpctest.Sign {
		return func(_ context.Context, cmd *command.Command) (*fsm.Request, error) {
			if _, err := c.State.Decide(cmd); err != nil {
				return nil, err
			}
			return nil, errs.New(code, "refused, believe me")
		}
	}
	for _, code := range []errs.Code{errs.Frozen, errs.Expired, errs.BadState, errs.NotFound, errs.Denied} {
		c.Nodes[0].OnSign(hidden(code))
		r, err := cl.Sign(within(t, 5*time.Second), request(t, cl, code.String()))
		if err != nil || len(r.Results) != 2 {
			t.Errorf("%s: the request was signed: %v, %v", code, r, err)
		}
	}
	c.Nodes[0].OnSign(func(_ context.Context, cmd *command.Command) (*fsm.Request, error) {
		o, err := c.State.Decide(cmd)
		if err == nil {
			err = o.Err()
		}
		return nil, err
	})
	cmd, err := cl.Command(client.NewSignMessage(client.KeyID{7}, client.HashSHA256, []byte("m"), ""))
	want(t, err, errs.OK)
	_, err = cl.Sign(within(t, 5*time.Second), cmd)
	want(t, err, errs.NotFound)
	words(c, false)
	_, err = cl.Sign(within(t, time.Second), cmd)
	want(t, err, client.OutcomeUnknown)
	words(c, true)
	c.Nodes[0].OnProve(func(i uint64) *rpc.Proof { return c.Certify(rpctest.Place(i), c.Nodes[:2]...) })
	_, err = cl.Sign(within(t, time.Second), cmd)
	want(t, err, client.OutcomeUnknown)
}

// TestBatchesAreProven item by item.
func TestBatchesAreProven(t *testing.T) {
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	words(c, false)
	c.Nodes[0].OnProve(func(i uint64) *rpc.Proof {
		if i%2 == 0 {
			return nil
		}
		return c.Certify(rpctest.Place(i), c.Nodes[:3]...)
	})
	var cmds []*client.Command
	for range 4 {
		cmds = append(cmds, request(t, cl, "m"))
	}
	results, err := cl.SignBatch(within(t, 5*time.Second), cmds)
	want(t, err, errs.OK)
	proven := 0
	for _, r := range results {
		if r.Err == nil && len(client.CertifiedBy(r.Request.GetCertified())) == 3 {
			proven++
		} else {
			want(t, r.Err, client.OutcomeUnknown)
		}
	}
	if proven != 2 {
		t.Errorf("%d of 4 proven, want every second", proven)
	}
}
