package node_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// vaultOf starts four regions in a bubble, with one key.
func vaultOf(t *testing.T, body func(ctx context.Context, c *nodetest.Cluster, d desk, admin *client.Client)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		c := nodetest.New(t)
		defer time.Sleep(time.Minute) // gossip's last probes of a region that is gone time out
		defer c.Close()
		c.StartAll(ctx)
		d := openDesk(t, ctx, c, command.P256)
		defer d.Close()
		admin := c.Client(c.Lab.Admins[0])
		defer admin.Close()
		body(ctx, c, d, admin)
	})
}

func acknowledge(ctx context.Context, cl *client.Client, cmd *client.Command, wait time.Duration) (*client.Acknowledgement, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return cl.Acknowledge(ctx, cmd, nil)
}

func TestFreezeIsAcknowledged(t *testing.T) {
	vaultOf(t, func(ctx context.Context, c *nodetest.Cluster, d desk, admin *client.Client) {
		cmd, err := admin.Command(&command.FreezeVault{Reason: "drill"})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := acknowledge(ctx, admin, cmd, 5*time.Second); errs.CodeOf(err) != errs.Unacknowledged || len(a.Confirmed) != 0 {
			t.Errorf("acknowledged before it was sent: %+v, %v", a, err)
		}
		if _, err := admin.Submit(ctx, cmd); err != nil {
			t.Fatal(err)
		}
		a, err := acknowledge(ctx, admin, cmd, 10*time.Second)
		if err != nil || a.Ground != client.GroundEveryRegion || !slices.Equal(a.Confirmed, []client.RegionID{1, 2, 3, 4}) || len(a.Refused) != 0 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, s := range c.Sites {
			if _, _, frozen := s.Node.View().Frozen(); !frozen {
				t.Errorf("%s confirmed a freeze it does not have", s.Name)
			}
		}
		if _, err := d.sign(ctx, "after the freeze"); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("signing: %v", err)
		}

		// One region down: three confirm, and without a certificate that is not enough.
		if _, err := c.Dual(ctx, admin, &command.UnfreezeVault{Reason: "over"}); err != nil {
			t.Fatal(err)
		}
		c.Stop(3)
		cmd, err = admin.Command(&command.FreezeKey{Key: client.KeyID(d.key.Id), Reason: "drill"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Submit(ctx, cmd); err != nil {
			t.Fatal(err)
		}
		a, err = acknowledge(ctx, admin, cmd, 20*time.Second)
		if !slices.Equal(a.Confirmed, []client.RegionID{1, 2, 3}) || a.Missing[4] == "" {
			t.Fatalf("%+v, %v", a, err)
		}
		if certified := a.Certified != 0; certified != (err == nil) || (a.Ground == client.GroundLease) != certified {
			t.Fatalf("%+v, %v", a, err)
		}
		// It comes back and confirms too.
		if err := c.Start(3); err != nil {
			t.Fatal(err)
		}
		if err := c.Sites[3].Node.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		if a, err = acknowledge(ctx, admin, cmd, time.Minute); err != nil || a.Ground == client.GroundNone {
			t.Fatalf("%+v, %v", a, err)
		}
	})
}

// TestLocalStop: one region, cut off from the others, stops on one operator's word, and
// only two administrators bring it back.
func TestLocalStop(t *testing.T) {
	vaultOf(t, func(ctx context.Context, c *nodetest.Cluster, d desk, admin *client.Client) {
		host := c.Sites[2].Host()
		for i, s := range c.Sites {
			if i != 2 {
				c.Net.Cut(host, s.Host())
			}
		}
		time.Sleep(20 * time.Second) // it has no quorum any more
		alone := c.ClientAt("operator", c.Lab.Admins[0], 2)
		defer alone.Close()
		stop, err := alone.StopHere(ctx, 3, "intruder")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.StopHere(ctx, 2, "not mine to stop"); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a tenant stopped a region: %v", err)
		}
		s, err := alone.Status(ctx)
		if err != nil || s.LocalStop == nil || s.LocalStop.Reason != "intruder" || s.Frozen {
			t.Errorf("status: %+v, %v", s.GetLocalStop(), err)
		}
		for i, o := range c.Sites {
			if i != 2 {
				c.Net.Heal(host, o.Host())
			}
		}
		c.Kill(2)
		if err := c.Start(2); err != nil {
			t.Fatal(err)
		}
		if err := c.Sites[2].Node.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if c.Sites[2].Node.Leads() {
			t.Error("a stopped region leads")
		}
		for range 12 {
			r, err := d.sign(ctx, "without it")
			if err != nil {
				t.Fatal(err)
			}
			for _, set := range r.Results {
				if set.Region == 3 {
					t.Fatal("a stopped region signed")
				}
			}
		}
		lift := &command.LiftStop{Region: 3, Stop: command.StopID(stop.Id), Reason: "clean"}
		if _, err := admin.Do(ctx, lift); errs.CodeOf(err) != errs.NeedsSecondAdmin {
			t.Errorf("one administrator lifted a stop: %v", err)
		}
		if _, err := c.Dual(ctx, admin, lift); err != nil {
			t.Fatal(err)
		}
		for {
			time.Sleep(time.Second)
			r, _ := c.Sites[2].Node.View().Region(3)
			if s, err := alone.Status(ctx); err == nil && s.LocalStop == nil && r.Healthy {
				break
			} else if ctx.Err() != nil {
				t.Fatalf("not lifted: %v, %v", s, err)
			}
		}
	})
}

