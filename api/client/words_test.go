package client_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// compacted is a cluster without a single certificate left, whose regions give words, all
// but region 1 bent by a liar.
func compacted(t *testing.T, bend func(*command.OutcomeWord)) (c *rpctest.Cluster, asked []*atomic.Int64) {
	t.Helper()
	c = start(t, 4)
	for i, n := range c.Nodes {
		n.OnProve(func(uint64) *rpc.Proof { return nil })
		if i == 0 {
			asked = append(asked, n.GiveWords(nil))
		} else {
			asked = append(asked, n.GiveWords(bend))
		}
	}
	return c, asked
}

// unproven wants answers that come and are not believed. It gives a slow machine more time
// than the call needs: without any answer nothing would have been tried.
func unproven(t *testing.T, call func(ctx context.Context) error) {
	t.Helper()
	for patience := 1500 * time.Millisecond; ; patience *= 2 {
		err := call(within(t, patience))
		want(t, err, client.OutcomeUnknown)
		if err == nil || strings.Contains(err.Error(), "not proven") {
			return
		}
		if patience > 20*time.Second {
			t.Fatalf("says %q", err)
		}
	}
}

// TestOldAnswersAreProvenByWords: without any certificate, requests, outcomes and refusals
// are as good as ever.
func TestOldAnswersAreProvenByWords(t *testing.T) {
	c, _ := compacted(t, nil)
	cl, boss := dial(t, config(c, c.Principal("acme", command.RoleSigner))), dial(t, config(c, c.Principal("", command.RoleAdmin)))
	ctx := within(t, 20*time.Second)
	cmd := request(t, cl, "m")
	r, err := cl.Sign(ctx, cmd)
	want(t, err, errs.OK)
	if len(r.GetResults()) != 2 || client.CertifiedBy(r.GetCertified()) != nil {
		t.Fatalf("%+v", r)
	}
	r, err = cl.Await(ctx, client.RequestIDOf(cmd))
	want(t, err, errs.OK)
	if len(r.GetResults()) != 2 {
		t.Fatalf("%+v", r)
	}
	_, err = boss.Do(ctx, &command.FreezeVault{Reason: "x"})
	want(t, err, errs.OK)
	o, err := boss.Do(ctx, &command.CreateKey{Name: "k", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	want(t, err, errs.OK)
	if len(o.GetKeyId()) != 16 {
		t.Fatalf("%+v", o)
	}
	none, err := cl.Command(client.NewSignMessage(client.KeyID{7}, client.HashSHA256, []byte("m"), ""))
	want(t, err, errs.OK)
	_, err = cl.Sign(ctx, none)
	want(t, err, errs.NotFound)
	results, err := cl.SignBatch(ctx, []*client.Command{cmd, request(t, cl, "n"), request(t, cl, "o")})
	want(t, err, errs.OK)
	for _, r := range results {
		if r.Err != nil || len(r.Request.Results) != 2 {
			t.Errorf("%+v", r)
		}
	}
}

// TestOneLiarAmongWords changes nothing, whichever region it is: the others' words do.
func TestOneLiarAmongWords(t *testing.T) {
	c, _ := compacted(t, nil)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	for _, n := range c.Nodes {
		n.GiveWords(func(o *command.OutcomeWord) { o.Code = errs.Denied })
		if _, err := cl.Sign(within(t, 10*time.Second), request(t, cl, "m")); err != nil {
			t.Errorf("region %d lies: %v", n.Region, err)
		}
		n.GiveWords(nil)
	}
}

// TestWordsThatProveNothing: one region's true word and three others that are each
// something else than a word on this very answer, given now, leave it unknown.
func TestWordsThatProveNothing(t *testing.T) {
	t.Parallel() // it waits for what does not come
	for name, bend := range map[string]func(*command.OutcomeWord){
		"another outcome":   func(o *command.OutcomeWord) { o.Code = errs.Denied },
		"another entry":     func(o *command.OutcomeWord) { o.Meta.Index++ },
		"another key":       func(o *command.OutcomeWord) { o.Key[0] ^= 1 },
		"another request":   func(o *command.OutcomeWord) { o.Request[0] ^= 1 },
		"another answer":    func(o *command.OutcomeWord) { o.Standing[0] ^= 1 },
		"another command":   func(o *command.OutcomeWord) { o.Command[0] ^= 1 },
		"an older question": func(o *command.OutcomeWord) { o.Nonce = [16]byte{1} },
		"another vault":     func(o *command.OutcomeWord) { o.Lineage[0] ^= 1 },
		"another region":    func(o *command.OutcomeWord) { o.Region = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := compacted(t, bend)
			cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
			cmd := request(t, cl, name)
			unproven(t, func(ctx context.Context) error { _, err := cl.Sign(ctx, cmd); return err })
			if name == "another request" || name == "another answer" {
				unproven(t, func(ctx context.Context) error { _, err := cl.Await(ctx, client.RequestIDOf(cmd)); return err })
			}
		})
	}
}

// TestLiesBesideTrueWords: what a leader shows has to be what the regions say, to the last
// byte; and it is about what was asked.
func TestLiesBesideTrueWords(t *testing.T) {
	t.Parallel() // it waits for what does not come
	for name, lie := range map[string]func(r, other *fsm.Request){
		"a signature": func(r, _ *fsm.Request) {
			r.Results = []fsm.SignatureSet{r.Results[0], {Region: 3, Signatures: [][]byte{{9}}}}
		},
		"no signatures":   func(r, _ *fsm.Request) { r.Results, r.State = nil, fsm.RequestFailed },
		"a note":          func(r, _ *fsm.Request) { r.Note = "pay twice" },
		"a key":           func(r, _ *fsm.Request) { r.Key[0] ^= 1 },
		"a draw":          func(r, _ *fsm.Request) { r.Attempts = []fsm.Attempt{{Number: 2}} },
		"content":         func(r, _ *fsm.Request) { r.Hash[0] ^= 1 },
		"an author":       func(r, _ *fsm.Request) { r.Author[0] ^= 1 },
		"another request": func(r, other *fsm.Request) { *r = *other },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := compacted(t, nil)
			cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
			cmd, other := request(t, cl, name), request(t, cl, "other")
			_, err := c.State.Decide(other)
			want(t, err, errs.OK)
			var lying atomic.Bool
			lying.Store(true)
			c.Nodes[0].OnSign(func(_ context.Context, cmd *command.Command) (*fsm.Request, error) {
				o, err := c.State.Decide(cmd)
				if err != nil {
					return nil, err
				}
				r, _ := c.State.Request(o.Request)
				shown := *r
				if r, _ := c.State.Request(client.RequestIDOf(other)); lying.Load() {
					lie(&shown, r)
				}
				return &shown, nil
			})
			unproven(t, func(ctx context.Context) error { _, err := cl.Sign(ctx, cmd); return err })
			lying.Store(false)
			_, err = cl.Sign(within(t, 10*time.Second), cmd)
			want(t, err, errs.OK)
		})
	}
}

