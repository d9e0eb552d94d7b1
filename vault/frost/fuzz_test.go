package frost

import (
	"testing"
)

// Every decoder: whatever it accepts has exactly that encoding, and nothing panics on it.

type encoder interface{ Encode() []byte }

// samples returns one valid message of each kind and suite.
func samples(t testing.TB) map[string][][]byte {
	out := map[string][][]byte{}
	for _, s := range ceremonies {
		w := newWorld(t, s, 2, seeded(3))
		all := beginAll(t, NewKey(s, session("fuzz"), "test", 2, fourRegions()), nil, seeded(4))
		exchange(t, all)
		d, err := all[1].Dealt(2)
		must(t, err)
		secret := make([]byte, 32)
		secret[7] = 9
		split, _, err := SplitSecret(seeded(5), s, secret, 3, fourRegions())
		must(t, err)
		for kind, e := range map[string]encoder{
			"key": w.key, "share": w.shares[1],
			"dealing": all[1].own, "dealt": d, "complaint": &Complaint{by: 2, dealt: d}, "split": split,
		} {
			out[kind] = append(out[kind], e.Encode())
		}
		if s.signless() == nil {
			cs := w.commit(t, []uint8{1, 2})
			out["commitment"] = append(out["commitment"], cs[0].Encode())
			out["part"] = append(out["part"], w.parts(t, w.key, message(1), cs)[0].Encode())
		}
	}
	return out
}

func fuzz[T encoder](f *testing.F, kind string, decode func(b []byte) (T, error), use func(T)) {
	for _, b := range samples(f)[kind] {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		if string(v.Encode()) != string(b) {
			t.Fatalf("%x encodes as %x", b, v.Encode())
		}
		use(v)
	})
}

func FuzzDecodePublicKey(f *testing.F) {
	fuzz(f, "key", DecodePublicKey, func(k *PublicKey) {
		_ = k.Verify(message(1), make([]byte, 64))
		_, _, _ = k.Child([32]byte{}, 1)
	})
}

func FuzzDecodeShare(f *testing.F) {
	k := newWorld(f, Ed25519, 2, seeded(5)).key
	fuzz(f, "share", DecodeShare, func(s *Share) { _ = s.Matches(k) })
}

func FuzzDecodeCommitment(f *testing.F) {
	k := newWorld(f, Ed25519, 2, seeded(5)).key
	fuzz(f, "commitment", func(b []byte) (*Commitment, error) { return DecodeCommitment(1, b) },
		func(c *Commitment) { _, _ = k.newRound(message(1), []*Commitment{c, c}) })
}

func FuzzKnownCommitment(f *testing.F) {
	fuzz(f, "commitment", KnownCommitment, func(c *Commitment) {
		if !c.same(c) {
			f.Error("a commitment is not itself")
		}
	})
}

func FuzzDecodeSignatureShare(f *testing.F) {
	w := newWorld(f, Ed25519, 2, seeded(5))
	cs := w.commit(f, []uint8{1, 2})
	good := w.parts(f, w.key, message(1), cs)
	fuzz(f, "part", func(b []byte) (*SignatureShare, error) { return DecodeSignatureShare(1, b) }, func(s *SignatureShare) {
		if _, err := w.key.Aggregate(message(1), cs, []*SignatureShare{s, good[1]}); err == nil && string(s.Encode()) != string(good[0].Encode()) {
			f.Errorf("%x passes for another part", s.Encode())
		}
	})
}

func FuzzDecodeDealing(f *testing.F) {
	terms := NewKey(Ed25519, session("fuzz"), "test", 2, fourRegions())
	fuzz(f, "dealing", func(b []byte) (*Dealing, error) { return DecodeDealing(1, b) }, func(d *Dealing) { _ = d.verify(&terms) })
}

func FuzzDecodeDealt(f *testing.F) {
	all := beginAll(f, NewKey(Ed25519, session("fuzz"), "test", 2, fourRegions()), nil, seeded(4))
	exchange(f, all)
	fuzz(f, "dealt", func(b []byte) (*Dealt, error) { return DecodeDealt(1, b) }, func(d *Dealt) {
		if all[2].AddDealt(1, d) != nil {
			_, _ = all[2].Complain(d)
		}
	})
}

func FuzzDecodeComplaint(f *testing.F) {
	all := beginAll(f, NewKey(Ed25519, session("fuzz"), "test", 2, fourRegions()), nil, seeded(4))
	exchange(f, all)
	fuzz(f, "complaint", func(b []byte) (*Complaint, error) { return DecodeComplaint(2, b) }, func(c *Complaint) {
		if v := all[3].Judge(c); len(v.Regions) != 1 || v.Regions[0] != 2 {
			f.Errorf("an honest dealer is convicted: %v", v)
		}
	})
}

func FuzzDecodeSplit(f *testing.F) {
	fuzz(f, "split", DecodeSplit, func(s *Split) {
		if k, err := s.Key(fourRegions()); err == nil && k.validate() != nil {
			f.Errorf("%x is no key", s.Encode())
		}
	})
}
