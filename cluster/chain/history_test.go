package chain_test

import (
	"crypto/sha256"
	"fmt"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const (
	liar    = identity.RegionID(4)
	maxTerm = 5
)

// history is a cluster of honest regions that act by the rules of the package alone,
// and a liar that may send and sign anything but cannot forge. Steps come from pick.
type history struct {
	*world
	memo
	pick    func(n int) int
	mutant  string
	fetches bool // regions ask others than their leader
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
	yields  int // suffixes of a region's present term given up
	cuts    int
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
	silent   bool // it gave up what its term's leader sent
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
		kinds = 11
	}
	if h.fetches {
		kinds = 12
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
	case 10:
		if h.pick(4) == 0 {
			h.equivocate()
		}
	case 11:
		h.fetchSome(v)
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
	for _, v := range h.nodes { // the candidate pushes the reports it holds
		if h.lies() && !n.leads && h.pick(3) > 0 {
			h.resolve(v)
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
	for i := uint64(1); i <= v.log.Last().Index && !v.silent; i++ {
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

func (h *history) run(steps int) {
	for range steps {
		h.step()
		if h.bad != "" {
			return
		}
	}
}
