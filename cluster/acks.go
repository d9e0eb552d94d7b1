package cluster

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

const (
	leaseLength = time.Second            // DESIGN 4.3
	renewEvery  = 250 * time.Millisecond // an ack of nothing new, for leases
)

// ack signs acks of the entries lo to hi, which are on disk. Those that are certified
// already need none.
func (b *book) ack(lo, hi uint64) (out []chain.Ack) {
	rec := b.record()
	fenced := rec.Proof != nil && b.fenced(rec.Proof.Leader, rec.Term)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := max(lo, b.floor.Index+1); i <= hi; i++ {
		if a, err := b.sign(rec, i, hi, fenced); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// sign makes one ack if the rules allow it. The caller holds mu.
func (b *book) sign(rec *record, index, durable uint64, fenced bool) (chain.Ack, error) {
	if rec.Cut {
		return chain.Ack{}, errs.New(errs.BadState, "the log was cut in term %d: no entry of it is acked twice", rec.Term)
	}
	s := chain.AckState{Lineage: b.lineage, Self: b.self, Term: rec.Term, Proof: rec.Proof, Fenced: fenced,
		Log: b.own, Durable: durable, Acked: b.acked, Follower: b.follower}
	t, err := chain.MayAck(s, index)
	if err != nil {
		return chain.Ack{}, err
	}
	a, err := chain.SignAck(b.signer, t, b.tick())
	if err != nil {
		return a, err
	}
	if t.Term > b.acked.Term || t.Index > b.acked.Index {
		b.acked = t
	}
	b.renewed = a.At
	if t.Term > b.latest.Term || t.Index >= b.latest.Index {
		b.latest = a
	}
	if t.Index > b.applied && (len(b.unapplied) == 0 || b.unapplied[len(b.unapplied)-1].index < t.Index) {
		b.unapplied = append(b.unapplied, heard{a.At, t.Index})
	}
	return a, nil
}

// renew signs the newest entry once more, with the time of now, every renewEvery.
func (b *book) renew() *chain.Ack {
	rec, last := b.record(), b.own.Last()
	fenced := rec.Proof != nil && b.fenced(rec.Proof.Leader, rec.Term)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tick().Sub(b.renewed) < renewEvery {
		return nil
	}
	a, err := b.sign(rec, last.Index, last.Index, fenced)
	if err != nil {
		return nil
	}
	return &a
}

// collect takes acks that a region sent, on the leader. It returns the places they
// cover, and the acks by which the region convicts itself.
func (b *book) collect(from identity.RegionID, acks []chain.Ack) (covered []chain.Link, err error) {
	good := acks[:0:0]
	for i := range acks {
		a := &acks[i]
		if (a.Region != from || a.Lineage != b.lineage) && liar.Defends(liar.Acks) {
			return nil, errs.New(errs.Unverified, "region %d sent an ack that is not its own", from)
		}
		if b.needless(a) {
			continue
		}
		if err := chain.Fresh(b.roster, &a.Signature); err != nil {
			return nil, err
		}
		if err := a.Verify(b.roster); err != nil {
			return nil, err
		}
		good = append(good, *a)
	}
	slices.SortFunc(good, func(a, b chain.Ack) int { return int(int64(a.Index) - int64(b.Index)) })
	for i := range good {
		b.hear(good[i])
		if certs, e := b.count(&good[i]); e != nil {
			err = e
		} else {
			covered = append(covered, good[i].Link)
			for _, c := range certs {
				b.certify(c)
			}
		}
	}
	return covered, err
}

// needless acks are of what is certified already, from a region that leases have heard
// of lately, or the own: checking them would prove nothing new.
func (b *book) needless(a *chain.Ack) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.heard[a.Region]
	return a.Region == b.self || a.Index <= b.floor.Index && h != nil && a.At.Sub(h.last.At) < renewEvery
}

// count adds a follower's ack, and the own ones that it allows: a leader acks after one
// follower did.
func (b *book) count(a *chain.Ack) (certs []*chain.Certificate, err error) {
	rec := b.record()
	at, ok := b.own.At(a.Index)
	b.mu.Lock()
	defer b.mu.Unlock()
	add := func(a chain.Ack) {
		c, e := b.collector.Put(a)
		if c != nil {
			certs = append(certs, c)
			if ok && c.Link == at { // at once: raft may commit by another region's answer meanwhile
				b.raise(c)
			}
		}
		if e != nil {
			err = e
		}
	}
	if add(*a); err != nil {
		return nil, err
	}
	if !ok || at != a.Link || rec.Proof == nil || rec.Proof.Leader != b.self || a.Term != rec.Term {
		return certs, nil
	}
	first := rec.Proof.Base.Index + 1
	if b.acked.Term == rec.Term {
		first = b.acked.Index + 1
	}
	b.follower = max(b.follower, a.Index)
	for i := first; i <= a.Index; i++ {
		if own, e := b.sign(rec, i, a.Index, false); e == nil {
			add(own)
		}
	}
	return certs, err
}

// led forgets what followers acked to an earlier leadership.
func (b *book) led() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follower = 0
}

