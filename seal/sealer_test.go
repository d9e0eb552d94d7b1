package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func ring(t testing.TB, cluster byte, local byte, roots map[uint32]Root) *Keyring {
	t.Helper()
	k, err := NewKeyring(identity.ClusterID{cluster}, roots, Root{local})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, s *Sealer, plain, context string) []byte {
	t.Helper()
	b, err := s.Seal([]byte(plain), []byte(context))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealOpensAtEveryRegionAndBoot(t *testing.T) {
	roots := map[uint32]Root{1: {1}, 2: {2}}
	a, b := ring(t, 1, 1, roots), ring(t, 1, 2, roots)
	old := ring(t, 1, 1, map[uint32]Root{1: {1}})
	for _, p := range []Purpose{PurposeEntry, PurposeSnapshot, PurposeLeaf, PurposeBackup, PurposeRecovery} {
		for boot := range byte(3) {
			for _, k := range []*Keyring{a, old} { // old knows only version 1
				blob := seal(t, k.Sealer(p, 1, identity.Boot{boot}), "plain", "ctx")
				if len(blob) != len("plain")+Overhead {
					t.Fatalf("%d bytes", len(blob))
				}
				got, err := b.Sealer(p, 2, identity.Boot{9}).Open(blob, []byte("ctx"))
				if err != nil || string(got) != "plain" {
					t.Errorf("%s of boot %d: %q, %v", p, boot, got, err)
				}
			}
		}
	}
	blob := seal(t, a.Sealer(PurposeEntry, 1, identity.Boot{}), "x", "")
	if _, err := old.Sealer(PurposeEntry, 1, identity.Boot{}).Open(blob, nil); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("version 2 opens without its root: %v", err)
	}
}

func TestLocalIsTheRegionsOwn(t *testing.T) {
	roots := map[uint32]Root{1: {1}}
	mine, theirs := ring(t, 1, 1, roots), ring(t, 1, 2, roots)
	blob := seal(t, mine.Sealer(PurposeLocal, 1, identity.Boot{1}), "mine", "")
	if _, err := mine.Sealer(PurposeLocal, 1, identity.Boot{2}).Open(blob, nil); err != nil {
		t.Error(err)
	}
	if _, err := theirs.Sealer(PurposeLocal, 1, identity.Boot{1}).Open(blob, nil); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("another region opens a local file: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	roots := map[uint32]Root{1: {1}}
	k, boot := ring(t, 1, 1, roots), identity.Boot{5}
	s := k.Sealer(PurposeEntry, 1, boot)
	blob := seal(t, s, "secret", "index 7")
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 1
		if _, err := s.Open(bad, []byte("index 7")); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("byte %d changed: %v, want Corrupt", i, err)
		}
	}
	for n := range blob {
		if _, err := s.Open(blob[:n], []byte("index 7")); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("cut to %d bytes: %v, want Corrupt", n, err)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"other context": func() ([]byte, error) { return s.Open(blob, []byte("index 8")) },
		"other purpose": func() ([]byte, error) { return k.Sealer(PurposeLeaf, 1, boot).Open(blob, []byte("index 7")) },
		"other cluster": func() ([]byte, error) {
			return ring(t, 2, 1, roots).Sealer(PurposeEntry, 1, boot).Open(blob, []byte("index 7"))
		},
		"other root": func() ([]byte, error) {
			return ring(t, 1, 1, map[uint32]Root{1: {2}}).Sealer(PurposeEntry, 1, boot).Open(blob, []byte("index 7"))
		},
	} {
		if got, err := open(); errs.CodeOf(err) != errs.Corrupt || got != nil {
			t.Errorf("%s: %q, %v, want Corrupt", name, got, err)
		}
	}
	if n := len(k.openers.aeads); n != 0 {
		t.Errorf("garbage left %d subkeys behind", n)
	}
}

