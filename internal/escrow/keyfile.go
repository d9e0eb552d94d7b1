package escrow

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/btcsuite/btcd/chaincfg/chainhash"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

const (
	formatKey  = 1
	blockKey   = "TETRAD RECOVERED KEY"
	maxKeyFile = 16 << 10
	maxChecked = 96 // bytes of what base58 encodes, checksum included
)

// Version bytes of Bitcoin's forms, mainnet and every other network.
var (
	versionWIF  = map[bool]byte{true: 0x80, false: 0xef}
	versionXprv = map[bool]uint32{true: 0x0488ade4, false: 0x04358394}
)

// KeyFile is a recovered key as text: for people and other programs in comment lines, for
// ParseKeyFile in a PEM block. It is the secret itself, the caller's to clear.
func KeyFile(s *frost.Secret, name string, chain [32]byte, net intent.Network) []byte {
	secret := s.Bytes()
	defer clear(secret)
	var out bytes.Buffer
	out.Grow(maxKeyFile) // or growing would leave copies behind
	fmt.Fprintf(&out, "# THE WHOLE SECRET OF KEY %s. Whoever reads this file can spend what it holds.\n", name)
	fmt.Fprintf(&out, "# public key: %x\n# chain code: %x\n", s.Public().Bytes(), chain)
	if s.Public().Suite() == frost.Ed25519 {
		writeEd25519(&out, secret)
	} else {
		writeBitcoin(&out, secret, chain, net)
	}
	w := wire.NewWriter(1024)
	w.U8(formatKey)
	w.Blob(s.Public().Encode())
	w.Fixed(chain[:])
	w.Blob(secret)
	defer clear(w.Bytes())
	_ = pem.Encode(&out, &pem.Block{Type: blockKey, Bytes: w.Bytes()}) // a buffer takes everything
	return out.Bytes()
}

// writeEd25519 tells the scalar, and the 64 bytes that RFC 8032 (5.1.6) calls s and prefix.
func writeEd25519(out *bytes.Buffer, secret []byte) {
	from := append([]byte("tetrad/escrow/prefix/v1"), secret...)
	prefix := sha512.Sum512(from)
	clear(from)
	fmt.Fprintf(out, "# This is an Ed25519 scalar, not a seed: no seed, PKCS#8 or wallet file can hold it, and\n"+
		"# programs that hash or clamp what they read derive another key from it.\n"+
		"# Sign with: vaultctl recover sign --key FILE --message FILE\n"+
		"# scalar (little-endian): %x\n# expanded (scalar, prefix): %x%x\n", secret, secret, prefix[:32])
	clear(prefix[:])
}

// writeBitcoin tells WIF, the extended private key, and descriptors of both with BIP-380
// checksums; addresses of the vault are children 0/i and 1/i.
func writeBitcoin(out *bytes.Buffer, secret []byte, chain [32]byte, net intent.Network) {
	wif, xprv := wifOf(secret, net), xprvOf(secret, chain, net)
	fmt.Fprintf(out, "# private key (big-endian): %x\n# WIF (%s): %s\n# extended private key: %s\n", secret, net, wif, xprv)
	for _, d := range []string{"tr(" + wif + ")", "tr(" + xprv + "/0/*)", "tr(" + xprv + "/1/*)"} {
		fmt.Fprintf(out, "# descriptor: %s#%s\n", d, intent.DescriptorChecksum(d))
	}
}

func wifOf(secret []byte, net intent.Network) string {
	b := append(make([]byte, 0, maxChecked), versionWIF[net == intent.Mainnet])
	return checked(append(append(b, secret...), 1)) // of a compressed public key
}

func xprvOf(secret []byte, chain [32]byte, net intent.Network) string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, maxChecked), versionXprv[net == intent.Mainnet])
	b = append(b, make([]byte, 9)...) // depth, parent and index of a root
	b = append(append(b, chain[:]...), 0)
	return checked(append(b, secret...))
}

// checked takes b over, which has room for its checksum, and clears it.
func checked(b []byte) string {
	defer clear(b[:cap(b)])
	return base58.Encode(append(b, chainhash.DoubleHashB(b)[:4]...))
}

// ParseKeyFile reads what KeyFile wrote.
func ParseKeyFile(file []byte) (s *frost.Secret, chain [32]byte, err error) {
	block, _ := pem.Decode(file)
	if len(file) > maxKeyFile || block == nil || block.Type != blockKey || len(block.Headers) > 0 {
		return nil, chain, errs.New(errs.Malformed, "this is no recovered key: want a %q block", blockKey)
	}
	defer clear(block.Bytes)
	r := wire.NewReader(block.Bytes)
	if v := r.U8(); v != formatKey {
		r.Fail("recovered key of format %d", v)
	}
	public := r.Blob(512)
	r.Fixed(chain[:])
	secret := r.Blob(32)
	if err := r.Done(); err != nil {
		return nil, chain, err
	}
	k, err := frost.DecodePublicKey(public)
	if err != nil {
		return nil, chain, err
	}
	s, err = frost.DecodeSecret(k, secret)
	return s, chain, err
}

// SignAt signs with the child of a recovered key at a path; none: with the key itself.
func SignAt(s *frost.Secret, chain [32]byte, path []uint32, sign func(*frost.Secret) ([]byte, error)) ([]byte, error) {
	if len(path) == 0 {
		return sign(s)
	}
	child, _, err := s.Public().Derive(chain, path...)
	if err != nil {
		return nil, err
	}
	d, err := s.Derive(child)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	return sign(d)
}

// String names the key and not the secret.
func (b *Bundle) String() string {
	return fmt.Sprintf("escrow %d of key %s, sharing %d", b.Number, hex.EncodeToString(b.Key[:]), b.Epoch)
}
