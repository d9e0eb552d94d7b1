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
	extraSince    = 8 // of the beacon key
)

func (k *Key) writeExtras(w *wire.Writer) {
	if k.Fallback != nil {
		w.U8(extraFallback)
		w.Blob(k.Fallback.Encode())
	}
	if k.Escrowed > 0 {
		extra(w, extraEscrows, k.writeEscrows)
	}
	if k.Limit != nil {
		extra(w, extraLimit, k.Limit.write)
	}
	if k.Outside {
		extra(w, extraOutside, k.writeOutside)
	}
	if len(k.FrozenPaths) > 0 {
		extra(w, extraPaths, k.writeFrozenPaths)
	}
	if k.Since > 0 {
		extra(w, extraSince, func(w *wire.Writer) { w.U64(k.Since) })
	}
}

func extra(w *wire.Writer, tag uint8, write func(*wire.Writer)) {
	x := wire.NewWriter(512)
	write(x)
	w.U8(tag)
	w.Blob(x.Bytes())
}

func (k *Key) readExtras(r *wire.Reader) {
	for last := uint8(0); r.More(); {
		tag := r.U8()
		if tag <= last {
			r.Fail("extra %d after %d", tag, last)
		}
		last = tag
		x := wire.NewReader(r.Blob(maxRecord))
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
		case extraSince:
			if k.Since = x.U64(); k.Since == 0 || k.Scheme != command.SchemeBeacon {
				x.Fail("a beacon sharing of index %d in a row of scheme %s", k.Since, k.Scheme)
			}
		default:
			r.Fail("extra %d is unknown", tag)
		}
		if err := x.Done(); err != nil {
			r.Fail("extra %d: %v", tag, err)
		}
	}
}

func (k *Key) readFallback(r *wire.Reader) {
	var err error
	if k.Fallback, err = command.DecodeFallback(r.Rest()); err != nil {
		r.Fail("%v", err)
	}
}
