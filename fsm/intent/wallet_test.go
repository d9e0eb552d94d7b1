package intent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// region is one region's software key.
type region struct {
	id   identity.RegionID
	priv *secp256k1.PrivateKey
}

func (r region) sign(digests [][]byte) intent.SignatureSet {
	set := intent.SignatureSet{Region: r.id}
	for _, d := range digests {
		sig := ecdsa.Sign(r.priv, d)
		rr, s := sig.R(), sig.S()
		rb, sb := rr.Bytes(), s.Bytes()
		set.Signatures = append(set.Signatures, append(rb[:], sb[:]...))
	}
	return set
}

func newKey(seed string, k uint8, n int) (intent.KeyInfo, []region) {
	info := intent.KeyInfo{Curve: command.Secp256k1, Signers: k, Network: intent.Regtest}
	var regions []region
	for i := range n {
		h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", seed, i+1))
		r := region{identity.RegionID(i + 1), secp256k1.PrivKeyFromBytes(h[:])}
		regions = append(regions, r)
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: r.id, Key: r.priv.PubKey().SerializeCompressed()})
	}
	return info, regions
}

func wallet(t testing.TB, info intent.KeyInfo) *intent.Wallet {
	t.Helper()
	w, err := intent.NewWallet(info)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func decode(t testing.TB, p []byte, info intent.KeyInfo) *intent.Intent {
	t.Helper()
	in, err := intent.Decode(command.KindPSBT, command.HashNone, p, info)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestEveryPairPays(t *testing.T) {
	info, regions := newKey("pairs", 2, 4)
	w := wallet(t, info)
	for _, version := range []uint32{0, 2} {
		f := intenttest.Fund(w, 1, 70_000, 30_000)
		p := intenttest.PSBT(version, w, f, intenttest.To(1, 60_000), intenttest.Change(w, 39_000))
		in := decode(t, p, info)
		for a := range 4 {
			for b := range 4 {
				if a == b {
					continue
				}
				combined, err := w.Combine(p, []intent.SignatureSet{regions[a].sign(in.Messages), regions[b].sign(in.Messages)})
				if err != nil {
					t.Fatal(err)
				}
				raw, err := w.Finalize(combined)
				if err != nil {
					t.Fatal(err)
				}
				if err := intenttest.Accepted(raw, f); err != nil {
					t.Fatalf("version %d, regions %d and %d: %v", version, a+1, b+1, err)
				}
			}
		}
	}
}

func TestOtherThresholds(t *testing.T) {
	for _, c := range []struct {
		k uint8
		n int
	}{{1, 1}, {2, 3}, {3, 4}, {4, 4}, {3, 5}} {
		info, regions := newKey("thresholds", c.k, c.n)
		w := wallet(t, info)
		f := intenttest.Fund(w, 2, 50_000)
		p := intenttest.PSBT(2, w, f, intenttest.To(1, 49_000))
		in := decode(t, p, info)
		for i := range c.n { // one region at a time, each adding to what came before
			var err error
			if p, err = w.Combine(p, []intent.SignatureSet{regions[i].sign(in.Messages)}); err != nil {
				t.Fatal(err)
			}
			raw, err := w.Finalize(p)
			if i+1 < int(c.k) {
				if errs.CodeOf(err) != errs.PayloadRejected {
					t.Fatalf("%d of %d: finalized with %d signatures: %v", c.k, c.n, i+1, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := intenttest.Accepted(raw, f); err != nil {
				t.Fatalf("%d of %d: %v", c.k, c.n, err)
			}
		}
	}
}

// The library's own reader, finalizer and extractor agree on version 0.
func TestLibraryIsJudge(t *testing.T) {
	info, regions := newKey("judge", 2, 4)
	w := wallet(t, info)
	f := intenttest.Fund(w, 3, 50_000, 20_000)
	p := intenttest.PSBT(0, w, f, intenttest.To(1, 69_000))
	in := decode(t, p, info)
	combined, err := w.Combine(p, []intent.SignatureSet{regions[3].sign(in.Messages), regions[1].sign(in.Messages)})
	if err != nil {
		t.Fatal(err)
	}
	packet, err := psbt.NewFromRawBytes(bytes.NewReader(combined), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := psbt.MaybeFinalizeAll(packet); err != nil {
		t.Fatal(err)
	}
	tx, err := psbt.Extract(packet)
	if err != nil {
		t.Fatal(err)
	}
	var theirs bytes.Buffer
	if err := tx.Serialize(&theirs); err != nil {
		t.Fatal(err)
	}
	ours, err := w.Finalize(combined)
	if err != nil || !bytes.Equal(ours, theirs.Bytes()) {
		t.Fatalf("ours %x, theirs %x (%v)", ours, theirs.Bytes(), err)
	}
	if in.Transaction.TxID != tx.TxHash().String() {
		t.Fatalf("txid %s, library %s", in.Transaction.TxID, tx.TxHash())
	}
	if v := in.Transaction.VSize - int64((tx.SerializeSizeStripped()*3+tx.SerializeSize()+3)/4); v < 0 || v > 2 {
		t.Fatalf("estimated size is off by %d", v)
	}
}

func TestVersionsSignTheSame(t *testing.T) {
	info, _ := newKey("same", 2, 4)
	w := wallet(t, info)
	f := intenttest.Fund(w, 4, 50_000, 20_000)
	pay := []intenttest.Payment{intenttest.To(1, 40_000), intenttest.Change(w, 29_000)}
	v0, v2 := decode(t, intenttest.PSBT(0, w, f, pay...), info), decode(t, intenttest.PSBT(2, w, f, pay...), info)
	if fmt.Sprint(v0.Messages) != fmt.Sprint(v2.Messages) || v0.Transaction.TxID != v2.Transaction.TxID {
		t.Fatal("one transaction, two digests")
	}
	tr := v2.Transaction
	if tr.PSBT != 2 || tr.Fee != 1_000 || tr.Spent() != 41_000 || tr.Total() != 70_000 || !tr.Inputs[0].Proven ||
		tr.Outputs[0].Change || !tr.Outputs[1].Change || tr.Outputs[1].Address != w.Address(intent.Regtest) {
		t.Fatalf("described as %+v", tr)
	}
	text := fmt.Sprint(v2.Summary())
	for _, want := range []string{"0.00040000 BTC to bcrt1q", "back to this wallet", "0.00001000 BTC, 1.4%", "leaves wallet 0.00041000"} {
		if !strings.Contains(text, want) {
			t.Errorf("summary %s lacks %q", text, want)
		}
	}
}

func TestWrongSignaturesRefused(t *testing.T) {
	info, regions := newKey("wrong", 2, 4)
	w := wallet(t, info)
	f := intenttest.Fund(w, 5, 50_000, 20_000)
	p := intenttest.PSBT(0, w, f, intenttest.To(1, 69_000))
	in := decode(t, p, info)
	good := regions[0].sign(in.Messages)
	spoil := func(g func(*intent.SignatureSet)) intent.SignatureSet {
		s := intent.SignatureSet{Region: good.Region}
		for _, b := range good.Signatures {
			s.Signatures = append(s.Signatures, bytes.Clone(b))
		}
		g(&s)
		return s
	}
	for name, c := range map[string]struct {
		set  intent.SignatureSet
		code errs.Code
	}{
		"flipped bit":       {spoil(func(s *intent.SignatureSet) { s.Signatures[1][5] ^= 1 }), errs.Unverified},
		"swapped inputs":    {spoil(func(s *intent.SignatureSet) { s.Signatures[0], s.Signatures[1] = s.Signatures[1], s.Signatures[0] }), errs.Unverified},
		"another region's":  {spoil(func(s *intent.SignatureSet) { s.Region = 2 }), errs.Unverified},
		"high s":            {spoil(func(s *intent.SignatureSet) { s.Signatures[0] = highS(s.Signatures[0]) }), errs.Unverified},
		"short":             {spoil(func(s *intent.SignatureSet) { s.Signatures[0] = s.Signatures[0][:63] }), errs.Unverified},
		"one missing":       {spoil(func(s *intent.SignatureSet) { s.Signatures = s.Signatures[:1] }), errs.Invalid},
		"region unknown":    {spoil(func(s *intent.SignatureSet) { s.Region = 9 }), errs.Invalid},
		"all zero":          {spoil(func(s *intent.SignatureSet) { s.Signatures[0] = make([]byte, 64) }), errs.Unverified},
		"overflowing halfs": {spoil(func(s *intent.SignatureSet) { s.Signatures[0] = bytes.Repeat([]byte{0xff}, 64) }), errs.Unverified},
	} {
		if _, err := w.Combine(p, []intent.SignatureSet{c.set}); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func highS(sig []byte) []byte {
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:])
	s.Negate()
	b := s.Bytes()
	return append(bytes.Clone(sig[:32]), b[:]...)
}

func TestFinalizeRefusesForeignSignature(t *testing.T) {
	info, regions := newKey("foreign", 2, 4)
	w := wallet(t, info)
	f := intenttest.Fund(w, 6, 50_000)
	a, b := intenttest.PSBT(0, w, f, intenttest.To(1, 49_000)), intenttest.PSBT(0, w, f, intenttest.To(2, 49_000))
	signed := func(p []byte) *psbt.Packet {
		in := decode(t, p, info)
		c, err := w.Combine(p, []intent.SignatureSet{regions[0].sign(in.Messages), regions[1].sign(in.Messages)})
		if err != nil {
			t.Fatal(err)
		}
		packet, err := psbt.NewFromRawBytes(bytes.NewReader(c), false)
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	pa, pb := signed(a), signed(b)
	pa.Inputs[0].PartialSigs[1] = pb.Inputs[0].PartialSigs[1]
	var out bytes.Buffer
	if err := pa.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finalize(out.Bytes()); errs.CodeOf(err) != errs.Unverified {
		t.Fatalf("signature over another payment: %v", err)
	}
}

func TestUnknownFieldsSurviveAndModifiableIsCleared(t *testing.T) {
	info, regions := newKey("fields", 2, 4)
	w := wallet(t, info)
	f := intenttest.Fund(w, 7, 50_000)
	p := intenttest.PSBT(2, w, f, intenttest.To(1, 49_000))
	unknown := []byte{3, 0xfc, 'x', 'y', 2, 1, 2} // key fc 'x' 'y', value 01 02
	p = append(append([]byte("psbt\xff"), unknown...), p[5:]...)
	in := decode(t, p, info)
	c, err := w.Combine(p, []intent.SignatureSet{regions[0].sign(in.Messages)})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(c, unknown) {
		t.Error("an unknown field was lost")
	}
	if !bytes.Contains(p, []byte{1, 0x06, 1, 3}) || !bytes.Contains(c, []byte{1, 0x06, 1, 0}) {
		t.Error("the transaction is still marked modifiable")
	}
	again, err := w.Combine(c, []intent.SignatureSet{regions[0].sign(in.Messages)})
	if err != nil || !bytes.Equal(again, c) {
		t.Errorf("the same signatures again change the PSBT: %v", err)
	}
}

// BIP-67's own vectors: keys in any order, one script and address.
func TestSortedMulti(t *testing.T) {
	for _, v := range []struct {
		keys   []string
		script string
	}{
		{[]string{"02ff12471208c14bd580709cb2358d98975247d8765f92bc25eab3b2763ed605f8",
			"02fe6f0a5a297eb38c391581c4413e084773ea23954d93f7753db7dc0adc188b2f"},
			"522102fe6f0a5a297eb38c391581c4413e084773ea23954d93f7753db7dc0adc188b2f2102ff12471208c14bd580709cb2358d98975247d8765f92bc25eab3b2763ed605f852ae"},
		{[]string{"02632b12f4ac5b1d1b72b2a3b508c19172de44f6f46bcee50ba33f3f9291e47ed0",
			"027735a29bae7780a9755fae7a1c4374c656ac6a69ea9f3697fda61bb99a4f3e77",
			"02e2cc6bd5f45edd43bebe7cb9b675f0ce9ed3efe613b177588290ad188d11b404"},
			"522102632b12f4ac5b1d1b72b2a3b508c19172de44f6f46bcee50ba33f3f9291e47ed021027735a29bae7780a9755fae7a1c4374c656ac6a69ea9f3697fda61bb99a4f3e772102e2cc6bd5f45edd43bebe7cb9b675f0ce9ed3efe613b177588290ad188d11b40453ae"},
	} {
		info := intent.KeyInfo{Curve: command.Secp256k1, Signers: 2}
		for i, k := range v.keys {
			b, _ := hex.DecodeString(k)
			info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(i + 1), Key: b})
		}
		if got := hex.EncodeToString(wallet(t, info).WitnessScript()); got != v.script {
			t.Errorf("script %s, want %s", got, v.script)
		}
	}
}

func TestNewWalletRefuses(t *testing.T) {
	good, _ := newKey("refuse", 2, 4)
	edit := func(f func(*intent.KeyInfo)) intent.KeyInfo {
		k := good
		k.PublicKeys = append([]intent.PublicKey(nil), good.PublicKeys...)
		f(&k)
		return k
	}
	for name, k := range map[string]intent.KeyInfo{
		"curve":        edit(func(k *intent.KeyInfo) { k.Curve = command.P256 }),
		"no signers":   edit(func(k *intent.KeyInfo) { k.Signers = 0 }),
		"too many":     edit(func(k *intent.KeyInfo) { k.Signers = 5 }),
		"same key":     edit(func(k *intent.KeyInfo) { k.PublicKeys[1].Key = k.PublicKeys[0].Key }),
		"off curve":    edit(func(k *intent.KeyInfo) { k.PublicKeys[1].Key = bytes.Repeat([]byte{2}, 32) }),
		"uncompressed": edit(func(k *intent.KeyInfo) { k.PublicKeys[1].Key = make([]byte, 65) }),
		"no keys":      {Curve: command.Secp256k1, Signers: 2},
	} {
		if _, err := intent.NewWallet(k); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAddressesAndNetworks(t *testing.T) {
	info, _ := newKey("address", 2, 4)
	w := wallet(t, info)
	for n, hrp := range map[intent.Network]string{intent.Mainnet: "bc1q", intent.Testnet: "tb1q", intent.Signet: "tb1q", intent.Regtest: "bcrt1q"} {
		if a := w.Address(n); !strings.HasPrefix(a, hrp) {
			t.Errorf("%s: %s", n, a)
		}
		if back, err := intent.ParseNetwork(n.String()); err != nil || back != n {
			t.Errorf("%s: %v", n, err)
		}
	}
	if _, err := intent.ParseNetwork("moon"); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("unknown network: %v", err)
	}
}
