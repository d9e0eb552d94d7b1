package intent

import (
	"slices"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/txscript"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TaprootOutput is one output script of the wallet.
type TaprootOutput struct {
	Path     []uint32 // from the key, non-hardened; empty for the key itself
	Internal [32]byte // x of the internal key
	Key      [32]byte // x of the output key, under which a signature verifies

	odd  bool // parity of the output key
	root []byte
}

// Output returns the output of the key, or of the child at a path. The error is Invalid.
func (w *Taproot) Output(path ...uint32) (*TaprootOutput, error) {
	return newChildren(w).output(path)
}

// PkScript returns the output script.
func (o *TaprootOutput) PkScript() []byte {
	return append([]byte{txscript.OP_1, txscript.OP_DATA_32}, o.Key[:]...)
}

// Address returns the address, bech32m (BIP-350).
func (o *TaprootOutput) Address(n Network) string {
	a, err := btcutil.NewAddressTaproot(o.Key[:], n.params())
	if err != nil {
		panic("intent: an output key is not 32 bytes") // the only error it has
	}
	return a.EncodeAddress()
}

// ControlBlock returns what a spend by the fallback's script shows, nil without one.
func (o *TaprootOutput) ControlBlock() []byte {
	if o.root == nil {
		return nil
	}
	first := byte(txscript.BaseLeafVersion)
	if o.odd {
		first |= 1
	}
	return append([]byte{first}, o.Internal[:]...)
}

// children derives the wallet's outputs, each and each parent once.
type children struct {
	w       *Taproot
	keys    map[string]*hdkeychain.ExtendedKey
	outputs map[string]*TaprootOutput
}

func newChildren(w *Taproot) *children {
	return &children{w, map[string]*hdkeychain.ExtendedKey{}, map[string]*TaprootOutput{}}
}

func pathName(path []uint32) string {
	var b []byte
	for _, index := range path {
		b = appendCompact(b, uint64(index))
	}
	return string(b)
}

func (c *children) output(path []uint32) (*TaprootOutput, error) {
	name := pathName(path)
	if o, ok := c.outputs[name]; ok {
		return o, nil
	}
	key := c.w.key
	if len(path) > 0 {
		child, err := c.child(path)
		if err != nil {
			return nil, err
		}
		public, err := child.ECPubKey()
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "taproot wallet: child key")
		}
		key = public.SerializeCompressed()
	}
	internal, err := secp256k1.ParsePubKey(key) // its parity is dropped below
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "taproot wallet: internal key")
	}
	out := txscript.ComputeTaprootOutputKey(internal, c.w.root)
	if out.X().Sign() == 0 {
		return nil, errs.New(errs.Invalid, "taproot wallet: this key and script tree give no output key")
	}
	o := &TaprootOutput{Path: slices.Clone(path), Internal: [32]byte(key[1:]), Key: [32]byte(schnorr.SerializePubKey(out)),
		odd: out.SerializeCompressed()[0] == 3, root: c.w.root}
	c.outputs[name] = o
	return o, nil
}

func (c *children) child(path []uint32) (*hdkeychain.ExtendedKey, error) {
	switch {
	case c.w.extended == nil:
		return nil, errs.New(errs.Invalid, "taproot wallet: the key has no chain code, nothing is derived from it")
	case len(path) > maxPath:
		return nil, errs.New(errs.Invalid, "taproot wallet: path of %d levels, limit %d", len(path), maxPath)
	case len(path) == 0:
		return c.w.extended, nil
	}
	name := pathName(path)
	if k, ok := c.keys[name]; ok {
		return k, nil
	}
	parent, err := c.child(path[:len(path)-1])
	if err != nil {
		return nil, err
	}
	index := path[len(path)-1]
	if index >= hdkeychain.HardenedKeyStart {
		return nil, errs.New(errs.Invalid, "taproot wallet: index %d is hardened; a threshold key has no whole secret", index)
	}
	k, err := parent.Derive(index)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "taproot wallet: child %d", index)
	}
	c.keys[name] = k
	return k, nil
}
