package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// outsiders is a fallback of n keys that the vault does not hold.
func outsiders(signers uint8, n int) *command.Fallback {
	f := &command.Fallback{Signers: signers}
	for i := range n {
		h := sha256.Sum256(fmt.Append(nil, "outsider", i))
		_, public := btcec.PrivKeyFromBytes(h[:])
		f.PublicKeys = append(f.PublicKeys, schnorr.SerializePubKey(public))
	}
	slices.SortFunc(f.PublicKeys, bytes.Compare)
	return f
}

func creation(name string, f *command.Fallback) *command.CreateKey {
	return &command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2, Fallback: f}
}

// TestFallbackRefused: a way past every draw takes two administrators and two keys.
func TestFallbackRefused(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	if o := l.Do(l.By(l.Admins[0], creation("alone", outsiders(2, 4)))); o.Code != errs.NeedsSecondAdmin {
		t.Error("one administrator made it:", o)
	}
	noPoint := outsiders(2, 3)
	noPoint.PublicKeys[2] = bytes.Repeat([]byte{255}, 32)
	multisig, ed := creation("k", outsiders(2, 4)), creation("k", outsiders(2, 4))
	multisig.Scheme, ed.Curve = command.SchemeMultisig, command.Ed25519
	for name, b := range map[string]*command.CreateKey{
		"one signer":             creation("k", outsiders(1, 4)),
		"no signer":              creation("k", outsiders(0, 4)),
		"more signers than keys": creation("k", outsiders(5, 4)),
		"x of no point":          creation("k", noPoint),
		"multisig":               multisig,
		"ed25519":                ed,
	} {
		if o := l.Do(l.Dual(b)); o.Code != errs.Invalid {
			t.Errorf("%s: %v", name, o)
		}
	}
}

// TestFallbackStays: through ceremony, refresh and restore the key's outputs keep their
// script path, and every spend of them is of those outputs.
func TestFallbackStays(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	want := outsiders(2, 4)
	id := l.Must(l.Dual(creation("cold", want))).Key
	l.Hold(id)
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
	l.Hold(id)
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(bytes.NewReader(written(t, l.Machine))); err != nil {
		t.Fatal(err)
	}
	k, _ := m.View().Key(id)
	if k.Fallback == nil || !bytes.Equal(k.Fallback.Encode(), want.Encode()) {
		t.Fatalf("restored: %+v", k.Fallback)
	}
	w, err := k.Info().Taproot()
	if err != nil {
		t.Fatal(err)
	}
	script, err := (*intent.Fallback)(want).Script()
	if err != nil || !bytes.Equal(w.LeafScript(), script) {
		t.Fatalf("leaf %x, want %x, %v", w.LeafScript(), script, err)
	}
	o, err := w.Output(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	l.FillPools(command.Secp256k1, 4)
	outs := []*intent.TaprootOutput{o}
	psbt := intenttest.TaprootPSBT(2, w, intenttest.FundTaproot(1, outs, 10_000), outs, intenttest.To(1, 9_000))
	l.Must(l.By(signer, &command.RequestSignature{Key: id, Kind: command.KindPSBT, Payload: psbt}))
	bare, err := intent.NewTaproot(intent.TaprootKey{Key: k.Point, ChainCode: k.Chain[:]})
	if err != nil {
		t.Fatal(err)
	}
	if o, err = bare.Output(0, 1); err != nil {
		t.Fatal(err)
	}
	outs[0] = o
	psbt = intenttest.TaprootPSBT(2, bare, intenttest.FundTaproot(1, outs, 10_000), outs, intenttest.To(1, 9_000))
	if got := l.Do(l.By(signer, &command.RequestSignature{Key: id, Kind: command.KindPSBT, Payload: psbt})); got.Code != errs.PayloadRejected {
		t.Errorf("an output without the script path is not this key's: %v", got)
	}
}

// TestSharingHashNamesTheFallback: the audit leaf of the key binds the script path.
func TestSharingHashNamesTheFallback(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	id := l.Must(l.Dual(creation("cold", outsiders(2, 4)))).Key
	l.Hold(id)
	k, _ := l.Machine.View().Key(id)
	seen := map[[32]byte]bool{}
	for _, f := range []*command.Fallback{nil, outsiders(2, 4), outsiders(3, 4), outsiders(2, 3)} {
		other := *k
		other.Fallback = f
		seen[fsm.SharingHash(&other)] = true
	}
	if len(seen) != 4 || !seen[fsm.SharingHash(k)] {
		t.Errorf("%d hashes of four keys", len(seen))
	}
}
