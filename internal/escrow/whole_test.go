package escrow

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// publicOf is the public key a whole key has once it is split.
func publicOf(t *testing.T, w *Whole) []byte {
	t.Helper()
	split, _, err := frost.SplitSecret(rand.Reader, w.Suite, w.Secret, 2, []uint8{1, 2, 3})
	must(t, err)
	k, err := split.Key([]uint8{1, 2, 3})
	must(t, err)
	return k.Compressed()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pkcs8(t testing.TB, key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestWholeKeys: what other programs write is read as the key whose public key they name.
func TestWholeKeys(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	ed := ed25519.NewKeyFromSeed(seed)
	private, public := btcec.PrivKeyFromBytes(seed)
	wif, err := btcutil.NewWIF(private, &chaincfg.MainNetParams, true)
	must(t, err)
	testWIF, err := btcutil.NewWIF(private, &chaincfg.TestNet3Params, true)
	must(t, err)
	root, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	must(t, err)
	rootKey, err := root.ECPubKey()
	must(t, err)
	child, err := root.Derive(hdkeychain.HardenedKeyStart + 86)
	must(t, err)
	childKey, err := child.ECPubKey()
	must(t, err)
	for _, c := range []struct {
		name  string
		suite *frost.Suite
		form  Form
		file  string
		is    Form
		point []byte
		chain []byte
	}{
		{"seed", frost.Ed25519, FormSeed, hex.EncodeToString(seed), FormSeed, ed.Public().(ed25519.PublicKey), nil},
		{"pkcs8", frost.Ed25519, FormAny, string(pkcs8(t, ed)), FormPKCS8, ed.Public().(ed25519.PublicKey), nil},
		{"scalar", frost.BIP340, FormAny, hex.EncodeToString(seed) + "\n", FormScalar, public.SerializeCompressed(), nil},
		{"scalar named", frost.BIP340, FormScalar, strings.ToUpper(hex.EncodeToString(seed)), FormScalar, public.SerializeCompressed(), nil},
		{"wif", frost.BIP340, FormAny, wif.String(), FormWIF, public.SerializeCompressed(), nil},
		{"wif of testnet", frost.BIP340, FormAny, " " + testWIF.String() + "\r\n", FormWIF, public.SerializeCompressed(), nil},
		{"xprv", frost.BIP340, FormAny, root.String(), FormXprv, rootKey.SerializeCompressed(), root.ChainCode()},
		{"xprv of a child", frost.BIP340, FormXprv, child.String(), FormXprv, childKey.SerializeCompressed(), child.ChainCode()},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := ParseWhole([]byte(c.file), c.suite, c.form)
			must(t, err)
			if w.Form != c.is || !bytes.Equal(publicOf(t, w), c.point) || w.Given != (c.chain != nil) || w.Given && !bytes.Equal(w.Chain[:], c.chain) {
				t.Errorf("read as %s of %x, chain code %x given %v", w.Form, publicOf(t, w), w.Chain, w.Given)
			}
			again, err := ParseWhole([]byte(c.file), c.suite, c.form)
			must(t, err)
			if again.Chain != w.Chain || w.Chain == [32]byte{} {
				t.Error("another chain code the second time, or none")
			}
			if text := fmt.Sprintf("%v %+v %#v %s", w, w, w, w); strings.Contains(text, hex.EncodeToString(w.Secret)) || !strings.Contains(text, "[whole") {
				t.Errorf("prints as %s", text)
			}
			if w.Wipe(); !bytes.Equal(w.Secret, make([]byte, 32)) {
				t.Error("not wiped")
			}
		})
	}
}

// TestWholeOfKeyFile: what recover key writes comes in again, with its chain code.
func TestWholeOfKeyFile(t *testing.T) {
	for _, suite := range []*frost.Suite{frost.Ed25519, frost.BIP340} {
		secret := append(bytes.Repeat([]byte{3}, 31), 1)
		split, _, err := frost.SplitSecret(rand.Reader, suite, secret, 2, []uint8{1, 2, 3, 4})
		must(t, err)
		key, err := split.Key([]uint8{1, 2, 3, 4})
		must(t, err)
		s, err := frost.DecodeSecret(key, secret)
		must(t, err)
		file := KeyFile(s, "cold", [32]byte{9}, intent.Mainnet)
		w, err := ParseWhole(file, suite, FormAny)
		must(t, err)
		if w.Form != FormRecovered || !w.Given || w.Chain != [32]byte{9} || !bytes.Equal(publicOf(t, w), key.Compressed()) {
			t.Errorf("%v: %s, %x", suite, w.Form, w.Chain)
		}
		other := frost.Ed25519
		if suite == other {
			other = frost.BIP340
		}
		if _, err := ParseWhole(file, other, FormAny); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%v as %v: %v", suite, other, err)
		}
	}
}

