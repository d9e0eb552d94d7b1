package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/edtable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Spends returns what the drawn regions of a threshold key sign together, by the rules of
// Decode. Every region asks this of the committed payload, never of the leader.
func Spends(kind command.Kind, hash command.Hash, payload []byte, path []uint32, k KeyInfo) ([]Spend, error) {
	if !k.Threshold {
		return nil, errs.New(errs.Invalid, "each region of a multisig key signs for itself")
	}
	in, err := decode(kind, hash, payload, k, path, false)
	if err != nil {
		return nil, err
	}
	return in.Spends, nil
}

func (in *Intent) decodeThreshold(payload []byte, k KeyInfo, path []uint32, show bool) error {
	if in.Kind == command.KindPSBT {
		return in.decodeTaproot(payload, k, path, show)
	}
	var child []byte
	var err error
	if len(k.Point) != k.Curve.PublicKeyLen() || k.Curve != command.Ed25519 && k.Curve != command.Secp256k1 {
		return errs.New(errs.PayloadRejected, "%s payload: no threshold key on %s has a public key of %d bytes", in.Kind, k.Curve, len(k.Point))
	}
	if err := k.checkPath(path); err != nil {
		return errs.Wrap(errs.PayloadRejected, err, "%s payload: the key that signs", in.Kind)
	}
	if show || in.Kind == command.KindSolana { // deriving costs as much as signing: every replica judges every request
		if child, _, err = Child(k.Curve, k.Point, k.Chain, path...); err != nil {
			return errs.Wrap(errs.PayloadRejected, err, "%s payload: the key that signs", in.Kind)
		}
	}
	switch in.Kind {
	case command.KindMessage:
		err = in.decodeMessage(payload, k)
	case command.KindDigest:
		err = in.decodeDigest(payload, k)
	case command.KindSolana:
		err = in.decodeSolana(payload, k.Curve, child)
	default:
		err = unknownKind(in.Kind)
	}
	if err != nil {
		return err
	}
	in.Key, in.Spends = child, []Spend{{Message: in.Messages[0], Path: slices.Clone(path)}}
	return nil
}

// checkPath reports why no child of the key at a path signs.
func (k KeyInfo) checkPath(path []uint32) error {
	if _, err := command.DecodePath(command.EncodePath(path)); err != nil {
		return err
	}
	return k.Asset.Check(path)
}

func (in *Intent) decodeTaproot(payload []byte, k KeyInfo, path []uint32, show bool) error {
	switch {
	case len(path) != 0:
		return rejected("a path is asked for, but its inputs name their own").
			WithHint("leave the path away; each input's derivation (field 0x16) says which child it belongs to")
	case in.Hash != command.HashNone:
		return rejected("hash %s is declared, but a PSBT has its own", hashName(in.Hash))
	}
	w, err := k.Taproot()
	if err != nil {
		return err
	}
	s, err := w.open(payload)
	if err != nil {
		return err
	}
	in.Messages = s.digests
	for i, o := range s.outputs {
		in.Spends = append(in.Spends, Spend{Message: s.digests[i], Path: o.Path, Taproot: true, Root: bytes.Clone(w.root)})
	}
	if show {
		in.Transaction = s.describe(k.Network, s.vsize(), s.change)
	}
	return nil
}

// decodeSolana refuses a message in which the child has no say: its signature would be
// of use to nobody it was shown to.
func (in *Intent) decodeSolana(payload []byte, curve command.Curve, child []byte) error {
	switch {
	case curve != command.Ed25519:
		return errs.New(errs.PayloadRejected, "solana payload: Solana signs with ed25519 keys, this one is %s", curve)
	case in.Hash != command.HashNone:
		return errs.New(errs.PayloadRejected, "solana payload: hash %s is declared, but the message is signed as it is", hashName(in.Hash))
	}
	m, err := solana.Decode(payload)
	if err != nil {
		return err
	}
	if _, err := m.SignerIndex(solana.Address(child)); err != nil {
		return err
	}
	in.Solana, in.Messages = m, []Message{m.Bytes()}
	return nil
}

// Taproot returns the wallet of a threshold key on secp256k1.
func (k KeyInfo) Taproot() (*Taproot, error) {
	if !k.Threshold || k.Curve != command.Secp256k1 {
		return nil, rejected("only a threshold key on secp256k1 has a Taproot wallet")
	}
	return NewTaproot(TaprootKey{Key: k.Point, ChainCode: k.Chain[:], Fallback: k.Fallback, Asset: k.Asset})
}

// Key returns the 32 bytes under which the spend's one signature verifies: the child at
// its path, x only on secp256k1, and for Taproot the output key. The error is Invalid.
func (s Spend) Key(k KeyInfo) ([]byte, error) {
	child, _, err := Child(k.Curve, k.Point, k.Chain, s.Path...)
	if err != nil || k.Curve == command.Ed25519 {
		return child, err
	}
	if !s.Taproot {
		return child[1:], nil
	}
	internal, err := btcec.ParsePubKey(child)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "taproot: internal key")
	}
	return schnorr.SerializePubKey(txscript.ComputeTaprootOutputKey(internal, s.Root)), nil
}

// Verify reports whether sig, 64 bytes, is the spend's signature: Ed25519 (RFC 8032) or
// BIP-340.
func (s Spend) Verify(k KeyInfo, sig []byte) bool {
	key, err := s.Key(k)
	switch {
	case err != nil:
		return false
	case k.Curve == command.Ed25519:
		return signing.Verify(key, s.Message, sig)
	}
	return VerifyBIP340(key, s.Message, sig)
}

// signing remembers tables of the Ed25519 keys that sign most. Those that sign once push
// nobody else's out.
var signing = edtable.NewKeys(64)

var tapSighash = sha256.Sum256([]byte("TapSighash"))

// looksLike names the payload kind that a message would get past: under an Ed25519 key a
// Solana message is a payment, under a BIP-340 key the tagged preimage of a BIP-341 hash,
// under an ECDSA key that of an older signature hash. Empty: none.
func (k KeyInfo) looksLike(h command.Hash, message []byte) string {
	switch {
	case k.Threshold && k.Curve == command.Ed25519 && solana.CouldBeMessage(message):
		return command.KindSolana.String()
	case k.Threshold && k.Curve == command.Secp256k1 && h == command.HashSHA256 &&
		bytes.HasPrefix(message, slices.Concat(tapSighash[:], tapSighash[:])):
		return command.KindPSBT.String()
	case !k.Threshold && k.Curve == command.Secp256k1 && hidesTransaction(h, message):
		return command.KindPSBT.String()
	}
	return ""
}

// summary of what a threshold key adds: the one key that signs, where it is not a wallet's.
func (in *Intent) signingKey() []Line {
	if len(in.Key) == 0 {
		return nil
	}
	return []Line{{"path", command.PathText(in.Spends[0].Path)}, {"signing key", hex.EncodeToString(in.Key)}}
}
