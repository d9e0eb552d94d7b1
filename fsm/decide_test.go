package fsm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// want applies a command and checks the outcome's code; whatever it is, there is one leaf
// with that code, and a refusal has no effect.
func want(t *testing.T, l *fsmtest.Log, code errs.Code, c *command.Command) fsm.Result {
	t.Helper()
	r := l.Apply(c)
	if o := r.Outcomes[0]; o.Code != code {
		t.Fatalf("%s: %s (%s), want %s", c.Type, o.Code, o.Text, code)
	}
	if len(r.Leaves) != 1 || r.Leaves[0].Code != code {
		t.Fatalf("%s: leaves %+v", c.Type, r.Leaves)
	}
	if code != errs.OK && len(r.Opened)+len(r.Completed)+len(r.Keys) != 0 {
		t.Fatalf("%s was refused and changed something: %+v", c.Type, r)
	}
	return r
}

func TestRefusals(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	alice, bob := l.Admins[0], l.Admins[1]
	stranger := l.Signer("stranger")
	auditor := l.Principal("acme", "auditor", command.RoleAuditor)
	clerk := l.Principal("", "clerk", command.RoleAuditor)
	foreign := func() *identity.KeySigner {
		l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
		return l.Principal("other", "service", command.RoleSigner)
	}()
	p256 := func(b command.CreateKey) *command.CreateKey {
		if b.Name == "" {
			b.Name = "fresh"
		}
		if b.Tenant == "" {
			b.Tenant = "acme"
		}
		b.Scheme, b.Curve, b.Signers = max(b.Scheme, 1), max(b.Curve, 2), max(b.Signers, 2)
		return &b
	}
	put := func(name, tenant string, key identity.PublicKey, r command.Role) *command.PutPrincipal {
		return &command.PutPrincipal{Name: name, Tenant: tenant, Key: key, Roles: r}
	}
	fresh := l.Signer("fresh").Public()
	digest := fsmtest.Digest(key, [32]byte{1})
	id := alice.Public().Fingerprint()
	blind := l.Must(l.By(alice, p256(command.CreateKey{Name: "noblind"}))).Key
	for _, tc := range []struct {
		name string
		code errs.Code
		cmd  *command.Command
	}{
		{"unknown author", errs.Unauthenticated, l.By(stranger, digest)},
		{"tenant name with capitals", errs.Invalid, l.Dual(&command.CreateTenant{Name: "Acme"})},
		{"tenant name dots", errs.Invalid, l.Dual(&command.CreateTenant{Name: ".."})},
		{"tenant name not ascii", errs.Invalid, l.Dual(&command.CreateTenant{Name: "acmé"})},
		{"tenant exists", errs.Exists, l.Dual(&command.CreateTenant{Name: "acme"})},
		{"tenant, one admin", errs.NeedsSecondAdmin, l.By(alice, &command.CreateTenant{Name: "solo"})},
		{"tenant, no admin", errs.Denied, l.By(signer, &command.CreateTenant{Name: "solo"})},
		{"tenant, second signer no admin", errs.NeedsSecondAdmin, l.By(alice, &command.CreateTenant{Name: "solo"}, clerk)},
		{"tenant, second signer a tenant's", errs.Unauthenticated, l.By(alice, &command.CreateTenant{Name: "solo"}, signer)},
		{"request, signed by another tenant too", errs.Unauthenticated, l.By(signer, digest, foreign)},
		{"principal of no tenant", errs.NotFound, l.Dual(put("x", "nobody", fresh, command.RoleSigner))},
		{"principal, name taken", errs.Exists, l.Dual(put("service", "acme", fresh, command.RoleSigner))},
		{"principal, roles mixed", errs.Invalid, l.Dual(put("x", "acme", fresh, command.RoleAdmin))},
		{"principal, vault signer", errs.Invalid, l.Dual(put("x", "", fresh, command.RoleSigner))},
		{"principal, no role", errs.Invalid, l.Dual(put("x", "acme", fresh, 0))},
		{"principal moves tenant", errs.Invalid, l.Dual(put("x", "other", signer.Public(), command.RoleSigner))},
		{"principal is a session", errs.Invalid, l.Dual(put("x", "acme", l.Region(1).Session.Public(), command.RoleSigner))},
		{"principal is a region", errs.Invalid, l.Dual(put("x", "acme", l.Region(1).Identity.Public(), command.RoleSigner))},
		{"one admin too few by role", errs.BadState, l.Dual(put("alice", "", alice.Public(), command.RoleAuditor))},
		{"one admin too few", errs.BadState, l.Dual(&command.RemovePrincipal{Principal: id})},
		{"remove unknown", errs.NotFound, l.Dual(&command.RemovePrincipal{})},
		{"key by signer", errs.Denied, l.By(signer, p256(command.CreateKey{}))},
		{"key, blind, one admin", errs.NeedsSecondAdmin, l.By(alice, p256(command.CreateKey{AllowBlind: true}))},
		{"key, name taken", errs.Exists, l.By(alice, p256(command.CreateKey{Name: "hot"}))},
		{"key of no tenant", errs.NotFound, l.By(alice, p256(command.CreateKey{Tenant: "nobody"}))},
		{"key, threshold", errs.Invalid, l.By(alice, p256(command.CreateKey{Scheme: 2}))},
		{"key, curve", errs.Invalid, l.By(alice, p256(command.CreateKey{Curve: 9}))},
		{"key, five signers", errs.Invalid, l.By(alice, p256(command.CreateKey{Signers: 5}))},
		{"key, two regions", errs.NoEligiblePair, l.By(alice, p256(command.CreateKey{Regions: ids(1, 2)}))},
		{"key, unknown region", errs.Invalid, l.By(alice, p256(command.CreateKey{Regions: ids(1, 2, 5)}))},
		{"key, four sign of three", errs.NoEligiblePair, l.By(alice, p256(command.CreateKey{Signers: 4, Regions: ids(1, 2, 3)}))},
		{"key, steering note", errs.Invalid, l.By(alice, p256(command.CreateKey{Note: "a\x1b[2J"}))},
		{"request, unknown key", errs.NotFound, l.By(signer, fsmtest.Digest(command.KeyID{9}, [32]byte{}))},
		{"request, another tenant's key", errs.NotFound, l.By(foreign, digest)},
		{"request without the role", errs.Denied, l.By(auditor, digest)},
		{"request, admin", errs.NotFound, l.By(alice, digest)},
		{"request, key pending", errs.BadState, l.By(signer, fsmtest.Digest(blind, [32]byte{}))},
		{"request, empty", errs.PayloadRejected, l.By(signer, &command.RequestSignature{Key: key, Kind: command.KindDigest})},
		{"request, short digest", errs.PayloadRejected, l.By(signer, &command.RequestSignature{Key: key, Kind: command.KindDigest, Payload: []byte{1}})},
		{"request, unhashed message", errs.PayloadRejected, l.By(signer, &command.RequestSignature{Key: key, Kind: command.KindMessage, Payload: []byte{1}})},
		{"request, psbt on p256", errs.PayloadRejected, l.By(signer, &command.RequestSignature{Key: key, Kind: command.KindPSBT, Payload: []byte{1}})},
		{"request, kind", errs.Invalid, l.By(signer, &command.RequestSignature{Key: key, Kind: 9, Payload: []byte{1}})},
		{"request lives too long", errs.Invalid, l.Command(digest, l.Now.Add(11*time.Minute), signer)},
		{"expired", errs.Expired, l.Command(digest, l.Now, signer)},
		{"lives beyond the limit", errs.Invalid, l.Command(digest, l.Now.Add(25*time.Hour), signer)},
		{"freeze unknown key", errs.NotFound, l.By(alice, &command.FreezeKey{})},
		{"freeze by auditor", errs.Denied, l.By(auditor, &command.FreezeKey{Key: key})},
		{"freeze by other tenant", errs.NotFound, l.By(foreign, &command.FreezeKey{Key: key})},
		{"freeze vault by signer", errs.Denied, l.By(signer, &command.FreezeVault{})},
		{"unfreeze what is not", errs.BadState, l.Dual(&command.UnfreezeKey{Key: key})},
		{"unfreeze vault that is not", errs.BadState, l.Dual(&command.UnfreezeVault{})},
		{"configure nonsense", errs.Invalid, l.Dual(&command.Configure{})},
		{"configure, one admin", errs.NeedsSecondAdmin, l.By(bob, &command.Configure{})},
		{"replace unknown", errs.NotFound, l.Dual(&command.ReplaceMember{Region: 9})},
		{"replace, server id", errs.Invalid, l.Dual(&command.ReplaceMember{Region: 1, ServerID: "beta-00000001"})},
		{"retire, one admin", errs.NeedsSecondAdmin, l.By(bob, &command.RetireKey{Key: key})},
		{"retire unknown", errs.NotFound, l.Dual(&command.RetireKey{})},
		{"tick by principal", errs.Unauthenticated, l.By(alice, &command.Tick{})},
		{"request by region", errs.Unauthenticated, l.By(l.Region(1).Session, digest)},
		{"session as tick author by identity", errs.Unauthenticated, l.By(l.Region(1).Identity, &command.Tick{})},
		{"attest active key", errs.BadState, l.Attest(l.Region(1), key, command.P256)},
		{"confirm without attestations", errs.BadState, l.By(l.Region(1).Session, &command.ConfirmKey{Key: blind})},
		{"health of another, no words", errs.Denied, l.By(l.Region(1).Session, &command.ReportHealth{Region: 2})},
		{"health of nobody", errs.NotFound, l.By(l.Region(1).Session, &command.ReportHealth{Region: 7})},
		{"attempt of nothing", errs.BadState, l.By(l.Region(1).Session, &command.OpenAttempt{Attempt: 2})},
		{"completion, garbage answer", errs.Malformed, l.By(l.Region(1).Session, &command.Complete{Answers: [][]byte{{1}}})},
		{"session again", errs.Stale, l.Register(l.Region(1))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := l.Machine.View()
			want(t, l, tc.code, tc.cmd)
			after := l.Machine.View()
			if len(after.Keys("")) != len(before.Keys("")) || len(after.Principals()) != len(before.Principals()) {
				t.Fatal("a refusal changed the state")
			}
		})
	}
}

