package node

import (
	"errors"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Enrol prepares an installed data directory for raft's first start: the last step of
// the ceremony at each site. Repeated, it changes nothing. A node never does this by
// itself, because a disk that was wiped looks just like one that was never used.
func Enrol(fs durable.FS) error {
	in, err := ceremony.Load(fs)
	if err != nil {
		return err
	}
	want := cluster.Incarnation{Cluster: in.Genesis.Document.Cluster, Lineage: in.Genesis.Document.Hash(),
		Region: in.Region, ServerID: in.ServerID}
	have, err := cluster.ReadIncarnation(fs)
	switch {
	case err == nil:
		have.Started = false
		if have == want {
			return nil
		}
		return errs.New(errs.Stale, "this data directory belongs to server %s, not to %s", have.ServerID, want.ServerID)
	case errors.Is(err, errs.ErrCorrupt):
		return err
	}
	return cluster.Enrol(fs, want)
}
