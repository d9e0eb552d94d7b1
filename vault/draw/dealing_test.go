package draw

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestDealingRefused(t *testing.T) {
	dealings, shares := dealAll(t, 20, 4, 3)
	fresh := func() []*Dealing {
		out := make([]*Dealing, len(dealings))
		for i, d := range dealings {
			c := *d
			c.Commitments = append([][32]byte(nil), d.Commitments...)
			c.Proof = bytes.Clone(d.Proof)
			out[i] = &c
		}
		return out
	}
	mine := func() [][32]byte {
		out := make([][32]byte, 4)
		for j := range out {
			out[j] = shares[j][0]
		}
		return out
	}
	longer, _ := dealAll(t, 21, 4, 4)
	shorter, _ := dealAll(t, 22, 4, 2)
	replayed, _ := dealAll(t, 23, 4, 3)
	for name, spoil := range map[string]func(d []*Dealing, s [][32]byte){
		"share":                 func(_ []*Dealing, s [][32]byte) { s[2][0] ^= 1 },
		"non-canonical share":   func(_ []*Dealing, s [][32]byte) { s[2][31] |= 0x80 },
		"higher degree":         func(d []*Dealing, _ [][32]byte) { d[2] = longer[2] },
		"lower degree":          func(d []*Dealing, _ [][32]byte) { d[2] = shorter[2] },
		"identity top":          func(d []*Dealing, _ [][32]byte) { d[2].Commitments[2] = [32]byte{} },
		"identity constant":     func(d []*Dealing, _ [][32]byte) { d[2].Commitments[0] = [32]byte{} },
		"no proof":              func(d []*Dealing, _ [][32]byte) { d[2].Proof = nil },
		"proof":                 func(d []*Dealing, _ [][32]byte) { d[2].Proof[40] ^= 1 },
		"another's constant":    func(d []*Dealing, _ [][32]byte) { d[2].Commitments[0] = d[0].Commitments[0] },
		"proof copied":          func(d []*Dealing, _ [][32]byte) { d[2].Commitments, d[2].Proof = d[0].Commitments, d[0].Proof },
		"other dealing":         func(d []*Dealing, _ [][32]byte) { d[2] = replayed[2] },
		"top commitment":        func(d []*Dealing, _ [][32]byte) { d[2].Commitments[2] = d[1].Commitments[2] },
		"non-canonical element": func(d []*Dealing, _ [][32]byte) { d[2].Commitments[1][31] |= 0x80 },
	} {
		d, s := fresh(), mine()
		spoil(d, s)
		_, _, err := Finish(session, 1, 4, 3, d, s)
		if errs.CodeOf(err) != errs.Unverified || !strings.Contains(err.Error(), "region 3") {
			t.Errorf("%s: %v, want a fault of region 3", name, err)
		}
	}
	if _, _, err := Finish([]byte("another session"), 1, 4, 3, fresh(), mine()); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("another session: %v", err)
	}
	twice := fresh()
	twice[3] = twice[0]
	if _, _, err := Finish(session, 1, 4, 3, twice, mine()); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("one region twice: %v", err)
	}
	if _, _, err := Finish(session, 1, 4, 3, fresh()[:3], mine()[:3]); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("three dealings of four: %v", err)
	}
	if _, _, err := Finish(session, 2, 4, 3, fresh(), mine()); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("shares of another region: %v", err)
	}
}

func TestShareVerifiesAlone(t *testing.T) {
	dealings, shares := dealAll(t, 24, 4, 3)
	for i, d := range dealings {
		if err := VerifyDealing(session, d, 3); err != nil {
			t.Fatal(err)
		}
		for j, s := range shares[i] {
			if err := VerifyShare(d, uint8(j+1), s); err != nil {
				t.Fatal(err)
			}
			if err := VerifyShare(d, uint8((j+1)%4+1), s); errs.CodeOf(err) != errs.Unverified {
				t.Fatalf("share of region %d passes for another: %v", j+1, err)
			}
		}
	}
}

func TestDealingsThatCancelOut(t *testing.T) {
	dealings, _ := dealAll(t, 25, 2, 2)
	for i, c := range dealings[0].Commitments { // a rogue copies and negates
		p, _ := decodePoint(c[:])
		dealings[1].Commitments[i] = encodePoint(new(edwards25519.Point).Negate(p))
	}
	if _, err := PublicKeyFrom(session, dealings, 2, 2); errs.CodeOf(err) != errs.Unverified {
		t.Fatalf("rogue dealing: %v", err)
	}
}

func TestNewDealingArguments(t *testing.T) {
	for name, f := range map[string]func() error{
		"region 0":    func() error { _, _, err := NewDealing(rand.Reader, session, 0, 4, 3); return err },
		"region 5":    func() error { _, _, err := NewDealing(rand.Reader, session, 5, 4, 3); return err },
		"threshold 1": func() error { _, _, err := NewDealing(rand.Reader, session, 1, 4, 1); return err },
		"threshold 5": func() error { _, _, err := NewDealing(rand.Reader, session, 1, 4, 5); return err },
		"no session":  func() error { _, _, err := NewDealing(rand.Reader, nil, 1, 4, 3); return err },
	} {
		if err := f(); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := NewDealing(iotest.ErrReader(iotest.ErrTimeout), session, 1, 4, 3); err == nil {
		t.Error("failing randomness was not noticed")
	}
}

func TestHashBindsDealingAndSession(t *testing.T) {
	dealings, _ := dealAll(t, 26, 4, 3)
	d := dealings[0]
	before := d.Hash(session)
	if d.Hash([]byte("other")) == before || dealings[1].Hash(session) == before {
		t.Fatal("hash does not bind")
	}
	d.Proof[0] ^= 1
	if d.Hash(session) == before {
		t.Fatal("hash does not cover the proof")
	}
}

func FuzzDecodeDealing(f *testing.F) {
	dealings, _ := dealAll(f, 27, 4, 3)
	f.Add(dealings[0].Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDealing(b)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Encode(), b) {
			t.Fatal("two encodings of one dealing")
		}
		_ = VerifyDealing(session, d, 3)
		_ = VerifyShare(d, 1, [32]byte{1})
	})
}
