package chain_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const (
	liar    = identity.RegionID(4)
	maxTerm = 5
)

var searchSeeds = flag.Int("seeds", 600, "seeds tried to find the harm of a missing rule")

// history is a cluster of honest regions that act by the rules of the package alone,
// and a liar that may send and sign anything but cannot forge. Steps come from pick.
type history struct {
	*world
	memo
	pick    func(n int) int
	mutant  string
	nodes   []*node
	known   map[[32]byte]chain.Entry // every entry that exists
	hashes  [][32]byte               // in order of their making
	grants  map[uint64][]chain.Vote  // honest votes for the liar, by term
	acks    map[chain.Tuple]map[identity.RegionID]chain.Ack
	places  map[string]chain.Tuple // region, term, index -> acked
	certs   []*chain.Certificate
	tuples  []chain.Tuple // of certs
	entries int
	alarms  int
	leaders map[uint64]identity.RegionID // proven
	bad     string
}

// memo is a roster that checks each signature once.
type memo struct {
	*chain.Book
	seen map[[32]byte]bool
}

func (m memo) Check(key identity.PublicKey, msg, sig []byte) bool {
	h := sha256.New()
	h.Write(key.Key)
	h.Write(sig)
	h.Write(msg)
	id := [32]byte(h.Sum(nil))
	good, ok := m.seen[id]
	if !ok {
		good = key.Verify(msg, sig)
		m.seen[id] = good
	}
	return good
}

type node struct {
	id       identity.RegionID
	log      *memLog
	term     uint64
	proof    *chain.LeaderProof
	reports  []chain.Vote
	followed bool
	cut      bool
	leads    bool
	why      *chain.Justification // of the term, as candidate
	votes    []chain.Vote         // got as candidate
	acked    chain.Tuple
	follower uint64
	everAck  uint64
}

func newHistory(w *world, mutant string, honest int, pick func(int) int) *history {
	h := &history{world: w, memo: memo{w.book, map[[32]byte]bool{}}, pick: pick, mutant: mutant, known: map[[32]byte]chain.Entry{},
		grants: map[uint64][]chain.Vote{}, acks: map[chain.Tuple]map[identity.RegionID]chain.Ack{}, places: map[string]chain.Tuple{}, leaders: map[uint64]identity.RegionID{}}
	for i := range honest {
		h.nodes = append(h.nodes, &node{id: identity.RegionID(i + 1), log: newLog()})
	}
	return h
}

func (h *history) lies() bool  { return len(h.nodes) < 4 }
func (h *history) some() *node { return h.nodes[h.pick(len(h.nodes))] }
func (h *history) fail(f string, a ...any) {
	if h.bad == "" {
		h.bad = fmt.Sprintf(f, a...)
	}
}

func (h *history) step() {
	n, v := h.some(), h.some()
	kinds := 6
	if h.lies() {
		kinds = 10
	}
	switch h.pick(kinds) {
	case 0:
		h.campaign(n)
	case 1:
		if n.leads && len(n.log.entries) < 12 {
			h.append(n)
		}
	case 2, 3, 4:
		if l := h.leader(); l != nil {
			h.replicate(l, v)
		}
	case 5:
		h.learn(v)
	case 6:
		h.liarCampaign()
	case 7:
		h.forge()
	case 8:
		h.sendForged(v)
	case 9:
		h.resolve(v)
	}
}

// leader returns one of the honest leaders, of whatever term.
func (h *history) leader() *node {
	var ls []*node
	for _, n := range h.nodes {
		if n.leads {
			ls = append(ls, n)
		}
	}
	if len(ls) == 0 {
		return nil
	}
	return ls[h.pick(len(ls))]
}

// campaign: n stands, or asks again, and some hear of it.
func (h *history) campaign(n *node) {
	if n.leads && h.pick(3) > 0 {
		return
	}
	if n.why == nil || h.pick(3) == 0 {
		h.stand(n)
	}
	for _, v := range h.nodes {
		if h.pick(3) > 0 {
			h.ask(n, v)
		}
	}
}

