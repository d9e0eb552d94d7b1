package fsm_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func poolOf(t testing.TB, l *fsmtest.Log, r identity.RegionID, c command.Curve) *fsm.NoncePool {
	t.Helper()
	p, ok := l.Machine.View().NoncePool(r, c)
	if !ok {
		t.Fatalf("region %d has no pool on %s", r, c)
	}
	return p
}

func TestOffersRefused(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	r := l.Region(2)
	offer := func(curve command.Curve, b []byte) *command.Command {
		return l.By(r.Session, &command.OfferNonces{Curve: curve, Commitments: b})
	}
	spoiled := func(i int) []byte {
		b := l.Commitments(r, command.Ed25519, 20, 2)
		b[79+i]++
		return b
	}
	l.Must(offer(command.Ed25519, l.Commitments(r, command.Ed25519, 5, 3)))
	for _, tc := range []struct {
		name string
		code errs.Code
		cmd  *command.Command
	}{
		{"nothing", errs.Invalid, offer(command.Ed25519, nil)},
		{"on p256", errs.Invalid, offer(command.P256, make([]byte, 79))},
		{"half a commitment", errs.Invalid, offer(command.Ed25519, l.Commitments(r, command.Ed25519, 20, 2)[:100])},
		{"of the other suite", errs.Invalid, offer(command.Ed25519, spoiled(1))},
		{"of another region", errs.Invalid, offer(command.Ed25519, spoiled(2))},
		{"of two boots", errs.Denied, offer(command.Ed25519, spoiled(10))},
		{"the same again", errs.Replayed, offer(command.Ed25519, l.Commitments(r, command.Ed25519, 5, 3))},
		{"the last again", errs.Replayed, offer(command.Ed25519, l.Commitments(r, command.Ed25519, 7, 3))},
		{"one twice", errs.Replayed, offer(command.Ed25519, bytes.Repeat(l.Commitments(r, command.Ed25519, 20, 1), 2))},
	} {
		t.Run(tc.name, func(t *testing.T) { want(t, l, tc.code, tc.cmd) })
	}
	if p := poolOf(t, l, 2, command.Ed25519); p.Count() != 3 || p.Serial != 7 || p.Offered != 3 {
		t.Fatalf("the pool after refusals: %+v", p)
	}
	l.Must(offer(command.Ed25519, l.Commitments(r, command.Ed25519, 9, 1))) // gaps are fine
	l.Must(offer(command.Secp256k1, l.Commitments(r, command.Secp256k1, 1, 1)))
	if got := len(l.Machine.View().NoncePools()); got != 2 {
		t.Fatalf("%d pools", got)
	}
}

// TestPoolsAreBounded: a full pool takes nothing, and what it was offered may come later.
func TestPoolsAreBounded(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	for range fsm.MaxPool / command.MaxOffer {
		l.Must(l.OfferNonces(l.Region(1), command.Secp256k1, command.MaxOffer))
	}
	more := l.OfferNonces(l.Region(1), command.Secp256k1, 1)
	want(t, l, errs.Throttled, more)
	want(t, l, errs.Throttled, more)
	tooMany := l.By(l.Region(2).Session, &command.OfferNonces{Curve: command.Ed25519, Commitments: l.Commitments(l.Region(2), command.Ed25519, 1, command.MaxOffer+1)})
	want(t, l, errs.Invalid, tooMany)
}

// TestSessionsVoidNonces: what an earlier session offered signs nothing, its session
// offers nothing more, and none of it comes again.
func TestSessionsVoidNonces(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	r := l.Region(3)
	old := *r.Session
	used := l.Commitments(r, command.Ed25519, 1, 9)
	want(t, l, errs.Stale, l.Register(r)) // the same session
	if poolOf(t, l, 3, command.Ed25519).Count() != 8 {
		t.Fatal("announcing the same session again emptied the pool")
	}
	l.Now = l.Now.Add(time.Second)
	l.NewSession(r, l.Now)
	if res := l.Apply(l.Register(r)); !res.Nonces {
		t.Fatal("the result does not tell of the pools")
	}
	if p := poolOf(t, l, 3, command.Ed25519); p.Count() != 0 || p.Offered != 0 || p.Serial != 8 {
		t.Fatalf("%+v", p)
	}
	want(t, l, errs.Stale, l.By(&old, &command.OfferNonces{Curve: command.Ed25519, Commitments: used[8*79:]}))
	want(t, l, errs.Replayed, l.By(r.Session, &command.OfferNonces{Curve: command.Ed25519, Commitments: used}))
	eligible := func() []identity.RegionID {
		res := l.Apply(l.By(signer, fsmtest.Message(id, "pay")))
		q, _ := l.Machine.View().Request(res.Opened[0])
		return q.Open().Eligible
	}
	if e := eligible(); len(e) != 3 {
		t.Fatalf("eligible: %v", e)
	}
	l.Must(l.OfferNonces(r, command.Ed25519, 1))
	if e := eligible(); len(e) != 4 {
		t.Fatalf("eligible after an offer: %v", e)
	}
	l.Must(l.Dual(&command.ReplaceMember{Region: 4, ServerID: "delta-00000009", RaftAddr: "a:1", APIAddr: "a:2", GossipAddr: "a:3"}))
	if poolOf(t, l, 4, command.Ed25519).Count() != 0 {
		t.Fatal("a replaced member's nonces are still there")
	}
}

