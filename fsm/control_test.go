package fsm_test

import (
	"bytes"
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

// TestControlIsDual: one administrator alone moves none of it.
func TestControlIsDual(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	for _, b := range []command.Body{
		&command.QuarantineRegion{Region: 2, Quarantined: true}, &command.MuteRegion{Region: 2, Muted: true},
		&command.LiftStop{Region: 2}, &command.RepairRegion{Region: 2, Keep: 1}, &command.RepairClock{To: l.Now},
	} {
		want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], b))
		want(t, l, errs.Denied, l.By(signer, b))
		want(t, l, errs.Unauthenticated, l.By(l.Region(1).Session, b))
	}
}

func TestQuarantine(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	before := opened(t, l, signer, key)
	bad := l.Region(2)
	put := func(id identity.RegionID, on bool) *command.Command {
		return l.Dual(&command.QuarantineRegion{Region: id, Quarantined: on, Evidence: [32]byte{9}, Reason: "signed two entries"})
	}
	want(t, l, errs.NotFound, put(9, true))
	want(t, l, errs.BadState, put(2, false))
	if r := want(t, l, errs.OK, put(2, true)); !r.Regions {
		t.Fatal("a quarantine is not in the result")
	}
	if l.Machine.View().Evidence() != [32]byte{9} {
		t.Fatal("the evidence acted upon is not kept")
	}
	want(t, l, errs.BadState, put(2, true))
	want(t, l, errs.BadState, put(3, true)) // never two

	id := opened(t, l, signer, key)
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 3, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	want(t, l, errs.Denied, l.By(bad.Session, &command.Tick{}))
	want(t, l, errs.Denied, l.By(bad.Session, &command.ReportHealth{Region: 3}))
	want(t, l, errs.Denied, l.By(bad.Session, &command.RegionFreeze{}))
	old := *bad
	l.NewSession(bad, l.Now.Add(time.Second))
	want(t, l, errs.Denied, l.Register(bad))
	bad.Session = old.Session
	word := func(by identity.RegionID) []byte {
		return l.Word(by, command.Word{Kind: command.WordUnreachable, About: 4, At: l.Now})
	}
	want(t, l, errs.Denied, l.By(l.Region(1).Session, &command.ReportHealth{Region: 4, Words: [][]byte{word(2), word(3)}}))
	l.Apply(l.Completion(l.Region(1), [32]byte{7}, ids(1, 2), before))
	if state(l, before) != fsm.RequestOpen {
		t.Fatal("a quarantined region's statement completed a request")
	}

	// A new incarnation of it stays where it is, until two administrators let it back in.
	l.Must(l.Dual(&command.ReplaceMember{Region: 2, ServerID: bad.ServerID, RaftAddr: "b:1", APIAddr: "b:2", GossipAddr: "b:3"}))
	if g, _ := l.Machine.View().Region(2); g.Status != fsm.RegionQuarantined {
		t.Fatal("replacing a member lifted its quarantine")
	}
	want(t, l, errs.OK, put(2, false))
	want(t, l, errs.OK, l.By(bad.Session, &command.Tick{}))
	want(t, l, errs.OK, put(3, true))
}

func TestRegionFreezeAndMute(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	mute := func(id identity.RegionID, on bool) *command.Command {
		return l.Dual(&command.MuteRegion{Region: id, Muted: on, Reason: "cries wolf"})
	}
	want(t, l, errs.NotFound, l.By(l.Region(2).Session, &command.RegionFreeze{Key: command.KeyID{9}}))
	want(t, l, errs.OK, l.By(l.Region(2).Session, &command.RegionFreeze{Key: key, Reason: "intruder"}))
	want(t, l, errs.Frozen, l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	k, _ := l.Machine.View().Key(key)
	if k.FrozenBy != l.Region(2).Session.Public().Fingerprint() {
		t.Fatalf("frozen by %s", k.FrozenBy.Short())
	}
	l.Must(l.Dual(&command.UnfreezeKey{Key: key}))
	if r := want(t, l, errs.OK, l.By(l.Region(2).Session, &command.RegionFreeze{Reason: "intruder"})); !r.Frozen {
		t.Fatal("not frozen")
	}
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.UnfreezeVault{}))
	l.Must(l.Dual(&command.UnfreezeVault{}))
	want(t, l, errs.OK, mute(2, true))
	want(t, l, errs.OK, mute(2, true))
	for _, b := range []command.Body{&command.RegionFreeze{}, &command.RegionFreeze{Key: key}} {
		want(t, l, errs.Denied, l.By(l.Region(2).Session, b))
	}
	want(t, l, errs.OK, l.By(l.Region(2).Session, &command.Tick{})) // it lost nothing else
	want(t, l, errs.OK, l.By(l.Region(3).Session, &command.RegionFreeze{Key: key}))
	want(t, l, errs.OK, mute(2, false))
	if l.Machine.View().Muted(2) {
		t.Fatal("still muted")
	}
	want(t, l, errs.OK, l.By(l.Region(2).Session, &command.RegionFreeze{}))
}

