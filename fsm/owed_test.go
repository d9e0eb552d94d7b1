package fsm_test

import (
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestWhatIsOwed: what is signed by those the state knows, in time, and not decided.
func TestWhatIsOwed(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	owed := func(what string, c *command.Command, now time.Time, code errs.Code) {
		t.Helper()
		if err := l.Machine.View().Owed(c, now, identity.PublicKey.Verify); errs.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}
	clock := l.Machine.View().Clock()
	request := l.By(signer, fsmtest.Digest(key, [32]byte{1}))
	owed("a request", request, clock, errs.OK)
	owed("in its last moment", request, request.Expiry.Add(-time.Millisecond), errs.OK)
	owed("too late", request, request.Expiry, errs.Expired)
	owed("far ahead of the clock", l.Command(fsmtest.Digest(key, [32]byte{1}), clock.Add(command.MaxLifetime+time.Minute), signer), clock, errs.Expired)
	owed("a clock that lags behind the state", request, time.Time{}, errs.OK)
	owed("a stranger's", l.By(identity.GenerateEd25519(), fsmtest.Digest(key, [32]byte{1})), clock, errs.Unauthenticated)
	owed("one of two administrators'", l.Dual(&command.CreateTenant{Name: "x"}), clock, errs.OK)

	spoiled := *request
	spoiled.Signatures = []command.Signature{{Principal: request.Principal, Sig: make([]byte, 64)}}
	owed("a forged one", &spoiled, clock, errs.Unauthenticated)
	second := *l.Dual(&command.CreateTenant{Name: "y"})
	second.Signatures[1].Sig = make([]byte, 64)
	owed("a forged second signature", &second, clock, errs.Unauthenticated)
	unsigned := *request
	unsigned.Signatures = nil
	owed("an unsigned one", &unsigned, clock, errs.Unauthenticated)
	altered := *request
	altered.Fields = append([]command.Field(nil), request.Fields...)
	altered.Fields[4].Value = []byte("another note")
	owed("another content", &altered, clock, errs.Unauthenticated)

	l.Apply(request)
	owed("a decided request", request, clock, errs.Replayed)
	refused := l.By(signer, &command.RetireKey{Key: key})
	owed("what will be refused", refused, clock, errs.OK)
	l.Apply(refused)
	owed("what was refused", refused, clock, errs.Replayed)

	late := l.By(signer, fsmtest.Digest(key, [32]byte{2}))
	l.Must(l.Dual(&command.RemovePrincipal{Principal: signer.Public().Fingerprint()}))
	owed("a removed principal's", late, clock, errs.Unauthenticated)
	statement := l.By(l.Region(2).Session, &command.ReportHealth{Region: 2, Healthy: true})
	owed("a region's", statement, clock, errs.OK)
	owed("a region's identity", l.Register(l.Region(3)), clock, errs.OK)
	owed("a request by a region", l.By(l.Region(2).Session, fsmtest.Digest(key, [32]byte{3})), clock, errs.Unauthenticated)
	l.Must(l.Dual(&command.QuarantineRegion{Region: 2, Quarantined: true}))
	owed("a region's in quarantine", statement, clock, errs.Unauthenticated)
}