// TestNoOldBoot: what was named in an attempt is not accepted again after another boot's
// commitments, nor is anything else of a boot that is over; and a snapshot keeps the mark.
func TestNoOldBoot(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	r := l.Region(3)
	first := l.Commitments(r, command.Ed25519, 1, 1)
	named := func() []byte {
		res := l.Apply(l.By(signer, fsmtest.Message(id, "pay")))
		q, _ := l.Machine.View().Request(res.Opened[0])
		for _, s := range q.Open().Nonces {
			if s.Region == 3 {
				return s.Commitments[0]
			}
		}
		return nil
	}
	another := func() {
		l.Now = l.Now.Add(time.Second)
		l.NewSession(r, l.Now)
		l.Must(l.Register(r))
	}
	if !bytes.Equal(named(), first) {
		t.Fatal("the first commitment is not named first")
	}
	old := l.Commitments(r, command.Ed25519, 20, 1) // never offered
	another()
	l.Must(l.OfferNonces(r, command.Ed25519, 1))
	for range 2 {
		another()
		for what, b := range map[string][]byte{"named before": first, "of a boot that is over": old} {
			if o := l.Do(l.By(r.Session, &command.OfferNonces{Curve: command.Ed25519, Commitments: b})); o.Code != errs.Replayed {
				t.Errorf("a commitment %s: %s", what, o.Code)
			}
		}
		if n := named(); n != nil {
			t.Errorf("commitment %x is named", n[:15])
		}
		l.FillPools(command.Ed25519, 2)
		if named() == nil {
			t.Error("a new boot's commitments are not taken")
		}
		restored, err := fsm.New(l.Genesis, fsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.Restore(bytes.NewReader(written(t, l.Machine))); err != nil {
			t.Fatal(err)
		}
		l.Machine = restored
	}
}

// TestDryPools: where only nonces are lacking, the request says so and may be sent again
// with the same bytes; where regions are, it is refused for good.
func TestDryPools(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	for range 8 {
		l.Must(l.By(signer, fsmtest.Message(id, "pay")))
	}
	ask := l.By(signer, fsmtest.Message(id, "pay later"))
	want(t, l, errs.NoEligiblePair, ask)
	l.Must(l.OfferNonces(l.Region(2), command.Ed25519, 1))
	want(t, l, errs.NoEligiblePair, ask)
	l.Must(l.OfferNonces(l.Region(4), command.Ed25519, 2))
	later := l.Must(ask).Request
	q, _ := l.Machine.View().Request(later)
	if e := q.Open().Eligible; len(e) != 2 || e[0] != 2 || e[1] != 4 || poolOf(t, l, 4, command.Ed25519).Count() != 1 {
		t.Fatalf("eligible: %v", e)
	}
	for r := identity.RegionID(1); r < 4; r++ {
		l.Must(l.By(l.Region(r).Session, &command.ReportHealth{Region: r}))
	}
	gone := l.By(signer, fsmtest.Message(id, "pay never"))
	want(t, l, errs.NoEligiblePair, gone)
	for r := identity.RegionID(1); r < 4; r++ {
		l.Must(l.By(l.Region(r).Session, &command.ReportHealth{Region: r, Healthy: true}))
	}
	l.FillPools(command.Ed25519, 3)
	want(t, l, errs.NoEligiblePair, gone) // remembered
}

// TestSecondAttempt takes fresh nonces, under the sharing that is live then; the first
// pair may still answer, and the row keeps the nonces of whoever did.
func TestSecondAttempt(t *testing.T) {
	for _, first := range []bool{true, false} {
		l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
		rid := l.Must(l.By(signer, fsmtest.Message(id, "pay"))).Request
		answer := l.Shares(l.Region(1), [32]byte{1}, ids(3, 2), rid)
		l.Must(l.Dual(&command.RefreshKey{Key: id}))
		l.Hold(id)
		l.Must(next(l, 1, rid, 2, refusal(l, 2, rid, 1)))
		q, _ := l.Machine.View().Request(rid)
		a, b := q.Attempts[0], q.Attempts[1]
		if b.Epoch != 2 || a.Epoch != 1 || len(b.Eligible) != 3 || len(b.Nonces) != 3 || bytes.Equal(a.Nonces[0].Commitments[0], b.Nonces[0].Commitments[0]) {
			t.Fatalf("%+v", b)
		}
		if !first {
			answer = l.Shares(l.Region(3), [32]byte{1}, ids(4, 1), rid)
		}
		if res := l.Apply(answer); len(res.Completed) != 1 {
			t.Fatalf("%+v", res.Outcomes)
		}
		q, _ = l.Machine.View().Request(rid)
		s, want := q.Signed(), a.Nonces[1:3]
		if !first {
			want = []fsm.NonceSet{b.Nonces[0], b.Nonces[2]} // of regions 1 and 4; 2 was left out
		}
		if (s.Number == 1) != first || len(s.Nonces) != 2 || !bytes.Equal(s.Nonces[0].Commitments[0], want[0].Commitments[0]) || !bytes.Equal(s.Nonces[1].Commitments[0], want[1].Commitments[0]) ||
			s.Nonces[0].Region != want[0].Region || s.Nonces[1].Region != want[1].Region {
			t.Fatalf("kept: %+v", s)
		}
	}
}

// TestSharesOfTheWrongSize complete nothing: lengths and numbers are all the state checks.
func TestSharesOfTheWrongSize(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	rid := l.Must(l.By(signer, fsmtest.Message(id, "pay"))).Request
	q, _ := l.Machine.View().Request(rid)
	file := func(sigs ...[]byte) *command.Command {
		c := &command.Complete{Index: q.Opened}
		for _, s := range ids(1, 2) {
			c.Answers = append(c.Answers, l.Answer(command.Answer{Region: s, At: l.Now, Index: q.Opened, Items: []command.AnswerItem{
				{Request: rid, Attempt: 1, Signers: ids(1, 2), Code: errs.OK, Signatures: sigs}}}))
		}
		return l.By(l.Region(3).Session, c)
	}
	for what, sigs := range map[string][][]byte{"a signature": {make([]byte, 64)}, "of the other curve": {make([]byte, 72)}, "two": {make([]byte, 71), make([]byte, 71)}, "none": nil} {
		if res := l.Apply(file(sigs...)); len(res.Completed) != 0 {
			t.Fatalf("%s completed the request", what)
		}
	}
	if res := l.Apply(file(make([]byte, 71))); len(res.Completed) != 1 {
		t.Fatalf("%+v", res.Outcomes)
	}
	// What fails keeps no nonces.
	rid = l.Must(l.By(signer, fsmtest.Message(id, "pay"))).Request
	later(l, l.Life+fsm.CompletionGrace+time.Second)
	if q, _ = l.Machine.View().Request(rid); q.State != fsm.RequestExpired || q.Attempts[0].Nonces != nil || q.Attempts[0].Epoch != 1 || q.Signed() != nil {
		t.Fatalf("%+v", q)
	}
}

// TestManyMessages: a PSBT of two inputs takes two nonces of every region, in order.
func TestManyMessages(t *testing.T) {
	raw, err := os.ReadFile("../docs/spec/vectors/taproot.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct {
		Key, ChainCode string
		Wallets        []struct{ PSBTs []struct{ PSBT string } }
	}
	if err := json.Unmarshal(raw, &vector); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	psbt, err := base64.StdEncoding.DecodeString(vector.Wallets[0].PSBTs[0].PSBT)
	if err != nil {
		t.Fatal(err)
	}
	l, id := at(t, fsm.StepFinish)
	for _, r := range l.Regions {
		f := l.Finish(r, keyOf(t, l, id))
		f.Point, f.Chain = unhex(vector.Key), [32]byte(unhex(vector.ChainCode))
		l.Must(l.By(r.Session, f))
	}
	l.FillPools(command.Secp256k1, 5)
	signer := l.Signer("principal acme/service")
	res := l.Apply(l.By(signer, &command.RequestSignature{Key: id, Kind: command.KindPSBT, Payload: psbt}))
	if len(res.Opened) != 1 {
		t.Fatal(res.Outcomes[0])
	}
	q, _ := l.Machine.View().Request(res.Opened[0])
	effect, err := audit.DecodeEffect(res.Leaves[0].Effect)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range q.Open().Nonces {
		both := l.Commitments(l.Region(s.Region), command.Secp256k1, 1, 2)
		if len(s.Commitments) != 2 || !bytes.Equal(bytes.Join(s.Commitments, nil), both) || !bytes.Equal(effect.Opened[0].Nonces[i], both) || poolOf(t, l, s.Region, command.Secp256k1).Count() != 3 {
			t.Fatalf("region %d: %+v", s.Region, s)
		}
	}
	if r := l.Apply(l.Shares(l.Region(2), [32]byte{1}, ids(4, 1), q.ID)); len(r.Completed) != 1 {
		t.Fatalf("%+v", r.Outcomes)
	}
	if q, _ = l.Machine.View().Request(q.ID); len(q.Results[1].Signatures) != 2 || len(q.Results[1].Signatures[1]) != 72 {
		t.Fatalf("%+v", q.Results)
	}
}
