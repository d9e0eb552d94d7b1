package client_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// outdated is a client that knows region 3 by an HSM it does not have any more.
func outdated(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner) *client.Client {
	t.Helper()
	cfg := config(c, k)
	cfg.Regions = maps.Clone(cfg.Regions)
	cfg.Regions[3] = []client.PublicKey{identity.GenerateEd25519().Public()}
	cfg.Attempt = 2 * time.Second
	return dial(t, cfg)
}

func claim(region client.RegionID, k client.PublicKey) func(*roll.Roll) {
	return func(o *roll.Roll) { o.Identities = slices.Clone(o.Identities); o.Identities[region-1] = k }
}

// TestLearnsIdentity: a client of the genesis goes on with a vault in which a region has
// another HSM: it reads, submits, signs and freezes, whoever leads, and counts that region's
// words.
func TestLearnsIdentity(t *testing.T) {
	c := start(t, 4)
	c.Lead(3)
	for _, liar := range []int{0, 2} { // nobody; region 2
		if liar > 0 {
			c.Nodes[liar-1].Bend = claim(1, identity.GenerateEd25519().Public())
		}
		cl, boss := outdated(t, c, c.Principal("acme", command.RoleSigner)), outdated(t, c, c.Principal("", command.RoleAdmin))
		ctx := within(t, 20*time.Second)
		if r, err := cl.Sign(ctx, request(t, cl, "m")); err != nil || len(r.Results) != 2 {
			t.Fatalf("%v, %v", r, err)
		}
		cmd, err := boss.Command(&command.FreezeVault{Reason: "all say so"})
		want(t, err, errs.OK)
		_, err = boss.Submit(ctx, cmd)
		want(t, err, errs.OK)
		a, err := boss.Acknowledge(ctx, cmd, nil)
		if err != nil || a.Ground != client.GroundEveryRegion {
			t.Errorf("liar %d: %+v, %v", liar, a, err)
		}
		ids, err := boss.Identities(ctx)
		if err != nil || !ids[3].Equal(c.Pins()[3][0]) || !ids[1].Equal(c.Pins()[1][0]) {
			t.Errorf("liar %d: believes %v, %v", liar, ids, err)
		}
		for _, s := range boss.StatusAll(ctx, false) {
			if s.Err != nil {
				t.Errorf("liar %d: %s: %v", liar, s.Addr, s.Err)
			}
		}
	}
}