func (h *history) liarCampaign() {
	term := h.some().term + uint64(h.pick(2))
	for _, v := range h.nodes {
		if h.pick(4) > 0 {
			h.askForLiar(v, term)
		}
	}
}

// enter moves v to a term it believes.
func (h *history) enter(v *node, term uint64, j *chain.Justification) bool {
	if term <= v.term {
		return term == v.term
	}
	if err := chain.Believe(h, lineage, term, j); err != nil {
		return false
	}
	*v = node{id: v.id, log: v.log, term: term, reports: v.reports, acked: v.acked, everAck: v.everAck}
	return true
}

func (h *history) stand(n *node) {
	if n.term >= maxTerm || chain.MayPreVote(n.term, n.term+1, false) != nil {
		return
	}
	other := h.nodes[int(n.id)%len(h.nodes)]
	j := h.justify(n.id, n.term+1, sorted(n.id, other.id, liar)...)
	if h.enter(n, n.term+1, j) {
		n.why = j
		h.ask(n, n)
	}
}

func sorted(ids ...identity.RegionID) []identity.RegionID {
	for i := range ids {
		for k := i + 1; k < len(ids); k++ {
			if ids[k] < ids[i] {
				ids[i], ids[k] = ids[k], ids[i]
			}
		}
	}
	return ids
}

func (h *history) voteState(v *node) chain.VoteState {
	s := chain.VoteState{Term: v.term, Last: v.log.Last(), Followed: v.followed, Cut: v.cut}
	if h.mutant != "forgets votes" {
		s.Reported = v.reports
	}
	return s
}

// report lets v answer a candidacy; nil if it says nothing.
func (h *history) report(v *node, q chain.Candidacy) *chain.Vote {
	u, ok := chain.Report(lineage, h.voteState(v), q)
	if !ok {
		return nil
	}
	signed, err := chain.SignVote(h.signers[v.id], u)
	h.must(err)
	v.reports = append(v.reports, signed)
	return &signed
}

// ask: candidate n asks v for its vote, and the liar, which always grants.
func (h *history) ask(n, v *node) {
	if n.why == nil || n.leads || n.term != n.why.Term() || n.proof != nil || !h.enter(v, n.term, n.why) {
		return
	}
	shown, _ := n.log.At(v.log.Last().Index)
	got := h.report(v, chain.Candidacy{Term: n.term, Candidate: n.id, Last: n.log.Last(), Shown: shown.Hash})
	if got == nil || chain.MayCount(n.log, got) != nil {
		return
	}
	for _, have := range n.votes {
		if have.Region == v.id {
			return
		}
	}
	n.votes = append(n.votes, *got)
	votes := n.votes
	if h.lies() && h.pick(3) > 0 {
		votes = append(votes[:len(votes):len(votes)], h.vote(liar, n.id, n.term, chain.Genesis(lineage), true))
	}
	h.elect(n, votes)
}

func (h *history) elect(n *node, votes []chain.Vote) {
	p, err := chain.Elect(n.log.Last(), votes)
	if err != nil || p.Verify(h, lineage) != nil {
		return
	}
	n.proof, n.leads = p, true
	h.leads(n.term, n.id)
	h.append(n)
}

func (h *history) append(n *node) {
	var p *chain.LeaderProof
	data := ""
	if n.log.Last().Term < n.term {
		p = n.proof
	} else {
		h.entries++
		data = fmt.Sprint(h.entries)
	}
	e := h.next(n.id, n.log.Last(), n.term, data, p)
	h.make(e)
	n.log.add(e)
	h.ackAll(n)
}

func (h *history) make(e chain.Entry) {
	hash := e.Hash()
	if _, ok := h.known[hash]; !ok {
		h.known[hash] = e
		h.hashes = append(h.hashes, hash)
	}
}

