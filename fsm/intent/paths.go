package intent

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// PathsOf returns under which children spends are signed, each once.
func PathsOf(spends []Spend) [][]uint32 {
	paths := make([][]uint32, len(spends))
	for i := range spends {
		paths[i] = spends[i].Path
	}
	return distinct(paths)
}

// Paths returns the same for a payload that Spends accepted, without deriving a key: what a
// freeze of a child has to know of every open request, again and again.
func Paths(kind command.Kind, payload []byte, path []uint32, k KeyInfo) ([][]uint32, error) {
	switch {
	case !k.Threshold:
		return nil, errs.New(errs.Invalid, "a multisig key has no children")
	case kind != command.KindPSBT:
		return [][]uint32{path}, nil
	case len(k.Point) != k.Curve.PublicKeyLen():
		return nil, errs.New(errs.Invalid, "a threshold key of %d bytes", len(k.Point))
	}
	w := &Taproot{key: k.Point} // naming a path takes no more of the wallet
	p, err := parsePacket(payload)
	if err != nil {
		return nil, err
	}
	paths := make([][]uint32, len(p.inputs))
	for i, f := range p.inputs {
		if paths[i], err = f.path(w, inTapKey, inTapDerivation); err != nil {
			return nil, errs.Wrap(errs.PayloadRejected, err, "psbt: input %d", i)
		}
	}
	return distinct(paths), nil
}

func distinct(paths [][]uint32) [][]uint32 {
	slices.SortFunc(paths, slices.Compare[[]uint32])
	return slices.CompactFunc(paths, slices.Equal[[]uint32])
}
