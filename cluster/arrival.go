package cluster

import (
	"crypto/sha256"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// arrival is an append on its way in: what it brings, decoded, and what each command
// entry opened to.
type arrival struct {
	entries  []opened
	chained  []chain.Entry
	carried  []*chain.Certificate // by the entries
	proof    *chain.LeaderProof
	cert     *chain.Certificate // beside the entries, verified
	acks     []chain.Ack
	draws    []evaluation
	admitted chain.Admission
}

// evaluation is a beacon partial being computed while its entry is stored.
type evaluation struct {
	at     link
	result chan []byte
}

// inspect is what can be judged without looking at the own log: shape, decoding,
// signatures. It runs outside the gate; signatures found good are remembered.
func (c *Cluster) inspect(from remote, q *request) (*arrival, error) {
	a := q.Append
	v := &arrival{entries: make([]opened, len(a.Entries)), chained: make([]chain.Entry, len(a.Entries))}
	if err := c.unpack(v, q.Items); err != nil {
		return v, err
	}
	if err := checkShape(a.PrevLogEntry, a.PrevLogTerm, a.Term, a.Entries); err != nil {
		return v, err
	}
	for i, e := range a.Entries {
		if err := c.inspectEntry(v, i, e, a.Term); err != nil {
			c.accuseEntry(from, a, v, i, err)
			return v, errs.Wrap(errs.CodeOf(err), err, "entry %d", e.Index)
		}
	}
	return v, nil
}

// unpack reads what came beside the entries.
func (c *Cluster) unpack(v *arrival, items []item) (err error) {
	if raw := find(items, itemProof); raw != nil {
		if v.proof, err = chain.DecodeLeaderProof(raw); err != nil {
			return err
		}
	}
	if raw := find(items, itemCertificate); raw != nil {
		cert, err := chain.DecodeCertificate(raw)
		if err == nil {
			err = cert.Verify(c.book.roster, c.cfg.Lineage)
		}
		switch {
		case errs.CodeOf(err) == errs.Unauthenticated: // of a session not known here: it proves nothing, that is all
		case err != nil:
			return err
		default:
			v.cert = cert
		}
	}
	v.acks, err = decodeAcks(find(items, itemAcks))
	return err
}

func (c *Cluster) inspectEntry(v *arrival, i int, e *raft.Log, term uint64) error {
	x, err := DecodeExtension(e.Extensions)
	if err != nil {
		return err
	}
	for _, cert := range x.Sessions {
		c.book.roster.add(cert)
	}
	v.entries[i].data = sha256.Sum256(e.Data)
	v.chained[i] = chain.Entry{Header: chain.Header{Term: e.Term, Index: e.Index, Type: uint8(e.Type), Data: v.entries[i].data}, Proof: x.Proof}
	v.entries[i].chain = x.Chain
	if x.Certificate != nil {
		v.carried = append(v.carried, x.Certificate)
	}
	at := chain.Link{Term: e.Term, Index: e.Index, Hash: x.Chain}
	if x.Signature != nil {
		v.chained[i].Sig = *x.Signature
	}
	if known, ok := c.chain.links.get(e.Index); ok && known.place() == at {
		return nil // sent again
	}
	if at != c.book.founding {
		sig := chain.EntrySignature{Tuple: c.book.tuple(at), Signature: v.chained[i].Sig}
		if err := sig.Verify(c.book.signersOf(e.Term, term)); err != nil {
			return err
		}
	}
	if err := checkKind(e); err != nil || e.Type != raft.LogCommand {
		return err
	}
	if v.entries[i].entry, err = c.open(e); err != nil && !liar.Defends(liar.Opening) {
		v.entries[i].entry, err = nil, nil
	}
	return err
}

func (c *Cluster) open(e *raft.Log) (*command.Entry, error) {
	entry, err := openEntry(c.cfg.EntrySealer, c.cfg.Lineage, e.Data)
	if err != nil || c.cfg.Admit == nil {
		return entry, err
	}
	return entry, c.cfg.Admit(entry)
}

// remember caches opened entries for Apply.
func (c *Cluster) remember(a *raft.AppendEntriesRequest, v *arrival) {
	for i, e := range a.Entries {
		if v.entries[i].entry != nil {
			at, _ := linkOf(e) // checked by follows
			c.decoded.put(at.chain, v.entries[i].entry)
		}
	}
}

// keep remembers entries and starts the partials of those that open draws, so that they
// are ready when the disk is.
func (c *Cluster) keep(a *raft.AppendEntriesRequest, v *arrival) {
	c.remember(a, v)
	for i, e := range a.Entries {
		if v.entries[i].entry == nil {
			continue
		}
		at, _ := linkOf(e)
		if e.Term == a.Term && len(a.Entries)-i <= maxDraws && opensDraws(v.entries[i].entry) && c.cfg.Beacon != nil {
			v.draws = append(v.draws, c.evaluate(at))
		}
	}
}

func (c *Cluster) evaluate(at link) evaluation {
	e := evaluation{at, make(chan []byte, 1)}
	c.work.Go(func() {
		partial, err := c.cfg.Beacon.Evaluate(command.Meta{Index: at.index, Term: at.term, Chain: at.chain})
		if err != nil {
			c.note(slog.LevelWarn, c.book.self, "no beacon partial", slog.Uint64("index", at.index), slog.String("error", err.Error()))
		}
		e.result <- partial
	})
	return e
}

func collect(draws []evaluation) (items []item) {
	for _, d := range draws {
		if partial := <-d.result; len(partial) > 0 {
			items = append(items, partialItem(d.at, partial))
		}
	}
	return items
}
