package intent_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/vault/address"
)

// The golden vectors of Taproot wallets: outputs, descriptors and what PSBTs sign. The
// secret is there, so that another implementation can make the signatures as well.
type taprootVectors struct {
	Secret, Key, ChainCode string
	Xpub                   string
	Wallets                []taprootVector
}

type taprootVector struct {
	Fallback    []string // x-only, in order of the script; two sign
	MerkleRoot  string
	Descriptors []string
	Outputs     []outputVector
	PSBTs       []psbtVector
}

type outputVector struct {
	Path          []uint32
	Internal, Key string
	Address       string // mainnet
	ControlBlock  string
}

func TestTaprootGoldenVectors(t *testing.T) {
	decodeTaprootVectors(t, golden(t, "taproot.json", computeTaprootVectors(t)))
}

// decodeTaprootVectors starts from the file alone.
func decodeTaprootVectors(t *testing.T, b []byte) {
	var v taprootVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	e, err := address.ParseExtended(v.Xpub)
	if err != nil {
		t.Fatal(err)
	}
	for _, wv := range v.Wallets {
		k := intent.TaprootKey{Key: e.Key[:], ChainCode: e.ChainCode[:]}
		if len(wv.Fallback) > 0 {
			k.Fallback = &intent.Fallback{Signers: 2}
		}
		for _, x := range wv.Fallback {
			key, err := hex.DecodeString(x)
			if err != nil {
				t.Fatal(err)
			}
			k.Fallback.PublicKeys = append(k.Fallback.PublicKeys, key)
		}
		w, err := intent.NewTaproot(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range wv.Outputs {
			if got, err := w.Output(o.Path...); err != nil || got.Address(intent.Mainnet) != o.Address {
				t.Errorf("output %v has another address: %v", o.Path, err)
			}
		}
		for i, p := range wv.PSBTs {
			raw, _ := intent.Armored([]byte(p.PSBT))
			spends, err := w.KeySpends(raw)
			if err != nil {
				t.Fatal(err)
			}
			for j, d := range p.Digests {
				if hex.EncodeToString(spends[j].Message) != d {
					t.Errorf("psbt %d signs another digest %d", i, j)
				}
			}
			combined, _ := intent.Armored([]byte(p.Combined))
			if tx, err := w.Finalize(combined); err != nil || hex.EncodeToString(tx) != p.Raw {
				t.Errorf("psbt %d finalizes differently: %v", i, err)
			}
		}
	}
}

func computeTaprootVectors(t *testing.T) (v taprootVectors) {
	for _, fallback := range []bool{false, true} {
		w := newWhole(t, "golden", fallback)
		secret, err := w.secret.ECPrivKey()
		if err != nil {
			t.Fatal(err)
		}
		key := secret.PubKey().SerializeCompressed()
		e, err := address.Root(intent.Mainnet, key, [32]byte(w.secret.ChainCode()))
		if err != nil {
			t.Fatal(err)
		}
		v.Secret, v.Key, v.ChainCode, v.Xpub = hex.EncodeToString(secret.Serialize()), hex.EncodeToString(key), hex.EncodeToString(w.secret.ChainCode()), e.String()
		v.Wallets = append(v.Wallets, w.vector(t, key, e))
	}
	return v
}

func (w *whole) vector(t *testing.T, key []byte, e address.Extended) taprootVector {
	v := taprootVector{MerkleRoot: hex.EncodeToString(w.MerkleRoot())}
	var f *intent.Fallback
	if w.fallback != nil {
		f = &intent.Fallback{Signers: 2}
		for i := range 4 {
			x := w.LeafScript()[34*i+1 : 34*i+33]
			v.Fallback = append(v.Fallback, hex.EncodeToString(x))
			f.PublicKeys = append(f.PublicKeys, x)
		}
	}
	add := func(d string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		v.Descriptors = append(v.Descriptors, d)
	}
	add(address.Single(key, f))
	add(address.Branch(e, 0, f))
	add(address.Branch(e, 1, f))
	outs := []*intent.TaprootOutput{w.at(t), w.at(t, 0, 5)}
	for _, o := range outs {
		v.Outputs = append(v.Outputs, outputVector{o.Path, hex.EncodeToString(o.Internal[:]), hex.EncodeToString(o.Key[:]), o.Address(intent.Mainnet), hex.EncodeToString(o.ControlBlock())})
	}
	for _, version := range []uint32{0, 2} {
		v.PSBTs = append(v.PSBTs, w.psbtVector(t, version, outs))
	}
	return v
}

func (w *whole) psbtVector(t *testing.T, version uint32, outs []*intent.TaprootOutput) psbtVector {
	f := intenttest.FundTaproot(1, outs, 70_000, 30_000)
	p := intenttest.TaprootPSBT(version, w.Taproot, f, outs, intenttest.To(1, 60_000), intenttest.ToTaproot(outs[0], 39_000))
	in, spends, err := w.Decode(p, intent.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	combined, err := w.Combine(p, w.sign(t, spends))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Finalize(combined)
	if err != nil {
		t.Fatal(err)
	}
	if err := intenttest.Accepted(raw, f); err != nil {
		t.Fatal(err)
	}
	v := psbtVector{PSBT: base64.StdEncoding.EncodeToString(p), TxID: in.Transaction.TxID, Fee: in.Transaction.Fee,
		Combined: base64.StdEncoding.EncodeToString(combined), Raw: hex.EncodeToString(raw)}
	for _, d := range in.Messages {
		v.Digests = append(v.Digests, hex.EncodeToString(d))
	}
	return v
}
