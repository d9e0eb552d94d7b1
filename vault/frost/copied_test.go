package frost

import (
	"crypto/rand"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// A region that publishes another's points as its own keeps nobody but itself from
// signing: the other's part is right, and it is the copier who is named.
func TestCopiedCommitment(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 3})
		copied := *cs[0]
		copied.region, copied.serial = 3, cs[1].serial
		read, err := DecodeCommitment(3, copied.Encode())
		must(t, err)
		cs[1] = read
		mine, err := w.pools[1].Sign(w.shares[1], w.key, message(1), cs)
		must(t, err)
		must(t, w.key.CheckShare(message(1), cs, mine))
		if _, err := w.pools[3].Sign(w.shares[3], w.key, message(1), cs); errs.CodeOf(err) != errs.Replayed {
			t.Errorf("%v: the copier signs with a nonce it does not have: %v", s, err)
		}
		guess := *mine
		guess.region = 3
		_, err = w.key.Aggregate(message(1), cs, []*SignatureShare{mine, &guess})
		wants(t, "copied part", err, errs.Unverified, 3)
	}
}

// Keep burns what is not asked for, and nothing else.
func TestKeep(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	p := newPool(t, Ed25519, 1, 9)
	cs, err := p.Prepare(rand.Reader, 10)
	must(t, err)
	if n := p.Keep(func(serial uint32) bool { return serial > 4 && serial != 7 }); n != 5 || p.Len() != 5 {
		t.Errorf("%d burned, %d left", n, p.Len())
	}
	others, err := w.pools[2].Prepare(rand.Reader, 2)
	must(t, err)
	for i, c := range cs {
		want := errs.OK
		if c.Serial() <= 4 || c.Serial() == 7 {
			want = errs.Replayed
		}
		if _, err := p.Sign(w.shares[1], w.key, message(i), []*Commitment{c, others[0]}); errs.CodeOf(err) != want {
			t.Errorf("nonce %d: %v, want %v", c.Serial(), err, want)
		}
	}
}

// What Join returns is the signature, or a refusal of parts that were not made together.
func TestJoin(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{2, 4})
		parts := w.parts(t, w.key, message(1), cs)
		sig, err := Join(parts)
		must(t, err)
		must(t, independent(w.key, message(1), sig))
		other := w.parts(t, w.key, message(1), w.commit(t, []uint8{2, 4}))
		_, err = Join([]*SignatureShare{parts[0], other[1]})
		wants(t, "parts of two signatures", err, errs.Unverified)
		_, err = Join(parts[:1])
		wants(t, "one part", err, errs.Invalid)
	}
}
