package chain_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/cluster/chain"
)

var searchSeeds = flag.Int("seeds", 600, "seeds tried to find the harm of a missing rule")

// TestHistories: whatever the liar does, no two certificates conflict, no honest
// region acks two entries at one place, and the other three can always go on.
func TestHistories(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(w, "", 3, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") })
		h.fetches = true
		h.run(120)
		if h.bad != "" {
			rt.Fatal(h.bad)
		}
		if !h.goOn() {
			rt.Fatal("the honest regions cannot go on")
		}
		if h.bad != "" {
			rt.Fatal(h.bad)
		}
	})
}

// TestHonestHistories: without a liar no acked entry is ever truncated.
func TestHonestHistories(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(w, "", 4, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") })
		h.run(120)
		if h.bad != "" || h.alarms > 0 {
			rt.Fatalf("%s; %d acked entries truncated", h.bad, h.alarms)
		}
	})
}

// TestHistoriesCanFail leaves out one rule at a time: the same search finds the harm.
func TestHistoriesCanFail(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		mutant string
		honest int
		harm   func(*history) bool
	}{
		// No rule is missing: the search gets as far as certificates, and to cuts after which all goes on.
		{"", 3, func(h *history) bool { return len(h.certs) > 3 && h.bad == "" }},
		{"", 3, func(h *history) bool { return h.goOn() && h.cuts > 0 && h.bad == "" }},
		{"yields to its own certificate", 3, func(h *history) bool { return h.bad != "" }},
		{"believes its leader", 3, func(h *history) bool { return h.bad != "" }},
		{"forgets votes", 3, func(h *history) bool { return h.bad != "" }},
		{"acks old terms", 3, func(h *history) bool { return h.bad != "" }},
		{"leader acks first", 4, func(h *history) bool { return h.alarms > 0 }},
		{"acks old terms", 4, func(h *history) bool { return h.alarms > 0 }},
		{"never cuts", 3, func(h *history) bool { return !h.goOn() }},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.mutant, c.honest), func(t *testing.T) {
			for seed := range uint64(*searchSeeds) {
				rng := rand.New(rand.NewPCG(seed, 1))
				h := newHistory(w, c.mutant, c.honest, rng.IntN)
				h.fetches = strings.HasPrefix(c.mutant, "yields")
				h.run(160)
				if c.harm(h) {
					t.Logf("seed %d: %s, %d certificates", seed, h.bad, len(h.certs))
					return
				}
			}
			t.Error("no harm found")
		})
	}
}

// TestWalkedBack: a liar that leads by a good proof sends a region an old branch of its
// own, valid entry by entry, in place of what the region acked. Were it taken, the
// region would report the old branch, and a certified entry would be lost.
func TestWalkedBack(t *testing.T) {
	for _, mutant := range []string{"", "no anchor"} {
		h := newHistory(newWorld(t), mutant, 3, func(n int) int { return n - 1 })
		a, b, f := h.nodes[0], h.nodes[1], h.nodes[2]
		genesis := chain.Genesis(lineage)

		h.askForLiar(a, 1) // the liar could have led term 1, and tells nobody
		h.askForLiar(b, 1)
		old := h.next(liar, genesis, 1, "old branch", h.liarProof(1, genesis))
		h.make(old)

		h.stand(a) // a leads term 2; its first entry is certified by a, f and the liar
		h.ask(a, b)
		h.replicate(a, f)
		if len(h.certs) != 1 || f.log.Last().Term != 2 {
			t.Fatalf("%d certificates, f at %v", len(h.certs), f.log.Last())
		}
		certified := a.log.Last()

		h.askForLiar(a, 3)
		h.askForLiar(f, 3)
		p := h.liarProof(3, certified)
		if p == nil {
			t.Fatal("the liar does not lead term 3")
		}
		took := h.receive(f, 3, p, []chain.Entry{old})
		if took != (mutant != "") {
			t.Fatalf("mutant %q: old branch taken: %v", mutant, took)
		}
		h.stand(f)
		h.ask(f, b)
		h.replicate(f, b)
		if (h.bad != "") != (mutant != "") {
			t.Errorf("mutant %q: %s", mutant, h.bad)
		}
	}
}
