package fsm_test

import (
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

func opened(t testing.TB, l *fsmtest.Log, signer identity.Signer, key command.KeyID) command.RequestID {
	t.Helper()
	return l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{byte(len(l.Inputs))}))).Request
}

func state(l *fsmtest.Log, id command.RequestID) fsm.RequestState {
	q, ok := l.Machine.View().Request(id)
	if !ok {
		return 0
	}
	return q.State
}

func refusal(l *fsmtest.Log, by identity.RegionID, id command.RequestID, attempt uint8) []byte {
	return l.Word(by, command.Word{Kind: command.WordRefused, About: by, Request: id, Attempt: attempt, At: l.Now})
}

func unreachable(l *fsmtest.Log, by, about identity.RegionID, id command.RequestID, attempt uint8) []byte {
	return l.Word(by, command.Word{Kind: command.WordUnreachable, About: about, Request: id, Attempt: attempt, At: l.Now})
}

func wrong(l *fsmtest.Log, by, about identity.RegionID, id command.RequestID, attempt uint8) []byte {
	return l.Word(by, command.Word{Kind: command.WordWrong, About: about, Request: id, Attempt: attempt, At: l.Now, Answer: [32]byte{7}})
}

func next(l *fsmtest.Log, leader identity.RegionID, id command.RequestID, attempt uint8, words ...[]byte) *command.Command {
	return l.By(l.Region(leader).Session, &command.OpenAttempt{Request: id, Attempt: attempt, Words: words})
}

func TestAttempts(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	id := opened(t, l, signer, key)
	eligible := func() []identity.RegionID {
		q, _ := l.Machine.View().Request(id)
		return q.Open().Eligible
	}
	want(t, l, errs.Invalid, next(l, 1, id, 2))
	want(t, l, errs.BadState, next(l, 1, id, 3, refusal(l, 2, id, 1)))
	want(t, l, errs.Unverified, next(l, 1, id, 2, refusal(l, 2, id, 2)))                // about another attempt
	want(t, l, errs.Unverified, next(l, 1, id, 2, unreachable(l, 1, 2, id, 1)))         // the leader's own word
	want(t, l, errs.Unverified, next(l, 1, id, 2, unreachable(l, 3, 2, [16]byte{}, 1))) // about another request
	forged, _ := command.DecodeWord(refusal(l, 2, id, 1))
	forged.By, forged.About = 3, 3
	want(t, l, errs.Unverified, next(l, 1, id, 2, forged.Encode()))
	forged, _ = command.DecodeWord(refusal(l, 2, id, 1))
	forged.Sig[5] ^= 1
	want(t, l, errs.Unverified, next(l, 1, id, 2, forged.Encode()))
	want(t, l, errs.Malformed, next(l, 1, id, 2, []byte("word")))

	r := want(t, l, errs.OK, next(l, 1, id, 2, refusal(l, 2, id, 1)))
	if len(r.Opened) != 1 || !slices.Equal(eligible(), ids(1, 3, 4)) {
		t.Fatalf("second attempt among %v", eligible())
	}
	e, err := audit.DecodeEffect(r.Leaves[0].Effect)
	if err != nil || len(e.Opened) != 1 || e.Opened[0].Number != 2 || !slices.Equal(e.Opened[0].Eligible, ids(1, 3, 4)) {
		t.Fatalf("effect %+v, %v", e, err)
	}
	want(t, l, errs.Unverified, next(l, 1, id, 3, wrong(l, 1, 3, id, 2))) // the leader's own word
	want(t, l, errs.Unverified, next(l, 1, id, 3, wrong(l, 3, 3, id, 2))) // on itself
	want(t, l, errs.Unverified, next(l, 1, id, 3, wrong(l, 4, 3, id, 1))) // on another attempt
	want(t, l, errs.OK, next(l, 1, id, 3, wrong(l, 4, 3, id, 2)))
	if !slices.Equal(eligible(), ids(1, 4)) {
		t.Fatalf("third attempt among %v: who was left out stays out while enough others remain", eligible())
	}
	if r := want(t, l, errs.OK, next(l, 1, id, 4, refusal(l, 4, id, 3))); len(r.Failed) != 1 || state(l, id) != fsm.RequestFailed {
		t.Fatal("three attempts refused did not end the request")
	}
	if q, _ := l.Machine.View().Request(id); q.Payload != nil || q.Closed == 0 {
		t.Fatalf("failed request %+v", q)
	}
	want(t, l, errs.BadState, next(l, 1, id, 5, refusal(l, 4, id, 4)))
}

