package cluster

import (
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Incarnation ties a disk to one life of one server. Raft must never start a second
// time under a server id whose log is gone: it would vote as if it had none.
type Incarnation struct {
	Cluster  identity.ClusterID
	Lineage  [32]byte
	Region   identity.RegionID
	ServerID string
	Started  bool // raft has run on this disk
}

const incarnationFile = "incarnation"

// distrusted is what to do about a disk that may have forgotten what it promised.
const distrusted = "this disk cannot be trusted: empty it, then vaultctl init install --rejoin and region replace"

// Enrol prepares a fresh disk for the first start of a server. It refuses a disk
// that was enrolled before.
func Enrol(fs durable.FS, in Incarnation) error {
	if _, err := fs.ReadFile(incarnationFile); errs.CodeOf(err) != errs.NotFound {
		return errs.New(errs.Exists, "this disk already belongs to a server").
			WithHint("enrol a new incarnation on an empty data directory")
	}
	in.Started = false
	return writeIncarnation(fs, in)
}

func writeIncarnation(fs durable.FS, in Incarnation) error {
	w := wire.NewWriter(128)
	w.U8(1)
	w.Fixed(in.Cluster[:])
	w.Fixed(in.Lineage[:])
	w.U8(uint8(in.Region))
	w.String(in.ServerID)
	w.Bool(in.Started)
	return fs.WriteFile(incarnationFile, w.Bytes())
}

// ReadIncarnation returns what Enrol and the first start wrote.
func ReadIncarnation(fs durable.FS) (Incarnation, error) {
	b, err := fs.ReadFile(incarnationFile)
	if errs.CodeOf(err) == errs.NotFound {
		return Incarnation{}, errs.Wrap(errs.Stale, err, "this disk belongs to no server").
			WithHint("it was never enrolled, or it was wiped: empty it, then vaultctl init install --rejoin and region replace")
	}
	if err != nil {
		return Incarnation{}, err
	}
	return decodeIncarnation(b)
}

func decodeIncarnation(b []byte) (Incarnation, error) {
	r, in := wire.NewReader(b), Incarnation{}
	if v := r.U8(); v != 1 {
		r.Fail("incarnation file version %d", v)
	}
	r.Fixed(in.Cluster[:])
	r.Fixed(in.Lineage[:])
	in.Region = identity.RegionID(r.U8())
	in.ServerID = r.String(maxServerID)
	in.Started = r.Bool()
	if err := r.Done(); err != nil {
		return Incarnation{}, errs.Wrap(errs.Corrupt, err, "incarnation file").WithHint(distrusted)
	}
	return in, nil
}

// check compares the disk with who this node is and with what raft's stores hold.
func (in Incarnation) check(cfg *Config, raftEmpty bool) error {
	cert := cfg.Session.Cert
	switch {
	case in.Cluster != cfg.Cluster, in.Lineage != cfg.Lineage:
		return errs.New(errs.Stale, "this disk belongs to another cluster or lineage").WithHint(distrusted)
	case in.Region != cert.Region, in.ServerID != cert.ServerID:
		return errs.New(errs.Stale, "this disk belongs to server %s of region %d, not to %s of region %d", in.ServerID, in.Region, cert.ServerID, cert.Region).
			WithHint(distrusted)
	case in.Started && raftEmpty:
		return errs.New(errs.Stale, "server %s has run before, but its log is gone: wiped disk", in.ServerID).
			WithHint("a server never restarts under its old id without its log: empty the disk, then vaultctl init install --rejoin and region replace")
	case !in.Started && !raftEmpty:
		return nil // the first start was cut short after bootstrap
	}
	return nil
}
