package intent_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// claimed is a payment of 10,000 each to outputs of which the PSBT says that they are the
// wallet's, at these paths.
func claimed(t *testing.T, w *intent.Taproot, in []*intent.TaprootOutput, paths ...[]uint32) []byte {
	t.Helper()
	f := intenttest.FundTaproot(6, in, slices.Repeat([]int64{50_000}, len(in))...)
	var pay []intenttest.Payment
	var fields []byte
	for _, path := range paths {
		o, err := w.Output(path...)
		if err != nil {
			t.Fatal(err)
		}
		pay = append(pay, intenttest.ToTaproot(o, 10_000))
		fields = append(append(fields, 1, 0x05, 32), o.Internal[:]...)
		fields = append(append(fields, 33, 0x07), o.Internal[:]...)
		d := intenttest.Derivation(w, path)
		fields = append(append(append(fields, byte(len(d))), d...), 0)
	}
	p := intenttest.TaprootPSBT(0, w, f, in, pay...)
	if !bytes.HasSuffix(p, make([]byte, len(paths)+1)) {
		t.Fatal("the outputs' maps are not empty")
	}
	return append(p[:len(p)-len(paths)], fields...)
}

// TestAssetOfPayments: of a bitcoin key only m/0/N and m/1/N spend, and only what they can
// spend again is shown as change.
func TestAssetOfPayments(t *testing.T) {
	plain := newWhole(t, "asset", false)
	k := intent.KeyInfo{Curve: command.Secp256k1, Signers: 2, Threshold: true, Asset: command.AssetBitcoin}
	public, err := plain.secret.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	k.Point, k.Chain = public.SerializeCompressed(), [32]byte(plain.secret.ChainCode())
	good := claimed(t, plain.Taproot, []*intent.TaprootOutput{plain.at(t, 0, 5), plain.at(t, 1, 0)}, []uint32{1, 2}, []uint32{2, 2}, []uint32{1}, nil)
	in, err := intent.Decode(command.KindPSBT, 0, good, k)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false, false} {
		if in.Transaction.Outputs[i].Change != want {
			t.Errorf("output %d: change is %v", i, !want)
		}
	}
	any := k
	any.Asset = 0
	if in, err = intent.Decode(command.KindPSBT, 0, good, any); err != nil || !in.Transaction.Outputs[1].Change || !in.Transaction.Outputs[3].Change {
		t.Errorf("without a class: %+v, %v", in, err)
	}
	for _, path := range [][]uint32{nil, {0}, {2, 0}, {0, 5, 0}} {
		bad := claimed(t, plain.Taproot, []*intent.TaprootOutput{plain.at(t, 0, 5), plain.at(t, path...)}, []uint32{1, 2})
		_, err := intent.Spends(command.KindPSBT, 0, bad, nil, k)
		if errs.CodeOf(err) != errs.PayloadRejected || !strings.Contains(err.Error(), "input 1") || !strings.Contains(err.Error(), "template of asset class bitcoin") {
			t.Errorf("%v: %v", path, err)
		}
		if _, err := intent.Spends(command.KindPSBT, 0, bad, nil, any); err != nil {
			t.Errorf("%v without a class: %v", path, err)
		}
		if _, err := intent.Spends(command.KindMessage, command.HashSHA256, []byte("m"), path, k); errs.CodeOf(err) != errs.PayloadRejected {
			t.Errorf("a message at %v: %v", path, err)
		}
	}
	if _, err := intent.Spends(command.KindMessage, command.HashSHA256, []byte("m"), []uint32{0, 5}, k); err != nil {
		t.Error(err)
	}
}
