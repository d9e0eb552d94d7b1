package fsm

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Extras are what only some keys have: tagged, in order, at the end of the row, so that
// rows without are what they were.
const (
	extraFallback = 1
	extraEscrows  = 2
	extraLimit    = 3
	extraOutside  = 4
	extraPaths    = 5
	extraAsset    = 6
	extraGiven    = 7
	extraSince    = 8 // of the beacon key
	extraLost     = 9 // of multisig keys
)

// Of regions.
const extraFormer = 1

func (k *Key) writeExtras(w *wire.Writer) {
	if k.Fallback != nil {
		w.Extra(extraFallback, func(x *wire.Writer) { x.Fixed(k.Fallback.Encode()) })
	}
	if k.Escrowed > 0 {
		w.Extra(extraEscrows, k.writeEscrows)
	}
	if k.Limit != nil {
		w.Extra(extraLimit, k.Limit.write)
	}
	if k.Outside {
		w.Extra(extraOutside, k.writeOutside)
	}
	if len(k.FrozenPaths) > 0 {
		w.Extra(extraPaths, k.writeFrozenPaths)
	}
	if k.Asset != 0 {
		w.Extra(extraAsset, func(w *wire.Writer) { w.U8(uint8(k.Asset)) })
	}
	if !k.Given.empty() {
		w.Extra(extraGiven, k.Given.write)
	}
	if k.Since > 0 {
		w.Extra(extraSince, func(w *wire.Writer) { w.U64(k.Since) })
	}
	if lost := k.Lost(); len(lost) > 0 {
		w.Extra(extraLost, func(w *wire.Writer) { writeRegions(w, lost) })
	}
}

func (k *Key) readExtras(r *wire.Reader) {
	r.Extras(maxRecord, func(tag uint8, x *wire.Reader) bool {
		switch tag {
		case extraFallback:
			k.readFallback(x)
		case extraEscrows:
			k.readEscrows(x)
		case extraLimit:
			k.readLimit(x)
		case extraOutside:
			k.readOutside(x)
		case extraPaths:
			k.readFrozenPaths(x)
		case extraAsset:
			k.readAsset(x)
		case extraGiven:
			k.readGiven(x)
		case extraSince:
			if k.Since = x.U64(); k.Since == 0 || k.Scheme != command.SchemeBeacon {
				x.Fail("a beacon sharing of index %d in a row of scheme %s", k.Since, k.Scheme)
			}
		case extraLost:
			k.readLost(x)
		default:
			return false
		}
		return true
	})
}

func (k *Key) readFallback(r *wire.Reader) {
	var err error
	if k.Fallback, err = command.DecodeFallback(r.Rest()); err != nil {
		r.Fail("%v", err)
	}
}
