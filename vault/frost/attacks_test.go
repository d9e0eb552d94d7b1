package frost

import (
	"crypto/rand"
	"encoding"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// What others were broken by, each attack carried out. Where an attack has a test of its
// own beside the code it is aimed at, docs/design/frost.md says which.

// badPoints are encodings that no decoder may take: small order, written canonically or
// not, mixed order, beyond the field, off the curve, at infinity.
func badPoints(t *testing.T, s *Suite) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"zeroes": make([]byte, s.group.pointSize()), "ones": slices.Repeat([]byte{255}, s.group.pointSize())}
	if s == BIP340 {
		x := func(prefix byte, hex string) []byte { return append([]byte{prefix}, unhex(t, hex)...) }
		out["off the curve"] = x(2, "0000000000000000000000000000000000000000000000000000000000000005")
		out["x beyond the field"] = x(3, "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30")
		out["hybrid"] = append([]byte{6}, s.group.base(s.group.number(2)).bytes()[1:]...)
		return out
	}
	if s == Ristretto255 { // RFC 9496 appendix A.2: beyond the field, negative, not square
		for _, h := range []string{"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
			"c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562", "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
			"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"} {
			out["no element "+h[:8]] = unhex(t, h)
		}
		return out
	}
	for _, h := range smallOrder {
		out["small order "+h[:8]+h[62:]] = unhex(t, h)
	}
	for _, h := range smallOrder[1:8] {
		small, err := new(edwards25519.Point).SetBytes(unhex(t, h))
		must(t, err)
		out["mixed order "+h[:8]+h[62:]] = newEdPoint(small.Add(small, edwards25519.NewGeneratorPoint())).bytes()
	}
	out["y beyond the field"] = unhex(t, "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
	return out
}

