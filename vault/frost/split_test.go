package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcec/v2"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// outsideKey is a key as another program has it: its secret scalar and compressed point.
func outsideKey(t testing.TB, s *Suite, seed []byte) (secret, public []byte) {
	t.Helper()
	if s == BIP340 {
		private, point := btcec.PrivKeyFromBytes(seed)
		return private.Serialize(), point.SerializeCompressed()
	}
	h := sha512.Sum512(seed)
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	must(t, err)
	return scalar.Bytes(), ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

// splitWorld is a world whose key was brought in.
func splitWorld(t testing.TB, s *Suite, secret []byte, threshold int, holders ...uint8) (*world, *Split) {
	t.Helper()
	dealt, shares, err := SplitSecret(rand.Reader, s, secret, threshold, holders)
	must(t, err)
	back, err := DecodeSplit(dealt.Encode())
	must(t, err)
	key, err := back.Key(holders)
	must(t, err)
	if back.Threshold() != threshold || back.Suite() != s || !bytes.Equal(back.Encode(), dealt.Encode()) {
		t.Fatalf("%v came back as %v", dealt, back)
	}
	w := &world{key: key, shares: map[uint8]*Share{}, pools: map[uint8]*Pool{}}
	for _, share := range shares {
		share, err := DecodeShare(share.Encode())
		must(t, err)
		must(t, share.Matches(key))
		w.shares[share.Region()] = share
		w.pools[share.Region()] = newPool(t, s, share.Region(), 1)
	}
	return w, dealt
}

// TestSplitIsTheSameKey: whatever the secret, its threshold sharing has the public key that
// crypto/ed25519 and btcec give it, and every set of signers signs for that, before and
// after a refresh.
func TestSplitIsTheSameKey(t *testing.T) {
	for _, s := range suites {
		rapid.Check(t, func(r *rapid.T) {
			seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Filter(func(b []byte) bool { return b[0] != 0 && b[0] != 0xff }).Draw(r, "seed")
			secret, public := outsideKey(t, s, seed)
			threshold := rapid.IntRange(2, 4).Draw(r, "threshold")
			w, _ := splitWorld(t, s, secret, threshold, 1, 2, 3, 4)
			if !bytes.Equal(w.key.Compressed(), public) {
				r.Fatalf("public key %x, want %x", w.key.Compressed(), public)
			}
			dealers := []uint8{4, 1, 2, 3}[:threshold]
			slices.Sort(dealers)
			old := map[uint8]*Share{}
			for _, d := range dealers {
				old[d] = w.shares[d]
			}
			refreshed := runCeremony(t, Refresh(w.key, session("refresh"), "test", dealers), old, rand.Reader)
			for _, w := range []*world{w, refreshed} {
				signers := signerSets(threshold)
				set := signers[rapid.IntRange(0, len(signers)-1).Draw(r, "signers")]
				msg := message(1)
				sig := w.sign(t, w.key, msg, set)
				must(t, independent(w.key, msg, sig))
				if s == Ed25519 && !ed25519.Verify(public, msg, sig) {
					r.Fatal("the signature is not one of the old public key")
				}
			}
			if refreshed.key.Epoch() != 2 || !bytes.Equal(refreshed.key.Compressed(), public) {
				r.Fatal("refreshed to another key")
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, s := range suites {
		good, _ := outsideKey(t, s, bytes.Repeat([]byte{7}, 32))
		order := bytes.Repeat([]byte{0xff}, 32)
		for name, c := range map[string]struct {
			secret    []byte
			threshold int
			holders   []uint8
		}{
			"zero": {make([]byte, 32), 2, fourRegions()}, "beyond the order": {order, 2, fourRegions()}, "short": {good[:31], 2, fourRegions()},
			"empty": {nil, 2, fourRegions()}, "threshold of one": {good, 1, fourRegions()}, "more than there are": {good, 5, fourRegions()},
			"unordered": {good, 2, []uint8{2, 1, 3}}, "twice": {good, 2, []uint8{1, 1, 3}}, "region 0": {good, 2, []uint8{0, 1, 2}},
		} {
			if _, _, err := SplitSecret(rand.Reader, s, c.secret, c.threshold, c.holders); err == nil {
				t.Errorf("%v, %s: dealt", s, name)
			} else if strings.Contains(err.Error(), fmt.Sprintf("%x", good)) {
				t.Errorf("%v, %s: the secret in %v", s, name, err)
			}
		}
		if _, _, err := SplitSecret(bytes.NewReader(nil), s, good, 2, fourRegions()); errs.CodeOf(err) != errs.Internal {
			t.Errorf("no randomness: %v", err)
		}
	}
}

// TestWrongShareOfSplit: what was dealt for another holder, key or polynomial matches nothing.
func TestWrongShareOfSplit(t *testing.T) {
	for _, s := range suites {
		secret, _ := outsideKey(t, s, bytes.Repeat([]byte{7}, 32))
		w, first := splitWorld(t, s, secret, 2, 1, 2, 4)
		again, second := splitWorld(t, s, secret, 2, 1, 2, 4)
		if bytes.Equal(first.Encode(), second.Encode()) {
			t.Fatal("two dealings of one key are the same")
		}
		if w.shares[1].Matches(again.key) == nil {
			t.Error("a share of another dealing of the same key matches")
		}
		bent := *w.shares[1]
		bent.region = 2
		if bent.Matches(w.key) == nil {
			t.Error("another region's share matches")
		}
		if key, err := first.Key([]uint8{1, 2, 3}); err == nil && w.shares[4].Matches(key) == nil {
			t.Error("a share of who does not hold the key matches")
		}
	}
}

// TestSplitIsFixed: what this version deals of a secret, any later one reads.
func TestSplitIsFixed(t *testing.T) {
	for s, want := range map[*Suite][2]string{Ed25519: {goldenSplitEd25519, goldenSharesEd25519}, BIP340: {goldenSplitBIP340, goldenSharesBIP340}} {
		secret, _ := outsideKey(t, s, bytes.Repeat([]byte{7}, 32))
		split, shares, err := SplitSecret(seeded(8), s, secret, 3, []uint8{1, 2, 4})
		must(t, err)
		var all []byte
		for _, share := range shares {
			all = append(all, share.Encode()...)
		}
		if sum := sha256.Sum256(all); hex.EncodeToString(split.Encode()) != want[0] || hex.EncodeToString(sum[:]) != want[1] {
			t.Errorf("%v: %x, shares %x", s, split.Encode(), sum)
		}
	}
}

const (
	goldenSplitEd25519 = "010103" + "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c" +
		"3bc2937a56a40400c6f09154b95a89c55ef22aec37a9304e1f72507999e32ece" + "e6a257fc06e36eb25e439ba613092fe78fc8579a04a801848d8f1ab5dda21bbf"
	goldenSharesEd25519 = "b5d98d203e41c5381e3c85bb6f3e1fd071c7172ba0b0352c6b9744cdb2196ca6" // SHA-256 of all three
	goldenSplitBIP340   = "010203" + "02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f" +
		"024199ecd3da3393f1bb296c1f02d96fe098b9726cbaa21dfa0ade791d407bb155" + "026a5fc917655bffed31cad8c5bc5ae9bb36639161a13c685a80f2e6f65b2afa6a"
	goldenSharesBIP340 = "36493526a47b9721118b47d87fb9626c856cb5bc42794bf67d021d8d406c8cc9"
)
