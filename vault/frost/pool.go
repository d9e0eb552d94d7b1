package frost

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Pool holds the nonces one region prepared in one run for a suite, in memory only:
// nothing of a nonce can be encoded, copied out or put back. It signs for every key of the
// suite of which the region has a share. A nonce leaves the pool, under the pool's lock,
// before anything is computed with it, and is wiped by that computation.
type Pool struct {
	suite  *Suite
	region uint8
	boot   uint64

	mu     sync.Mutex
	hedge  []byte
	serial uint32            // the last one given
	fresh  map[uint32]*nonce // by serial
	shut   bool
}

type nonce struct {
	hiding, binding scalar
	commitment      *Commitment
}

func (n *nonce) wipe() {
	n.hiding.wipe()
	n.binding.wipe()
}

// Format keeps the nonce out of logs, whatever the verb.
func (n *nonce) Format(f fmt.State, _ rune) { fmt.Fprint(f, "nonce") }

// NewPool opens an empty pool of region's nonces for suite. boot is the nonce epoch: the
// caller raises it at every start, so that commitments of an earlier run are known for
// what they are. hedge is a secret of the region, 32 to 64 bytes, that no other region and
// no other pool has: it takes the place of the share in RFC 9591 section 4.1. The pool
// copies it; Close wipes the copy.
func NewPool(suite *Suite, region uint8, boot uint64, hedge []byte) (*Pool, error) {
	if suite == nil || region == 0 || len(hedge) < minHedge || len(hedge) > maxHedge {
		return nil, errs.New(errs.Invalid, "nonce pool of region %d: needs a suite, a region from 1 and a hedge of %d to %d bytes, not %d",
			region, minHedge, maxHedge, len(hedge))
	}
	if err := suite.signless(); err != nil {
		return nil, err
	}
	return &Pool{suite: suite, region: region, boot: boot, hedge: slices.Clone(hedge), fresh: map[uint32]*nonce{}}, nil
}

// Prepare makes n fresh nonces and returns their commitments, by serial, to be published.
// A nonce is a hash of 32 random bytes, the hedge and its place (boot, serial, which of the
// two), so that neither a weak source nor a known hedge alone gives it away, and even a
// source that repeats itself gives no nonce twice.
func (p *Pool) Prepare(random io.Reader, n int) ([]*Commitment, error) {
	hedge, first, err := p.reserve(n)
	if err != nil {
		return nil, err
	}
	defer clear(hedge)
	out := make([]*Commitment, 0, n)
	for len(out) < n {
		made, err := p.mint(random, hedge, first+uint32(len(out)), min(n-len(out), mintBatch))
		if err != nil {
			return out, err
		}
		for i, m := range made {
			if err := p.put(m); err != nil {
				wipeAll(made[i:])
				return out, err
			}
			out = append(out, m.commitment)
		}
	}
	return out, nil
}

// reserve takes n serials and a copy of the hedge, the caller's to clear, so that Close
// can wipe the pool's own at any moment. Serials reserved and not used are gaps.
func (p *Pool) reserve(n int) (hedge []byte, first uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := len(p.fresh)
	switch {
	case p.shut:
		return nil, 0, errClosed()
	case n < 1 || n > maxPool-left:
		return nil, 0, errs.New(errs.TooLarge, "nonce pool: %d more on top of %d, limit %d", n, left, maxPool)
	case uint32(n) > math.MaxUint32-p.serial:
		return nil, 0, errs.New(errs.TooLarge, "nonce pool: all serials of this run are used").WithHint("restart the region")
	}
	first = p.serial + 1
	p.serial += uint32(n)
	return slices.Clone(p.hedge), first, nil
}

func errClosed() error { return errs.New(errs.BadState, "nonce pool is closed") }

func (p *Pool) put(made *nonce) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.shut:
		made.wipe()
		return errClosed()
	case len(p.fresh) >= maxPool:
		made.wipe()
		return errs.New(errs.TooLarge, "nonce pool: full, limit %d", maxPool)
	}
	p.fresh[made.commitment.serial] = made
	return nil
}

// mint makes count nonces, by serial from first. Where it fails it has made none.
func (p *Pool) mint(random io.Reader, hedge []byte, first uint32, count int) ([]*nonce, error) {
	made := make([]*nonce, 0, count)
	var seed [64]byte
	defer clear(seed[:])
	for i := range count {
		if _, err := io.ReadFull(random, seed[:]); err != nil {
			wipeAll(made)
			return nil, errs.Wrap(errs.Internal, err, "nonce of region %d: reading randomness", p.region)
		}
		c := &Commitment{suite: p.suite, region: p.region, boot: p.boot, serial: first + uint32(i)}
		n := c.draw(seed, hedgeAt(hedge, c, 1), hedgeAt(hedge, c, 2))
		made = append(made, n)
		if n.hiding.isZero() || n.binding.isZero() {
			wipeAll(made)
			return nil, errs.New(errs.Internal, "nonce of region %d: randomness gave zero", p.region)
		}
	}
	publish(p.suite, made)
	return made, nil
}

