package frost

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

func newTerms(s *Suite, threshold int) Terms {
	return NewKey(s, session("ceremony"), "payments of tenant 7", threshold, fourRegions())
}

// All parties come to one key; the whole secret, summed up here only, is its logarithm.
func TestNewKey(t *testing.T) {
	for _, s := range ceremonies {
		for threshold := 2; threshold <= 4; threshold++ {
			w := runCeremony(t, newTerms(s, threshold), nil, rand.Reader)
			must(t, w.key.validate())
			for _, set := range signerSets(threshold) {
				if !reconstruct(w, set).equal(w.key.root) {
					t.Fatalf("%v, %d of 4: shares of %v do not give the key", s, threshold, set)
				}
			}
			for _, set := range signerSets(1) {
				if len(set) < threshold && reconstruct(w, set).equal(w.key.root) {
					t.Fatalf("%v, %d of 4: %d shares give the key", s, threshold, len(set))
				}
			}
		}
	}
}

func reconstruct(w *world, set []uint8) point {
	s := w.key.suite
	sum := s.group.number(0)
	for i, l := range s.lagrange(set) {
		sum = s.group.mulAdd(l, w.shares[set[i]].secret, sum)
	}
	return s.group.base(sum)
}

// A refresh keeps the key and makes every old share useless with a new one.
func TestRefresh(t *testing.T) {
	for _, s := range ceremonies {
		w := newWorld(t, s, 2, rand.Reader)
		for _, dealers := range signerSets(2)[:few(11)] {
			fresh := runCeremony(t, Refresh(w.key, session("refresh"), "test", dealers), only(w.shares, dealers), rand.Reader)
			if !bytes.Equal(fresh.key.Bytes(), w.key.Bytes()) || fresh.key.Epoch() != 2 {
				t.Fatalf("%v: the key changed: %v", s, fresh.key)
			}
			for _, set := range signerSets(2) {
				fresh.sign(t, fresh.key, message(1), set)
			}
			mixed := &world{key: fresh.key, shares: map[uint8]*Share{1: w.shares[1], 2: fresh.shares[2]}}
			if reconstruct(mixed, []uint8{1, 2}).equal(w.key.root) {
				t.Fatalf("%v: an old and a new share together are the key", s)
			}
			wants(t, "old share, new key", w.shares[1].Matches(fresh.key), errs.Stale)
			if s.signless() == nil {
				_, err := fresh.pools[2].Sign(fresh.shares[2], w.key, message(1), fresh.commit(t, []uint8{1, 2}))
				wants(t, "new share, old key", err, errs.Stale)
			}
		}
		w.sign(t, w.key, message(2), []uint8{3, 4}) // the old epoch signs until it is erased
	}
}

func only(shares map[uint8]*Share, regions []uint8) map[uint8]*Share {
	out := map[uint8]*Share{}
	for _, r := range regions {
		out[r] = shares[r]
	}
	return out
}

// Any two holders bring in a replaced region; thresholds and sets change; ten times over.
func TestReshare(t *testing.T) {
	for _, s := range ceremonies {
		w := newWorld(t, s, 2, rand.Reader)
		key := w.key.Bytes()
		for i, c := range []struct {
			threshold        int
			holders, dealers []uint8
		}{
			{2, []uint8{1, 2, 3, 5}, []uint8{1, 3}}, // region 4 is lost, region 5 comes
			{3, []uint8{1, 2, 3, 5}, []uint8{2, 5}},
			{4, []uint8{1, 2, 3, 5}, []uint8{1, 2, 3}},
			{2, []uint8{6, 7, 8, 9}, []uint8{1, 2, 3, 5}}, // all new
			{2, []uint8{1, 2, 3, 4}, []uint8{6, 7, 8, 9}},
			{2, []uint8{1, 4}, []uint8{2, 4}},
			{3, []uint8{1, 200, 255}, []uint8{1, 4}},
		} {
			w = runCeremony(t, Reshare(w.key, session("reshare"), "test", c.threshold, c.holders, c.dealers), only(w.shares, c.dealers), rand.Reader)
			if !bytes.Equal(w.key.Bytes(), key) || w.key.Epoch() != uint32(i+2) || w.key.Threshold() != c.threshold || !slices.Equal(w.key.Holders(), c.holders) {
				t.Fatalf("%v: step %d gave %+v", s, i, w.key)
			}
			w.sign(t, w.key, message(i), c.holders[len(c.holders)-c.threshold:])
		}
	}
}

