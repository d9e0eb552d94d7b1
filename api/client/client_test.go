package client_test

import (
	"context"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// TestMain lets more tests go at once than there are processors: the parallel ones wait most
// of their time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var hot = fsm.Key{ID: command.KeyID{1}, Name: "hot", Tenant: "acme", Curve: command.P256, Signers: 2, State: fsm.KeyActive}

func start(t *testing.T, n int) *rpctest.Cluster {
	t.Helper()
	c := rpctest.New(n)
	t.Cleanup(c.Close)
	c.State.PutKey(hot)
	for _, node := range c.Nodes {
		node.GiveWords(nil)
	}
	return c
}

func config(c *rpctest.Cluster, k *identity.KeySigner) client.Config {
	return client.Config{Addresses: c.Addresses(), Cluster: c.ID, Regions: c.Pins(), Signer: k, Dial: c.Net.Host("client").Dial,
		Lineage: c.State.Lineage(), Unproven: len(c.Nodes) < 2} // one region cannot prove anything
}

func dial(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	cl, err := client.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func want(t *testing.T, err error, code client.Code) {
	t.Helper()
	if got := client.CodeOf(err); got != code {
		t.Errorf("error is %s (%v), want %s", got, err, code)
	}
}

func request(t *testing.T, cl *client.Client, text string) *client.Command {
	t.Helper()
	cmd, err := cl.Command(client.NewSignMessage(hot.ID, client.HashSHA256, []byte(text), "note"))
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestSignAndReadBack(t *testing.T) {
	c := start(t, 4)
	cl, ctx := dial(t, config(c, c.Principal("acme", command.RoleSigner))), within(t, 10*time.Second)
	cmd := request(t, cl, "m")
	for range 2 { // again: the same answer
		r, err := cl.Sign(ctx, cmd)
		if err != nil || len(r.Results) != 2 || client.RequestIDOf(cmd) != command.RequestID(r.Id) {
			t.Fatalf("%v, %v", r, err)
		}
	}
	id := client.RequestIDOf(cmd)
	if r, err := cl.Request(ctx, id); err != nil || r.Note != "note" {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := cl.Await(ctx, id); err != nil || len(r.Results) != 2 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := cl.Open(ctx, request(t, cl, "n")); err != nil || r.Tenant != "acme" {
		t.Errorf("%v, %v", r, err)
	}
	n := 0
	for _, err := range cl.Requests(ctx, "") {
		want(t, err, errs.OK)
		n++
	}
	if n != 2 {
		t.Errorf("%d requests listed", n)
	}
	_, err := cl.Request(ctx, client.RequestID{9})
	want(t, err, client.NotFound)
	if k, err := cl.KeyByName(ctx, "", "hot"); err != nil || k.Signers != 2 {
		t.Errorf("%v, %v", k, err)
	}
}

// TestMovesOn past nodes that are down or not ready, and waits for a leader.
func TestMovesOn(t *testing.T) {
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	c.Nodes[1].SetReady(errs.New(errs.NotReady, "catching up"))
	c.Lead(3)
	c.Nodes[0].Stop()
	if _, err := cl.Sign(within(t, 10*time.Second), request(t, cl, "m")); err != nil {
		t.Fatal(err)
	}
	c.Lead(0)
	_, err := cl.Key(within(t, 2*time.Second), hot.ID)
	want(t, err, client.NoLeader)
	done := make(chan error, 1)
	go func() {
		_, err := cl.Key(within(t, 10*time.Second), hot.ID)
		done <- err
	}()
	c.Lead(4)
	want(t, <-done, errs.OK)
	_, err = cl.Sign(within(t, 10*time.Second), request(t, cl, "n"))
	want(t, err, errs.OK)
}

// TestSecondAskingSettlesTheOutcome: the answer to the first sending is lost, the
// second one with the same id gets it, and the command is decided once.
func TestSecondAskingSettlesTheOutcome(t *testing.T) {
	c := start(t, 2)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	first := true
	var indexes []uint64
	c.Nodes[0].OnSubmit(func(_ context.Context, cmd *command.Command) (fsm.Outcome, error) {
		o, err := c.State.Decide(cmd)
		indexes = append(indexes, o.Index)
		if first {
			first = false
			return fsm.Outcome{}, errs.New(errs.OutcomeUnknown, "leadership was lost")
		}
		return o, err
	})
	o, err := cl.Submit(within(t, 10*time.Second), request(t, cl, "m"))
	if err != nil || len(indexes) != 2 || indexes[0] != indexes[1] || o.Index != indexes[0] {
		t.Errorf("%v, %v, decided at %v", o, err, indexes)
	}
}

// TestUnknownStaysUnknown at the deadline, and when the command expired before the
// second asking.
func TestUnknownStaysUnknown(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 1)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	c.Nodes[0].OnSubmit(func(ctx context.Context, _ *command.Command) (fsm.Outcome, error) {
		<-ctx.Done()
		return fsm.Outcome{}, ctx.Err()
	})
	_, err := cl.Submit(within(t, 2*time.Second), request(t, cl, "m"))
	want(t, err, client.OutcomeUnknown)
	if client.HintOf(err) == "" {
		t.Error("no hint what to do")
	}
	for _, code := range []errs.Code{errs.Expired, errs.Unauthenticated, errs.Internal} {
		for _, decided := range []bool{false, true} { // refused by the node, or by the state machine
			calls := 0
			c.Nodes[0].OnSubmit(func(context.Context, *command.Command) (fsm.Outcome, error) {
				if calls++; calls == 1 {
					return fsm.Outcome{}, errs.New(errs.OutcomeUnknown, "leadership was lost")
				}
				if decided {
					return fsm.Outcome{Code: code, Text: "no"}, nil
				}
				return fsm.Outcome{}, errs.New(code, "no")
			})
			_, err = cl.Submit(within(t, 10*time.Second), request(t, cl, "m"))
			want(t, err, client.OutcomeUnknown)
		}
	}
	c.Nodes[0].OnSubmit(func(context.Context, *command.Command) (fsm.Outcome, error) {
		return fsm.Outcome{Code: errs.Frozen, Text: "the vault is frozen"}, nil
	})
	o, err := cl.Submit(within(t, 10*time.Second), request(t, cl, "m"))
	if want(t, err, client.Frozen); o == nil {
		t.Error("a refusal has an outcome")
	}
}

// TestLearnsTheLeader from the node that forwards.
func TestLearnsTheLeader(t *testing.T) {
	c := start(t, 4)
	c.Lead(3)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	for range 20 {
		if _, err := cl.Key(within(t, 5*time.Second), hot.ID); err != nil {
			t.Fatal(err)
		}
	}
	families, err := c.Nodes[2].Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tetrad_rpc_calls_total" && f.Metric[0].GetCounter().GetValue() != 20 {
			t.Errorf("leader: %v", f)
		}
	}
	for _, i := range []int{0, 1, 3} {
		families, err := c.Nodes[i].Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "tetrad_rpc_forwarded_total" && f.Metric[0].GetCounter().GetValue() > 1 {
				t.Errorf("region %d forwarded %v calls", i+1, f.Metric[0].GetCounter().GetValue())
			}
		}
	}
}