func TestLiftAndRepair(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	if r := want(t, l, errs.OK, l.Dual(&command.LiftStop{Region: 3, Stop: command.StopID{1}})); !r.Lifted {
		t.Fatal("a lifted stop is not in the result")
	}
	v := l.Machine.View()
	if !v.Lifted(3, command.StopID{1}) || v.Lifted(2, command.StopID{1}) || v.Lifted(3, command.StopID{2}) {
		t.Fatal("lifted another stop than this one")
	}
	for i := range fsm.MaxLifted {
		l.Must(l.Dual(&command.LiftStop{Region: 1, Stop: command.StopID{2, byte(i)}}))
	}
	if l.Machine.View().Lifted(3, command.StopID{1}) {
		t.Fatal("lifted stops are remembered without bound")
	}
	next := l.Machine.View().Meta().Index + 1
	want(t, l, errs.Invalid, l.Dual(&command.RepairRegion{Region: 2}))
	want(t, l, errs.Invalid, l.Dual(&command.RepairRegion{Region: 2, Keep: next + 1}))
	r := want(t, l, errs.OK, l.Dual(&command.RepairRegion{Region: 2, Keep: 7}))
	if !slices.Equal(r.Repairs, []fsm.Repair{{Region: 2, Keep: 7}}) {
		t.Fatalf("%+v", r.Repairs)
	}
}

// TestStampsOpenNothingEarly: time is the highest stamp that a leaf tells of, whatever
// stamps a leader tries; nothing expires, and no id is forgotten, before that time.
func TestStampsOpenNothingEarly(t *testing.T) {
	verifier := fsm.NewVerifier(1 << 14)
	rapid.Check(t, func(t *rapid.T) {
		l, signer, key := fsmtest.New().Ready(fsm.Options{Verify: verifier.Verify})
		start := l.Now
		cmd := l.By(signer, fsmtest.Digest(key, [32]byte{1}))
		id := l.Must(cmd).Request
		clock := l.Machine.View().Clock()
		for range rapid.IntRange(1, 12).Draw(t, "entries") {
			l.Now = start.Add(time.Duration(rapid.IntRange(-900_000, 900_000).Draw(t, "ms")) * time.Millisecond)
			tick := l.Command(&command.Tick{}, clock.Add(time.Minute), l.Region(1).Session)
			if rapid.Bool().Draw(t, "empty") {
				l.Apply()
			} else if l.Apply(tick); l.Now.After(clock) {
				clock = l.Now
			}
			v := l.Machine.View()
			if !v.Clock().Equal(clock) {
				t.Fatalf("the clock stands at %s, want %s", v.Clock(), clock)
			}
			if q, ok := v.Request(id); clock.Before(cmd.Expiry.Add(fsm.CompletionGrace)) && (!ok || q.State != fsm.RequestOpen) {
				t.Fatalf("%s before its expiry and grace the request is not open", cmd.Expiry.Sub(clock))
			}
			o := l.Do(cmd)
			if l.Now.After(clock) {
				clock = l.Now
			}
			if o.Code == errs.OK && o.Request != id || o.Code != errs.OK && clock.Before(cmd.Expiry.Add(fsm.Retention)) {
				t.Fatalf("asked again at %s: %s", clock, o.Code)
			}
		}
	})
}

// jumped is a log whose clock a wrong stamp put a month ahead, after some commands.
func jumped(t *testing.T) (l *fsmtest.Log, now time.Time, old []*command.Command) {
	l, _, _ = fsmtest.New().Ready(fsm.Options{})
	old = []*command.Command{l.Dual(&command.FreezeVault{Reason: "a"}), l.Dual(&command.UnfreezeVault{Reason: "b"})}
	for _, c := range old {
		l.Must(c)
	}
	now = l.Now
	l.Now = now.Add(30 * 24 * time.Hour)
	far := l.Now.Add(time.Minute)
	l.Apply(l.Command(&command.Tick{}, far, l.Region(1).Session))
	for range 3 { // what is past its time is forgotten
		l.Apply(l.Command(&command.Tick{}, far, l.Region(1).Session))
	}
	l.Now = now.Add(time.Second)
	return l, l.Now, old
}

