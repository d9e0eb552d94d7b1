package vault

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func someStop() *Stop {
	return &Stop{ID: command.StopID{1, 2}, By: identity.Fingerprint{3}, Reason: "intruder", At: time.UnixMilli(1700000000123).UTC()}
}

// TestStopVector: what is in the sealed file never changes.
func TestStopVector(t *testing.T) {
	const want = "01" + "01020000000000000000000000000000" + "0300000000000000000000000000000000000000000000000000000000000000" +
		"00000008" + "696e747275646572" + "0000018bcfe5687b"
	if got := hex.EncodeToString(someStop().encode()); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func FuzzDecodeStop(f *testing.F) {
	f.Add(someStop().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeStop(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Fatal("two encodings of one stop")
		}
	})
}
