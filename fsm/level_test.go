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
)

// newIn plays a release in which freezes of paths are new.
func newIn(t command.Type) uint32 {
	switch t {
	case command.TypeFreezePath, command.TypeUnfreezePath, command.TypeRegionFreezePath:
		return 2
	}
	return 0
}

// announce starts a region anew with a release of a level.
func announce(l *fsmtest.Log, r *fsmtest.Region, level uint32) *command.Command {
	l.Now = l.Now.Add(time.Millisecond)
	l.NewSession(r, l.Now)
	return l.By(r.Identity, &command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{1, 2, 3}, Level: level})
}

// TestLevel: a type that came later is refused until two administrators raised the level,
// which they can once every active region announced it; then no older release comes back.
func TestLevel(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{LevelOf: newIn})
	freeze := func() *command.Command {
		return l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(1), Reason: "new"})
	}
	raise := &command.RaiseLevel{Level: 2, Reason: "all are upgraded"}
	early := freeze()
	want(t, l, errs.BadState, early)
	if err := l.Machine.View().Allowed(command.TypeFreezePath); errs.CodeOf(err) != errs.BadState {
		t.Error(err)
	}
	want(t, l, errs.BadState, l.Dual(raise))
	for _, r := range l.Regions[:3] {
		l.Must(announce(l, r, 3))
	}
	want(t, l, errs.BadState, l.Dual(raise)) // one is behind
	l.Must(announce(l, l.Regions[3], 1))
	want(t, l, errs.BadState, l.Dual(raise))
	want(t, l, errs.OK, l.Dual(&command.RaiseLevel{Level: 1}))
	want(t, l, errs.BadState, freeze())
	l.Must(announce(l, l.Regions[3], 2))
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], raise))
	want(t, l, errs.Denied, l.By(l.Principal("", "operator", command.RoleOperator), raise))
	want(t, l, errs.OK, l.Dual(raise))
	want(t, l, errs.BadState, l.Dual(raise))
	want(t, l, errs.BadState, l.Dual(&command.RaiseLevel{Level: 1})) // never back
	want(t, l, errs.BadState, early)                                 // once refused
	want(t, l, errs.OK, freeze())
	view := l.Machine.View()
	if view.Level() != 2 || view.LevelOf(1) != 3 || view.LevelOf(4) != 2 || view.Fits(2) != nil || errs.CodeOf(view.Fits(1)) != errs.Stale {
		t.Errorf("level %d, regions at %d and %d", view.Level(), view.LevelOf(1), view.LevelOf(4))
	}
	want(t, l, errs.BadState, announce(l, l.Regions[3], 1))
	if r, _ := l.Machine.View().Region(4); r.Sessions[0].Issued.Equal(l.Now) || r.Level != 2 {
		t.Error("an older release registered a session")
	}
	canonical(t, l)
}

// TestLevelOfAbsentRegions: one in quarantine holds nothing up; one that was replaced does
// until its new server announced itself.
func TestLevelOfAbsentRegions(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{LevelOf: newIn})
	for _, r := range l.Regions {
		l.Must(announce(l, r, 1))
	}
	r := l.Regions[3]
	l.Must(l.Dual(&command.ReplaceMember{Region: r.ID, ServerID: r.Name + "-00000009", RaftAddr: "a:1", APIAddr: "a:2", GossipAddr: "a:3"}))
	want(t, l, errs.BadState, l.Dual(&command.RaiseLevel{Level: 1}))
	l.Must(l.Dual(&command.QuarantineRegion{Region: r.ID, Quarantined: true}))
	want(t, l, errs.OK, l.Dual(&command.RaiseLevel{Level: 1}))
	if got := l.Machine.View().LevelOf(r.ID); got != 0 {
		t.Errorf("the server that is gone announced level %d", got)
	}
}

