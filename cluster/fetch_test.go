package cluster_test

import (
	"encoding/hex"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/race"
)

// starved runs a test over four nodes, of which one is kept from what its leader sends.
func starved(t *testing.T, tm cluster.Timing, what int, run func(t *testing.T, a *clustertest.Nodes, leader, victim *clustertest.Node)) {
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(5 * time.Millisecond)
		a.StartAll()
		a.Propose()
		a.Agree(time.Minute)
		l := a.Leader()
		v := a.Followers(l)[0]
		cluster.Starve(l.C, v.Region, what)
		run(t, a, l, v)
	})
}

func level(v, l *clustertest.Node) func() bool {
	return func() bool { return v.Machine.Count() == l.Machine.Count() }
}

// A leader that keeps entries, words or everything from one region changes little: it has
// them from the others, holds a lease most of the time, and nobody elects another leader.
func TestStarvedRegionFetches(t *testing.T) {
	for name, what := range map[string]int{"entries": cluster.KeepEntries, "words": cluster.KeepWords, "everything": cluster.KeepAll} {
		t.Run(name, func(t *testing.T) {
			starved(t, cluster.Loopback(), what, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
				term, leases := l.C.Stats().Term, 0
				for i := range 60 {
					a.Propose()
					if i == 0 {
						a.Eventually(4*time.Second, "the first entry to be fetched", level(v, l))
					}
					time.Sleep(100 * time.Millisecond)
					if cluster.LeaseOf(v.C) == nil {
						leases++
					}
				}
				a.Eventually(4*time.Second, "all that is certified", level(v, l))
				if v.C.Stats().Fetched == 0 || l.C.Stats().Term != term {
					t.Errorf("fetched %d times, the term went from %d to %d", v.C.Stats().Fetched, term, l.C.Stats().Term)
				}
				if leases < 30 {
					t.Errorf("a lease at %d of 60 looks", leases)
				}
				cluster.EndLie(l.C)
				time.Sleep(12 * time.Second) // it is fed again
				before := v.C.Stats().Fetched
				for range 20 {
					a.Propose()
					time.Sleep(100 * time.Millisecond)
				}
				a.Agree(5 * time.Second)
				if n := v.C.Stats().Fetched; n != before {
					t.Errorf("fetched %d times more from a leader that brings everything", n-before)
				}
			})
		})
	}
}

// The same with regions 250 ms of round trip apart.
func TestStarvedRegionFarAway(t *testing.T) {
	starved(t, cluster.WAN(), cluster.KeepWords, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
		a.Net.SetLatency(125 * time.Millisecond)
		for range 10 {
			a.Propose()
			a.Eventually(6*time.Second, "the entry to be fetched", level(v, l))
		}
	})
}

// A region far behind that its leader sends no snapshot has it from another, and after it
// the entries; a power cut in between loses nothing.
func TestStarvedRegionFetchesASnapshot(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		l := a.Leader()
		v := a.Followers(l)[0]
		v.Stop()
		for range 40 {
			a.Propose()
		}
		time.Sleep(10 * time.Second) // snapshots and compaction
		cluster.Starve(l.C, v.Region, cluster.KeepEntries)
		v.Start()
		a.Eventually(10*time.Second, "the state to arrive", level(v, l))
		if v.Machine.Restores() == 0 || v.C.Stats().Fetched == 0 {
			t.Errorf("%d restores, fetched %d times: the test proves nothing", v.Machine.Restores(), v.C.Stats().Fetched)
		}
		v.Crash()
		for range 5 {
			a.Propose()
		}
		v.Start()
		a.Eventually(10*time.Second, "what came meanwhile", level(v, l))
		if err := v.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.CheckHistory()
	})
}

// Of two regions that may be asked one lies, as the leader does: it costs its turn only.
func TestLyingSourceIsPassedOver(t *testing.T) {
	for _, how := range []string{"silent", "slow", "garbage", "huge", "no certificate", "forged certificate", "other entries", "nothing", "refusal", "forged words"} {
		t.Run(how, func(t *testing.T) {
			starved(t, cluster.Loopback(), cluster.KeepEntries, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
				liar := a.Followers(l)[1]
				if liar == v {
					liar = a.Followers(l)[2]
				}
				asked := cluster.Feed(liar.C, how)
				for range 4 {
					for range 5 {
						a.Propose()
					}
					a.Eventually(5*time.Second, "what is certified", level(v, l))
				}
				if asked.Load() == 0 {
					t.Error("the liar was not asked: the test proves nothing")
				}
				a.CheckHistory()
				honest(t, v)
			})
		})
	}
}