// badScalars are encodings of numbers that are not below the order.
func badScalars(t *testing.T, s *Suite) map[string][]byte {
	t.Helper()
	if s == BIP340 {
		return map[string][]byte{"n": unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
			"n + 1": unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364142"), "ones": slices.Repeat([]byte{255}, 32)}
	}
	return map[string][]byte{"L": unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
		"L + 1": unhex(t, "eed3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
		"8L":    unhex(t, "689faee7d21893c0b2e6bc17f5cef7a600000000000000000000000000000080"),
		"ones":  slices.Repeat([]byte{255}, 32)}
}

// place is a decoder, something it takes, who sent it (nobody what is stored), and where
// points and scalars stand in it.
type place struct {
	enc             []byte
	decode          func([]byte) error
	from            []uint8
	points, scalars []int
}

// places are all decoders of the package.
func places(t *testing.T, s *Suite) map[string]place {
	t.Helper()
	w, n := newWorld(t, s, 2, rand.Reader), s.group.pointSize()
	all := beginAll(t, newTerms(s, 2), nil, rand.Reader)
	exchange(t, all)
	good, err := all[3].Dealt(1)
	must(t, err)
	wrong := signedWrong(all[3], 1)
	complaint, err := all[1].Complain(wrong)
	must(t, err)
	key := place{enc: w.key.Encode(), decode: func(b []byte) error { _, err := DecodePublicKey(b); return err }, points: []int{8}}
	for i := range 4 {
		key.points = append(key.points, 8+n+i*(n+1)+1)
	}
	out := map[string]place{
		"public key": key,
		"dealing": {enc: all[3].own.Encode(), decode: func(b []byte) error { _, err := DecodeDealing(3, b); return err }, from: []uint8{3},
			points: []int{36, 36 + n}, scalars: []int{36 + 2*n, 68 + 2*n}},
		"dealt": {enc: good.Encode(), decode: func(b []byte) error { _, err := DecodeDealt(3, b); return err }, from: []uint8{3}, scalars: []int{36, 68, 100}},
		"complaint": {enc: complaint.Encode(), decode: func(b []byte) error { _, err := DecodeComplaint(1, b); return err }, from: []uint8{1},
			scalars: []int{41, 73, 105}},
		"share": {enc: w.shares[1].Encode(), decode: func(b []byte) error { _, err := DecodeShare(b); return err }, scalars: []int{7}},
	}
	if s.signless() == nil {
		cs := w.commit(t, []uint8{1, 2})
		out["commitment"] = place{enc: cs[0].Encode(), decode: func(b []byte) error { _, err := DecodeCommitment(1, b); return err }, from: []uint8{1}, points: []int{15, 15 + n}}
		out["part"] = place{enc: w.parts(t, w.key, message(1), cs)[0].Encode(), decode: func(b []byte) error { _, err := DecodeSignatureShare(1, b); return err }, from: []uint8{1},
			scalars: []int{7 + n}}
	}
	return out
}

// tss-lib and every decoder that takes what is not canonical: no place of any message has
// room for a point of small or mixed order, or a second way to write a point or a scalar.
// What a region sent names that region.
func TestNothingBadDecodesAnywhere(t *testing.T) {
	for _, s := range ceremonies {
		points, scalars := badPoints(t, s), badScalars(t, s)
		for what, p := range places(t, s) {
			must(t, p.decode(p.enc))
			try := func(at int, name string, bad []byte) {
				b := slices.Clone(p.enc)
				if copy(b[at:], bad); slices.Equal(b, p.enc) {
					t.Fatalf("%v: %s has %s at %d already", s, what, name, at)
				}
				wants(t, fmt.Sprintf("%v: %s with %s at %d", s, what, name, at), p.decode(b), errs.Malformed, p.from...)
			}
			for _, at := range p.points {
				for name, bad := range points {
					try(at, name, bad)
				}
			}
			for _, at := range p.scalars {
				for name, bad := range scalars {
					try(at, name, bad)
				}
			}
		}
	}
}

// A signature has one encoding too: neither s + order nor R in another form verifies.
func TestSignaturesAreNotMalleable(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		sig := w.sign(t, w.key, message(1), []uint8{1, 2})
		must(t, w.key.Verify(message(1), sig))
		for name, bad := range badScalars(t, s) {
			b := append(slices.Clone(sig[:32]), bad...)
			if w.key.Verify(message(1), b) == nil {
				t.Errorf("%v: s = %s verifies", s, name)
			}
		}
		negated := s.group.negate(readScalarOf(t, s, sig[32:])).bytes()
		if w.key.Verify(message(1), append(slices.Clone(sig[:32]), negated...)) == nil {
			t.Errorf("%v: -s verifies", s)
		}
	}
}

// tss-lib hashed lists without their lengths, so that one hash stood for several: here no
// byte moves from one part to the next without another hash.
func TestHashesAreUnambiguous(t *testing.T) {
	for _, s := range suites {
		whole, seen := []byte("abcdef"), map[string]string{}
		add := func(name string, parts ...[]byte) {
			h := string(s.proofScalar(knowledgeDomain, parts...).bytes())
			if was, ok := seen[h]; ok {
				t.Errorf("%v: %s hashes like %s", s, name, was)
			}
			seen[h] = name
		}
		for i := range len(whole) {
			for j := i; j <= len(whole); j++ {
				add(fmt.Sprintf("split at %d and %d", i, j), whole[:i], whole[i:j], whole[j:])
			}
		}
		add("one part", whole)
		add("an empty part", whole, nil)
		add("no part")
	}
	base := NewKey(Ed25519, session("aaaaaaaaaaaaaaaa"), "b", 2, []uint8{1, 2, 3})
	moved, lists := base, base
	moved.Session, moved.Purpose = append(slices.Clone(base.Session), 'b'), "b"
	lists.Holders, lists.Dealers = []uint8{1, 2}, []uint8{3, 1, 2, 3}
	shifted := base
	shifted.Session, shifted.Purpose = base.Session[:len(base.Session)-1], string(base.Session[len(base.Session)-1:])+"b"
	if base.Hash() == moved.Hash() || base.Hash() == shifted.Hash() || base.Hash() == lists.Hash() {
		t.Error("two terms have one hash")
	}
}

// NEAR's keys signed for each other's purposes: no two uses of a hash share a domain, and
// no domain begins another one, since the RFC's hashes put what is hashed right behind it.
func TestDomainsDoNotMeet(t *testing.T) {
	domains := []string{"rho", "nonce", "msg", "com", "chal"} // of the RFC
	for name, value := range stringConstants(t) {
		if strings.HasSuffix(name, "Domain") {
			domains = append(domains, value)
		}
	}
	if len(domains) < 5+10 {
		t.Fatalf("only %d domains found: %q", len(domains), domains)
	}
	for i, a := range domains {
		for j, b := range domains {
			if i != j && strings.HasPrefix(a, b) {
				t.Errorf("domain %q begins with %q", a, b)
			}
		}
	}
	if strings.HasPrefix(Ed25519.context, BIP340.context) || strings.HasPrefix(BIP340.context, Ed25519.context) {
		t.Error("the suites' contexts meet")
	}
}

// stringConstants reads the package's own constants.
func stringConstants(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i := range v.Values {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					out[v.Names[i].Name] = strings.Trim(lit.Value, "`\"")
				}
			}
			return true
		})
	}
	return out
}

