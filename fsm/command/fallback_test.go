package command_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// withFallback creates a key whose outputs two of three keys spend without the vault.
func withFallback(k *fsmtest.Kit) *command.Command {
	f := &command.Fallback{Signers: 2}
	for i := range byte(3) {
		f.PublicKeys = append(f.PublicKeys, bytes.Repeat([]byte{i + 1}, 32))
	}
	return k.Command(&command.CreateKey{Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2, Fallback: f},
		k.Start.Add(time.Minute), k.Admins[0], k.Admins[1])
}

// TestFallbackField: commands of before have none, each has one encoding, and none is huge.
func TestFallbackField(t *testing.T) {
	k := fsmtest.New()
	body, err := samples(k)[3].Body()
	if b := body.(*command.CreateKey); err != nil || b.Fallback != nil {
		t.Fatal("a fallback out of nothing:", b, err)
	}
	c := withFallback(k)
	if body, err = c.Body(); err != nil {
		t.Fatal(err)
	}
	got := body.(*command.CreateKey).Fallback
	if got.Signers != 2 || len(got.PublicKeys) != 3 || got.PublicKeys[2][31] != 3 {
		t.Fatalf("%+v", got)
	}
	last := &c.Fields[len(c.Fields)-1].Value
	good := bytes.Clone(*last)
	for name, bad := range map[string][]byte{
		"empty":        {},
		"no keys":      {2},
		"half a key":   good[:40],
		"descending":   append(bytes.Clone(good[:33]), make([]byte, 32)...),
		"a key twice":  append(bytes.Clone(good), good[65:]...),
		"one too many": ascending(command.MaxFallback + 1),
	} {
		*last = bad
		if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed && errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if *last = ascending(command.MaxFallback); len(*last) != 1+32*command.MaxFallback {
		t.Fatal(len(*last))
	}
	if _, err := c.Body(); err != nil {
		t.Errorf("the longest: %v", err)
	}
}

// ascending is a fallback of n made-up keys.
func ascending(n int) []byte {
	b := []byte{2}
	for i := range n {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, 32)...)
	}
	return b
}
