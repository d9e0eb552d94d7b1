package chain_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func (w *world) accuse(k chain.Kind, accused identity.RegionID, first, second []byte) *chain.Evidence {
	w.tb.Helper()
	e, err := chain.Accuse(w.signers[1], chain.Evidence{Kind: k, Cluster: clusterID, Lineage: lineage, Accused: accused, Noticed: noon,
		First: first, Second: second, Sessions: []*identity.SessionCert{w.certs[1], w.certs[2], w.certs[3], w.certs[4]}})
	w.must(err)
	return e
}

func (w *world) entry(r identity.RegionID, t chain.Tuple) []byte {
	e, err := chain.SignEntry(w.signers[r], t)
	w.must(err)
	return e.Encode()
}

func (w *world) ackBytes(r identity.RegionID, t chain.Tuple, at time.Time) []byte {
	a, err := chain.SignAck(w.signers[r], t, at)
	w.must(err)
	return a.Encode()
}

func (w *world) voteBytes(r, candidate identity.RegionID, term uint64, last chain.Link, granted bool) []byte {
	v := w.vote(r, candidate, term, last, granted)
	return v.Encode()
}

func (w *world) refusedBytes(r identity.RegionID, kind uint8, signed string, data []byte) []byte {
	h := chain.Header{Prev: lineage, Term: 2, Index: 7, Type: kind, Data: sha256.Sum256([]byte(signed))}
	e, err := chain.SignEntry(w.signers[r], tuple(h.Link()))
	w.must(err)
	x := chain.Refused{Header: h, Sig: e.Signature, Code: errs.Malformed, Data: data}
	return x.Encode()
}

func (w *world) preVoteBytes(r identity.RegionID, cause chain.Cause, at time.Time) []byte {
	p, err := chain.SignPreVote(w.signers[r], chain.PreVote{Lineage: lineage, Term: 3, Candidate: r, Cause: cause, At: at})
	w.must(err)
	return p.Encode()
}

func (w *world) claimBytes(r identity.RegionID, index uint64, when time.Time) []byte {
	c, err := chain.SignClaim(w.signers[r], at(index, 0), when)
	w.must(err)
	return c.Encode()
}

func (w *world) offerBytes(r identity.RegionID, p *chain.SnapshotProof, proof []byte) []byte {
	o, err := chain.SignOffer(w.signers[r], p.Tuple, proof)
	w.must(err)
	return o.Encode()
}

type accusation struct {
	name          string
	kind          chain.Kind
	first, second []byte
	shows         bool // anything at all
	convicts      bool
}

