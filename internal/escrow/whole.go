package escrow

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/btcsuite/btcd/chaincfg/chainhash"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Form is how a file holds a whole key.
type Form string

// The forms.
const (
	FormAny       Form = ""          // told by its look
	FormRecovered Form = "recovered" // what KeyFile writes
	FormScalar    Form = "scalar"    // 32 bytes in hex, in the byte order of the curve's signatures
	FormSeed      Form = "seed"      // RFC 8032's 32 bytes in hex
	FormPKCS8     Form = "pkcs8"     // PEM, of an Ed25519 seed
	FormWIF       Form = "wif"       // Bitcoin's, of a compressed public key
	FormXprv      Form = "xprv"      // BIP-32's, with its chain code
)

// forms are those a key of a suite can come in.
var forms = map[*frost.Suite][]Form{frost.Ed25519: {FormRecovered, FormScalar, FormSeed, FormPKCS8}, frost.BIP340: {FormRecovered, FormScalar, FormWIF, FormXprv}}

// Whole is a key as it was outside. It prints as its suite, whatever the verb.
type Whole struct {
	Suite  *frost.Suite
	Form   Form
	Secret []byte // 32, as frost.Secret.Bytes; whether it is a scalar of the group, SplitSecret judges
	Chain  [32]byte
	Given  bool // the chain code came with the key; else it is ChainOf the secret
}

// Wipe overwrites the secret.
func (w *Whole) Wipe() { clear(w.Secret) }

// Format keeps the secret out of logs and errors.
func (w *Whole) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[whole %v key]", w.Suite) }

// ParseWhole reads a key on a suite's curve. Nothing of what is read stands in the error.
// The caller clears file.
func ParseWhole(file []byte, suite *frost.Suite, form Form) (*Whole, error) {
	if len(file) > maxKeyFile {
		return nil, errs.New(errs.TooLarge, "a key file of %d bytes, limit %d", len(file), maxKeyFile)
	}
	text := bytes.TrimSpace(file)
	if form == FormAny {
		form = look(text, suite)
	}
	if form == FormAny {
		return nil, errs.New(errs.Malformed, "the file holds no key in a form that is known, or one that could be two things").
			WithHint("say which it is: %s", formList(suite))
	}
	if !slices.Contains(forms[suite], form) {
		return nil, errs.New(errs.Invalid, "a key on the curve of %v does not come as %s", suite, form).WithHint("forms are: %s", formList(suite))
	}
	w := &Whole{Suite: suite, Form: form}
	if err := w.read(text); err != nil {
		w.Wipe()
		return nil, err
	}
	if !w.Given {
		w.Chain = chainOf(suite, w.Secret)
	}
	return w, nil
}

