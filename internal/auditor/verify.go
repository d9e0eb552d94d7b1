package auditor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Verify reads an export and verifies all of it. The error is Unverified if there is any
// finding, and otherwise says why the export could not be read to its end; the report,
// where there is one, covers what was read.
func Verify(r io.Reader, trust TrustAnchor) (*Report, error) {
	in, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	g, err := in.Genesis()
	if err != nil {
		return nil, err
	}
	v, err := begin(g, trust)
	if err != nil {
		return nil, err
	}
	for len(v.report.Findings) == 0 || v.machine != nil { // without a genesis nothing else means anything
		l, err := in.Next()
		if errors.Is(err, io.EOF) {
			v.end(in.Checkpoint())
			break
		}
		if err != nil {
			return v.report, err
		}
		v.leaf(l)
	}
	v.summarize()
	if n := uint64(len(v.report.Findings)) + v.report.More; n > 0 {
		return v.report, errs.New(errs.Unverified, "the audit log does not verify: %d findings, the first: %s", n, v.report.Findings[0])
	}
	return v.report, nil
}

// verifier walks the leaves once. The state machine judges what it can judge; the rest,
// and the most important rules once more, are kept in the verifier's own books, which
// are filled from what the leaves claim.
type verifier struct {
	trust   TrustAnchor
	report  *Report
	genesis *genesis.Document
	lineage [32]byte
	machine *fsm.Machine // nil once replay is impossible
	tree    audit.Frontier
	entry   []audit.Leaf // of the log entry being collected
	last    command.Meta
	books   books
}

func begin(g *genesis.Genesis, trust TrustAnchor) (*verifier, error) {
	hash := g.Document.Hash()
	v := &verifier{trust: trust, genesis: &g.Document, lineage: hash, books: newBooks(), report: &Report{
		Cluster: hex.EncodeToString(g.Document.Cluster[:]), Name: g.Document.Name, Genesis: hex.EncodeToString(hash[:]),
		First: g.Document.Created, Commands: map[string]uint64{}, Outcomes: map[string]uint64{}}}
	if hash != trust.Genesis {
		v.report.found(0, KindGenesis, "this is the history of genesis %x, not of the trusted %x", hash[:8], trust.Genesis[:8])
		return v, nil
	}
	if err := g.Verify(); err != nil {
		v.report.found(0, KindGenesis, "%v", err)
		return v, nil
	}
	b := &g.Document.Beacon
	key, err := draw.NewPublicKey(int(b.Threshold), b.Public, b.Shares)
	if err != nil {
		v.report.found(0, KindGenesis, "%v", err)
		return v, nil
	}
	v.books.anew = newAnew(&g.Document)
	v.report.Beacon = []BeaconSharing{newBeaconSharing(0, key)}
	v.books.proofs.book = chain.NewBook(g.Document.Cluster, v.pins, len(g.Document.Regions))
	v.machine, err = fsm.New(g, fsm.Options{})
	return v, err
}

// leaf takes the next leaf. Entries are judged whole, when their last leaf is there.
func (v *verifier) leaf(l *audit.Leaf) {
	r := v.report
	if want := v.tree.Size(); l.Seq != want {
		r.found(l.Seq, KindSequence, "leaf %d was expected here", want)
	}
	v.tree.Append(l.Hash())
	v.checkKnown()
	if err := l.CheckFields(); err != nil {
		r.found(l.Seq, KindFields, "%v", err)
	}
	if !l.Shown() {
		r.Withheld++
		if !v.trust.Partial {
			r.found(l.Seq, KindWithheld, "%d of %d fields are withheld", len(l.Withheld), len(l.Fields))
		}
	}
	r.Last = l.Stamp
	if l.IsGenesis() {
		if own := v.first(); l.Hash() != own.Hash() {
			r.found(0, KindGenesis, "leaf 0 is not the genesis of the header")
		}
		r.Outcomes[l.Code.String()]++
		r.Replayed++
		return
	}
	if v.tree.Size() == 1 {
		r.found(l.Seq, KindGenesis, "the first leaf is not the genesis")
	}
	r.Commands[l.Command.Type.String()]++
	r.Outcomes[l.Code.String()]++
	if len(v.entry) > 0 && (l.Meta != v.entry[0].Meta || len(v.entry) == maxEntryLeaves) {
		v.closeEntry()
	}
	v.entry = append(v.entry, *l)
}

// first returns the genesis leaf the trusted genesis leads to.
func (v *verifier) first() audit.Leaf {
	if v.machine == nil {
		return audit.Leaf{}
	}
	return v.machine.GenesisLeaf()
}

func (v *verifier) checkKnown() {
	for i := range v.trust.Known {
		if k := &v.trust.Known[i]; k.Size == v.tree.Size() && k.Root != v.tree.Root() {
			v.report.found(k.Size-1, KindTree, "the checkpoint of %d leaves seen before has another root: history was rewritten", k.Size)
		}
	}
}

// closeEntry judges the collected entry.
func (v *verifier) closeEntry() {
	leaves := v.entry
	v.entry = nil
	if len(leaves) == 0 {
		return
	}
	v.report.Entries++
	v.checkPlace(leaves)
	for i := range leaves {
		if !leaves[i].Shown() {
			v.stopReplay() // the state after this entry is unknown
		}
	}
	if v.machine == nil || v.books.stopped {
		return
	}
	v.replay(leaves)
	for i := range leaves {
		v.judge(&leaves[i])
	}
	v.report.Replayed += uint64(len(leaves))
}

