package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// TestTally: fair draws pass, and a draw that prefers a region one time in ten does not.
func TestTally(t *testing.T) {
	var fair, preferring Tally
	for i := range 3000 {
		value := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		var by []identity.RegionID
		for _, r := range draw.Permutation(value, [16]byte{1}, 1, []uint8{1, 2, 3, 4})[:2] {
			by = append(by, identity.RegionID(r))
		}
		fair.count(by)
		if i%10 == 0 {
			by = []identity.RegionID{1, 2}
		}
		preferring.count(by)
	}
	if found := fair.Check(); len(found) > 0 {
		t.Errorf("fair draws: %v", found)
	}
	if found := preferring.Check(); len(found) == 0 {
		t.Error("a preference went unnoticed")
	}
	never := Tally{}
	for range 100 {
		never.count([]identity.RegionID{1, 2})
	}
	if found := never.Check(); len(found) == 0 {
		t.Error("one pair for ever went unnoticed")
	}
}

// TestReasons: a further attempt needs a signed word about a region drawn before.
func TestReasons(t *testing.T) {
	by := identity.GenerateEd25519()
	other := identity.GenerateEd25519()
	h := &History{Genesis: &genesis.Genesis{}}
	word := func(change func(*command.Word)) []byte {
		w := &command.Word{Kind: command.WordUnreachable, About: 2, By: 3, Request: command.RequestID{9}, Attempt: 1}
		signer := by
		if change != nil {
			change(w)
		}
		if w.By == 4 {
			signer = other // of nobody
		}
		if err := w.Sign(context.Background(), h.Genesis.Document.Cluster, signer); err != nil {
			t.Fatal(err)
		}
		return w.Encode()
	}
	for name, c := range map[string]struct {
		words [][]byte
		bad   bool
	}{
		"unreachable":     {[][]byte{word(nil)}, false},
		"none":            {nil, true},
		"not drawn":       {[][]byte{word(func(w *command.Word) { w.About = 1 })}, true},
		"other attempt":   {[][]byte{word(func(w *command.Word) { w.Attempt = 2 })}, true},
		"other request":   {[][]byte{word(func(w *command.Word) { w.Request = command.RequestID{8} })}, true},
		"refused by whom": {[][]byte{word(func(w *command.Word) { w.Kind = command.WordRefused })}, true},
		"unknown session": {[][]byte{word(func(w *command.Word) { w.By = 4 })}, true},
	} {
		l := &ledger{history: h, sessions: map[identity.Fingerprint]session{by.Public().Fingerprint(): {3, by.Public()}}}
		q := &request{id: command.RequestID{9}, attempts: []attempt{{drawn: []identity.RegionID{2, 4}}, {words: c.words}}}
		f := &findings{invariant: 9}
		l.reason(q, 1, f)
		if c.bad != (len(f.list) > 0) {
			t.Errorf("%s: found %v", name, f.list)
		}
	}
}
