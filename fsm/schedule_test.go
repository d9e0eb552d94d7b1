package fsm_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// refreshEvery sets the schedule; 0 ends it.
func refreshEvery(l *fsmtest.Log, every time.Duration) {
	s := l.Machine.View().Settings()
	s.RefreshEvery = every
	l.Must(l.Dual(&command.Configure{Settings: s}))
}

// scheduledKeys is a vault with n threshold keys that are refreshed every day.
func scheduledKeys(t *testing.T, n int) (*fsmtest.Log, []command.KeyID) {
	t.Helper()
	l, _, first := fsmtest.New().ReadyThreshold(fsm.Options{})
	made := []command.KeyID{first}
	for i := range n - 1 {
		made = append(made, l.ThresholdKey("acme", fmt.Sprint("k", i), command.Ed25519, 2))
	}
	refreshEvery(l, day)
	return l, made
}

func scheduleOf(t *testing.T, l *fsmtest.Log) fsm.Schedule {
	t.Helper()
	s, ok := l.Machine.View().Schedule()
	if !ok {
		t.Fatal("there is no schedule")
	}
	return s
}

// dealAll has the regions named say everything that running ceremonies wait for, until
// nothing more comes of it; all ends of sharings included if regions are all.
func dealAll(t *testing.T, l *fsmtest.Log, regions ...identity.RegionID) {
	t.Helper()
	for range 60 {
		var out []*command.Command
		v := l.Machine.View()
		wraps := v.Wraps()
		for _, r := range regions {
			if e := wraps[len(wraps)-1]; e.Key(r) == nil {
				out = append(out, l.OfferWrap(l.Region(r), e.Epoch))
			}
		}
		for _, k := range v.Ceremonies() {
			e, _ := v.Wrap(k.Ceremony.Wrap)
			for _, r := range k.Ceremony.Missing(e) {
				if b := l.Said(l.Region(r), k.ID); b != nil && k.Ceremony.Step != fsm.StepWrap && bytes.IndexByte(raw(regions), byte(r)) >= 0 {
					out = append(out, l.By(l.Region(r).Session, b))
				}
			}
		}
		if _, going := v.Refreshing(); len(out) == 0 && !going {
			return
		}
		if len(out) == 0 {
			later(l, 10*time.Second)
			continue
		}
		l.Apply(out...)
	}
	t.Fatal("the ceremonies do not end")
}

func raw(ids []identity.RegionID) (b []byte) {
	for _, id := range ids {
		b = append(b, byte(id))
	}
	return b
}

// told returns what the leaves of a result say of the schedule.
func told(t *testing.T, res fsm.Result) (out []audit.ScheduledRefresh) {
	t.Helper()
	for i := range res.Leaves {
		e, err := audit.DecodeEffect(res.Leaves[i].Effect)
		if err != nil {
			t.Fatal(err)
		}
		if e.Schedule != nil {
			out = append(out, *e.Schedule)
		}
	}
	return out
}

func wantEpochs(t *testing.T, l *fsmtest.Log, made []command.KeyID, epoch uint32) {
	t.Helper()
	for _, id := range made {
		if k := keyOf(t, l, id); k.Sharing.Epoch != epoch {
			t.Fatalf("key %s is at sharing %d, want %d", k.Name, k.Sharing.Epoch, epoch)
		}
	}
}

func TestScheduleSettings(t *testing.T) {
	l, _, _ := fsmtest.New().ReadyThreshold(fsm.Options{})
	if _, ok := l.Machine.View().Schedule(); ok {
		t.Fatal("a new vault has a schedule")
	}
	g := *l.Genesis
	g.Document.Settings.RefreshEvery = day
	if err := g.Verify(); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a genesis with a schedule: %v", err)
	}
	s := l.Machine.View().Settings()
	for _, bad := range []time.Duration{time.Minute, 90 * time.Minute, time.Hour + time.Millisecond} {
		s.RefreshEvery = bad
		want(t, l, errs.Invalid, l.Dual(&command.Configure{Settings: s}))
	}
	s.RefreshEvery = day
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.Configure{Settings: s}))
	want(t, l, errs.OK, l.Dual(&command.Configure{Settings: s}))
	set := scheduleOf(t, l)
	if !set.Due.Equal(l.Machine.View().Clock().Add(day)) || set.Index != 0 || set.Lagging != 0 {
		t.Errorf("%+v", set)
	}
	later(l, time.Hour)
	s.MaxOpen = 7
	l.Must(l.Dual(&command.Configure{Settings: s}))
	if got := scheduleOf(t, l); got != set {
		t.Errorf("another setting moved it: %+v, was %+v", got, set)
	}
	refreshEvery(l, 2*time.Hour)
	if got := scheduleOf(t, l); !got.Since.Equal(set.Since) || !got.Due.Equal(set.Since.Add(2*time.Hour)) {
		t.Errorf("a shorter period does not go on counting: %+v", got)
	}
	refreshEvery(l, 0)
	if _, ok := l.Machine.View().Schedule(); ok {
		t.Error("off, and still there")
	}
	if res := later(l, 30*day); len(told(t, res)) != 0 || len(l.Machine.View().Ceremonies()) != 0 {
		t.Error("refreshed without a schedule")
	}
}

