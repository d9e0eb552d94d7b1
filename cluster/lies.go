//go:build liar

package cluster

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// How a region lies: it is a whole node with its own key, session and log, and changes
// what leaves it. What each lie is for stands in docs/design/liar.md.

// lies is what a liar remembers of its lies.
type lies struct {
	mu    sync.Mutex
	forks map[identity.RegionID]*fork
	shown map[identity.RegionID]chain.Link // the last entry sent to each
	old   *chain.Ack                       // an ack to replay
}

// memories are kept beside the clusters, so that ordinary builds have no field for them.
var memories sync.Map // *Cluster -> *lies

func (c *Cluster) lies() *lies {
	if m, ok := memories.Load(c); ok {
		return m.(*lies)
	}
	return &lies{forks: map[identity.RegionID]*fork{}, shown: map[identity.RegionID]chain.Link{}} // it ends
}

type falseOutcome struct {
	fsm.Outcome
	err error
}

func (c *Cluster) tells(name string) bool {
	_, is := liar.Tells(c.book.self, name)
	return is
}

// lie takes the place of what sends and answers.
func (c *Cluster) lie() {
	memories.Store(c, &lies{forks: map[identity.RegionID]*fork{}, shown: map[identity.RegionID]chain.Link{}})
	context.AfterFunc(c.ctx, func() { memories.Delete(c) })
	lie := c.lieTo
	c.transport.lie.Store(&lie)
	back := c.lieBack
	c.server.lie.Store(&back)
	c.wg.Go(c.misbehave)
}

// clings keeps a leadership that brings no certificates.
func (c *Cluster) clings() bool { return c.tells("mute-leader") }

// falseOutcome answers a command without proposing it.
func (c *Cluster) falseOutcome(cmd *command.Command) (o falseOutcome, is bool) {
	switch {
	case c.tells("freeze-unproposed") && (cmd.Type == command.TypeFreezeKey || cmd.Type == command.TypeFreezeVault):
		liar.Did("freeze-unproposed")
		return falseOutcome{fsm.Outcome{Code: errs.OK, Index: c.Applied()}, nil}, true
	case c.tells("path-unproposed") && cmd.Type == command.TypeFreezePath:
		liar.Did("path-unproposed")
		return falseOutcome{fsm.Outcome{Code: errs.OK, Index: c.Applied()}, nil}, true
	case c.tells("ignored-requests") && cmd.Type == command.TypeRequestSignature:
		liar.Did("ignored-requests")
		return falseOutcome{err: errs.New(errs.Throttled, "not now")}, true
	case c.tells("ceremony-starved") && c.ofVictim(cmd):
		liar.Did("ceremony-starved")
		return falseOutcome{err: errs.New(errs.Unavailable, "not now")}, true
	case c.tells("completion-hidden") && cmd.Type == command.TypeComplete:
		liar.Did("completion-hidden")
		return falseOutcome{err: errs.New(errs.Unavailable, "not now")}, true
	}
	return o, false
}

// ofVictim reports whether a command is the victim's part in a ceremony.
func (c *Cluster) ofVictim(cmd *command.Command) bool {
	switch cmd.Type {
	case command.TypeHashDealing, command.TypeDeal, command.TypeDealShares, command.TypeFinishShare:
	default:
		return false
	}
	return slices.ContainsFunc(c.Shown(liar.Told(c.book.self).Victim), func(cert *identity.SessionCert) bool {
		return cert.Session.Fingerprint() == cmd.Principal
	})
}

// falseEntry changes what this leader proposes.
func (c *Cluster) falseEntry(e *command.Entry) *command.Entry {
	told := liar.Told(c.book.self)
	move := map[string]time.Duration{"stamp-forward": time.Hour, "stamp-backward": -time.Hour, "stamp-idle-forward": 48 * time.Hour, "stamp-idle-backward": -48 * time.Hour,
		"window-early": 5 * time.Minute}
	if by, ok := move[told.Name]; ok {
		liar.Did(told.Name)
		return &command.Entry{Stamp: c.cfg.Now().Add(by).UTC().Truncate(time.Millisecond), Commands: e.Commands}
	}
	if told.Name != "other-payload" {
		return e
	}
	out := &command.Entry{Stamp: e.Stamp}
	for _, cmd := range e.Commands {
		if b, err := cmd.Body(); err == nil && cmd.Type == command.TypeRequestSignature {
			r := b.(*command.RequestSignature)
			r.Payload = append([]byte("to the liar: "), r.Payload...)
			if swapped, err := command.New(r, cmd.Principal, cmd.ID, cmd.Expiry, rand.Reader); err == nil {
				swapped.Signatures = cmd.Signatures
				cmd = swapped
				liar.Did(told.Name)
			}
		}
		out.Commands = append(out.Commands, cmd)
	}
	return out
}