// TestNonceNeverRepeats also takes the sealer anew each time: two counters under one
// subkey would repeat at once.
func TestNonceNeverRepeats(t *testing.T) {
	k := ring(t, 1, 1, map[uint32]Root{1: {1}})
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				b, err := k.Sealer(PurposeEntry, 1, identity.Boot{1}).Seal([]byte("p"), nil)
				mu.Lock()
				if head := string(b[headerSize-counterSize : headerSize]); err != nil || seen[head] {
					t.Errorf("nonce repeated: %x, %v", head, err)
				} else {
					seen[head] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestCloneRepeatsNoNonce: a virtual machine put back to an earlier moment, or run twice,
// has its boot and its counters again, and must not encrypt two texts under one nonce.
func TestCloneRepeatsNoNonce(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		s := ring(t, 1, 1, map[uint32]Root{1: {1}}).Sealer(PurposeEntry, 1, identity.Boot{1})
		for range 100 {
			b, err := s.Seal([]byte("p"), nil)
			if head := string(b[:headerSize]); err != nil || seen[head] {
				t.Fatalf("nonce repeated: %x, %v", head, err)
			} else {
				seen[head] = true
			}
		}
	}
}

func TestSealerLimits(t *testing.T) {
	k := ring(t, 1, 1, map[uint32]Root{1: {1}})
	s := k.Sealer(PurposeEntry, 1, identity.Boot{1})
	s.count.Store(maxSeals)
	if _, err := s.Seal(nil, nil); errs.CodeOf(err) != errs.BadState {
		t.Errorf("used-up subkey: %v, want BadState", err)
	}
	if _, err := k.Sealer(99, 1, identity.Boot{}).Seal(nil, nil); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("unknown purpose: %v, want Invalid", err)
	}
	if _, err := s.Seal(make([]byte, maxPlaintext+1), nil); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("too large: %v, want TooLarge", err)
	}
	writer := ring(t, 1, 1, map[uint32]Root{1: {1}})
	for i := range 3 * maxOpeners {
		blob := seal(t, writer.Sealer(PurposeLeaf, 2, identity.Boot{byte(i), byte(i >> 8)}), "x", "")
		if _, err := k.Sealer(PurposeLeaf, 1, identity.Boot{1}).Open(blob, nil); err != nil {
			t.Fatal(err)
		}
		if n := len(k.openers.aeads); n > maxOpeners {
			t.Fatalf("%d subkeys kept, limit %d", n, maxOpeners)
		}
	}
}

func TestKeyringRefuses(t *testing.T) {
	for name, roots := range map[string]map[uint32]Root{
		"no root": {}, "version 0": {0: {1}}, "zero root": {1: {}},
	} {
		if _, err := NewKeyring(identity.ClusterID{}, roots, Root{1}); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if _, err := NewKeyring(identity.ClusterID{}, map[uint32]Root{1: {1}}, Root{}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("zero local key: %v, want Invalid", err)
	}
}

func TestSealRoundTrip(t *testing.T) {
	k := ring(t, 1, 1, map[uint32]Root{1: {1}})
	rapid.Check(t, func(t *rapid.T) {
		s := k.Sealer(Purpose(rapid.IntRange(1, 6).Draw(t, "purpose")), identity.RegionID(rapid.Byte().Draw(t, "region")), identity.Boot{1})
		plain, context := rapid.SliceOf(rapid.Byte()).Draw(t, "plain"), rapid.SliceOf(rapid.Byte()).Draw(t, "context")
		blob, err := s.Seal(plain, context)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(blob, context)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%x, %v", got, err)
		}
		if len(plain) >= 8 && bytes.Contains(blob, plain) {
			t.Fatal("the plaintext shows")
		}
	})
}

// TestRootNeverPrints tries what a careless log line would do.
func TestRootNeverPrints(t *testing.T) {
	root := Root(bytes.Repeat([]byte("CANARY!!"), 4))
	k := ring(t, 1, 1, map[uint32]Root{1: root})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{root, &root, map[uint32]Root{1: root}, k.roots, k, k.Sealer(PurposeLocal, 1, identity.Boot{}),
			Share{Index: 1, Data: root[:]}, &Share{Data: root[:]}, Secrets{"beacon": root[:]}, Contents{Local: root, Secrets: Secrets{"beacon": root[:]}}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "CANARY") || strings.Contains(strings.ToLower(text), "43414e415259") || strings.Contains(text, "67 65 78") ||
				strings.Contains(text, "0x43, 0x41") {
				t.Errorf("%s of %T prints the key: %s", verb, v, text)
			}
		}
	}
}