// TestScheduledRefresh: period after period every key gets new shares, frozen or not, and
// the wrapping epoch before is given up.
func TestScheduledRefresh(t *testing.T) {
	l, made := scheduledKeys(t, 70)
	l.Must(l.Dual(&command.FreezeKey{Key: made[1]}))
	l.Must(l.Dual(&command.FreezeVault{}))
	if res := later(l, day-2*time.Second); len(told(t, res)) != 0 {
		t.Fatal("too early")
	}
	for period := uint32(1); period <= 3; period++ {
		res := later(l, scheduleOf(t, l).Due.Sub(l.Machine.View().Clock()))
		if got := told(t, res); len(got) != 1 || got[0] != (audit.ScheduledRefresh{Wrap: period + 1}) {
			t.Fatalf("period %d: the leaves say %+v", period, got)
		}
		dealAll(t, l, 1, 2, 3, 4)
		wantEpochs(t, l, made, period+1)
		later(l, fsm.RetireTime)
		later(l, 0)
		later(l, 0)
		if e := wrapOf(t, l, period); e.Live != 0 || e.Doomed == 0 {
			t.Fatalf("period %d: %+v", period, e)
		}
		s := scheduleOf(t, l)
		if s.Index != res.Meta.Index || !s.Last.Equal(res.Stamp) || s.Asked || s.Lagging != 0 || !s.Due.Equal(res.Stamp.Add(day)) {
			t.Fatalf("period %d: %+v", period, s)
		}
		if res := later(l, 12*time.Hour); len(told(t, res)) != 0 {
			t.Fatalf("period %d: repeated with nothing left", period)
		}
		if s := scheduleOf(t, l); !s.Retry.IsZero() {
			t.Fatalf("period %d: still to be repeated at %s", period, s.Retry)
		}
	}
}

// TestMissedPeriods: a vault whose clock stood for ten periods refreshes once.
func TestMissedPeriods(t *testing.T) {
	l, made := scheduledKeys(t, 2)
	res := later(l, 10*day+time.Hour)
	if len(told(t, res)) != 1 {
		t.Fatal("not once")
	}
	dealAll(t, l, 1, 2, 3, 4)
	if res := later(l, 2*time.Minute); len(told(t, res)) != 0 {
		t.Error("a missed period is made up for")
	}
	wantEpochs(t, l, made, 2)
	if s := scheduleOf(t, l); !s.Due.Equal(res.Stamp.Add(day)) {
		t.Errorf("next at %s, the last was at %s", s.Due, res.Stamp)
	}
}

// TestCommandedRefreshCounts: the period counts from a refresh of all that was asked for.
func TestCommandedRefreshCounts(t *testing.T) {
	l, made := scheduledKeys(t, 2)
	later(l, 23*time.Hour)
	o := l.Must(l.Dual(&command.RefreshKey{}))
	dealAll(t, l, 1, 2, 3, 4)
	if s := scheduleOf(t, l); !s.Asked || s.Index != o.Index || s.Wrap != 2 {
		t.Fatalf("%+v", s)
	}
	if res := later(l, 23*time.Hour); len(told(t, res)) != 0 {
		t.Fatal("refreshed a day after the setting, not after the refresh")
	}
	if res := later(l, 2*time.Hour); len(told(t, res)) != 1 {
		t.Fatal("not refreshed")
	}
	dealAll(t, l, 1, 2, 3, 4)
	wantEpochs(t, l, made, 3)
}

// TestScheduleWithoutKeys: nothing happens, and nothing piles up.
func TestScheduleWithoutKeys(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	refreshEvery(l, day)
	for range 3 {
		if res := later(l, day); len(told(t, res)) != 0 || len(l.Machine.View().Wraps()) != 0 {
			t.Fatal("a refresh of nothing")
		}
	}
	if s := scheduleOf(t, l); !s.Due.After(l.Machine.View().Clock()) {
		t.Errorf("%+v", s)
	}
}

