package intent

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Spends returns what the drawn regions of a threshold key sign together, by the rules of
// Decode. So far of PSBTs, messages and digests.
func Spends(kind command.Kind, hash command.Hash, payload []byte, path []uint32, k KeyInfo) ([]Spend, error) {
	if !k.Threshold {
		return nil, errs.New(errs.Invalid, "each region of a multisig key signs for itself")
	}
	if kind == command.KindPSBT {
		return taprootSpends(payload, path, k)
	}
	if kind != command.KindMessage && kind != command.KindDigest {
		return nil, errs.New(errs.PayloadRejected, "%s payload: this version signs messages and digests with threshold keys", kind)
	}
	in, err := decode(kind, hash, payload, k, false)
	if err != nil {
		return nil, err
	}
	return []Spend{{Message: in.Messages[0], Path: slices.Clone(path)}}, nil
}

func taprootSpends(payload []byte, path []uint32, k KeyInfo) ([]Spend, error) {
	if len(path) != 0 {
		return nil, errs.New(errs.PayloadRejected, "psbt payload: a path is asked for, but its inputs name their own")
	}
	w, err := NewTaproot(TaprootKey{Key: k.Point, ChainCode: k.Chain[:]})
	if err != nil {
		return nil, err
	}
	s, err := w.open(payload)
	if err != nil {
		return nil, err
	}
	var out []Spend
	for i, o := range s.outputs {
		out = append(out, Spend{Message: s.digests[i], Path: o.Path, Taproot: true, Root: w.MerkleRoot()})
	}
	return out, nil
}