// A region that holds and acked what is certified, and was not told so, asks others for the
// certificate. One answers with entries of its own in front of the true one: the region cuts
// nothing, or what three regions signed would be lost.
func TestRivalsBesideATrueCertificate(t *testing.T) {
	starved(t, cluster.Loopback(), cluster.KeepNews, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
		told := &atomic.Int64{}
		for _, n := range a.Followers(l) {
			if n != v {
				cluster.FeedRivals(n.C, v.C, told)
			}
		}
		for range 8 {
			a.Propose()
			time.Sleep(time.Second)
		}
		if told.Load() == 0 {
			t.Error("nothing was answered about what the region held: the test proves nothing")
		}
		if s := v.C.Stats(); s.Alarms != 0 || s.Restarts != 0 {
			t.Errorf("%d acked entries cut, raft restarted %d times", s.Alarms, s.Restarts)
		}
		for _, n := range a.Followers(l) {
			cluster.Feed(n.C, "")
		}
		a.Eventually(20*time.Second, "what is certified", level(v, l))
		a.CheckHistory()
	})
}

// The same where a snapshot is needed.
func TestLyingSourceOfASnapshot(t *testing.T) {
	for _, how := range []string{"silent", "garbage", "nothing", "dripping", "forged offer"} {
		t.Run(how, func(t *testing.T) {
			simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
				a.StartAll()
				a.Propose()
				l := a.Leader()
				v, liar := a.Followers(l)[0], a.Followers(l)[1]
				v.Stop()
				for range 40 {
					a.Propose()
				}
				time.Sleep(10 * time.Second)
				cluster.Starve(l.C, v.Region, cluster.KeepEntries)
				asked := cluster.Feed(liar.C, how)
				v.Start()
				a.Eventually(40*time.Second, "the state to arrive", level(v, l))
				a.Propose()
				a.Eventually(5*time.Second, "what follows", level(v, l))
				if c := v.C.Stats().Convicted; how == "forged offer" && (len(c) != 1 || c[0] != liar.Region) {
					t.Errorf("%v are convicted", c)
				}
				if asked.Load() == 0 {
					t.Error("the liar was not asked: the test proves nothing")
				}
			})
		})
	}
}

// A leader that brings everything late races what is fetched meanwhile.
func TestFetchRacesTheLeader(t *testing.T) {
	starved(t, cluster.Loopback(), cluster.KeepEntries, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
		rng := rand.New(rand.NewSource(1))
		cluster.Late(l.C, v.Region, func() time.Duration { return time.Duration(rng.Intn(1200)) * time.Millisecond })
		for range 100 {
			a.Propose()
			time.Sleep(50 * time.Millisecond)
		}
		a.Agree(10 * time.Second)
		if v.C.Stats().Fetched == 0 {
			t.Error("nothing was fetched: the test proves nothing")
		}
		honest(t, v)
	})
}

// When a region starves: what it knows of must come soon, and all of it, not drop by drop.
func TestHunger(t *testing.T) {
	for _, c := range []struct {
		name             string
		each             uint64 // entries that come every 100 ms
		lacks, wordless  bool
		even             int // every so many looks nothing is lacking
		spooling         bool
		earliest, latest time.Duration
	}{
		{name: "nothing is wrong"},
		{name: "behind, and catching up", each: 20, lacks: true},
		{name: "under load", each: 1, lacks: true, even: 10},
		{name: "nothing comes", lacks: true, earliest: 500 * time.Millisecond, latest: 600 * time.Millisecond},
		{name: "drop by drop", each: 1, lacks: true, earliest: 4 * time.Second, latest: 5 * time.Second},
		{name: "nothing but a snapshot", lacks: true, spooling: true, earliest: 4 * time.Second, latest: 5 * time.Second},
		{name: "no words", wordless: true, earliest: 1500 * time.Millisecond, latest: 1600 * time.Millisecond},
		{name: "words now and then", wordless: true, even: 10},
	} {
		starves, floor, at := cluster.Hunger(), uint64(7), time.Duration(0)
		for i := range 200 {
			calm := c.even > 0 && i%c.even == 0
			if starves(time.Duration(i)*100*time.Millisecond, floor, c.lacks && !calm, c.wordless && !calm, c.spooling) {
				at = time.Duration(i) * 100 * time.Millisecond
				break
			}
			floor += c.each
		}
		if at < c.earliest || at > c.latest {
			t.Errorf("%s: it starves after %s, want %s to %s (0: never)", c.name, at, c.earliest, c.latest)
		}
	}
}

