//go:build liar

package cluster

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What a liar changes in what it answers, and the sessions it keeps for that.

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
