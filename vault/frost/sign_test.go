package frost

import (
	"crypto/rand"
	mrand "math/rand"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestEverySignerSetSigns(t *testing.T) {
	for _, s := range suites {
		for threshold := 2; threshold <= 4; threshold++ {
			w := newWorld(t, s, threshold, rand.Reader)
			for i, set := range signerSets(threshold) {
				w.sign(t, w.key, message(i), set)
			}
		}
	}
}

// FROST_ROUNDS sets how many signatures TestRandomRounds makes; make it a million before a
// release: FROST_ROUNDS=1000000 go test -run RandomRounds -timeout 0 ./vault/frost
const shortRounds = 1000

// Random signer sets sign random messages under random keys of a tree, the key refreshed
// now and then; every signature is judged by crypto/ed25519 or btcec.
func TestRandomRounds(t *testing.T) {
	rounds := few(shortRounds)
	if v := os.Getenv("FROST_ROUNDS"); v != "" {
		var err error
		rounds, err = strconv.Atoi(v)
		must(t, err)
	}
	seed := mrand.Int63()
	t.Logf("%d rounds, seed %d", rounds, seed)
	var made [2]atomic.Int64
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			random := mrand.New(mrand.NewSource(seed + int64(worker)))
			for made[0].Load()+made[1].Load() < int64(rounds) && !t.Failed() {
				which := random.Intn(2)
				made[which].Add(manyRounds(t, suites[which], random))
			}
		})
	}
	workers.Wait()
	t.Logf("%d signatures with %v, %d with %v", made[0].Load(), suites[0], made[1].Load(), suites[1])
}

// manyRounds makes a key of random threshold and signs with it, refreshing once.
func manyRounds(t *testing.T, s *Suite, random *mrand.Rand) (n int64) {
	threshold := 2 + random.Intn(3)
	w := newWorld(t, s, threshold, rand.Reader)
	sets := signerSets(threshold)
	for range 2 {
		for range few(100) {
			key := w.key
			if random.Intn(4) == 0 {
				key = randomKeyOfTree(t, w.key, random)
			}
			msg := make([]byte, 32)
			random.Read(msg)
			w.sign(t, key, msg, sets[random.Intn(len(sets))])
			n++
		}
		dealers := sets[random.Intn(len(sets))]
		w = runCeremony(t, Refresh(w.key, session("refresh"), "test", dealers), only(w.shares, dealers), rand.Reader)
	}
	return n
}

func randomKeyOfTree(t *testing.T, k *PublicKey, random *mrand.Rand) *PublicKey {
	var chain [32]byte
	random.Read(chain[:])
	k, _, err := k.Derive(chain, uint32(random.Int31()), uint32(random.Int31()))
	must(t, err)
	if k.suite == BIP340 && random.Intn(2) == 0 {
		k, err = k.Taproot(nil)
		must(t, err)
	}
	return k
}

// Whatever message and signers: one signature under the key; and with any one part
// changed, none, and its region named.
func TestSigningProperties(t *testing.T) {
	for _, s := range suites[:few(2)] {
		w := newWorld(t, s, 2, rand.Reader)
		rapid.Check(t, func(rt *rapid.T) {
			msg := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "message")
			set := rapid.SampledFrom(signerSets(2)).Draw(rt, "signers")
			cs := w.commit(t, set)
			shuffled := rapid.Permutation(cs).Draw(rt, "order")
			parts := w.parts(t, w.key, msg, shuffled)
			sig, err := w.key.Aggregate(msg, cs, parts)
			must(t, err)
			must(t, w.key.Verify(msg, sig))
			at := rapid.IntRange(0, len(parts)-1).Draw(rt, "culprit")
			bad := *parts[at]
			delta := s.group.number(rapid.Uint8Range(1, 255).Draw(rt, "error"))
			bad.z = s.group.add(readScalarOf(t, s, bad.z), delta).bytes()
			region := bad.region
			parts[at] = &bad
			_, err = w.key.Aggregate(msg, cs, parts)
			if got := Culprits(err); len(got) != 1 || got[0] != region {
				rt.Fatalf("culprits %v, want region %d: %v", got, region, err)
			}
		})
	}
}