// One randomness, two purposes: not one number, point or key of the two ceremonies is the
// same, and no message of one is taken in the other.
func TestPurposesShareNothing(t *testing.T) {
	for _, s := range suites {
		terms := []Terms{NewKey(s, session("purpose"), "payments", 2, fourRegions()), NewKey(s, session("purpose"), "releases", 2, fourRegions())}
		var all [2]map[uint8]*Ceremony
		seen := map[string]bool{}
		for i := range terms {
			all[i] = beginAll(t, terms[i], nil, seeded(7)) // in the order of regions: the same randomness
			for _, c := range all[i] {
				for _, a := range c.coefficients {
					seen[string(a.bytes())] = true
				}
				seen[string(c.own.c.bytes())], seen[string(c.own.s.bytes())] = true, true
			}
		}
		if len(seen) != 2*4*(2+2) {
			t.Errorf("%v: %d different numbers of %d", s, len(seen), 2*4*4)
		}
		exchange(t, all[0])
		exchange(t, all[1])
		for _, r := range []uint8{2, 3, 4} {
			d, err := all[1][r].Dealt(1)
			must(t, err)
			wants(t, "a value dealt for another purpose", all[0][1].AddDealt(r, d), errs.Replayed, r)
		}
		one, two := finishAll(t, all[0]), finishAll(t, all[1])
		if one[1].Key.root.equal(two[1].Key.root) || one[1].Transcript == two[1].Transcript {
			t.Errorf("%v: one key for two purposes", s)
		}
		w := &world{key: one[1].Key, shares: map[uint8]*Share{}, pools: map[uint8]*Pool{}}
		for _, r := range fourRegions() {
			w.shares[r], w.pools[r] = one[r].Share, newPool(t, s, r, 1)
		}
		cs := w.commit(t, []uint8{1, 2})
		_, err := w.pools[1].Sign(two[1].Share, one[1].Key, message(1), cs)
		wants(t, "a share of another purpose", err, errs.Corrupt)
		sig, err := w.key.Aggregate(message(1), cs, w.parts(t, w.key, message(1), cs))
		must(t, err)
		if two[1].Key.Verify(message(1), sig) == nil {
			t.Errorf("%v: a signature of one key verifies under the other", s)
		}
	}
}

// A dealer that waits for the others' constants picks its own so that the key is one it
// knows alone. It works, and only the proof of possession (and the hashes before) forbid it.
func TestRogueKeyNeedsAProof(t *testing.T) {
	for _, s := range ceremonies {
		terms, g := newTerms(s, 2), s.group
		all := beginAll(t, terms, nil, rand.Reader)
		mine := randomScalarOf(t, s) // the key the attacker wants
		constant := g.base(mine)
		for _, r := range []uint8{1, 2, 4} {
			constant = s.addPoints(constant, g.negatePoint(all[r].own.commitments[0]))
		}
		rogue := copyOf(all[3].own)
		rogue.commitments[0] = constant
		dealings := []*Dealing{all[1].own, all[2].own, rogue, all[4].own}
		sum := constant
		for _, r := range []uint8{1, 2, 4} {
			sum = s.addPoints(sum, all[r].own.commitments[0])
		}
		if !sum.equal(g.base(mine)) {
			t.Fatalf("%v: the attack does not even work unhindered", s)
		}
		nonce := randomScalarOf(t, s)
		proofs := map[string]func(){
			"its old proof":      func() { rogue.c, rogue.s = all[3].own.c, all[3].own.s },
			"another's proof":    func() { rogue.c, rogue.s = all[1].own.c, all[1].own.s },
			"zeroes":             func() { rogue.c, rogue.s = g.number(0), g.number(0) },
			"of the wanted key":  func() { rogue.c = rogue.challenge(g.base(nonce)); rogue.s = g.mulAdd(rogue.c, mine, nonce) },
			"the response alone": func() { rogue.c = rogue.challenge(g.base(nonce)); rogue.s = nonce },
		}
		for name, prove := range proofs {
			prove()
			wants(t, name, rogue.verify(&terms), errs.Unverified, 3)
			_, _, err := terms.Verify(dealings)
			wants(t, name+", from outside", err, errs.Unverified, 3)
		}
	}
}

// WSTS: one more commitment makes a polynomial of higher degree, and a key that two regions
// can no longer sign for. It does, so it is refused, also if all dealers agree on it, when a
// key is made and when it is refreshed.
func TestLongerVectorRaisesNoThreshold(t *testing.T) {
	for _, s := range ceremonies {
		w := newWorld(t, s, 2, rand.Reader)
		for name, terms := range map[string]Terms{"new key": newTerms(s, 2), "refresh": Refresh(w.key, session("longer"), "test", []uint8{1, 2, 3})} {
			longer := terms
			longer.Threshold = 3
			var dealings []*Dealing
			for _, r := range terms.Dealers {
				share := w.shares[r]
				if terms.Previous == nil {
					share = nil
				}
				d, coefficients, err := longer.deal(rand.Reader, r, share)
				must(t, err)
				wants(t, name+", as it is", d.verify(&terms), errs.Replayed, r)
				d.terms = terms.Hash()
				nonce := randomScalarOf(t, s) // and proven, so that only its length is wrong
				d.c = d.challenge(s.group.base(nonce))
				d.s = s.group.mulAdd(d.c, coefficients[0], nonce)
				wants(t, name, d.verify(&terms), errs.Unverified, r)
				dealings = append(dealings, d)
			}
			if _, _, err := terms.Verify(dealings); errs.CodeOf(err) != errs.Unverified {
				t.Errorf("%v, %s: all of them together: %v", s, name, err)
			}
		}
		// What would have come of it is no public key of threshold 2 either.
		three := newWorld(t, s, 3, rand.Reader)
		enc := three.key.Encode()
		must(t, func() error { _, err := DecodePublicKey(enc); return err }())
		enc[6] = 2
		_, err := DecodePublicKey(enc)
		wants(t, "degree two as threshold two", err, errs.Invalid)
	}
}