// TestLevelOfANewVault: what all founders' releases know may be used at once, and only while
// nobody uses the vault.
func TestLevelOfANewVault(t *testing.T) {
	l := fsmtest.New().NewLog(fsm.Options{LevelOf: newIn})
	for i, r := range l.Regions {
		if got := l.Machine.View().Level(); got != 0 {
			t.Fatalf("level %d when %d regions have started", got, i)
		}
		l.Must(announce(l, r, uint32(3+i)))
	}
	if got := l.Machine.View().Level(); got != 3 {
		t.Fatalf("level %d, all know 3", got)
	}
	l.Must(announce(l, l.Regions[0], 5))
	if got := l.Machine.View().Level(); got != 4 {
		t.Fatalf("level %d, all know 4", got)
	}
	l.Must(l.Dual(&command.CreateTenant{Name: "acme"}))
	l.Must(announce(l, l.Regions[1], 9))
	if got := l.Machine.View().Level(); got != 4 {
		t.Fatalf("level %d: nobody raised it", got)
	}
}

// old is a release that knows levels, and no freezes of paths.
type old struct{ *fsm.Machine }

// reads reports whether the old release can decode an entry.
func (old) reads(e *command.Entry) bool {
	return !slices.ContainsFunc(e.Commands, func(c *command.Command) bool { return newIn(c.Type) > 0 })
}

// TestOldReleaseReadsAll: whatever is proposed, through leaders that ask the state as they
// do, a release of before can decode every entry up to the one that ends its time, and is in
// the same state there.
func TestOldReleaseReadsAll(t *testing.T) {
	fewerHistories(t)
	v := fsm.NewVerifier(1 << 16)
	rapid.Check(t, func(t *rapid.T) {
		l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{Verify: v.Verify, LevelOf: newIn})
		m, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
		if err != nil {
			t.Fatal(err)
		}
		before := old{m}
		before.Apply(l.Inputs)
		read, over := len(l.Inputs), false
		for range rapid.IntRange(5, 30).Draw(t, "moves") {
			var c *command.Command
			switch rapid.IntRange(0, 4).Draw(t, "move") {
			case 0:
				c = announce(l, l.Regions[rapid.IntRange(0, 3).Draw(t, "region")], uint32(rapid.IntRange(1, 3).Draw(t, "level")))
			case 1:
				c = l.Dual(&command.RaiseLevel{Level: uint32(rapid.IntRange(1, 3).Draw(t, "to"))})
			case 2:
				c = l.By(l.Region(2).Session, &command.RegionFreezePath{Key: key, Path: child(2)})
			case 3:
				c = l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(1)})
			default:
				c = l.By(l.Region(1).Session, &command.Tick{})
			}
			if l.Machine.View().Allowed(c.Type) != nil {
				continue // a leader does not propose it
			}
			l.Do(c)
			for ; read < len(l.Inputs) && !over; read++ {
				if !before.reads(l.Inputs[read].Entry) {
					t.Fatalf("a release of level 1 meets %s at level %d", c.Type, before.View().Level())
				}
				before.Apply(l.Inputs[read : read+1])
				over = before.View().Fits(1) != nil
				if before.View().Digest() != l.Machine.View().Digest() {
					t.Fatal("the releases are in different states")
				}
			}
		}
	})
}

func TestLevelVector(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	for i, r := range l.Regions {
		l.Must(announce(l, r, uint32(1+i%2)))
	}
	l.Must(l.Dual(&command.RaiseLevel{Level: 1, Reason: "all are upgraded"}))
	canonical(t, l)
	snapshotVector(t, "snapshot-level", l)
}

func TestDamagedLevel(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	for _, r := range l.Regions {
		l.Must(announce(l, r, 7))
	}
	l.Must(l.Dual(&command.RaiseLevel{Level: 7}))
	good := written(t, l.Machine)
	record := []byte{44, 0, 0, 0, 4, 0, 0, 0, 7}
	at := bytes.Index(good, record)
	if at < 0 {
		t.Fatal("the level is not where it was")
	}
	for name, b := range map[string][]byte{
		"zero":  slices.Concat(good[:at+8], []byte{0}, good[at+9:]),
		"twice": slices.Concat(good[:at], record, good[at:]),
	} {
		m, err := fsm.New(l.Genesis, fsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(bytes.NewReader(resealed(b))); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