func TestSignatures(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	body := func() command.Body { return fsmtest.Digest(key, [32]byte{1}) }
	spoil := func(c *command.Command, f func(*command.Command)) *command.Command { f(c); return c }
	for name, c := range map[string]*command.Command{
		"none":       spoil(l.By(signer, body()), func(c *command.Command) { c.Signatures = nil }),
		"bad":        spoil(l.By(signer, body()), func(c *command.Command) { c.Signatures[0].Sig[3] ^= 1 }),
		"field":      spoil(l.By(signer, body()), func(c *command.Command) { c.Fields[4].Value = []byte("note") }),
		"expiry":     spoil(l.By(signer, body()), func(c *command.Command) { c.Expiry = c.Expiry.Add(time.Second) }),
		"type":       spoil(l.By(signer, body()), func(c *command.Command) { c.Type = command.TypeFreezeVault }),
		"another's":  spoil(l.By(signer, body()), func(c *command.Command) { c.Principal = l.Admins[0].Public().Fingerprint() }),
		"co-signer":  spoil(l.Dual(&command.CreateTenant{Name: "x"}), func(c *command.Command) { c.Signatures[1].Sig[3] ^= 1 }),
		"twice":      spoil(l.By(l.Admins[0], &command.CreateTenant{Name: "x"}), func(c *command.Command) { c.Signatures = append(c.Signatures, c.Signatures[0]) }),
		"strange co": l.By(l.Admins[0], &command.CreateTenant{Name: "x"}, l.Signer("stranger")),
		"format":     spoil(l.By(signer, body()), func(c *command.Command) { c.Format = 7 }),
	} {
		code := errs.Unauthenticated
		if name == "format" {
			code = errs.Malformed
		}
		if o := l.Do(c); o.Code != code {
			t.Errorf("%s: %s (%s), want %s", name, o.Code, o.Text, code)
		}
	}
	// Another cluster's signature is not ours.
	other := fsmtest.NewSeeded("other")
	c, err := command.New(body(), signer.Public().Fingerprint(), l.ID(), l.Now.Add(time.Minute), strings.NewReader(strings.Repeat("s", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Sign(context.Background(), other.Cluster(), signer); err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Unauthenticated, c)
}

// TestRemembered pins which outcomes an id keeps: bytes once refused never succeed later,
// but for the refusals that ask for a second signature or another try.
func TestRemembered(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	alice, bob := l.Admins[0], l.Admins[1]
	l.Must(l.By(alice, &command.FreezeKey{Key: key, Reason: "drill"}))
	refused := l.By(signer, fsmtest.Digest(key, [32]byte{1}))
	want(t, l, errs.Frozen, refused)
	l.Must(l.Dual(&command.UnfreezeKey{Key: key}))
	if r := want(t, l, errs.Frozen, refused); r.Leaves[0].Effect == nil {
		t.Fatal("the repetition is not marked in the audit")
	}

	other := l.By(signer, fsmtest.Digest(key, [32]byte{2}))
	other.ID = refused.ID
	other.Signatures = nil
	if err := other.Sign(context.Background(), l.Cluster(), signer); err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Replayed, other)

	alone := l.By(alice, &command.CreateTenant{Name: "later"})
	want(t, l, errs.NeedsSecondAdmin, alone)
	if err := alone.Sign(context.Background(), l.Cluster(), bob); err != nil {
		t.Fatal(err)
	}
	first := want(t, l, errs.OK, alone).Outcomes[0]
	if again := want(t, l, errs.OK, alone).Outcomes[0]; again != first {
		t.Fatalf("repeated %+v, first %+v", again, first)
	}

	create := l.Dual(&command.CreateKey{Name: "again", Tenant: "acme", Scheme: 1, Curve: command.P256, Signers: 2})
	if a, b := l.Must(create), l.Must(create); a != b || a.Key == (command.KeyID{}) {
		t.Fatalf("key %+v, then %+v", a, b)
	}

	l.Must(l.Dual(&command.Configure{Settings: command.Settings{MaxSkew: time.Second, RequestMaxAge: time.Hour, MaxOpen: 1}}))
	l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{3})))
	busy := l.By(signer, fsmtest.Digest(key, [32]byte{4}))
	want(t, l, errs.Throttled, busy)
	l.Must(l.Dual(&command.Configure{Settings: command.Settings{MaxSkew: time.Second, RequestMaxAge: time.Hour, MaxOpen: 2}}))
	want(t, l, errs.OK, busy)
}

