package solana_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
)

// docs/spec/vectors/solana.json was put together by hand from the public format, piece by
// piece, each piece with what it means; nothing of this package made it.
type vector struct {
	Name        string
	Parts       []struct{ What, Hex string }
	Message     string
	Summary     [][2]string
	Transaction string
	Base64      string
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readVectors(t testing.TB) (out []vector) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "spec", "vectors", "solana.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &out); err != nil || len(out) == 0 {
		t.Fatal(len(out), err)
	}
	return out
}

func TestGoldenVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		var joined []byte
		for _, p := range v.Parts {
			joined = append(joined, unhex(t, p.Hex)...)
		}
		if hex.EncodeToString(joined) != v.Message {
			t.Errorf("%s: the pieces do not make the message", v.Name)
		}
		m, err := solana.Decode(joined)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		var got [][2]string
		for _, l := range m.Summary() {
			got = append(got, [2]string{l.Name, l.Value})
		}
		if !reflect.DeepEqual(got, v.Summary) {
			t.Errorf("%s:\n%q, want\n%q", v.Name, got, v.Summary)
		}
		signed, sigs, err := solana.DecodeTransaction(unhex(t, v.Transaction))
		if err != nil || len(sigs) != m.Signers || !bytes.Equal(signed.Bytes(), m.Bytes()) {
			t.Errorf("%s: transaction with %d signatures: %v", v.Name, len(sigs), err)
			continue
		}
		if again, err := m.Transaction(sigs...); err != nil || hex.EncodeToString(again) != v.Transaction {
			t.Errorf("%s: joined to %x, %v", v.Name, again, err)
		}
	}
}

// The transaction that the test suite of solana-web3.js holds its wire format against
// ("parse wire format and serialize"): seed 32 times 8, 49 lamports.
func TestPublicTransaction(t *testing.T) {
	const text = "AVuErQHaXv0SG0/PchunfxHKt8wMRfMZzqV0tkC5qO6owYxWU2v871AoWywGoFQr4z+q/7mE8lIufNl/kxj+nQ0BAAEDE5j2LG0aRXxRumpLXz29L2n8qTIW" +
		"IY3ImX5Ba9F9k8r9Q5/Mtmcn8onFxt47xKj+XdXXd3C8j/FcPu7csUrz/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAxJrndgN4IFTxep3s6kO0ROug7bEs" +
		"bx0xxuDkqEvwUusBAgIAAQwCAAAAMQAAAAAAAAA="
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	m, sigs, err := solana.DecodeTransaction(b)
	if err != nil || len(sigs) != 1 {
		t.Fatal(sigs, err)
	}
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))
	if !bytes.Equal(ed25519.Sign(private, m.Bytes()), sigs[0].Bytes) {
		t.Error("another signature over the message")
	}
	c := m.Calls()[0]
	if c.Kind != solana.SystemTransfer || c.Amount != 49 || c.From.Address != m.FeePayer() || c.To.String() != "J3dxNj7nDRRqRRXuEMynDG57DkZK4jYRuv3Garmb1i99" ||
		m.Blockhash.String() != "EETubP5AKHgjPAhzPAFcb8BAY1hMH639CWCFTqi3hq1k" {
		t.Errorf("read as %s", c)
	}
}