func TestCompletionNeedsAgreement(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	id := opened(t, l, signer, key)
	q, _ := l.Machine.View().Request(id)
	sig := make([]byte, 64)
	answer := func(by identity.RegionID, change func(*command.Answer)) []byte {
		a := command.Answer{Region: by, Index: q.Opened, Value: [32]byte{5}, Items: []command.AnswerItem{{Request: id,
			Attempt: 1, Signers: ids(4, 2), Code: errs.OK, Signatures: [][]byte{sig}}}}
		if change != nil {
			change(&a)
		}
		return l.Answer(a)
	}
	complete := func(answers ...[]byte) *command.Command {
		return l.By(l.Region(1).Session, &command.Complete{Index: q.Opened, Answers: answers})
	}
	for name, c := range map[string]*command.Command{
		"one of two":          complete(answer(4, nil)),
		"not drawn":           complete(answer(4, nil), answer(1, nil)),
		"refused":             complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Code = errs.Frozen })),
		"other value":         complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Value = [32]byte{6} })),
		"other pair":          complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Signers = ids(2, 4) })),
		"other attempt":       complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Attempt = 2 })),
		"no signatures":       complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Signatures = nil })),
		"more than the other": complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Signatures = [][]byte{sig, sig} })),
		"short":               complete(answer(4, nil), answer(2, func(a *command.Answer) { a.Items[0].Signatures = [][]byte{sig[1:]} })),
		"nothing at all":      complete(),
	} {
		if r := want(t, l, errs.OK, c); len(r.Completed) != 0 {
			t.Errorf("%s: completed", name)
		}
	}
	same := func(a *command.Answer) { a.Items[0].Signers = ids(4, 4) }
	if r := want(t, l, errs.OK, complete(answer(4, same), answer(2, same))); len(r.Completed) != 0 {
		t.Error("one region counted twice")
	}
	want(t, l, errs.Unverified, complete(answer(4, nil), answer(4, nil)))
	want(t, l, errs.Unverified, complete(answer(4, func(a *command.Answer) { a.Index++ })))
	bad, _ := command.DecodeAnswer(answer(4, nil))
	bad.Value[0] ^= 1
	want(t, l, errs.Unverified, complete(bad.Encode()))
	if r := want(t, l, errs.OK, complete(answer(2, nil), answer(4, nil))); len(r.Completed) != 1 {
		t.Fatal("agreement did not complete")
	}
}

// TestLateFirstAttempt: what the first pair released counts, though a second is drawn.
func TestLateFirstAttempt(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	id := opened(t, l, signer, key)
	c := l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), id)
	l.Must(next(l, 1, id, 2, unreachable(l, 4, 2, id, 1)))
	if r := l.Apply(c); len(r.Completed) != 1 {
		t.Fatalf("completion of the first attempt: %+v", r.Outcomes)
	}
}

