package intent_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// threshold is a key that exists nowhere: four regions made it, any two sign.
type threshold struct {
	results map[uint8]*frost.Result
	pools   map[uint8]*frost.Pool
	chain   [32]byte
}

func newThreshold(t *testing.T, suite *frost.Suite) *threshold {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	regions := []uint8{1, 2, 3, 4}
	terms := frost.NewKey(suite, []byte("the test's own session"), "intent test", 2, regions)
	all, k := map[uint8]*frost.Ceremony{}, &threshold{results: map[uint8]*frost.Result{}, pools: map[uint8]*frost.Pool{}}
	for _, r := range regions {
		c, err := frost.Begin(rand.Reader, terms, r, nil)
		ok(err)
		all[r] = c
	}
	each := func(send func(from, to *frost.Ceremony, f, t uint8) error) {
		for _, f := range regions {
			for _, to := range regions {
				ok(send(all[f], all[to], f, to))
			}
		}
	}
	each(func(from, to *frost.Ceremony, f, _ uint8) error { h, _ := from.Hash(); return to.AddHash(f, h) })
	each(func(from, to *frost.Ceremony, f, _ uint8) error {
		d, err := from.Reveal()
		ok(err)
		return to.AddDealing(f, d)
	})
	each(func(from, to *frost.Ceremony, f, n uint8) error {
		d, err := from.Dealt(n)
		ok(err)
		return to.AddDealt(f, d)
	})
	for _, r := range regions {
		result, err := all[r].Finish()
		ok(err)
		pool, err := frost.NewPool(suite, r, 1, bytes.Repeat([]byte{r}, 32))
		ok(err)
		k.results[r], k.pools[r] = result, pool
		k.chain = frost.ChainCode(result.Transcript)
	}
	return k
}

func (k *threshold) key() *frost.PublicKey { return k.results[1].Key }

func (k *threshold) sign(t *testing.T, key *frost.PublicKey, message []byte, signers ...uint8) []byte {
	t.Helper()
	var named []*frost.Commitment
	var parts []*frost.SignatureShare
	for _, r := range signers {
		c, err := k.pools[r].Prepare(rand.Reader, 1)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, c...)
	}
	for _, r := range signers {
		part, err := k.pools[r].Sign(k.results[r].Share, key, message, named)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	sig, err := key.Aggregate(message, named, parts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// A threshold key and its children pay from Taproot outputs, by two of four, with and
// without a script tree; the script engine is the judge.
func TestThresholdKeySpendsTaproot(t *testing.T) {
	k := newThreshold(t, frost.BIP340)
	tk := intent.TaprootKey{Key: k.key().Compressed(), ChainCode: k.chain[:]}
	info, _ := newKey("threshold fallback", 2, 4)
	for _, fallback := range []*intent.Fallback{nil, {Signers: 2, PublicKeys: info.PublicKeys}} {
		tk.Fallback = fallback
		w, err := intent.NewTaproot(tk)
		if err != nil {
			t.Fatal(err)
		}
		var outs []*intent.TaprootOutput
		for _, p := range [][]uint32{nil, {0, 7}, {1, 2, 3}} {
			o, err := w.Output(p...)
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, o)
		}
		f := intenttest.FundTaproot(9, outs, 10_000, 20_000, 30_000)
		for _, version := range []uint32{0, 2} {
			p := intenttest.TaprootPSBT(version, w, f, outs, intenttest.To(1, 59_000))
			spends, err := w.KeySpends(p)
			if err != nil {
				t.Fatal(err)
			}
			var sigs [][]byte
			for i, s := range spends {
				child, _, err := k.key().Derive(k.chain, s.Path...)
				if err != nil {
					t.Fatal(err)
				}
				output, err := child.Taproot(w.MerkleRoot())
				if err != nil {
					t.Fatal(err)
				}
				if string(output.Bytes()) != string(s.Key[:]) {
					t.Fatalf("input %d: the regions derive another output key", i)
				}
				sigs = append(sigs, k.sign(t, output, s.Message, uint8(i+1), uint8(i+2)))
			}
			combined, err := w.Combine(p, sigs)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := w.Finalize(combined)
			if err != nil {
				t.Fatal(err)
			}
			if err := intenttest.Accepted(raw, f); err != nil {
				t.Error(version, err)
			}
		}
	}
}

// A threshold key signs a Solana transaction, which anybody verifies.
func TestThresholdKeySignsSolana(t *testing.T) {
	k := newThreshold(t, frost.Ed25519)
	key := solana.Address(k.key().Bytes())
	message := append([]byte{1, 0, 1, 3}, key[:]...)
	message = append(message, make([]byte, 31)...)
	message = append(message, 5)                   // account 1
	message = append(message, make([]byte, 64)...) // the system program, blockhash
	message = append(message, 1, 2, 2, 0, 1, 12, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0)
	m, err := solana.Decode(message)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := m.Transaction(solana.Signature{Signer: key, Bytes: k.sign(t, k.key(), m.Bytes(), 2, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(key[:], tx[65:], tx[1:65]) {
		t.Error("the transaction's signature does not verify")
	}
	if _, sigs, err := solana.DecodeTransaction(tx); err != nil || len(sigs) != 1 {
		t.Error(len(sigs), err)
	}
}
