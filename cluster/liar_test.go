package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// speaker is one region that says what the test likes, to one victim.
type speaker struct {
	*cluster.Liar
	t      *testing.T
	victim *clustertest.Node
	term   uint64
	proof  *chain.LeaderProof
}

func speakerOf(t *testing.T, n, victim *clustertest.Node) *speaker {
	t.Helper()
	cfg, err := n.Config()
	if err != nil {
		t.Fatal(err)
	}
	l := cluster.NewLiar(cfg)
	t.Cleanup(l.Close)
	return &speaker{Liar: l, t: t, victim: victim}
}

func (s *speaker) id() raft.ServerID { return raft.ServerID(s.victim.ServerID) }

func (s *speaker) lead(term uint64, base chain.Link, voters ...*identity.Session) {
	s.term, s.proof = term, s.Lead(term, base, voters...)
}

// append sends entries after prev.
func (s *speaker) append(prev chain.Link, e ...*raft.Log) (bool, error) {
	var r raft.AppendEntriesResponse
	err := s.Endpoint().AppendEntries(s.id(), raft.ServerAddress(s.victim.Addr),
		&raft.AppendEntriesRequest{RPCHeader: s.Header(), Term: s.term, PrevLogEntry: prev.Index, PrevLogTerm: prev.Term, Entries: e}, &r)
	return r.Success, err
}

// noop is an entry of the speaker's term after prev, and its place.
func (s *speaker) noop(prev chain.Link) (*raft.Log, chain.Link) {
	e := &raft.Log{Index: prev.Index + 1, Term: s.term, Type: raft.LogNoop}
	var p *chain.LeaderProof
	if prev.Term < s.term {
		p = s.proof
	}
	e = s.Sign(e, prev.Hash, p)
	return e, cluster.Place(e.Term, e.Index, cluster.ChainHash(prev.Hash, e.Term, e.Index, e.Type, cluster.DataHash(nil)))
}

func (s *speaker) mustAppend(prev chain.Link, e ...*raft.Log) {
	s.t.Helper()
	if ok, err := s.append(prev, e...); err != nil || !ok {
		s.t.Fatalf("a good append is refused: %v", err)
	}
}

func (s *speaker) founding() chain.Link {
	h, term, _ := cluster.Link(s.victim.C, 1)
	return cluster.Place(term, 1, h)
}

// A grant that reports a log which cannot be counted must not keep the other grants from
// electing anybody.
func TestBogusGrantSpoilsNoElection(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		c := speakerOf(t, a.List[1], a.List[0])
		last := cluster.Place(1, 1, [32]byte{1})
		if err := c.Stand(2, last); err != nil {
			t.Fatal(err)
		}
		if err := c.Voted(a.List[0].Session(), 2, cluster.Place(1, 1<<40, [32]byte{9})); err == nil {
			t.Error("a grant that reports a newer log is counted")
		}
		for _, n := range a.List[2:] {
			if err := c.Voted(n.Session(), 2, last); err != nil {
				t.Errorf("%s: %v", n.Name, err)
			}
		}
		if !c.Proven() {
			t.Error("three good grants elect nobody")
		}
	})
}

// What an entry carries is not covered by its chain hash. A certificate below a verified
// one may stand there without good signatures: no lease may come of it after a restart.
func TestForgedWitnessesGiveNoLease(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l := speakerOf(t, a.List[0], victim)
		base, own, third, fourth := l.founding(), l.Session(), a.List[2].Session(), a.List[3].Session()
		l.lead(2, base, third, fourth)
		first, at2 := l.noop(base)
		l.mustAppend(base, first)
		good := l.Certificate(at2, own, third, fourth)
		if err := l.Nudge(l.id(), victim.Addr, 2, good); err != nil {
			t.Fatal(err)
		}
		forged := *good
		forged.Witnesses = append([]chain.Witness(nil), good.Witnesses...)
		for i := range forged.Witnesses {
			forged.Witnesses[i].At = time.Now().Add(24 * 365 * time.Hour)
			forged.Witnesses[i].Sig[0] ^= 1
		}
		second, at3 := l.noop(at2)
		l.mustAppend(at2, cluster.Carry(second, &forged, nil))
		victim.Crash()
		victim.Start()
		a.Eventually(time.Second, "the victim to listen", func() bool { ok, err := l.append(at3); return ok && err == nil })
		if err := l.Nudge(l.id(), victim.Addr, 2, l.Certificate(at3, own, third, fourth)); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "the certified entry to be committed", func() bool { return victim.C.Stats().CommitIndex == 3 })
		time.Sleep(5 * time.Second)
		if cluster.LeaseOf(victim.C) == nil {
			t.Error("a lease rests on acks that nobody signed")
		}
	})
}