// TestRefusalsBesideTrueWords: a leader without certificates that calls refused what was
// carried out is not believed.
func TestRefusalsBesideTrueWords(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c, _ := compacted(t, nil)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	c.Nodes[0].OnSubmit(func(_ context.Context, cmd *command.Command) (fsm.Outcome, error) {
		o, err := c.State.Decide(cmd)
		o.Code, o.Text = errs.Denied, "refused, believe me"
		return o, err
	})
	cmd := request(t, cl, "refused")
	unproven(t, func(ctx context.Context) error { _, err := cl.Submit(ctx, cmd); return err })
}

// TestOneNodesOutcome: a leader that answers with the certificate of any entry is believed
// only in what two regions say of this very command: not that it was carried out, not as
// another one, not where it was refused, nor that a request ended.
func TestOneNodesOutcome(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	cl, boss := dial(t, config(c, c.Principal("acme", command.RoleSigner))), dial(t, config(c, c.Principal("", command.RoleAdmin)))
	_, err := boss.Do(within(t, 10*time.Second), &command.FreezeVault{Reason: "certified"})
	want(t, err, errs.OK)
	for name, lie := range map[string]func(*fsm.Outcome){
		"never proposed": nil,
		"another entry":  func(o *fsm.Outcome) { o.Index-- },
		"another key":    func(o *fsm.Outcome) { o.Key[0] ^= 1 },
		"refused":        func(o *fsm.Outcome) { o.Code, o.Text = errs.Denied, "refused, believe me" },
	} {
		cmd, err := boss.Command(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
		want(t, err, errs.OK)
		c.Nodes[0].OnSubmit(func(_ context.Context, cmd *command.Command) (fsm.Outcome, error) {
			if lie == nil {
				return fsm.Outcome{Code: errs.OK, Index: 1, Key: command.KeyIDOf(cmd.Principal, cmd.ID)}, nil
			}
			o, err := c.State.Decide(cmd)
			lie(&o)
			return o, err
		})
		unproven(t, func(ctx context.Context) error { _, err := boss.Submit(ctx, cmd); return err })
		c.Nodes[0].OnSubmit(nil)
		o, p, err := boss.SubmitProven(within(t, 10*time.Second), cmd)
		want(t, err, errs.OK)
		if len(p.Certified) != 4 || len(p.Said) < 2 || len(o.GetKeyId()) != 16 {
			t.Errorf("%s: %v rests on %+v", name, o, p)
		}
	}
	c.Nodes[0].OnSign(func(_ context.Context, cmd *command.Command) (*fsm.Request, error) {
		o, err := c.State.Decide(cmd)
		if err != nil {
			return nil, err
		}
		r, _ := c.State.Request(o.Request)
		shown := *r
		shown.Results, shown.State, shown.Closed = nil, fsm.RequestFailed, 1
		return &shown, nil
	})
	unproven(t, func(ctx context.Context) error { _, err := cl.Sign(ctx, request(t, cl, "m")); return err })
}

// TestAddressesAreProven: one node cannot give an address to a second payer; the same command
// has the same addresses however often it is sent.
func TestAddressesAreProven(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	key := command.KeyID{5}
	c.State.PutKey(fsm.Key{ID: key, Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2, State: fsm.KeyActive,
		Issued: 7, Given: fsm.Given{Branches: []fsm.Branch{{Path: []uint32{0}, Next: 7}}}})
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	cmd, err := cl.Command(&command.NextAddresses{Key: key, Branch: []uint32{0}, Count: 2})
	want(t, err, errs.OK)
	for name, next := range map[string]uint32{"others'": 5, "later ones": 10, "none": 0} {
		c.Nodes[0].OnSubmit(func(_ context.Context, cmd *command.Command) (fsm.Outcome, error) {
			o, err := c.State.Decide(cmd)
			o.Next = next
			return o, err
		})
		t.Log(name)
		unproven(t, func(ctx context.Context) error { _, err := cl.Issue(ctx, cmd); return err })
	}
	c.Nodes[0].OnSubmit(nil)
	for range 2 {
		paths, err := cl.Issue(within(t, 10*time.Second), cmd)
		want(t, err, errs.OK)
		if len(paths) != 2 || !slices.Equal(paths[0], []uint32{0, 7}) || !slices.Equal(paths[1], []uint32{0, 8}) {
			t.Errorf("%v", paths)
		}
	}
	named, err := cl.Command(&command.IssueAddresses{Key: key, Paths: [][]byte{command.EncodePath([]uint32{3, 1})}})
	want(t, err, errs.OK)
	if paths, err := cl.Issue(within(t, 10*time.Second), named); err != nil || len(paths) != 1 || !slices.Equal(paths[0], []uint32{3, 1}) {
		t.Errorf("%v, %v", paths, err)
	}
}

// TestForgottenRefusals: what regions keep no memory of they cannot say either. It binds
// nobody, and is reported at once.
func TestForgottenRefusals(t *testing.T) {
	c := start(t, 4)
	boss := dial(t, config(c, c.Principal("", command.RoleAdmin)))
	for _, code := range []errs.Code{errs.NeedsSecondAdmin, errs.Unauthenticated} {
		c.Nodes[0].OnSubmit(func(context.Context, *command.Command) (fsm.Outcome, error) {
			return fsm.Outcome{Code: code, Index: 1, Text: "no"}, nil
		})
		cmd, err := boss.Command(&command.FreezeVault{Reason: code.String()})
		want(t, err, errs.OK)
		_, p, err := boss.SubmitProven(within(t, 10*time.Second), cmd)
		if want(t, err, code); len(p.Certified) != 4 || p.Said != nil {
			t.Errorf("%s rests on %+v", code, p)
		}
	}
}

// TestWordsReplaceNoBadProof: they are for where there is no certificate, and nobody is
// asked for them where signatures come with one.
func TestWordsReplaceNoBadProof(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c, asked := compacted(t, nil)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	for _, n := range c.Nodes {
		n.OnProve(func(i uint64) *rpc.Proof { return c.Certify(rpctest.Place(i), c.Nodes[:2]...) })
	}
	_, err := cl.Sign(within(t, 2*time.Second), request(t, cl, "m"))
	want(t, err, client.OutcomeUnknown)
	for _, n := range c.Nodes {
		n.OnProve(nil)
	}
	_, err = cl.Sign(within(t, 5*time.Second), request(t, cl, "n"))
	want(t, err, errs.OK)
	if slices.ContainsFunc(asked, func(n *atomic.Int64) bool { return n.Load() != 0 }) {
		t.Error("words were asked for beside certificates")
	}
}

// TestAnswersAboutAnotherRequest are none, certified or not.
func TestAnswersAboutAnotherRequest(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	first, err := cl.Sign(within(t, 5*time.Second), request(t, cl, "first"))
	want(t, err, errs.OK)
	c.Nodes[0].OnSign(func(_ context.Context, cmd *command.Command) (*fsm.Request, error) {
		r, _ := c.State.Request(command.RequestID(first.Id))
		return r, nil
	})
	_, err = cl.Sign(within(t, 2*time.Second), request(t, cl, "second"))
	want(t, err, client.OutcomeUnknown)
}