// falseBytes changes an entry after it was sealed.
func (c *Cluster) falseBytes(sealed []byte) []byte {
	switch {
	case c.tells("poison-bytes"):
		liar.Did("poison-bytes")
		out := make([]byte, len(sealed))
		_, _ = rand.Read(out)
		return out
	case c.tells("poison-body"):
		liar.Did("poison-body")
		out, _ := c.cfg.EntrySealer.Seal([]byte("no entry"), entryContext(c.cfg.Lineage))
		return out
	}
	return sealed
}

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

// lieBack changes an answer.
func (c *Cluster) lieBack(_ context.Context, _ remote, q *request, p *reply) {
	told := liar.Told(c.book.self)
	if q.Kind != kindAppend {
		return
	}
	switch told.Name {
	case "term-answer":
		p.Term, p.Yes = q.Append.Term+1, false
		p.Items = []item{{itemJustification, c.falseTerm(p.Term).Encode()}}
		liar.Did(told.Name)
		return
	case "keep-session":
		c.keepSession()
		liar.Did(told.Name)
		return
	case "ack-forged", "ack-another", "ack-lineage", "ack-replayed", "ack-earlier-boot", "ack-index", "rival-acks":
	default:
		return
	}
	acks, err := decodeAcks(find(p.Items, itemAcks))
	if err != nil || len(acks) == 0 || told.Name == "ack-earlier-boot" && c.earlier() == nil {
		return
	}
	for i := range acks {
		acks[i] = c.falseAck(told, acks[i])
	}
	for i := range p.Items {
		if p.Items[i].Kind == itemAcks {
			p.Items[i] = acksItem(acks)
		}
	}
	liar.Did(told.Name)
}

func (c *Cluster) falseAck(told liar.Lie, a chain.Ack) chain.Ack {
	switch told.Name {
	case "ack-forged":
		a.Sig[5] ^= 1
	case "ack-another": // in the victim's name
		a.Signature = c.forgedBy(told.Victim)
	case "ack-lineage":
		t := a.Tuple
		t.Lineage[0] ^= 1
		a, _ = chain.SignAck(c.book.signer, t, a.At)
	case "ack-index":
		t := a.Tuple
		t.Index++
		a, _ = chain.SignAck(c.book.signer, t, a.At)
	case "rival-acks":
		t := a.Tuple
		t.Hash[0] ^= 1
		a, _ = chain.SignAck(c.book.signer, t, a.At)
	case "ack-replayed":
		m := c.lies()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.old == nil {
			m.old = &a
		}
		a = *m.old
	case "ack-earlier-boot":
		if old := c.earlier(); old != nil {
			a, _ = chain.SignAck(old, a.Tuple, a.At)
		}
	}
	return a
}

// boots are the sessions that earlier boots of a region left to a liar.
var boots sync.Map // identity.RegionID -> []*identity.Session

func (c *Cluster) earlier() *chain.Signer {
	var old identity.Signer
	if v, ok := boots.Load(c.book.self); ok {
		old = v.(*identity.Session)
	} else if key, err := x509.ParsePKCS8PrivateKey(liar.Kept(c.sessionName())); err == nil {
		old, _ = identity.NewKeySigner(key.(crypto.Signer))
	}
	if old == nil || old.Public().Equal(c.cfg.Session.Public()) {
		return nil
	}
	s, _ := chain.NewSigner(c.book.self, old)
	return s
}

func (c *Cluster) sessionName() string { return fmt.Sprintf("session-of-%d", c.book.self) }

// keepSession has a process leave its session's key to the next one.
func (c *Cluster) keepSession() {
	if key, err := x509.MarshalPKCS8PrivateKey(c.cfg.Session.Private()); err == nil {
		liar.Keep(c.sessionName(), key)
	}
}