func TestTrustsPinsOnly(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 1)
	cfg := config(c, c.Principal("acme", command.RoleSigner))
	cfg.Regions = map[client.RegionID][]client.PublicKey{1: {identity.GenerateEd25519().Public()}}
	_, err := dial(t, cfg).Key(within(t, 2*time.Second), hot.ID)
	want(t, err, client.Unavailable)
	cfg = config(c, c.Principal("acme", command.RoleSigner))
	cfg.Cluster[0] ^= 1
	_, err = dial(t, cfg).Key(within(t, 2*time.Second), hot.ID)
	want(t, err, client.Unavailable)
	_, err = dial(t, config(c, identity.GenerateEd25519())).Key(within(t, 5*time.Second), hot.ID)
	want(t, err, client.Unauthenticated)
}

func TestConfigIsChecked(t *testing.T) {
	k := identity.GenerateEd25519()
	pins := map[client.RegionID][]client.PublicKey{1: {k.Public()}}
	for name, cfg := range map[string]client.Config{
		"no address": {Signer: k, Regions: pins},
		"no signer":  {Addresses: []string{"a:1"}, Regions: pins},
		"no regions": {Addresses: []string{"a:1"}, Signer: k},
		"no lineage": {Addresses: []string{"a:1"}, Signer: k, Regions: pins},
		"bad region": {Addresses: []string{"a:1"}, Signer: k, Lineage: [32]byte{1}, Regions: map[client.RegionID][]client.PublicKey{1: {{}}}},
	} {
		if _, err := client.Dial(cfg); client.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	dial(t, client.Config{Addresses: []string{"a:1"}, Signer: k, Regions: pins, Unproven: true}) // on the nodes' word
}

func TestBatchesAreSplit(t *testing.T) {
	c := start(t, 2)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	var cmds []*client.Command
	for range 300 {
		cmds = append(cmds, request(t, cl, strings.Repeat("m", 5000)))
	}
	foreign, err := cl.Command(client.NewSignDigest(client.KeyID{8}, make([]byte, 32), ""))
	if err != nil {
		t.Fatal(err)
	}
	results, err := cl.SignBatch(within(t, 20*time.Second), append(cmds, foreign))
	if err != nil || len(results) != 301 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for i, r := range results[:300] {
		if r.Err != nil || command.RequestID(r.Request.Id) != client.RequestIDOf(cmds[i]) {
			t.Fatalf("result %d: %v", i, r)
		}
	}
	want(t, results[300].Err, client.NotFound)
}

func TestListsArePaged(t *testing.T) {
	c := start(t, 2)
	cl := dial(t, config(c, c.Principal("", command.RoleAdmin)))
	for i := range 250 {
		c.State.PutKey(fsm.Key{ID: command.KeyID{2, byte(i)}, Name: "k", Tenant: "zenith"})
	}
	ctx, n := within(t, 10*time.Second), 0
	for _, err := range cl.Keys(ctx, "zenith") {
		want(t, err, errs.OK)
		n++
	}
	if n != 250 {
		t.Errorf("%d keys", n)
	}
	for range cl.Keys(ctx, "") {
		break // leaving a list early is fine
	}
	if ts, err := cl.Tenants(ctx); err != nil || len(ts) != 2 {
		t.Errorf("%v, %v", ts, err)
	}
	for p, err := range cl.Principals(ctx, "") {
		if err != nil || p.RoleNames[0] != "admin" {
			t.Errorf("%v, %v", p, err)
		}
	}
}

func TestFollow(t *testing.T) {
	c := start(t, 4)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	ctx := within(t, 10*time.Second)
	var seen []string
	for r, err := range cl.FollowRequests(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		if r == nil { // nothing is missed from here on
			r, err := cl.Sign(ctx, request(t, cl, "m"))
			if err != nil {
				t.Fatal(err)
			}
			c.Notify(command.RequestID(r.Id))
			continue
		}
		seen = append(seen, r.Note)
		break
	}
	if !slices.Equal(seen, []string{"note"}) {
		t.Errorf("followed %q", seen)
	}
	for _, err := range cl.FollowRequests(ctx, "zenith") {
		want(t, err, client.Denied)
	}
}

func TestAudit(t *testing.T) {
	c := start(t, 4)
	for range 700 {
		c.State.AddLeaf(audit.Leaf{Command: command.Commitment{Format: command.Format, Type: command.TypeTick}, Code: errs.OK})
	}
	cl, ctx := dial(t, config(c, c.Principal("", command.RoleAuditor))), within(t, 10*time.Second)
	next := uint64(3)
	for l, err := range cl.AuditLeaves(ctx, 3, 0) {
		if err != nil || l.Seq != next {
			t.Fatalf("leaf %d, %v, want %d", l.Seq, err, next)
		}
		next++
	}
	if next != 700 {
		t.Errorf("read to %d", next)
	}
	for l, err := range cl.FollowAudit(ctx, 699) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Seq == 700 {
			break
		}
		c.State.AddLeaf(audit.Leaf{Command: command.Commitment{Format: command.Format, Type: command.TypeTick}, Code: errs.OK})
		c.Notify()
	}
	cp, err := cl.AuditCheckpoint(ctx)
	if err != nil || cp.Size != 701 || len(cp.Regions) != 4 {
		t.Errorf("%v, %v", cp, err)
	}
	if g, err := cl.Genesis(ctx); err != nil || string(g) != "genesis" {
		t.Errorf("%q, %v", g, err)
	}
}

