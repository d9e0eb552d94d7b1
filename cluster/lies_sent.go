//go:build liar

package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What a liar changes in what it sends.

// fork is another history of one peer, from some entry on.
type fork struct {
	links map[uint64]chain.Link
	data  map[uint64][]byte
}

// invented marks a message that was made up here.
const invented = ^uint64(0)

// lieTo changes a request before it leaves; false: it does not.
func (c *Cluster) lieTo(to remote, q *request) bool {
	told := liar.Told(c.book.self)
	if told.Name == "" || q.From == invented {
		return true
	}
	entries := q.Kind == kindAppend && len(q.Append.Entries) > 0
	victim := to.region == told.Victim
	switch told.Name {
	case "mute-leader":
		if entries {
			liar.Did(told.Name)
		}
		return !entries
	case "false-commit":
		if entries && victim {
			a := *q.Append
			a.LeaderCommitIndex = a.PrevLogEntry + uint64(len(a.Entries))
			q.Append = &a
			liar.Did(told.Name)
		}
		return victim || !entries
	case "one-region-only", "forged-certificate", "two-of-one-region":
		if entries && victim {
			c.show(to.region, q.Append)
			if told.Name == "one-region-only" {
				liar.Did(told.Name)
			}
		}
		return victim || !entries
	case "rival-entries", "equivocation-silence", "rivals-certified":
		return c.equivocate(told, to, q)
	case "unsigned-entry":
		if entries && victim {
			c.unsign(q)
			liar.Did(told.Name)
		}
	case "forged-snapshot", "swapped-snapshot":
		return !(entries && victim)
	case "starved-region", "shunned-region":
		return c.starve(told, to, q)
	case "freeze-starved":
		return liar.Done(told.Name) == 0 || !(victim && (entries || q.Kind == kindNudge))
	}
	return true
}

func (c *Cluster) show(to identity.RegionID, a *raft.AppendEntriesRequest) {
	if l, err := linkOf(a.Entries[len(a.Entries)-1]); err == nil {
		m := c.lies()
		m.mu.Lock()
		m.shown[to] = l.place()
		m.mu.Unlock()
	}
}

// starve keeps from the victim what tells it of the log: heartbeats alone are left, or not
// even these.
func (c *Cluster) starve(told liar.Lie, to remote, q *request) bool {
	if _, _, speaks := spokenFor(q); !speaks || to.region != told.Victim {
		return true
	}
	c.strip(q)
	beat := q.Kind == kindAppend && len(q.Append.Entries) == 0
	if !beat {
		liar.Did(told.Name)
	}
	return beat && told.Name == "starved-region"
}

// equivocate shows the true entries to the victim and rivals to the other; the fourth
// region gets nothing.
func (c *Cluster) equivocate(told liar.Lie, to remote, q *request) bool {
	entries := q.Kind == kindAppend && len(q.Append.Entries) > 0
	switch {
	case to.region == told.Victim:
		if entries {
			c.show(to.region, q.Append)
		}
		return true
	case to.region != told.Other:
		return !entries && q.Kind != kindNudge
	}
	c.strip(q)
	if q.Kind == kindNudge {
		return false
	}
	if entries {
		q.Append = c.forked(to.region, q.Append)
		c.show(to.region, q.Append)
		liar.Did(told.Name)
	}
	return true
}

// strip takes out what would tell of the other branch.
func (c *Cluster) strip(q *request) {
	items := q.Items[:0:0]
	for _, it := range q.Items {
		if it.Kind != itemCertificate && it.Kind != itemAcks {
			items = append(items, it)
		}
	}
	q.Items = items
}

// forked is an append as a peer gets it that is shown a history of its own.
func (c *Cluster) forked(to identity.RegionID, a *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	m := c.lies()
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.forks[to]
	if f == nil {
		f = &fork{map[uint64]chain.Link{}, map[uint64][]byte{}}
		m.forks[to] = f
	}
	out := *a
	out.Entries = nil
	for _, e := range a.Entries {
		out.Entries = append(out.Entries, c.rival(f, e))
	}
	return &out
}

// rival is an entry on a branch of its own: a command with another stamp, and whatever
// follows one.
func (c *Cluster) rival(f *fork, e *raft.Log) *raft.Log {
	prev, parted := f.links[e.Index-1]
	if !parted {
		l, _ := c.chain.at(e.Index - 1)
		prev = l.place()
	}
	if e.Term != c.book.record().Term || !parted && e.Type != raft.LogCommand {
		return e
	}
	data := e.Data
	if known := f.data[e.Index]; known != nil {
		data = known
	} else if e.Type == raft.LogCommand {
		if entry, err := openEntry(c.cfg.EntrySealer, c.cfg.Lineage, e.Data); err == nil {
			entry.Stamp = entry.Stamp.Add(time.Millisecond)
			data, _ = c.cfg.EntrySealer.Seal(entry.Encode(), entryContext(c.cfg.Lineage))
		}
		f.data[e.Index] = data
	}
	r := c.signed(e, prev.Hash, data)
	f.links[e.Index] = chain.Link{Term: r.Term, Index: r.Index, Hash: mustPeek(r)}
	return r
}

func mustPeek(l *raft.Log) [32]byte { h, _ := peekChain(l.Extensions); return h }

// signed is an entry of this leader after a place, with other data.
func (c *Cluster) signed(e *raft.Log, prev [32]byte, data []byte) *raft.Log {
	out := *e
	out.Data = data
	x, _ := DecodeExtension(e.Extensions)
	x.Chain, x.Certificate = ChainHash(prev, e.Term, e.Index, e.Type, dataHash(&out)), nil
	if s, err := chain.SignEntry(c.book.signer, c.book.tuple(chain.Link{Term: e.Term, Index: e.Index, Hash: x.Chain})); err == nil {
		x.Signature = &s.Signature
	}
	out.Extensions = x.Encode()
	return &out
}

// unsign spoils the signatures of the entries in an append.
func (c *Cluster) unsign(q *request) {
	a := *q.Append
	a.Entries = nil
	for _, e := range q.Append.Entries {
		l := *e
		if x, err := DecodeExtension(l.Extensions); err == nil && x.Signature != nil && l.Term == a.Term {
			s := *x.Signature
			s.Sig[3] ^= 1
			x.Signature = &s
			l.Extensions = x.Encode()
		}
		a.Entries = append(a.Entries, &l)
	}
	q.Append = &a
}