func TestFreeze(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	operator := l.Principal("acme", "operator", command.RoleOperator)
	released, stuck := opened(t, l, signer, key), opened(t, l, signer, key)
	filed := l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), released)
	freeze := &command.FreezeKey{Key: key, Reason: "lost laptop"}
	if r := want(t, l, errs.OK, l.By(operator, freeze)); len(r.Keys) != 1 {
		t.Fatal("the freeze is not in the result")
	}
	want(t, l, errs.OK, l.By(l.Admins[0], freeze)) // again
	want(t, l, errs.Frozen, l.By(signer, fsmtest.Digest(key, [32]byte{7})))
	want(t, l, errs.Frozen, next(l, 1, stuck, 2, refusal(l, 2, stuck, 1)))
	if k, _ := l.Machine.View().Key(key); k.State != fsm.KeyFrozen || k.FrozenBy != operator.Public().Fingerprint() {
		t.Fatalf("frozen key %+v", k)
	}
	// What was released before the freeze can still be filed; the rest never comes to life.
	if r := l.Apply(filed); len(r.Completed) != 1 {
		t.Fatalf("%+v", r.Outcomes)
	}
	if r := want(t, l, errs.OK, l.Dual(&command.UnfreezeKey{Key: key})); len(r.Failed) != 1 || state(l, stuck) != fsm.RequestFailed {
		t.Fatal("a request from before the freeze survived it")
	}
	opened(t, l, signer, key)

	again := opened(t, l, signer, key)
	l.Must(l.By(l.Admins[0], &command.FreezeVault{Reason: "alarm"}))
	l.Must(l.By(l.Admins[0], &command.FreezeVault{Reason: "alarm"}))
	if reason, by, ok := l.Machine.View().Frozen(); !ok || reason != "alarm" || by != l.Admins[0].Public().Fingerprint() {
		t.Fatal(reason, by, ok)
	}
	want(t, l, errs.Frozen, l.By(signer, fsmtest.Digest(key, [32]byte{8})))
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.UnfreezeVault{}))
	if r := want(t, l, errs.OK, l.Dual(&command.UnfreezeVault{})); len(r.Failed) != 2 || !r.Frozen || state(l, again) != fsm.RequestFailed {
		t.Fatalf("unfrozen: %+v", r.Failed)
	}
	l.Must(l.Dual(&command.RetireKey{Key: key}))
	want(t, l, errs.BadState, l.Dual(&command.RetireKey{Key: key}))
	want(t, l, errs.BadState, l.By(signer, fsmtest.Digest(key, [32]byte{9})))
	want(t, l, errs.BadState, l.By(operator, freeze))
}

// TestExpiry: not signable after its expiry, completable for a grace, then expired, then
// forgotten; ids as well. The first leaf of the entry says so.
func TestExpiry(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Life = time.Minute
	late, never := opened(t, l, signer, key), opened(t, l, signer, key)
	l.Now = l.Now.Add(time.Minute)
	want(t, l, errs.Expired, next(l, 1, late, 2, refusal(l, 2, late, 1)))
	filed := l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), late)
	if r := l.Apply(filed); len(r.Completed) != 1 {
		t.Fatal("released just before the expiry, and not filed")
	}
	l.Now = l.Now.Add(fsm.CompletionGrace + time.Second)
	r := l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
	e, err := audit.DecodeEffect(r.Leaves[0].Effect)
	if err != nil || len(r.Expired) != 1 || len(e.Expired) != 1 || e.Expired[0] != never || state(l, never) != fsm.RequestExpired {
		t.Fatalf("expired %v, effect %+v, %v", r.Expired, e, err)
	}
	l.Now = l.Now.Add(fsm.Retention + time.Second)
	l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
	if state(l, late) != 0 || state(l, never) != 0 || len(l.Machine.View().Requests("", command.RequestID{}, 10)) != 0 {
		t.Fatal("requests are remembered for ever")
	}
}

// TestClockNeverGoesBack pins the clock to the highest stamp.
func TestClockNeverGoesBack(t *testing.T) {
	l := fsmtest.New().NewLog(fsm.Options{})
	l.Boot()
	high := l.Machine.View().Clock()
	l.Now = l.Now.Add(-time.Hour)
	c := l.Command(&command.Tick{}, l.Now.Add(time.Minute), l.Region(1).Session)
	want(t, l, errs.Expired, c)
	if got := l.Machine.View().Clock(); !got.Equal(high) {
		t.Fatalf("clock %s, was %s", got, high)
	}
	// An entry without commands leaves no trace in the audit, so it moves no time either.
	l.Now = high.Add(time.Hour)
	if r := l.Apply(); len(r.Leaves) != 0 || !l.Machine.View().Clock().Equal(high) || l.Machine.View().Meta() != r.Meta {
		t.Fatal("an empty entry moved the clock or is not the last one")
	}
}

