package cluster

import (
	"errors"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// What a starved region is answered comes from log store and disk, outside the gate: raft
// does not notice. Each region has one question answered at a time, and so many a second.

// larder bounds what other regions may have.
type larder struct {
	mu     sync.Mutex
	askers map[identity.RegionID]*asker
}

type asker struct {
	busy            bool
	fetches, pieces quota
}

// seat lets a region ask, or says why not. What it returns ends the question.
func (l *larder) seat(region identity.RegionID, k kind) (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.askers == nil {
		l.askers = map[identity.RegionID]*asker{}
	}
	g := l.askers[region]
	if g == nil {
		g = &asker{}
		l.askers[region] = g
	}
	room := false
	switch {
	case g.busy:
	case k == kindPiece:
		room = g.pieces.take(pieceBurst, pieceRate)
	default:
		room = g.fetches.take(fetchBurst, fetchRate)
	}
	if !room {
		return nil, errs.New(errs.Throttled, "region %d fetches too much", region)
	}
	g.busy = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		g.busy = false
	}, nil
}

// serveFetch answers a member that lacks something. Who is no member gets nothing.
func (c *Cluster) serveFetch(from remote, q *request) *reply {
	if !c.isMember(from) {
		return c.fail(errs.New(errs.Denied, "server %s is no member", from.server))
	}
	done, err := c.larder.seat(from.region, q.Kind)
	if err != nil {
		return c.fail(err)
	}
	defer done()
	p := &reply{Header: c.transport.header(), Code: errs.OK, Yes: true}
	if q.Kind == kindPiece {
		err = c.addPiece(p, q.Piece)
	} else {
		err = c.addCertified(p, q.Fetch.After)
	}
	if err != nil {
		return c.fail(err)
	}
	return p
}

// addCertified adds who leads, the newest acks, and what is certified after an index.
func (c *Cluster) addCertified(p *reply, after uint64) error {
	if rec := c.book.record(); rec.Proof != nil {
		p.Items = append(p.Items, item{itemProof, rec.Proof.Encode()})
		p.sessions = sessionsOf(rec.Proof, nil, nil)
	}
	p.Items = append(p.Items, acksItem(c.book.words()))
	floor := c.book.own.Floor()
	if after >= floor {
		return nil
	}
	entries, err := c.readAfter(after, floor)
	if errors.Is(err, raft.ErrLogNotFound) {
		return c.addSnapshot(p, after)
	}
	if err != nil {
		return err
	}
	cert := c.certificateWithin(after, entries)
	if cert == nil {
		return errs.New(errs.Unavailable, "no certificate of the entries from %d on is at hand", after+1)
	}
	p.Items = append(p.Items, entriesItem(entries[:cert.Index-after]), item{itemCertificate, cert.Encode()})
	p.sessions = append(sessionsOf(nil, nil, cert), p.sessions...)
	return nil
}

// readAfter reads entries after an index up to most: as many as go into one answer.
// raft.ErrLogNotFound: the first is compacted.
func (c *Cluster) readAfter(after, most uint64) (entries []*raft.Log, err error) {
	size := 0
	for i := after + 1; i <= most && len(entries) < maxAppendEntries; i++ {
		var l raft.Log
		if err := c.chain.LogStore.GetLog(i, &l); err != nil {
			if len(entries) > 0 && errors.Is(err, raft.ErrLogNotFound) {
				break // compacted just now
			}
			return nil, err
		}
		if size += entryOverhead + len(l.Data) + len(l.Extensions); size > maxFetch && len(entries) > 0 {
			break
		}
		entries = append(entries, &l)
	}
	return entries, nil
}

// certificateWithin finds the highest certificate of one of some certified entries that
// follow an index: in memory, in themselves, or in those just after.
func (c *Cluster) certificateWithin(after uint64, entries []*raft.Log) *chain.Certificate {
	most := after + uint64(len(entries))
	if cert := c.book.newest(after, most); cert != nil && c.shows(cert) {
		return cert
	}
	behind := slices.Clone(entries)
	for i := most + 1; i <= most+fetchQueue; i++ {
		var l raft.Log
		if c.chain.LogStore.GetLog(i, &l) != nil {
			break
		}
		behind = append(behind, &l)
	}
	for _, l := range slices.Backward(behind) {
		x, err := DecodeExtension(l.Extensions)
		if err != nil || x.Certificate == nil || x.Certificate.Index <= after || x.Certificate.Index > most {
			continue
		}
		if at, ok := c.book.own.At(x.Certificate.Index); ok && at == x.Certificate.Link && c.shows(x.Certificate) {
			return x.Certificate
		}
	}
	return nil
}
