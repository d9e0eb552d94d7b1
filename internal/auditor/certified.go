package auditor

import (
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// proofs are the notes on what is certified and on draws that were given up.
type proofs struct {
	book    *chain.Book     // the sessions registered so far
	judged  map[uint64]bool // entries whose certificate was looked at, for good or ill
	waiting []waiting       // signed by sessions that no leaf has registered yet
	covers  bool            // a completion carried a certificate: the format has a place for it
	draws   bool            // a further attempt carried the partials of the one before
}

// waiting is a certificate that cannot be judged yet: a region that just started acks
// entries before the log has its session.
type waiting struct {
	seq   uint64
	at    chain.Link
	cover *chain.Cover
}

// pins are the identity keys a region had so far.
func (v *verifier) pins(id identity.RegionID) (keys []identity.PublicKey) {
	for _, t := range v.books.anew.terms[id] {
		keys = append(keys, t.key)
	}
	return keys
}

// certified wants the proof that the entry at which released signatures were drawn is
// certified; one proof serves all of the entry.
func (v *verifier) certified(l *audit.Leaf, b *command.Complete, m command.Meta) {
	p := &v.books.proofs
	p.covers = p.covers || len(b.Cover) > 0
	if p.judged[m.Index] {
		return
	}
	p.judged[m.Index] = true
	switch {
	case len(b.Cover) > 0:
	case p.covers:
		v.report.found(l.Seq, KindCertified, "signatures left for entry %d, and nothing shows that it is certified", m.Index)
		return
	default:
		v.report.Older++
		return
	}
	cover, err := chain.DecodeCover(b.Cover)
	if err != nil {
		v.report.found(l.Seq, KindCertified, "the certificate of entry %d does not decode: %v", m.Index, err)
		return
	}
	for _, s := range cover.Sessions {
		_ = v.introduce(s) // one that nobody vouches for signs nothing
	}
	w := waiting{l.Seq, chain.Link{Term: m.Term, Index: m.Index, Hash: m.Chain}, cover}
	if !v.judgeCover(w, len(p.waiting) < waitingMax) {
		p.waiting = append(p.waiting, w)
	}
}

// judgeCover returns false if the certificate has to wait for a session, and may.
func (v *verifier) judgeCover(w waiting, mayWait bool) bool {
	roster := rosterAt{v.books.proofs.book, v.books.anew.ended, w.cover.Certificate.Index}
	err := w.cover.Verify(roster, v.lineage, w.at)
	switch {
	case err == nil:
		v.report.Certified++
	case mayWait && errs.CodeOf(err) == errs.Unauthenticated:
		return false
	default:
		v.report.found(w.seq, KindCertified, "entry %d: %v", w.at.Index, err)
	}
	return true
}

// retryCovers judges again what waited for a session, now that there is a new one.
func (v *verifier) retryCovers() {
	p := &v.books.proofs
	p.waiting = slices.DeleteFunc(p.waiting, func(w waiting) bool { return v.judgeCover(w, true) })
}

// uncovered reports the certificates whose sessions never came.
func (v *verifier) uncovered() {
	for _, w := range v.books.proofs.waiting {
		v.judgeCover(w, false)
	}
	v.books.proofs.waiting = nil
}

// reasoned checks that the words for another attempt, or for giving up, are about regions
// drawn for the last one. So the draws that came to nothing are recomputed and counted
// like the others.
func (v *verifier) reasoned(l *audit.Leaf, b *command.OpenAttempt) {
	q, p := v.books.open[b.Request], &v.books.proofs
	if q == nil || len(q.attempts) == 0 {
		return // found elsewhere
	}
	if len(b.Partials) == 0 {
		if p.draws {
			v.report.found(l.Seq, KindDraw, "attempt %d of request %s: nothing shows whom the words are about was drawn", b.Attempt, b.Request)
		} else {
			v.report.Older++
		}
		return
	}
	p.draws = true
	last := &q.attempts[len(q.attempts)-1]
	value, err := v.value(last.meta, b.Partials)
	if err != nil {
		v.report.found(l.Seq, KindDraw, "attempt %d of request %s: %v", b.Attempt, b.Request, err)
		return
	}
	v.draw(q, uint8(len(q.attempts)), value)
	for _, raw := range b.Words {
		w, err := command.DecodeWord(raw)
		if err != nil || !slices.Contains(last.order, w.About) {
			v.report.found(l.Seq, KindDraw, "attempt %d of request %s was opened for a word about region %d; drawn were %v", b.Attempt, b.Request, about(w), last.order)
		}
	}
}

func about(w *command.Word) identity.RegionID {
	if w == nil {
		return 0
	}
	return w.About
}
