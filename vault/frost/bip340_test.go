package frost

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyOf is the key of 2 of 4 whose polynomial has the given secret as its constant.
func keyOf(t testing.TB, s *Suite, secret scalar) *world {
	t.Helper()
	polynomial := []scalar{secret, randomScalarOf(t, s)}
	w := &world{shares: map[uint8]*Share{}, pools: map[uint8]*Pool{}}
	w.key = &PublicKey{suite: s, epoch: 1, threshold: 2, root: s.group.base(secret)}
	w.key.point = w.key.root
	for _, region := range fourRegions() {
		share := &Share{suite: s, epoch: 1, region: region, secret: s.evaluate(polynomial, region)}
		share.public = s.group.base(share.secret)
		w.shares[region] = share
		w.key.regions, w.key.shares = append(w.key.regions, region), append(w.key.shares, share.public)
	}
	must(t, w.key.validate())
	for region := range w.shares {
		w.pools[region] = newPool(t, s, region, 1)
	}
	return w
}

// publicKeyOf is a key of which only the point is known: enough to verify and derive.
func publicKeyOf(s *Suite, p point) *PublicKey {
	return &PublicKey{suite: s, epoch: 1, threshold: 2, root: p, point: p}
}

func TestBIP340Vectors(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "bip340.csv"))
	must(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	must(t, err)
	if len(rows) < 19 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows[1:] {
		secret, public, msg, sig := unhex(t, row[1]), unhex(t, row[2]), unhex(t, row[4]), unhex(t, row[5])
		p, ok := BIP340.group.decodePoint(append([]byte{2}, public...))
		valid := ok && publicKeyOf(BIP340, p).Verify(msg, sig) == nil
		if valid != (row[6] == "TRUE") {
			t.Errorf("vector %s (%s): %v", row[0], row[7], valid)
		}
		if len(secret) > 0 {
			signsAs(t, secret, public, msg)
		}
	}
}

// signsAs shares a vector's secret key among four, lets pairs sign the vector's message
// and checks the result under the vector's public key. The signature itself differs: the
// vectors derive their nonce from the secret, which here nobody has.
func signsAs(t *testing.T, secret, public, msg []byte) {
	w := keyOf(t, BIP340, readScalarOf(t, BIP340, secret))
	same(t, "x-only key", w.key.Bytes(), public)
	for _, set := range signerSets(2)[:few(11)] {
		cs := w.commit(t, set)
		sig, err := w.key.Aggregate(msg, cs, w.parts(t, w.key, msg, cs))
		must(t, err)
		must(t, w.key.Verify(msg, sig))
		if len(msg) == 32 {
			must(t, independent(w.key, msg, sig))
		}
	}
}

// All four parities, of key and of R, occur and sign.
func TestBIP340Parities(t *testing.T) {
	seen := map[[2]bool]int{}
	for i := 0; i < 200 && len(seen) < 4; i++ {
		w := keyOf(t, BIP340, randomScalarOf(t, BIP340))
		cs := w.commit(t, []uint8{2, 4})
		r, err := w.key.newRound(message(i), cs)
		must(t, err)
		seen[[2]bool{r.negateKey, r.negateR}]++
		sig, err := w.key.Aggregate(message(i), cs, w.parts(t, w.key, message(i), cs))
		must(t, err)
		must(t, independent(w.key, message(i), sig))
	}
	if len(seen) != 4 {
		t.Fatalf("parities seen: %v", seen)
	}
}

// A signature of every kind of wrong is refused, by us as by btcec.
func TestVerifyAgreesWithJudges(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, seeded(7))
		sig := w.sign(t, w.key, message(0), []uint8{1, 2})
		for i := 0; i < len(sig)*8; i += 512 / few(512) {
			bad := []byte(string(sig))
			bad[i/8] ^= 1 << (i % 8)
			if w.key.Verify(message(0), bad) == nil || independent(w.key, message(0), bad) == nil {
				t.Fatalf("%v: bit %d flipped and still valid", s, i)
			}
		}
		for name, bad := range map[string][]byte{"empty": nil, "short": sig[:63], "long": append([]byte(string(sig)), 0)} {
			if err := w.key.Verify(message(0), bad); err == nil || !strings.Contains(err.Error(), "verify") {
				t.Errorf("%v: %s signature: %v", s, name, err)
			}
		}
		if w.key.Verify(message(1), sig) == nil {
			t.Errorf("%v: valid for another message", s)
		}
	}
}
