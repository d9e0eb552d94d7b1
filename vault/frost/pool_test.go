package frost

import (
	"crypto/rand"
	"math"
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// One pool a region signs for many keys, of any threshold, derived or not, in any order;
// each nonce for one of them.
func TestPoolServesManyKeys(t *testing.T) {
	for _, s := range suites {
		worlds := []*world{newWorld(t, s, 2, rand.Reader), newWorld(t, s, 2, rand.Reader), newWorld(t, s, 3, rand.Reader)}
		for _, w := range worlds[1:] {
			w.pools = worlds[0].pools
		}
		for i := range 12 {
			w := worlds[i%3]
			key := w.key
			if i%2 == 1 {
				child, _, err := key.Child([32]byte{1}, uint32(i))
				must(t, err)
				key = child
			}
			w.sign(t, key, message(i), signerSets(w.key.threshold)[i%5])
		}
		a, b := worlds[0], worlds[1]
		cs := a.commit(t, []uint8{1, 2})
		a.parts(t, a.key, message(1), cs)
		for _, region := range []uint8{1, 2} {
			_, err := b.pools[region].Sign(b.shares[region], b.key, message(1), cs)
			wants(t, "nonce used for another key", err, errs.Replayed)
		}
	}
}

// A part under one key says nothing under another: the binding factor covers the key.
func TestPartsOfTwoKeysDoNotMix(t *testing.T) {
	for _, s := range suites {
		a, b := newWorld(t, s, 2, rand.Reader), newWorld(t, s, 2, rand.Reader)
		b.pools = a.pools
		cs := a.commit(t, []uint8{1, 2})
		ra, err := a.key.newRound(message(1), cs)
		must(t, err)
		rb, err := b.key.newRound(message(1), cs)
		must(t, err)
		for i := range cs {
			if sameScalar(ra.rho[i], rb.rho[i]) {
				t.Fatalf("%v: two keys, one binding factor", s)
			}
		}
		one := a.parts(t, a.key, message(1), cs[:])[0]
		_, err = b.key.Aggregate(message(1), cs, []*SignatureShare{one, one})
		wants(t, "one part twice", err, errs.Invalid)
		wants(t, "part of another key", b.key.CheckShare(message(1), cs, one), errs.Unverified, 1)
	}
}

func TestSignRefusesForeignShares(t *testing.T) {
	for i, s := range suites {
		w, other := newWorld(t, s, 2, rand.Reader), newWorld(t, suites[1-i], 2, rand.Reader)
		fresh := runCeremony(t, Refresh(w.key, session("refresh"), "test", []uint8{1, 2}), only(w.shares, []uint8{1, 2}), rand.Reader)
		cs := w.commit(t, []uint8{1, 2})
		for name, c := range map[string]struct {
			share *Share
			key   *PublicKey
			code  errs.Code
		}{
			"another region's": {w.shares[2], w.key, errs.Invalid},
			"another suite's":  {other.shares[1], w.key, errs.Invalid},
			"two suites":       {other.shares[1], other.key, errs.Invalid},
			"another key's":    {newWorld(t, s, 2, rand.Reader).shares[1], w.key, errs.Corrupt},
			"older share":      {w.shares[1], fresh.key, errs.Stale},
			"newer share":      {fresh.shares[1], w.key, errs.Stale},
		} {
			_, err := w.pools[1].Sign(c.share, c.key, message(1), cs)
			wants(t, name, err, c.code)
		}
		altered := *cs[0]
		altered.serial++
		_, err := w.pools[1].Sign(w.shares[1], w.key, message(1), []*Commitment{&altered, cs[1]})
		wants(t, "points of another serial", err, errs.Replayed)
		altered = *cs[0]
		altered.boot++
		_, err = w.pools[1].Sign(w.shares[1], w.key, message(1), []*Commitment{&altered, cs[1]})
		wants(t, "another nonce epoch", err, errs.Replayed)
		if _, err := w.pools[1].Sign(w.shares[1], w.key, message(1), cs); err != nil {
			t.Fatalf("%v: a refusal used the nonce up: %v", s, err)
		}
	}
}

// Serials ascend from 1, whoever prepares at once, and end instead of starting again.
func TestSerials(t *testing.T) {
	p := newPool(t, Ed25519, 1, 1)
	var mu sync.Mutex
	var all sync.WaitGroup
	seen := map[uint32]bool{}
	for range 8 {
		all.Go(func() {
			cs, err := p.Prepare(rand.Reader, 5)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, c := range cs {
				if seen[c.Serial()] = true; i > 0 && c.Serial() != cs[i-1].Serial()+1 {
					t.Errorf("serial %d after %d", c.Serial(), cs[i-1].Serial())
				}
			}
		})
	}
	all.Wait()
	for serial := uint32(1); serial <= 40; serial++ {
		if !seen[serial] {
			t.Errorf("serial %d was never given", serial)
		}
	}
	p.serial = math.MaxUint32 - 1
	cs, err := p.Prepare(rand.Reader, 1)
	must(t, err)
	if cs[0].Serial() != math.MaxUint32 {
		t.Fatalf("last serial %d", cs[0].Serial())
	}
	_, err = p.Prepare(rand.Reader, 1)
	wants(t, "no serial left", err, errs.TooLarge)
}

func TestNewPoolRefuses(t *testing.T) {
	good := make([]byte, minHedge)
	for name, make := range map[string]func() (*Pool, error){
		"no suite":    func() (*Pool, error) { return NewPool(nil, 1, 1, good) },
		"region 0":    func() (*Pool, error) { return NewPool(Ed25519, 0, 1, good) },
		"short hedge": func() (*Pool, error) { return NewPool(Ed25519, 1, 1, good[1:]) },
		"long hedge":  func() (*Pool, error) { return NewPool(Ed25519, 1, 1, append(good, append(good, 1)...)) },
	} {
		_, err := make()
		wants(t, name, err, errs.Invalid)
	}
}

// The header's layout is what the log's bookkeeping reads without decoding points.
func TestCommitmentHeader(t *testing.T) {
	for _, s := range suites {
		p := newPool(t, s, 3, 0x0102030405060708)
		p.serial = 0x0a0b0c0c
		cs, err := p.Prepare(rand.Reader, 1)
		must(t, err)
		enc := cs[0].Encode()
		want := []byte{1, s.id, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0x0d}
		same(t, "header", enc[:commitmentHead], want)
		if len(enc) != commitmentHead+2*s.group.pointSize() || cs[0].Suite() != s {
			t.Fatalf("%v: %d bytes", s, len(enc))
		}
		enc[14], enc[13], enc[12], enc[11] = 0, 0, 0, 0
		_, err = DecodeCommitment(3, enc)
		wants(t, "serial 0", err, errs.Malformed, 3)
	}
}
