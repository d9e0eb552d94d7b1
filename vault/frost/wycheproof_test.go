package frost

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestWycheproof runs the hostile Ed25519 signatures through Verify. (Wycheproof has nothing
// for BIP-340; its secp256k1 files are ECDSA.)
func TestWycheproof(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "wycheproof-ed25519.json"))
	must(t, err)
	var file struct {
		TestGroups []struct {
			PublicKey struct{ Pk hexBytes }
			Tests     []struct {
				TcId    int
				Comment string
				Msg     hexBytes
				Sig     hexBytes
				Result  string
			}
		}
	}
	must(t, json.Unmarshal(text, &file))
	n := 0
	for _, group := range file.TestGroups {
		p, ok := Ed25519.decodeElement(group.PublicKey.Pk)
		for _, c := range group.Tests {
			n++
			got := ok && publicKeyOf(Ed25519, p).Verify(c.Msg, c.Sig) == nil
			if got != (c.Result == "valid") {
				t.Errorf("case %d (%s): %v, want %s", c.TcId, c.Comment, got, c.Result)
			}
		}
	}
	if n < 100 {
		t.Fatalf("only %d cases", n)
	}
}