// replicate: leader n sends v some of its log, from a place they share.
func (h *history) replicate(n, v *node) {
	if !n.leads || n == v {
		return
	}
	at := uint64(0)
	for i := uint64(1); i <= min(n.log.Last().Index, v.log.Last().Index); i++ {
		if n.log.links[i-1] != v.log.links[i-1] {
			break
		}
		at = i
	}
	if h.pick(4) == 0 {
		at -= uint64(h.pick(int(at) + 1))
	}
	rest := n.log.entries[at:]
	if h.pick(3) == 0 {
		rest = rest[:h.pick(len(rest)+1)]
	}
	if h.receive(v, n.term, n.proof, rest) && n.term == v.term {
		if l := v.log.Last(); l.Term == n.term {
			if own, ok := n.log.At(l.Index); ok && own == l {
				n.follower = max(n.follower, l.Index)
			}
		}
		h.ackAll(n)
	}
}

// receive is v's admission of an append in term.
func (h *history) receive(v *node, term uint64, p *chain.LeaderProof, es []chain.Entry) bool {
	if term < v.term || (v.leads && term == v.term) {
		return false
	}
	if h.mutant == "believes its leader" {
		return h.believe(v, term, p, es)
	}
	if p.Verify(h, lineage) != nil || !h.enter(v, term, &chain.Justification{Proof: p}) {
		return false
	}
	v.followed = true
	if v.proof == nil {
		v.proof = p
	}
	s := chain.AppendState{Roster: h, Lineage: lineage, Term: term, Proof: v.proof, Own: v.log, Leaders: v.log.leaders, Certified: h.tuples, Acked: v.everAck}
	if h.mutant == "no anchor" && len(es) > 0 {
		last := es[len(es)-1]
		s.Certified = append([]chain.Tuple{tuple(last.Link())}, h.tuples...)
	}
	a, err := chain.CheckAppend(s, es)
	if err != nil {
		return false
	}
	if a.Alarm {
		h.alarms++
	}
	h.store(v, a, es)
	h.ackAll(v)
	return true
}

// believe is raft as it is: whoever says that it leads is followed, and terms alone
// are compared.
func (h *history) believe(v *node, term uint64, p *chain.LeaderProof, es []chain.Entry) bool {
	if term > v.term {
		*v = node{id: v.id, log: v.log, term: term, reports: v.reports, acked: v.acked, everAck: v.everAck}
	}
	v.followed, v.proof = true, p
	for i, e := range es {
		own, ok := v.log.At(e.Index)
		if ok && own.Term == e.Term {
			continue
		}
		if ok {
			v.log.cut(e.Index)
		}
		if v.log.Last().Hash != e.Prev {
			return false
		}
		v.log.add(es[i])
	}
	h.ackAll(v)
	return true
}

func (h *history) store(v *node, a chain.Admission, es []chain.Entry) {
	if a.Cut > 0 {
		v.log.cut(a.Cut)
		if h.pick(4) == 0 {
			return // a crash between the truncation and the write
		}
	}
	v.log.add(es[a.Fresh:]...)
}

// ackAll acks every entry of the current term that may be.
func (h *history) ackAll(v *node) {
	for i := uint64(1); i <= v.log.Last().Index; i++ {
		s := chain.AckState{Lineage: lineage, Self: v.id, Term: v.term, Proof: v.proof, Log: v.log, Durable: v.log.Last().Index, Acked: v.acked, Follower: v.follower}
		if h.mutant == "leader acks first" {
			s.Follower = s.Durable
		}
		t, err := chain.MayAck(s, i)
		if h.mutant == "acks old terms" && v.proof != nil && t.Index > 0 {
			err = nil
		}
		if err == nil {
			h.ackOne(v, t)
		}
	}
}

func (h *history) ackOne(v *node, t chain.Tuple) {
	if h.acks[t] == nil {
		h.acks[t] = map[identity.RegionID]chain.Ack{}
	}
	if _, ok := h.acks[t][v.id]; ok {
		return
	}
	place := fmt.Sprint(v.id, t.Term, t.Index)
	if was, ok := h.places[place]; ok && was != t {
		h.fail("region %d acked two entries at term %d index %d", v.id, t.Term, t.Index)
	}
	h.places[place] = t
	if t.Term > v.acked.Term || t.Index > v.acked.Index {
		v.acked = t
	}
	v.everAck = max(v.everAck, t.Index)
	h.acks[t][v.id] = h.world.ack(v.id, t)
	if h.lies() {
		h.acks[t][liar] = h.world.ack(liar, t) // the liar acks whatever anybody acks
	}
	h.certify(t)
}