// A leader proof that opens no term is verified by nobody: it must not be taken for the
// proof of another term.
func TestStrayProofIsRefused(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		honest, l := speakerOf(t, a.List[2], victim), speakerOf(t, a.List[0], victim)
		base, third, fourth := l.founding(), a.List[2].Session(), a.List[3].Session()
		honest.lead(2, base, a.List[0].Session(), fourth)
		first, at2 := honest.noop(base)
		honest.mustAppend(base, first)
		l.lead(3, at2, third, fourth)
		second, at3 := l.noop(at2)
		l.mustAppend(at2, second)
		stray := *l.proof
		stray.Term, stray.Base = 2, base
		if ok, _ := l.append(at3, cluster.Carry(entryWithout(l, at3), nil, &stray)); ok {
			t.Error("an entry with a stray proof is stored")
		}
		if led := cluster.LedBy(victim.C, 2); led != 3 {
			t.Errorf("region %d is taken for the leader of term 2, which region 3 led", led)
		}
		if ok, err := l.append(at3, entryWithout(l, at3)); !ok || err != nil {
			t.Errorf("the entry without it is refused: %v", err)
		}
	})
}

func entryWithout(l *speaker, prev chain.Link) *raft.Log { e, _ := l.noop(prev); return e }

// A region may have its HSM certify another's session key as its own. The key did not
// sign that, and its true owner must be believed.
func TestStolenSessionKey(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l, honest := speakerOf(t, a.List[0], victim), speakerOf(t, a.List[2], victim)
		base := l.founding()
		cert := *l.Session().Cert
		cert.Issued = time.Now().Add(time.Second)
		stolen, err := identity.IssueSession(context.Background(), a.List[0].Identity, onlySeen{a.List[0].Identity, honest.Session().Cert.Session}, cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Flood(l.id(), victim.Addr, []*identity.SessionCert{stolen}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		honest.lead(2, base, a.List[3].Session(), a.List[0].Session())
		first, _ := honest.noop(base)
		honest.mustAppend(base, first)
	})
}

// onlySeen is a key somebody saw and signs for with their own.
type onlySeen struct {
	identity.Signer
	public identity.PublicKey
}

func (o onlySeen) Public() identity.PublicKey { return o.public }

// A region that issues itself any number of sessions pushes out what it signed by an
// earlier one, not what others rest on it: the votes it gave stay votes.
func TestManySessionsPushNobodyOut(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l, honest := speakerOf(t, a.List[0], victim), speakerOf(t, a.List[2], victim)
		base, vote := l.founding(), a.List[0].Session()
		time.Sleep(10 * time.Millisecond)
		var many []*identity.SessionCert
		for range 80 {
			many = append(many, a.List[0].Session().Cert)
		}
		if err := l.Flood(l.id(), victim.Addr, many); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		honest.lead(2, base, a.List[3].Session(), vote)
		first, _ := honest.noop(base)
		honest.mustAppend(base, first)
	})
}

// Certificates that come again and again for indexes long passed must not fill the room
// for new ones.
func TestOldCertificatesLeaveRoom(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		l := speakerOf(t, a.List[0], a.List[1])
		const room, start = 1024, 1 << 40
		for i := uint64(start); i <= start+4*room; i++ {
			l.Certify(i)
			if i > start+room {
				l.Certify(i - room)
			}
			if l.Newest() != i {
				t.Fatalf("at %d the newest certificate at hand is %d", i, l.Newest())
			}
		}
	})
}