func formList(suite *frost.Suite) string {
	var names []string
	for _, f := range forms[suite] {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// look tells what a file holds. Plain hex is not told for Ed25519: as a scalar it would be
// another key than as a seed.
func look(text []byte, suite *frost.Suite) Form {
	switch block, _ := pem.Decode(text); {
	case block != nil && block.Type == blockKey:
		return FormRecovered
	case block != nil && block.Type == blockPKCS8:
		return FormPKCS8
	case block != nil:
		return FormAny
	case bytes.HasPrefix(text, []byte("xprv")) || bytes.HasPrefix(text, []byte("tprv")):
		return FormXprv
	case len(text) >= 51 && len(text) <= 52:
		return FormWIF
	case len(text) == 64 && suite == frost.BIP340:
		return FormScalar
	}
	return FormAny
}

const blockPKCS8 = "PRIVATE KEY"

func (w *Whole) read(text []byte) error {
	switch w.Form {
	case FormRecovered:
		return w.readRecovered(text)
	case FormScalar:
		return w.readHex(text)
	case FormSeed:
		if err := w.readHex(text); err != nil {
			return err
		}
		return w.expand(w.Secret)
	case FormPKCS8:
		return w.readPKCS8(text)
	case FormWIF:
		return w.readWIF(text)
	}
	return w.readXprv(text)
}

func (w *Whole) readRecovered(text []byte) error {
	s, chain, err := ParseKeyFile(text)
	if err != nil {
		return err
	}
	defer s.Wipe()
	if s.Public().Suite() != w.Suite {
		return errs.New(errs.Invalid, "the recovered key is one of %v, not of %v", s.Public().Suite(), w.Suite)
	}
	w.Secret, w.Chain, w.Given = s.Bytes(), chain, true
	return nil
}

func (w *Whole) readHex(text []byte) error {
	w.Secret = make([]byte, 32)
	if len(text) == 64 {
		if _, err := hex.Decode(w.Secret, text); err == nil {
			return nil
		}
	}
	return errs.New(errs.Malformed, "the file holds %d characters that are not 32 bytes in hex", len(text))
}

// expand replaces a seed by the scalar RFC 8032 (5.1.5) makes of it. The prefix, which only
// chooses the nonces of a lone signer, has no use here.
func (w *Whole) expand(seed []byte) error {
	h := sha512.Sum512(seed)
	defer clear(h[:])
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		return errs.Wrap(errs.Internal, err, "expanding a seed")
	}
	clear(w.Secret)
	w.Secret = s.Bytes()
	return nil
}

func (w *Whole) readPKCS8(text []byte) error {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != blockPKCS8 || len(bytes.TrimSpace(rest)) > 0 {
		return errs.New(errs.Malformed, "the file is not one PEM block %q", blockPKCS8)
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return errs.New(errs.Malformed, "the PEM block holds no PKCS#8 private key") // the cause could quote it
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return errs.New(errs.Invalid, "the PEM block holds a %T, not an Ed25519 key", key)
	}
	defer clear(private)
	return w.expand(private.Seed())
}

func (w *Whole) readWIF(text []byte) error {
	b, err := unchecked(text)
	if err != nil {
		return err
	}
	defer clear(b)
	if len(b) != 34 || b[0] != versionWIF[true] && b[0] != versionWIF[false] || b[33] != 1 {
		return errs.New(errs.Malformed, "the file holds no WIF of a compressed public key")
	}
	w.Secret = bytes.Clone(b[1:33])
	return nil
}

func (w *Whole) readXprv(text []byte) error {
	b, err := unchecked(text)
	if err != nil {
		return err
	}
	defer clear(b)
	if len(b) != 78 || b[45] != 0 {
		return errs.New(errs.Malformed, "the file holds no extended private key")
	}
	if v := binary.BigEndian.Uint32(b); v != versionXprv[true] && v != versionXprv[false] {
		return errs.New(errs.Malformed, "an extended private key of version %08x, want xprv or tprv", v)
	}
	w.Chain, w.Given = [32]byte(b[13:45]), true
	w.Secret = bytes.Clone(b[46:])
	return nil
}

// unchecked undoes checked.
func unchecked(text []byte) ([]byte, error) {
	b := base58.Decode(string(text))
	if len(b) < 5 {
		clear(b)
		return nil, errs.New(errs.Malformed, "the file holds no base58")
	}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if !bytes.Equal(chainhash.DoubleHashB(body)[:4], sum) {
		clear(b)
		return nil, errs.New(errs.Malformed, "the checksum of the key in the file does not match").WithHint("a character was mistyped or lost")
	}
	return body, nil
}

// chainOf gives a key that came without a chain code one: the same whenever it is brought
// in, and known to nobody who does not know the key, until it is.
func chainOf(suite *frost.Suite, secret []byte) [32]byte {
	chain, err := hkdf.Key(sha256.New, secret, nil, "tetrad/import/chain/v1 "+suite.String(), 32)
	if err != nil {
		panic(err) // 32 bytes are few
	}
	return [32]byte(chain)
}
