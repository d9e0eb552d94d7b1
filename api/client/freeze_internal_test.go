package client

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// court is four regions with their present sessions, and what they signed.
type court struct {
	t        *testing.T
	cfg      Config
	hsm      map[RegionID]*KeySigner
	sessions map[RegionID]*identity.Session
	issued   time.Time
}

var (
	content = [32]byte{0xc0}
	place   = command.Meta{Index: 41, Term: 3, Chain: [32]byte{0xab}}
	arrived = time.Unix(1700000000, 0)
)

func newCourt(t *testing.T) *court {
	c := &court{t: t, hsm: map[RegionID]*KeySigner{}, sessions: map[RegionID]*identity.Session{}, issued: arrived.Add(-time.Hour),
		cfg: Config{Cluster: ClusterID{1}, Lineage: [32]byte{2}, Regions: map[RegionID][]PublicKey{}}}
	for r := RegionID(1); r <= 4; r++ {
		c.hsm[r] = identity.GenerateEd25519()
		c.cfg.Regions[r] = []PublicKey{c.hsm[r].Public()}
		c.boot(r)
	}
	return c
}

// boot gives a region a new session, as each start does.
func (c *court) boot(r RegionID) {
	c.t.Helper()
	c.issued = c.issued.Add(time.Second)
	key := identity.GenerateEd25519()
	cert, err := identity.IssueSession(context.Background(), c.hsm[r], key, identity.SessionCert{Cluster: c.cfg.Cluster, Region: r, ServerID: "x-1", Issued: c.issued})
	c.ok(err)
	c.sessions[r] = &identity.Session{KeySigner: key, Cert: cert}
}

func (c *court) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *court) check() *freezeCheck {
	f := &freezeCheck{wordCheck: newWordCheck(&c.cfg, newTrust(&c.cfg), content)}
	f.nonce = [16]byte{9}
	return f
}

func (c *court) word(r RegionID, change func(*command.OutcomeWord)) []byte {
	c.t.Helper()
	a := &command.OutcomeWord{Lineage: c.cfg.Lineage, Meta: place, Command: content, Code: errs.OK, Nonce: [16]byte{9}, Applied: place.Index, Skew: time.Second, Region: r, At: arrived}
	if change != nil {
		change(a)
	}
	c.ok(a.Sign(context.Background(), c.cfg.Cluster, c.sessions[r]))
	return a.Encode()
}

func (c *court) cert(r RegionID) []byte { return c.sessions[r].Cert.Encode() }

// say enters the words of regions.
func (c *court) say(f *freezeCheck, regions ...RegionID) {
	c.t.Helper()
	for _, r := range regions {
		c.ok(f.word(r, c.word(r, nil), c.cert(r)))
	}
}

// cover is a certificate of some regions for the entry after m, with the header there.
func (c *court) cover(m command.Meta, regions ...RegionID) ([]byte, [][]byte) {
	c.t.Helper()
	next := chain.Header{Prev: m.Chain, Term: m.Term, Index: m.Index + 1, Type: chain.TypeNoop}
	t := chain.Tuple{Lineage: c.cfg.Lineage, Link: next.Link()}
	var acks []chain.Ack
	var certs [][]byte
	for i, r := range regions {
		s, err := chain.NewSigner(r, c.sessions[r])
		c.ok(err)
		a, err := chain.SignAck(s, t, arrived.Add(time.Duration(i)*time.Second))
		c.ok(err)
		acks, certs = append(acks, a), append(certs, c.cert(r))
	}
	cert, err := chain.Certify(acks)
	c.ok(err)
	return (&chain.Cover{Certificate: *cert, Path: []chain.Header{next}}).Encode(), certs
}

func TestEveryRegionConfirms(t *testing.T) {
	c := newCourt(t)
	f := c.check()
	c.say(f, 1, 2, 3)
	if a := f.judge(arrived); a.Ground != GroundNone || a.Missing[4] == "" {
		t.Fatalf("three of four: %+v", a)
	}
	for range 3 { // one region however often counts once
		c.say(f, 2)
	}
	if a := f.judge(arrived); a.Ground != GroundNone || len(a.Confirmed) != 3 {
		t.Fatalf("one region counted twice: %+v", a)
	}
	c.say(f, 4)
	if a := f.judge(arrived); a.Ground != GroundEveryRegion || a.Index != place.Index || len(a.Missing) != 0 {
		t.Fatalf("%+v", a)
	}
}

