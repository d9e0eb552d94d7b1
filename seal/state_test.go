package seal

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var (
	stateCluster = identity.ClusterID{1, 2, 3}
	statePlain   = State{Cluster: stateCluster, Region: 2, IdentityLabel: "id", WrappingLabel: "wrap", Hash: uint8(SHA1)}
)

// testRSA reads a key of the test kit.
func testRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("sealtest", "rsa.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func pkix(t testing.TB, key *rsa.PrivateKey) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Stored format: docs/spec/sealed.md, "Contents". These bytes never change.
const goldenContents = "0100000002" +
	"000000010100000000000000000000000000000000000000000000000000000000000000" +
	"000000030300000000000000000000000000000000000000000000000000000000000000" +
	"0900000000000000000000000000000000000000000000000000000000000000" +
	"0000000200000006626561636f6e000000057368617265000000056f7468657200000000" +
	"MAC"

func goldenContentsValue() Contents {
	return Contents{Roots: map[uint32]Root{3: {3}, 1: {1}}, Local: Root{9}, Secrets: Secrets{"other": nil, "beacon": []byte("share")}}
}

func TestContentsGolden(t *testing.T) {
	s := statePlain
	b, err := s.encodeContents(goldenContentsValue())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(goldenContents, "MAC", goldenMAC, 1)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("contents encode to %s", got)
	}
	c, signed, mac, err := decodeContents(unhex(t, want))
	if err != nil || !bytes.Equal(s.mac(c.Roots[1], signed), mac) {
		t.Errorf("golden contents: %v", err)
	}
}

const goldenMAC = "d3bdd3b4a2de4f79379812ee3984c00be670c096b93fa73769176931b36c09a3"

// TestStateGolden opens an unseal file written once and for all, with the test kit's
// key in place of an HSM.
func TestStateGolden(t *testing.T) {
	path := filepath.Join("..", "docs", "spec", "vectors", "unseal.hex")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := unhex(t, strings.Join(strings.Fields(string(text)), ""))
	s, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Encode(), b) {
		t.Error("encodes to something else")
	}
	plain, err := openWrapped(s.Wrapped, s.label(), func(h Hash, oaep []byte) ([]byte, error) {
		if h != SHA1 {
			t.Errorf("OAEP hash %d", h)
		}
		return rsa.DecryptOAEP(sha1.New(), nil, testRSA(t), oaep, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(plain); got != strings.Replace(goldenContents, "MAC", goldenMAC, 1) {
		t.Errorf("contents %s", got)
	}
}

func TestStateBindsItsPlainPart(t *testing.T) {
	key := testRSA(t)
	s, err := InitState(statePlain, pkix(t, key), goldenContentsValue())
	if err != nil {
		t.Fatal(err)
	}
	open := func(s State) error {
		_, err := openWrapped(s.Wrapped, s.label(), func(_ Hash, oaep []byte) ([]byte, error) {
			return rsa.DecryptOAEP(sha1.New(), nil, key, oaep, nil)
		})
		return err
	}
	if err := open(*s); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*State){
		"cluster": func(s *State) { s.Cluster[0]++ }, "region": func(s *State) { s.Region++ },
		"identity": func(s *State) { s.IdentityLabel = "di" }, "wrapping": func(s *State) { s.WrappingLabel = "warp" },
		"hash": func(s *State) { s.Hash = uint8(SHA256) },
	} {
		changed := *s
		change(&changed)
		if err := open(changed); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s changed: %v, want Corrupt", name, err)
		}
	}
}

func TestInitStateRefuses(t *testing.T) {
	pub := pkix(t, testRSA(t))
	good := Contents{Roots: map[uint32]Root{1: {1}}}
	many := Secrets{}
	for i := range maxSecrets + 1 {
		many[string(rune('a'+i))] = nil
	}
	for name, tc := range map[string]struct {
		s    State
		c    Contents
		pub  []byte
		want errs.Code
	}{
		"no region":        {State{IdentityLabel: "a", WrappingLabel: "b", Hash: 1}, good, pub, errs.Invalid},
		"no labels":        {State{Region: 1, Hash: 1}, good, pub, errs.Invalid},
		"no first root":    {statePlain, Contents{Roots: map[uint32]Root{2: {1}}}, pub, errs.Invalid},
		"too many secrets": {statePlain, Contents{Roots: good.Roots, Secrets: many}, pub, errs.Invalid},
		"large secret":     {statePlain, Contents{Roots: good.Roots, Secrets: Secrets{"x": make([]byte, maxSecretBytes+1)}}, pub, errs.TooLarge},
		"no key":           {statePlain, good, []byte("x"), errs.Invalid},
	} {
		if _, err := InitState(tc.s, tc.pub, tc.c); errs.CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := Wrap(pub, 9, nil, ""); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("unknown hash: %v", err)
	}
	if _, err := Wrap(pub, 1, make([]byte, maxWrapped+1), ""); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("too large: %v", err)
	}
}

func TestContentsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Contents{Local: Root{1}, Roots: map[uint32]Root{1: {byte(rapid.Byte().Draw(t, "root"))}}, Secrets: Secrets{}}
		for range rapid.IntRange(0, 5).Draw(t, "roots") {
			c.Roots[rapid.Uint32Min(1).Draw(t, "version")] = Root{2}
		}
		for range rapid.IntRange(0, 5).Draw(t, "secrets") {
			c.Secrets[rapid.String().Filter(func(s string) bool { return len(s) <= maxLabel }).Draw(t, "name")] = []byte{1, 2}
		}
		b, err := statePlain.encodeContents(c)
		if err != nil {
			t.Fatal(err)
		}
		back, _, _, err := decodeContents(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := statePlain.encodeContents(back)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatal("encodes to something else")
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	s := statePlain
	s.Wrapped = []byte("wrapped")
	f.Add(s.Encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err == nil && !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x decodes and encodes to %x", b, s.Encode())
		}
		if err != nil && errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%v, want Corrupt", err)
		}
	})
}

func FuzzDecodeContents(f *testing.F) {
	b, err := statePlain.encodeContents(goldenContentsValue())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, signed, mac, err := decodeContents(b)
		if err != nil {
			return
		}
		if !bytes.Equal(append(bytes.Clone(signed), mac...), b) {
			t.Error("the parts are not the whole")
		}
		if again, err := statePlain.encodeContents(c); err == nil && !bytes.Equal(again[:len(again)-32], signed) {
			t.Errorf("%x decodes and encodes to %x", signed, again)
		}
	})
}

func FuzzOpenWrapped(f *testing.F) {
	blob, err := Wrap(pkix(f, testRSA(f)), uint8(SHA1), []byte("plain"), "label")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add([]byte{1, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := openWrapped(b, "label", func(Hash, []byte) ([]byte, error) { return make([]byte, 32), nil })
		if err != nil && errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%v, want Corrupt", err)
		}
	})
}
