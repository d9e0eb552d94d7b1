package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sort"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

const (
	evidenceDir    = "evidence"
	maxEvidence    = 256 // files that convict; what comes later says nothing new
	maxAccusations = 32  // files of one accuser that convict nobody: anybody can make them of anything
)

// evidenceStore keeps accusations as files. Each stands for itself: vaultctl judges it
// offline with the genesis alone.
type evidenceStore struct {
	fs      durable.FS
	court   func() chain.Court
	convict func(*chain.Finding)
	log     *slog.Logger

	mu    sync.Mutex
	names map[string]*filed
}

// filed is evidence, and whether it convicts.
type filed struct {
	*chain.Evidence
	convicts bool
}

// evidenceName is one for each wrong, whoever noticed it how often.
func evidenceName(e *chain.Evidence, f *chain.Finding) string {
	h := sha256.Sum256(append(append([]byte{}, e.First...), e.Second...))
	return fmt.Sprintf("region%d-kind%d-term%d-index%d-%s", e.Accused, e.Kind, f.Term, f.Index, hex.EncodeToString(h[:4]))
}

// load reads what earlier boots kept, and holds on to their convictions.
func (s *evidenceStore) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = map[string]*filed{}
	names, err := s.fs.List(evidenceDir)
	if err != nil {
		return err
	}
	for _, n := range names {
		b, err := s.fs.ReadFile(evidenceDir + "/" + n)
		if err != nil {
			return err
		}
		e, err := chain.DecodeEvidence(b)
		if err != nil {
			s.log.Error("evidence is damaged", slog.String("file", n), slog.String("error", err.Error()))
			continue
		}
		f, err := chain.Convict(s.court(), e)
		s.names[n] = &filed{e, err == nil && f.Convicts}
		if s.names[n].convicts {
			s.convict(f)
		}
	}
	return nil
}

// keep stores evidence that was judged; false: it was known, or there is too much.
func (s *evidenceStore) keep(e *chain.Evidence, f *chain.Finding) bool {
	name := evidenceName(e, f)
	s.mu.Lock()
	_, known := s.names[name]
	full := s.full(e, f)
	if !known && !full {
		s.names[name] = &filed{e, f.Convicts}
	}
	s.mu.Unlock()
	if known || full {
		return false
	}
	if err := s.fs.WriteFile(evidenceDir+"/"+name, e.Encode()); err != nil {
		s.log.Error("evidence not written", slog.String("file", name), slog.String("error", err.Error()))
	}
	return true
}

// full reports whether there is no room for more of this kind: what convicts and what does
// not, and what different regions say, take no room from each other. The caller holds mu.
func (s *evidenceStore) full(e *chain.Evidence, f *chain.Finding) bool {
	n := 0
	for _, old := range s.names {
		if old.convicts == f.Convicts && (f.Convicts || old.Accuser.Region == e.Accuser.Region) {
			n++
		}
	}
	if f.Convicts {
		return n >= maxEvidence
	}
	return n >= maxAccusations
}

// Evidence returns what this region holds against others, newest first.
func (c *Cluster) Evidence() []*chain.Evidence {
	s := c.evidence
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*chain.Evidence, 0, len(s.names))
	for _, e := range s.names {
		out = append(out, e.Evidence)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Noticed.After(out[j].Noticed) })
	return out
}

func (c *Cluster) court() chain.Court {
	return chain.Court{Cluster: c.cfg.Cluster, Lineage: c.cfg.Lineage, Pins: c.cfg.ever, Present: c.cfg.Pins, Regions: c.book.roster.Regions()}
}

// accuse makes a file of evidence, acts on it and passes it on. What does not hold in
// court is only logged.
func (c *Cluster) accuse(kind chain.Kind, accused identity.RegionID, first, second []byte, sessions ...identity.Fingerprint) {
	sessions = append(sessions, c.cfg.Session.Cert.Session.Fingerprint())
	e, err := chain.Accuse(c.book.signer, chain.Evidence{Kind: kind, Cluster: c.cfg.Cluster, Lineage: c.cfg.Lineage, Accused: accused,
		Noticed: c.cfg.Now(), First: first, Second: second, Sessions: c.book.roster.of(sessions)})
	var f *chain.Finding
	if err == nil {
		f, err = chain.Convict(c.court(), e)
	}
	if err != nil {
		c.log.Debug("an accusation does not stand", slog.Int("region", int(accused)), slog.String("error", err.Error()))
		return
	}
	if c.act(e, f) {
		c.passOn(e)
	}
}