// TestQuarantineAndMute: a region taken out signs nothing and may say nothing, and comes
// back when two administrators let it; a region's own freeze holds until they mute it.
func TestQuarantineAndMute(t *testing.T) {
	vaultOf(t, func(ctx context.Context, c *nodetest.Cluster, d desk, admin *client.Client) {
		dual := func(body command.Body) {
			t.Helper()
			if _, err := c.Dual(ctx, admin, body); err != nil {
				t.Fatalf("%s: %v", body.Type(), err)
			}
		}
		cmd, _, err := admin.Brake(ctx, 4, command.KeyID{}, "intruder")
		if err != nil {
			t.Fatal(err)
		}
		if a, err := acknowledge(ctx, admin, cmd, 10*time.Second); err != nil || a.Ground != client.GroundEveryRegion {
			t.Fatalf("%+v, %v", a, err)
		}
		if _, err := d.sign(ctx, "frozen by a region"); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("signing: %v", err)
		}
		dual(&command.UnfreezeVault{Reason: "false alarm"})
		dual(&command.MuteRegion{Region: 4, Muted: true, Reason: "cries wolf"})
		if _, _, err := admin.Brake(ctx, 4, command.KeyID{}, "again"); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a muted region froze: %v", err)
		}

		bad := 3 // whoever leads would do; so take the leader
		for i, s := range c.Sites {
			if s.Node.Leads() {
				bad = i
			}
		}
		id := client.RegionID(bad + 1)
		dual(&command.QuarantineRegion{Region: id, Quarantined: true, Reason: "lies"})
		for range 12 {
			r, err := d.sign(ctx, "without it")
			if err != nil {
				t.Fatal(err)
			}
			for _, set := range r.Results {
				if set.Region == uint32(id) {
					t.Fatal("a region in quarantine signed")
				}
			}
		}
		if _, err := c.Dual(ctx, admin, &command.QuarantineRegion{Region: id%4 + 1, Quarantined: true}); errs.CodeOf(err) != errs.BadState {
			t.Errorf("two regions in quarantine: %v", err)
		}
		dual(&command.QuarantineRegion{Region: id, Reason: "repaired"})
		for {
			time.Sleep(time.Second)
			if r, _ := c.Sites[bad].Node.View().Region(id); r.Status == fsm.RegionActive && c.Sites[bad].Node.Ready() == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatal("a released region did not come back")
			}
		}
		drawn := false
		for i := 0; i < 40 && !drawn; i++ {
			r, err := d.sign(ctx, "with it again")
			if err != nil {
				t.Fatal(err)
			}
			drawn = r.Results[0].Region == uint32(id) || r.Results[1].Region == uint32(id)
		}
		if !drawn {
			t.Error("a released region is drawn no more")
		}
	})
}

// TestRepairHere: only two administrators cut a region's log, and only that region's.
func TestRepairHere(t *testing.T) {
	vaultOf(t, func(ctx context.Context, c *nodetest.Cluster, d desk, admin *client.Client) {
		body := &command.RepairRegion{Region: 2, Keep: 5, Reason: "conflict"}
		one, err := admin.Command(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := admin.RepairHere(ctx, 2, one); errs.CodeOf(err) != errs.NeedsSecondAdmin {
			t.Errorf("one administrator: %v", err)
		}
		if err := one.Sign(ctx, c.Genesis.Document.Cluster, identity.GenerateEd25519()); err != nil {
			t.Fatal(err)
		}
		if err := admin.RepairHere(ctx, 2, one); errs.CodeOf(err) != errs.NeedsSecondAdmin {
			t.Errorf("an administrator and a stranger: %v", err)
		}
		two, err := admin.Command(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := two.Sign(ctx, c.Genesis.Document.Cluster, c.Lab.Admins[1]); err != nil {
			t.Fatal(err)
		}
		if err := admin.RepairHere(ctx, 3, two); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("another region's repair: %v", err)
		}
		// With the cluster room's part it succeeds; without it is refused as such.
		if err := admin.RepairHere(ctx, 2, two); err != nil && errs.CodeOf(err) != errs.BadState {
			t.Errorf("two administrators: %v", err)
		}
		if _, err := c.Dual(ctx, admin, body); err != nil {
			t.Errorf("through the log: %v", err)
		}
		if _, err := d.sign(ctx, "nothing certified was cut"); err != nil {
			t.Error(err)
		}
	})
}
