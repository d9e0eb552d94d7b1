package fsm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// away has two others report a region away.
func away(l *fsmtest.Log, r identity.RegionID) {
	g, _ := l.Machine.View().Region(r)
	var words [][]byte
	var by *identity.Session
	for _, o := range l.Regions {
		if o.ID != r && len(words) < 2 && len(regionOf(l, o.ID).Sessions) > 0 {
			by, words = o.Session, append(words, l.Word(o.ID, command.Word{Kind: command.WordUnreachable, About: r, Request: command.HealthSpell(g.Since), At: l.Now}))
		}
	}
	l.Must(l.By(by, &command.ReportHealth{Region: r, Words: words}))
}

func regionOf(l *fsmtest.Log, id identity.RegionID) *fsm.Region {
	r, _ := l.Machine.View().Region(id)
	return r
}

// TestReenrol: a region comes back with another HSM, and what it was never counts again.
func TestReenrol(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	old, before := l.Region(3), regionOf(l, 3)
	away(l, 3)
	b, next := l.Enrol(old)
	res := want(t, l, errs.OK, l.Dual(b))
	l.Regions[2] = next
	r := regionOf(l, 3)
	if !r.Identity.Equal(b.Identity) || !bytes.Equal(r.Wrapping, b.Wrapping) || r.ServerID != b.ServerID || r.HSM != b.HSM || r.RaftAddr != b.RaftAddr ||
		r.OAEPHash != 2 || len(r.Sessions) != 0 || r.Healthy || r.Name != "gamma" || r.Since != res.Meta.Index || !res.Regions {
		t.Fatalf("%+v", r)
	}
	if len(r.Former) != 1 || !r.Former[0].Identity.Equal(before.Identity) || r.Former[0].Index != res.Meta.Index || r.Former[0].Wrapping != sha256.Sum256(before.Wrapping) ||
		!r.Founder().Equal(before.Identity) {
		t.Fatalf("former: %+v", r.Former)
	}
	e, err := audit.DecodeEffect(res.Leaves[0].Effect)
	if err != nil || len(e.Regions) != 1 || e.Regions[0].Region != 3 || e.Regions[0].Healthy || e.Regions[0].Session != (identity.Fingerprint{}) || len(e.Keys) != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	canonical(t, l)

	// What the old HSM signs now or signed ahead of time: unknown.
	want(t, l, errs.Unauthenticated, l.By(old.Session, &command.Tick{}))
	l.NewSession(old, l.Now.Add(time.Second))
	want(t, l, errs.Unauthenticated, l.Register(old))
	want(t, l, errs.Unverified, l.By(next.Identity, &command.RegisterSession{Cert: old.Session.Cert.Encode()}))
	cert, err := identity.IssueSession(context.Background(), next.Identity, old.Identity, identity.SessionCert{Cluster: l.Cluster(), Region: 3, ServerID: next.ServerID, Issued: l.Now})
	if err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Invalid, l.By(next.Identity, &command.RegisterSession{Cert: cert.Encode()})) // the old identity as a session
	want(t, l, errs.Invalid, l.Dual(&command.PutPrincipal{Name: "x", Tenant: "acme", Key: old.Identity.Public(), Roles: command.RoleSigner}))

	want(t, l, errs.OK, l.Register(next))
	if r = regionOf(l, 3); !r.Healthy || len(r.Sessions) != 1 || len(r.Former) != 1 {
		t.Fatalf("%+v", r)
	}
	k := keyOf(t, l, key)
	if !k.Attested(3).Lost || !slices.Equal(k.Lost(), ids(3)) || len(k.Attestations) != 4 || len(k.Info().PublicKeys) != 4 {
		t.Fatalf("%+v", k.Attestations)
	}
	id := opened(t, l, signer, key)
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 2, 4)) || !slices.Equal(l.Machine.View().Able(k), ids(1, 2, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	fresh := l.Key("acme", "fresh", command.P256, 2)
	id = opened(t, l, signer, fresh)
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 2, 3, 4)) {
		t.Fatalf("of a new key drawn among %v", q.Open().Eligible)
	}
	canonical(t, l)
}

