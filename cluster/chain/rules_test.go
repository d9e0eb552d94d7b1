package chain_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

type reports map[identity.RegionID]chain.Link

// scene: region 1 leads term 2 over an empty log and appended three entries.
type scene struct {
	*world
	genesis chain.Link
	proof   *chain.LeaderProof
	es      []chain.Entry
	log     *memLog
}

func newScene(tb testing.TB) *scene {
	w := newWorld(tb)
	s := &scene{world: w, genesis: chain.Genesis(lineage)}
	s.proof = w.proof(1, 2, s.genesis, reports{2: s.genesis, 3: s.genesis})
	s.log = newLog()
	for _, data := range []string{"", "a", "b"} {
		p := s.proof
		if data != "" {
			p = nil
		}
		e := w.next(1, s.log.Last(), 2, data, p)
		s.log.add(e)
	}
	s.es = s.log.entries
	return s
}

func (s *scene) link(i int) chain.Link { return s.es[i-1].Link() }

func refused(t *testing.T, what string, err error, want bool) {
	t.Helper()
	if (err != nil) != want {
		t.Errorf("%s: %v, want refused %v", what, err, want)
	}
	if err != nil && errs.CodeOf(err) == errs.Internal {
		t.Errorf("%s: uncoded error %v", what, err)
	}
}

func TestMayAck(t *testing.T) {
	s := newScene(t)
	good := chain.AckState{Lineage: lineage, Self: 2, Term: 2, Proof: s.proof, Log: s.log, Durable: 3}
	for _, c := range []struct {
		name   string
		change func(*chain.AckState)
		refuse bool
	}{
		{"good", func(*chain.AckState) {}, false},
		{"again", func(a *chain.AckState) { a.Acked = tuple(s.link(3)) }, false},
		{"no proof", func(a *chain.AckState) { a.Proof = nil }, true},
		{"proof of another term", func(a *chain.AckState) { a.Term = 3 }, true},
		{"older term", func(a *chain.AckState) {
			a.Term, a.Proof = 3, s.world.proof(3, 3, s.link(3), reports{1: s.link(3), 2: s.link(3)})
		}, true},
		{"fenced", func(a *chain.AckState) { a.Fenced = true }, true},
		{"not on disk", func(a *chain.AckState) { a.Durable = 1 }, true},
		{"leader before a follower", func(a *chain.AckState) { a.Self = 1 }, true},
		{"leader after a follower", func(a *chain.AckState) { a.Self, a.Follower = 1, 2 }, false},
		{"acked a rival", func(a *chain.AckState) { a.Acked = tuple(chain.Link{Term: 2, Index: 2, Hash: [32]byte{1}}) }, true},
		{"acked in a later term", func(a *chain.AckState) { a.Acked = tuple(chain.Link{Term: 5, Index: 1}) }, true},
		{"not in the log", func(a *chain.AckState) { a.Log = newLog(s.es[0]) }, true},
		{"another base", func(a *chain.AckState) {
			p := *s.proof
			p.Base = chain.Link{Index: 1, Term: 1}
			a.Proof = &p
		}, true},
	} {
		st := good
		c.change(&st)
		got, err := chain.MayAck(st, 2)
		refused(t, c.name, err, c.refuse)
		if err == nil && got != tuple(s.link(2)) {
			t.Errorf("%s: acked %v", c.name, got)
		}
	}
	_, err := chain.MayAck(good, 0)
	refused(t, "genesis", err, true)
}

func TestMayPreVote(t *testing.T) {
	for _, c := range []struct {
		current, term uint64
		seen, refuse  bool
	}{{4, 5, false, false}, {4, 4, false, false}, {4, 6, false, true}, {4, 3, false, true}, {4, 5, true, true}, {0, 0, false, true}, {4, 1 << 63, false, true}} {
		refused(t, "pre-vote", chain.MayPreVote(c.current, c.term, c.seen), c.refuse)
	}
}