// Doerner and others: a correlation must not outlive an abort. Region 1 gave its part in an
// attempt that failed; nothing of it can be used again, with whomever, and the part fits no
// other attempt.
func TestAbortUsesTheNonceUp(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		first := w.commit(t, []uint8{1, 2, 3})
		part, err := w.pools[1].Sign(w.shares[1], w.key, message(1), first[:2])
		must(t, err) // region 2 never answers: the attempt is given up
		for name, again := range map[string][]*Commitment{"with the same": first[:2], "with another": {first[0], first[2]}, "with all": first} {
			_, err := w.pools[1].Sign(w.shares[1], w.key, message(1), again)
			wants(t, name, err, errs.Replayed)
		}
		second := append(w.commit(t, []uint8{1}), first[2])
		if second[0].hiding.equal(first[0].hiding) || second[0].binding.equal(first[0].binding) {
			t.Fatalf("%v: the next attempt has the same nonce", s)
		}
		other, err := w.pools[3].Sign(w.shares[3], w.key, message(1), second)
		must(t, err)
		_, err = w.key.Aggregate(message(1), second, []*SignatureShare{part, other})
		wants(t, "a part of the aborted attempt", err, errs.Unverified, 1)
		if _, err = w.pools[1].Sign(w.shares[1], w.key, message(1), second); err != nil {
			t.Error(err)
		}
	}
}

// A key ceremony that is given up leaves nothing for the next one, even under a source
// that repeats itself: each try has its own session, and that enters every number.
func TestAbortedCeremonyLeavesNothing(t *testing.T) {
	for _, s := range ceremonies {
		of := map[string]string{} // number or point to the try it was made in
		for _, try := range []string{"try 1 of the key", "try 2 of the key"} {
			c, err := Begin(zeros{}, NewKey(s, session(try), "test", 2, fourRegions()), 1, nil)
			must(t, err)
			r := s.group.combineBase(c.own.s, []scalar{s.group.negate(c.own.c)}, c.own.commitments[:1]) // the proof's nonce
			for _, made := range [][]byte{c.coefficients[0].bytes(), c.coefficients[1].bytes(), r.bytes()} {
				if was, ok := of[string(made)]; ok && was != try {
					t.Errorf("%v: %x is of both tries", s, made)
				}
				of[string(made)] = try
			}
		}
	}
}

// bytemare: what can be encoded is stored, and what is stored comes back after a restore.
// Nonces and pools have no encoding, no exported field, and no method that gives bytes.
func TestNoncesHaveNoEncoding(t *testing.T) {
	allowed := map[reflect.Type][]string{
		reflect.TypeFor[*nonce](): {"Format"},
		reflect.TypeFor[*Pool]():  {"Burn", "Close", "Format", "Keep", "Len", "Prepare", "Read", "Sign"},
	}
	for of, names := range allowed {
		var got []string
		for i := range of.NumMethod() {
			m := of.Method(i)
			got = append(got, m.Name)
			for out := range m.Type.NumOut() {
				if k := m.Type.Out(out); k == reflect.TypeFor[[]byte]() || k == reflect.TypeFor[string]() || k == reflect.TypeFor[*nonce]() || k == reflect.TypeFor[scalar]() {
					t.Errorf("%v.%s gives %v", of, m.Name, k)
				}
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("%v has methods %v, this test knows %v: may the new ones give a nonce away?", of, got, names)
		}
		for _, forbidden := range []reflect.Type{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryAppender](), reflect.TypeFor[encoding.TextMarshaler](),
			reflect.TypeFor[encoding.TextAppender](), reflect.TypeFor[json.Marshaler](), reflect.TypeFor[gob.GobEncoder](), reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[gob.GobDecoder](), reflect.TypeFor[fmt.Stringer]()} {
			if of.Implements(forbidden) {
				t.Errorf("%v implements %v", of, forbidden)
			}
		}
		for i := range of.Elem().NumField() {
			if f := of.Elem().Field(i); f.IsExported() {
				t.Errorf("%v exports %s", of, f.Name)
			}
		}
	}
}