func (v *verifier) stopReplay() { v.books.stopped = true }

// checkPlace checks that entries follow one another and leaves stand in order within.
func (v *verifier) checkPlace(leaves []audit.Leaf) {
	m := leaves[0].Meta
	if m.Index <= v.last.Index || m.Term < v.last.Term {
		v.report.found(leaves[0].Seq, KindSequence, "entry %d of term %d follows entry %d of term %d", m.Index, m.Term, v.last.Index, v.last.Term)
	}
	v.last = m
	for i := range leaves {
		if l := &leaves[i]; l.Position != uint32(i) || !l.Stamp.Equal(leaves[0].Stamp) {
			v.report.found(l.Seq, KindSequence, "command %d of entry %d stands at position %d, stamped %s", i, m.Index, l.Position, l.Stamp)
		}
	}
}

// replay has the state machine judge the entry and compares.
func (v *verifier) replay(leaves []audit.Leaf) {
	e := &command.Entry{Stamp: leaves[0].Stamp}
	for i := range leaves {
		c := &leaves[i].Command
		e.Commands = append(e.Commands, &command.Command{Format: c.Format, Type: c.Type, ID: c.ID,
			Principal: c.Principal, Expiry: c.Expiry, Fields: leaves[i].Fields, Signatures: c.Signatures})
	}
	res := v.machine.Apply([]fsm.Input{{Meta: leaves[0].Meta, Entry: e}})[0]
	if len(res.Leaves) != len(leaves) {
		v.report.found(leaves[0].Seq, KindOutcome, "entry %d gives %d leaves, the export has %d", leaves[0].Meta.Index, len(res.Leaves), len(leaves))
		return
	}
	for i := range leaves {
		v.compare(&leaves[i], &res.Leaves[i])
	}
}

// compare holds a leaf against what the rules give. Its number is judged elsewhere.
func (v *verifier) compare(got, want *audit.Leaf) {
	if got.Code != want.Code {
		kind := KindOutcome
		if want.Code == errs.Unauthenticated || want.Code == errs.NeedsSecondAdmin || want.Code == errs.Denied {
			kind = KindSignature
		}
		v.report.found(got.Seq, kind, "%s by %s is recorded as %s, but the rules give %s", got.Command.Type, got.Command.Principal.Short(), got.Code, want.Code)
		return
	}
	if !slices.Equal(got.Effect, want.Effect) || got.Text != want.Text {
		v.report.found(got.Seq, KindOutcome, "%s by %s is recorded with other effects than the rules give", got.Command.Type, got.Command.Principal.Short())
	}
}

// end judges what only the end shows.
func (v *verifier) end(c *audit.Checkpoint) {
	v.closeEntry()
	v.uncovered()
	r, last := v.report, v.tree.Size()
	if last > 0 {
		last--
	} else {
		r.found(0, KindSequence, "the export has no leaves, not even the genesis")
	}
	if c.Cluster != v.genesis.Cluster {
		r.found(last, KindCheckpoint, "the checkpoint is of another cluster")
	}
	if c.Size != v.tree.Size() || c.Root != v.tree.Root() {
		r.found(last, KindTree, "the checkpoint names %d leaves with root %x, the leaves here are %d with root %x", c.Size, c.Root[:8], v.tree.Size(), head(v.tree))
	}
	for i := range v.trust.Known {
		if k := &v.trust.Known[i]; k.Size > v.tree.Size() {
			r.found(last, KindTree, "a checkpoint of %d leaves was seen before, the export ends at %d: history was cut", k.Size, v.tree.Size())
		}
	}
	v.checkSignatures(c, last)
}

func head(f audit.Frontier) []byte { r := f.Root(); return r[:8] }

func (v *verifier) checkSignatures(c *audit.Checkpoint, last uint64) {
	if v.books.stopped { // sessions registered in withheld commands are not known here
		if v.trust.Signatures > 0 {
			v.report.found(last, KindCheckpoint, "nobody can say who may sign the checkpoint: fields are withheld")
		}
		return
	}
	for i := range c.Signatures {
		s := &c.Signatures[i]
		session, ok := v.books.sessions[s.Session]
		if !ok || session.region != s.Region || !session.key.Verify(c.SignedBytes(s.Region, s.At), s.Sig) {
			v.report.found(last, KindCheckpoint, "the signature of region %d does not verify under a session it registered", s.Region)
			continue
		}
		v.report.SignedBy = append(v.report.SignedBy, fmt.Sprintf("%d (%s)", s.Region, v.genesis.Regions[s.Region-1].Name))
	}
	if n := len(v.report.SignedBy); n < v.trust.Signatures {
		v.report.found(last, KindCheckpoint, "%d regions signed the checkpoint, %d are required", n, v.trust.Signatures)
	}
}

func (v *verifier) summarize() {
	root := v.tree.Root()
	v.report.Leaves, v.report.Root = v.tree.Size(), hex.EncodeToString(root[:])
	v.report.Open = uint64(len(v.books.open))
	v.report.Selections = v.books.selections()
	v.report.Undrawn = v.report.Attempts
	for i := range v.report.Selections {
		v.report.Undrawn -= v.report.Selections[i].Draws
	}
}
