package client

import (
	"bytes"
	"crypto/sha256"
	"sync"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// Bounds of what is remembered; beyond them it is learnt anew.
const (
	sessionsMax = 1024 // session certificates
	provenMax   = 256  // covers that verified: many answers come from one entry
)

// prover verifies that entries are certified, by session certificates that the pinned
// identity keys vouch for. No node's word counts: whoever answers, three regions must
// have signed. What is too old for that, Client.worded proves.
type prover struct {
	cfg   *Config
	trust *trust

	mu     sync.RWMutex
	book   *chain.Book
	known  map[string]bool       // encoded session certificates in the book
	proven map[[32]byte]struct{} // by SHA-256
}

func newProver(cfg *Config, t *trust) *prover {
	p := &prover{cfg: cfg, trust: t}
	p.reset()
	return p
}

func (p *prover) reset() {
	p.book, p.known = p.trust.book(), map[string]bool{}
	p.proven = map[[32]byte]struct{}{}
}

// forget begins anew: a region's key was replaced.
func (p *prover) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset()
}

func unproven(index uint64, why string) error {
	return errs.New(errs.OutcomeUnknown, "entry %d is not proven to be certified: %s", index, why).
		WithHint("send the same command again; if it stays so, the node that answers may be lying or cut off")
}

// outcome wants the proof of the entry an outcome names.
func (p *prover) outcome(o *Outcome) error {
	_, err := p.verify(o.GetCertified(), o.GetIndex())
	return err
}

// request wants the proof of the entry at which what a request shows came about: one of
// its draws or, where it brought no signatures, its end.
func (p *prover) request(r *Request) error {
	c := r.GetCertified()
	if endedEmpty(r) {
		_, err := p.verify(c, r.GetClosedIndex())
		return err
	}
	for _, a := range r.GetAttempts() {
		if a.Index != c.GetIndex() {
			continue
		}
		at, err := p.verify(c, a.Index)
		if err == nil && !bytes.Equal(at.Hash[:], a.Chain) {
			err = unproven(a.Index, "the proof is of another entry")
		}
		return err
	}
	return unproven(c.GetIndex(), "it is no entry at which the request was drawn")
}

// newest returns the session certificates that verified, of each region's newest boot.
func (p *prover) newest() (out [][]byte) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for raw := range p.known {
		if cert, err := identity.DecodeSessionCert([]byte(raw)); err == nil {
			if h, ok := p.book.Holder(cert.Region, cert.Session.Fingerprint()); ok && h.Current {
				out = append(out, []byte(raw))
			}
		}
	}
	return out
}

// verify returns the place of the entry that a proof covers.
func (p *prover) verify(c *Certified, index uint64) (at chain.Link, err error) {
	if !liar.Defends(liar.Covers) {
		return at, nil
	}
	if len(c.GetCover()) == 0 {
		return at, unproven(index, "the answer carries no proof")
	}
	cover, err := chain.DecodeCover(c.Cover)
	if err != nil {
		return at, unproven(index, err.Error())
	}
	if at = covered(cover); at.Index != index || index == 0 {
		return at, unproven(index, "the proof is of another index")
	}
	if err := p.check(c, cover, at); err != nil {
		return at, unproven(index, err.Error())
	}
	return at, nil
}

func (p *prover) check(c *Certified, cover *chain.Cover, at chain.Link) error {
	sum := sha256.Sum256(c.Cover)
	if p.remembers(sum) {
		return nil
	}
	if err := p.learn(c.Sessions); err != nil {
		return err
	}
	p.mu.RLock()
	err := cover.Verify(p.book, p.cfg.Lineage, at)
	p.mu.RUnlock()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.proven) >= provenMax {
		clear(p.proven)
	}
	p.proven[sum] = struct{}{}
	return nil
}

func (p *prover) remembers(sum [32]byte) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, ok := p.proven[sum]
	return ok
}

// covered is the entry a cover speaks of: the certified one, or the one before the first
// header, whose term is no later than that header's.
func covered(c *chain.Cover) chain.Link {
	if len(c.Path) == 0 {
		return c.Certificate.Link
	}
	h := &c.Path[0]
	return chain.Link{Term: h.Term, Index: h.Index - 1, Hash: h.Prev}
}

func (p *prover) learn(sessions [][]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, raw := range sessions[:min(len(sessions), len(p.cfg.Regions))] {
		if p.known[string(raw)] {
			continue
		}
		cert, err := identity.DecodeSessionCert(raw)
		if err != nil {
			return err
		}
		if len(p.known) >= sessionsMax {
			p.reset()
		}
		if err := p.book.Add(cert); err != nil {
			p.trust.doubts()
			return err
		}
		p.known[string(raw)] = true
	}
	return nil
}

// shared gives each item of a batch the proof that stands with the first of its entry.
func shared(items []*tetradv1.SignItem) {
	first := map[uint64]*Certified{}
	for _, it := range items {
		c := it.GetRequest().GetCertified()
		switch {
		case c == nil:
		case len(c.Cover) > 0:
			first[c.Index] = c
		case first[c.Index] != nil:
			it.Request.Certified = first[c.Index]
		}
	}
}

// CertifiedBy returns the regions that certified the entry an outcome or request reports.
// What Submit, Sign, SignBatch and Await return was verified before; see also Proof.
func CertifiedBy(c *Certified) (regions []RegionID) {
	cover, err := chain.DecodeCover(c.GetCover())
	if err != nil {
		return nil
	}
	for _, w := range cover.Certificate.Witnesses {
		regions = append(regions, w.Region)
	}
	return regions
}
