//go:build liar

package cluster

import (
	"crypto/rand"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What a liar does of its own accord.

// misbehave does what no request of raft's is the occasion for.
func (c *Cluster) misbehave() {
	for c.ctx.Err() == nil {
		sleep(c.ctx, 150*time.Millisecond, nil)
		told := liar.Told(c.book.self)
		if told.Name == "" || c.instance() == nil {
			continue
		}
		if deed, ok := deeds[told.Name]; ok {
			if err := deed(c, told); err != nil {
				c.log.Info("lie", slog.String("name", told.Name), slog.String("error", err.Error()))
			}
		}
	}
}

var deeds = map[string]func(*Cluster, liar.Lie) error{
	"forged-certificate": func(c *Cluster, told liar.Lie) error { return c.nudgeFalsely(told.Name, told.Victim, false) },
	"two-of-one-region":  func(c *Cluster, told liar.Lie) error { return c.nudgeFalsely(told.Name, told.Victim, true) },
	"rivals-certified": func(c *Cluster, told liar.Lie) error {
		if err := c.nudgeFalsely(told.Name, told.Victim, false); err != nil {
			return err
		}
		return c.nudgeFalsely(told.Name, told.Other, false)
	},
	"rival-entries":     (*Cluster).handOver,
	"rewritten-entry":   (*Cluster).rewrite,
	"membership-remove": (*Cluster).dismiss,
	"membership-add":    (*Cluster).admitGhost,
	"forged-snapshot":   (*Cluster).forgeSnapshot,
	"swapped-snapshot":  (*Cluster).swapSnapshot,
	"attest-other":      (*Cluster).askFalseAttestation,
	"term-vote":         (*Cluster).inflate,
	"unproven-leader":   (*Cluster).usurp,
	"forged-transfer":   (*Cluster).forgeTransfer,
	"false-accusation":  (*Cluster).accuseFalsely,
	"import-replayed":   (*Cluster).replay,
	"false-complaint":   (*Cluster).complainFalsely,
}

func (c *Cluster) serverOf(region identity.RegionID) (raft.ServerID, raft.ServerAddress) {
	for _, m := range c.cfg.Members {
		if m.Region == region {
			return raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr)
		}
	}
	return "", ""
}

func (c *Cluster) put(region identity.RegionID, q *request, body io.Reader) (*reply, error) {
	q.From, q.Header = invented, c.transport.header()
	id, addr := c.serverOf(region)
	p, _, err := c.transport.call(id, addr, q, c.transport.timeout, body)
	return p, err
}

func (c *Cluster) nudgeFalsely(name string, to identity.RegionID, twice bool) error {
	m := c.lies()
	m.mu.Lock()
	at, ok := m.shown[to]
	m.mu.Unlock()
	if !ok || at.Term != c.book.record().Term {
		return nil
	}
	cert := c.falseCertificate(at, twice)
	id, addr := c.serverOf(to)
	q := &request{Kind: kindNudge, From: invented, Header: c.transport.header(), Nudge: &nudge{at.Term, at.Index}, Items: []item{{itemCertificate, cert.Encode()}}}
	liar.Did(name)
	return c.transport.tell(c.ctx, id, addr, q, c.transport.timeout)
}

// rewrite replaces an entry that the victim has by another of the same term.
func (c *Cluster) rewrite(told liar.Lie) error {
	term, leads := c.leads()
	last := c.lastStored()
	var e raft.Log
	if !leads || c.chain.LogStore.GetLog(last, &e) != nil || e.Type != raft.LogCommand || e.Term != term {
		return nil
	}
	prev, _ := c.chain.at(last - 1)
	entry, err := openEntry(c.cfg.EntrySealer, c.cfg.Lineage, e.Data)
	if err != nil {
		return err
	}
	entry.Stamp = entry.Stamp.Add(time.Millisecond)
	data, _ := c.cfg.EntrySealer.Seal(entry.Encode(), entryContext(c.cfg.Lineage))
	r := c.signed(&e, prev.chain, data)
	a := &raft.AppendEntriesRequest{RPCHeader: c.transport.header(), Term: term, PrevLogEntry: prev.index, PrevLogTerm: prev.term, Entries: []*raft.Log{r}}
	liar.Did(told.Name)
	p, err := c.put(told.Victim, &request{Kind: kindAppend, Append: a}, nil)
	if err == nil && p.Yes {
		liar.Did(told.Name + ": stored")
	}
	return err
}

// handOver makes the region leader that was shown one of two rivals.
func (c *Cluster) handOver(told liar.Lie) error {
	in := c.instance()
	if liar.Done(told.Name) == 0 || in.raft.State() != raft.Leader {
		return nil
	}
	id, addr := c.serverOf(told.Victim)
	_, err := in.ask(func(r *raft.Raft) raft.Future { return r.LeadershipTransferToServer(id, addr) })
	return err
}

func (c *Cluster) dismiss(told liar.Lie) error {
	in := c.instance()
	if in.raft.State() != raft.Leader {
		return nil
	}
	id, _ := c.serverOf(told.Victim)
	liar.Did(told.Name)
	in.raft.RemoveServer(id, 0, time.Second)
	return nil
}

func (c *Cluster) admitGhost(told liar.Lie) error {
	in := c.instance()
	if in.raft.State() != raft.Leader {
		return nil
	}
	liar.Did(told.Name)
	in.raft.AddNonvoter("ghost-00000001", "ghost.test:1", 0, time.Second)
	return nil
}