// TestScheduleWithADeadRegion: keys stay as they were, no try is used up, what could not be
// done is tried again some times, and done as soon as the region is back.
func TestScheduleWithADeadRegion(t *testing.T) {
	for _, ill := range []bool{true, false} {
		t.Run(fmt.Sprint("known to be ill: ", ill), func(t *testing.T) {
			l, made := scheduledKeys(t, 3)
			l.Must(l.Dual(&command.RefreshKey{Key: made[2], Holders: ids(1, 2, 3)}))
			dealAll(t, l, 1, 2, 3, 4)
			later(l, fsm.RetireTime)
			if ill {
				l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4, Healthy: false}))
			}
			later(l, scheduleOf(t, l).Due.Sub(l.Machine.View().Clock()))
			dealAll(t, l, 1, 2, 3)
			wantEpochs(t, l, made[:2], 1)
			wantEpochs(t, l, made[2:], 3)
			if k := keyOf(t, l, made[0]); k.Ceremony != nil {
				t.Fatalf("a try was used up: %+v", k.Ceremony)
			}
			later(l, fsm.RetireTime)
			if s := scheduleOf(t, l); s.Lagging != 2 || s.Retry.IsZero() {
				t.Fatalf("%+v", s)
			}
			repeated := 0
			for range 30 {
				s := scheduleOf(t, l)
				if s.Retry.IsZero() {
					break
				}
				repeated += len(told(t, later(l, s.Retry.Sub(l.Machine.View().Clock()))))
				dealAll(t, l, 1, 2, 3)
			}
			if repeated != fsm.MaxRetries {
				t.Fatalf("repeated %d times", repeated)
			}
			if n := len(l.Machine.View().Wraps()); n > 3 {
				t.Fatalf("%d wrapping epochs piled up", n)
			}
			res := later(l, scheduleOf(t, l).Due.Sub(l.Machine.View().Clock()))
			if len(told(t, res)) != 1 || scheduleOf(t, l).Retries != 0 {
				t.Fatal("the next period does not begin anew")
			}
			dealAll(t, l, 1, 2, 3)
			l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4, Healthy: true}))
			later(l, scheduleOf(t, l).Retry.Sub(l.Machine.View().Clock()))
			dealAll(t, l, 1, 2, 3, 4)
			wantEpochs(t, l, made[:2], 2)
		})
	}
}

// TestRefreshOfAllWithoutARegion: one that was commanded uses up no try on a key whose
// holder is away, waits a minute for wrapping keys and no longer, takes along what it can,
// and says of each other key what is in the way.
func TestRefreshOfAllWithoutARegion(t *testing.T) {
	for name, tc := range map[string]struct {
		away  func(l *fsmtest.Log)
		waits bool
		code  errs.Code
	}{
		"quarantined":       {func(l *fsmtest.Log) { l.Must(l.Dual(&command.QuarantineRegion{Region: 4, Quarantined: true})) }, false, errs.Invalid},
		"ill":               {func(l *fsmtest.Log) { l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4})) }, false, errs.Unavailable},
		"silent, not ill":   {func(*fsmtest.Log) {}, true, errs.NotReady},
		"silent, scheduled": {func(l *fsmtest.Log) { refreshEvery(l, day) }, true, errs.NotReady},
	} {
		t.Run(name, func(t *testing.T) {
			l, _, first := fsmtest.New().ReadyThreshold(fsm.Options{})
			made := []command.KeyID{first, l.ThresholdKey("acme", "b", command.Ed25519, 2), l.ThresholdKey("acme", "c", command.Ed25519, 2)}
			three := l.ThresholdKey("acme", "three", command.Ed25519, 2)
			l.Must(l.Dual(&command.RefreshKey{Key: three, Holders: ids(1, 2, 3)}))
			dealAll(t, l, 1, 2, 3, 4)
			later(l, fsm.RetireTime)
			tc.away(l)
			l.Must(l.Dual(&command.RefreshKey{}))
			began := l.Machine.View().Clock()
			_, going := l.Machine.View().Refreshing()
			awaited := 0
			for _, id := range made {
				if a, _ := l.Machine.View().Unrefreshed(keyOf(t, l, id)); a {
					awaited++
				}
			}
			if !going || tc.waits && awaited == 0 {
				t.Fatalf("going on: %v, %d keys are awaited", going, awaited)
			}
			dealAll(t, l, 1, 2, 3)
			if took := l.Machine.View().Clock().Sub(began); took > fsm.OfferTime+15*time.Second {
				t.Errorf("it waited for %s", took)
			}
			wantEpochs(t, l, made, 1)
			wantEpochs(t, l, []command.KeyID{three}, 3)
			for _, id := range made {
				k := keyOf(t, l, id)
				if a, why := l.Machine.View().Unrefreshed(k); k.Ceremony != nil || a || errs.CodeOf(why) != tc.code {
					t.Errorf("key %s: ceremony %+v, awaited %v, %v", k.Name, k.Ceremony, a, why)
				}
			}
			if a, why := l.Machine.View().Unrefreshed(keyOf(t, l, three)); a || why != nil {
				t.Errorf("a key that came along: %v, %v", a, why)
			}
		})
	}
}

