package auditor_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestCoverFitsACommand: what a cluster can prove must fit the field it is filed in.
func TestCoverFitsACommand(t *testing.T) {
	if chain.MaxCover > command.MaxCover {
		t.Errorf("a cover has up to %d bytes, the field %d", chain.MaxCover, command.MaxCover)
	}
}

// TestReleasesAreCertified: a signature for an entry that is not proven certified is found,
// however the proof falls short.
func TestReleasesAreCertified(t *testing.T) {
	for name, cover := range map[string]func(w *world, m command.Meta) []byte{
		"none":            func(*world, command.Meta) []byte { return nil },
		"nonsense":        func(*world, command.Meta) []byte { return []byte("certified, honestly") },
		"two regions":     func(w *world, m command.Meta) []byte { return w.certify(place(m), 1, 4).Encode() },
		"another entry":   func(w *world, m command.Meta) []byte { m.Index--; return w.certify(place(m), 1, 2, 3).Encode() },
		"another log":     func(w *world, m command.Meta) []byte { m.Chain[0] ^= 1; return w.certify(place(m), 1, 2, 3).Encode() },
		"another term":    func(w *world, m command.Meta) []byte { m.Term++; return w.certify(place(m), 1, 2, 3).Encode() },
		"foreign session": func(w *world, m command.Meta) []byte { return w.strange(m).Encode() },
		"forged": func(w *world, m command.Meta) []byte {
			c := w.certify(place(m), 1, 2, 3)
			c.Certificate.Witnesses[1].Sig[0] ^= 1
			return c.Encode()
		},
		"headers that lead elsewhere": func(w *world, m command.Meta) []byte {
			next := chain.Header{Prev: [32]byte{1}, Term: m.Term, Index: m.Index + 1}
			c := w.certify(next.Link(), 1, 2, 3)
			c.Path = []chain.Header{next}
			return c.Encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := w.key("hot", command.P256, 2, nil)
			w.complete(w.ask(key, "certified"), 1)
			w.cover = func(m command.Meta) []byte { return cover(w, m) }
			w.complete(w.ask(key, "not certified"), 1)
			r, err := w.verify()
			wantFinding(t, r, err, auditor.KindCertified)
			if len(r.Findings) != 1 || r.Certified != 1 {
				t.Errorf("%d entries certified, findings %v", r.Certified, r.Findings)
			}
		})
	}
}

// strange has a key that nobody registered stand in for region 3.
func (w *world) strange(m command.Meta) *chain.Cover {
	w.t.Helper()
	r := w.Region(3)
	was := r.Session
	r.Session = &identity.Session{KeySigner: identity.GenerateEd25519()}
	defer func() { r.Session = was }()
	return w.certify(place(m), 1, 2, 3)
}

// TestCoverByALaterCertificate: an entry without a certificate of its own is covered along
// the headers to one that has.
func TestCoverByALaterCertificate(t *testing.T) {
	w := newWorld(t)
	key := w.key("hot", command.P256, 2, nil)
	w.cover = func(m command.Meta) []byte {
		next := chain.Header{Prev: m.Chain, Term: m.Term + 1, Index: m.Index + 1}
		c := w.certify(next.Link(), 2, 3, 4)
		c.Path = []chain.Header{next}
		return c.Encode()
	}
	w.complete(w.ask(key, "older term"), 1)
	if r := w.clean(); r.Certified != 1 {
		t.Errorf("%+v", r)
	}
}

// TestSessionRegisteredAfterItAcked: a region that just started acks before the log has
// its session; the certificate is judged when it comes.
func TestSessionRegisteredAfterItAcked(t *testing.T) {
	for _, registers := range []bool{true, false} {
		w := newWorld(t)
		key := w.key("hot", command.P256, 2, nil)
		r := w.ask(key, "early ack")
		old := w.Region(4).Session
		w.NewSession(w.Region(4), w.Now)
		if _, drawn := r.authors[4]; drawn {
			r.authors[4] = old // its answer is of before
		}
		w.cover = func(m command.Meta) []byte { return w.certify(place(m), 1, 2, 4).Encode() }
		w.complete(r, 1)
		if registers {
			w.ok(w.Register(w.Region(4)))
			if rep := w.clean(); rep.Certified != 1 {
				t.Errorf("%+v", rep)
			}
			continue
		}
		rep, err := w.verify()
		wantFinding(t, rep, err, auditor.KindCertified)
	}
}