func TestMayGrant(t *testing.T) {
	s := newScene(t)
	own := s.link(2)
	good := chain.VoteState{Term: 3, Last: own}
	ask := chain.Candidacy{Term: 3, Candidate: 4, Last: s.link(3), Shown: own.Hash}
	for _, c := range []struct {
		name   string
		change func(*chain.VoteState, *chain.Candidacy)
		refuse bool
	}{
		{"good", func(*chain.VoteState, *chain.Candidacy) {}, false},
		{"same log, nothing shown", func(_ *chain.VoteState, q *chain.Candidacy) { q.Last, q.Shown = own, [32]byte{} }, false},
		{"later last term", func(v *chain.VoteState, q *chain.Candidacy) {
			v.Term, q.Term, q.Last = 4, 4, chain.Link{Term: 3, Index: 1}
		}, false},
		{"log of the term itself", func(_ *chain.VoteState, q *chain.Candidacy) { q.Last = chain.Link{Term: 3, Index: 9} }, true},
		{"shorter", func(_ *chain.VoteState, q *chain.Candidacy) { q.Last = s.link(1) }, true},
		{"older last term", func(_ *chain.VoteState, q *chain.Candidacy) { q.Last = chain.Link{Term: 1, Index: 9} }, true},
		{"rival at the own last index", func(_ *chain.VoteState, q *chain.Candidacy) { q.Shown = [32]byte{1} }, true},
		{"rival of the same length", func(_ *chain.VoteState, q *chain.Candidacy) { q.Last = chain.Link{Term: 2, Index: 2} }, true},
		{"another term", func(_ *chain.VoteState, q *chain.Candidacy) { q.Term = 4 }, true},
		{"followed", func(v *chain.VoteState, _ *chain.Candidacy) { v.Followed = true }, true},
		{"cut", func(v *chain.VoteState, _ *chain.Candidacy) { v.Cut = true }, true},
		{"fenced", func(v *chain.VoteState, _ *chain.Candidacy) { v.Fenced = []identity.RegionID{1, 4} }, true},
		{"refused another before", func(v *chain.VoteState, _ *chain.Candidacy) {
			v.Reported = []chain.Vote{{Term: 3, Candidate: 1, Last: own}}
		}, false},
		{"granted another", func(v *chain.VoteState, _ *chain.Candidacy) {
			v.Reported = []chain.Vote{{Term: 3, Candidate: 1, Last: own, Granted: true}}
		}, true},
		{"granted in an earlier term", func(v *chain.VoteState, _ *chain.Candidacy) {
			v.Reported = []chain.Vote{{Term: 2, Candidate: 1, Granted: true}}
		}, false},
		{"reported another log", func(v *chain.VoteState, _ *chain.Candidacy) {
			v.Reported = []chain.Vote{{Term: 3, Candidate: 1, Last: s.link(1)}}
		}, true},
	} {
		st, q := good, ask
		c.change(&st, &q)
		refused(t, c.name, chain.MayGrant(st, q), c.refuse)
	}
}

func TestReport(t *testing.T) {
	s := newScene(t)
	st := chain.VoteState{Term: 3, Last: s.link(2)}
	ask := func(c identity.RegionID, last chain.Link) chain.Candidacy {
		return chain.Candidacy{Term: 3, Candidate: c, Last: last, Shown: s.link(2).Hash}
	}
	first, ok := chain.Report(lineage, st, ask(3, s.link(1)))
	if !ok || first.Granted || first.Last != s.link(2) {
		t.Fatalf("refusal: %+v %v", first, ok)
	}
	st.Reported = append(st.Reported, first)
	second, ok := chain.Report(lineage, st, ask(4, s.link(3)))
	if !ok || !second.Granted {
		t.Fatalf("a refusal must not spend the vote: %+v %v", second, ok)
	}
	st.Reported = append(st.Reported, second)
	if third, ok := chain.Report(lineage, st, ask(1, s.link(3))); !ok || third.Granted || third.Last != s.link(2) {
		t.Errorf("second grant: %+v %v", third, ok)
	}
	st.Followed, st.Last = true, s.link(3)
	if again, ok := chain.Report(lineage, st, ask(4, s.link(3))); !ok || again != second {
		t.Errorf("a repeated request gets %+v %v", again, ok)
	}
	st.Reported = nil
	if v, ok := chain.Report(lineage, st, ask(4, s.link(3))); ok {
		t.Errorf("reported a log that moved on in the term: %+v", v)
	}
}