// act keeps evidence and draws its consequences: only what the accused itself signed
// counts against it.
func (c *Cluster) act(e *chain.Evidence, f *chain.Finding) (news bool) {
	if news = c.evidence.keep(e, f); news {
		c.log.Error("evidence", slog.Int("region", int(f.Accused)), slog.String("kind", f.Kind.String()), slog.Bool("convicts", f.Convicts),
			slog.Uint64("term", f.Term), slog.Uint64("index", f.Index), slog.String("text", f.Text))
	}
	if f.Convicts && f.Accused != c.book.self {
		c.book.convict(f)
	}
	return news
}

// passOn sends evidence to all others, so that all fence a liar: who alone does not hear
// it cannot elect another.
func (c *Cluster) passOn(e *chain.Evidence) {
	raw := e.Encode()
	if len(raw) > maxItemEvidence {
		return
	}
	for _, m := range c.Members() {
		if m.Region == c.book.self || m.Region == e.Accused {
			continue
		}
		c.wg.Go(func() {
			q := &request{Kind: kindEvidence, Header: c.transport.header(), Items: []item{{itemEvidence, raw}}}
			if err := c.transport.tell(c.ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, c.transport.timeout); err != nil {
				c.note(slog.LevelWarn, m.Region, "evidence not passed on", slog.String("error", err.Error()))
			}
		})
	}
}

// serveEvidence judges what another region noticed, by the accused's signatures and,
// where they do not say it all, by the own eyes.
func (c *Cluster) serveEvidence(_ context.Context, from remote, q *request) {
	e, err := chain.DecodeEvidence(find(q.Items, itemEvidence))
	if err == nil && e.Accuser.Region != from.region {
		err = errs.New(errs.Unverified, "evidence of region %d comes from region %d", e.Accuser.Region, from.region)
	}
	var f *chain.Finding
	if err == nil {
		f, err = chain.Convict(c.court(), e)
	}
	if err != nil && !liar.Defends(liar.Accusations) && e != nil {
		f, err = &chain.Finding{Accused: e.Accused, Kind: e.Kind, Convicts: true}, nil
	}
	if err != nil {
		c.note(slog.LevelWarn, from.region, "evidence does not stand", slog.String("error", err.Error()))
		return
	}
	c.act(e, f)
	if e.Kind == chain.RefusedEntry && !f.Convicts && !f.Replaced && c.refusesToo(e) {
		c.book.fence(e.Accused, f.Term)
	}
}

// refusesToo looks at a refused entry itself. Stamps and memberships are judged when the
// entry comes: a clock that was repaired meanwhile, or a state that lags, must not shut
// out an honest leader for the rest of its term.
func (c *Cluster) refusesToo(e *chain.Evidence) bool {
	x, err := chain.DecodeRefused(e.First)
	if err != nil || len(x.Data) == 0 {
		return false
	}
	l := &raft.Log{Index: x.Header.Index, Term: x.Header.Term, Type: raft.LogType(x.Header.Type), Data: x.Data}
	if checkKind(l) != nil {
		return true
	}
	if l.Type != raft.LogCommand {
		return false
	}
	_, err = openEntry(c.cfg.EntrySealer, c.cfg.Lineage, x.Data)
	return err != nil
}

// accuseEntry keeps an entry that was refused, if its leader signed it: it is not heard
// again in its term.
func (c *Cluster) accuseEntry(from remote, a *raft.AppendEntriesRequest, v *arrival, i int, why error) {
	e, l := v.chained[i], a.Entries[i]
	prev, ok := c.chain.at(l.Index - 1)
	if e.Prev = prev.chain; i > 0 {
		e.Prev, ok = v.entries[i-1].chain, true
	}
	if !ok || e.Sig.Region != from.region || e.Hash() != v.entries[i].chain {
		return
	}
	sig := chain.EntrySignature{Tuple: c.book.tuple(e.Link()), Signature: e.Sig}
	if sig.Verify(c.book.roster) != nil {
		return
	}
	x := &chain.Refused{Header: e.Header, Sig: e.Sig, Code: errs.CodeOf(why), Data: l.Data}
	if c.hard(errs.CodeOf(why)) {
		c.book.fence(from.region, a.Term)
	}
	c.accuse(chain.RefusedEntry, from.region, x.Encode(), nil, e.Sig.Session)
}

// hard tells refusals that no honest leader can meet from those that clocks, or an own
// state that lags, may cause.
func (c *Cluster) hard(code errs.Code) bool {
	return code != errs.Skewed && code != errs.Denied && code != errs.BadState
}