func (w *world) accusations() []accusation {
	l, m := at(3, 0).Link, at(3, 1).Link
	l.Term, m.Term = 1, 1
	proven, short := w.snapshot(1, 2, 3), w.snapshot(1, 2)
	forged := w.snapshot(1, 2, 3)
	forged.State[0]++
	later := noon.Add(300 * time.Millisecond)
	return []accusation{
		{"rival entries", chain.RivalEntries, w.entry(4, at(3, 0)), w.entry(4, at(3, 1)), true, true},
		{"one entry twice", chain.RivalEntries, w.entry(4, at(3, 0)), w.entry(4, at(3, 0)), false, false},
		{"entries of two indexes", chain.RivalEntries, w.entry(4, at(3, 0)), w.entry(4, at(4, 1)), false, false},
		{"entries of two regions", chain.RivalEntries, w.entry(4, at(3, 0)), w.entry(3, at(3, 1)), false, false},
		{"an ack for an entry", chain.RivalEntries, w.entry(4, at(3, 0)), w.ackBytes(4, at(3, 1), noon), false, false},
		{"rival acks", chain.RivalAckPair, w.ackBytes(4, at(3, 0), noon), w.ackBytes(4, at(3, 1), noon), true, true},
		{"renewed ack", chain.RivalAckPair, w.ackBytes(4, at(3, 0), noon), w.ackBytes(4, at(3, 0), later), false, false},
		{"two grants", chain.RivalVotes, w.voteBytes(4, 1, 2, l, true), w.voteBytes(4, 2, 2, l, true), true, true},
		{"two logs", chain.RivalVotes, w.voteBytes(4, 1, 2, l, false), w.voteBytes(4, 1, 2, m, false), true, true},
		{"two bases", chain.RivalVotes, w.voteBytes(4, 4, 2, l, true), w.voteBytes(4, 4, 2, m, true), true, true},
		{"refused one, granted one", chain.RivalVotes, w.voteBytes(4, 1, 2, l, false), w.voteBytes(4, 2, 2, l, true), false, false},
		{"votes of two terms", chain.RivalVotes, w.voteBytes(4, 1, 2, l, true), w.voteBytes(4, 2, 3, l, true), false, false},
		{"unknown type", chain.RefusedEntry, w.refusedBytes(4, 2, "x", []byte("x")), nil, true, true},
		{"no-op with data", chain.RefusedEntry, w.refusedBytes(4, chain.TypeNoop, "x", nil), nil, true, true},
		{"empty command", chain.RefusedEntry, w.refusedBytes(4, chain.TypeCommand, "", nil), nil, true, true},
		{"bytes to be judged", chain.RefusedEntry, w.refusedBytes(4, chain.TypeCommand, "x", []byte("x")), nil, true, false},
		{"other bytes", chain.RefusedEntry, w.refusedBytes(4, chain.TypeCommand, "x", []byte("y")), nil, false, false},
		{"by somebody else", chain.RefusedEntry, w.refusedBytes(3, 2, "x", nil), nil, false, false},
		{"short proof", chain.UnprovenSnapshot, w.offerBytes(4, short, short.Encode()), short.Encode(), true, true},
		{"no proof", chain.UnprovenSnapshot, w.offerBytes(4, short, nil), nil, true, true},
		{"forged proof", chain.UnprovenSnapshot, w.offerBytes(4, forged, forged.Encode()), forged.Encode(), true, true},
		{"good proof", chain.UnprovenSnapshot, w.offerBytes(4, proven, proven.Encode()), proven.Encode(), false, false},
		{"another proof", chain.UnprovenSnapshot, w.offerBytes(4, proven, proven.Encode()), short.Encode(), false, false},
		{"false time-out", chain.FalseTimeout, w.preVoteBytes(4, chain.Silence, later), w.ackBytes(4, at(3, 0), noon), true, false},
		{"fenced, not silent", chain.FalseTimeout, w.preVoteBytes(4, chain.Fenced, later), w.ackBytes(4, at(3, 0), noon), false, false},
		{"acked afterwards", chain.FalseTimeout, w.preVoteBytes(4, chain.Silence, noon), w.ackBytes(4, at(3, 0), later), false, false},
		{"claim falls back", chain.StaleCertificate, w.claimBytes(4, 9, noon), w.claimBytes(4, 8, later), true, true},
		{"claim goes on", chain.StaleCertificate, w.claimBytes(4, 8, noon), w.claimBytes(4, 9, later), false, false},
		{"claims at one time", chain.StaleCertificate, w.claimBytes(4, 9, noon), w.claimBytes(4, 8, noon), false, false},
	}
}

func TestConvict(t *testing.T) {
	w := newWorld(t)
	for _, a := range w.accusations() {
		e := w.accuse(a.kind, 4, a.first, a.second)
		f, err := chain.Convict(w.court(), e)
		if (err == nil) != a.shows || err == nil && (f.Convicts != a.convicts || f.Accused != 4 || f.Accuser != 1 || f.Text == "" || !slices.Equal(f.Servers, []string{"region-4"})) {
			t.Errorf("%s: %+v %v", a.name, f, err)
		}
		if err == nil {
			c, ok := f.Conviction()
			if want := a.convicts && (a.kind == chain.RivalEntries || a.kind == chain.RivalVotes); ok != want || ok && (c.Region != 4 || c.Term != 2) {
				t.Errorf("%s: conviction %+v %v", a.name, c, ok)
			}
		}
		back, err := chain.DecodeEvidence(e.Encode())
		if err != nil || !bytes.Equal(back.Encode(), e.Encode()) {
			t.Errorf("%s: round trip: %v", a.name, err)
		}
	}
}