func TestTermsRefused(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	other := newWorld(t, BIP340, 2, rand.Reader)
	refresh := func(dealers ...uint8) Terms { return Refresh(w.key, session("x"), "test", dealers) }
	for name, f := range map[string]func() Terms{
		"no suite":           func() Terms { x := newTerms(Ed25519, 2); x.Suite = nil; return x },
		"short session":      func() Terms { x := newTerms(Ed25519, 2); x.Session = x.Session[:15]; return x },
		"long session":       func() Terms { x := newTerms(Ed25519, 2); x.Session = make([]byte, maxSession+1); return x },
		"no purpose":         func() Terms { x := newTerms(Ed25519, 2); x.Purpose = ""; return x },
		"threshold 1":        func() Terms { return newTerms(Ed25519, 1) },
		"threshold 5":        func() Terms { return newTerms(Ed25519, 5) },
		"no holders":         func() Terms { x := newTerms(Ed25519, 2); x.Holders, x.Dealers = nil, nil; return x },
		"holder twice":       func() Terms { return NewKey(Ed25519, session("x"), "test", 2, []uint8{1, 1, 2}) },
		"holders unsorted":   func() Terms { return NewKey(Ed25519, session("x"), "test", 2, []uint8{2, 1}) },
		"region 0":           func() Terms { return NewKey(Ed25519, session("x"), "test", 2, []uint8{0, 1}) },
		"too many":           func() Terms { return NewKey(Ed25519, session("x"), "test", 2, make([]uint8, 17)) },
		"new key of epoch 2": func() Terms { x := newTerms(Ed25519, 2); x.Epoch = 2; return x },
		"dealers of new key": func() Terms { x := newTerms(Ed25519, 2); x.Dealers = []uint8{1, 2}; return x },
		"one dealer":         func() Terms { return refresh(1) },
		"strange dealer":     func() Terms { return refresh(1, 9) },
		"dealer twice":       func() Terms { return refresh(1, 1) },
		"same epoch":         func() Terms { x := refresh(1, 2); x.Epoch = 1; return x },
		"other suite":        func() Terms { x := refresh(1, 2); x.Previous = other.key; return x },
	} {
		terms := f()
		_, err := Begin(rand.Reader, terms, 1, nil)
		wants(t, name, err, errs.Invalid)
		_, _, err = terms.Verify(nil)
		wants(t, name, err, errs.Invalid)
	}
	terms := refresh(1, 2)
	for name, f := range map[string]func() error{
		"no part in it":    func() error { _, err := Begin(rand.Reader, terms, 9, nil); return err },
		"dealer unshared":  func() error { _, err := Begin(rand.Reader, terms, 1, nil); return err },
		"share undealt":    func() error { _, err := Begin(rand.Reader, terms, 3, w.shares[3]); return err },
		"another's share":  func() error { _, err := Begin(rand.Reader, terms, 1, w.shares[2]); return err },
		"share of new key": func() error { _, err := Begin(rand.Reader, newTerms(Ed25519, 2), 1, w.shares[1]); return err },
		"broken source": func() error {
			_, err := Begin(iotest.ErrReader(errors.New("broken")), newTerms(Ed25519, 2), 1, nil)
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Nobody sees a dealing before all are committed to, nor a share before all hold.
func TestOrderOfRounds(t *testing.T) {
	terms := newTerms(Ed25519, 2)
	all := beginAll(t, terms, nil, rand.Reader)
	for r := uint8(1); r <= 3; r++ {
		h, _ := all[r].Hash()
		must(t, all[1].AddHash(r, h))
		must(t, all[1].AddHash(r, h)) // again is fine
	}
	_, err := all[1].Reveal()
	wants(t, "reveal without the fourth hash", err, errs.NotReady)
	wants(t, "dealing without the fourth hash", all[1].AddDealing(2, all[2].own), errs.NotReady)
	_, err = all[1].Dealt(2)
	wants(t, "share before the dealings", err, errs.NotReady)
	wants(t, "dealt before the dealings", all[1].AddDealt(2, newDealt(all[2].own, all[2].coefficients, 1)), errs.NotReady)
	_, err = all[1].Finish()
	wants(t, "finish before the dealings", err, errs.NotReady)
	exchange(t, all)
	_, err = all[1].Finish()
	wants(t, "finish before the shares", err, errs.NotReady)
	finishAll(t, all)
	_, err = all[1].Finish()
	wants(t, "finish twice", err, errs.BadState)
	_, err = all[1].Dealt(2)
	wants(t, "deal after the end", err, errs.Invalid)
}

// copyOf copies a dealing so that a test can spoil it.
func copyOf(d *Dealing) *Dealing {
	c := *d
	c.commitments = slices.Clone(d.commitments)
	return &c
}

// spoiledDealings are wrong dealings of region 3, each committed to from the start, as a
// liar would.
func spoiledDealings(t *testing.T, s *Suite, terms *Terms, all map[uint8]*Ceremony) map[string]*Dealing {
	good, other := all[3].own, all[1].own
	make1 := func(f func(d *Dealing)) *Dealing { d := copyOf(good); f(d); return d }
	elsewhere := NewKey(s, session("another"), "payments of tenant 7", 2, fourRegions())
	purpose := NewKey(s, session("ceremony"), "payments of tenant 8", 2, fourRegions())
	dealt := func(terms Terms) *Dealing { d, _, err := terms.deal(rand.Reader, 3, nil); must(t, err); return d }
	relabelled := func(terms Terms, own [32]byte) *Dealing { d := dealt(terms); d.terms = own; return d }
	return map[string]*Dealing{
		"one commitment more":      provenDealing(t, terms, 3),
		"one commitment less":      provenDealing(t, terms, 1),
		"other session":            dealt(elsewhere),
		"other session, relabeled": relabelled(elsewhere, terms.Hash()),
		"other purpose":            dealt(purpose),
		"other purpose, relabeled": relabelled(purpose, terms.Hash()),
		"constant of another":      make1(func(d *Dealing) { d.commitments[0] = other.commitments[0] }),
		"proof of another":         make1(func(d *Dealing) { d.commitments, d.c, d.s = other.commitments, other.c, other.s }),
		"proof, challenge":         make1(func(d *Dealing) { d.c = s.group.add(d.c, s.group.number(1)) }),
		"proof, response":          make1(func(d *Dealing) { d.s = s.group.add(d.s, s.group.number(1)) }),
		"slope of another":         make1(func(d *Dealing) { d.commitments[1] = other.commitments[1] }),
		"rogue: cancels another":   make1(func(d *Dealing) { d.commitments[0] = s.group.negatePoint(other.commitments[0]) }),
	}
}

// provenDealing is a dealing of region 3 under terms with n commitments and a proof that
// holds: only their number is wrong.
func provenDealing(t *testing.T, terms *Terms, n int) *Dealing {
	t.Helper()
	g := terms.Suite.group
	d := &Dealing{suite: terms.Suite, terms: terms.Hash(), region: 3}
	secret := randomScalarOf(t, terms.Suite)
	d.commitments = []point{g.base(secret)}
	for len(d.commitments) < n {
		d.commitments = append(d.commitments, g.base(randomScalarOf(t, terms.Suite)))
	}
	nonce := randomScalarOf(t, terms.Suite)
	d.c = d.challenge(g.base(nonce))
	d.s = g.mulAdd(d.c, secret, nonce)
	return d
}

func TestDealingsRefused(t *testing.T) {
	for _, s := range ceremonies {
		terms := newTerms(s, 2)
		for name, bad := range spoiledDealings(t, s, &terms, beginAll(t, terms, nil, seeded(1))) {
			all := beginAll(t, terms, nil, seeded(1))
			for r, c := range all {
				h, _ := c.Hash()
				if r == 3 {
					h = bad.Hash()
				}
				for to, receiver := range all {
					if to != 3 {
						must(t, receiver.AddHash(r, h))
					}
				}
			}
			err := all[1].AddDealing(3, bad)
			code := errs.Unverified
			if name == "other session" || name == "other purpose" {
				code = errs.Replayed
			}
			wants(t, name, err, code, 3)
			if f := all[1].Faults(); len(f) != 1 || f[0].Regions[0] != 3 {
				t.Errorf("%s: recorded %v", name, f)
			}
		}
	}
}

func TestEquivocationIsNamed(t *testing.T) {
	terms := newTerms(BIP340, 2)
	all := beginAll(t, terms, nil, rand.Reader)
	second, _, err := terms.deal(rand.Reader, 3, nil)
	must(t, err)
	h, _ := all[3].Hash()
	must(t, all[1].AddHash(3, h))
	wants(t, "a second hash", all[1].AddHash(3, second.Hash()), errs.Unverified, 3)
	wants(t, "hash of a stranger", all[1].AddHash(9, h), errs.Denied, 9)
	exchange(t, all) // the first one still counts
	wants(t, "a dealing that was not committed to", all[1].AddDealing(3, second), errs.Unverified, 3)
	wants(t, "a dealing of another", all[1].AddDealing(2, all[3].own), errs.Denied, 2)
	_, err = DecodeDealing(2, all[3].own.Encode())
	wants(t, "a dealing of another, decoded", err, errs.Denied, 2)
	must(t, all[1].AddDealing(3, all[3].own)) // the same once more
	finishAll(t, all)
	if n := len(all[1].Faults()); n != 4 {
		t.Errorf("%d faults recorded, want 4", n)
	}
	for range 2 * maxFaults {
		_ = all[1].AddHash(9, h)
	}
	if n := len(all[1].Faults()); n != maxFaults {
		t.Errorf("%d faults kept, limit %d", n, maxFaults)
	}
}

// Wrong shares name the dealer; where the dealer signed them, a complaint proves it to all.
func TestDealtRefusedAndComplaints(t *testing.T) {
	for _, s := range ceremonies {
		all := beginAll(t, newTerms(s, 2), nil, rand.Reader)
		exchange(t, all)
		liar := all[3]
		good, err := liar.Dealt(1)
		must(t, err)
		wrong := signedWrong(liar, 1)
		wants(t, "wrong share", all[1].AddDealt(3, wrong), errs.Unverified, 3)

		complaint, err := all[1].Complain(wrong)
		must(t, err)
		read, err := DecodeComplaint(1, complaint.Encode())
		must(t, err)
		for _, r := range []uint8{2, 3, 4} {
			wants(t, "judged", all[r].Judge(read), errs.Unverified, 3)
		}
		_, err = DecodeComplaint(2, complaint.Encode())
		wants(t, "another's complaint", err, errs.Denied, 2)

		rightButUnsigned := *good
		rightButUnsigned.s = s.group.add(good.s, s.group.number(1))
		wants(t, "right but unsigned share", all[1].AddDealt(3, &rightButUnsigned), errs.Unverified, 3)
		unsigned := *wrong
		unsigned.s = s.group.add(wrong.s, s.group.number(1))
		wants(t, "unsigned share", all[1].AddDealt(3, &unsigned), errs.Unverified, 3)
		_, err = all[1].Complain(&unsigned)
		wants(t, "complaint about an unsigned share", err, errs.BadState)
		_, err = all[1].Complain(good)
		wants(t, "complaint about a right share", err, errs.BadState)
		wants(t, "false: right share", all[2].Judge(&Complaint{by: 1, dealt: good}), errs.Unverified, 1)
		wants(t, "false: forged share", all[2].Judge(&Complaint{by: 1, dealt: &unsigned}), errs.Unverified, 1)
		replayed := *wrong
		replayed.terms[0] ^= 1
		wants(t, "false: other session", all[2].Judge(&Complaint{by: 1, dealt: &replayed}), errs.Replayed, 1)
		wants(t, "other session", all[1].AddDealt(3, &replayed), errs.Replayed, 3)

		forTwo, err := liar.Dealt(2)
		must(t, err)
		wants(t, "share for another", all[1].AddDealt(3, forTwo), errs.Invalid, 3)
		wants(t, "share of another", all[1].AddDealt(2, good), errs.Denied, 2)
		wants(t, "share of a stranger", all[1].AddDealt(9, good), errs.Denied, 9)
		_, err = DecodeDealt(2, good.Encode())
		wants(t, "share of another, decoded", err, errs.Denied, 2)
		finishAll(t, all) // nothing was lost: the right shares still finish the ceremony
	}
}

// signedWrong is what a lying dealer sends: a wrong value under a right signature.
func signedWrong(c *Ceremony, to uint8) *Dealt {
	g := c.terms.Suite.group
	coefficients := slices.Clone(c.coefficients)
	coefficients[1] = g.add(coefficients[1], g.number(1))
	return newDealt(c.own, coefficients, to)
}

// In a refresh the constant must be the dealer's share: nobody swaps the key, or shifts it.
func TestReshareConstantIsFixed(t *testing.T) {
	for _, s := range ceremonies {
		w := newWorld(t, s, 2, rand.Reader)
		terms := Refresh(w.key, session("refresh"), "test", []uint8{1, 3})
		d, _, err := terms.deal(rand.Reader, 3, nil) // a constant of its own choice
		must(t, err)
		wants(t, "constant", d.verify(&terms), errs.Unverified, 3)
		old := runCeremony(t, terms, only(w.shares, terms.Dealers), rand.Reader)
		again := Refresh(old.key, session("refresh"), "test", []uint8{1, 3})
		d, _, err = again.deal(rand.Reader, 3, w.shares[3]) // the share of the epoch before
		must(t, err)
		wants(t, "old constant", d.verify(&again), errs.Unverified, 3)
	}
}

// Whoever takes no part comes to the same key and transcript from the dealings alone.
func TestVerifyFromOutside(t *testing.T) {
	for _, s := range ceremonies {
		terms := newTerms(s, 3)
		all := beginAll(t, terms, nil, rand.Reader)
		var dealings []*Dealing
		for _, r := range fourRegions() {
			dealings = append(dealings, all[r].own)
		}
		results := finishAll(t, all)
		key, transcript, err := terms.Verify(dealings)
		must(t, err)
		if transcript != results[2].Transcript || !key.sameRoot(results[2].Key) {
			t.Fatalf("%v: another result from outside", s)
		}
		_, _, err = terms.Verify(dealings[:3])
		wants(t, "three dealings", err, errs.Invalid)
		_, _, err = terms.Verify([]*Dealing{dealings[0], dealings[0], dealings[2], dealings[3]})
		wants(t, "one twice", err, errs.Invalid)
		bad := copyOf(dealings[1])
		bad.s = s.group.add(bad.s, s.group.number(1))
		_, _, err = terms.Verify([]*Dealing{dealings[0], bad, dealings[2], dealings[3]})
		wants(t, "bad proof", err, errs.Unverified, 2)
	}
}

// Every field of the terms changes their hash, and the transcript covers every dealing.
func TestTermsHashBinds(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	base := Refresh(w.key, session("bind"), "test", []uint8{1, 2})
	seen := map[[32]byte]string{base.Hash(): "base"}
	for name, f := range map[string]func(x *Terms){
		"suite": func(x *Terms) { x.Suite = BIP340 }, "session": func(x *Terms) { x.Session = session("other") },
		"purpose": func(x *Terms) { x.Purpose = "tes" }, "epoch": func(x *Terms) { x.Epoch++ },
		"threshold": func(x *Terms) { x.Threshold++ }, "holders": func(x *Terms) { x.Holders = []uint8{1, 2, 3} },
		"dealers": func(x *Terms) { x.Dealers = []uint8{1, 3} }, "previous": func(x *Terms) { x.Previous = nil },
		"moved": func(x *Terms) { x.Holders, x.Dealers = x.Dealers, x.Holders },
	} {
		x := base
		f(&x)
		h := x.Hash()
		if was, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, was)
		}
		seen[h] = name
	}
}

// The next sharing's epoch is higher, not always by one.
func TestEpochsAscend(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	terms := Refresh(w.key, session("again"), "test", []uint8{1, 2})
	terms.Epoch = 7
	fresh := runCeremony(t, terms, only(w.shares, []uint8{1, 2}), rand.Reader)
	if !bytes.Equal(fresh.key.Bytes(), w.key.Bytes()) || fresh.key.Epoch() != 7 {
		t.Fatalf("the key changed: %v", fresh.key)
	}
	fresh.sign(t, fresh.key, message(1), []uint8{2, 4})
	back := Refresh(fresh.key, session("back"), "test", []uint8{1, 2})
	back.Epoch = 6
	wants(t, "an epoch of before", back.Check(), errs.Invalid)
}

// A share that is not what the key names is nobody's: it is zero when Finish refuses.
func TestWrongSumIsWiped(t *testing.T) {
	all := beginAll(t, newTerms(Ed25519, 2), nil, rand.Reader)
	exchange(t, all)
	for _, to := range []uint8{1, 2} {
		for _, r := range []uint8{1, 2, 3, 4} {
			d, err := all[r].Dealt(to)
			must(t, err)
			must(t, all[to].AddDealt(r, d))
		}
	}
	right, err := all[2].Finish()
	must(t, err)
	all[1].dealt[3].value = Ed25519.group.number(7)
	s, err := all[1].share(right.Key)
	if errs.CodeOf(err) != errs.Corrupt || s == nil || !s.secret.isZero() {
		t.Errorf("%v; the share is left", err)
	}
	if res, err := all[1].Finish(); res != nil || errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("finished with a wrong share: %v", err)
	}
}

// The secrets of a ceremony are zero when it ends.
func TestCeremonyWipes(t *testing.T) {
	all := beginAll(t, newTerms(Ed25519, 2), nil, rand.Reader)
	coefficients := slices.Clone(all[1].coefficients)
	exchange(t, all)
	var held []*Dealt
	for _, r := range []uint8{2, 3, 4} {
		d, err := all[r].Dealt(1)
		must(t, err)
		held = append(held, d)
		must(t, all[1].AddDealt(r, d))
	}
	_, err := all[1].Finish()
	must(t, err)
	for _, a := range coefficients {
		if !a.isZero() {
			t.Error("a coefficient is left")
		}
	}
	for _, d := range held {
		if !d.value.isZero() {
			t.Error("a dealt value is left")
		}
	}
}
