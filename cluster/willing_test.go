package cluster_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// willing runs a test over four nodes with a leader.
func willing(t *testing.T, o clustertest.Options, run func(t *testing.T, a *clustertest.Nodes, leader *clustertest.Node)) {
	synctest.Test(t, func(t *testing.T) {
		o.Logger = debugLogger
		a := clustertest.New(t, o)
		a.Net.SetLatency(5 * time.Millisecond)
		a.StartAll()
		a.Propose()
		l := a.Leader()
		a.Agree(time.Minute)
		run(t, a, l)
	})
}

func leftBy(a *clustertest.Nodes) (n uint64) {
	for _, o := range a.Followers(nil) {
		n += o.C.Stats().Left
	}
	return n
}

func decided(a *clustertest.Nodes, c *command.Command) func() bool {
	return func() bool {
		for _, n := range a.Followers(nil) {
			if n.Machine.Owed(c) == nil {
				return false
			}
		}
		return true
	}
}

// TestBroughtCommandIsBroughtAgain: what a follower says it brought, and the leader never
// got, the follower brings itself. Nobody is left for it.
func TestBroughtCommandIsBroughtAgain(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		f := a.Followers(l)
		for range 20 {
			f[0].C.Brought(a.Command())
		}
		c := a.Command()
		f[1].C.Brought(c)
		a.Eventually(10*time.Second, "a decision", decided(a, c))
		a.Eventually(10*time.Second, "all decisions", func() bool { brought, open := cluster.Awaited(f[0].C); return brought+open == 0 })
		if n := leftBy(a); n != 0 {
			t.Errorf("an honest leader was left %d times", n)
		}
	})
}

// TestUnwillingLeaderIsLeft: a leader that ignores one command while it commits others is
// left, and the next one decides it.
func TestUnwillingLeaderIsLeft(t *testing.T) {
	for name, timing := range map[string]cluster.Timing{"loopback": cluster.Loopback(), "wan": cluster.WAN()} {
		t.Run(name, func(t *testing.T) {
			willing(t, clustertest.Options{Timing: timing}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
				if name == "wan" {
					a.Net.SetLatency(125 * time.Millisecond)
				}
				for _, f := range a.Followers(l) {
					cluster.Deafen(l.C, f.C)
				}
				c := a.Command()
				a.Followers(l)[0].C.Brought(c)
				began := time.Now()
				var asking sync.WaitGroup
				defer asking.Wait()
				others, stop := context.WithCancel(context.Background())
				defer stop()
				asking.Go(func() {
					for others.Err() == nil {
						time.Sleep(100 * time.Millisecond)
						ctx, cancel := context.WithTimeout(others, time.Second)
						_, _ = l.C.Propose(ctx, a.Command())
						cancel()
					}
				})
				a.Eventually(30*time.Second, "a decision", decided(a, c))
				t.Logf("brought to decided: %s", time.Since(began))
				if took, most := time.Since(began), 10*time.Second; took > most && name != "wan" || took > 2*most { // an election may need a second round
					t.Errorf("it took %s", took)
				}
				for _, f := range a.Followers(l) {
					if n := f.C.Stats().Left; n > 1 {
						t.Errorf("%s left %d leaders", f.Name, n)
					}
				}
				if leftBy(a) < 2 { // the third may hear of the next leader first
					t.Errorf("the leader was left by %d", leftBy(a))
				}
				if l.C.IsLeader() {
					t.Error("the leader that was left leads again")
				}
				time.Sleep(time.Minute) // it gets votes again, and follows
				a.Agree(10 * time.Second)
			})
		})
	}
}

// TestOneRegionDeposesNobody: one follower complains all the time, and shows commands that
// others have not seen.
func TestOneRegionDeposesNobody(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		term := l.C.Stats().Term
		f := a.Followers(l)
		for range 300 {
			for _, o := range f[1:] {
				cluster.Complain(f[0].C, o.C, a.Command())
			}
			time.Sleep(100 * time.Millisecond)
			for _, o := range f {
				if brought, open := cluster.Awaited(o.C); brought+open > 16 {
					t.Fatalf("%s watches %d commands", o.Name, brought+open)
				}
			}
		}
		if now := l.C.Stats().Term; now != term || leftBy(a) != 0 {
			t.Errorf("term %d became %d, %d left their leader", term, now, leftBy(a))
		}
	})
}

// TestTwoRegionsDeposeNobody: neither do two, while the third sees the leader do its work.
func TestTwoRegionsDeposeNobody(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		f := a.Followers(l)
		for range 100 {
			cluster.Complain(f[0].C, f[2].C, nil)
			cluster.Complain(f[1].C, f[2].C, nil)
			a.Propose()
			time.Sleep(100 * time.Millisecond)
		}
		if n := leftBy(a); n != 0 {
			t.Errorf("an honest leader was left %d times", n)
		}
	})
}

