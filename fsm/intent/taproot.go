package intent

import (
	"bytes"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TaprootKey is what must be known of a threshold key on secp256k1.
type TaprootKey struct {
	Key       []byte        // the key with its parity, 33 bytes; as internal key its x alone counts
	ChainCode []byte        // 32 bytes of BIP-32, or nil: nothing is derived
	Fallback  *Fallback     // script path, nil for none
	Asset     command.Asset // which children sign; 0: any
}

// Fallback is the script tree of an output: one leaf, k of n keys by OP_CHECKSIGADD. The
// keys are not the vault's: a leaf wants BIP-340 signatures, which the ECDSA keys in the
// regions' HSMs do not make.
type Fallback struct {
	Signers    uint8
	PublicKeys [][]byte // x only, 32 bytes each
}

// Taproot is the wallet of a threshold key: P2TR outputs of the key and of its children,
// spent by the key path, with the script tree there for the day the threshold key is lost.
type Taproot struct {
	key      []byte
	extended *hdkeychain.ExtendedKey // nil where nothing is derived
	leaf     []byte                  // nil without a tree
	root     []byte                  // Merkle root, nil without a tree
	asset    command.Asset
}

// NewTaproot derives the wallet. The error is Invalid.
func NewTaproot(k TaprootKey) (*Taproot, error) {
	if err := CheckPublicKey(command.Secp256k1, k.Key); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "taproot wallet")
	}
	w := &Taproot{key: bytes.Clone(k.Key), asset: k.Asset}
	switch len(k.ChainCode) {
	case 0:
	case 32:
		version := chaincfg.MainNetParams.HDPublicKeyID // the network does not enter derivation
		w.extended = hdkeychain.NewExtendedKey(version[:], w.key, bytes.Clone(k.ChainCode), make([]byte, 4), 0, 0, false)
	default:
		return nil, errs.New(errs.Invalid, "taproot wallet: chain code of %d bytes, want 32", len(k.ChainCode))
	}
	if k.Fallback != nil {
		script, err := k.Fallback.Script()
		if err != nil {
			return nil, err
		}
		hash := txscript.NewBaseTapLeaf(script).TapHash() // one leaf is its own root
		w.leaf, w.root = script, hash[:]
	}
	_, err := w.Output()
	return w, err
}

// Keys returns the keys in order of the script (BIP-387, sortedmulti_a).
func (f *Fallback) Keys() ([][]byte, error) {
	if n := len(f.PublicKeys); f.Signers < 1 || int(f.Signers) > n || n > command.MaxFallback {
		return nil, errs.New(errs.Invalid, "taproot fallback of %d signers and %d keys, want 1 to n of at most %d", f.Signers, n, command.MaxFallback)
	}
	var keys [][]byte
	for _, k := range f.PublicKeys {
		if _, err := schnorr.ParsePubKey(k); err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "taproot fallback: key %x, want the x of a point, 32 bytes", k)
		}
		keys = append(keys, bytes.Clone(k))
	}
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i], keys[i-1]) {
			return nil, errs.New(errs.Invalid, "taproot fallback: key %x stands twice", keys[i])
		}
	}
	return keys, nil
}

// Script returns the leaf: key 1 CHECKSIG, key i CHECKSIGADD, k NUMEQUAL.
func (f *Fallback) Script() ([]byte, error) {
	keys, err := f.Keys()
	if err != nil {
		return nil, err
	}
	b := txscript.NewScriptBuilder()
	for i, key := range keys {
		op := byte(txscript.OP_CHECKSIGADD)
		if i == 0 {
			op = txscript.OP_CHECKSIG
		}
		b.AddData(key).AddOp(op)
	}
	script, err := b.AddInt64(int64(f.Signers)).AddOp(txscript.OP_NUMEQUAL).Script()
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "taproot fallback: script")
	}
	return script, nil
}

// MerkleRoot returns the root of the script tree, nil without one.
func (w *Taproot) MerkleRoot() []byte { return bytes.Clone(w.root) }

// LeafScript returns the fallback's script, nil without one.
func (w *Taproot) LeafScript() []byte { return bytes.Clone(w.leaf) }

// Fingerprint returns the first four bytes of the key's HASH160 (BIP-32).
func (w *Taproot) Fingerprint() [4]byte { return [4]byte(btcutil.Hash160(w.key)) }

// VerifyBIP340 reports whether sig, 64 bytes, is a BIP-340 signature of the 32-byte
// message under an x-only key.
func VerifyBIP340(key, message, sig []byte) bool {
	var public *btcec.PublicKey
	parsed, err := schnorr.ParseSignature(sig)
	if err == nil {
		public, err = schnorr.ParsePubKey(key)
	}
	return err == nil && len(message) == 32 && parsed.Verify(message, public)
}
