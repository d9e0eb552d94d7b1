package fsm_test

import (
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func TestVerifierBindsEverything(t *testing.T) {
	k := fsmtest.New()
	a, b := k.Signer("a"), k.Signer("b")
	sig, err := a.Sign(t.Context(), []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	v := fsm.NewVerifier(4)
	for range 2 { // the second time from memory
		if !v.Verify(a.Public(), []byte("message"), sig) {
			t.Fatal("a good signature")
		}
	}
	bad := append([]byte{}, sig...)
	bad[0] ^= 1
	for range 2 {
		if v.Verify(b.Public(), []byte("message"), sig) || v.Verify(a.Public(), []byte("massage"), sig) ||
			v.Verify(a.Public(), []byte("message"), bad) || v.Verify(a.Public(), []byte("messag"), append([]byte("e"), sig...)) {
			t.Fatal("remembered as good what never was")
		}
	}
	for i := range 100 { // far beyond its capacity
		msg := []byte{byte(i)}
		s, err := a.Sign(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		if !v.Verify(a.Public(), msg, s) {
			t.Fatal("forgetting must not refuse")
		}
	}
}

// TestVerifierSharesChecks: who asks while somebody checks gets the same answer.
func TestVerifierSharesChecks(t *testing.T) {
	k := fsmtest.New().Signer("a")
	v := fsm.NewVerifier(1024)
	var wg sync.WaitGroup
	for i := range 20 {
		msg := []byte{byte(i)}
		sig, err := k.Sign(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte{}, sig...)
		bad[5] ^= 1
		for range 8 {
			wg.Go(func() {
				if !v.Verify(k.Public(), msg, sig) || v.Verify(k.Public(), msg, bad) {
					t.Errorf("message %d", i)
				}
			})
		}
		wg.Wait()
		if !v.Remembers(k.Public(), msg, sig) || v.Remembers(k.Public(), msg, bad) {
			t.Errorf("message %d is remembered wrongly", i)
		}
	}
}

// TestWarm: after Warm, Apply finds every signature of an entry in memory, those inside
// the commands included.
func TestWarm(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	id := opened(t, l, signer, key)
	l.NewSession(l.Region(4), l.Now)
	pending := l.Must(l.Dual(&command.CreateKey{Name: "k", Tenant: "acme", Scheme: 1, Curve: command.P256, Signers: 2})).Key
	commands := []*command.Command{
		l.By(signer, fsmtest.Digest(key, [32]byte{9})),
		l.Dual(&command.CreateTenant{Name: "new"}),
		l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), id),
		next(l, 1, id, 2, refusal(l, 2, id, 1)),
		l.Attest(l.Region(2), pending, command.P256),
		l.By(l.Region(1).Session, &command.ReportHealth{Region: 2, Words: [][]byte{refusal(l, 2, id, 1)}}),
		l.By(l.Signer("stranger"), &command.FreezeVault{}),
	}
	v := fsm.NewVerifier(1024)
	in := l.Input(commands...)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { v.Warm(l.Machine.View(), in.Entry) })
	}
	wg.Wait()
	cold := 0
	m, err := fsm.New(l.Genesis, fsm.Options{Verify: func(pub identity.PublicKey, msg, sig []byte) bool {
		if !v.Remembers(pub, msg, sig) {
			cold++
		}
		return pub.Verify(msg, sig)
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(l.Inputs[:len(l.Inputs)-1])
	cold = 0
	r := m.Apply([]fsm.Input{in})[0]
	if cold != 0 {
		t.Fatalf("%d signatures were not verified beforehand", cold)
	}
	if r.Outcomes[0].Code != errs.OK || len(r.Completed) != 1 {
		t.Fatalf("%+v", r.Outcomes)
	}
	v.Warm(m.View(), &command.Entry{}) // nothing to do
}