// inflate asks for votes in a term that nothing justifies.
func (c *Cluster) inflate(told liar.Lie) error {
	rec, last := c.book.record(), c.book.own.Last()
	if rec.Proof == nil {
		return nil
	}
	t, err := chain.SignTransfer(c.book.signer, chain.Transfer{Lineage: c.cfg.Lineage, Term: rec.Term, To: c.book.self})
	if err != nil {
		return err
	}
	term, why := rec.Term+1, &chain.Justification{Handover: &chain.Handover{Transfer: t, Proof: *rec.Proof}}
	for _, r := range c.others(0) {
		v := &raft.RequestVoteRequest{RPCHeader: c.transport.header(), Term: term, LastLogIndex: last.Index, LastLogTerm: last.Term, LeadershipTransfer: true}
		q := &request{Kind: kindVote, Vote: v, Items: []item{candidacyItem(last, last.Hash), {itemJustification, why.Encode()}}}
		liar.Did(told.Name)
		if _, err := c.put(r, q, nil); err != nil {
			c.log.Debug("lie", slog.String("error", err.Error()))
		}
	}
	return nil
}

// usurp leads a term by a forged proof.
func (c *Cluster) usurp(told liar.Lie) error {
	term := c.book.record().Term + 1
	p := c.falseProof(term)
	for _, r := range c.others(0) {
		q := &request{Kind: kindAppend, Append: &raft.AppendEntriesRequest{RPCHeader: c.transport.header(), Term: term}, Items: []item{{itemProof, p.Encode()}}}
		liar.Did(told.Name)
		if got, err := c.put(r, q, nil); err == nil && got.Yes {
			liar.Did(told.Name + ": followed")
		}
	}
	return nil
}

// forgeTransfer has the victim stand for election in another leader's name.
func (c *Cluster) forgeTransfer(told liar.Lie) error {
	rec := c.book.record()
	if rec.Proof == nil {
		return nil
	}
	t, err := chain.SignTransfer(c.book.signer, chain.Transfer{Lineage: c.cfg.Lineage, Term: rec.Term, To: told.Victim})
	if err != nil {
		return err
	}
	h := &chain.Justification{Handover: &chain.Handover{Transfer: t, Proof: *rec.Proof}}
	liar.Did(told.Name)
	_, err = c.put(told.Victim, &request{Kind: kindTimeout, Items: []item{{itemJustification, h.Encode()}}}, nil)
	return err
}

// accuseFalsely shows an ack of the victim's beside one that was altered.
func (c *Cluster) accuseFalsely(told liar.Lie) error {
	c.book.mu.Lock()
	var a chain.Ack
	if h := c.book.heard[told.Victim]; h != nil {
		a = h.last
	}
	c.book.mu.Unlock()
	if a.Region == 0 {
		return nil
	}
	b := a
	b.Hash[0] ^= 1
	e, err := chain.Accuse(c.book.signer, chain.Evidence{Kind: chain.RivalAckPair, Cluster: c.cfg.Cluster, Lineage: c.cfg.Lineage, Accused: told.Victim,
		Noticed: c.cfg.Now(), First: a.Encode(), Second: b.Encode(), Sessions: c.book.roster.of([]identity.Fingerprint{a.Session, c.cfg.Session.Cert.Session.Fingerprint()})})
	if err != nil {
		return err
	}
	for _, r := range c.others(told.Victim) {
		id, addr := c.serverOf(r)
		liar.Did(told.Name)
		if err := c.transport.tell(c.ctx, id, addr, &request{Kind: kindEvidence, From: invented, Header: c.transport.header(), Items: []item{{itemEvidence, e.Encode()}}}, c.transport.timeout); err != nil {
			return err
		}
	}
	return nil
}

// complainFalsely has the leader deposed: it complains all the time, and shows the others
// what nobody signed, what is decided, and what there is no end of.
func (c *Cluster) complainFalsely(told liar.Lie) error {
	term, leader, heard := c.followed()
	if !heard || leader == c.book.self {
		return nil
	}
	for _, cmd := range c.junk() {
		c.tellOthers(&show{term, true}, cmd, leader)
	}
	liar.Did(told.Name)
	return nil
}

// junk are commands by nobody, and one that was decided: the newest the log has.
func (c *Cluster) junk() (out []*command.Command) {
	for range 20 {
		var id command.ID
		_, _ = rand.Read(id[:])
		cmd, err := command.New(&command.FreezeVault{Reason: "so says the liar"}, c.cfg.Session.Public().Fingerprint(), id, c.cfg.Now().Add(time.Minute), rand.Reader)
		if err == nil && cmd.Sign(c.ctx, c.cfg.Cluster, c.cfg.Session) == nil {
			out = append(out, cmd)
		}
	}
	for i := c.lastStored(); i > 0 && i+20 > c.lastStored(); i-- {
		var l raft.Log
		if c.chain.LogStore.GetLog(i, &l) != nil || l.Type != raft.LogCommand {
			continue
		}
		if e, err := openEntry(c.cfg.EntrySealer, c.cfg.Lineage, l.Data); err == nil {
			return append(out, e.Commands...)
		}
	}
	return out
}

// replay proposes a command once more that was carried out long ago.
func (c *Cluster) replay(told liar.Lie) error {
	m := c.lies()
	m.mu.Lock()
	cmd := m.command
	m.mu.Unlock()
	if cmd == nil {
		return nil
	}
	liar.Did(told.Name)
	_, err := c.proposeEntry(c.ctx, []*command.Command{cmd})
	return err
}
