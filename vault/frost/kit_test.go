package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	mrand "math/rand"
	"os"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// suites sign; ceremonies are all that keys are made of.
var (
	suites     = []*Suite{Ed25519, BIP340}
	ceremonies = []*Suite{Ed25519, BIP340, Ristretto255}
)

// world is a key and all its pools, as the regions hold them.
type world struct {
	key    *PublicKey
	shares map[uint8]*Share
	pools  map[uint8]*Pool
}

func session(name string) []byte { return []byte("test session of the name " + name) }

func fourRegions() []uint8 { return []uint8{1, 2, 3, 4} }

func newWorld(t testing.TB, s *Suite, threshold int, random io.Reader) *world {
	t.Helper()
	terms := NewKey(s, session("new"), "test", threshold, fourRegions())
	return runCeremony(t, terms, nil, random)
}

// runCeremony plays a whole ceremony between all parties, every message through its
// encoding, and returns the new world. old are the dealers' shares, nil for a new key.
func runCeremony(t testing.TB, terms Terms, old map[uint8]*Share, random io.Reader) *world {
	t.Helper()
	results := finishAll(t, beginAll(t, terms, old, random))
	w := &world{shares: map[uint8]*Share{}, pools: map[uint8]*Pool{}}
	var transcript [32]byte
	for region, r := range results {
		if w.key != nil && (transcript != r.Transcript || string(w.key.Encode()) != string(r.Key.Encode())) {
			t.Fatalf("region %d came to another key or transcript", region)
		}
		w.key, transcript = r.Key, r.Transcript
		if r.Share == nil {
			continue
		}
		w.shares[region] = r.Share
		if terms.Suite.signless() == nil {
			w.pools[region] = newPool(t, terms.Suite, region, 1)
		}
	}
	return w
}

func newPool(t testing.TB, s *Suite, region uint8, boot uint64) *Pool {
	t.Helper()
	p, err := NewPool(s, region, boot, bytes.Repeat([]byte{region}, minHedge))
	must(t, err)
	return p
}

func beginAll(t testing.TB, terms Terms, old map[uint8]*Share, random io.Reader) map[uint8]*Ceremony {
	t.Helper()
	all := map[uint8]*Ceremony{}
	for _, list := range [][]uint8{terms.Holders, terms.Dealers} {
		for _, region := range list {
			if all[region] != nil {
				continue
			}
			c, err := Begin(random, terms, region, old[region])
			if err != nil {
				t.Fatal(err)
			}
			all[region] = c
		}
	}
	return all
}

// exchange carries the public messages to everybody.
func exchange(t testing.TB, all map[uint8]*Ceremony) {
	t.Helper()
	for from, c := range all {
		if h, ok := c.Hash(); ok {
			for _, to := range all {
				must(t, to.AddHash(from, h))
			}
		}
	}
	for from, c := range all {
		if c.own == nil {
			continue
		}
		d, err := c.Reveal()
		must(t, err)
		for _, to := range all {
			read, err := DecodeDealing(from, d.Encode())
			must(t, err)
			must(t, to.AddDealing(from, read))
		}
	}
}

func finishAll(t testing.TB, all map[uint8]*Ceremony) map[uint8]*Result {
	t.Helper()
	exchange(t, all)
	for from, c := range all {
		if c.own == nil {
			continue
		}
		for to, receiver := range all {
			d, err := c.Dealt(to)
			if err != nil { // not a holder
				continue
			}
			read, err := DecodeDealt(from, d.Encode())
			must(t, err)
			must(t, receiver.AddDealt(from, read))
		}
	}
	out := map[uint8]*Result{}
	for region, c := range all {
		r, err := c.Finish()
		must(t, err)
		out[region] = r
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commit takes one fresh commitment from each signer, through its encoding.
func (w *world) commit(t testing.TB, signers []uint8) []*Commitment {
	t.Helper()
	var out []*Commitment
	for _, region := range signers {
		c, err := w.pools[region].Prepare(rand.Reader, 1)
		must(t, err)
		read, err := DecodeCommitment(region, c[0].Encode())
		must(t, err)
		out = append(out, read)
	}
	return out
}

func (w *world) parts(t testing.TB, key *PublicKey, msg []byte, cs []*Commitment) []*SignatureShare {
	t.Helper()
	var out []*SignatureShare
	for _, c := range cs {
		s, err := w.pools[c.region].Sign(w.shares[c.region], key, msg, cs)
		must(t, err)
		read, err := DecodeSignatureShare(c.region, s.Encode())
		must(t, err)
		out = append(out, read)
	}
	return out
}

// sign makes one whole signature and lets an independent verifier judge it. Of a key that
// signs nothing the shares have to give the key.
func (w *world) sign(t testing.TB, key *PublicKey, msg []byte, signers []uint8) []byte {
	t.Helper()
	if key.suite.signless() != nil {
		if !reconstruct(w, signers).equal(key.root) {
			t.Fatalf("%v: shares of %v do not give the key", key.suite, signers)
		}
		return nil
	}
	cs := w.commit(t, signers)
	sig, err := key.Aggregate(msg, cs, w.parts(t, key, msg, cs))
	must(t, err)
	if err := independent(key, msg, sig); err != nil {
		t.Fatalf("%v signature of regions %v: %v", key.suite, signers, err)
	}
	return sig
}

// independent asks crypto/ed25519 or btcec, which knows 32-byte messages only.
func independent(key *PublicKey, msg, sig []byte) error {
	if key.suite == Ed25519 {
		if !ed25519.Verify(key.Bytes(), msg, sig) {
			return fmt.Errorf("crypto/ed25519 refuses it")
		}
		return nil
	}
	s, err := schnorr.ParseSignature(sig)
	if err != nil {
		return err
	}
	public, err := schnorr.ParsePubKey(key.Bytes())
	if err != nil {
		return err
	}
	if !s.Verify(msg, public) {
		return fmt.Errorf("btcec refuses it")
	}
	return nil
}

// TestMain makes rapid content with fewer cases under the race detector.
func TestMain(m *testing.M) {
	flag.Parse()
	if raceDetector {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// few returns n, or under the race detector, where arithmetic costs ten times as much, a
// tenth of it.
func few(n int) int {
	if raceDetector {
		return (n + 9) / 10
	}
	return n
}

func message(n int) []byte {
	m := make([]byte, 32)
	copy(m, fmt.Sprintf("message %d", n))
	return m
}

// signerSets lists all subsets of the four regions with at least k members.
func signerSets(k int) [][]uint8 {
	var out [][]uint8
	for mask := range 16 {
		var set []uint8
		for i := range uint8(4) {
			if mask>>i&1 == 1 {
				set = append(set, i+1)
			}
		}
		if len(set) >= k {
			out = append(out, set)
		}
	}
	return out
}

func seeded(seed int64) io.Reader { return mrand.New(mrand.NewSource(seed)) }

// sameRoot reports whether other is a key, of whatever derivation, of the same sharing.
func (k *PublicKey) sameRoot(other *PublicKey) bool {
	if k.suite != other.suite || k.epoch != other.epoch || !k.root.equal(other.root) || !slices.Equal(k.regions, other.regions) {
		return false
	}
	return slices.EqualFunc(k.shares, other.shares, func(a, b point) bool { return a.equal(b) })
}
