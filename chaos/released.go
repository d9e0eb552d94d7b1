package chaos

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// released checks invariant 1: every signature has a committed, authorised, audited
// request before it, and only drawn regions of its attempts took part. It holds for every
// signature an HSM made, not only for those that got out.
func released(l *ledger, f *findings) {
	for i := range l.history.Made {
		l.made(&l.history.Made[i], f)
	}
	for _, o := range l.history.acknowledged(OpSign) {
		l.received(o, f)
	}
	longest := l.history.longest() // the others are held against it by replicas
	l.audited(&longest, f)
}

// made judges one signature of an HSM: the region must have held the opened attempt in its
// own state when it asked its HSM.
func (l *ledger) made(m *Made, f *findings) {
	k := l.keyOf(m.Label)
	if k == nil || bytes.Equal(m.Data, l.possession(k, m.Region)) {
		return
	}
	asking := l.asking(k, m.Data)
	if len(asking) == 0 {
		f.add("region %d signed %x with key %s, which no request asks for", m.Region, m.Data, k.id)
		return
	}
	first := uint64(0)
	for _, q := range asking {
		for _, t := range q.drawnIn(m.Region) {
			if first == 0 || t.meta.Index < first {
				first = t.meta.Index
			}
		}
	}
	switch applied := l.hadApplied(m); {
	case first == 0:
		f.add("region %d signed for request %s, for which it was not drawn", m.Region, asking[0].id)
	case applied < first:
		f.add("region %d signed for request %s at index %d, its attempt was opened at %d", m.Region, asking[0].id, applied, first)
	}
}

// received judges the signatures a client got.
func (l *ledger) received(o *Op, f *findings) {
	id := command.RequestIDOf(o.Command.Principal, o.Command.ID)
	q := l.requests[id]
	if q == nil {
		f.add("client %s has signatures for request %s, which was never opened", o.Client, id)
		return
	}
	var by []identity.RegionID
	if q.key.threshold {
		l.sums(o, q, f)
	}
	for _, s := range o.Signed {
		by = append(by, s.Region)
		if len(s.Signatures) != len(q.messages) {
			f.add("request %s: region %d gave %d signatures for %d messages", id, s.Region, len(s.Signatures), len(q.messages))
			continue
		}
		for i, sig := range s.Signatures {
			if !q.key.threshold && !intent.Verify(q.key.curve, q.key.public[s.Region], q.messages[i], sig) {
				f.add("request %s: the signature of region %d does not verify", id, s.Region)
			}
		}
	}
	if !slices.ContainsFunc(q.attempts, func(t attempt) bool { return slices.Equal(t.drawn, by) }) {
		f.add("request %s was signed by regions %v, drawn were %s", id, by, q.draws())
	}
}

func (q *request) draws() (s string) {
	for i, t := range q.attempts {
		s += fmt.Sprintf(" %d:%v", i+1, t.drawn)
	}
	return s
}

// audited has an export verified as any auditor would.
func (l *ledger) audited(e *Export, f *findings) {
	g := l.history.Genesis
	var b bytes.Buffer
	w, err := auditor.NewWriter(&b, g.Encode())
	for i := 0; i < len(e.Leaves) && err == nil; i++ {
		err = w.Leaf(&e.Leaves[i])
	}
	if err == nil {
		err = w.Close(e.Checkpoint)
	}
	if err != nil {
		f.add("the audit log of region %d cannot be exported: %v", e.Region, err)
		return
	}
	report, err := auditor.Verify(&b, auditor.TrustAnchor{Genesis: g.Document.Hash(), Signatures: 1})
	if err != nil {
		f.add("the audit log of region %d: %v", e.Region, err)
	}
	if report != nil && report.Unchecked > 0 {
		f.add("the audit log of region %d: %d signatures for requests long closed", e.Region, report.Unchecked)
	}
}