func (h *history) certify(t chain.Tuple) {
	if len(h.acks[t]) < 3 {
		return
	}
	var acks []chain.Ack
	for _, a := range h.acks[t] {
		acks = append(acks, a)
	}
	c, err := chain.Certify(acks)
	h.must(err)
	h.must(c.Verify(h, lineage))
	for _, old := range h.certs {
		if !h.agree(old.Link, c.Link) {
			h.fail("certificates of term %d index %d and term %d index %d conflict", old.Term, old.Index, c.Term, c.Index)
		}
	}
	h.certs, h.tuples = append(h.certs, c), append(h.tuples, c.Tuple)
}

// agree says whether one of two links is on the chain of the other.
func (h *history) agree(a, b chain.Link) bool {
	if a.Index > b.Index {
		a, b = b, a
	}
	hash := b.Hash
	for i := b.Index; i > a.Index; i-- {
		hash = h.known[hash].Prev
	}
	return hash == a.Hash
}

func (h *history) learn(v *node) {
	v.log.floor = chain.CapCommit(1<<60, h.tuples, v.log)
}

// askForLiar: the liar asks v for its vote, with whatever claims get it.
func (h *history) askForLiar(v *node, term uint64) {
	if term == 0 || term > maxTerm {
		return
	}
	j := h.justify(liar, term, sorted(v.id, h.nodes[int(v.id)%3].id, liar)...)
	if !h.enter(v, term, j) {
		return
	}
	claim := chain.Link{Term: term - 1, Index: 99}
	if own := v.log.Last(); own.Term == claim.Term {
		claim = own // or its hash would have to be known
	}
	got := h.report(v, chain.Candidacy{Term: term, Candidate: liar, Last: claim, Shown: v.log.Last().Hash})
	if got != nil && got.Granted && got.Candidate == liar {
		h.grants[term] = append(h.grants[term], *got)
	}
}

func (h *history) someLink() chain.Link {
	i := h.pick(len(h.hashes) + 1)
	if i == len(h.hashes) {
		return chain.Genesis(lineage)
	}
	e := h.known[h.hashes[i]]
	return e.Link()
}

// liarProof returns a leader proof of the liar over base, if its votes allow one.
func (h *history) liarProof(term uint64, base chain.Link) *chain.LeaderProof {
	got := map[identity.RegionID]chain.Vote{}
	for _, v := range h.grants[term] {
		got[v.Region] = v
	}
	if h.mutant == "believes its leader" && base.Term < term {
		return &chain.LeaderProof{Lineage: lineage, Term: term, Leader: liar, Base: base}
	}
	if len(got) < 2 || base.Term >= term {
		return nil
	}
	votes := []chain.Vote{h.vote(liar, liar, term, base, true)}
	for _, v := range got {
		votes = append(votes, v)
	}
	p, err := chain.Elect(base, votes)
	if err != nil || p.Verify(h, lineage) != nil {
		return nil
	}
	h.leads(term, liar)
	return p
}

// leads records who is proven to lead a term.
func (h *history) leads(term uint64, r identity.RegionID) {
	if was, ok := h.leaders[term]; ok && was != r {
		h.fail("regions %d and %d are both proven to lead term %d", was, r, term)
	}
	h.leaders[term] = r
}

// forge makes a new entry of the liar, in a term it can prove, at any time after.
func (h *history) forge() {
	prev := h.someLink()
	if len(h.hashes) > 60 || prev.Index >= 12 {
		return
	}
	term := prev.Term
	var p *chain.LeaderProof
	if h.pick(2) == 0 {
		term = uint64(1 + h.pick(maxTerm))
		if p = h.liarProof(term, prev); p == nil {
			return
		}
	} else if e, ok := h.known[prev.Hash]; !ok || e.Sig.Region != liar {
		return
	}
	h.entries++
	h.make(h.next(liar, prev, term, fmt.Sprint("forged", h.entries), p))
}

