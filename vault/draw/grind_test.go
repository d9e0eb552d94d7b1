package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// The 99.9% quantiles of chi-square with five and with two degrees of freedom.
const (
	boundOfPairs  = 20.52
	boundOfOthers = 13.82
)

// grinder is region 1 as leader, with a client of its own. It wants to be in the pair, and
// not with region 2. For each entry it makes up several, with ids and in an order of its
// choice, looks at what it can learn of each before one is fixed, and takes the one it
// likes best. Whatever pair is drawn, it may then refuse to sign and have another drawn,
// which leaves it out (fsm).
type grinder struct {
	t      testing.TB
	shares []Share
	key    PublicKey
	guess  func(g *grinder, input []byte, seen []Partial) [32]byte
	refuse bool // when drawn with region 2
	size   int  // requests of one entry

	lineage, chain [32]byte
	index, ids     uint64
	again          [][16]byte // refused, drawn anew in the next entry

	pairs     map[string]int // every attempt opened among all four
	others    map[string]int // second attempts, among the other three
	completed map[string]int // pairs of the attempts that came to signatures
	draws     int
	kept      int
}

// candidates for one place: one for each honest region, which takes no second entry there.
const candidates = 3

func newGrinder(t testing.TB, guess func(*grinder, []byte, []Partial) [32]byte) *grinder {
	shares, key := deal(t, 7, 4, 3)
	return &grinder{t: t, shares: shares, key: key, guess: guess, size: 64, lineage: [32]byte{5}, index: 1,
		pairs: map[string]int{}, others: map[string]int{}, completed: map[string]int{}}
}

// batch is one entry the leader might propose.
type batch struct {
	ids   [][16]byte
	chain [32]byte
	input []byte
	guess [32]byte
}

func (g *grinder) freshID() (id [16]byte) {
	g.ids++
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("id"), g.ids))
	copy(id[:], h[:])
	return id
}

// candidate makes up an entry and learns of it what can be learnt: the own partial, and
// that of the one honest region it is shown to.
func (g *grinder) candidate(shownTo int) batch {
	h := sha256.New()
	h.Write(g.chain[:])
	b := batch{}
	for range g.size {
		id := g.freshID()
		h.Write(id[:])
		b.ids = append(b.ids, id)
	}
	h.Sum(b.chain[:0])
	b.input = Input(g.lineage, 3, g.index, b.chain)
	b.guess = g.guess(g, b.input, g.partials(b.input, 0, shownTo))
	return b
}

