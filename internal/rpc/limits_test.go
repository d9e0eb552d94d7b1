package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// counted returns the sum of a counter over labels that hold text.
func counted(t *testing.T, n *rpctest.Node, name, text string) (sum float64) {
	t.Helper()
	families, err := n.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if text == "" || hasLabel(m, text) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func hasLabel(m *dto.Metric, text string) bool {
	for _, l := range m.Label {
		if l.GetValue() == text {
			return true
		}
	}
	return false
}

func TestOversized(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("acme", signer)
	ctx := within(t)
	for node := range c.Nodes {
		v := vaultOf(t, c, k, node)
		_, err := v.Submit(ctx, &tetradv1.SubmitRequest{Command: make([]byte, 2<<20)})
		want(t, err, errs.TooLarge)
		_, err = v.Submit(ctx, &tetradv1.SubmitRequest{Command: make([]byte, command.MaxCommand+1)})
		want(t, err, errs.TooLarge)
		if _, err := v.ListKeys(ctx, &tetradv1.ListKeysRequest{Tenant: strings.Repeat("x", 1000)}); errs.CodeOf(coded.FromError(err)) != errs.Denied {
			t.Errorf("long tenant: %v", err)
		}
	}
}

// TestRatePerAddress: a loud address is throttled, a quiet one is not, and regions'
// forwarded calls are not counted against their region.
func TestRatePerAddress(t *testing.T) {
	c := start(t, 2, limits(rpc.Limits{Rate: 0.001, Burst: 5}))
	k := c.Principal("acme", signer)
	loud := tetradv1.NewVaultClient(dial(t, c, k, 0, "loud"))
	ctx := within(t)
	for i := range 8 {
		_, err := loud.ListKeys(ctx, &tetradv1.ListKeysRequest{})
		if i < 5 {
			want(t, err, errs.OK)
		} else {
			want(t, err, errs.Throttled)
		}
	}
	_, err := tetradv1.NewVaultClient(dial(t, c, k, 0, "quiet")).ListKeys(ctx, &tetradv1.ListKeysRequest{})
	want(t, err, errs.OK)
	for _, host := range []string{"a", "b"} {
		v := tetradv1.NewVaultClient(dial(t, c, k, 1, host))
		for range 5 {
			_, err := v.ListKeys(ctx, &tetradv1.ListKeysRequest{})
			want(t, err, errs.OK)
		}
	}
	if n := counted(t, c.Nodes[0], "tetrad_rpc_refused_total", "rate"); n != 3 {
		t.Errorf("%v refusals counted", n)
	}
}

func TestStrangersShareABudget(t *testing.T) {
	c := start(t, 1)
	throttled := 0
	for i := range 3 {
		v := tetradv1.NewVaultClient(dial(t, c, identity.GenerateEd25519(), 0, strings.Repeat("s", i+1)))
		for range 100 {
			_, err := v.ListKeys(within(t), &tetradv1.ListKeysRequest{})
			switch code := errs.CodeOf(coded.FromError(err)); code {
			case errs.Throttled:
				throttled++
			case errs.Unauthenticated:
			default:
				t.Fatalf("stranger got %s: %v", code, err)
			}
		}
	}
	if throttled < 50 {
		t.Errorf("only %d calls of strangers were throttled", throttled)
	}
	_, err := vaultOf(t, c, c.Principal("acme", signer), 0).ListKeys(within(t), &tetradv1.ListKeysRequest{})
	want(t, err, errs.OK)
}

func TestConnectionsPerAddress(t *testing.T) {
	c := start(t, 1, limits(rpc.Limits{ConnectionsPerAddress: 2, Connections: 3}))
	k := c.Principal("acme", signer)
	ask := func(host string) (func(), error) {
		cc := dial(t, c, k, 0, host)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := tetradv1.NewVaultClient(cc).ListKeys(ctx, &tetradv1.ListKeysRequest{})
		return func() { _ = cc.Close() }, err
	}
	for i, host := range []string{"a", "a", "a", "b", "c"} {
		_, err := ask(host)
		if full := i == 2 || i == 4; full != (err != nil) {
			t.Errorf("connection %d from %s: %v", i, host, err)
		}
	}
	if n := counted(t, c.Nodes[0], "tetrad_rpc_refused_total", "connections"); n < 2 {
		t.Errorf("%v refusals counted", n)
	}
	if n := counted(t, c.Nodes[0], "tetrad_rpc_connections", ""); n != 3 {
		t.Errorf("%v connections counted", n)
	}
}

// TestStrangersTakeNoPlaces: connections of keys nobody knows give way, and a crowd of
// known clients leaves room for regions.
func TestStrangersTakeNoPlaces(t *testing.T) {
	c := start(t, 2, limits(rpc.Limits{ConnectionsPerAddress: 64, Connections: 2}))
	for i := range 60 {
		cc := dial(t, c, identity.GenerateEd25519(), 0, []string{"x", "y"}[i%2])
		_, err := tetradv1.NewVaultClient(cc).Status(within(t), &tetradv1.StatusRequest{})
		_ = err // let in or not
	}
	k := c.Principal("acme", signer)
	for _, host := range []string{"a", "b"} {
		_, err := tetradv1.NewVaultClient(dial(t, c, k, 0, host)).ListKeys(within(t), &tetradv1.ListKeysRequest{})
		want(t, err, errs.OK)
	}
	if _, err := rpc.NewPeers(c.Nodes[1].Conns).Word(within(t), 1, []byte("w")); err != nil {
		t.Errorf("a region found no place: %v", err)
	}
}

// TestConnectionRate: an address that dials again and again has to wait.
func TestConnectionRate(t *testing.T) {
	c := start(t, 1, limits(rpc.Limits{ConnectionsPerAddress: 4, ConnectionRate: 0.001}))
	k := c.Principal("acme", signer)
	for i := range 5 {
		cc := dial(t, c, k, 0, "again")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := tetradv1.NewVaultClient(cc).ListKeys(ctx, &tetradv1.ListKeysRequest{})
		cancel()
		_ = cc.Close()
		if refused := i == 4; refused != (err != nil) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

func TestUnaryDeadlineIsEnforced(t *testing.T) {
	c := start(t, 1, limits(rpc.Limits{UnaryTimeout: 50 * time.Millisecond}))
	k := c.Principal("acme", signer)
	c.State.PutRequest(fsm.Request{ID: command.RequestID{1}, Tenant: "acme", State: fsm.RequestOpen})
	id := command.RequestID{1}
	_, err := vaultOf(t, c, k, 0).Await(within(t), &tetradv1.AwaitRequest{RequestId: id[:]})
	want(t, err, errs.DeadlineExceeded)
}

func TestStreamLifetimeIsEnforced(t *testing.T) {
	c := start(t, 1, limits(rpc.Limits{StreamLifetime: 50 * time.Millisecond}))
	recv, _ := follow(t, c, c.Principal("acme", signer), 0, "")
	_, err := recv()
	want(t, err, errs.DeadlineExceeded)
}

func TestCallsAreCounted(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("acme", signer)
	_, err := vaultOf(t, c, k, 1).ListKeys(within(t), &tetradv1.ListKeysRequest{Tenant: "zenith"})
	want(t, err, errs.Denied)
	for _, n := range c.Nodes {
		if got := counted(t, n, "tetrad_rpc_calls_total", "denied"); got != 1 {
			t.Errorf("region %d counted %v denied calls", n.Region, got)
		}
	}
	if got := counted(t, c.Nodes[1], "tetrad_rpc_forwarded_total", "denied"); got != 1 {
		t.Errorf("%v forwarded calls counted", got)
	}
}
