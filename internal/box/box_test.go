package box_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func newKey(t testing.TB) *box.Key {
	t.Helper()
	k, seed, err := box.New()
	if err != nil {
		t.Fatal(err)
	}
	again, err := box.FromSeed(seed)
	clear(seed)
	if err != nil || !bytes.Equal(again.Public(), k.Public()) || len(k.Public()) != box.PublicSize {
		t.Fatalf("the seed gives another key: %v", err)
	}
	return again
}

// What is sealed opens for its key and info, and for nothing else.
func TestBoxes(t *testing.T) {
	own := newKey(t)
	opensOnlyFor(t, own, box.Overhead, func(info, plain []byte) ([]byte, error) { return box.Seal(own.Public(), info, plain) })
}

// So does what a key seals to itself.
func TestOwnBoxes(t *testing.T) {
	own := newKey(t)
	opensOnlyFor(t, own, box.OwnOverhead, own.Seal)
}

func opensOnlyFor(t *testing.T, own *box.Key, overhead int, seal func(info, plain []byte) ([]byte, error)) {
	other := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		info := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "info")
		b, err := seal(info, plain)
		if err != nil || len(b) != overhead+len(plain) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		got, err := own.Open(b, info)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %x: %v", got, err)
		}
		refused(t, "another key", other, b, info)
		refused(t, "longer info", own, b, append(info[:len(info):len(info)], 0))
		i := rapid.IntRange(0, len(b)-1).Draw(t, "altered byte")
		bad := bytes.Clone(b)
		bad[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		refused(t, fmt.Sprintf("byte %d altered", i), own, bad, info)
		refused(t, "shortened", own, b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")], info)
		refused(t, "longer", own, append(bytes.Clone(b), 0), info)
		if again, _ := seal(info, plain); bytes.Equal(again, b) {
			t.Fatal("two boxes are equal")
		}
	})
}

func refused(t *rapid.T, what string, k *box.Key, b, info []byte) {
	t.Helper()
	if got, err := k.Open(b, info); errs.CodeOf(err) != errs.Corrupt || got != nil {
		t.Fatalf("%s: opened %x, %v", what, got, err)
	}
}

func TestLimits(t *testing.T) {
	k := newKey(t)
	for name, f := range map[string]func() error{
		"plaintext": func() error { _, err := box.Seal(k.Public(), nil, make([]byte, 64<<10+1)); return err },
		"info":      func() error { _, err := box.Seal(k.Public(), make([]byte, 1025), nil); return err },

		"plaintext of an own box": func() error { _, err := k.Seal(nil, make([]byte, 64<<10+1)); return err },
		"info of an own box":      func() error { _, err := k.Seal(make([]byte, 1025), nil); return err },
	} {
		if err := f(); errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, public := range map[string][]byte{"empty": nil, "short": k.Public()[1:], "long": append(k.Public(), 0), "not reduced": bytes.Repeat([]byte{0xff}, box.PublicSize)} {
		if err := box.CheckPublic(public); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := box.Seal(public, nil, nil); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("sealing to a key that is %s: %v", name, err)
		}
	}
	if err := box.CheckPublic(k.Public()); err != nil {
		t.Error(err)
	}
	if _, err := box.FromSeed(make([]byte, 31)); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("short seed: %v", err)
	}
}

func TestKeysPrintAsNothing(t *testing.T) {
	k, seed, err := box.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, o := range []any{k, []any{k}} {
			if text := fmt.Sprintf(verb, o); strings.Contains(text, hex.EncodeToString(seed)) || strings.Contains(text, fmt.Sprint(seed)) || len(text) > 60 {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}

var update = flag.Bool("update", false, "rewrite docs/spec/vectors/box.json")

type vector struct{ Seed, Public, Info, Plaintext, Box, Own string }

// The vector was written by this package once; sealing is random, so only opening repeats.
func TestGoldenBox(t *testing.T) {
	if *update {
		seed := bytes.Repeat([]byte{7}, box.SeedSize)
		k, err := box.FromSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		b, err := box.Seal(k.Public(), []byte("an info"), []byte("a secret"))
		if err != nil {
			t.Fatal(err)
		}
		own, err := k.Seal([]byte("an info"), []byte("a secret"))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.MarshalIndent(vector{hex.EncodeToString(seed), hex.EncodeToString(k.Public()), "an info", "a secret", hex.EncodeToString(b), hex.EncodeToString(own)}, "", "  ")
		if err := os.WriteFile(vectors, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v, k, boxes := stored(t)
	if hex.EncodeToString(k.Public()) != v.Public {
		t.Fatal("the stored seed gives another key")
	}
	for _, b := range boxes {
		if got, err := k.Open(b, []byte(v.Info)); err != nil || string(got) != v.Plaintext {
			t.Fatalf("the stored box %x opens as %q: %v", b, got, err)
		}
	}
}

var vectors = filepath.Join("..", "..", "docs", "spec", "vectors", "box.json")

// stored reads the vector, its key and its boxes, one of each format.
func stored(t testing.TB) (v vector, k *box.Key, boxes [2][]byte) {
	t.Helper()
	text, err := os.ReadFile(vectors)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := hex.DecodeString(v.Seed)
	boxes[0], _ = hex.DecodeString(v.Box)
	boxes[1], _ = hex.DecodeString(v.Own)
	if k, err = box.FromSeed(seed); err != nil {
		t.Fatal(err)
	}
	return v, k, boxes
}

// Of all boxes a fuzzer finds, the stored ones alone open: it cannot make others.
func FuzzOpen(f *testing.F) {
	v, k, good := stored(f)
	for _, b := range good {
		f.Add(b)
		f.Add(b[:len(b)-len(v.Plaintext)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := k.Open(b, []byte(v.Info))
		known := bytes.Equal(b, good[0]) || bytes.Equal(b, good[1])
		if (err == nil) != known || err == nil && string(got) != v.Plaintext {
			t.Fatalf("%x opens as %q, %v", b, got, err)
		}
	})
}

func FuzzCheckPublic(f *testing.F) {
	k, err := box.FromSeed(bytes.Repeat([]byte{7}, box.SeedSize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Public())
	f.Fuzz(func(t *testing.T, public []byte) {
		if box.CheckPublic(public) != nil {
			return
		}
		if b, err := box.Seal(public, nil, []byte("x")); err == nil {
			if _, err := k.Open(b, nil); err == nil && !bytes.Equal(public, k.Public()) {
				t.Fatal("opened by another key")
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := newKey(b)
	for b.Loop() {
		if _, err := box.Seal(k.Public(), []byte("info"), make([]byte, 39)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := newKey(b)
	sealed, err := box.Seal(k.Public(), []byte("info"), make([]byte, 39))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Open(sealed, []byte("info")); err != nil {
			b.Fatal(err)
		}
	}
}