// TestEvidenceAltered: no byte of a file may be changed, wherever it stands.
func TestEvidenceAltered(t *testing.T) {
	w := newWorld(t)
	good := w.accuse(chain.RivalEntries, 4, w.entry(4, at(3, 0)), w.entry(4, at(3, 1))).Encode()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		e, err := chain.DecodeEvidence(bad)
		if err != nil {
			continue
		}
		if f, err := chain.Convict(w.court(), e); err == nil {
			t.Fatalf("byte %d changed: %+v", i, f)
		}
	}
	for i := range good {
		if _, err := chain.DecodeEvidence(good[:i]); err == nil {
			t.Fatalf("cut to %d bytes and still read", i)
		}
	}
}

func TestEvidenceCourt(t *testing.T) {
	w := newWorld(t)
	e := w.accuse(chain.RivalEntries, 4, w.entry(4, at(3, 0)), w.entry(4, at(3, 1)))
	for name, alter := range map[string]func(*chain.Court){
		"cluster": func(c *chain.Court) { c.Cluster[0]++ },
		"lineage": func(c *chain.Court) { c.Lineage[0]++ },
		"pins":    func(c *chain.Court) { c.Pins = func(identity.RegionID) []identity.PublicKey { return nil } },
	} {
		c := w.court()
		alter(&c)
		_, err := chain.Convict(c, e)
		refused(t, name, err, true)
	}
	self, err := chain.Accuse(w.signers[4], *e)
	w.must(err)
	_, err = chain.Convict(w.court(), self)
	refused(t, "accused by itself", err, true)

	// The accuser leaves out a signer's session: a good proof must not look bad.
	p := w.snapshot(1, 2, 3)
	less, err := chain.Accuse(w.signers[1], chain.Evidence{Kind: chain.UnprovenSnapshot, Cluster: clusterID, Lineage: lineage, Accused: 4, Noticed: noon,
		First: w.offerBytes(4, p, p.Encode()), Second: p.Encode(), Sessions: []*identity.SessionCert{w.certs[1], w.certs[2], w.certs[4]}})
	w.must(err)
	_, err = chain.Convict(w.court(), less)
	refused(t, "session left out", err, true)

	// Two sessions of one liar: rivals count by region.
	second, cert := w.session(4, "second", noon)
	b, err := chain.SignEntry(second, at(3, 1))
	w.must(err)
	two, err := chain.Accuse(w.signers[1], chain.Evidence{Kind: chain.RivalEntries, Cluster: clusterID, Lineage: lineage, Accused: 4, Noticed: noon,
		First: w.entry(4, at(3, 0)), Second: b.Encode(), Sessions: []*identity.SessionCert{w.certs[1], w.certs[4], cert}})
	w.must(err)
	if f, err := chain.Convict(w.court(), two); err != nil || !f.Convicts {
		t.Errorf("two sessions: %+v %v", f, err)
	}
}

// A region that certifies another's session key as its own makes no evidence against the
// key's owner: a snapshot that was properly attested stays so.
func TestStolenKeyConvictsNobody(t *testing.T) {
	w := newWorld(t)
	p := w.snapshot(1, 2, 3)
	for victim := identity.RegionID(1); victim <= 3; victim++ {
		thief := identity.SessionCert{Cluster: clusterID, Region: 4, ServerID: w.certs[4].ServerID, Issued: noon.Add(time.Hour)}
		stolen, err := identity.IssueSession(t.Context(), w.ids[4], onlySeen{w.ids[4], w.certs[victim].Session}, thief)
		w.must(err)
		e, err := chain.Accuse(w.signers[4], chain.Evidence{Kind: chain.UnprovenSnapshot, Cluster: clusterID, Lineage: lineage, Accused: 1, Noticed: noon,
			First: w.offerBytes(1, p, p.Encode()), Second: p.Encode(), Sessions: []*identity.SessionCert{w.certs[1], w.certs[2], w.certs[3], w.certs[4], stolen}})
		w.must(err)
		if f, err := chain.Convict(w.court(), e); err == nil {
			t.Errorf("key of region %d stolen: region 1 is convicted: %v, %s", victim, f.Convicts, f.Text)
		}
	}
}