// TestRetentionIsBounded: beyond a number, rows past their expiry go before their time.
func TestRetentionIsBounded(t *testing.T) {
	trust := func(identity.PublicKey, []byte, []byte) bool { return true }
	l, signer, key := fsmtest.New().Ready(fsm.Options{Verify: trust})
	l.Must(l.Dual(&command.FreezeVault{})) // refused requests are remembered too
	n := 0
	entry := func() {
		commands := make([]*command.Command, 512)
		for i := range commands {
			c, err := command.New(fsmtest.Digest(key, [32]byte{}), signer.Public().Fingerprint(), l.ID(), l.Now.Add(10*time.Second), zeros{})
			if err != nil {
				t.Fatal(err)
			}
			c.Signatures = []command.Signature{{Principal: c.Principal}}
			commands[i] = c
			n++
		}
		l.Apply(commands...)
		l.Inputs = nil
	}
	for n < 2*fsm.MaxRetained {
		entry()
	}
	l.Now = l.Now.Add(10*time.Second + fsm.CompletionGrace + 2*time.Second)
	rows := func() int64 {
		size, err := l.Machine.Snapshot().WriteTo(nothing{})
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	before := rows()
	for range 2*n/512 + 2 {
		l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
	}
	if after := rows(); after > before*6/10 {
		t.Fatalf("snapshot of %d bytes, %d before pruning", after, before)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }

func TestKeyCreation(t *testing.T) {
	l := fsmtest.New().NewLog(fsm.Options{})
	l.Boot()
	l.Must(l.Dual(&command.CreateTenant{Name: "acme"}))
	id := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "cold", Tenant: "acme", Scheme: 1, Curve: command.Ed25519, Signers: 3, Regions: ids(1, 2, 4)})).Key
	want(t, l, errs.Denied, l.Attest(l.Region(3), id, command.Ed25519))
	want(t, l, errs.Invalid, l.Attest(l.Region(1), id, command.P256)) // wrong length
	pub := make([]byte, 32)
	forged := l.AttestWith(l.Region(1), id, pub, make([]byte, 64), nil)
	forged = l.By(l.Region(2).Session, mustBody(t, forged)) // region 2 files region 1's
	want(t, l, errs.Unverified, forged)
	want(t, l, errs.OK, l.AttestWith(l.Region(1), id, pub, make([]byte, 64), nil))
	want(t, l, errs.OK, l.AttestWith(l.Region(1), id, pub, make([]byte, 64), nil)) // again
	want(t, l, errs.BadState, l.Attest(l.Region(1), id, command.Ed25519))          // another key
	want(t, l, errs.Invalid, l.AttestWith(l.Region(2), id, pub, make([]byte, 64), nil))
	want(t, l, errs.BadState, l.By(l.Region(1).Session, &command.ConfirmKey{Key: id}))
	l.Must(l.Attest(l.Region(4), id, command.Ed25519))
	l.Must(l.Attest(l.Region(2), id, command.Ed25519))
	k, _ := l.Machine.View().Key(id)
	if len(k.Attestations) != 3 || k.Attestations[0].Region != 1 || k.Attestations[2].Region != 4 {
		t.Fatalf("attestations out of order: %+v", k.Attestations)
	}
	h := fsm.AttestationsHash(k)
	want(t, l, errs.Unverified, l.By(l.Region(1).Session, &command.ConfirmKey{Key: id}))
	for i, r := range ids(1, 2, 4) {
		if k, _ := l.Machine.View().Key(id); k.State != fsm.KeyPending {
			t.Fatalf("active after %d confirmations", i)
		}
		if r := want(t, l, errs.OK, l.By(l.Region(r).Session, &command.ConfirmKey{Key: id, Attestations: h})); len(r.Keys) != 1 {
			t.Fatal("a confirmed key is not in the result")
		}
	}
	k, ok := l.Machine.View().KeyByName("acme", "cold")
	if !ok || k.State != fsm.KeyActive || k.Version != 1 || len(l.Machine.View().Keys("acme")) != 1 || len(l.Machine.View().Keys("x")) != 0 {
		t.Fatalf("key %+v", k)
	}
}

func mustBody(t *testing.T, c *command.Command) command.Body {
	t.Helper()
	b, err := c.Body()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