// Accusations that convict nobody must not keep out evidence that does.
func TestAccusationsLeaveRoomForEvidence(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l, honest, other := speakerOf(t, a.List[0], victim), speakerOf(t, a.List[2], victim), speakerOf(t, a.List[3], victim)
		for i := range 300 {
			x, _ := honest.Entry(2, 2, [32]byte{1}, errs.Code(i))
			if err := l.Accuse(l.id(), victim.Addr, chain.RefusedEntry, 3, x, nil, honest.Session().Cert); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // until all of it was judged
		_, one := l.Entry(2, 2, [32]byte{1}, errs.OK)
		_, two := l.Entry(2, 2, [32]byte{2}, errs.OK)
		if err := other.Accuse(l.id(), victim.Addr, chain.RivalEntries, 1, one, two, l.Session().Cert); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "the conviction", func() bool { return len(victim.C.Stats().Convicted) == 1 })
		kept := 0
		for _, e := range victim.C.Evidence() {
			if e.Kind == chain.RivalEntries {
				kept++
			}
		}
		if kept != 1 {
			t.Errorf("%d files of rival entries are kept", kept)
		}
		victim.Crash()
		victim.Start()
		if c := victim.C.Stats().Convicted; len(c) != 1 || c[0] != 1 {
			t.Errorf("after a restart %v are convicted", c)
		}
	})
}

// A region that acked rivals, and whose log a snapshot of the same term then overrules,
// must not ack again what stands there now: it would convict itself.
func TestNoSecondAckAfterASnapshot(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l := speakerOf(t, a.List[0], victim)
		base, own, third, fourth := l.founding(), l.Session(), a.List[2].Session(), a.List[3].Session()
		type slot struct{ term, index uint64 }
		acked := map[slot][32]byte{}
		l.Acked(func(x chain.Ack) {
			if was, ok := acked[slot{x.Term, x.Index}]; ok && was != x.Hash {
				t.Errorf("two hashes are acked at term %d index %d", x.Term, x.Index)
			}
			acked[slot{x.Term, x.Index}] = x.Hash
		})
		l.lead(2, base, third, fourth)
		first, at2 := l.noop(base)
		second, _ := l.noop(at2)
		l.mustAppend(base, first, second)
		if len(acked) != 2 {
			t.Fatalf("%d acks: the test proves nothing", len(acked))
		}
		at := cluster.Place(2, 2, [32]byte{5})
		a.Eventually(5*time.Second, "the snapshot to be installed", func() bool { return l.install(a, at, own, third, fourth) })
		e := &raft.Log{Index: 3, Term: 2, Type: raft.LogCommand, Data: l.Seal(entryOf(a))}
		if ok, err := l.append(at, l.Sign(e, at.Hash, nil)); err != nil || !ok {
			t.Fatalf("what follows the snapshot is refused: %v", err)
		}
		victim.Crash()
		victim.Start()
		for range 5 {
			_, _ = l.append(chain.Link{})
			time.Sleep(300 * time.Millisecond)
		}
	})
}

func entryOf(a *clustertest.Nodes) []byte {
	return (&command.Entry{Stamp: time.Now(), Commands: []*command.Command{a.Command()}}).Encode()
}

func configurationOf(a *clustertest.Nodes) (conf raft.Configuration) {
	for _, m := range a.Members() {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(m.ServerID), Address: raft.ServerAddress(m.Addr)})
	}
	return conf
}

// install sends a snapshot of the empty state at a place, attested by sessions.
func (s *speaker) install(a *clustertest.Nodes, at chain.Link, attesters ...*identity.Session) bool {
	state, _ := clustertest.NewMachine().Snapshot()
	var plain bytes.Buffer
	_, _ = state.WriteTo(&plain)
	conf := configurationOf(a)
	s.Offer(s.Attested(at, plain.Bytes(), conf, attesters...))
	sealed := cluster.SealedSnapshot(clustertest.NewSealer("snapshot"), a.Lineage, at.Index, at.Term, conf, plain.Bytes())
	var r raft.InstallSnapshotResponse
	err := s.Endpoint().InstallSnapshot(s.id(), raft.ServerAddress(s.victim.Addr), &raft.InstallSnapshotRequest{
		RPCHeader: s.Header(), SnapshotVersion: 1, Term: s.term, LastLogIndex: at.Index, LastLogTerm: at.Term,
		Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: 1, Size: int64(len(sealed))}, &r, bytes.NewReader(sealed))
	return err == nil && r.Success
}