// KeepSession has a liar keep its session's key beyond its boot.
func (c *Cluster) KeepSession() { boots.Store(c.book.self, c.cfg.Session) }

// Shown returns the session certificates a region showed here, registered or not.
func (c *Cluster) Shown(region identity.RegionID) (out []*identity.SessionCert) {
	for _, cert := range c.book.roster.all() {
		if cert.Region == region {
			out = append(out, cert)
		}
	}
	return out
}

// forgedBy is a signature in another region's name, by its real session.
func (c *Cluster) forgedBy(region identity.RegionID) (s chain.Signature) {
	for _, cert := range c.book.roster.current() {
		if cert.Region == region {
			s.Region, s.Session = region, cert.Session.Fingerprint()
		}
	}
	_, _ = rand.Read(s.Sig[:])
	return s
}

// others are the regions besides this one, ascending, without one.
func (c *Cluster) others(without identity.RegionID) (out []identity.RegionID) {
	for r := identity.RegionID(1); r <= 4; r++ {
		if r != c.book.self && r != without {
			out = append(out, r)
		}
	}
	return out
}

// falseTerm justifies a term by pre-votes of which two are forged.
func (c *Cluster) falseTerm(term uint64) *chain.Justification {
	j := &chain.Justification{}
	for r := identity.RegionID(1); r <= 4 && len(j.PreVotes) < 3; r++ {
		p := chain.PreVote{Lineage: c.cfg.Lineage, Term: term, Candidate: c.book.self, Cause: chain.Silence, At: c.cfg.Now().UTC().Truncate(time.Millisecond)}
		if r == c.book.self {
			p, _ = chain.SignPreVote(c.book.signer, p)
		} else {
			p.Signature = c.forgedBy(r)
		}
		j.PreVotes = append(j.PreVotes, p)
	}
	return j
}

// falseProof makes this region the leader of a term by votes nobody gave.
func (c *Cluster) falseProof(term uint64) *chain.LeaderProof {
	base := c.book.own.Last()
	p := &chain.LeaderProof{Lineage: c.cfg.Lineage, Term: term, Leader: c.book.self, Base: base}
	have := append([]identity.RegionID{c.book.self}, c.others(0)[:2]...)
	for r := identity.RegionID(1); r <= 4; r++ {
		switch {
		case r == have[0]:
			v, _ := chain.SignVote(c.book.signer, chain.Vote{Lineage: c.cfg.Lineage, Term: term, Candidate: r, Last: base, Granted: true})
			p.Ballots = append(p.Ballots, chain.Ballot{Last: base, Signature: v.Signature})
		case r == have[1] || r == have[2]:
			p.Ballots = append(p.Ballots, chain.Ballot{Last: base, Signature: c.forgedBy(r)})
		}
	}
	return p
}

// falseCertificate certifies a place by one true ack and two forged ones.
func (c *Cluster) falseCertificate(at chain.Link, twice bool) *chain.Certificate {
	t := c.book.tuple(at)
	cert := &chain.Certificate{Tuple: t}
	now := c.cfg.Now().UTC().Truncate(time.Millisecond)
	mine, _ := chain.SignAck(c.book.signer, t, now)
	for r := identity.RegionID(1); r <= 4 && len(cert.Witnesses) < 3; r++ {
		switch {
		case twice:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: mine.At, Signature: mine.Signature})
		case r == c.book.self:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: mine.At, Signature: mine.Signature})
		default:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: now, Signature: c.forgedBy(r)})
		}
	}
	return cert
}

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

// sealedState is the present state with some of it changed, sealed as a snapshot at a
// place, and its digest.
func (c *Cluster) sealedState(state io.WriterTo, h *envelopeHeader) ([]byte, [32]byte, error) {
	var plain, out bytes.Buffer
	if _, err := state.WriteTo(&plain); err != nil {
		return nil, [32]byte{}, err
	}
	forged := bytes.ReplaceAll(plain.Bytes(), []byte("desk"), []byte("dusk"))
	if end := len(forged) - sha256.Size; end > 5 { // the state's own checksum stands at its end, after a tag and a length
		sum := sha256.Sum256(forged[:end-5])
		copy(forged[end:], sum[:])
	}
	w, err := newEnvelopeWriter(&out, h, c.cfg.SnapshotSealer)
	if err != nil {
		return nil, [32]byte{}, err
	}
	if _, err := w.Write(forged); err != nil {
		return nil, [32]byte{}, err
	}
	err = w.Close()
	return out.Bytes(), DataDigest(forged), err
}