// TestReenrolRefused: each rule by itself, and a refusal changes nothing.
func TestReenrolRefused(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	enrol := func(change func(*command.Reenrol)) *command.Reenrol {
		b, next := l.Enrol(l.Region(3))
		change(b)
		if err := b.Prove(context.Background(), l.Cluster(), next.Identity); err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := func(*command.Reenrol) {}
	want(t, l, errs.BadState, l.Dual(enrol(good))) // it is at work
	away(l, 3)
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], enrol(good)))
	want(t, l, errs.Denied, l.By(signer, enrol(good)))
	want(t, l, errs.Unauthenticated, l.By(l.Region(1).Session, enrol(good)))
	other, own := regionOf(l, 1), regionOf(l, 3)
	for name, c := range map[string]struct {
		code   errs.Code
		change func(*command.Reenrol)
	}{
		"no such region":            {errs.NotFound, func(b *command.Reenrol) { b.Region = 5 }},
		"another region's name":     {errs.Invalid, func(b *command.Reenrol) { b.ServerID = "beta-00000001" }},
		"the same incarnation":      {errs.Invalid, func(b *command.Reenrol) { b.ServerID = own.ServerID }},
		"raft address":              {errs.Invalid, func(b *command.Reenrol) { b.RaftAddr = "nowhere" }},
		"api address":               {errs.Invalid, func(b *command.Reenrol) { b.APIAddr = "" }},
		"gossip address":            {errs.Invalid, func(b *command.Reenrol) { b.GossipAddr = "a:b" }},
		"no wrapping key":           {errs.Invalid, func(b *command.Reenrol) { b.Wrapping = nil }},
		"garbage as wrapping key":   {errs.Invalid, func(b *command.Reenrol) { b.Wrapping = []byte("wrapping") }},
		"no hash":                   {errs.Invalid, func(b *command.Reenrol) { b.OAEPHash = 0 }},
		"unknown hash":              {errs.Invalid, func(b *command.Reenrol) { b.OAEPHash = 3 }},
		"curves":                    {errs.Invalid, func(b *command.Reenrol) { b.Curves = []byte{2, 1} }},
		"steering text":             {errs.Invalid, func(b *command.Reenrol) { b.HSM = "a\x1b[2J" }},
		"its own identity":          {errs.Invalid, func(b *command.Reenrol) { b.Identity = own.Identity }},
		"another's identity":        {errs.Invalid, func(b *command.Reenrol) { b.Identity = other.Identity }},
		"a session":                 {errs.Invalid, func(b *command.Reenrol) { b.Identity = other.Sessions[0].Session }},
		"an administrator":          {errs.Invalid, func(b *command.Reenrol) { b.Identity = l.Admins[0].Public() }},
		"not signed by it":          {errs.Unverified, func(b *command.Reenrol) { b.Identity = l.Signer("another").Public() }},
		"another identity is meant": {errs.Stale, func(b *command.Reenrol) { b.Replaces = other.Identity.Fingerprint() }},
		"no identity is meant":      {errs.Stale, func(b *command.Reenrol) { b.Replaces = identity.Fingerprint{} }},
	} {
		digest := regionOf(l, 3)
		want(t, l, c.code, l.Dual(enrol(c.change)))
		if regionOf(l, 3) != digest {
			t.Fatalf("%s: refused, and the region changed", name)
		}
	}
	want(t, l, errs.OK, l.Dual(enrol(good)))
}

