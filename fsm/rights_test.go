package fsm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestRevocationStopsOpenRequests: who may no longer sign gets no further draw, and what
// was asked before does not come to life when the right comes back.
func TestRevocationStopsOpenRequests(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	put := func(r command.Role) *command.Command {
		return l.Dual(&command.PutPrincipal{Name: "service", Tenant: "acme", Key: signer.Public(), Roles: r})
	}
	may := func() bool { return l.Machine.View().MaySign(signer.Public().Fingerprint(), "acme") }
	id, released := opened(t, l, signer, key), opened(t, l, signer, key)
	filed := l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), released)
	if !may() || l.Machine.View().MaySign(signer.Public().Fingerprint(), "other") {
		t.Fatal("a signer's right is not its tenant's")
	}
	l.Must(put(command.RoleAuditor))
	if may() {
		t.Fatal("an auditor may sign")
	}
	want(t, l, errs.Denied, next(l, 1, id, 2, refusal(l, 2, id, 1)))
	if r := l.Apply(filed); len(r.Completed) != 1 { // what left before is still told
		t.Fatalf("%+v", r.Outcomes)
	}
	l.Must(put(command.RoleSigner | command.RoleAuditor))
	if state(l, id) != fsm.RequestFailed {
		t.Fatal("a request from before the revocation survived it")
	}
	id = opened(t, l, signer, key)
	l.Must(put(command.RoleSigner))
	if state(l, id) != fsm.RequestOpen {
		t.Fatal("a change of other roles ended a request")
	}
	l.Must(l.Dual(&command.RemovePrincipal{Principal: signer.Public().Fingerprint()}))
	if may() {
		t.Fatal("a removed principal may sign")
	}
	want(t, l, errs.Denied, next(l, 1, id, 2, refusal(l, 2, id, 1)))
}

// TestWordsOfBeforeTheDraw: a word is a reason only if it was given after the draw it
// speaks of; else words could be collected beforehand and used to pick the regions.
func TestWordsOfBeforeTheDraw(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	skew := l.Machine.View().Settings().MaxSkew
	c := l.By(signer, fsmtest.Digest(key, [32]byte{1}))
	id := command.RequestIDOf(c.Principal, c.ID)
	early := [][]byte{unreachable(l, 4, 3, id, 1), refusal(l, 3, id, 1)}
	l.Now = l.Now.Add(skew + time.Millisecond)
	l.Must(c)
	for _, w := range early {
		want(t, l, errs.Unverified, next(l, 1, id, 2, w))
	}
	l.Must(next(l, 1, id, 2, unreachable(l, 4, 3, id, 1)))
}

// TestMemoryIsBounded: nobody, administrators neither, makes the regions remember without
// end; tenants leave room for the brakes.
func TestMemoryIsBounded(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Machine.Pretend(fsm.MaxRemembered)
	want(t, l, errs.Throttled, l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	want(t, l, errs.OK, l.By(l.Admins[0], &command.FreezeVault{}))
	l.Machine.Pretend(fsm.MaxRemembered + fsm.ReservedMemory)
	want(t, l, errs.Throttled, l.By(l.Admins[0], &command.FreezeVault{}))
	want(t, l, errs.OK, l.By(l.Region(1).Session, &command.Tick{}))
}

// TestPrincipalKeys: a principal with a key that TLS refuses could sign and never connect.
func TestPrincipalKeys(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := identity.FromCrypto(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Invalid, l.Dual(&command.PutPrincipal{Name: "rsa", Tenant: "acme", Key: pub, Roles: command.RoleSigner}))
}
