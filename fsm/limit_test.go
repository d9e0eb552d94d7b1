package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func limitOf(t testing.TB, l *fsmtest.Log, id command.KeyID) *fsm.Limit {
	t.Helper()
	k, ok := l.Machine.View().Key(id)
	if !ok {
		t.Fatal("the key is gone")
	}
	return k.Limit
}

// nothingOn is a region's word that it released nothing for an attempt.
func nothingOn(l *fsmtest.Log, by identity.RegionID, q *fsm.Request, attempt uint8) []byte {
	return l.Word(by, command.Word{Kind: command.WordNothing, About: by, Attempt: attempt, At: l.Now,
		Request: command.NothingOf(q.ID, attempt, q.Attempts[attempt-1].Meta)})
}

// nothings are the words of regions on every attempt they were eligible for.
func nothings(l *fsmtest.Log, id command.RequestID, by ...identity.RegionID) (words [][]byte) {
	q, _ := l.Machine.View().Request(id)
	for i := range q.Attempts {
		for _, r := range by {
			if slices.Contains(q.Attempts[i].Eligible, r) {
				words = append(words, nothingOn(l, r, q, uint8(i+1)))
			}
		}
	}
	return words
}

func refund(l *fsmtest.Log, by identity.RegionID, id command.RequestID, words ...[]byte) *command.Command {
	return l.By(l.Region(by).Session, &command.RefundRequest{Request: id, Words: words})
}

// failed opens a request and ends it without signatures.
func failed(t testing.TB, l *fsmtest.Log, signer identity.Signer, key command.KeyID) command.RequestID {
	t.Helper()
	id := opened(t, l, signer, key)
	l.Must(l.By(l.Admins[0], &command.FreezeKey{Key: key}))
	l.Must(l.Dual(&command.UnfreezeKey{Key: key}))
	if state(l, id) != fsm.RequestFailed {
		t.Fatal("the request did not fail")
	}
	return id
}

func TestLimit(t *testing.T) {
	l, signer, multisig := fsmtest.New().Ready(fsm.Options{})
	limited(t, l, signer, multisig, fsmtest.Digest(multisig, [32]byte{1}))
	l, signer, threshold := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.FillPools(command.Ed25519, 8)
	limited(t, l, signer, threshold, fsmtest.Message(threshold, "pay"))
}

func limited(t *testing.T, l *fsmtest.Log, signer identity.Signer, key command.KeyID, ask command.Body) {
	t.Helper()
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 2, Window: 64 * time.Minute}))
	for range 2 {
		l.Must(l.By(signer, ask))
	}
	over := l.By(signer, ask)
	res := l.Apply(over)
	if o := res.Outcomes[0]; o.Code != errs.OverLimit || len(res.Opened) != 0 || len(res.Leaves) != 1 || res.Leaves[0].Code != errs.OverLimit {
		t.Fatalf("beyond the limit: %+v", res)
	}
	first := l.Now
	room := limitOf(t, l, key).Room(l.Machine.View().Clock())
	if d := room.Sub(first); d < 64*time.Minute || d > 65*time.Minute {
		t.Fatalf("room again after %s", d)
	}
	l.Now = room.Add(-time.Millisecond)
	want(t, l, errs.OverLimit, l.By(signer, ask))
	l.Now = room
	want(t, l, errs.Expired, over) // never again, whatever room there is
	l.Must(l.By(signer, ask))
}