func TestProofBase(t *testing.T) {
	s := newScene(t)
	base := s.link(3)
	rival := chain.Link{Term: 2, Index: 2, Hash: [32]byte{9}}
	good := s.world.proof(4, 3, base, reports{2: s.link(2), 3: s.genesis})
	bad := s.world.proof(4, 3, base, reports{2: rival, 3: s.genesis})
	for _, p := range []*chain.LeaderProof{good, bad} {
		if err := p.Verify(s.book, lineage); err != nil {
			t.Fatal(err) // signatures and order are right: only the log tells
		}
	}
	compacted := newLog(s.es...)
	compacted.first, compacted.floor = 3, 3
	unsure := newLog(s.es...)
	unsure.first = 3
	refused(t, "good", chain.ProofBase(good, s.log), false)
	refused(t, "rival report", chain.ProofBase(bad, s.log), true)
	refused(t, "below the floor", chain.ProofBase(bad, compacted), false)
	refused(t, "cannot be judged", chain.ProofBase(good, unsure), true)
	refused(t, "without the base", chain.ProofBase(good, newLog(s.es[:2]...)), true)

	v2, v3 := s.vote(2, 4, 3, s.link(2), true), s.vote(3, 4, 3, rival, true)
	refused(t, "count", chain.MayCount(s.log, &v2), false)
	refused(t, "count a rival", chain.MayCount(s.log, &v3), true)
	refused(t, "count what is compacted", chain.MayCount(compacted, &v2), true)
	no := s.vote(2, 4, 3, s.link(2), false)
	refused(t, "count a refusal", chain.MayCount(s.log, &no), true)
}

func TestLeaderProofVerify(t *testing.T) {
	s := newScene(t)
	base := s.link(2)
	for _, c := range []struct {
		name  string
		proof func() *chain.LeaderProof
		ok    bool
	}{
		{"good", func() *chain.LeaderProof { return s.world.proof(4, 3, base, reports{1: base, 2: s.genesis}) }, true},
		{"two votes", func() *chain.LeaderProof { return s.world.proof(4, 3, base, reports{1: base}) }, false},
		{"newer report", func() *chain.LeaderProof { return s.world.proof(4, 3, base, reports{1: s.link(3), 2: base}) }, false},
		{"base not reported by the leader", func() *chain.LeaderProof {
			p := s.world.proof(4, 3, base, reports{1: base, 2: base})
			p.Base = s.link(3)
			return p
		}, false},
		{"without the leader's own vote", func() *chain.LeaderProof {
			p := s.world.proof(4, 3, base, reports{1: base, 2: base, 3: base})
			p.Ballots = p.Ballots[:3]
			return p
		}, false},
		{"base in its own term", func() *chain.LeaderProof { return s.world.proof(4, 2, base, reports{1: base, 2: base}) }, false},
		{"one region twice", func() *chain.LeaderProof {
			p := s.world.proof(4, 3, base, reports{1: base, 2: base})
			p.Ballots[1] = p.Ballots[0]
			return p
		}, false},
		{"altered", func() *chain.LeaderProof {
			p := s.world.proof(4, 3, base, reports{1: base, 2: s.genesis})
			p.Ballots[1].Last = base
			return p
		}, false},
	} {
		refused(t, c.name, c.proof().Verify(s.book, lineage), !c.ok)
	}
	refused(t, "lineage", s.proof.Verify(s.book, [32]byte{1}), true)
}

func TestMayTruncate(t *testing.T) {
	s := newScene(t)
	// Region 2 holds the three entries of term 2; region 3 leads term 3 over the first.
	p := s.world.proof(3, 3, s.link(1), reports{1: s.genesis, 4: s.genesis})
	e := s.next(3, s.link(1), 3, "", p)
	after := newLog(s.es[0], e)
	off := newLog(s.next(4, s.genesis, 1, "old", nil))
	certified := newLog(s.es...)
	certified.floor = 2
	good := chain.Truncation{Term: 3, Proof: p, From: 2, Own: s.log, New: after}
	for _, c := range []struct {
		name   string
		change func(*chain.Truncation)
		refuse bool
		alarm  bool
	}{
		{"good", func(*chain.Truncation) {}, false, false},
		{"acked", func(x *chain.Truncation) { x.Acked = 2 }, false, true},
		{"no proof", func(x *chain.Truncation) { x.Proof = nil }, true, false},
		{"an old proof", func(x *chain.Truncation) { x.Proof = s.proof }, true, false},
		{"this term's own leader", func(x *chain.Truncation) { x.Own = newLog(s.es[0], e) }, true, false},
		{"certified", func(x *chain.Truncation) { x.Own = certified }, true, false},
		{"leads nowhere", func(x *chain.Truncation) { x.New = off }, true, false},
		{"leads to a certificate", func(x *chain.Truncation) {
			x.New, x.From = off, 1
			x.Certified = []chain.Tuple{tuple(s.link(3)), tuple(off.Last())}
		}, false, false},
		{"certificate before the cut", func(x *chain.Truncation) {
			x.New = newLog(s.es[0], s.next(4, s.link(1), 2, "x", nil))
			x.Proof = s.world.proof(3, 3, s.link(3), reports{1: s.genesis, 4: s.genesis})
			x.Certified = []chain.Tuple{tuple(s.link(1))}
		}, true, false},
	} {
		x := good
		c.change(&x)
		alarm, err := chain.MayTruncate(x)
		refused(t, c.name, err, c.refuse)
		if alarm != c.alarm {
			t.Errorf("%s: alarm %v", c.name, alarm)
		}
	}
}

