package address

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/btcsuite/btcd/chaincfg/chainhash"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Extended is an extended public key (BIP-32). A threshold key has no seed and no hardened
// ancestors: it is itself the root, of depth 0.
type Extended struct {
	Test        bool // tpub, for every network but mainnet
	Depth       uint8
	Fingerprint [4]byte // of the parent, zeros at depth 0
	Index       uint32  // below the parent, 0 at depth 0
	ChainCode   [32]byte
	Key         [33]byte
}

// Version bytes.
const (
	versionMain = 0x0488b21e // xpub
	versionTest = 0x043587cf // tpub
	hardened    = 1 << 31
)

// Root returns the extended key of a threshold key. The error is Invalid.
func Root(n intent.Network, key []byte, chain [32]byte) (Extended, error) {
	if err := intent.CheckPublicKey(command.Secp256k1, key); err != nil {
		return Extended{}, errs.Wrap(errs.Invalid, err, "extended public key")
	}
	return Extended{Test: n != intent.Mainnet, ChainCode: chain, Key: [33]byte(key)}, nil
}

// Child returns the extended key of a child that was derived from e elsewhere
// (vault/frost). The error is Invalid.
func (e Extended) Child(index uint32, key []byte, chain [32]byte) (Extended, error) {
	if index >= hardened || e.Depth == 255 {
		return Extended{}, errs.New(errs.Invalid, "extended public key: no child %d at depth %d", index, e.Depth)
	}
	if err := intent.CheckPublicKey(command.Secp256k1, key); err != nil {
		return Extended{}, errs.Wrap(errs.Invalid, err, "extended public key: child %d", index)
	}
	return Extended{e.Test, e.Depth + 1, e.Own(), index, chain, [33]byte(key)}, nil
}

// Own returns the key's own fingerprint, by which PSBTs and descriptors name it.
func (e Extended) Own() [4]byte { return [4]byte(btcutil.Hash160(e.Key[:])) }

// String returns the key as wallets import it.
func (e Extended) String() string {
	version := uint32(versionMain)
	if e.Test {
		version = versionTest
	}
	b := append(binary.BigEndian.AppendUint32(nil, version), e.Depth)
	b = binary.BigEndian.AppendUint32(append(b, e.Fingerprint[:]...), e.Index)
	b = append(append(b, e.ChainCode[:]...), e.Key[:]...)
	return base58.Encode(append(b, chainhash.DoubleHashB(b)[:4]...))
}

// ParseExtended reads an extended public key in its one form. The error is Malformed.
func ParseExtended(s string) (Extended, error) {
	var b []byte
	if len(s) <= maxXpub {
		b = base58.Decode(s)
	}
	if len(b) != 82 || [4]byte(chainhash.DoubleHashB(b[:78])) != [4]byte(b[78:]) {
		return Extended{}, errs.New(errs.Malformed, "extended public key: %.16q... is not 78 bytes with a checksum in base58", s)
	}
	version := binary.BigEndian.Uint32(b)
	if version != versionMain && version != versionTest {
		return Extended{}, errs.New(errs.Malformed, "extended public key: version %08x, want %08x or %08x", version, versionMain, versionTest)
	}
	e := Extended{version == versionTest, b[4], [4]byte(b[5:]), binary.BigEndian.Uint32(b[9:]), [32]byte(b[13:]), [33]byte(b[45:])}
	if e.Depth == 0 && (e.Index != 0 || e.Fingerprint != [4]byte{}) {
		return Extended{}, errs.New(errs.Malformed, "extended public key: of depth 0, but with a parent")
	}
	if intent.CheckPublicKey(command.Secp256k1, e.Key[:]) != nil {
		return Extended{}, errs.New(errs.Malformed, "extended public key: its 33 bytes are no public key")
	}
	return e, nil
}