// TestLimitRights: who may loosen, who may tighten.
func TestLimitRights(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	operator := l.Principal("", "night", command.RoleOperator)
	own := l.Principal("acme", "guard", command.RoleOperator)
	l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
	foreign := l.Principal("other", "guard", command.RoleOperator)
	limit := func(n uint32, w time.Duration) *command.LimitKey {
		return &command.LimitKey{Key: key, Requests: n, Window: w}
	}
	alone := func(n uint32, w time.Duration) *command.Command { return l.By(l.Admins[0], limit(n, w)) }
	want(t, l, errs.NeedsSecondAdmin, alone(9, time.Hour))
	want(t, l, errs.BadState, l.Dual(limit(0, 0)))
	l.Must(l.Dual(limit(9, time.Hour)))
	for _, tc := range []struct {
		name string
		code errs.Code
		cmd  *command.Command
	}{
		{"raised alone", errs.NeedsSecondAdmin, alone(10, time.Hour)},
		{"shortened alone", errs.NeedsSecondAdmin, alone(9, 59*time.Minute)},
		{"fewer in a shorter time, alone", errs.NeedsSecondAdmin, alone(1, time.Minute)},
		{"removed alone", errs.NeedsSecondAdmin, alone(0, 0)},
		{"raised by operator", errs.Denied, l.By(operator, limit(10, time.Hour))},
		{"tightened by signer", errs.Denied, l.By(signer, limit(1, time.Hour))},
		{"tightened by another tenant", errs.NotFound, l.By(foreign, limit(1, time.Hour))},
		{"no window", errs.Invalid, l.Dual(limit(1, 0))},
		{"no requests", errs.Invalid, l.Dual(limit(0, time.Hour))},
		{"too many", errs.Invalid, l.Dual(limit(command.MaxLimit+1, time.Hour))},
		{"unknown key", errs.NotFound, l.Dual(&command.LimitKey{Key: command.KeyID{1}, Requests: 1, Window: time.Hour})},
		{"tightened alone", errs.OK, alone(8, time.Hour)},
		{"tightened by operator", errs.OK, l.By(operator, limit(7, 2*time.Hour))},
		{"tightened by the tenant's operator", errs.OK, l.By(own, limit(6, 2*time.Hour))},
		{"raised by two", errs.OK, l.Dual(limit(20, time.Minute))},
		{"removed by two", errs.OK, l.Dual(limit(0, 0))},
	} {
		if o := l.Do(tc.cmd); o.Code != tc.code {
			t.Errorf("%s: %s (%s), want %s", tc.name, o.Code, o.Text, tc.code)
		}
	}
	if limitOf(t, l, key) != nil {
		t.Error("the limit is still there")
	}
}

// TestRefund: what a charge needs to go back.
func TestRefund(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	before := failed(t, l, signer, key)
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 3, Window: time.Hour}))
	open := opened(t, l, signer, key)
	done := opened(t, l, signer, key)
	l.Apply(l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), done))
	openWords := nothings(l, open, ids(1, 2, 3, 4)...)
	want(t, l, errs.NotFound, refund(l, 1, open, openWords...)) // it may be signed yet
	l.Must(next(l, 1, open, 2, refusal(l, 2, open, 1)))         // leaves region 2 out
	spent := failed(t, l, signer, key)
	want(t, l, errs.OverLimit, l.By(signer, fsmtest.Digest(key, [32]byte{})))
	q, _ := l.Machine.View().Request(spent)
	stolen := func(v command.Word) []byte { return l.Word(v.By, v) }
	fine := func() command.Word {
		return command.Word{Kind: command.WordNothing, About: 4, By: 4, Attempt: 1, Request: command.NothingOf(spent, 1, q.Attempts[0].Meta), At: l.Now}
	}
	forged := func() []byte {
		v, _ := command.DecodeWord(stolen(fine()))
		v.Sig[0] ^= 1
		return v.Encode()
	}
	changed := func(f func(*command.Word)) []byte {
		v := fine()
		f(&v)
		return stolen(v)
	}
	three := func() [][]byte { return nothings(l, spent, 1, 2, 3) }
	for _, tc := range []struct {
		name string
		last []byte
	}{
		{"one more by another on it", changed(func(v *command.Word) { v.By = 3 })},
		{"refused, not nothing", changed(func(v *command.Word) { v.Kind = command.WordRefused })},
		{"another request", nothings(l, done, 4)[0]},
		{"an earlier life of the id", changed(func(v *command.Word) { v.Request = command.NothingOf(spent, 1, command.Meta{Index: 1}) })},
		{"the bare id", changed(func(v *command.Word) { v.Request = spent })},
		{"no such attempt", changed(func(v *command.Word) { v.Attempt = 2 })},
		{"forged", forged()},
		{"the same region twice", three()[0]},
		{"none", nil},
	} {
		words := three()
		if tc.last != nil {
			words = append(words, tc.last)
		}
		if o := l.Do(refund(l, 1, spent, words...)); o.Code != errs.Unverified {
			t.Errorf("%s: %s %s", tc.name, o.Code, o.Text)
		}
	}
	want(t, l, errs.BadState, refund(l, 1, done, nothings(l, done, ids(1, 2, 3, 4)...)...))
	want(t, l, errs.BadState, refund(l, 1, before, nothings(l, before, ids(1, 2, 3, 4)...)...))
	want(t, l, errs.NotFound, refund(l, 1, command.RequestID{1}))
	l.Must(refund(l, 2, spent, nothings(l, spent, ids(1, 2, 3, 4)...)...))
	want(t, l, errs.BadState, refund(l, 2, spent, nothings(l, spent, ids(1, 2, 3, 4)...)...)) // once
	if n := limitOf(t, l, key).Used(l.Machine.View().Clock()); n != 2 {
		t.Errorf("%d charges after the refund, want 2", n)
	}
	// Of two attempts, the words on one do not do: what was released for both adds up.
	q, _ = l.Machine.View().Request(open)
	if q.State != fsm.RequestFailed || len(q.Attempts) != 2 {
		t.Fatalf("%s after %d attempts", q.State, len(q.Attempts))
	}
	want(t, l, errs.Unverified, refund(l, 1, open, nothingOn(l, 1, q, 2), nothingOn(l, 3, q, 2), nothingOn(l, 4, q, 2)))
	want(t, l, errs.Unverified, refund(l, 1, open, openWords...))
	l.Must(refund(l, 1, open, nothings(l, open, ids(1, 2, 3, 4)...)...))
}