// TestReenrolKeysOfBefore: no key that any region ever had comes back, as identity or as
// wrapping key.
func TestReenrolKeysOfBefore(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	first := l.Region(3)
	away(l, 3)
	was := l.Reenrol(first)
	taken := regionOf(l, 3).Wrapping
	b, next := l.Enrol(was) // it is not there yet, so that it may be enrolled again
	refused := func(why string, change func(*command.Reenrol), by identity.Signer) {
		t.Helper()
		n := *b
		change(&n)
		if err := n.Prove(context.Background(), l.Cluster(), by); err != nil {
			t.Fatal(err)
		}
		if o := l.Do(l.Dual(&n)); o.Code != errs.Invalid {
			t.Fatalf("%s: %s (%s)", why, o.Code, o.Text)
		}
	}
	refused("the founder's identity", func(n *command.Reenrol) { n.Identity = first.Identity.Public() }, first.Identity)
	refused("its wrapping key", func(n *command.Reenrol) { n.Wrapping = taken }, next.Identity)
	l.Must(l.Dual(b))
	l.Regions[2] = next
	b, next = l.Enrol(next)
	refused("its wrapping key of before", func(n *command.Reenrol) { n.Wrapping = taken }, next.Identity)
	refused("its identity of before", func(n *command.Reenrol) { n.Identity = was.Identity.Public() }, was.Identity)
	if r := regionOf(l, 3); len(r.Former) != 2 || !r.Founder().Equal(first.Identity.Public()) {
		t.Fatalf("%+v", r.Former)
	}
	canonical(t, l)
}

// TestReenrolHeldBack: a leader that keeps a command until the region was enrolled otherwise
// has nothing of it; nor has one that has it carried out twice.
func TestReenrolHeldBack(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	away(l, 3)
	b, _ := l.Enrol(l.Region(3))
	kept := l.Dual(b)
	b, next := l.Enrol(l.Region(3))
	done := l.Dual(b)
	l.Must(done)
	l.Regions[2] = next
	want(t, l, errs.Stale, kept)
	l.Must(l.Register(next))
	away(l, 3)
	if o := l.Do(done); o.Code != errs.OK || len(regionOf(l, 3).Former) != 1 {
		t.Fatalf("%+v", o)
	}
	want(t, l, errs.Stale, l.Dual(b))
}

// TestReenrolOneAtATime: the next region's turn comes a day later, and when this one is there.
func TestReenrolOneAtATime(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	away(l, 3)
	l.Reenrol(l.Region(3))
	l.Reenrol(l.Region(3)) // again and at once: it never came
	b, _ := l.Enrol(l.Region(2))
	l.Must(l.By(l.Region(2).Session, &command.ReportHealth{Region: 2}))
	want(t, l, errs.BadState, l.Dual(b)) // region 3 is not there
	l.Must(l.Register(l.Region(3)))
	l.Must(l.By(l.Region(2).Session, &command.ReportHealth{Region: 2, Healthy: true}))
	refreshBeacon(t, l, 1, 2, 3, 4)
	later(l, fsm.RetireTime)
	away(l, 2)
	want(t, l, errs.Throttled, l.Dual(b))
	l.Now = regionOf(l, 3).Former[1].At.Add(fsm.ReenrolTime - time.Second)
	want(t, l, errs.Throttled, l.Dual(b))
	l.Now = l.Now.Add(time.Second)
	l.Must(l.Dual(b))
}

// TestReenrolKeepsTheBeacon: with too few shares of the beacon left nothing would ever be
// drawn again, so that is refused until others have shares.
func TestReenrolKeepsTheBeacon(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	away(l, 4)
	l.Reenrol(l.Region(4))
	l.Must(l.Register(l.Region(4)))
	k := beaconOf(l)
	if !k.Sharing.Founded() || !slices.Equal(k.Sharing.Holders(), ids(1, 2, 3)) || k.Holds(4) || k.SharingAt(1) != k.Sharing || len(k.Regions) != 4 {
		t.Fatalf("%+v", k)
	}
	canonical(t, l)
	opened(t, l, signer, key)
	l.Now = l.Now.Add(fsm.ReenrolTime)
	l.Must(l.By(l.Region(1).Session, &command.Tick{}))
	away(l, 2)
	b, _ := l.Enrol(l.Region(2))
	want(t, l, errs.BadState, l.Dual(b))
	l.NewSession(l.Region(2), l.Now)
	l.Must(l.Register(l.Region(2)))
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey})) // as it is meant to be held: by all
	if c := beaconOf(l).Ceremony; !slices.Equal(c.Dealers, ids(1, 2, 3)) || !slices.Equal(c.Holders, ids(1, 2, 3, 4)) {
		t.Fatalf("%+v", c)
	}
	l.Hold(command.BeaconKey)
	later(l, fsm.RetireTime)
	if k = beaconOf(l); !k.Holds(4) || k.Sharing.Epoch != 1 {
		t.Fatalf("%+v", k)
	}
	away(l, 2)
	b, _ = l.Enrol(l.Region(2))
	l.Must(l.Dual(b))
	if k = beaconOf(l); !slices.Equal(k.Sharing.Holders(), ids(1, 3, 4)) {
		t.Fatalf("%+v", k)
	}
	canonical(t, l)
}