func (g *grinder) partials(input []byte, regions ...int) (out []Partial) {
	for _, r := range regions {
		p, err := g.shares[r].Evaluate(At(input))
		if err != nil {
			g.t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func (g *grinder) value(input []byte) [32]byte {
	v, err := g.key.Combine(At(input), g.partials(input, 1, 2, 3))
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

var all, rest = []uint8{1, 2, 3, 4}, []uint8{2, 3, 4}

// liked says how many of a batch's pairs the leader would like, were guess the value.
func (b *batch) liked() (n int) {
	for _, id := range b.ids {
		if p := Permutation(b.guess, id, 1, all)[:2]; slices.Contains(p, 1) && !slices.Contains(p, 2) {
			n++
		}
	}
	return n
}

// entry has the leader choose, and draws.
func (g *grinder) entry() {
	best, most := batch{}, -1
	for honest := 1; honest <= candidates; honest++ {
		if b := g.candidate(honest); b.liked() > most {
			best, most = b, b.liked()
		}
	}
	g.chain, g.index = best.chain, g.index+1
	v := g.value(best.input)
	for _, id := range g.again {
		g.others[set(Permutation(v, id, 2, rest)[:2])]++
	}
	g.again = nil
	for _, id := range best.ids {
		pair := set(Permutation(v, id, 1, all)[:2])
		g.pairs[pair]++
		g.draws++
		if g.refuse && pair == "[1 2]" {
			g.again = append(g.again, id)
			continue
		}
		g.completed[pair]++
		g.kept++
	}
}

func set(regions []uint8) string {
	s := slices.Clone(regions)
	slices.Sort(s)
	return fmt.Sprint(s)
}

func (g *grinder) run(draws int) *grinder {
	for g.draws < draws {
		g.entry()
	}
	return g
}

// TestGrindingGainsNothing: 100,000 draws under a leader that chooses ids, batches, order
// and attempts after all it can see, in three ways to make something of it. With a rule
// off the same statistic shows it at once.
func TestGrindingGainsNothing(t *testing.T) {
	legal := map[string]func(*grinder, []byte, []Partial) [32]byte{
		"own partial": func(_ *grinder, _ []byte, seen []Partial) [32]byte { return sha256.Sum256(seen[0].Eval[:]) },
		"own and one more": func(_ *grinder, _ []byte, seen []Partial) [32]byte {
			return sha256.Sum256(append(seen[0].Eval[:], seen[1].Eval[:]...))
		},
		"as if two sufficed": func(g *grinder, input []byte, seen []Partial) [32]byte {
			k := g.key
			k.Threshold = 2
			v, err := k.Combine(At(input), seen)
			if err != nil {
				g.t.Fatal(err)
			}
			return v
		},
	}
	for name, guess := range legal {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			draws := 10_000
			if name == "as if two sufficed" && !testing.Short() {
				draws = 100_000 // the cleverest; the beacon's mathematics costs seconds
			}
			g := newGrinder(t, guess)
			g.refuse, g.size = true, draws/200
			g.run(draws)
			if x := chiSquare(g.pairs, 6, g.draws); x > boundOfPairs {
				t.Errorf("chi-square of the pairs is %.1f, bound %.1f: %v", x, boundOfPairs, g.pairs)
			}
			second := 0
			for _, n := range g.others {
				second += n
			}
			if x := chiSquare(g.others, 3, second); x > boundOfOthers || second < draws/8 {
				t.Errorf("chi-square of %d second attempts is %.1f, bound %.1f: %v", second, x, boundOfOthers, g.others)
			}
			// Why the audit counts every attempt opened, not those that came to signatures.
			if x := chiSquare(g.completed, 6, g.kept); x < boundOfPairs {
				t.Errorf("the leader refused one pair for ever, and the completed draws do not show it: %.1f", x)
			}
			t.Logf("%d draws: chi-square %.1f; %d second attempts: %.1f", g.draws, chiSquare(g.pairs, 6, g.draws), second, chiSquare(g.others, 3, second))
		})
	}
	t.Run("rule off: the value is seen first", func(t *testing.T) {
		t.Parallel()
		g := newGrinder(t, func(g *grinder, input []byte, _ []Partial) [32]byte { return g.value(input) }).run(10_000)
		if x := chiSquare(g.pairs, 6, g.draws); x < 2*boundOfPairs {
			t.Errorf("a leader that sees the value before it chooses goes unnoticed: chi-square %.1f", x)
		} else {
			t.Logf("%d draws: chi-square %.1f", g.draws, x)
		}
	})
	t.Run("rule off: two partials give the value", func(t *testing.T) {
		t.Parallel()
		g := newGrinder(t, nil)
		g.shares, g.key = deal(t, 8, 4, 2)
		g.guess = func(g *grinder, input []byte, seen []Partial) [32]byte {
			v, err := g.key.Combine(At(input), seen)
			if err != nil {
				g.t.Fatal(err)
			}
			return v
		}
		if x := chiSquare(g.run(10_000).pairs, 6, g.draws); x < 2*boundOfPairs {
			t.Errorf("a leader that shows rivals to single regions goes unnoticed: chi-square %.1f", x)
		} else {
			t.Logf("%d draws: chi-square %.1f", g.draws, x)
		}
	})
}