// A certificate takes out what the present leader itself sent, and nothing else does.
func TestMayYield(t *testing.T) {
	s := newScene(t)
	rival := newLog(s.es[0], s.next(4, s.link(1), 2, "x", nil)) // of term 2, like the own entries
	floor := newLog(s.es...)
	floor.floor = 2
	good := chain.Truncation{Term: 2, Proof: s.proof, From: 2, Own: s.log, New: rival, Certified: []chain.Tuple{tuple(rival.Last())}}
	if _, err := chain.MayTruncate(good); err == nil {
		t.Error("an entry of the present leader is replaced: there is nothing to yield")
	}
	for _, c := range []struct {
		name   string
		change func(*chain.Truncation)
		refuse bool
		alarm  bool
	}{
		{"good", func(*chain.Truncation) {}, false, false},
		{"acked", func(x *chain.Truncation) { x.Acked = 2 }, false, true},
		{"no certificate", func(x *chain.Truncation) { x.Certified = nil }, true, false},
		{"of another log", func(x *chain.Truncation) { x.Certified = []chain.Tuple{tuple(s.link(3))} }, true, false},
		{"on the own log", func(x *chain.Truncation) { x.New, x.Certified = s.log, []chain.Tuple{tuple(s.link(3))} }, true, false},
		{"of what stays", func(x *chain.Truncation) { x.Certified = []chain.Tuple{tuple(s.link(1))} }, true, false},
		{"certified", func(x *chain.Truncation) { x.Own = floor }, true, false},
	} {
		x := good
		c.change(&x)
		alarm, err := chain.MayYield(x)
		refused(t, c.name, err, c.refuse)
		if alarm != c.alarm {
			t.Errorf("%s: alarm %v", c.name, alarm)
		}
	}
}