func wipeAll(ns []*nonce) {
	for _, n := range ns {
		n.wipe()
	}
}

// hedgeAt is the secret part of what one of the nonce's two scalars is hashed from.
func hedgeAt(hedge []byte, c *Commitment, which byte) []byte {
	b := append(make([]byte, 0, maxHedge+13), hedge...)
	b = binary.BigEndian.AppendUint64(b, c.boot)
	b = binary.BigEndian.AppendUint32(b, c.serial)
	return append(b, which)
}

// draw makes the nonce that c is to commit to, from randomness and what hedges it (cleared
// afterwards).
func (c *Commitment) draw(seed [64]byte, hiding, binding []byte) *nonce {
	n := &nonce{commitment: c}
	protected(func() {
		n.hiding = c.suite.hashScalar("nonce", seed[:32], hiding)
		n.binding = c.suite.hashScalar("nonce", seed[32:], binding)
	})
	clear(seed[:])
	clear(hiding)
	clear(binding)
	return n
}

// publish writes the points of all nonces into their commitments.
func publish(s *Suite, ns []*nonce) {
	ks := make([]scalar, 0, 2*len(ns))
	for _, n := range ns {
		ks = append(ks, n.hiding, n.binding)
	}
	protected(func() {
		ps := s.group.bases(ks)
		for i, n := range ns {
			n.commitment.hiding, n.commitment.binding = ps[2*i], ps[2*i+1]
		}
	})
}

// Len returns how many nonces are left.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fresh)
}

// Read parses a commitment that an entry names, like KnownCommitment, but takes this
// region's own from the pool, without decoding points.
func (p *Pool) Read(b []byte) (*Commitment, error) {
	if c := p.own(b); c != nil {
		return c, nil
	}
	return KnownCommitment(b)
}

func (p *Pool) own(b []byte) *Commitment {
	if len(b) < commitmentHead {
		return nil
	}
	serial := binary.BigEndian.Uint32(b[commitmentHead-4:])
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.fresh[serial]; n != nil && bytes.Equal(n.commitment.Encode(), b) {
		return n.commitment
	}
	return nil
}

// take removes a nonce, for good: of any number of callers one gets it, to wipe it.
func (p *Pool) take(c *Commitment) (*nonce, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.fresh[c.serial]
	if n == nil || !n.commitment.same(c) {
		return nil, errs.New(errs.Replayed, "region %d has no such nonce (serial %d, nonce epoch %d; this run's is %d): used, dropped or never its own",
			c.region, c.serial, c.boot, p.boot).WithHint("a nonce signs once; open a new attempt, which names a fresh one")
	}
	delete(p.fresh, c.serial)
	return n, nil
}

// Sign returns the region's part of the signature on msg under key, with its share of that
// key, or of the key that key is derived from. commitments are those the attempt names, one
// for each signer, this region's among them; its nonce is used up. The share stays the
// caller's, who must not wipe it before Sign returns. Nothing is used up by a call that is
// refused before: Replayed for a nonce used already, Stale for a share of another epoch,
// Corrupt for another key's, Denied when this region is not asked, Invalid for signers that
// are no set the key takes, TooLarge for the message.
func (p *Pool) Sign(share *Share, key *PublicKey, msg []byte, commitments []*Commitment) (*SignatureShare, error) {
	if share.suite != p.suite || share.region != p.region {
		return nil, errs.New(errs.Invalid, "%v nonces of region %d do not sign with the %v", p.suite, p.region, share)
	}
	if err := share.Matches(key); err != nil {
		return nil, err
	}
	r, err := key.newRound(msg, commitments)
	if err != nil {
		return nil, err
	}
	i := r.indexOf(p.region)
	if i < 0 {
		return nil, errs.New(errs.Denied, "region %d is not among the signers", p.region)
	}
	n, err := p.take(r.commitments[i])
	if err != nil {
		return nil, err
	}
	out := &SignatureShare{suite: key.suite, region: p.region, epoch: key.epoch, r: r.r.bytes()}
	protected(func() { out.z = r.respond(i, share.secret, n.hiding, n.binding) })
	return out, nil
}

// Burn uses a nonce up without signing: of an attempt that is closed or refused.
func (p *Pool) Burn(c *Commitment) {
	if n, err := p.take(c); err == nil {
		n.wipe()
	}
}

// Close wipes all nonces and the hedge. Calls under way finish or are refused.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for serial, n := range p.fresh {
		n.wipe()
		delete(p.fresh, serial)
	}
	clear(p.hedge)
}

// Format names the pool and shows nothing of what it holds.
func (p *Pool) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%v nonce pool of region %d, nonce epoch %d", p.suite, p.region, p.boot)
}