func TestWholeRefuses(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	text := hex.EncodeToString(seed)
	private, _ := btcec.PrivKeyFromBytes(seed)
	wif, err := btcutil.NewWIF(private, &chaincfg.MainNetParams, true)
	must(t, err)
	plain, err := btcutil.NewWIF(private, &chaincfg.MainNetParams, false)
	must(t, err)
	root, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	must(t, err)
	xpub, err := root.Neuter()
	must(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ed := ed25519.NewKeyFromSeed(seed)
	mistyped := []byte(wif.String())
	mistyped[20] ^= 1
	for name, c := range map[string]struct {
		suite *frost.Suite
		form  Form
		file  string
		code  errs.Code
	}{
		"empty":                      {frost.BIP340, FormAny, "", errs.Malformed},
		"garbage":                    {frost.BIP340, FormAny, "hello", errs.Malformed},
		"hex that could be two":      {frost.Ed25519, FormAny, text, errs.Malformed},
		"short hex":                  {frost.BIP340, FormScalar, text[:62], errs.Malformed},
		"long hex":                   {frost.Ed25519, FormSeed, text + "00", errs.Malformed},
		"no hex":                     {frost.Ed25519, FormSeed, "zz" + text[2:], errs.Malformed},
		"a seed for secp256k1":       {frost.BIP340, FormSeed, text, errs.Invalid},
		"a WIF for Ed25519":          {frost.Ed25519, FormAny, wif.String(), errs.Invalid},
		"an xprv for Ed25519":        {frost.Ed25519, FormAny, root.String(), errs.Invalid},
		"PKCS#8 for secp256k1":       {frost.BIP340, FormAny, string(pkcs8(t, ed)), errs.Invalid},
		"PKCS#8 of P-256":            {frost.Ed25519, FormAny, string(pkcs8(t, p256)), errs.Invalid},
		"two blocks":                 {frost.Ed25519, FormAny, string(pkcs8(t, ed)) + string(pkcs8(t, ed)), errs.Malformed},
		"a damaged block":            {frost.Ed25519, FormPKCS8, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", errs.Malformed},
		"another block":              {frost.Ed25519, FormAny, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", errs.Malformed},
		"a WIF of the other form":    {frost.BIP340, FormAny, plain.String(), errs.Malformed},
		"a mistyped WIF":             {frost.BIP340, FormAny, string(mistyped), errs.Malformed},
		"an xpub":                    {frost.BIP340, FormXprv, xpub.String(), errs.Malformed},
		"a cut xprv":                 {frost.BIP340, FormAny, root.String()[:100], errs.Malformed},
		"a WIF as xprv":              {frost.BIP340, FormXprv, wif.String(), errs.Malformed},
		"an xprv as WIF":             {frost.BIP340, FormWIF, root.String(), errs.Malformed},
		"a form there is none of":    {frost.BIP340, Form("sonata"), text, errs.Invalid},
		"too large":                  {frost.BIP340, FormAny, strings.Repeat("0", maxKeyFile+1), errs.TooLarge},
		"a recovered key of nothing": {frost.BIP340, FormAny, "-----BEGIN TETRAD RECOVERED KEY-----\nAAAA\n-----END TETRAD RECOVERED KEY-----\n", errs.Malformed},
	} {
		w, err := ParseWhole([]byte(c.file), c.suite, c.form)
		if errs.CodeOf(err) != c.code || w != nil {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if err != nil && (strings.Contains(err.Error(), text) || strings.Contains(err.Error(), wif.String())) {
			t.Errorf("%s: the key stands in the error: %v", name, err)
		}
	}
	if w, err := ParseWhole([]byte(strings.Repeat("0", 64)), frost.BIP340, FormAny); err != nil {
		t.Fatal(err)
	} else if _, _, err := frost.SplitSecret(rand.Reader, w.Suite, w.Secret, 2, []uint8{1, 2, 3}); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("zero: %v", err)
	}
}

// FuzzParseWhole: what is read has 32 bytes, and no error quotes what was read.
func FuzzParseWhole(f *testing.F) {
	seed := bytes.Repeat([]byte{7}, 32)
	private, _ := btcec.PrivKeyFromBytes(seed)
	wif, err := btcutil.NewWIF(private, &chaincfg.MainNetParams, true)
	must(f, err)
	root, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	must(f, err)
	for _, text := range []string{hex.EncodeToString(seed), wif.String(), root.String(), string(pkcs8(f, ed25519.NewKeyFromSeed(seed)))} {
		for form := range 7 {
			f.Add([]byte(text), uint8(form))
		}
	}
	all := []Form{FormAny, FormRecovered, FormScalar, FormSeed, FormPKCS8, FormWIF, FormXprv}
	f.Fuzz(func(t *testing.T, b []byte, form uint8) {
		for suite := range forms {
			w, err := ParseWhole(b, suite, all[int(form)%len(all)])
			if (err == nil) != (w != nil) || err == nil && (len(w.Secret) != 32 || w.Suite != suite) {
				t.Fatalf("%v, %v", w, err)
			}
			if err != nil && len(b) > 16 && strings.Contains(err.Error(), string(b)) {
				t.Fatalf("the file stands in the error: %v", err)
			}
		}
	})
}
