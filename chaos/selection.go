package chaos

import (
	"fmt"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// selection checks invariant 9: whoever signed is who the beacon drew, every answer names
// the drawn regions and the beacon's value, and no further attempt lacks its reason. That
// draws are uniform only many of them show: see Tally.
func selection(l *ledger, f *findings) {
	proven(l, f)
	for _, q := range l.requests {
		for _, a := range q.answers {
			l.answer(q, &a, f)
		}
		for i := 1; i < len(q.attempts); i++ {
			l.reason(q, i, f)
		}
	}
}

func (l *ledger) answer(q *request, a *filed, f *findings) {
	if a.item.Code != errs.OK {
		return
	}
	n := int(a.item.Attempt)
	if n < 1 || n > len(q.attempts) {
		f.add("request %s: region %d answered attempt %d of %d", q.id, a.answer.Region, n, len(q.attempts))
		return
	}
	t := q.attempts[n-1]
	if !slices.Equal(a.item.Signers, t.drawn) {
		f.add("request %s, attempt %d: region %d answered as if %v were drawn, drawn are %v", q.id, n, a.answer.Region, a.item.Signers, t.drawn)
	}
	if !slices.Contains(t.drawn, a.answer.Region) {
		f.add("request %s, attempt %d: region %d answered, drawn are %v", q.id, n, a.answer.Region, t.drawn)
	}
	if value, err := l.history.Value(t.meta); err != nil || value != a.answer.Value {
		f.add("request %s, attempt %d: region %d drew from another value than the beacon's", q.id, n, a.answer.Region)
	}
}

// reason wants, for a further attempt, the word of a region drawn before that it refuses,
// or of another that a drawn one cannot be reached, or answered wrongly.
func (l *ledger) reason(q *request, i int, f *findings) {
	before := q.attempts[i-1]
	for _, raw := range q.attempts[i].words {
		w, err := command.DecodeWord(raw)
		if err != nil {
			continue
		}
		s, known := l.sessions[w.Session]
		if !known || s.region != w.By || !s.key.Verify(w.SignedBytes(l.history.Genesis.Document.Cluster), w.Sig) {
			continue
		}
		fits := w.Request == q.id && int(w.Attempt) == i && slices.Contains(before.drawn, w.About)
		if fits && (w.Kind == command.WordRefused && w.By == w.About || (w.Kind == command.WordUnreachable || w.Kind == command.WordWrong) && w.By != w.About) {
			return
		}
	}
	f.add("request %s: attempt %d has no reason in any drawn region of attempt %d (%v)", q.id, i+1, i, before.drawn)
}

// Tally counts over many runs which regions signed, where all four were eligible: by the
// first attempt of every request, whether or not it was completed.
type Tally struct {
	counts map[string]float64
	draws  float64
}

// Add counts one history.
func (t *Tally) Add(h *History) error {
	l, err := readLedger(h, h.longest())
	if err != nil {
		return err
	}
	for _, q := range l.requests {
		eligible, by := l.firstDraw(q)
		if len(eligible) == 4 && len(by) == 2 {
			t.count(by)
		}
	}
	return nil
}

// firstDraw returns whom the vault says it drew first, where it was completed; else whom
// it had to draw.
func (l *ledger) firstDraw(q *request) (eligible, by []identity.RegionID) {
	by = q.attempts[0].drawn
	for _, a := range q.answers {
		if a.item.Attempt == 1 && a.item.Code == errs.OK {
			by = a.item.Signers
		}
	}
	return q.eligible, by
}

func (t *Tally) count(by []identity.RegionID) {
	if t.counts == nil {
		t.counts = map[string]float64{}
	}
	set := slices.Clone(by)
	slices.Sort(set)
	t.counts[fmt.Sprint(set)]++
	t.draws++
}

// Draws returns how many were counted.
func (t *Tally) Draws() int { return int(t.draws) }

// pairChance is the value that chi-square with five degrees of freedom exceeds once in a
// million: six pairs of four regions.
const pairChance = 35.9

// Check judges the tally: all six pairs equally often, as far as chance allows.
func (t *Tally) Check() []Violation {
	const pairs = 6
	want, sum := t.draws/pairs, (pairs-float64(len(t.counts)))*t.draws/pairs // never drawn: (0-want)^2/want
	for _, n := range t.counts {
		sum += (n - want) * (n - want) / want
	}
	if t.draws == 0 || sum <= pairChance {
		return nil
	}
	return []Violation{{9, fmt.Sprintf("%d draws of two among four regions are not uniform: %v, chi-square %.1f", t.Draws(), t.counts, sum)}}
}
