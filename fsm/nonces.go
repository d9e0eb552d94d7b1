package fsm

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// Nonce commitments are read as far as their first 15 bytes: format, suite, region, boot
// u64, serial u32. Two points follow, which are the regions' to judge.
const commitmentHead = 15

// CommitmentLen returns the length of an encoded frost.Commitment on a curve, 0 if it has
// no threshold keys.
func CommitmentLen(c command.Curve) int {
	switch c {
	case command.Ed25519:
		return commitmentHead + 2*32
	case command.Secp256k1:
		return commitmentHead + 2*33
	}
	return 0
}

// suiteOf is frost's number of the suite on a curve.
func suiteOf(c command.Curve) byte {
	if c == command.Ed25519 {
		return 1
	}
	return 2
}

func (t *task) offerNonces(b *command.OfferNonces) (deed, error) {
	r := t.region
	size := CommitmentLen(b.Curve)
	switch {
	case size == 0:
		return nil, errs.New(errs.Invalid, "curve %s has no threshold keys", b.Curve)
	case len(b.Commitments) == 0 || len(b.Commitments)%size != 0 || len(b.Commitments) > size*command.MaxOffer:
		return nil, errs.New(errs.Invalid, "%d bytes are not 1 to %d commitments on %s", len(b.Commitments), command.MaxOffer, b.Curve)
	case r.Sessions[0].Session.Fingerprint() != t.author.id:
		return nil, errs.New(errs.Stale, "region %d has a newer session: nonces of an earlier one are void", r.ID)
	}
	k := poolKey{r.ID, b.Curve}
	n := NoncePool{Region: r.ID, Curve: b.Curve}
	old, exists := t.pools.get(k)
	if exists {
		n = *old
	}
	n.Session = t.author.id
	if n.Count()+len(b.Commitments)/size > MaxPool {
		return nil, errs.New(errs.Throttled, "the pool of region %d on %s has %d commitments, the most is %d", r.ID, b.Curve, n.Count(), MaxPool)
	}
	if err := n.admit(b.Commitments); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		n.Commitments = append(n.Commitments, b.Commitments...)
		n.Offered += uint64(len(b.Commitments) / size)
		if !exists {
			t.pools.count++
		}
		t.pools.put(k, &n)
		t.result.Nonces = true
	}, nil
}

// admit checks that commitments are the region's, on the pool's curve, of one boot a
// session, and newer than every one before, of whatever session: by boot, in one boot by
// serial. So none is ever offered twice. Regions number boots by their sessions' time of
// issue, which ascends.
func (p *NoncePool) admit(commitments []byte) error {
	size := CommitmentLen(p.Curve)
	for c := range slices.Chunk(commitments, size) {
		boot, serial := binary.BigEndian.Uint64(c[3:]), binary.BigEndian.Uint32(c[11:])
		switch {
		case c[1] != suiteOf(p.Curve) || c[2] != byte(p.Region):
			return errs.New(errs.Invalid, "a commitment of suite %d, region %d is none of region %d on %s", c[1], c[2], p.Region, p.Curve)
		case boot != p.Boot && p.Offered > 0:
			return errs.New(errs.Denied, "commitments of two boots of region %d in one session", p.Region)
		case boot < p.Boot && liar.Defends(liar.Serials):
			return errs.New(errs.Replayed, "commitments of boot %d of region %d on %s: it offered some of boot %d before", boot, p.Region, p.Curve, p.Boot)
		case boot == p.Boot && serial <= p.Serial && liar.Defends(liar.Serials):
			return errs.New(errs.Replayed, "commitment %d of region %d on %s was offered before: the last is %d", serial, p.Region, p.Curve, p.Serial)
		}
		p.Boot, p.Serial = boot, serial
		p.Offered++ // of the copy; counted anew when it is written
	}
	p.Offered -= uint64(len(commitments) / size)
	return nil
}

// dropNonces empties a region's pools: what an earlier session offered is void. The numbers
// of the newest commitment stay for ever, so that none comes again.
func (w *work) dropNonces(r identity.RegionID) {
	for _, c := range []command.Curve{command.Secp256k1, command.Ed25519} {
		if p, ok := w.pools.get(poolKey{r, c}); ok {
			w.pools.put(poolKey{r, c}, &NoncePool{Region: r, Curve: c, Boot: p.Boot, Serial: p.Serial})
			w.result.Nonces = true
		}
	}
}

// nonces returns how many commitments a region has left for attempts on a curve.
func (w *work) nonces(r *Region, c command.Curve) int {
	p, ok := w.pools.get(poolKey{r.ID, c})
	if !ok || p.Session != r.Sessions[0].Session.Fingerprint() {
		return 0
	}
	return p.Count()
}

// take gives an attempt the first commitments of each eligible region's pool, one a
// message. They are gone from the pool for good.
func (w *work) take(c command.Curve, eligible []identity.RegionID, messages int) []NonceSet {
	size := CommitmentLen(c)
	sets := make([]NonceSet, len(eligible))
	for i, r := range eligible {
		p, _ := w.pools.get(poolKey{r, c})
		taken := bytes.Clone(p.Commitments[:messages*size]) // or the row would keep all the pool
		sets[i] = NonceSet{Region: r, Commitments: slices.Collect(slices.Chunk(taken, size))}
		n := *p
		n.Commitments = p.Commitments[messages*size:]
		w.pools.put(poolKey{r, c}, &n)
	}
	w.result.Nonces = true
	return sets
}

// withNonces returns attempts without any nonces but those that the regions named used in
// one attempt.
func withNonces(attempts []Attempt, number uint8, used []identity.RegionID) []Attempt {
	if !slices.ContainsFunc(attempts, func(a Attempt) bool { return len(a.Nonces) > 0 }) {
		return attempts
	}
	out := slices.Clone(attempts)
	for i := range out {
		var kept []NonceSet
		for _, s := range out[i].Nonces {
			if out[i].Number == number && slices.Contains(used, s.Region) {
				kept = append(kept, s)
			}
		}
		out[i].Nonces = kept
	}
	return out
}

// NoncePool returns what a region's present session has left on a curve.
func (v View) NoncePool(region identity.RegionID, curve command.Curve) (*NoncePool, bool) {
	return lookup[*NoncePool](v.txn(), poolTable, "id", poolKey{region, curve}.bytes())
}

// NoncePools returns all pools, ascending by region and curve.
func (v View) NoncePools() []*NoncePool { return collect[*NoncePool](v, poolTable) }