// A snapshot without the leader proof of its last term would leave its receiver unable to
// judge what follows in that term: attested as it may be, it is not installed.
func TestSnapshotBringsItsLeaderProof(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l := speakerOf(t, a.List[0], victim)
		base, own, third, fourth := l.founding(), l.Session(), a.List[2].Session(), a.List[3].Session()
		l.lead(3, base, third, fourth)
		l.mustAppend(base)
		if l.install(a, cluster.Place(2, 2, [32]byte{5}), own, third, fourth) {
			t.Error("installed")
		}
	})
}

// A term that the record has left is over, although raft is still in it: what this region
// reported there is no longer known.
func TestNoVoteInATermThatIsOver(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l := speakerOf(t, a.List[0], victim)
		base, own, third, fourth := l.founding(), l.Session(), a.List[2].Session(), a.List[3].Session()
		l.lead(2, base, third, fourth)
		l.mustAppend(base)
		time.Sleep(3 * time.Second) // the leader is silent
		_, _ = l.AskPreVote(l.id(), victim.Addr, 4, base, l.Justify(3, own, third, fourth))
		c := speakerOf(t, a.List[2], victim)
		if s := victim.C.Stats().Term; s != 2 || cluster.TermOf(victim.C) != 3 {
			t.Fatalf("raft is in term %d, the record in %d: the test proves nothing", s, cluster.TermOf(victim.C))
		}
		if yes, _ := c.AskVote(l.id(), victim.Addr, 2, base, c.Justify(2, own, c.Session(), fourth)); yes {
			t.Error("it votes in term 2, where it followed a leader")
		}
	})
}

// Who voted a moment ago has heard no silence: otherwise a liar could gather the pre-votes
// for the term after next during each election, and unseat every leader with them.
func TestNoPreVoteRightAfterAVote(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		c, l := speakerOf(t, a.List[2], victim), speakerOf(t, a.List[0], victim)
		base, own, fourth := l.founding(), l.Session(), a.List[3].Session()
		if yes, err := c.AskVote(l.id(), victim.Addr, 2, base, c.Justify(2, own, c.Session(), fourth)); err != nil || !yes {
			t.Fatalf("no vote: %v", err)
		}
		if yes, _ := l.AskPreVote(l.id(), victim.Addr, 3, base, nil); yes {
			t.Error("it asks for another leader before the one it voted for could speak")
		}
		a.Eventually(5*time.Second, "a pre-vote after silence", func() bool {
			yes, _ := l.AskPreVote(l.id(), victim.Addr, 3, base, nil)
			return yes
		})
	})
}

// Reports that settle nothing, sent first, must not keep a region from looking at those
// that do: otherwise a liar that left rivals behind could stop all others for ever.
func TestJunkReportsBlockNothing(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l := speakerOf(t, a.List[0], victim)
		third, fourth := speakerOf(t, a.List[2], victim), speakerOf(t, a.List[3], victim)
		base := l.founding()
		l.lead(2, base, third.Session(), fourth.Session())
		l.mustAppend(base)
		own, stranger := victim.Running, a.List[3].Session()
		for range 2 { // three signatures of one region; and the own log left out
			_ = l.Reports(l.id(), victim.Addr, 2, base, l.Session(), l.Session(), l.Session())
			_ = l.Reports(l.id(), victim.Addr, 2, base, l.Session(), third.Session(), stranger)
		}
		_ = l.Reports(l.id(), victim.Addr, 2, base, l.Session(), own, third.Session())
		a.Eventually(time.Second, "reports without region 4's", func() bool { return cluster.Tried(victim.C, 2, 4) })
		_ = third.Reports(l.id(), victim.Addr, 2, base, own, third.Session(), fourth.Session())
		a.Eventually(time.Second, "reports without the liar's", func() bool { return cluster.Tried(victim.C, 2, 1) })
		_ = third.Reports(l.id(), victim.Addr, 2, base, l.Session(), own, third.Session(), fourth.Session())
		a.Eventually(time.Second, "all reports", func() bool { return cluster.Tried(victim.C, 2, 3) })
	})
}