type sealedVector struct {
	Comment  string
	Cluster  string
	Version  uint32
	Root     string
	Check    string
	Purpose  uint8
	Region   uint8
	Boot     string
	Counter  uint64
	Context  string
	Plain    string
	Sealed   string
	Contribs []string
	RootFrom string
	Share    string
}

// TestGoldenSealed holds the stored format to docs/spec/vectors/sealed.json.
func TestGoldenSealed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "docs", "spec", "vectors", "sealed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v sealedVector
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	cluster := identity.ClusterID(unhex(t, v.Cluster))
	root := Root(unhex(t, v.Root))
	k, err := NewKeyring(cluster, map[uint32]Root{v.Version: root}, Root{1})
	if err != nil {
		t.Fatal(err)
	}
	s := k.Sealer(Purpose(v.Purpose), identity.RegionID(v.Region), identity.Boot(unhex(t, v.Boot)))
	s.count.Store(v.Counter - 1)
	s.mix = func([]byte) {} // zero
	sealed := seal(t, s, v.Plain, v.Context)
	check := RootCheck(cluster, root)
	var contribs [][]byte
	for _, c := range v.Contribs {
		contribs = append(contribs, unhex(t, c))
	}
	from, err := RootFromContributions(cluster, contribs)
	if err != nil {
		t.Fatal(err)
	}
	shares, err := Split(bytes.NewReader(bytes.Repeat([]byte{7}, 256)), root[:], 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"sealed": {hex.EncodeToString(sealed), v.Sealed}, "check": {hex.EncodeToString(check[:]), v.Check},
		"root": {hex.EncodeToString(from[:]), v.RootFrom}, "share": {hex.EncodeToString(shares[2].Encode()), v.Share},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %s, the vector says %s", name, pair[0], pair[1])
		}
	}
	plain, err := s.Open(unhex(t, v.Sealed), []byte(v.Context))
	if err != nil || string(plain) != v.Plain {
		t.Errorf("the vector opens to %q, %v", plain, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRootFromContributions(t *testing.T) {
	cluster := identity.ClusterID{1}
	four := func() [][]byte {
		return [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{4}, 32)}
	}
	base, err := RootFromContributions(cluster, four())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Root]bool{base: true}
	for i := range 4 {
		c := four()
		c[i][31] ^= 1
		r, err := RootFromContributions(cluster, c)
		if err != nil || seen[r] {
			t.Errorf("contribution %d does not matter: %v", i, err)
		}
		seen[r] = true
	}
	swapped := four()
	swapped[0], swapped[1] = swapped[1], swapped[0]
	if r, _ := RootFromContributions(cluster, swapped); seen[r] {
		t.Error("order does not matter")
	}
	if r, _ := RootFromContributions(identity.ClusterID{2}, four()); seen[r] {
		t.Error("cluster does not matter")
	}
	for _, bad := range [][][]byte{nil, four()[:1], {make([]byte, 32), make([]byte, 31)}} {
		if _, err := RootFromContributions(cluster, bad); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%d contributions: %v, want Invalid", len(bad), err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := ring(f, 1, 1, map[uint32]Root{1: {1}})
	s := k.Sealer(PurposeEntry, 1, identity.Boot{1})
	good := seal(f, s, "plain", "")
	f.Add(good)
	f.Add(good[:Overhead])
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := s.Open(b, nil); err == nil && string(plain) != "plain" {
			t.Errorf("%x opens to %q", b, plain)
		}
	})
}

func BenchmarkSeal600(b *testing.B) {
	k := ring(b, 1, 1, map[uint32]Root{1: {1}})
	s, plain, context := k.Sealer(PurposeEntry, 1, identity.Boot{1}), make([]byte, 600), make([]byte, 48)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Seal(plain, context); err != nil {
				b.Fatal(err)
			}
		}
	})
	blob, err := s.Seal(plain, context)
	if err != nil {
		b.Fatal(err)
	}
	other := k.Sealer(PurposeEntry, 2, identity.Boot{2})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := other.Open(blob, context); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		nonce := make([]byte, nonceSize)
		for b.Loop() {
			_ = s.aead.Seal(nil, nonce, plain, context)
		}
	})
}
