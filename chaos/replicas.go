package chaos

import (
	"github.com/tetrad-vault/tetrad/fsm/audit"
)

// replicas checks invariant 6: at one index all replicas, in all their lives, had one
// state digest and one audit root; every root is a prefix of the final log; and every
// region serves the same log.
func replicas(l *ledger, f *findings) {
	roots := make([][32]byte, len(l.leaves)+1) // by size
	var tree audit.Frontier
	for i := range l.leaves {
		tree.Append(l.leaves[i].Hash())
		roots[i+1] = tree.Root()
	}
	first := map[uint64]*Applied{}
	digests := map[uint64]*Applied{}
	for i := range l.history.Applied {
		a := &l.history.Applied[i]
		one := first[a.Meta.Index]
		switch {
		case one == nil:
			first[a.Meta.Index] = a
		case one.Meta != a.Meta:
			f.add("index %d: region %d applied an entry of term %d (%x), region %d one of term %d (%x)", a.Meta.Index,
				one.Region, one.Meta.Term, one.Meta.Chain[:4], a.Region, a.Meta.Term, a.Meta.Chain[:4])
		case one.Size != a.Size || one.Root != a.Root:
			f.add("index %d: the audit trees of regions %d and %d differ", a.Meta.Index, one.Region, a.Region)
		}
		if a.Digest != [32]byte{} {
			if one := digests[a.Meta.Index]; one != nil && one.Digest != a.Digest {
				f.add("index %d: the states of regions %d and %d differ", a.Meta.Index, one.Region, a.Region)
			}
			digests[a.Meta.Index] = a
		}
		if a.Size >= uint64(len(roots)) && !a.At.Before(l.until) {
			continue // while the logs were exported
		}
		if a.Size >= uint64(len(roots)) || roots[a.Size] != a.Root {
			f.add("index %d: the audit tree of region %d with %d leaves is no prefix of the final log", a.Meta.Index, a.Region, a.Size)
		}
	}
	for _, e := range l.history.Exports {
		for i := range e.Leaves {
			if have := e.Leaves[i].Hash(); have != l.leaves[i].Hash() {
				f.add("region %d serves another audit leaf %d than others", e.Region, i)
				break
			}
		}
	}
}