// A certificate may rest on a session that a lagging region never met. That proves nothing
// to it, but must not keep it from the entries that carry it.
func TestUnknownWitnessShutsNobodyOut(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l, honest := speakerOf(t, a.List[0], victim), speakerOf(t, a.List[2], victim)
		base, fourth, hidden := l.founding(), a.List[3].Session(), a.List[0].Session()
		honest.lead(2, base, fourth, l.Session())
		first, at2 := honest.noop(base)
		honest.mustAppend(base, first)
		cert := l.Certificate(at2, hidden, honest.Session(), fourth)
		second, at3 := honest.noop(at2)
		honest.mustAppend(at2, cluster.Carry(second, cert, nil))
		if s := victim.C.Stats(); s.CommitIndex != 0 {
			t.Errorf("committed up to %d by a certificate that cannot be verified", s.CommitIndex)
		}
		if err := honest.Nudge(honest.id(), victim.Addr, 2, honest.Certificate(at3, honest.Session(), fourth, l.Session())); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "what is certified to be committed", func() bool { return victim.C.Stats().CommitIndex == 3 })
	})
}

// A liar leads, shows one region a long row of entries and the others a short one, and
// falls silent. However long the row, the three agree on what stays, and go on.
func TestRivalsAreSettled(t *testing.T) {
	for _, long := range []int{1, 700} {
		simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
			for _, n := range a.List[1:] {
				n.Start()
			}
			l := speakerOf(t, a.List[0], a.List[1])
			base := l.founding()
			l.lead(2, base, a.List[1].Running, a.List[2].Running)
			row := func(n int, first *raft.Log, at chain.Link) {
				l.mustAppend(base, first)
				for range n - 1 {
					e, next := l.noop(at)
					l.mustAppend(at, e)
					at = next
				}
			}
			first, at := l.noop(base)
			row(long, first, at)
			e := &raft.Log{Index: 2, Term: 2, Type: raft.LogCommand, Data: l.Seal(entryOf(a))}
			rival := cluster.Place(2, 2, cluster.ChainHash(base.Hash, 2, 2, e.Type, cluster.DataHash(e.Data)))
			for _, l.victim = range a.List[2:] {
				copied := *e
				row(1, l.Sign(&copied, base.Hash, l.proof), rival)
			}
			a.Eventually(30*time.Second, fmt.Sprintf("a leader after rows of %d", long), func() bool {
				for _, n := range a.List[1:] {
					if n.C.IsLeader() {
						_, err := propose(n, time.Second)
						return err == nil
					}
				}
				return false
			})
			if c := a.List[1].C.Stats().Convicted; len(c) != 1 || c[0] != 1 {
				t.Errorf("%v are convicted", c)
			}
		})
	}
}

// dribble gives a little now and then, for ever.
type dribble struct{}

func (dribble) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	return len(b), nil
}

// A snapshot that comes drop by drop is given up when its sender no longer leads: it would
// keep out the next leader's for hours.
func TestDribblingSnapshotEndsWithItsTerm(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		l, honest := speakerOf(t, a.List[0], victim), speakerOf(t, a.List[2], victim)
		base, own, third, fourth := l.founding(), l.Session(), honest.Session(), a.List[3].Session()
		l.lead(2, base, third, fourth)
		l.mustAppend(base)
		conf, at := configurationOf(a), cluster.Place(2, 2, [32]byte{5})
		l.Offer(l.Attested(at, nil, conf, own, third, fourth))
		var wg sync.WaitGroup
		wg.Go(func() {
			var r raft.InstallSnapshotResponse
			_ = l.Endpoint().InstallSnapshot(l.id(), raft.ServerAddress(victim.Addr), &raft.InstallSnapshotRequest{
				RPCHeader: l.Header(), SnapshotVersion: 1, Term: 2, LastLogIndex: 2, LastLogTerm: 2,
				Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: 1, Size: 1 << 30}, &r, dribble{})
		})
		time.Sleep(3 * time.Second)
		honest.lead(3, base, own, fourth)
		honest.mustAppend(base)
		after := cluster.Place(3, 2, [32]byte{5})
		a.Eventually(15*time.Second, "the next leader's snapshot", func() bool { return honest.install(a, after, own, third, fourth) })
		l.Close()
		wg.Wait()
	})
}