// accuseRival shows two entries of one leader for one place: the own, and one just sent.
func (c *Cluster) accuseRival(v *arrival, index uint64) {
	own, ok := c.entrySignature(index)
	if !ok {
		return
	}
	for i := range v.chained {
		if e := &v.chained[i]; e.Index == index {
			theirs := chain.EntrySignature{Tuple: c.book.tuple(e.Link()), Signature: e.Sig}
			c.accuseEntries(own, &theirs)
		}
	}
}

func (c *Cluster) accuseEntries(a, b *chain.EntrySignature) {
	c.accuse(chain.RivalEntries, a.Region, a.Encode(), b.Encode(), a.Session, b.Session)
}

// entrySignature reads its leader's signature on an own entry.
func (c *Cluster) entrySignature(index uint64) (*chain.EntrySignature, bool) {
	var l raft.Log
	if c.chain.LogStore.GetLog(index, &l) != nil {
		return nil, false
	}
	x, err := DecodeExtension(l.Extensions)
	if err != nil || x.Signature == nil {
		return nil, false
	}
	return &chain.EntrySignature{Tuple: c.book.tuple(chain.Link{Term: l.Term, Index: l.Index, Hash: x.Chain}), Signature: *x.Signature}, true
}

// accuseBases shows two bases that one leader reported for one term.
func (c *Cluster) accuseBases(a, b *chain.LeaderProof) {
	own := func(p *chain.LeaderProof) *chain.Vote {
		for i := range p.Ballots {
			if p.Ballots[i].Region == p.Leader {
				v := p.Vote(i)
				return &v
			}
		}
		return nil
	}
	if va, vb := own(a), own(b); va != nil && vb != nil {
		c.accuse(chain.RivalVotes, a.Leader, va.Encode(), vb.Encode(), va.Session, vb.Session)
	}
}

func (c *Cluster) accuseAcks(r *chain.RivalAcks) {
	c.accuse(chain.RivalAckPair, r.First.Region, r.First.Encode(), r.Second.Encode(), r.First.Session, r.Second.Session)
}

func (c *Cluster) accuseSnapshot(region identity.RegionID, o *chain.Offer, proof []byte) {
	sessions := []identity.Fingerprint{o.Session}
	if p, err := chain.DecodeSnapshotProof(proof); err == nil {
		for i := range p.Signatures {
			sessions = append(sessions, p.Signatures[i].Session)
		}
	}
	c.accuse(chain.UnprovenSnapshot, region, o.Encode(), proof, sessions...)
}

// doubt compares a pre-vote for want of a leader with the region's last ack to that
// leader: it cannot have been silent since.
func (c *Cluster) doubt(p *chain.PreVote) {
	c.book.mu.Lock()
	var last chain.Ack
	if h := c.book.heard[p.Region]; h != nil {
		last = h.last
	}
	c.book.mu.Unlock()
	silent := p.At.Sub(last.At)
	if p.Cause != chain.Silence || last.Session != p.Session || last.Term+1 != p.Term || silent < 0 || silent >= c.cfg.Timing.Heartbeat/4 {
		return
	}
	if led := c.leaders(last.Term); led == nil || led.Leader == p.Candidate {
		return // the leader itself asks for another term: it stepped down, and may be believed
	}
	c.accuse(chain.FalseTimeout, p.Region, p.Encode(), last.Encode(), p.Session)
}

// claims are the highest certificates that others said they know.
type claims struct {
	mu   sync.Mutex
	last map[identity.Fingerprint]chain.Claim
}

// claim signs which certificate is the highest here.
func (b *book) claim() (chain.Claim, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return chain.SignClaim(b.signer, b.tuple(b.floor), b.tick())
}

// claimed compares a region's claim with its earlier ones.
func (c *Cluster) claimed(from remote, items []item) {
	raw := find(items, itemClaim)
	if raw == nil {
		return
	}
	n, err := chain.DecodeClaim(raw)
	if err != nil || n.Region != from.region || n.Lineage != c.cfg.Lineage || n.Verify(c.book.roster) != nil {
		return
	}
	c.claims.mu.Lock()
	old, ok := c.claims.last[n.Session]
	if !ok || n.At.After(old.At) && n.Index >= old.Index {
		if len(c.claims.last) >= maxServers {
			clear(c.claims.last)
		}
		c.claims.last[n.Session] = *n
	}
	c.claims.mu.Unlock()
	if ok && old.At.Before(n.At) && old.Index > n.Index {
		c.accuse(chain.StaleCertificate, n.Region, old.Encode(), n.Encode(), n.Session)
	}
}
