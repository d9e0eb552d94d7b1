package frost

import (
	"crypto/rand"
	"slices"
	"testing"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// wants checks code and culprits.
func wants(t *testing.T, what string, err error, code errs.Code, culprits ...uint8) {
	t.Helper()
	if errs.CodeOf(err) != code || !slices.Equal(Culprits(err), culprits) {
		t.Errorf("%s: %v (code %v, culprits %v), want %v and %v", what, err, errs.CodeOf(err), Culprits(err), code, culprits)
	}
	if len(culprits) > 0 && errs.HintOf(err) == "" && code != errs.Malformed {
		t.Errorf("%s: %v has no hint", what, err)
	}
}

// A wrong part names its region, whichever byte is wrong and however many are.
func TestAggregateNamesTheCulprit(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 3, rand.Reader)
		cs := w.commit(t, []uint8{1, 2, 4})
		good := w.parts(t, w.key, message(1), cs)
		spoil := func(i int, f func(p *SignatureShare)) []*SignatureShare {
			out := slices.Clone(good)
			bad := *out[i]
			bad.r, bad.z = slices.Clone(bad.r), slices.Clone(bad.z)
			f(&bad)
			out[i] = &bad
			return out
		}
		for i, p := range good {
			for name, parts := range map[string][]*SignatureShare{
				"response":             spoil(i, func(p *SignatureShare) { p.z[15] ^= 1 }),
				"group commitment":     spoil(i, func(p *SignatureShare) { p.r[15] ^= 1 }),
				"both":                 spoil(i, func(p *SignatureShare) { p.r[15] ^= 1; p.z[15] ^= 1 }),
				"another's response":   spoil(i, func(p *SignatureShare) { p.z = good[(i+1)%3].z }),
				"zero":                 spoil(i, func(p *SignatureShare) { clear(p.z) }),
				"negated":              spoil(i, func(p *SignatureShare) { p.z = s.group.negate(readScalarOf(t, s, p.z)).bytes() }),
				"part of another time": spoil(i, func(q *SignatureShare) { *q = *earlier(t, w, p.region) }),
			} {
				_, err := w.key.Aggregate(message(1), cs, parts)
				wants(t, name, err, errs.Unverified, p.region)
				wants(t, name+", alone", w.key.CheckShare(message(1), cs, parts[i]), errs.Unverified, p.region)
			}
			_, err := w.key.Aggregate(message(1), cs, spoil(i, func(p *SignatureShare) { p.epoch++ }))
			wants(t, "another epoch", err, errs.Stale, p.region)
		}
		two := spoil(0, func(p *SignatureShare) { p.z[0] ^= 1 })
		two[2] = spoil(2, func(p *SignatureShare) { p.z[0] ^= 2 })[2]
		_, err := w.key.Aggregate(message(1), cs, two)
		wants(t, "two culprits", err, errs.Unverified, 1, 4)
		_, err = w.key.Aggregate(message(2), cs, good)
		wants(t, "parts of another message", err, errs.Unverified, 1, 2, 4)

		sig, err := w.key.Aggregate(message(1), cs, good) // nothing was lost by all that
		must(t, err)
		must(t, independent(w.key, message(1), sig))
	}
}

// earlier is a valid part of region from another attempt.
func earlier(t *testing.T, w *world, region uint8) *SignatureShare {
	t.Helper()
	others := slices.DeleteFunc(fourRegions(), func(r uint8) bool { return r == region })
	cs := w.commit(t, append(others[:2:2], region))
	p, err := w.pools[region].Sign(w.shares[region], w.key, message(9), cs)
	must(t, err)
	return p
}

// Two culprits whose errors cancel out make a valid signature: nothing to accuse.
func TestErrorsThatCancelStillSign(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	cs := w.commit(t, []uint8{1, 2})
	parts := w.parts(t, w.key, message(1), cs)
	g, delta := Ed25519.group, randomScalarOf(t, Ed25519)
	parts[0].z = g.add(readScalarOf(t, Ed25519, parts[0].z), delta).bytes()
	parts[1].z = g.add(readScalarOf(t, Ed25519, parts[1].z), g.negate(delta)).bytes()
	sig, err := w.key.Aggregate(message(1), cs, parts)
	must(t, err)
	must(t, independent(w.key, message(1), sig))
}