// TestReenrolShares: its shares are gone from the live and the retiring sharing, its keys from
// every wrapping epoch; a reshare gives it new ones.
func TestReenrolShares(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.RefreshKey{Key: key}))
	l.Hold(key)
	was := keyOf(t, l, key)
	public, hash := was.Sharing.Public, fsm.SharingHash(was)
	if was.Retiring == nil || wrapOf(t, l, 1).Key(2) == nil {
		t.Fatalf("%+v", was)
	}
	away(l, 2)
	l.Reenrol(l.Region(2))
	k := keyOf(t, l, key)
	if k.Holds(2) || k.Retiring.Share(2) != nil || len(k.Sharing.Shares) != 3 || !bytes.Equal(k.Sharing.Public, public) || fsm.SharingHash(k) != hash || len(k.Regions) != 4 {
		t.Fatalf("%+v", k)
	}
	for _, e := range l.Machine.View().Wraps() {
		if e.Key(2) != nil || len(e.Keys) != 3 {
			t.Fatalf("%+v", e)
		}
	}
	if p, ok := l.Machine.View().NoncePool(2, command.Ed25519); !ok || p.Count() != 0 {
		t.Fatalf("%+v", p)
	}
	canonical(t, l)
	l.Must(l.Register(l.Region(2)))
	l.Must(l.OfferNonces(l.Region(2), command.Ed25519, 8))
	id := l.Must(l.By(signer, fsmtest.Message(key, "pay"))).Request
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 3, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	later(l, fsm.RetireTime)
	l.Must(l.Dual(&command.RefreshKey{Key: key, Holders: ids(1, 2, 3, 4)}))
	if c := keyOf(t, l, key).Ceremony; !slices.Equal(c.Dealers, ids(1, 3, 4)) {
		t.Fatalf("dealt by %v", c.Dealers)
	}
	l.Hold(key)
	later(l, fsm.RetireTime)
	id = l.Must(l.By(signer, fsmtest.Message(key, "pay"))).Request
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 2, 3, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	canonical(t, l)
}

// TestReenrolDoomedEpochs: an epoch that only waited for the lost HSM to destroy its key goes
// at once; one that others still have goes without it.
func TestReenrolDoomedEpochs(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	for range 2 {
		l.Must(l.Dual(&command.RefreshKey{Key: key}))
		l.Hold(key)
		later(l, fsm.RetireTime)
	}
	for _, r := range ids(1, 2, 3) {
		l.Must(l.By(l.Region(r).Session, &command.DropWrap{Epoch: 1}))
	}
	l.Must(l.By(l.Region(4).Session, &command.DropWrap{Epoch: 2}))
	l.Must(l.By(l.Region(1).Session, &command.DropWrap{Epoch: 2}))
	away(l, 4)
	l.Reenrol(l.Region(4))
	if _, ok := l.Machine.View().Wrap(1); ok {
		t.Fatal("an epoch waits for an HSM that is gone")
	}
	if e := wrapOf(t, l, 2); len(e.Keys) != 3 || !slices.Equal(e.Dropped, ids(1)) {
		t.Fatalf("%+v", e)
	}
	canonical(t, l)
	for _, r := range ids(2, 3) {
		l.Must(l.By(l.Region(r).Session, &command.DropWrap{Epoch: 2}))
	}
	if _, ok := l.Machine.View().Wrap(2); ok {
		t.Fatal("every key of the epoch is destroyed, and it stands")
	}
}

