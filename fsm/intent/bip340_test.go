package intent

import (
	"encoding/csv"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// BIP-340's own vectors, through what judges the signatures of threshold keys: R and s out
// of range, public keys off the curve and beyond the field, R at infinity or with odd y.
// Messages that are not 32 bytes are none of the vault's and never verify.
func TestVerifyBIP340Vectors(t *testing.T) {
	f, err := os.Open(filepath.Join("..", "..", "vault", "frost", "testdata", "bip340.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 19 {
		t.Fatal(len(rows), err)
	}
	good, bad := 0, 0
	for _, row := range rows[1:] {
		var field [3][]byte
		for i, text := range []string{row[2], row[4], row[5]} {
			if field[i], err = hex.DecodeString(text); err != nil {
				t.Fatal(err)
			}
		}
		key, message, sig := field[0], field[1], field[2]
		want := row[6] == "TRUE" && len(message) == 32
		if want {
			good++
		} else {
			bad++
		}
		if VerifyBIP340(key, message, sig) != want {
			t.Errorf("vector %s (%s): want %v", row[0], row[7], want)
		}
		// The same as a spend of a key whose chain nobody asks for, under both parities.
		for prefix := range byte(2) {
			k := KeyInfo{Curve: command.Secp256k1, Threshold: true, Point: append([]byte{2 + prefix}, key...)}
			if (Spend{Message: message}).Verify(k, sig) != want {
				t.Errorf("vector %s as a spend: want %v", row[0], want)
			}
		}
	}
	if good < 5 || bad < 10 {
		t.Errorf("%d good and %d bad vectors", good, bad)
	}
}
