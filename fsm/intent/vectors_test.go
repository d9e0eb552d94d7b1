package intent_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var update = flag.Bool("update", false, "rewrite docs/spec/vectors/intent.json")

// The golden vectors: a wallet and what it signs. An approver's own device, or another
// implementation, must come to the same digests from the same payload.
type vectors struct {
	Signers       uint8
	PublicKeys    []string // hex, by region
	WitnessScript string
	Descriptor    string
	Addresses     map[string]string
	PSBTs         []psbtVector
	Messages      []messageVector
}

type psbtVector struct {
	PSBT     string // base64
	TxID     string
	Fee      int64
	Digests  []string
	Combined string // with signatures of regions 1 and 3, base64
	Raw      string // hex
}

type messageVector struct {
	Hash    uint8
	Payload string
	Digest  string
}

// golden holds v against a file of docs/spec/vectors and returns the file.
func golden(t *testing.T, name string, v any) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "spec", "vectors", name)
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(text) {
		t.Fatal("the vectors changed: what a payload signs may not")
	}
	return want
}

func TestGoldenVectors(t *testing.T) {
	decodeVectors(t, golden(t, "intent.json", computeVectors(t)))
}

// decodeVectors starts from the file alone.
func decodeVectors(t *testing.T, b []byte) {
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	info := intent.KeyInfo{Curve: command.Secp256k1, Signers: v.Signers}
	for i, p := range v.PublicKeys {
		key, err := hex.DecodeString(p)
		if err != nil {
			t.Fatal(err)
		}
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(i + 1), Key: key})
	}
	for i, p := range v.PSBTs {
		raw, ok := intent.Armored([]byte(p.PSBT))
		if !ok {
			t.Fatalf("psbt %d is not base64", i)
		}
		in := decode(t, raw, info)
		for j, d := range p.Digests {
			if hex.EncodeToString(in.Messages[j]) != d {
				t.Errorf("psbt %d signs another digest %d", i, j)
			}
		}
		combined, _ := intent.Armored([]byte(p.Combined))
		tx, err := wallet(t, info).Finalize(combined)
		if err != nil || hex.EncodeToString(tx) != p.Raw {
			t.Errorf("psbt %d finalizes differently: %v", i, err)
		}
	}
}

func computeVectors(t *testing.T) vectors {
	info, regions := newKey("golden", 2, 4)
	w := wallet(t, info)
	v := vectors{Signers: 2, WitnessScript: hex.EncodeToString(w.WitnessScript()), Descriptor: w.Descriptor(), Addresses: map[string]string{}}
	for _, p := range info.PublicKeys {
		v.PublicKeys = append(v.PublicKeys, hex.EncodeToString(p.Key))
	}
	for _, n := range []intent.Network{intent.Mainnet, intent.Testnet, intent.Signet, intent.Regtest} {
		v.Addresses[n.String()] = w.Address(n)
	}
	f := intenttest.Fund(w, 1, 70_000, 30_000)
	for _, version := range []uint32{0, 2} {
		p := intenttest.PSBT(version, w, f, intenttest.To(1, 60_000), intenttest.Change(w, 39_000))
		in := decode(t, p, info)
		combined, err := w.Combine(p, []intent.SignatureSet{regions[0].sign(in.Messages), regions[2].sign(in.Messages)})
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
		pv := psbtVector{PSBT: base64.StdEncoding.EncodeToString(p), TxID: in.Transaction.TxID, Fee: in.Transaction.Fee,
			Combined: base64.StdEncoding.EncodeToString(combined), Raw: hex.EncodeToString(raw)}
		for _, d := range in.Messages {
			pv.Digests = append(pv.Digests, hex.EncodeToString(d))
		}
		v.PSBTs = append(v.PSBTs, pv)
	}
	for h := command.HashSHA256; h <= command.HashSHA512256; h++ {
		d, err := intent.Digest(h, []byte("tetrad"))
		if err != nil {
			t.Fatal(err)
		}
		v.Messages = append(v.Messages, messageVector{uint8(h), hex.EncodeToString([]byte("tetrad")), hex.EncodeToString(d[:])})
	}
	return v
}
