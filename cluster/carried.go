package cluster

import (
	"slices"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Entries carry certificates of earlier ones. They prove that what leads to them may be
// stored, and are stored themselves only if they are true of this chain.

// covered is the index of the highest certificate that names one of the entries.
func covered(v *arrival, certified []chain.Tuple) (index uint64) {
	for i := range v.chained {
		e := &v.chained[i]
		for _, c := range certified {
			if c.Link == (chain.Link{Term: e.Term, Index: e.Index, Hash: v.entries[i].chain}) {
				index = max(index, c.Index)
			}
		}
	}
	return index
}

// highestCarried verifies the highest certificate that entries carry, for what it proves
// about the others. most is the last index of the append. A certificate of a session that
// is not known here, as of an earlier boot, is taken out of the entry, not held against it.
func (c *Cluster) highestCarried(a *raft.AppendEntriesRequest, v *arrival, most uint64) (out []chain.Tuple, err error) {
	if v.cert != nil {
		out = append(out, v.cert.Tuple)
	}
	var best *chain.Certificate
	for _, cert := range v.carried {
		if cert.Index <= most && cert.Index > c.book.own.Floor() && (best == nil || cert.Index > best.Index) {
			best = cert
		}
	}
	if best == nil || v.cert != nil && v.cert.Index >= best.Index {
		return out, nil
	}
	if err := best.Verify(c.book.roster, c.cfg.Lineage); errs.CodeOf(err) == errs.Unauthenticated {
		if err := v.strip(a, best.Tuple); err != nil {
			return nil, err
		}
		return c.highestCarried(a, v, most)
	} else if err != nil {
		return nil, err
	}
	if v.cert == nil {
		v.cert = best
	}
	return append(out, best.Tuple), nil
}

// strip takes the certificates of one place out of the entries.
func (v *arrival) strip(a *raft.AppendEntriesRequest, t chain.Tuple) error {
	v.carried = slices.DeleteFunc(v.carried, func(c *chain.Certificate) bool { return c.Tuple == t })
	for _, e := range a.Entries {
		x, err := DecodeExtension(e.Extensions)
		if err != nil {
			return err
		}
		if x.Certificate != nil && x.Certificate.Tuple == t {
			x.Certificate = nil
			e.Extensions = x.Encode()
		}
	}
	return nil
}

// checkCarried wants every certificate that is stored to be true of this chain: below a
// verified one it is, whoever signed it.
func (c *Cluster) checkCarried(v *arrival) error {
	highest := c.reach(v)
	for _, cert := range v.carried {
		at, ok := v.admitted.Log.At(cert.Index)
		if cert.Lineage != c.cfg.Lineage || ok && at != cert.Link || !ok && cert.Index > highest || cert.Index > highest {
			return errs.New(errs.Unverified, "an entry carries a certificate of index %d that is not of this chain", cert.Index)
		}
	}
	return nil
}