// TestNoQuorumIsNobodysFault: two regions are down, and commands are brought in vain. The
// leader is not left for that, and all goes on when they are back.
func TestNoQuorumIsNobodysFault(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		f := a.Followers(l)
		f[0].Stop()
		f[1].Stop()
		c := a.Command()
		f[2].C.Brought(c)
		time.Sleep(30 * time.Second)
		if n := leftBy(a); n != 0 {
			t.Errorf("a leader was left %d times", n)
		}
		f[0].Start()
		f[1].Start()
		a.Eventually(time.Minute, "a decision", decided(a, c))
	})
}

// TestSlowDisksAreNobodysFault: writes take long everywhere, now and then.
func TestSlowDisksAreNobodysFault(t *testing.T) {
	willing(t, clustertest.Options{Timing: cluster.WAN()}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		a.Net.SetLatency(125 * time.Millisecond)
		f := a.Followers(l)
		for i := range 40 {
			slow := a.List[i%4]
			slow.Store.SetHook(func(string) error { time.Sleep(600 * time.Millisecond); return nil })
			c := a.Command()
			f[i%3].C.Brought(c)
			time.Sleep(time.Second)
			slow.Store.SetHook(nil)
		}
		a.Agree(time.Minute)
		if n := leftBy(a); n != 0 {
			t.Errorf("an honest leader was left %d times", n)
		}
	})
}

// TestPartedFollowerLeavesNobody: one follower does not hear the leader, which works with
// the other two.
func TestPartedFollowerLeavesNobody(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		f := a.Followers(l)
		for range 5 {
			c := a.Command()
			f[0].C.Brought(c)
			a.Net.Cut(l.Name, f[0].Name)
			time.Sleep(6 * time.Second)
			a.Net.Heal(l.Name, f[0].Name)
			a.Eventually(20*time.Second, "a decision", decided(a, c))
		}
		if n := leftBy(a); n != 0 {
			t.Errorf("an honest leader was left %d times", n)
		}
	})
}

// TestRefusalsThatNobodySees: the leader's refusal is passed on if the log bears it out or
// there is no room to try it; else the author is told that the outcome is unknown, and the
// command is brought again.
func TestRefusalsThatNobodySees(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		f := a.Followers(l)[0]
		ctx := context.Background()
		throttled, denied := errs.New(errs.Throttled, "not now"), errs.New(errs.Denied, "no")
		var tried int
		for range 6 {
			if err := f.C.Brought(a.Command())(ctx, throttled); errs.CodeOf(err) == errs.OutcomeUnknown {
				tried++
			}
		}
		if tried != 2 {
			t.Errorf("%d of 6 throttled commands were tried, want 2", tried)
		}
		if brought, open := cluster.Awaited(f.C); brought+open > 2 {
			t.Errorf("%d commands are watched whose authors were told that nothing came of them", brought+open-2)
		}
		c := a.Command()
		if err := f.C.Brought(c)(ctx, context.DeadlineExceeded); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Errorf("the end of the author's patience: %v", err)
		}
		a.Eventually(10*time.Second, "a decision", decided(a, c))
		c = a.Command()
		if err := f.C.Brought(c)(ctx, denied); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Errorf("a refusal nobody sees in the log: %v", err)
		}
		a.Eventually(10*time.Second, "a decision", decided(a, c))
		c = a.Command()
		answered := f.C.Brought(c)
		if _, err := l.C.Propose(ctx, c); err != nil {
			t.Fatal(err)
		}
		if err := answered(ctx, denied); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a refusal that stands in the log: %v", err)
		}
	})
}

// TestLeaderGivesUpWithACommandInHand: a leader whose entries reach nobody gives up, also
// while it waits for one. As long as nobody else wants anything it may be elected again, as
// one in twenty times it is for long; somebody who does has it left for good.
func TestLeaderGivesUpWithACommandInHand(t *testing.T) {
	willing(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes, l *clustertest.Node) {
		cluster.Mute(l.C)
		answer := make(chan error, 1)
		go func() {
			_, err := l.C.Propose(context.Background(), a.Command())
			answer <- err
		}()
		select {
		case err := <-answer:
			if errs.CodeOf(err) != errs.OutcomeUnknown {
				t.Errorf("the command in hand: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the leader holds on to what nobody certifies")
		}
		a.Followers(l)[0].C.Brought(a.Command())
		a.Eventually(20*time.Second, "another leader", func() bool {
			for _, f := range a.Followers(l) {
				if f.C.IsLeader() {
					return true
				}
			}
			return false
		})
	})
}