// TestLeavesCarryNoNames: what cannot be withheld names nobody.
func TestLeavesCarryNoNames(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	r := want(t, l, errs.Exists, l.Dual(&command.CreateTenant{Name: "acme"}))
	leaf := r.Leaves[0]
	if leaf.Text != "" || strings.Contains(string(leaf.Canonical()), "acme") {
		t.Fatal("the hashed part of a leaf names a tenant")
	}
	if _, err := audit.DecodeLeaf(leaf.Encode()); err != nil {
		t.Fatal(err)
	}
}

func TestRevocation(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	carol := l.Principal("", "carol", command.RoleAdmin)
	l.Must(l.Dual(&command.RemovePrincipal{Principal: l.Admins[0].Public().Fingerprint()}))
	want(t, l, errs.Unauthenticated, l.Dual(&command.CreateTenant{Name: "x"}))
	l.Must(l.By(l.Admins[1], &command.CreateTenant{Name: "x"}, carol))
	by := func(b command.Body) *command.Command { return l.By(l.Admins[1], b, carol) }
	want(t, l, errs.BadState, by(&command.RemovePrincipal{Principal: carol.Public().Fingerprint()}))
	l.Must(by(&command.RemovePrincipal{Principal: signer.Public().Fingerprint()}))
	want(t, l, errs.Unauthenticated, l.By(signer, fsmtest.Digest(key, [32]byte{})))
	want(t, l, errs.BadState, by(&command.PutPrincipal{Name: "back", Tenant: "acme", Key: signer.Public(), Roles: command.RoleSigner}))
	if v := l.Machine.View(); v.MayRead(signer.Public().Fingerprint(), "acme") || !v.MayRead(carol.Public().Fingerprint(), "acme") {
		t.Fatal("rights to read do not follow the principals")
	}
}
