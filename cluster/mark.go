package cluster

import (
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The high-water mark is the place in the log up to which this node is known to have
// applied. raft forgets its commit index in a restart; the mark tells how far the
// machine must come before it answers again, and that a disk lost what it once had.
const markFile = "highwater"

func writeMark(fs durable.FS, lineage [32]byte, l link) error {
	w := wire.NewWriter(96)
	w.U8(1)
	w.Fixed(lineage[:])
	w.U64(l.index)
	w.U64(l.term)
	w.Fixed(l.chain[:])
	return fs.WriteFile(markFile, w.Bytes())
}

func readMark(fs durable.FS, lineage [32]byte) (link, error) {
	b, err := fs.ReadFile(markFile)
	if errs.CodeOf(err) == errs.NotFound {
		return link{}, nil
	}
	if err != nil {
		return link{}, err
	}
	l, in, err := decodeMark(b)
	if err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "high-water mark").WithHint(distrusted)
	}
	if in != lineage {
		return link{}, errs.New(errs.Stale, "high-water mark belongs to another lineage").WithHint(distrusted)
	}
	return l, nil
}

func decodeMark(b []byte) (l link, lineage [32]byte, err error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("version %d", v)
	}
	r.Fixed(lineage[:])
	l.index, l.term = r.U64(), r.U64()
	r.Fixed(l.chain[:])
	return l, lineage, r.Done()
}

// checkMark compares the mark with what log and snapshot still hold.
func checkMark(mark link, chain *chainStore, last uint64) error {
	if mark.index > last {
		return errs.New(errs.Stale, "log ends at %d, but by its high-water mark this node had applied %d: an old or damaged disk", last, mark.index).
			WithHint("what it acknowledged is gone: empty the disk, then vaultctl init install --rejoin and region replace")
	}
	if l, ok := chain.at(mark.index); ok && mark.index > 0 && l.chain != mark.chain {
		return errs.New(errs.Stale, "log at %d differs from what this node had applied by its high-water mark", mark.index).WithHint(distrusted)
	}
	return nil
}