func (c *Cluster) sendSnapshot(told liar.Lie, p *chain.SnapshotProof, conf raft.Configuration, sealed []byte) error {
	term, leads := c.leads()
	if !leads {
		return nil
	}
	o, err := chain.SignOffer(c.book.signer, p.Tuple, p.Encode())
	if err != nil {
		return err
	}
	s := &raft.InstallSnapshotRequest{RPCHeader: c.transport.header(), SnapshotVersion: 1, Term: term, Leader: []byte(c.transport.self.Address),
		LastLogIndex: p.Index, LastLogTerm: p.Term, Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: p.ConfigIndex, Size: int64(len(sealed))}
	v := &voucher{Proof: p, Leader: c.leaders(p.Term)}
	for i := range p.Signatures {
		v.Sessions = append(v.Sessions, c.book.roster.of([]identity.Fingerprint{p.Signatures[i].Session})...)
	}
	q := &request{Kind: kindSnapshot, Snapshot: s, Items: []item{offerItem(&o, v)}}
	liar.Did(told.Name)
	_, err = c.put(told.Victim, q, bytes.NewReader(sealed))
	return err
}

// forgeSnapshot sends a changed state that two forged signatures vouch for.
func (c *Cluster) forgeSnapshot(told liar.Lie) error {
	before := c.replica.at()
	state, err := c.cfg.Machine.Snapshot()
	if err != nil || c.replica.at() != before {
		return err
	}
	conf, index := c.committedConfiguration()
	sealed, digest, err := c.sealedState(state, &envelopeHeader{Lineage: c.cfg.Lineage, Link: before, Config: raft.EncodeConfiguration(conf), ConfigIndex: index})
	if err != nil {
		return err
	}
	a := chain.Attestation{Tuple: c.book.tuple(before.place()), State: digest, ConfigIndex: index, Members: c.attestedMembers(conf)}
	mine, err := chain.Attest(c.book.signer, &a)
	if err != nil {
		return err
	}
	sigs := []chain.Signature{mine}
	for _, r := range c.others(told.Victim) {
		sigs = append(sigs, c.forgedBy(r))
	}
	p, err := chain.Attested(a, sigs)
	if err != nil {
		return err
	}
	return c.sendSnapshot(told, p, conf, sealed)
}

func (c *Cluster) committedConfiguration() (raft.Configuration, uint64) {
	c.replica.mu.Lock()
	defer c.replica.mu.Unlock()
	return c.replica.members.Clone(), c.replica.config
}

// swapSnapshot sends another state than the one three regions vouched for.
func (c *Cluster) swapSnapshot(told liar.Lie) error {
	k := c.marks.newest(0)
	if k == nil {
		return nil
	}
	p, err := c.attested(k)
	if err != nil {
		return err
	}
	sealed, _, err := c.sealedState(k.state, &envelopeHeader{Lineage: c.cfg.Lineage, Link: k.at, Config: raft.EncodeConfiguration(k.config), ConfigIndex: k.configIndex})
	if err != nil {
		return err
	}
	return c.sendSnapshot(told, p, k.config, sealed)
}

// askFalseAttestation asks another region to vouch for a state it does not have.
func (c *Cluster) askFalseAttestation(told liar.Lie) error {
	k := c.marks.newest(0)
	if k == nil {
		return nil
	}
	a, err := c.attestation(k)
	if err != nil {
		return err
	}
	a.State[0] ^= 1
	mine, err := chain.Attest(c.book.signer, a)
	if err != nil {
		return err
	}
	ask := (&chain.SnapshotProof{Attestation: *a, Signatures: []chain.Signature{mine}}).Encode()
	liar.Did(told.Name)
	p, err := c.put(told.Victim, &request{Kind: kindAttest, Items: []item{{itemAttestation, ask}}}, nil)
	if err != nil {
		return err
	}
	if s, err := chain.DecodeSignature(find(p.Items, itemAttestation)); err == nil && chain.VerifyAttester(c.book.roster, a, s) == nil {
		liar.Did(told.Name + ": signed")
	}
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
