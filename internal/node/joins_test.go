package node

import (
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// TestProofsNameTheirSessions: a proof goes out with the session certificates that verify
// it, and not before all of them are known.
func TestProofsNameTheirSessions(t *testing.T) {
	kit := fsmtest.New()
	l := kit.NewLog(fsm.Options{})
	lineage := kit.Genesis.Document.Hash()
	at := chain.Link{Term: 2, Index: 9, Hash: [32]byte{9}}
	log := func(index uint64) (*chain.Cover, error) {
		if index != at.Index {
			return nil, errs.New(errs.NotFound, "entry %d is not certified", index)
		}
		var acks []chain.Ack
		for _, r := range kit.Regions[:3] {
			s, err := chain.NewSigner(r.ID, r.Session)
			if err != nil {
				return nil, err
			}
			a, err := chain.SignAck(s, chain.Tuple{Lineage: lineage, Link: at}, l.Now)
			if err != nil {
				return nil, err
			}
			acks = append(acks, a)
		}
		c, err := chain.Certify(acks)
		return &chain.Cover{Certificate: *c}, err
	}
	known := map[identity.Fingerprint]*identity.SessionCert{}
	c := covers{log, func(s identity.Fingerprint) *identity.SessionCert { return known[s] }}
	for i, r := range kit.Regions[:3] {
		if _, err := c.Proof(9); errs.CodeOf(err) != errs.NotFound {
			t.Fatalf("a proof with %d of 3 sessions known: %v", i, err)
		}
		known[r.Session.Public().Fingerprint()] = r.Session.Cert
	}
	if _, err := c.Cover(8); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a proof of an entry without: %v", err)
	}
	p, err := c.Proof(9)
	if err != nil {
		t.Fatal(err)
	}
	book := chain.NewBook(kit.Cluster(), func(id identity.RegionID) []identity.PublicKey {
		return []identity.PublicKey{kit.Region(id).Identity.Public()}
	}, 4)
	for _, raw := range p.Sessions {
		cert, err := identity.DecodeSessionCert(raw)
		if err == nil {
			err = book.Add(cert)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cover, err := chain.DecodeCover(p.Cover)
	if err == nil {
		err = cover.Verify(book, lineage, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := c.Cover(9); err != nil || !slices.Equal(raw, p.Cover) {
		t.Errorf("the vault files another proof than the API shows: %v", err)
	}
	kit.NewSession(kit.Region(2), l.Now.Add(time.Second))
	if _, err := c.Proof(9); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a proof by a session that is not known: %v", err)
	}
}

// TestClockEntriesAreOwed only once the clock stands still: before, a region that offers some
// is told that others see to that.
func TestClockEntriesAreOwed(t *testing.T) {
	kit := fsmtest.New()
	l := kit.NewLog(fsm.Options{})
	tick := l.By(kit.Regions[1].Session, &command.Tick{})
	still := vault.Timing{}.Still()
	for _, c := range []struct {
		lag  time.Duration
		want errs.Code
	}{{-time.Hour, errs.Denied}, {0, errs.Denied}, {vault.DefaultTiming().Tick + vault.DefaultTiming().Health, errs.Denied}, {still, errs.OK}, {72 * time.Hour, errs.OK}} {
		if got := errs.CodeOf(owable(tick, c.lag, still)); got != c.want {
			t.Errorf("a clock entry, the clock %s behind: %s, want %s", c.lag, got, c.want)
		}
	}
	completion := l.By(kit.Regions[1].Session, &command.Complete{Answers: [][]byte{{1}, {2}}})
	if err := owable(completion, 72*time.Hour, still); errs.CodeOf(err) != errs.Denied {
		t.Errorf("a completion: %v", err)
	}
}