// TestReenrolInCeremony: a try that the region deals or holds in fails and names it; the next
// one is dealt without it, and waits for its new wrapping key.
func TestReenrolInCeremony(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.RefreshKey{Key: key}))
	finishing(t, l, key)
	outside := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "others", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2, Regions: ids(1, 2, 3)})).Key
	finishing(t, l, outside)
	l.Must(l.Dual(&command.Configure{Settings: command.Settings{MaxSkew: 2 * time.Second, RequestMaxAge: 10 * time.Minute, MaxOpen: 4096, Import: true}}))
	brought := l.Must(l.Dual(l.Import("acme", "brought", command.Ed25519, 2))).Key
	away(l, 4)
	l.Reenrol(l.Region(4))
	c := keyOf(t, l, key).Ceremony
	if c.ID.Try != 2 || c.Step != fsm.StepWrap || !slices.Equal(c.Dealers, ids(1, 2, 3)) || !slices.Equal(c.Holders, ids(1, 2, 3, 4)) || len(c.Parts) != 0 ||
		len(c.Faults) != 1 || c.Faults[0].Region != 4 || c.Faults[0].Try != 1 || c.Faults[0].Step != fsm.StepFinish || len(c.Faults[0].By) != 0 {
		t.Fatalf("%+v", c)
	}
	if c = keyOf(t, l, outside).Ceremony; c.ID.Try != 1 || c.Step != fsm.StepFinish {
		t.Fatalf("a ceremony without it: %+v", c)
	}
	if k := keyOf(t, l, brought); k.State != fsm.KeyRetired || k.Import != nil {
		t.Fatalf("brought in: %+v", k)
	}
	canonical(t, l)
	l.Must(l.Register(l.Region(4)))
	l.Hold(key)
	if k := keyOf(t, l, key); !k.Holds(4) || k.Ceremony != nil {
		t.Fatalf("%+v", k)
	}
	canonical(t, l)
}

// TestReenrolPendingKey: nothing of a key was released yet, so the region attests it anew, and
// all confirm what then stands.
func TestReenrolPendingKey(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	id := l.Must(l.Dual(&command.CreateKey{Name: "next", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2, AllowBlind: true})).Key
	for _, r := range l.Regions {
		l.Must(l.Attest(r, id, command.P256))
	}
	before := fsm.AttestationsHash(keyOf(t, l, id))
	for _, r := range ids(1, 2, 3) {
		l.Must(l.By(l.Region(r).Session, &command.ConfirmKey{Key: id, Attestations: before}))
	}
	away(l, 4)
	l.Reenrol(l.Region(4))
	k := keyOf(t, l, id)
	if k.State != fsm.KeyPending || len(k.Attestations) != 3 || k.Attested(4) != nil || slices.ContainsFunc(k.Attestations, func(a fsm.Attestation) bool { return a.Confirmed || a.Lost }) {
		t.Fatalf("%+v", k.Attestations)
	}
	canonical(t, l)
	l.Must(l.Register(l.Region(4)))
	want(t, l, errs.BadState, l.By(l.Region(4).Session, &command.ConfirmKey{Key: id, Attestations: before}))
	again := l.AttestWith(l.Region(4), id, append([]byte{3}, make([]byte, 32)...), make([]byte, 64), []byte("attributes"))
	l.Must(again)
	after := fsm.AttestationsHash(keyOf(t, l, id))
	want(t, l, errs.Unverified, l.By(l.Region(1).Session, &command.ConfirmKey{Key: id, Attestations: before}))
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, &command.ConfirmKey{Key: id, Attestations: after}))
	}
	asked := opened(t, l, signer, id)
	q, _ := l.Machine.View().Request(asked)
	if !slices.Equal(q.Open().Eligible, ids(1, 2, 3, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
}

// TestReenrolOpenRequests: an answer that the old HSM gave completes nothing any more; another
// attempt is among the others.
func TestReenrolOpenRequests(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	id := opened(t, l, signer, key)
	late := l.Completion(l.Region(1), [32]byte{7}, ids(2, 4), id)
	away(l, 4)
	l.Reenrol(l.Region(4))
	want(t, l, errs.Unverified, late)
	l.Must(next(l, 1, id, 2, unreachable(l, 2, 4, id, 1)))
	q, _ := l.Machine.View().Request(id)
	if !slices.Equal(q.Open().Eligible, ids(1, 2, 3)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	l.Must(l.Completion(l.Region(3), [32]byte{7}, ids(1, 2), id))
	if state(l, id) != fsm.RequestComplete {
		t.Fatal("the request did not complete")
	}
}

// TestReenrolQuarantined: a region in quarantine may be enrolled anew, and stays in it.
func TestReenrolQuarantined(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.QuarantineRegion{Region: 2, Quarantined: true, Reason: "its HSM was stolen"}))
	l.Reenrol(l.Region(2))
	want(t, l, errs.Denied, l.Register(l.Region(2)))
	l.Must(l.Dual(&command.QuarantineRegion{Region: 2, Reason: "it is another"}))
	l.Must(l.Register(l.Region(2)))
}