func TestRepairClock(t *testing.T) {
	l, now, old := jumped(t)
	far := l.Machine.View().Clock()
	word := func(by identity.RegionID, clock, at time.Time) []byte {
		return l.ClockWord(by, command.ClockWord{Clock: clock, At: at})
	}
	repair := func(to time.Time, words ...[]byte) *command.Command {
		return l.Dual(&command.RepairClock{To: to, Words: words, Reason: "a wrong stamp"})
	}
	two := func() [][]byte { return [][]byte{word(2, far, now), word(3, far, now)} }
	want(t, l, errs.Denied, repair(now, word(2, far, now)))
	want(t, l, errs.Denied, repair(now, word(2, far, now), word(2, far, now)))
	want(t, l, errs.Stale, repair(now, word(2, far, now), word(3, far.Add(time.Second), now)))
	want(t, l, errs.Skewed, repair(now, word(2, far, now), word(3, far, now.Add(time.Minute))))
	l.Life = 2 * time.Hour
	want(t, l, errs.Skewed, repair(now.Add(time.Hour), append(two(), word(4, far, now.Add(time.Hour)))...))
	l.Life = 5 * time.Minute
	want(t, l, errs.BadState, repair(far.Add(time.Hour), two()...)) // forward it moves by itself
	forged := word(3, far, now)
	forged[60] ^= 1
	if o := l.Do(repair(now, word(2, far, now), forged)); o.Code == errs.OK {
		t.Fatal("a forged word was taken")
	}
	kept := l.Region(3).Session
	l.NewSession(l.Region(3), now)
	want(t, l, errs.Unverified, repair(now, word(2, far, now), word(3, far, now)))
	l.Region(3).Session = kept
	endless := l.Command(&command.RepairClock{To: now, Words: two()}, far.Add(25*time.Hour), l.Admins[0])
	want(t, l, errs.Invalid, endless) // its id would be remembered for ever
	short := l.Command(&command.RepairClock{To: now, Words: two()}, now, l.Admins[0], l.Admins[1])
	want(t, l, errs.Expired, short)

	good := repair(now, two()...)
	if r := want(t, l, errs.OK, good); !r.Clock || !l.Machine.View().Clock().Equal(now) {
		t.Fatalf("the clock stands at %s", l.Machine.View().Clock())
	}
	// What the jump made the vault forget does not come back as new.
	for _, c := range old {
		if o := l.Do(c); o.Code == errs.OK && o.Index == l.Machine.View().Meta().Index {
			t.Fatalf("%s was carried out a second time", c.Type)
		}
	}
	if _, _, frozen := l.Machine.View().Frozen(); frozen {
		t.Fatal("an old freeze was replayed")
	}
	want(t, l, errs.Expired, l.Dual(&command.FreezeVault{Reason: "again"}))
	l.Life = time.Minute
	want(t, l, errs.OK, l.By(l.Region(1).Session, &command.Tick{})) // regions go on at once
	l.Life = 3 * time.Hour                                          // beyond what was forgotten, the refused ones of two hours included
	l.Must(l.Dual(&command.FreezeVault{Reason: "again"}))
	l.Must(l.Dual(&command.UnfreezeVault{Reason: "again"}))
	l.Life = 5 * time.Minute
	for range 5 { // and time goes on, also through what the sweep had passed before
		l.Now = l.Now.Add(4 * time.Minute)
		l.Must(l.By(l.Region(1).Session, &command.Tick{}))
	}
	want(t, l, errs.Stale, good) // replayed: its words are of another clock
	roundTrip(t, l)
}

// TestWrongClockStopsCommands shows why there is a repair: under a clock far ahead every
// command of an honest hand is expired, and nothing it could do comes early.
func TestWrongClockStopsCommands(t *testing.T) {
	l, _, _ := jumped(t)
	want(t, l, errs.Expired, l.Dual(&command.FreezeVault{}))
	want(t, l, errs.Expired, l.By(l.Region(1).Session, &command.Tick{}))
}

func roundTrip(t *testing.T, l *fsmtest.Log) {
	t.Helper()
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := written(t, l.Machine)
	if err := m.Restore(bytes.NewReader(b)); err != nil || !bytes.Equal(written(t, m), b) || m.View().Digest() != l.Machine.View().Digest() {
		t.Fatalf("a snapshot is not itself again: %v", err)
	}
}

