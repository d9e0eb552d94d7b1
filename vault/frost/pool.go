package frost

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Pool holds one region's share of a key and the nonces prepared for it, in memory only:
// nothing of a nonce can be encoded, copied out or put back. A nonce leaves the pool, under
// the pool's lock, before anything is computed with it, and is wiped by that computation.
type Pool struct {
	share *Share
	key   *PublicKey
	boot  uint64

	mu    sync.Mutex
	fresh map[[66]byte]*nonce
	shut  bool
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

// NewPool opens an empty pool for share, which must be the one key names. boot is the
// nonce epoch: the caller raises it at every start, so that commitments of an earlier run
// are known for what they are. The pool takes the share over; Close wipes it.
func NewPool(share *Share, key *PublicKey, boot uint64) (*Pool, error) {
	if err := share.Matches(key); err != nil {
		return nil, err
	}
	return &Pool{share: share, key: key, boot: boot, fresh: map[[66]byte]*nonce{}}, nil
}

// Prepare makes n fresh nonces and returns their commitments, to be published. A nonce is
// a hash of 32 random bytes and the share (RFC 9591 section 4.1), so that neither a weak
// source nor a known share alone gives it away.
func (p *Pool) Prepare(random io.Reader, n int) ([]*Commitment, error) {
	if left := p.Len(); n < 1 || n > maxPool-left {
		return nil, errs.New(errs.TooLarge, "nonce pool: %d more on top of %d, limit %d", n, left, maxPool)
	}
	share, err := p.borrow()
	if err != nil {
		return nil, err
	}
	defer share.Wipe()
	out := make([]*Commitment, 0, n)
	for range n {
		c, made, err := share.commit(random, p.boot)
		if err != nil {
			return out, err
		}
		if err := p.put(c.id(), made); err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

// borrow returns a copy of the share, the caller's to wipe, so that Close can wipe the
// pool's own at any moment.
func (p *Pool) borrow() (*Share, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return nil, errClosed()
	}
	return p.share.copy(), nil
}

func errClosed() error { return errs.New(errs.BadState, "nonce pool is closed") }

func (p *Pool) put(id [66]byte, made *nonce) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.fresh[id]
	switch {
	case p.shut:
		made.wipe()
		return errClosed()
	case len(p.fresh) >= maxPool:
		made.wipe()
		return errs.New(errs.TooLarge, "nonce pool: full, limit %d", maxPool)
	case known:
		made.wipe()
		return errs.New(errs.Internal, "nonce pool: the random source repeats itself")
	}
	p.fresh[id] = made
	return nil
}

// commit makes one nonce.
func (s *Share) commit(random io.Reader, boot uint64) (*Commitment, *nonce, error) {
	var seed [64]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, nil, errs.Wrap(errs.Internal, err, "nonce of region %d: reading randomness", s.region)
	}
	c, n := s.commitWith(seed, boot)
	if n.hiding.isZero() || n.binding.isZero() {
		return nil, nil, errs.New(errs.Internal, "nonce of region %d: randomness gave zero", s.region)
	}
	return c, n, nil
}

func (s *Share) commitWith(seed [64]byte, boot uint64) (*Commitment, *nonce) {
	c := &Commitment{suite: s.suite, region: s.region, epoch: s.epoch, boot: boot}
	n := &nonce{commitment: c}
	protected(func() {
		secret := s.secret.bytes()
		n.hiding = s.suite.hashScalar("nonce", seed[:32], secret)
		n.binding = s.suite.hashScalar("nonce", seed[32:], secret)
		clear(secret)
		c.hiding = s.suite.group.base(n.hiding)
		c.binding = s.suite.group.base(n.binding)
	})
	clear(seed[:])
	return c, n
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
	var id [66]byte
	copy(id[:], b[commitmentHead:])
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.fresh[id]; n != nil && bytes.Equal(n.commitment.Encode(), b) {
		return n.commitment
	}
	return nil
}

// take removes a nonce, for good: of any number of callers one gets it. With it comes a
// copy of the share. Both are the caller's to wipe.
func (p *Pool) take(c *Commitment) (*nonce, *Share, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.id()
	n := p.fresh[id]
	if n == nil {
		return nil, nil, errs.New(errs.Replayed, "region %d has no such nonce (epoch %d, nonce epoch %d; this run's is %d): used, dropped or never its own",
			c.region, c.epoch, c.boot, p.boot).WithHint("a nonce signs once; open a new attempt, which names a fresh one")
	}
	delete(p.fresh, id)
	return n, p.share.copy(), nil
}

// Sign returns the region's part of the signature on msg under key, which is the pool's
// key or derived from it. commitments are those the attempt names, one for each signer,
// this region's among them; its nonce is used up. Nothing is used up by a call that is
// refused before: Replayed for a nonce used already, Stale for another epoch, Denied when
// this region is not asked.
func (p *Pool) Sign(key *PublicKey, msg []byte, commitments []*Commitment) (*SignatureShare, error) {
	if !p.key.sameRoot(key) {
		return nil, errs.New(errs.Invalid, "region %d: the key to sign with is not of this share's key and epoch %d", p.share.region, p.share.epoch)
	}
	r, err := key.newRound(msg, commitments)
	if err != nil {
		return nil, err
	}
	i := r.indexOf(p.share.region)
	if i < 0 {
		return nil, errs.New(errs.Denied, "region %d is not among the signers", p.share.region)
	}
	n, share, err := p.take(r.commitments[i])
	if err != nil {
		return nil, err
	}
	out := &SignatureShare{suite: key.suite, region: p.share.region, epoch: key.epoch, r: r.r.bytes()}
	protected(func() { out.z = r.respond(i, share.secret, n.hiding, n.binding) })
	share.Wipe()
	return out, nil
}

// Burn uses a nonce up without signing: of an attempt that is closed or refused.
func (p *Pool) Burn(c *Commitment) {
	if n, share, err := p.take(c); err == nil {
		n.wipe()
		share.Wipe()
	}
}

// Close wipes all nonces and the share. Calls under way finish or are refused.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for id, n := range p.fresh {
		n.wipe()
		delete(p.fresh, id)
	}
	p.share.Wipe()
}

// Format names the pool and shows nothing of what it holds.
func (p *Pool) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "nonce pool of %v", p.share) }
