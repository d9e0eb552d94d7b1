package cluster

import (
	"log/slog"
	"math"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// A leader that showed rivals to several regions and fell silent leaves logs between
// which no vote can choose. From the signed reports of the other three everybody computes
// the same branch; whoever is on another cuts, and the next election succeeds
// (chain.ResolveEquivocation).

// lost runs when a candidacy missed a vote. With the reports of all but one region at
// hand, rivals can be told from a log that is merely behind.
func (c *Cluster) lost(term uint64) {
	reports := c.book.ballots(term)
	if c.try(reports) {
		c.pushReports(reports)
	}
}

// try looks for rivals in reports, with each region in turn as the one that may lie. It is
// false if nothing is new about them: a liar's reports, which come first, must not stand
// in the way of those that settle it.
func (c *Cluster) try(reports []chain.Vote) (news bool) {
	if len(reports) == 0 || reports[0].Term != c.book.record().Term {
		return false
	}
	reports = c.holding(reports)
	for liar := range c.cfg.regions() {
		others := slices.DeleteFunc(slices.Clone(reports), func(v chain.Vote) bool { return v.Region == liar })
		if liar == c.book.self || len(others) < c.book.roster.Regions()-1 || !c.book.tryOnce(others[0].Term, liar, true) {
			continue
		}
		news = true
		c.wg.Go(func() { c.settle(liar, others) })
	}
	return news
}

// attempts are the regions without whose reports rivals were looked for in a term.
type attempts struct {
	term uint64
	left map[identity.RegionID]bool
}

// tryOnce is true once for each term and region, until it is taken back.
func (b *book) tryOnce(term uint64, liar identity.RegionID, try bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tried.term < term {
		b.tried = attempts{term, map[identity.RegionID]bool{}}
	}
	if b.tried.term != term || b.tried.left[liar] == try {
		return false
	}
	b.tried.left[liar] = try
	return true
}

// pushReports shows all the reports of a lost election to all: the one that must cut may
// have the shorter log and never stand.
func (c *Cluster) pushReports(reports []chain.Vote) {
	var sessions []identity.Fingerprint
	for i := range reports {
		sessions = append(sessions, reports[i].Session)
	}
	for _, m := range c.Members() {
		if m.Region == c.book.self {
			continue
		}
		c.wg.Go(func() {
			q := &request{Kind: kindReports, Header: c.transport.header(), Items: []item{reportsItem(reports)}, sessions: sessions}
			if err := c.transport.tell(c.ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, c.transport.timeout); err != nil {
				c.log.Debug("reports not pushed", slog.Int("region", int(m.Region)), slog.String("error", err.Error()))
			}
		})
	}
}

func reportsItem(reports []chain.Vote) item {
	w := wire.NewWriter(256 * len(reports))
	w.U8(uint8(len(reports)))
	for i := range reports {
		w.Blob(reports[i].Encode())
	}
	return item{itemReports, w.Bytes()}
}

func decodeReports(b []byte) (reports []chain.Vote, err error) {
	r := wire.NewReader(b)
	n := int(r.U8())
	if n > maxReports {
		r.Fail("%d reports, limit %d", n, maxReports)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		v, err := chain.DecodeVote(r.Blob(512))
		if err != nil {
			return nil, err
		}
		reports = append(reports, *v)
	}
	return reports, r.Done()
}

func (c *Cluster) serveReports(from remote, q *request) {
	reports, err := decodeReports(find(q.Items, itemReports))
	if err == nil {
		c.try(reports)
	}
}

// settle looks whether the reports of one term conflict, who signed the rivals, and cuts
// the own log if the rule says so.
func (c *Cluster) settle(liar identity.RegionID, others []chain.Vote) {
	if !c.conflicting(others) {
		return
	}
	branches, err := c.branches(others)
	if err != nil {
		c.note(slog.LevelWarn, liar, "rivals not settled", slog.String("error", err.Error()))
		c.book.tryOnce(others[0].Term, liar, false)
		return
	}
	guilt, ok := c.guilty(liar, branches)
	if !ok {
		c.log.Debug("reports differ, and nobody is convicted of it", slog.Int("left out", int(liar)))
		return
	}
	select {
	case c.gate <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	defer c.leave()
	if c.book.record().Term != others[0].Term {
		return // overtaken: the next election tries again
	}
	plain := make([]chain.Branch, len(branches))
	for i := range branches {
		plain[i] = branches[i].Branch
	}
	to, cut, err := chain.ResolveEquivocation(c.book.roster, c.cfg.Lineage, guilt, c.book.self, c.book.own, plain)
	if err != nil || !cut {
		if err != nil {
			c.note(slog.LevelError, liar, "rivals not settled", slog.String("error", err.Error()))
		}
		return
	}
	if err := c.book.cutting(); err != nil {
		return
	}
	c.alarms.Add(1)
	c.note(slog.LevelError, liar, "rival entries are cut", slog.Uint64("after", to.Index))
	_ = c.cut(to.Index + 1) // says to send again: nobody sent
}

// holding returns the reports that hold, one of each region; none without the own.
func (c *Cluster) holding(reports []chain.Vote) (good []chain.Vote) {
	seen := map[identity.RegionID]bool{}
	for _, v := range reports {
		if !seen[v.Region] && v.Term == reports[0].Term && v.Lineage == c.cfg.Lineage && v.Verify(c.book.roster) == nil {
			seen[v.Region] = true
			good = append(good, v)
		}
	}
	if !seen[c.book.self] {
		return nil
	}
	return good
}

// conflicting reports whether two of the reports with the highest last term may be of
// logs that part: one of them this region cannot find in its own log, or own it is behind.
func (c *Cluster) conflicting(reports []chain.Vote) bool {
	if !liar.Defends(liar.Rivals) {
		return false
	}
	top := uint64(0)
	for _, v := range reports {
		top = max(top, v.Last.Term)
	}
	for _, v := range reports {
		if at, ok := c.book.own.At(v.Last.Index); v.Last.Term == top && (!ok || at != v.Last) {
			return true
		}
	}
	return false
}

// branch is a report with the headers that lead to it, and who signed them.
type branch struct {
	chain.Branch
	sigs   []chain.Signature // of the headers
	proofs []*chain.LeaderProof
}

func (c *Cluster) branches(reports []chain.Vote) (out []branch, err error) {
	for _, v := range reports {
		b := branch{Branch: chain.Branch{Report: v}}
		if v.Region == c.book.self {
			err = c.readHeaders(&b, v.Last.Index, maxPath, math.MaxInt)
		} else {
			err = c.fetchHeaders(&b, v)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// readHeaders reads the own log back from an index to before its term: at most so many, and
// not more once the entries read are as large as size.
func (c *Cluster) readHeaders(b *branch, to uint64, most, size int) error {
	term := uint64(0)
	for i := to; i > 0 && len(b.Path) < most && size > 0; i-- {
		var l raft.Log
		if err := c.chain.LogStore.GetLog(i, &l); err != nil {
			break // compacted: certified
		}
		prev, err := c.chain.mustAt(i - 1)
		if err != nil {
			break
		}
		size -= len(l.Data)
		x, err := DecodeExtension(l.Extensions)
		if err != nil {
			return err
		}
		if x.Signature == nil {
			x.Signature = &chain.Signature{}
		}
		b.Path = append(b.Path, chain.Header{Prev: prev.chain, Term: l.Term, Index: l.Index, Type: uint8(l.Type), Data: dataHash(&l)})
		b.sigs, b.proofs = append(b.sigs, *x.Signature), append(b.proofs, x.Proof)
		if term == 0 {
			term = l.Term
		}
		if l.Term < term {
			break
		}
	}
	slices.Reverse(b.Path)
	slices.Reverse(b.sigs)
	slices.Reverse(b.proofs)
	return nil
}

const (
	maxHeaders    = 512            // in one reply
	maxPath       = 8 * maxHeaders // that lead to one report
	maxHeaderRead = 8 << 20        // bytes of entries read for one reply: anybody may ask
)

// fetchHeaders asks for the headers that lead to a report, page by page, back to before
// the report's last term.
func (c *Cluster) fetchHeaders(b *branch, v chain.Vote) error {
	for to := v.Last.Index; to > 0 && len(b.Path) < maxPath; {
		page, err := c.fetchPage(v.Region, to)
		if err != nil {
			return err
		}
		if len(page.Path) == 0 {
			break
		}
		b.Path = append(page.Path, b.Path...)
		b.sigs, b.proofs = append(page.sigs, b.sigs...), append(page.proofs, b.proofs...)
		first := &page.Path[0]
		if first.Term < v.Last.Term || first.Index == 0 || first.Index > to {
			break
		}
		to = first.Index - 1
	}
	return nil
}

func (c *Cluster) fetchPage(region identity.RegionID, to uint64) (page branch, err error) {
	for _, m := range c.Members() {
		if m.Region != region {
			continue
		}
		q := &request{Kind: kindHeaders, Header: c.transport.header(), To: to}
		p, _, err := c.transport.callUntil(c.ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, c.transport.timeout, nil)
		if err == nil {
			err = decodeHeaders(find(p.Items, itemHeaders), &page)
		}
		return page, err
	}
	return page, errs.New(errs.NotFound, "region %d is no member", region)
}

func (c *Cluster) serveHeaders(q *request) *reply {
	var b branch
	if err := c.readHeaders(&b, q.To, maxHeaders, maxHeaderRead); err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, Yes: true, Items: []item{{itemHeaders, encodeHeaders(&b)}}}
}

func encodeHeaders(b *branch) []byte {
	w := wire.NewWriter(256 * len(b.Path))
	w.U32(uint32(len(b.Path)))
	for i, h := range b.Path {
		w.Fixed(h.Prev[:])
		w.U64(h.Term)
		w.U64(h.Index)
		w.U8(h.Type)
		w.Fixed(h.Data[:])
		w.Fixed(b.sigs[i].Encode())
		writeOptional(w, b.proofs[i] != nil, func() []byte { return b.proofs[i].Encode() })
	}
	return w.Bytes()
}

func decodeHeaders(raw []byte, b *branch) error {
	r := wire.NewReader(raw)
	n := r.Count(maxHeaders)
	for i := 0; i < n && r.Err() == nil; i++ {
		var h chain.Header
		var sig [signatureSize]byte
		r.Fixed(h.Prev[:])
		h.Term, h.Index, h.Type = r.U64(), r.U64(), r.U8()
		r.Fixed(h.Data[:])
		r.Fixed(sig[:])
		s, err := chain.DecodeSignature(sig[:])
		if err != nil {
			return err
		}
		b.Path, b.sigs, b.proofs = append(b.Path, h), append(b.sigs, *s), append(b.proofs, readOptional(r, maxExtProof, chain.DecodeLeaderProof))
	}
	return r.Done()
}

// guilty finds in two branches what convicts the leader of their last term: two entries
// it signed for one place, or two bases.
func (c *Cluster) guilty(liar identity.RegionID, bs []branch) (chain.Conviction, bool) {
	for i := range bs {
		for j := range i {
			if g, ok := c.rivals(liar, &bs[i], &bs[j]); ok {
				return g, true
			}
		}
	}
	return chain.Conviction{}, false
}

func (c *Cluster) rivals(liar identity.RegionID, a, b *branch) (chain.Conviction, bool) {
	term := a.Report.Last.Term
	if term != b.Report.Last.Term {
		return chain.Conviction{}, false
	}
	var pa, pb *chain.LeaderProof
	for i := range a.Path {
		for j := range b.Path {
			x, y := &a.Path[i], &b.Path[j]
			if x.Term == term && y.Term == term && x.Index == y.Index && x.Hash() != y.Hash() {
				first := chain.EntrySignature{Tuple: c.book.tuple(x.Link()), Signature: a.sigs[i]}
				second := chain.EntrySignature{Tuple: c.book.tuple(y.Link()), Signature: b.sigs[j]}
				if first.Region == liar && first.Verify(c.book.roster) == nil && second.Region == liar && second.Verify(c.book.roster) == nil {
					c.accuseEntries(&first, &second)
					return chain.Conviction{Region: liar, Term: term}, true
				}
			}
		}
	}
	pa, pb = proofIn(a, term), proofIn(b, term)
	if pa == nil || pb == nil || pa.Base == pb.Base || pa.Leader != liar || pb.Leader != liar ||
		pa.Verify(c.book.roster, c.cfg.Lineage) != nil || pb.Verify(c.book.roster, c.cfg.Lineage) != nil {
		return chain.Conviction{}, false
	}
	c.accuseBases(pa, pb)
	return chain.Conviction{Region: liar, Term: term}, true
}

func proofIn(b *branch, term uint64) *chain.LeaderProof {
	for _, p := range b.proofs {
		if p != nil && p.Term == term {
			return p
		}
	}
	return nil
}