// TestRefundInQuarantine: a region in quarantine gives no word, also not the last one.
func TestRefundInQuarantine(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 1, Window: time.Hour}))
	id := failed(t, l, signer, key)
	l.Must(l.Dual(&command.QuarantineRegion{Region: 4, Quarantined: true}))
	want(t, l, errs.Denied, refund(l, 1, id, nothings(l, id, ids(1, 2, 3, 4)...)...))
}

// TestRefundOfAnotherLimit: a limit that was taken away and set again gives nothing back
// for what was charged to the one before, nor for what counts no more.
func TestRefundOfAnotherLimit(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 5, Window: time.Minute}))
	old := failed(t, l, signer, key)
	l.Must(l.Dual(&command.LimitKey{Key: key}))
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 5, Window: time.Minute}))
	late := failed(t, l, signer, key)
	want(t, l, errs.BadState, refund(l, 1, old, nothings(l, old, ids(1, 2, 3, 4)...)...))
	l.Now = l.Now.Add(2 * time.Minute)
	want(t, l, errs.BadState, refund(l, 1, late, nothings(l, late, ids(1, 2, 3, 4)...)...))
}

// TestEnough: how many may be in doubt, for each number of signers.
func TestEnough(t *testing.T) {
	for _, tc := range []struct{ signers, silent, want int }{{2, 0, 1}, {2, 1, 0}, {3, 1, 1}, {3, 2, 0}, {4, 2, 1}, {4, 3, 0}} {
		q := &fsm.Request{Attempts: []fsm.Attempt{{Number: 1, Eligible: ids(1, 2, 3, 4)}}}
		said := fsm.Said{}
		for _, r := range ids(1, 2, 3, 4)[tc.silent:] {
			said[r] = []uint8{1}
		}
		if got := fsm.EnoughNothing(q, &fsm.Key{Signers: uint8(tc.signers)}, said); got != (tc.want == 1) {
			t.Errorf("%d signers, %d regions silent: enough %t", tc.signers, tc.silent, got)
		}
	}
}