// TestOlderFormat: logs of before the proofs verify and are told apart; nobody goes back
// to the older form once a proof was filed.
func TestOlderFormat(t *testing.T) {
	w := newWorld(t)
	key := w.key("hot", command.P256, 2, nil)
	w.cover = nil
	w.complete(w.ask(key, "old", "and old"), 1)
	r := w.ask(key, "drawn again")
	w.complete(w.drawn(w.again(r, nil), r.requests[0]), 1)
	if rep := w.clean(); rep.Older != 3 || rep.Certified != 0 { // two completions, one further attempt
		t.Errorf("%+v", rep)
	}
	w.cover = func(m command.Meta) []byte { return w.certify(place(m), 1, 2, 3).Encode() }
	w.complete(w.ask(key, "new"), 1)
	if rep := w.clean(); rep.Older != 3 || rep.Certified != 1 {
		t.Errorf("%+v", rep)
	}
	w.cover = nil
	w.complete(w.ask(key, "old again"), 1)
	rep, err := w.verify()
	wantFinding(t, rep, err, auditor.KindCertified)
}

// again opens the next attempt for the word of the first region drawn.
func (w *world) again(r *round, partials [][]byte, about ...identity.RegionID) fsm.Result {
	w.t.Helper()
	id := r.requests[0]
	q, _ := w.Machine.View().Request(id)
	if len(about) == 0 {
		about = w.signers(q, r.value)[:1]
	}
	word := w.Word(about[0], command.Word{Kind: command.WordRefused, About: about[0], Request: id, Attempt: q.Open().Number, At: w.Now})
	return w.do(w.By(w.Region(2).Session, &command.OpenAttempt{Request: id, Attempt: q.Open().Number + 1, Words: [][]byte{word}, Partials: partials}))
}

// TestEveryAttemptCounts: draws that were given up stand in the histogram like those that
// came to signatures, and what never was proven is counted as such. A leader that lets
// the draws die which it does not like is seen by their number.
func TestEveryAttemptCounts(t *testing.T) {
	w := newWorld(t)
	key := w.key("hot", command.P256, 2, nil)
	r := w.ask(key, "unloved")
	for range 3 { // two more attempts, then given up
		res := w.again(r, r.encoded())
		if len(res.Opened) > 0 {
			r = w.drawn(res, r.requests[0])
		}
	}
	w.ask(key, "left to expire")
	rep := w.clean()
	var draws uint64
	for _, s := range rep.Selections {
		draws += s.Draws
	}
	if rep.Attempts != 4 || draws != 3 || rep.Undrawn != 1 || rep.Failed != 1 {
		t.Errorf("%d attempts, %d drawn, %d not, %d failed", rep.Attempts, draws, rep.Undrawn, rep.Failed)
	}
}

// TestWordsAreAboutDrawnRegions: a region that is not drawn cannot have a draw it dislikes
// put aside by refusing; nor is it done without showing the draw.
func TestWordsAreAboutDrawnRegions(t *testing.T) {
	undrawn := func(w *world, r *round) identity.RegionID {
		q, _ := w.Machine.View().Request(r.requests[0])
		drawn := w.signers(q, r.value)
		for id := identity.RegionID(1); ; id++ {
			if id != drawn[0] && id != drawn[1] {
				return id
			}
		}
	}
	for name, bend := range map[string]func(w *world, r *round){
		"not drawn":     func(w *world, r *round) { w.again(r, r.encoded(), undrawn(w, r)) },
		"nothing shown": func(w *world, r *round) { w.again(r, nil) },
		"other partials": func(w *world, r *round) {
			other := w.ask(w.keyID(r), "beside")
			w.again(r, other.encoded())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := w.key("hot", command.P256, 2, nil)
			first := w.ask(key, "drawn again in order")
			w.complete(w.drawn(w.again(first, first.encoded()), first.requests[0]), 1)
			w.clean()
			bend(w, w.ask(key, "drawn again out of order"))
			rep, err := w.verify()
			wantFinding(t, rep, err, auditor.KindDraw)
		})
	}
}

func (w *world) keyID(r *round) command.KeyID {
	q, _ := w.Machine.View().Request(r.requests[0])
	return q.Key
}