// TestScheduleLeavesTries: a region that offers its key and then deals nothing fails
// ceremony after ceremony; the schedule stops before the last number is used up.
func TestScheduleLeavesTries(t *testing.T) {
	l, made := scheduledKeys(t, 1)
	for range 60 {
		s := scheduleOf(t, l)
		next := s.Due
		if !s.Retry.IsZero() {
			next = s.Retry
		}
		later(l, next.Sub(l.Machine.View().Clock()))
		e := l.Machine.View().Wraps()
		for _, r := range l.Regions {
			if last := e[len(e)-1]; last.Key(r.ID) == nil {
				l.Must(l.OfferWrap(r, last.Epoch))
			}
		}
		for range fsm.MaxTries + 1 {
			later(l, fsm.StepTime)
		}
	}
	k := keyOf(t, l, made[0])
	if k.Ceremony.Running() || k.Ceremony.ID.Try < fsm.ScheduleTries || k.Ceremony.ID.Try > fsm.ScheduleTries+fsm.MaxTries {
		t.Fatalf("%d tries", k.Ceremony.ID.Try)
	}
	l.Must(l.Dual(&command.RefreshKey{Key: made[0]}))
	dealAll(t, l, 1, 2, 3, 4)
	wantEpochs(t, l, made, 2)
}

// TestScheduleWithoutRoom: while HSMs hold the most keys there may be, none is made.
func TestScheduleWithoutRoom(t *testing.T) {
	l, made := scheduledKeys(t, 1)
	refreshEvery(l, 365*day)
	for range fsm.MaxWraps - 1 {
		l.Must(l.Dual(&command.RefreshKey{Key: made[0]}))
		l.Hold(made[0])
		later(l, fsm.RetireTime)
	}
	res := later(l, scheduleOf(t, l).Due.Sub(l.Machine.View().Clock()))
	if s := scheduleOf(t, l); len(told(t, res)) != 0 || s.Wrap != 0 || s.Index != 0 || !s.Last.IsZero() || s.Retry.IsZero() {
		t.Fatalf("%+v", s)
	}
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, &command.DropWrap{Epoch: 5}))
	}
	res = later(l, scheduleOf(t, l).Retry.Sub(l.Machine.View().Clock()))
	if got := told(t, res); len(got) != 1 || got[0].Wrap != fsm.MaxWraps+1 || got[0].Retry != 1 {
		t.Fatalf("%+v", got)
	}
}

// TestScheduleAndTheClock: a stamp of far ahead makes one refresh, and the repair neither a
// storm nor one that never comes.
func TestScheduleAndTheClock(t *testing.T) {
	l, made := scheduledKeys(t, 2)
	now := l.Now
	for round := range 3 {
		l.Now = now.Add(1000 * day)
		res := later(l, 0)
		if len(told(t, res)) != 1 {
			t.Fatal("not refreshed when the clock ran ahead")
		}
		dealAll(t, l, 1, 2, 3, 4)
		wantEpochs(t, l, made, uint32(round+2))
		later(l, fsm.RetireTime)
		later(l, 0)
		now = now.Add(time.Hour)
		clock := l.Machine.View().Clock()
		l.Now = now
		word := func(r identity.RegionID) []byte { return l.ClockWord(r, command.ClockWord{Clock: clock, At: now}) }
		repair := l.Command(&command.RepairClock{To: now, Words: [][]byte{word(1), word(2)}, Reason: "ahead"}, now.Add(time.Minute), l.Admins[0], l.Admins[1])
		if res := l.Apply(repair); res.Outcomes[0].Code != errs.OK || len(told(t, res)) != 0 {
			t.Fatalf("%+v", res.Outcomes)
		}
		if s := scheduleOf(t, l); !s.Due.Equal(now.Add(day)) || s.Retry.After(now.Add(fsm.MaxRetry)) {
			t.Fatalf("%+v, the clock is %s", s, now)
		}
	}
	l.Life = 24 * time.Hour
	refreshed := 0
	for range 48 {
		refreshed += len(told(t, later(l, 30*time.Minute)))
		dealAll(t, l, 1, 2, 3, 4)
	}
	if refreshed != 1 {
		t.Fatalf("%d refreshes in the day after the repairs", refreshed)
	}
}

// variedSchedule is a log with a schedule that began a refresh and looks again later.
func variedSchedule(t testing.TB) *fsmtest.Log {
	l, _, _ := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.ThresholdKey("acme", "warm", command.Secp256k1, 3)
	refreshEvery(l, day)
	later(l, day)
	l.Must(l.OfferWrap(l.Region(2), 2))
	return l
}

func TestScheduleVector(t *testing.T) {
	l := variedSchedule(t)
	canonical(t, l)
	snapshotVector(t, "snapshot-schedule", l)
}