// TestOneRegionsIdentity: what one region says of another's identity, or of its own, changes
// nothing.
func TestOneRegionsIdentity(t *testing.T) {
	forged := identity.GenerateEd25519().Public()
	for name, bend := range map[string]func(c *rpctest.Cluster){
		"of another": func(c *rpctest.Cluster) { c.Nodes[0].Bend = claim(2, forged) },
		"of itself":  func(c *rpctest.Cluster) { c.Nodes[0].Bend = claim(1, forged) },
		"of all": func(c *rpctest.Cluster) {
			c.Nodes[0].Bend = func(o *roll.Roll) { claim(2, forged)(o); claim(3, forged)(o); claim(4, forged)(o) }
		},
		"to a question of before": func(c *rpctest.Cluster) { c.Nodes[0].Bend = func(o *roll.Roll) { o.Nonce[0] ^= 1 } },
	} {
		c := start(t, 4)
		bend(c)
		boss := dial(t, config(c, c.Principal("", command.RoleAdmin)))
		ids, err := boss.Identities(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for r, keys := range c.Pins() {
			if !ids[r].Equal(keys[0]) {
				t.Errorf("%s: believes that region %d is %v", name, r, ids[r])
			}
		}
	}
}

// TestThief: who has a region's old HSM passes for it with nobody who asked the others, and
// confirms no freeze in its name.
func TestThief(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	fresh := identity.GenerateEd25519().Public() // the region's, whose node is not there
	living := []*rpctest.Node{c.Nodes[0], c.Nodes[1], c.Nodes[3]}
	for _, n := range living {
		n.Bend = claim(3, fresh)
		n.OnProve(func(i uint64) *rpc.Proof { return c.Certify(rpctest.Place(i), living...) }) // as regions do that know
	}
	boss := dial(t, config(c, c.Principal("", command.RoleAdmin)))
	ctx := within(t, 20*time.Second)
	if _, err := boss.StopHere(ctx, 3, "is it you"); err == nil {
		t.Error("the thief was taken for the region")
	}
	cmd, err := boss.Command(&command.FreezeVault{Reason: "whoever says so"})
	want(t, err, errs.OK)
	_, err = boss.Submit(ctx, cmd)
	want(t, err, errs.OK)
	a, _ := boss.Acknowledge(within(t, 3*time.Second), cmd, nil)
	if a.Ground == client.GroundEveryRegion || slices.Contains(a.Confirmed, 3) {
		t.Errorf("the thief's word counts: %+v", a)
	}
	// A liar, an honest region that the liar shows a rival, and the thief certify nothing.
	for _, n := range c.Nodes {
		n.OnProve(func(i uint64) *rpc.Proof { return c.Certify(rpctest.Place(i), c.Nodes[0], c.Nodes[1], c.Nodes[2]) })
	}
	cmd, err = boss.Command(&command.FreezeVault{Reason: "certified by a thief"})
	want(t, err, errs.OK)
	_, err = boss.Submit(within(t, 3*time.Second), cmd)
	want(t, err, errs.OutcomeUnknown)
	// Never back, whatever all say then.
	for _, r := range []int{0, 1, 3} {
		c.Nodes[r].Bend = nil
	}
	if ids, err := boss.Identities(ctx); err != nil || !ids[3].Equal(fresh) {
		t.Errorf("believes %v, %v", ids, err)
	}
}

// TestThiefProvesNothing to a client that just began with the genesis: where words have to
// prove an answer, it asks first whose they are.
func TestThiefProvesNothing(t *testing.T) {
	c := start(t, 4)
	fresh := identity.GenerateEd25519().Public()
	c.Nodes[1].Bend, c.Nodes[3].Bend = claim(3, fresh), claim(3, fresh)
	for _, n := range c.Nodes {
		n.OnProve(func(uint64) *rpc.Proof { return nil }) // words have to
	}
	for range 5 {
		boss := dial(t, config(c, c.Principal("", command.RoleAdmin)))
		cmd, err := boss.Command(&command.FreezeVault{Reason: "who says so"})
		want(t, err, errs.OK)
		_, p, err := boss.SubmitProven(within(t, 5*time.Second), cmd)
		if want(t, err, errs.OK); len(p.Said) < 2 || slices.Contains(p.Said, 3) {
			t.Errorf("proven by the words of %v", p.Said)
		}
	}
}

// TestCamps: a liar and the thief of a region's old HSM call another region replaced, while the
// others say whose HSM was. Nobody can tell who is right, and neither region's words count:
// the thief and the liar together confirm nothing.
func TestCamps(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 4)
	fresh, forged := identity.GenerateEd25519().Public(), identity.GenerateEd25519().Public()
	liar, thief := c.Nodes[0], c.Nodes[2]
	boss := dial(t, config(c, c.Principal("", command.RoleAdmin)))
	cmd, err := boss.Command(&command.FreezeVault{Reason: "two camps"})
	want(t, err, errs.OK)
	_, err = boss.Submit(within(t, 5*time.Second), cmd)
	want(t, err, errs.OK)
	c.Nodes[1].Bend, c.Nodes[3].Bend = claim(3, fresh), claim(3, fresh)
	liar.Bend, thief.Bend = claim(4, forged), claim(4, forged)
	_, err = boss.Identities(within(t, 20*time.Second))
	want(t, err, errs.OK)
	a, _ := boss.Acknowledge(within(t, 3*time.Second), cmd, nil)
	if !slices.Equal(a.Confirmed, []client.RegionID{1, 2}) {
		t.Errorf("contested regions' words count: %+v", a)
	}
}

// TestWelcome: administrators and operators of the vault are given the root key for a
// region's HSM, others only who the regions are.
func TestWelcome(t *testing.T) {
	c := start(t, 4)
	ctx := within(t, 20*time.Second)
	for _, p := range []struct {
		tenant string
		role   command.Role
		gets   int
	}{{"", command.RoleOperator, 4}, {"", command.RoleAdmin, 4}, {"", command.RoleAuditor, 0}, {"acme", command.RoleSigner | command.RoleAdmin, 0}} {
		cl := dial(t, config(c, c.Principal(p.tenant, p.role)))
		rolls, err := cl.Rolls(ctx, 3)
		if len(rolls) != p.gets || p.gets == 0 && client.CodeOf(err) != client.Denied || p.gets > 0 && err != nil {
			t.Errorf("%q, %v: %d rolls, %v", p.tenant, p.role, len(rolls), err)
		}
		if rolls, err := cl.Rolls(ctx, 0); err != nil || len(rolls) != 4 {
			t.Errorf("%q, %v: %d rolls without the key, %v", p.tenant, p.role, len(rolls), err)
		}
		if _, err := cl.Rolls(ctx, 9); err == nil {
			t.Error("a welcome for a region that there is not")
		}
	}
}