func TestAggregateRefusesWrongParties(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 2})
		parts := w.parts(t, w.key, message(1), cs)
		third := earlier(t, w, 3)
		for name, c := range map[string]struct {
			cs    []*Commitment
			parts []*SignatureShare
			code  errs.Code
		}{
			"one part":             {cs, parts[:1], errs.Unavailable},
			"no part":              {cs, nil, errs.Unavailable},
			"nil part":             {cs, []*SignatureShare{parts[0], nil}, errs.Unavailable},
			"nil commitment":       {[]*Commitment{nil, cs[0]}, parts, errs.Invalid},
			"one part twice":       {cs, []*SignatureShare{parts[0], parts[0]}, errs.Invalid},
			"part of a non-signer": {cs, []*SignatureShare{parts[0], third}, errs.Invalid},
			"three parts":          {cs, append(slices.Clone(parts), third), errs.Unavailable},
			"one commitment":       {cs[:1], parts[:1], errs.Invalid},
			"a commitment twice":   {[]*Commitment{cs[0], cs[0]}, parts, errs.Invalid},
			"five commitments":     {append(w.commit(t, fourRegions()), cs[0]), parts, errs.Invalid},
		} {
			_, err := w.key.Aggregate(message(1), c.cs, c.parts)
			wants(t, name, err, c.code)
		}
	}
}

// Commitments that do not belong: of another suite or region. (For copied ones see
// TestCopiedCommitment.)
func TestCommitmentsRefused(t *testing.T) {
	for i, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 2})
		alter := func(f func(c *Commitment)) []*Commitment {
			c := *cs[1]
			f(&c)
			return []*Commitment{cs[0], &c}
		}
		_, err := w.key.newRound(message(1), alter(func(c *Commitment) { c.suite = suites[1-i] }))
		wants(t, "suite", err, errs.Invalid, 2)
		_, err = w.key.newRound(message(1), alter(func(c *Commitment) { c.region = 9 }))
		wants(t, "stranger", err, errs.Denied)

		enc := cs[1].Encode()
		_, err = DecodeCommitment(1, enc)
		wants(t, "a commitment of region 2 sent by region 1", err, errs.Denied, 1)
		for name, b := range spoiledForms(enc, s, 15) {
			_, err := DecodeCommitment(2, b)
			wants(t, name, err, errs.Malformed, 2)
			if _, err := KnownCommitment(b); err == nil {
				t.Errorf("%v: %s: the light form reads it", s, name)
			}
		}
	}
}

// spoiledForms spoils a canonical form: length, version, suite, and the point at offset.
func spoiledForms(enc []byte, s *Suite, at int) map[string][]byte {
	set := func(i int, b ...byte) []byte {
		out := slices.Clone(enc)
		copy(out[i:], b)
		return out
	}
	out := map[string][]byte{
		"empty": nil, "short": enc[:len(enc)-1], "trailing byte": append(slices.Clone(enc), 0),
		"version": set(0, 9), "suite 0": set(1, 0), "suite 77": set(1, 77), "other suite": set(1, 3-s.id),
		"identity":  set(at, make([]byte, s.group.pointSize())...),
		"all ones":  set(at, slices.Repeat([]byte{0xff}, s.group.pointSize())...),
		"all ones7": set(at, append(slices.Repeat([]byte{0xff}, s.group.pointSize()-1), 0x7f)...),
	}
	if s == Ed25519 {
		out["y = 1"] = set(at, append([]byte{1}, make([]byte, 31)...)...)
		out["order two"] = set(at, append([]byte{0xec}, append(slices.Repeat([]byte{0xff}, 30), 0x7f)...)...)
	}
	return out
}

// mixedOrder adds a point of order eight to p.
func mixedOrder(t *testing.T, p point) point {
	t.Helper()
	small, err := new(edwards25519.Point).SetBytes(unhex(t, smallOrder[4]))
	must(t, err)
	return newEdPoint(small.Add(small, &p.(*edPoint).p))
}

// A region that publishes a commitment with a component of small order is refused when it
// is published; and where that test is left out, it is named after aggregation.
func TestMixedOrderCommitment(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	for range 8 { // the component's effect depends on the binding factor modulo 8
		cs := w.commit(t, []uint8{1, 2})
		liar := *cs[1]
		liar.hiding = mixedOrder(t, liar.hiding)
		_, err := DecodeCommitment(2, liar.Encode())
		wants(t, "published", err, errs.Malformed, 2)

		known, err := KnownCommitment(liar.Encode())
		must(t, err)
		w.pools[2].fresh[known.serial].commitment = known
		named := []*Commitment{cs[0], known}
		_, err = w.key.Aggregate(message(1), named, w.parts(t, w.key, message(1), named))
		wants(t, "used", err, errs.Unverified, 2)
	}
}

