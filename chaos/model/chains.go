package model

import (
	"fmt"
	"math/bits"
	"strings"
)

const (
	maxTerm    = 4   // the states have room for this many terms
	maxChains  = 255 // a chain is named by a byte, and 0 must stay free for "none"
	maxRegions = 4
)

// chainID names one chain of entries; 0 is the empty chain. A chain stands for its hash.
type chainID = uint8

// ref is a chainID plus one; 0 means none.
type ref = uint8

type entry struct{ term, value uint8 }

// mask is a set of chains.
type mask [4]uint64

func (m *mask) add(c chainID)      { m[c>>6] |= 1 << (c & 63) }
func (m *mask) has(c chainID) bool { return m[c>>6]>>(c&63)&1 != 0 }
func (m mask) and(o mask) mask {
	return mask{m[0] & o[0], m[1] & o[1], m[2] & o[2], m[3] & o[3]}
}
func (m mask) or(o mask) mask {
	return mask{m[0] | o[0], m[1] | o[1], m[2] | o[2], m[3] | o[3]}
}

// each calls f for every chain of the set, parents before children.
func (m mask) each(f func(chainID)) {
	for w, x := range m {
		for ; x != 0; x &= x - 1 {
			f(chainID(w<<6 + bits.TrailingZeros64(x)))
		}
	}
}

// chains is every log of bounded length with terms in order; a liar picks among the values,
// an honest leader always uses value 0 (nobody else can sign in its term).
type chains struct {
	terms, length, values int
	all                   [][]entry
	child                 map[[3]uint8]chainID // chain, term, value
	parent                []chainID
	size, last            []uint8     // length, last term
	prefix                [][]chainID // prefix[c][k]: the first k entries of c
	meet                  [][]chainID // longest common prefix
	below                 []mask      // below[t]: chains whose last term is less than t
}

func newChains(terms, length, values int) *chains {
	c := &chains{terms: terms, length: length, values: values, child: map[[3]uint8]chainID{}}
	c.grow(nil, nil)
	c.below = make([]mask, terms+2)
	for a := range c.all {
		for t := int(c.last[a]) + 1; t <= terms+1; t++ {
			c.below[t].add(chainID(a))
		}
	}
	c.meet = make([][]chainID, len(c.all))
	for a := range c.all {
		c.meet[a] = make([]chainID, len(c.all))
		for b := range c.all {
			k := 0
			for k < len(c.all[a]) && k < len(c.all[b]) && c.all[a][k] == c.all[b][k] {
				k++
			}
			c.meet[a][b] = c.prefix[a][k]
		}
	}
	return c
}

// grow adds the chain es, whose proper prefixes are known, and all that extend it.
func (c *chains) grow(es []entry, before []chainID) {
	if len(c.all) == maxChains {
		panic("model: too many chains for a byte")
	}
	id := chainID(len(c.all))
	var last, parent uint8
	if n := len(es); n > 0 {
		last, parent = es[n-1].term, before[n-1]
		c.child[[3]uint8{parent, last, es[n-1].value}] = id
	}
	line := append(append([]chainID(nil), before...), id)
	c.all, c.parent = append(c.all, append([]entry(nil), es...)), append(c.parent, parent)
	c.size, c.last, c.prefix = append(c.size, uint8(len(es))), append(c.last, last), append(c.prefix, line)
	if len(es) == c.length {
		return
	}
	for t := max(last, 1); int(t) <= c.terms; t++ {
		for v := range c.values {
			c.grow(append(append([]entry(nil), es...), entry{t, uint8(v)}), line)
		}
	}
}

func (c *chains) within(a, b chainID) bool          { return c.meet[a][b] == a }
func (c *chains) conflict(a, b chainID) bool        { m := c.meet[a][b]; return m != a && m != b }
func (c *chains) extend(a chainID, t uint8) chainID { return c.child[[3]uint8{a, t, 0}] }

// trim is the longest prefix of a whose last term is t, or 0.
func (c *chains) trim(a chainID, t uint8) chainID {
	for a != 0 && c.last[a] > t {
		a = c.parent[a]
	}
	if c.last[a] != t {
		return 0
	}
	return a
}

func (c *chains) name(a chainID) string {
	var b strings.Builder
	for i, e := range c.all[a] {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d%c", e.term, 'x'+rune(e.value))
	}
	return "[" + b.String() + "]"
}