// certify takes a verified certificate.
func (b *book) certify(c *chain.Certificate) (news bool) {
	at, ok := b.own.At(c.Index)
	for i := range c.Witnesses {
		b.hear(c.Ack(i))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.collector.Certified(c.Tuple)
	switch {
	case c.Index > b.floor.Index && (!ok || at != c.Link) && (b.ahead == nil || b.ahead.Index < c.Index): // beyond the own log, or against its end
		b.ahead = c
	}
	news = ok && at == c.Link && c.Index > b.floor.Index
	if ok && at == c.Link {
		b.raise(c)
	}
	return news
}

// raise notes a certificate on the own log. The caller holds mu.
func (b *book) raise(c *chain.Certificate) {
	b.keepCert(c)
	if c.Index > b.floor.Index {
		b.floor = c.Link
		b.news.fire()
		b.settle()
	}
}

func (b *book) keepCert(c *chain.Certificate) {
	if b.certs[c.Index] != nil || c.Index+maxCerts < b.floor.Index {
		return
	}
	if len(b.certs) == 0 || c.Index < b.lowest {
		b.lowest = c.Index
	}
	b.certs[c.Index] = c
	for len(b.certs) > maxCerts {
		for b.certs[b.lowest] == nil {
			b.lowest++
		}
		delete(b.certs, b.lowest)
	}
}

// grown looks again at a certificate that came before its entry.
func (b *book) grown() {
	b.mu.Lock()
	ahead := b.ahead
	b.mu.Unlock()
	if ahead == nil {
		return
	}
	if _, ok := b.own.At(ahead.Index); ok {
		b.mu.Lock()
		if b.ahead == ahead {
			b.ahead = nil
		}
		b.mu.Unlock()
		b.certify(ahead)
	}
}

// base notes a place that is certified without a certificate at hand: a snapshot's.
func (b *book) base(l chain.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.Index > b.floor.Index {
		b.floor = l
		b.settle()
	}
}

// newest returns the highest certificate on the own log above index, at most at most.
func (b *book) newest(above, most uint64) *chain.Certificate {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := min(most, b.floor.Index); i > above && i+maxCerts > b.floor.Index; i-- {
		if c := b.certs[i]; c != nil {
			return c
		}
	}
	return nil
}

// certifiedTuples are those of certificates at hand, for the rules.
func (b *book) certifiedTuples() (out []chain.Tuple) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ahead != nil {
		out = append(out, b.ahead.Tuple)
	}
	return append(out, b.tuple(b.floor))
}

func (b *book) highestAcked() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked.Index
}

// truncated forgets what went with the end of the log.
func (b *book) truncated(from uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.unapplied {
		b.unapplied[i].index = min(b.unapplied[i].index, from-1)
	}
	b.unapplied = slices.DeleteFunc(b.unapplied, func(h heard) bool { return h.index <= b.applied })
	for i := range b.certs {
		if i >= from {
			delete(b.certs, i)
		}
	}
}