func TestStatusOfAll(t *testing.T) {
	c := start(t, 4)
	cfg := config(c, c.Principal("", command.RoleAdmin))
	cfg.Attempt = 500 * time.Millisecond
	cl := dial(t, cfg)
	c.Nodes[2].Stop()
	for i, st := range cl.StatusAll(within(t, 5*time.Second), true) {
		if down := i == 2; down != (st.Err != nil) || !down && (st.Status.Region != uint32(i+1) || len(st.Status.Digest) != 32) {
			t.Errorf("node %d: %v, %v", i+1, st.Status, st.Err)
		}
	}
	if st, err := cl.Status(within(t, 5*time.Second)); err != nil || st.Leader != 1 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestCreateKeyWaits(t *testing.T) {
	c := start(t, 2)
	admin, second := c.Principal("", command.RoleAdmin), c.Principal("", command.RoleAdmin)
	cl, ctx := dial(t, config(c, admin)), within(t, 10*time.Second)
	cmd, err := cl.Command(&command.CreateKey{Name: "cold", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := dial(t, config(c, second)).AddSignature(cmd); err != nil {
		t.Fatal(err)
	}
	k, err := cl.CreateKey(ctx, cmd)
	if err != nil || k.Name != "cold" {
		t.Fatalf("%v, %v", k, err)
	}
	c.State.PutKey(fsm.Key{ID: command.KeyID{5}, Tenant: "acme", State: fsm.KeyPending})
	_, err = cl.AwaitKey(within(t, 2*time.Second), client.KeyID{5})
	want(t, err, errs.DeadlineExceeded)
}