// What is fetched holds off no election, however much of it there is: when the leader falls
// silent, who is fed by others still votes, and without its vote there is no other leader.
func TestFetchHoldsOffNoElection(t *testing.T) {
	race.Without(t)
	starved(t, cluster.Loopback(), cluster.KeepEntries, func(t *testing.T, a *clustertest.Nodes, l, v *clustertest.Node) {
		for _, n := range a.Followers(l) {
			cluster.Feed(n.C, "refusal")
		}
		for range 1200 {
			a.Propose()
		}
		for _, n := range a.Followers(l) {
			cluster.Feed(n.C, "unhurried")
		}
		fetched := v.C.Stats().Fetched
		a.Eventually(5*time.Second, "something to be fetched", func() bool { return v.C.Stats().Fetched > fetched })
		isolate(a, l)
		began := time.Now()
		fetched = v.C.Stats().Fetched
		a.Eventually(2*time.Second, "another leader", func() bool {
			for _, n := range a.Followers(l) {
				if n.C.IsLeader() {
					return true
				}
			}
			return false
		})
		t.Logf("another leader after %s", time.Since(began))
		if v.C.Stats().Fetched == fetched || v.Machine.Count() == l.Machine.Count() {
			t.Errorf("fetched %d times meanwhile, up to %d of %d: the test proves nothing", v.C.Stats().Fetched-fetched, v.Machine.Count(), l.Machine.Count())
		}
		a.Propose()
		a.Eventually(5*time.Second, "the starved region to follow it", level(v, a.Leader()))
	})
}

// A liar leads, shows one region entries of its term and certifies others with the rest.
// The region cannot go back on what the leader of its term sent, unless a certificate shows
// that it never can be certified; and then it acks nothing more in that term.
func TestRivalSuffixGivesWayToACertificate(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		for _, n := range a.List[1:] {
			n.Start()
		}
		v := a.List[1]
		l := speakerOf(t, a.List[0], v)
		base, own, third, fourth := l.founding(), l.Session(), a.List[2].Running, a.List[3].Running
		type slot struct{ term, index uint64 }
		acked := map[identityAt]([32]byte){}
		l.Acked(func(x chain.Ack) {
			at := identityAt{uint8(x.Region), slot{x.Term, x.Index}}
			if was, ok := acked[at]; ok && was != x.Hash {
				t.Errorf("region %d acks two hashes at term %d index %d", x.Region, x.Term, x.Index)
			}
			acked[at] = x.Hash
		})
		l.lead(2, base, third, fourth)
		wrong, at := l.noop(base)
		second, _ := l.noop(at)
		l.mustAppend(base, wrong, second)
		e := &raft.Log{Index: 2, Term: 2, Type: raft.LogCommand, Data: l.Seal(entryOf(a))}
		right := cluster.Place(2, 2, cluster.ChainHash(base.Hash, 2, 2, e.Type, cluster.DataHash(e.Data)))
		for _, l.victim = range a.List[2:] {
			copied := *e
			l.mustAppend(base, l.Sign(&copied, base.Hash, l.proof))
			if err := l.Nudge(l.id(), l.victim.Addr, 2, l.Certificate(right, own, third, fourth)); err != nil {
				t.Fatal(err)
			}
		}
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				for _, n := range a.List[1:] {
					s := *l
					s.victim = n
					_, _ = s.append(chain.Link{})
				}
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		a.Eventually(10*time.Second, "what is certified", func() bool {
			hash, _, ok := cluster.Link(v.C, 2)
			return ok && hash == right.Hash && cluster.Certified(v.C) == 2 && v.Machine.Count() == 1
		})
		if s := v.C.Stats(); s.Alarms == 0 || s.Restarts == 0 {
			t.Errorf("%d alarms, %d restarts: there was no conflict", s.Alarms, s.Restarts)
		}
		if c := v.C.Stats().Convicted; len(c) != 1 || c[0] != 1 {
			t.Errorf("%v are convicted", c)
		}
		time.Sleep(time.Second)
	})
}

type identityAt struct {
	region uint8
	slot   struct{ term, index uint64 }
}

// Who asks too much is told so, and who is no member gets nothing.
func TestFetchesAreBounded(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 30 {
			a.Propose()
		}
		a.Agree(time.Minute)
		l := a.Leader()
		f := a.Followers(l)
		fed, refused := 0, 0
		for range 200 {
			n, err := cluster.AskFor(f[0].C, f[1].C, 1)
			switch {
			case err == nil && n > 0:
				fed++
			case errs.CodeOf(err) == errs.Throttled:
				refused++
			default:
				t.Fatalf("%d bytes, %v", n, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if fed > 60 || refused < 100 {
			t.Errorf("200 questions in 2 s: %d answered, %d refused", fed, refused)
		}
		if _, err := cluster.AskFor(f[2].C, f[1].C, 1); err != nil {
			t.Errorf("another region pays for it: %v", err)
		}
		stranger := a.Join(2, "r2-000000b1")
		cfg, err := stranger.Config()
		if err != nil {
			t.Fatal(err)
		}
		s := cluster.NewLiar(cfg)
		defer s.Close()
		if code := s.Fetch(raft.ServerID(f[1].ServerID), f[1].Addr, 1); code != errs.Denied {
			t.Errorf("who is no member is answered: %v", code)
		}
	})
}

// TestGoldenFetch: regions of different versions ask each other.
func TestGoldenFetch(t *testing.T) {
	out := map[string]string{}
	for name, b := range cluster.FetchForms() {
		out[name] = hex.EncodeToString(b)
	}
	golden(t, "fetch.json", out)
}
