package fsm

import (
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// What regions were and keys had before an HSM was lost.

func (g *Region) writeFormer(w *wire.Writer) {
	w.U8(uint8(len(g.Former)))
	for i := range g.Former {
		f := &g.Former[i]
		f.Identity.Write(w)
		w.Fixed(f.Wrapping[:])
		w.U64(f.Index)
		w.Time(f.At)
	}
}

func (g *Region) readExtras(r *wire.Reader) {
	r.Extras(maxRecord, func(tag uint8, x *wire.Reader) bool {
		if tag == extraFormer {
			g.readFormer(x)
		}
		return tag == extraFormer
	})
}

// readFormer wants what a region was in the order in which it was replaced.
func (g *Region) readFormer(r *wire.Reader) {
	for range r.Few(MaxFormer) {
		f := Former{Identity: identity.ReadPublicKey(r), Wrapping: readHash(r), Index: r.U64(), At: r.Time()}
		if n := len(g.Former); f.Index == 0 || n > 0 && f.Index <= g.Former[n-1].Index {
			r.Fail("region %d: a former identity replaced at index %d", g.ID, f.Index)
		}
		g.Former = append(g.Former, f)
	}
	if len(g.Former) == 0 {
		r.Fail("region %d: former identities, but none", g.ID)
	}
}

// Lost returns the regions whose private key of k is gone with its HSM, ascending.
func (k *Key) Lost() (ids []identity.RegionID) {
	for i := range k.Attestations {
		if k.Attestations[i].Lost {
			ids = append(ids, k.Attestations[i].Region)
		}
	}
	return ids
}

func (k *Key) readLost(r *wire.Reader) {
	last := identity.RegionID(0)
	ids := readRegions(r)
	for _, id := range ids {
		a := k.Attested(id)
		if a == nil || id <= last || k.State == KeyPending {
			r.Fail("key %s: the attestation of region %d is lost, but there is none, or said out of order", k.ID, id)
			return
		}
		a.Lost, last = true, id
	}
	if len(ids) == 0 {
		r.Fail("key %s: attestations are lost, but none", k.ID)
	}
}