// TestLimitAfterRepair: a clock set back forgets no charge and needs no more room for them.
func TestLimitAfterRepair(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 400, Window: 64 * time.Second}))
	start := l.Now
	l.Now = start.Add(100 * time.Hour)
	ask := func() *command.Command { return l.By(signer, fsmtest.Digest(key, [32]byte{})) }
	for range 64 {
		l.Must(ask())
		l.Now = l.Now.Add(time.Second)
	}
	clock := l.Machine.View().Clock()
	l.Now = clock
	words := [][]byte{l.ClockWord(1, command.ClockWord{Clock: clock, At: start}), l.ClockWord(2, command.ClockWord{Clock: clock, At: start})}
	l.Must(l.Command(&command.RepairClock{To: start, Words: words}, start.Add(time.Minute), l.Admins[0], l.Admins[1]))
	l.Now = start
	used := limitOf(t, l, key).Used(l.Machine.View().Clock())
	for i := range 300 {
		if o := l.Do(l.Command(fsmtest.Digest(key, [32]byte{}), l.Now.Add(9*time.Minute), signer)); i < 20 && o.Code != errs.OK && o.Code != errs.Expired {
			t.Fatalf("%s: %s", o.Code, o.Text)
		}
		l.Now = l.Now.Add(time.Second)
	}
	if used != 64 {
		t.Errorf("%d charges after the clock was set back, want 64", used)
	}
	if n := limitOf(t, l, key).Used(l.Machine.View().Clock()); n < 64 {
		t.Errorf("%d charges left of 64 that lie ahead", n)
	}
	canonical(t, l)
}

// gambler plays with one limited key and keeps books of its own.
type gambler struct {
	*rapid.T
	l       *fsmtest.Log
	signer  identity.Signer
	key     command.KeyID
	limit   *command.LimitKey
	charged []charge // of the limit in force, by opening
}

type charge struct {
	at time.Time // by the committed clock
	id command.RequestID
}

func (g *gambler) within(w time.Duration) (n int) {
	now := g.l.Machine.View().Clock()
	for _, c := range g.charged {
		if c.at.After(now.Add(-w)) {
			n++
		}
	}
	return n
}

// ask opens a request; what was opened never exceeds the limit, and what was refused would
// have, but for the slot it is rounded to.
func (g *gambler) ask() {
	o := g.l.Do(g.l.By(g.signer, fsmtest.Digest(g.key, [32]byte{1})))
	switch {
	case o.Code == errs.OK:
		g.charged = append(g.charged, charge{g.l.Machine.View().Clock(), o.Request})
		if g.limit != nil && g.within(g.limit.Window) > int(g.limit.Requests) {
			g.Fatalf("%d requests within %s, the limit is %d", g.within(g.limit.Window), g.limit.Window, g.limit.Requests)
		}
	case o.Code == errs.OverLimit && g.limit == nil:
		g.Fatal("beyond a limit that is not there")
	}
}

// end ends one request, with signatures or without.
func (g *gambler) end() {
	open := g.l.Machine.View().OpenRequests()
	if len(open) == 0 {
		return
	}
	if rapid.Bool().Draw(g.T, "complete") {
		g.l.Apply(g.l.Completion(g.l.Region(1), [32]byte{1}, ids(2, 3), open[0].ID))
		return
	}
	g.l.Do(g.l.By(g.l.Admins[0], &command.FreezeKey{Key: g.key}))
	g.l.Do(g.l.Dual(&command.UnfreezeKey{Key: g.key}))
}

// giveBack files words of some regions on some request.
func (g *gambler) giveBack() {
	if len(g.charged) == 0 {
		return
	}
	i := rapid.IntRange(0, len(g.charged)-1).Draw(g.T, "which")
	q, ok := g.l.Machine.View().Request(g.charged[i].id)
	if !ok {
		return
	}
	var words [][]byte
	silent := rapid.IntRange(0, 5).Draw(g.T, "silent")
	for _, r := range ids(1, 2, 3, 4) {
		if int(r) != silent {
			words = append(words, nothingOn(g.l, r, q, 1))
		}
	}
	o := g.l.Do(refund(g.l, 1, q.ID, words...))
	if o.Code != errs.OK {
		return
	}
	was := q.Charge
	q, _ = g.l.Machine.View().Request(q.ID) // which may have expired just now
	if len(words) < 4 || was != fsm.ChargeHeld || q.State == fsm.RequestComplete || q.State == fsm.RequestOpen || q.Charge != fsm.ChargeRefunded {
		g.Fatalf("%d words gave back the charge of a request that is %s, charge %d", len(words), q.State, q.Charge)
	}
	g.charged = slices.Delete(g.charged, i, i+1)
}