// controlled is a vault with something of everything administrators can decide.
func controlled(t *testing.T) *fsmtest.Log {
	l, now, _ := jumped(t)
	far := l.Machine.View().Clock()
	l.Must(l.Dual(&command.RepairClock{To: now, Words: [][]byte{
		l.ClockWord(2, command.ClockWord{Clock: far, At: now}), l.ClockWord(3, command.ClockWord{Clock: far, At: now})}}))
	l.Life = 10 * time.Minute
	l.Must(l.Dual(&command.QuarantineRegion{Region: 4, Quarantined: true, Evidence: [32]byte{1}}))
	l.Must(l.Dual(&command.MuteRegion{Region: 2, Muted: true}))
	l.Must(l.Dual(&command.LiftStop{Region: 3, Stop: command.StopID{8}}))
	return l
}

func TestControlVector(t *testing.T) {
	l := controlled(t)
	roundTrip(t, l)
	d := l.Machine.View().Digest()
	fsmtest.Golden(t, "..", "snapshot-control", []fsmtest.Vector{fsmtest.NewVector("snapshot", written(t, l.Machine), "digest", d[:])})
}

func TestDecided(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	c := l.By(l.Admins[0], &command.FreezeVault{Reason: "x"})
	if _, ok := l.Machine.View().Decided(c.Principal, c.ID); ok {
		t.Fatal("decided before it was")
	}
	o := l.Must(c)
	cm := c.Commitment()
	d, ok := l.Machine.View().Decided(c.Principal, c.ID)
	if !ok || d.Hash != cm.Hash(l.Cluster()) || d.Code != errs.OK || d.Meta.Index != o.Index || d.Request != nil {
		t.Fatalf("%+v", d)
	}
}

// TestDecidedOutlivesASnapshot: what a region's word rests on is all in the state: requests
// with their place and answer, refusals, keys.
func TestDecidedOutlivesASnapshot(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	signs, refused := l.By(signer, fsmtest.Digest(key, [32]byte{1})), l.By(signer, fsmtest.Digest(command.KeyID{}, [32]byte{}))
	creates := l.Dual(&command.CreateKey{Name: "new", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	o, made := l.Must(signs), l.Do(creates)
	open, _ := l.Machine.View().Decided(signer.Public().Fingerprint(), signs.ID)
	l.Do(refused)
	l.Apply(l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), o.Request))
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err == nil {
		err = m.Restore(bytes.NewReader(written(t, l.Machine)))
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]fsm.View{"applied": l.Machine.View(), "restored": m.View()} {
		d, ok := v.Decided(signs.Principal, signs.ID)
		cm := signs.Commitment()
		if !ok || d.Hash != cm.Hash(l.Cluster()) || d.Code != errs.OK || d.Request == nil || d.Request.ID != o.Request || d.Meta != open.Meta || d.Meta.Index != o.Index || d.Meta.Term == 0 {
			t.Fatalf("%s: %+v", name, d)
		}
		was, is := open.Request.Standing(), d.Request.Standing()
		if was.Hash() == is.Hash() || is.Closed != 0 || len(is.Results) != 2 {
			t.Errorf("%s: %+v", name, is)
		}
		again, _ := l.Machine.View().Request(o.Request)
		if same := again.Standing(); same.Hash() != is.Hash() {
			t.Errorf("%s: two standings of one request", name)
		}
		if d, ok := v.Decided(refused.Principal, refused.ID); !ok || d.Code != errs.NotFound || d.Request != nil || d.Meta.Term != 0 {
			t.Errorf("%s: a refusal: %+v", name, d)
		}
		if d, ok := v.Decided(creates.Principal, creates.ID); !ok || d.Code != made.Code || d.Key != made.Key || d.Key == (command.KeyID{}) {
			t.Errorf("%s: a key: %+v, %+v", name, d, made)
		}
	}
}

// TestClockSetBackWithinABatch: what was forgotten earlier in a batch is not forgotten
// once more after the clock was set back in it, as it is not in batches of one entry.
func TestClockSetBackWithinABatch(t *testing.T) {
	l, now, _ := jumped(t)
	before := len(l.Inputs) - 4 // entries until the jump
	l.Now = now.Add(time.Hour)
	far := l.Machine.View().Clock()
	l.Must(l.Dual(&command.RepairClock{To: l.Now, Words: [][]byte{
		l.ClockWord(2, command.ClockWord{Clock: far, At: l.Now}), l.ClockWord(3, command.ClockWord{Clock: far, At: l.Now})}}))
	for range 3 {
		l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
	}
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(l.Inputs[:before])
	m.Apply(l.Inputs[before:])
	if m.View().Digest() != l.Machine.View().Digest() {
		t.Fatal("one batch makes another state than its entries one by one")
	}
}