// sendForged: the liar leads some term and sends v part of any chain there is.
func (h *history) sendForged(v *node) {
	term := v.term + uint64(h.pick(2))
	p := h.anyProof(term)
	if p == nil {
		return
	}
	var path []chain.Entry
	for tip := h.someLink(); tip.Index > 0; {
		e := h.known[tip.Hash]
		if own, ok := v.log.At(tip.Index); ok && own == tip {
			break
		}
		path = append([]chain.Entry{e}, path...)
		if tip = chain.Genesis(lineage); e.Index > 1 {
			prev := h.known[e.Prev]
			tip = prev.Link()
		}
	}
	if h.pick(3) == 0 {
		path = path[:h.pick(len(path)+1)]
	}
	h.receive(v, term, p, path)
}

// anyProof returns a proof of the liar for term over some base.
func (h *history) anyProof(term uint64) *chain.LeaderProof {
	for range 4 {
		if p := h.liarProof(term, h.someLink()); p != nil {
			return p
		}
	}
	return nil
}

// resolve lets v act on the reports of all honest regions in its term.
func (h *history) resolve(v *node) bool {
	if h.mutant == "never cuts" {
		return false
	}
	var bs []chain.Branch
	top := uint64(0)
	for _, n := range h.nodes {
		for _, r := range n.reports {
			if r.Term == v.term {
				bs = append(bs, chain.Branch{Report: r, Path: h.path(r.Last)})
				top = max(top, r.Last.Term)
				break
			}
		}
	}
	if len(bs) != 3 || v.leads {
		return false
	}
	to, ok, err := chain.ResolveEquivocation(h, lineage, chain.Conviction{Region: liar, Term: top}, v.id, v.log, bs)
	h.must(err)
	if !ok {
		return false
	}
	v.log.cut(to.Index + 1)
	v.cut = true
	return true
}

func (h *history) path(l chain.Link) (out []chain.Header) {
	for hash, i := l.Hash, l.Index; i > 0; i-- {
		e := h.known[hash]
		out = append([]chain.Header{e.Header}, out...)
		hash = e.Prev
	}
	return out
}

// goOn says whether the honest regions alone can elect a leader and certify, however
// the liar left them, in a few rounds.
func (h *history) goOn() bool {
	h.pick = func(n int) int { return n - 1 } // whole logs; no crashes; no help from the liar
	for round := range 9 {
		term := uint64(0)
		for _, n := range h.nodes {
			term = max(term, n.term)
		}
		c := h.nodes[round%len(h.nodes)]
		j := h.justify(c.id, term+1, 1, 2, 3)
		for _, n := range h.nodes {
			h.enter(n, term+1, j)
		}
		c.why = j
		for _, v := range h.nodes {
			h.askAlone(c, v)
		}
		if !c.leads {
			for _, v := range h.nodes {
				h.resolve(v)
			}
			continue
		}
		before := len(h.certs)
		for _, v := range h.nodes {
			h.replicateAll(c, v)
		}
		h.ackAll(c)
		return len(h.certs) > before
	}
	return false
}

func (h *history) askAlone(c, v *node) {
	shown, _ := c.log.At(v.log.Last().Index)
	got := h.report(v, chain.Candidacy{Term: c.term, Candidate: c.id, Last: c.log.Last(), Shown: shown.Hash})
	if got != nil && chain.MayCount(c.log, got) == nil {
		c.votes = append(c.votes, *got)
		h.elect(c, c.votes)
	}
}

func (h *history) replicateAll(c, v *node) {
	if c == v {
		return
	}
	at := uint64(0)
	for at < min(c.log.Last().Index, v.log.Last().Index) && c.log.links[at] == v.log.links[at] {
		at++
	}
	if h.receive(v, c.term, c.proof, c.log.entries[at:]) {
		c.follower = c.log.Last().Index
	}
}

func (h *history) run(steps int) {
	for range steps {
		h.step()
		if h.bad != "" {
			return
		}
	}
}

// TestHistories: whatever the liar does, no two certificates conflict, no honest
// region acks two entries at one place, and the other three can always go on.
func TestHistories(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(w, "", 3, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") })
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
		{"", 3, func(h *history) bool { return len(h.certs) > 3 && h.bad == "" }}, // the search gets anywhere at all
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