// TestReenrolEnds: after so many identities a region is not given another.
func TestReenrolEnds(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	away(l, 1)
	for range fsm.MaxFormer {
		l.Reenrol(l.Region(1))
	}
	b, _ := l.Enrol(l.Region(1))
	want(t, l, errs.TooLarge, l.Dual(b))
	canonical(t, l)
}

// TestReenrolAfterRepair: a clock that was far ahead makes nobody wait for it.
func TestReenrolAfterRepair(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	now := l.Now
	l.Now = now.Add(1000 * time.Hour)
	l.Must(l.By(l.Region(1).Session, &command.Tick{}))
	away(l, 3)
	l.Reenrol(l.Region(3))
	l.Must(l.Register(l.Region(3)))
	word := func(by identity.RegionID) []byte {
		return l.ClockWord(by, command.ClockWord{Clock: l.Machine.View().Clock(), At: now})
	}
	l.Must(l.Command(&command.RepairClock{To: now, Words: [][]byte{word(1), word(2)}}, now.Add(time.Hour), l.Admins[0], l.Admins[1]))
	if at := regionOf(l, 3).Former[0].At; !at.Equal(now.Truncate(time.Millisecond)) {
		t.Fatalf("enrolled at %s", at)
	}
	canonical(t, l)
}

// TestReenrolEscrow: who files a share is who holds one; what was filed stays.
func TestReenrolEscrow(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.Configure{Settings: command.Settings{MaxSkew: 2 * time.Second, RequestMaxAge: 10 * time.Minute, MaxOpen: 4096, EscrowDelay: time.Minute}}))
	l.Must(l.Dual(&command.EscrowKey{Key: key, Officers: []string{"age1a", "age1b"}, M: 2, Delay: time.Minute}))
	l.Now = l.Now.Add(2 * time.Minute)
	file := func(r identity.RegionID) *command.Command {
		return l.By(l.Region(r).Session, &command.EscrowShare{Key: key, Number: 1, Epoch: 1, Box: []byte{byte(r)}})
	}
	l.Must(file(4))
	away(l, 4)
	l.Reenrol(l.Region(4))
	l.Must(l.Register(l.Region(4)))
	l.Must(file(1))
	l.Must(file(2))
	k := keyOf(t, l, key)
	if e := k.Escrowing(); e == nil || !e.Live() || e.Box(4) == nil {
		t.Fatalf("region 3 has not filed its share, and nobody waits: %+v", k.Escrows[0])
	}
	l.Must(file(3))
	if k = keyOf(t, l, key); k.Escrowing() != nil {
		t.Fatal("all have filed, and somebody waits")
	}
	canonical(t, l)
}
