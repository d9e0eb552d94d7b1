package chain_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
)

func TestCheckAppend(t *testing.T) {
	s := newScene(t)
	state := func(own *memLog) chain.AppendState {
		return chain.AppendState{Roster: s.book, Lineage: lineage, Term: 2, Proof: s.proof, Own: own, Leaders: own.leaders}
	}
	altered := func(i int, f func(*chain.Entry)) []chain.Entry {
		es := append([]chain.Entry{}, s.es...)
		f(&es[i])
		return es
	}
	other := s.world.proof(1, 2, s.genesis, reports{2: s.genesis, 4: s.genesis})
	for _, c := range []struct {
		name   string
		own    *memLog
		es     []chain.Entry
		refuse bool
		fresh  int
		last   int
	}{
		{"all", newLog(), s.es, false, 0, 3},
		{"heartbeat", newLog(s.es[0]), nil, false, 0, 1},
		{"the rest", newLog(s.es[0]), s.es[1:], false, 0, 3},
		{"overlapping", newLog(s.es[:2]...), s.es, false, 2, 3},
		{"held already", s.log, s.es[:2], false, 2, 3},
		{"gap", newLog(), s.es[1:], true, 0, 0},
		{"without proof", newLog(), altered(0, func(e *chain.Entry) { e.Proof = nil }), true, 0, 0},
		{"a good proof, of another quorum", newLog(), altered(0, func(e *chain.Entry) { e.Proof = other }), false, 0, 3},
		{"unsigned", newLog(), altered(1, func(e *chain.Entry) { e.Sig = chain.Signature{} }), true, 0, 0},
		{"signature of another entry", newLog(), altered(1, func(e *chain.Entry) { e.Sig = s.es[2].Sig }), true, 0, 0},
		{"signed by a follower", newLog(), []chain.Entry{s.es[0], s.next(2, s.link(1), 2, "a", nil)}, true, 0, 0},
		{"off the chain", newLog(), altered(1, func(e *chain.Entry) { e.Data[0]++ }), true, 0, 0},
		{"unknown type", newLog(s.es[0]), altered(1, func(e *chain.Entry) { e.Type = 2 })[1:2], true, 0, 0},
		{"of a later term", newLog(s.es[0]), []chain.Entry{s.next(1, s.link(1), 3, "", nil)}, true, 0, 0},
		{"of term 0", newLog(), []chain.Entry{s.next(1, s.genesis, 0, "", nil)}, true, 0, 0},
		{"replaced in its own term", s.log, []chain.Entry{s.next(1, s.link(1), 2, "rival", nil)}, true, 0, 0},
	} {
		a, err := chain.CheckAppend(state(c.own), c.es)
		refused(t, c.name, err, c.refuse)
		if err == nil && (a.Fresh != c.fresh || a.Log.Last() != s.link(c.last) || a.Cut != 0) {
			t.Errorf("%s: %+v, last %v", c.name, a, a.Log.Last())
		}
	}
	st := state(newLog())
	st.Proof = nil
	_, err := chain.CheckAppend(st, nil)
	refused(t, "heartbeat without proof", err, true)
}

// TestReplace: a later leader's log replaces a suffix, rivals of one term included.
func TestReplace(t *testing.T) {
	s := newScene(t)
	rival := s.next(1, s.link(1), 2, "rival", nil) // region 1 lied in term 2
	p := s.world.proof(3, 3, rival.Link(), reports{2: s.link(1), 4: s.genesis})
	e := s.next(3, rival.Link(), 3, "", p)
	st := chain.AppendState{Roster: s.book, Lineage: lineage, Term: 3, Proof: p, Own: s.log, Leaders: s.log.leaders, Acked: 2}
	a, err := chain.CheckAppend(st, []chain.Entry{s.es[0], rival, e})
	if err != nil || a.Cut != 2 || !a.Rival || !a.Alarm || a.Fresh != 1 || a.Log.Last() != e.Link() {
		t.Errorf("%+v %v", a, err)
	}
	for i, want := range []chain.Link{s.genesis, s.link(1), rival.Link(), e.Link()} {
		if got, ok := a.Log.At(uint64(i)); !ok || got != want {
			t.Errorf("index %d after the append: %v %v", i, got, ok)
		}
	}
	if _, ok := a.Log.At(4); ok {
		t.Error("the log goes on after what was appended")
	}
	_, err = chain.CheckAppend(st, []chain.Entry{rival}) // not up to the base... which it is
	refused(t, "the base itself", err, false)
	st.Proof = s.world.proof(3, 3, s.link(3), reports{2: s.link(1), 4: s.genesis})
	_, err = chain.CheckAppend(st, []chain.Entry{rival})
	refused(t, "off the way to the base", err, true)
}