// set changes the limit; what counted under the one before counts on, as far as it did.
func (g *gambler) set() {
	b := &command.LimitKey{Key: g.key, Requests: uint32(rapid.IntRange(0, 4).Draw(g.T, "requests"))}
	if b.Requests > 0 {
		b.Window = time.Duration(rapid.SampledFrom([]int{1000, 1001, 60_000, 90_007, 3_600_000}).Draw(g.T, "window")) * time.Millisecond
	}
	if g.l.Do(g.l.Dual(b)).Code != errs.OK {
		return
	}
	switch {
	case b.Requests == 0:
		g.limit, g.charged = nil, nil
		return
	case g.limit == nil:
		g.charged = nil
	default:
		now, was := g.l.Machine.View().Clock(), g.limit.Window
		g.charged = slices.DeleteFunc(g.charged, func(c charge) bool { return !c.at.After(now.Add(-was)) })
	}
	g.limit = b
}

// TestLimitHistories: whatever is opened, ended, given back, and however the limit
// changes, no window holds more than it; a machine restored in the middle agrees.
func TestLimitHistories(t *testing.T) {
	fewerHistories(t)
	v := fsm.NewVerifier(1 << 14)
	rapid.Check(t, func(t *rapid.T) {
		l, signer, key := fsmtest.New().Ready(fsm.Options{Verify: v.Verify})
		g := &gambler{T: t, l: l, signer: signer, key: key}
		g.set()
		cut := rapid.IntRange(0, 60).Draw(t, "cut")
		var other *fsm.Machine
		done := len(l.Inputs)
		for i := range rapid.IntRange(10, 80).Draw(t, "steps") {
			l.Now = l.Now.Add(time.Duration(rapid.SampledFrom([]int{-500, 0, 1, 17, 500, 1000, 31_000, 400_000}).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 9).Draw(t, "deed") {
			case 0:
				g.set()
			case 1, 2:
				g.end()
			case 3:
				g.giveBack()
			default:
				g.ask()
			}
			if i == cut {
				other, done = restored(t, l, l.Machine, v), len(l.Inputs)
			}
		}
		if other != nil {
			other.Apply(l.Inputs[done:])
			if other.View().Digest() != l.Machine.View().Digest() {
				t.Fatal("a machine restored in the middle is in another state")
			}
		}
	})
}

// variedLimit is a log whose rows have limits and charges of every kind.
func variedLimit(t testing.TB) *fsmtest.Log {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.FillPools(command.Ed25519, 4)
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 3, Window: time.Hour}))
	l.Must(l.By(signer, fsmtest.Message(key, "pay")))
	plain := l.Key("acme", "warm", command.P256, 2)
	l.Must(l.Dual(&command.LimitKey{Key: plain, Requests: 9, Window: time.Minute}))
	first := failed(t, l, signer, plain)
	l.Now = l.Now.Add(10 * time.Second)
	failed(t, l, signer, plain)
	opened(t, l, signer, plain)
	l.Must(refund(l, 3, first, nothings(l, first, ids(1, 2, 3, 4)...)...))
	l.Must(l.By(l.Admins[1], &command.LimitKey{Key: plain, Requests: 8, Window: 2 * time.Minute}))
	return l
}

func TestLimitVector(t *testing.T) {
	l := variedLimit(t)
	canonical(t, l)
	snapshotVector(t, "snapshot-limit", l)
}

// TestDamagedLimit: a snapshot whose limit is none is not read.
func TestDamagedLimit(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 3, Window: time.Hour}))
	opened(t, l, signer, key)
	good := written(t, l.Machine)
	at := bytes.Index(good, []byte{0, 0, 0, 3, 0, 0, 0, 0, 0, 0x36, 0xee, 0x80})
	if at < 0 {
		t.Fatal("the limit is not where it was")
	}
	for name, damage := range map[string]struct{ off, b int }{"no requests": {3, 0}, "a window of a year and more": {6, 1}, "an empty slot": {32, 0}} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(good)
			b[at+damage.off] = byte(damage.b)
			m, err := fsm.New(l.Genesis, fsm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Restore(bytes.NewReader(resealed(b))); errs.CodeOf(err) != errs.Corrupt {
				t.Errorf("%v", err)
			}
		})
	}
}

// resealed ends a damaged snapshot with its right checksum.
func resealed(b []byte) []byte {
	body := b[:len(b)-37]
	sum := sha256.Sum256(body)
	return append(bytes.Clone(b[:len(b)-32]), sum[:]...)
}