func TestSignatureShareDecoding(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 2})
		enc := w.parts(t, w.key, message(1), cs)[0].Encode()
		_, err := DecodeSignatureShare(2, enc)
		wants(t, "answer for another", err, errs.Denied, 2)
		for name, b := range map[string][]byte{
			"empty": nil, "short": enc[:len(enc)-1], "trailing byte": append(slices.Clone(enc), 0),
			"version": append([]byte{9}, enc[1:]...), "suite": append([]byte{1, 9}, enc[2:]...),
			"scalar": append(slices.Clone(enc[:len(enc)-32]), slices.Repeat([]byte{0xff}, 32)...),
		} {
			_, err := DecodeSignatureShare(1, b)
			wants(t, name, err, errs.Malformed, 1)
		}
	}
}

func TestShareDecoding(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		enc := w.shares[3].Encode()
		got, err := DecodeShare(enc)
		must(t, err)
		must(t, got.Matches(w.key))
		if got.Region() != 3 || got.Epoch() != 1 {
			t.Fatalf("%v: read %v", s, got)
		}
		for name, b := range map[string][]byte{
			"empty": nil, "short": enc[:38], "trailing byte": append(slices.Clone(enc), 0),
			"zero": append(slices.Clone(enc[:7]), make([]byte, 32)...), "region 0": append(slices.Clone(enc[:6]), append([]byte{0}, enc[7:]...)...),
			"epoch 0":       append(slices.Clone(enc[:2]), append([]byte{0, 0, 0, 0}, enc[6:]...)...),
			"not canonical": append(slices.Clone(enc[:7]), slices.Repeat([]byte{0xff}, 32)...),
			"version":       append([]byte{2}, enc[1:]...),
		} {
			_, err := DecodeShare(b)
			wants(t, name, err, errs.Malformed)
		}
		other := newWorld(t, s, 2, rand.Reader)
		wants(t, "share of another key", got.Matches(other.key), errs.Corrupt)
		got.epoch = 2
		wants(t, "share of another epoch", got.Matches(w.key), errs.Stale)
		got.epoch, got.region = 1, 7
		wants(t, "share of a stranger", got.Matches(w.key), errs.Invalid)
	}
}

func TestPublicKeyDecoding(t *testing.T) {
	for _, s := range suites {
		for threshold := 2; threshold <= 4; threshold++ {
			w := newWorld(t, s, threshold, rand.Reader)
			enc := w.key.Encode()
			got, err := DecodePublicKey(enc)
			must(t, err)
			if string(got.Encode()) != string(enc) || !got.sameRoot(w.key) || got.Threshold() != threshold {
				t.Fatalf("%v: a key does not survive its encoding", s)
			}
			for name, b := range spoiledForms(enc, s, 8) {
				if _, err := DecodePublicKey(b); errs.CodeOf(err) != errs.Malformed {
					t.Errorf("%v: %s: %v", s, name, err)
				}
			}
			for name, at := range map[string]int{"threshold": 6, "regions": 7, "epoch": 5} {
				for _, v := range []byte{0, 1, 200} {
					b := slices.Clone(enc)
					if b[at] = v; slices.Equal(b, enc) || name == "epoch" && v != 0 {
						continue
					}
					if _, err := DecodePublicKey(b); err == nil {
						t.Errorf("%v: %s %d accepted", s, name, v)
					}
				}
			}
		}
		// shares that do not lie on one polynomial
		w := newWorld(t, s, 2, rand.Reader)
		for i := range w.key.shares {
			k := *w.key
			k.shares = slices.Clone(k.shares)
			k.shares[i] = s.addPoints(k.shares[i], s.group.base(s.group.number(1)))
			_, err := DecodePublicKey(k.Encode())
			wants(t, "one share off", err, errs.Invalid)
		}
		if s == Ed25519 {
			k := *w.key
			k.root = mixedOrder(t, k.root)
			_, err := DecodePublicKey(k.Encode())
			wants(t, "key of mixed order", err, errs.Malformed)
		}
	}
}