func TestCapCommit(t *testing.T) {
	s := newScene(t)
	elsewhere := tuple(chain.Link{Term: 9, Index: 2, Hash: [32]byte{1}})
	ahead := tuple(chain.Link{Term: 2, Index: 50})
	floor := newLog(s.es...)
	floor.floor = 1
	for _, c := range []struct {
		name      string
		leader    uint64
		certified []chain.Tuple
		log       *memLog
		want      uint64
	}{
		{"leader's word alone", 3, nil, s.log, 0},
		{"certified", 3, []chain.Tuple{tuple(s.link(2)), tuple(s.link(1))}, s.log, 2},
		{"never beyond the leader's word", 1, []chain.Tuple{tuple(s.link(3))}, s.log, 1},
		{"of another log", 3, []chain.Tuple{elsewhere}, s.log, 0},
		{"ahead", 60, []chain.Tuple{ahead, tuple(s.link(1))}, s.log, 1},
		{"floor stays", 3, []chain.Tuple{elsewhere, ahead}, floor, 1},
	} {
		if got := chain.CapCommit(c.leader, c.certified, c.log); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestBelieve(t *testing.T) {
	s := newScene(t)
	sign := func(from, to identity.RegionID, term uint64) chain.Transfer {
		x, err := chain.SignTransfer(s.signers[from], chain.Transfer{Lineage: lineage, Term: term, To: to})
		s.must(err)
		return x
	}
	mixed := s.justify(4, 3, 1, 2)
	mixed.PreVotes = append(mixed.PreVotes, s.preVote(3, 2, 3))
	other := s.justify(4, 3, 1, 2, 3)
	other.PreVotes[2].Cause = 9
	for _, c := range []struct {
		name string
		term uint64
		j    *chain.Justification
		ok   bool
	}{
		{"three pre-votes", 3, s.justify(4, 3, 1, 2, 4), true},
		{"two pre-votes", 3, s.justify(4, 3, 1, 4), false},
		{"one region twice", 3, s.justify(4, 3, 1, 1, 4), false},
		{"for two candidates", 3, mixed, false},
		{"altered", 3, other, false},
		{"for another term", 4, s.justify(4, 3, 1, 2, 4), false},
		{"nothing", 3, &chain.Justification{}, false},
		{"nil", 3, nil, false},
		{"transfer", 3, &chain.Justification{Handover: &chain.Handover{Transfer: sign(1, 4, 2), Proof: *s.proof}}, true},
		{"transfer by a follower", 3, &chain.Justification{Handover: &chain.Handover{Transfer: sign(2, 4, 2), Proof: *s.proof}}, false},
		{"transfer to itself", 3, &chain.Justification{Handover: &chain.Handover{Transfer: sign(1, 1, 2), Proof: *s.proof}}, false},
		{"transfer of another term", 4, &chain.Justification{Handover: &chain.Handover{Transfer: sign(1, 4, 3), Proof: *s.proof}}, false},
		{"terms used up", 0, &chain.Justification{Handover: &chain.Handover{Transfer: sign(1, 4, 1<<64-1), Proof: *s.proof}}, false},
		{"leader proof", 2, &chain.Justification{Proof: s.proof}, true},
		{"leader proof of an earlier term", 3, &chain.Justification{Proof: s.proof}, false},
	} {
		refused(t, c.name, chain.Believe(s.book, lineage, c.term, c.j), !c.ok)
	}
	refused(t, "lineage", chain.Believe(s.book, [32]byte{1}, 2, &chain.Justification{Proof: s.proof}), true)
}

func TestMayInstall(t *testing.T) {
	w := newWorld(t)
	p := w.snapshot(1, 2, 3)
	refused(t, "good", chain.MayInstall(w.book, lineage, 4, p), false)
	refused(t, "at the applied index", chain.MayInstall(w.book, lineage, 5, p), true)
	refused(t, "two signatures", chain.MayInstall(w.book, lineage, 4, w.snapshot(1, 2)), true)
	refused(t, "lineage", chain.MayInstall(w.book, [32]byte{}, 4, p), true)
	for name, alter := range map[string]func(*chain.SnapshotProof){
		"state": func(p *chain.SnapshotProof) { p.State[0]++ }, "audit": func(p *chain.SnapshotProof) { p.AuditRoot[0]++ },
		"size": func(p *chain.SnapshotProof) { p.AuditSize++ }, "members": func(p *chain.SnapshotProof) { p.Members[0].Voter = false },
		"configuration": func(p *chain.SnapshotProof) { p.ConfigIndex-- }, "beacon": func(p *chain.SnapshotProof) { p.Beacon[0]++ },
		"index": func(p *chain.SnapshotProof) { p.Index++ }, "hash": func(p *chain.SnapshotProof) { p.Hash[0]++ },
	} {
		bad := w.snapshot(1, 2, 3)
		alter(bad)
		refused(t, name, chain.MayInstall(w.book, lineage, 4, bad), true)
	}
}

func (w *world) snapshot(by ...identity.RegionID) *chain.SnapshotProof {
	w.tb.Helper()
	a := chain.Attestation{Tuple: tuple(chain.Link{Term: 2, Index: 5, Hash: [32]byte{5}}), State: [32]byte{1}, AuditRoot: [32]byte{2}, AuditSize: 7, ConfigIndex: 1, Beacon: [32]byte{3},
		Members: []chain.Member{{ServerID: "a", Region: 1, Address: "a:1", Voter: true}, {ServerID: "b", Region: 2, Address: "b:1", Voter: true}}}
	var sigs []chain.Signature
	for _, r := range by {
		s, err := chain.Attest(w.signers[r], &a)
		w.must(err)
		sigs = append(sigs, s)
	}
	p, err := chain.Attested(a, sigs)
	w.must(err)
	return p
}
