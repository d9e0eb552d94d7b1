package chain_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var (
	clusterID = identity.ClusterID{0xc1}
	lineage   = sha256.Sum256([]byte("genesis"))
	noon      = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
)

func seeded(tb testing.TB, label string) *identity.KeySigner {
	tb.Helper()
	seed := sha256.Sum256([]byte(label))
	s, err := identity.NewKeySigner(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// world is four regions with their keys.
type world struct {
	tb      testing.TB
	ids     map[identity.RegionID]*identity.KeySigner
	signers map[identity.RegionID]*chain.Signer
	certs   map[identity.RegionID]*identity.SessionCert
	book    *chain.Book
}

func newWorld(tb testing.TB) *world {
	w := &world{tb: tb, ids: map[identity.RegionID]*identity.KeySigner{}, signers: map[identity.RegionID]*chain.Signer{}, certs: map[identity.RegionID]*identity.SessionCert{}}
	w.book = chain.NewBook(clusterID, w.pins, 4)
	for r := identity.RegionID(1); r <= 4; r++ {
		w.ids[r] = seeded(tb, "identity"+string('0'+rune(r)))
		w.signers[r], w.certs[r] = w.session(r, "session", noon)
		w.must(w.book.Add(w.certs[r]))
	}
	return w
}

func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) pins(r identity.RegionID) []identity.PublicKey {
	if k := w.ids[r]; k != nil {
		return []identity.PublicKey{k.Public()}
	}
	return nil
}

func (w *world) session(r identity.RegionID, label string, at time.Time) (*chain.Signer, *identity.SessionCert) {
	w.tb.Helper()
	key := seeded(w.tb, label+string('0'+rune(r)))
	sum := sha256.Sum256([]byte(label))
	cert, err := identity.IssueSession(context.Background(), w.ids[r], key, identity.SessionCert{
		Cluster: clusterID, Region: r, ServerID: "region-" + string('0'+rune(r)), Boot: identity.Boot(sum[:16]), Issued: at})
	w.must(err)
	s, err := chain.NewSigner(r, key)
	w.must(err)
	return s, cert
}

// onlySeen is a key somebody saw and signs for with their own.
type onlySeen struct {
	identity.Signer
	public identity.PublicKey
}

func (o onlySeen) Public() identity.PublicKey { return o.public }

func (w *world) court() chain.Court {
	return chain.Court{Cluster: clusterID, Lineage: lineage, Pins: w.pins, Regions: 4}
}

func (w *world) ack(r identity.RegionID, t chain.Tuple) chain.Ack {
	w.tb.Helper()
	a, err := chain.SignAck(w.signers[r], t, noon.Add(time.Duration(r)*time.Millisecond))
	w.must(err)
	return a
}

func (w *world) vote(r, candidate identity.RegionID, term uint64, last chain.Link, granted bool) chain.Vote {
	w.tb.Helper()
	v, err := chain.SignVote(w.signers[r], chain.Vote{Lineage: lineage, Term: term, Candidate: candidate, Last: last, Granted: granted})
	w.must(err)
	return v
}

func (w *world) preVote(r, candidate identity.RegionID, term uint64) chain.PreVote {
	w.tb.Helper()
	p, err := chain.SignPreVote(w.signers[r], chain.PreVote{Lineage: lineage, Term: term, Candidate: candidate, Cause: chain.Silence, At: noon.Add(time.Second)})
	w.must(err)
	return p
}

// proof elects leader in term; every voter reports what it is given, the leader base.
func (w *world) proof(leader identity.RegionID, term uint64, base chain.Link, reports map[identity.RegionID]chain.Link) *chain.LeaderProof {
	w.tb.Helper()
	votes := []chain.Vote{w.vote(leader, leader, term, base, true)}
	for r, l := range reports {
		votes = append(votes, w.vote(r, leader, term, l, true))
	}
	p, err := chain.Elect(base, votes)
	w.must(err)
	return p
}

func (w *world) justify(candidate identity.RegionID, term uint64, voters ...identity.RegionID) *chain.Justification {
	j := &chain.Justification{}
	for _, r := range voters {
		j.PreVotes = append(j.PreVotes, w.preVote(r, candidate, term))
	}
	return j
}

// next returns the entry after prev, signed by its leader.
func (w *world) next(leader identity.RegionID, prev chain.Link, term uint64, data string, p *chain.LeaderProof) chain.Entry {
	w.tb.Helper()
	kind := uint8(chain.TypeCommand)
	if data == "" {
		kind = chain.TypeNoop
	}
	e := chain.Entry{Header: chain.Header{Prev: prev.Hash, Term: term, Index: prev.Index + 1, Type: kind, Data: sha256.Sum256([]byte(data))}, Proof: p}
	s, err := chain.SignEntry(w.signers[leader], tuple(e.Link()))
	w.must(err)
	e.Sig = s.Signature
	return e
}

func nobody(identity.RegionID) []identity.PublicKey { return nil }

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

func tuple(l chain.Link) chain.Tuple { return chain.Tuple{Lineage: lineage, Link: l} }

// memLog is a log in memory. Entries below first are compacted.
type memLog struct {
	entries []chain.Entry
	links   []chain.Link
	first   uint64
	floor   uint64
}

func newLog(es ...chain.Entry) *memLog {
	l := &memLog{}
	l.add(es...)
	return l
}

func (l *memLog) add(es ...chain.Entry) {
	for _, e := range es {
		l.entries, l.links = append(l.entries, e), append(l.links, e.Link())
	}
}

func (l *memLog) cut(from uint64) {
	l.entries, l.links = l.entries[:from-1:from-1], l.links[:from-1:from-1]
}

func (l *memLog) At(i uint64) (chain.Link, bool) {
	switch {
	case i < l.first || i > uint64(len(l.links)):
		return chain.Link{}, false
	case i == 0:
		return chain.Genesis(lineage), true
	}
	return l.links[i-1], true
}

func (l *memLog) Last() chain.Link {
	if n := len(l.links); n > 0 {
		return l.links[n-1]
	}
	return chain.Genesis(lineage)
}

func (l *memLog) Floor() uint64 { return l.floor }

// leaders returns the proofs that stand in the log.
func (l *memLog) leaders(term uint64) *chain.LeaderProof {
	for _, e := range l.entries {
		if e.Proof != nil && e.Proof.Term == term {
			return e.Proof
		}
	}
	return nil
}

func code(t *testing.T, what string, err error, want errs.Code) {
	t.Helper()
	if got := errs.CodeOf(err); got != want {
		t.Errorf("%s: %v (%s), want %s", what, err, got, want)
	}
}