// TestWordsThatDoNotCount: each is signed by a real session key, and each is something else
// than this region's word on this command, given now.
func TestWordsThatDoNotCount(t *testing.T) {
	c := newCourt(t)
	old := c.word(2, nil)
	oldCert := c.cert(2)
	c.boot(2)
	good := c.word(1, nil)
	bent := bytes.Clone(good)
	bent[len(bent)-1] ^= 1
	foreign := identity.GenerateEd25519()
	fake, err := identity.IssueSession(t.Context(), foreign, foreign, identity.SessionCert{Cluster: c.cfg.Cluster, Region: 1, ServerID: "x-1", Issued: c.issued})
	c.ok(err)
	for name, w := range map[string]struct {
		region     RegionID
		word, cert []byte
	}{
		"another region's":             {2, good, c.cert(1)},
		"under another's session":      {1, good, c.cert(3)},
		"altered":                      {1, bent, c.cert(1)},
		"cut short":                    {1, good[:len(good)-1], c.cert(1)},
		"empty":                        {1, nil, c.cert(1)},
		"without session":              {1, good, nil},
		"a session no HSM vouches for": {1, good, fake.Encode()},
		"on another command":           {1, c.word(1, func(a *command.OutcomeWord) { a.Command[0] ^= 1 }), c.cert(1)},
		"to an earlier question":       {1, c.word(1, func(a *command.OutcomeWord) { a.Nonce[0] ^= 1 }), c.cert(1)},
		"of another lineage":           {1, c.word(1, func(a *command.OutcomeWord) { a.Lineage[0] ^= 1 }), c.cert(1)},
		"names another region":         {1, c.word(1, func(a *command.OutcomeWord) { a.Region = 3 }), c.cert(1)},
	} {
		f := c.check()
		if err := f.word(w.region, w.word, w.cert); err == nil {
			t.Errorf("%s: counted", name)
		}
		if a := f.judge(arrived); len(a.Confirmed) != 0 {
			t.Errorf("%s: confirmed by %v", name, a.Confirmed)
		}
	}
	// A word of an earlier boot falls as soon as a later one is known, in either order.
	f := c.check()
	c.ok(f.word(2, old, oldCert))
	c.say(f, 1, 3, 4)
	_, err = f.session(c.cert(2))
	c.ok(err)
	if a := f.judge(arrived); a.Ground != GroundNone || slices.Contains(a.Confirmed, 2) {
		t.Errorf("an earlier boot counts: %+v", a)
	}
	if err := f.word(2, old, oldCert); errs.CodeOf(err) != errs.Stale {
		t.Errorf("an earlier boot: %v", err)
	}
	c.say(f, 2)
	if a := f.judge(arrived); a.Ground != GroundEveryRegion {
		t.Errorf("%+v", a)
	}
}

// TestLease: a certificate and the words of two regions are enough after one lease and
// twice the largest skew, not a tick earlier.
func TestLease(t *testing.T) {
	c := newCourt(t)
	f := c.check()
	cover, certs := c.cover(place, 1, 2, 3)
	give := func(cover []byte, certs [][]byte) {
		f.take(&tetradv1.AcknowledgeResponse{Cover: cover, Sessions: certs}, arrived)
	}
	give(cover, certs)
	c.say(f, 1)
	give(cover, certs)
	if a := f.judge(arrived.Add(time.Hour)); a.Ground != GroundNone || a.Certified != 0 {
		t.Fatalf("one region's word on the place, maybe a liar's: %+v", a)
	}
	c.ok(f.word(2, c.word(2, func(a *command.OutcomeWord) { a.Skew = 3 * time.Second }), c.cert(2)))
	few, fewCerts := c.cover(place, 1, 2)
	give(few, fewCerts)
	other, otherCerts := c.cover(command.Meta{Index: 41, Term: 3, Chain: [32]byte{0xcd}}, 1, 2, 3)
	give(other, otherCerts)
	give(cover[:len(cover)-1], certs)
	if a := f.judge(arrived.Add(time.Hour)); a.Ground != GroundNone || a.Certified != 0 || len(a.Refused) != 3 {
		t.Fatalf("bad covers: %+v", a)
	}
	give(cover, certs)
	over := arrived.Add(Lease + 2*3*time.Second)
	a := f.judge(over.Add(-time.Millisecond))
	if a.Ground != GroundNone || a.Wait != time.Millisecond || a.Certified != 42 || !a.Newest.Equal(arrived.Add(2*time.Second)) {
		t.Fatalf("%+v", a)
	}
	if a := f.judge(over); a.Ground != GroundLease {
		t.Fatalf("%+v", a)
	}
	if give(cover, certs); f.since != arrived {
		t.Error("the wait began again")
	}
}

// TestTwoPlaces: a liar that names another place in the log does not mix with the others.
func TestTwoPlaces(t *testing.T) {
	c := newCourt(t)
	f := c.check()
	c.ok(f.word(4, c.word(4, func(a *command.OutcomeWord) { a.Meta.Chain[0] ^= 1 }), c.cert(4)))
	c.say(f, 1, 2, 3)
	a := f.judge(arrived)
	if a.Ground != GroundNone || !slices.Equal(a.Confirmed, []RegionID{1, 2, 3}) || !strings.Contains(a.Missing[4], "verifies") {
		t.Fatalf("%+v", a)
	}
}

// TestFreezeAfterARestart: regions that no longer know the place still confirm; a lease
// needs two that do, and one that refused the command confirms nothing.
func TestFreezeAfterARestart(t *testing.T) {
	c := newCourt(t)
	unplaced := func(o *command.OutcomeWord) { o.Meta = command.Meta{Index: place.Index} }
	f := c.check()
	cover, certs := c.cover(place, 1, 2, 3)
	c.say(f, 1)
	for _, r := range []RegionID{2, 3} {
		c.ok(f.word(r, c.word(r, unplaced), c.cert(r)))
	}
	f.take(&tetradv1.AcknowledgeResponse{Cover: cover, Sessions: certs}, arrived)
	if a := f.judge(arrived.Add(time.Hour)); a.Certified != 0 || a.Ground != GroundNone || len(a.Confirmed) != 3 {
		t.Fatalf("a place on one region's word: %+v", a)
	}
	refused := func(o *command.OutcomeWord) { o.Code = errs.Denied }
	c.ok(f.word(4, c.word(4, refused), c.cert(4)))
	if a := f.judge(arrived); a.Ground != GroundNone || len(a.Confirmed) != 3 || !strings.Contains(a.Missing[4], "denied") {
		t.Fatalf("a refusal confirms: %+v", a)
	}
	c.ok(f.word(4, c.word(4, unplaced), c.cert(4)))
	if a := f.judge(arrived); a.Ground != GroundEveryRegion || a.Index != place.Index {
		t.Fatalf("%+v", a)
	}
}
