package intent

import (
	"reflect"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// costly is the PSBT that takes longest to show: outputs full of public keys.
func costly(t testing.TB) []byte {
	s := newSample(t, 0)
	b := txscript.NewScriptBuilder().AddInt64(1)
	for i := range 15 {
		k := secp256k1.PrivKeyFromBytes([]byte{byte(i + 1)})
		b.AddData(k.PubKey().SerializeCompressed())
	}
	script, err := b.AddInt64(15).AddOp(txscript.OP_CHECKMULTISIG).Script()
	if err != nil {
		t.Fatal(err)
	}
	for len(txBytes(s.tx)) < command.MaxPayload-32<<10 {
		s.tx.AddTxOut(wire.NewTxOut(1, script))
		s.outputs = append(s.outputs, nil)
	}
	s.retx()
	return s.encode()
}

// TestMessagesAreCheap: every replica rebuilds what is signed, so what a payload can make
// it cost is kept apart from what showing it costs.
func TestMessagesAreCheap(t *testing.T) {
	b, k := costly(t), testKey("sample")
	best := func(f func()) time.Duration {
		least := time.Hour
		for range 3 {
			start := time.Now()
			f()
			least = min(least, time.Since(start))
		}
		return least
	}
	var shown *Intent
	var bare []Message
	show := best(func() { shown, _ = Decode(command.KindPSBT, 0, b, k) })
	judge := best(func() { bare, _ = Messages(command.KindPSBT, 0, b, k) })
	if shown == nil || len(bare) != 2 || !reflect.DeepEqual(shown.Messages, bare) {
		t.Fatalf("%d messages, not those that are shown", len(bare))
	}
	if judge > show/4 {
		t.Errorf("%s to judge, %s to show", judge, show)
	}
}
