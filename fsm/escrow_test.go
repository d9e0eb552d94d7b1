package fsm_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const day = 24 * time.Hour

func escrowing(key command.KeyID) *command.EscrowKey {
	return &command.EscrowKey{Key: key, Officers: []string{"age1a", "age1b", "age1c"}, M: 2, Delay: day, Reason: "drill"}
}

// allowEscrow has the vault allow escrow after at least a delay; 0 forbids it.
func allowEscrow(l *fsmtest.Log, least time.Duration) {
	s := l.Machine.View().Settings()
	s.EscrowDelay = least
	l.Must(l.Dual(&command.Configure{Settings: s}))
}

func escrowed(t *testing.T) (*fsmtest.Log, *identity.KeySigner, command.KeyID) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	allowEscrow(l, day)
	l.Must(l.Dual(escrowing(id)))
	return l, signer, id
}

func lone(t *testing.T, l *fsmtest.Log, id command.KeyID) *fsm.Escrow {
	t.Helper()
	k := keyOf(t, l, id)
	if len(k.Escrows) != 1 {
		t.Fatalf("%d escrows", len(k.Escrows))
	}
	return k.Escrows[0]
}

func boxOf(l *fsmtest.Log, r identity.RegionID, id command.KeyID, number, epoch uint32) *command.Command {
	return l.By(l.Region(r).Session, &command.EscrowShare{Key: id, Number: number, Epoch: epoch, Box: []byte{byte(r), byte(epoch)}})
}

// TestEscrowIsOff: no vault begins with escrow, and nobody gets one that is not allowed.
func TestEscrowIsOff(t *testing.T) {
	l, _, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	want(t, l, errs.Denied, l.Dual(escrowing(id)))
	g := *l.Genesis
	g.Document.Settings.EscrowDelay = day
	if err := g.Verify(); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a genesis that allows escrow: %v", err)
	}
	s := l.Machine.View().Settings()
	s.EscrowDelay = command.MinEscrowDelay - time.Millisecond
	want(t, l, errs.Invalid, l.Dual(&command.Configure{Settings: s}))
	s.EscrowDelay = day
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.Configure{Settings: s}))
	allowEscrow(l, day)
	want(t, l, errs.OK, l.Dual(escrowing(id)))
}

func TestEscrowRefuses(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	allowEscrow(l, day)
	hot := l.Key("acme", "multi", command.Secp256k1, 2)
	change := func(f func(*command.EscrowKey)) *command.Command {
		b := escrowing(id)
		f(b)
		return l.Dual(b)
	}
	for name, c := range map[string]struct {
		code errs.Code
		c    *command.Command
	}{
		"one administrator": {errs.NeedsSecondAdmin, l.By(l.Admins[0], escrowing(id))},
		"a signer":          {errs.Denied, l.By(signer, escrowing(id))},
		"a multisig key":    {errs.NotFound, l.Dual(escrowing(hot))},
		"too soon":          {errs.Invalid, change(func(b *command.EscrowKey) { b.Delay = day - time.Millisecond })},
		"one officer":       {errs.Invalid, change(func(b *command.EscrowKey) { b.Officers = b.Officers[:1] })},
		"quorum of one":     {errs.Invalid, change(func(b *command.EscrowKey) { b.M = 1 })},
		"quorum of four":    {errs.Invalid, change(func(b *command.EscrowKey) { b.M = 4 })},
		"twice one officer": {errs.Invalid, change(func(b *command.EscrowKey) { b.Officers[1] = "age1a" })},
		"no recipient":      {errs.Invalid, change(func(b *command.EscrowKey) { b.Officers[1] = "" })},
		"steering":          {errs.Invalid, change(func(b *command.EscrowKey) { b.Officers[1] = "age1\x1b[2J" })},
		"cancel nothing":    {errs.BadState, l.By(l.Admins[0], &command.CancelEscrow{Key: id})},
	} {
		t.Run(name, func(t *testing.T) { want(t, l, c.code, c.c) })
	}
	if k := keyOf(t, l, id); len(k.Escrows) != 0 || k.Escrowed != 0 {
		t.Errorf("%+v", k.Escrows)
	}
}

// TestEscrowPath: asked for, waiting by the committed clock, filed by the holders, live for
// ever, whatever is refreshed.
func TestEscrowPath(t *testing.T) {
	l, _, id := escrowed(t)
	e := lone(t, l, id)
	if e.Number != 1 || e.Live() || e.Epoch != 0 || !e.NotBefore.Equal(l.Machine.View().Clock().Add(day)) || len(l.Machine.View().Escrows()) != 1 {
		t.Fatalf("asked for: %+v", e)
	}
	want(t, l, errs.BadState, l.Dual(escrowing(id))) // one at a time
	later(l, day-time.Minute)
	want(t, l, errs.BadState, boxOf(l, 1, id, 1, 1)) // early
	later(l, time.Minute)
	want(t, l, errs.BadState, boxOf(l, 1, id, 2, 1))
	want(t, l, errs.Stale, boxOf(l, 1, id, 1, 2))
	want(t, l, errs.OK, boxOf(l, 1, id, 1, 1))
	want(t, l, errs.OK, boxOf(l, 1, id, 1, 1)) // the same again
	want(t, l, errs.Replayed, l.By(l.Region(1).Session, &command.EscrowShare{Key: id, Number: 1, Epoch: 1, Box: []byte{9}}))
	want(t, l, errs.BadState, l.By(l.Admins[0], &command.CancelEscrow{Key: id}))
	if e = lone(t, l, id); e.Live() || e.Epoch != 1 || len(e.Boxes) != 1 || e.Threshold != 2 {
		t.Fatalf("one share: %+v", e)
	}
	for _, r := range ids(4, 2, 3) {
		want(t, l, errs.OK, boxOf(l, r, id, 1, 1))
	}
	e = lone(t, l, id)
	if !e.Live() || len(e.Boxes) != 4 || !bytes.Equal(e.Box(3), []byte{3, 1}) || len(l.Machine.View().Escrows()) != 0 {
		t.Fatalf("live: %+v", e)
	}
	since := e.Since
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
	l.Hold(id)
	later(l, 2*fsm.RetireTime)
	l.Must(l.Dual(&command.RetireKey{Key: id}))
	if e = lone(t, l, id); !e.Since.Equal(since) || e.Epoch != 1 || len(e.Boxes) != 4 || len(e.Public) == 0 {
		t.Errorf("after a refresh and the end of the key: %+v", e)
	}
	restored, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Restore(bytes.NewReader(written(t, l.Machine))); err != nil || restored.View().Digest() != l.Machine.View().Digest() ||
		restored.View().Settings() != l.Machine.View().Settings() {
		t.Errorf("the snapshot is not itself again: %v", err)
	}
}

// TestEscrowIsCancelled: one administrator or operator alone, of the vault or the tenant.
func TestEscrowIsCancelled(t *testing.T) {
	l, signer, id := escrowed(t)
	want(t, l, errs.Denied, l.By(signer, &command.CancelEscrow{Key: id}))
	l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
	want(t, l, errs.NotFound, l.By(l.Principal("other", "op", command.RoleOperator), &command.CancelEscrow{Key: id}))
	for number, who := range []identity.Signer{l.Admins[1], l.Principal("", "vop", command.RoleOperator), l.Principal("acme", "top", command.RoleOperator)} {
		want(t, l, errs.OK, l.By(who, &command.CancelEscrow{Key: id, Reason: "no"}))
		if k := keyOf(t, l, id); len(k.Escrows) != 0 || len(l.Machine.View().Escrows()) != 0 {
			t.Fatalf("%+v", k.Escrows)
		}
		l.Must(l.Dual(escrowing(id)))
		if e := lone(t, l, id); int(e.Number) != number+2 {
			t.Errorf("number %d", e.Number)
		}
	}
	later(l, day)
	want(t, l, errs.BadState, boxOf(l, 1, id, 1, 1)) // of one that was taken back
}

// TestEscrowStops: a freeze of key or vault, and the settings, hold back what is due.
func TestEscrowStops(t *testing.T) {
	l, _, id := escrowed(t)
	later(l, day)
	l.Must(l.By(l.Admins[0], &command.FreezeKey{Key: id}))
	want(t, l, errs.Frozen, boxOf(l, 1, id, 1, 1))
	l.Must(l.Dual(&command.UnfreezeKey{Key: id}))
	l.Must(l.By(l.Admins[0], &command.FreezeVault{}))
	want(t, l, errs.Frozen, boxOf(l, 1, id, 1, 1))
	l.Must(l.Dual(&command.UnfreezeVault{}))
	allowEscrow(l, 0)
	want(t, l, errs.Denied, boxOf(l, 1, id, 1, 1))
	allowEscrow(l, 7*day)
	want(t, l, errs.OK, boxOf(l, 1, id, 1, 1))
	l.Must(l.Dual(&command.RetireKey{Key: id}))
	want(t, l, errs.BadState, boxOf(l, 2, id, 1, 1))
	if e := lone(t, l, id); len(e.Boxes) != 1 || e.Live() {
		t.Errorf("%+v", e)
	}
}

// TestEscrowAcrossARefresh: too few shares of one sharing are void with it; the holders of
// the next one begin anew, and who holds nothing files nothing.
func TestEscrowAcrossARefresh(t *testing.T) {
	l, _, id := escrowed(t)
	later(l, day)
	want(t, l, errs.OK, boxOf(l, 4, id, 1, 1))
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: ids(1, 2, 3)}))
	l.Hold(id)
	if e := lone(t, l, id); e.Epoch != 0 || len(e.Boxes) != 0 {
		t.Fatalf("%+v", e)
	}
	want(t, l, errs.Stale, boxOf(l, 1, id, 1, 1))
	want(t, l, errs.Denied, boxOf(l, 4, id, 1, 2))
	for _, r := range ids(1, 2) {
		want(t, l, errs.OK, boxOf(l, r, id, 1, 2))
	}
	if e := lone(t, l, id); !e.Live() || e.Epoch != 2 {
		t.Errorf("%+v", e)
	}
}

// TestThinEscrow: where just enough shares are there when the next sharing comes, one of
// them may be garbage: the holders file anew beside them, once. With one more there is
// nothing to do.
func TestThinEscrow(t *testing.T) {
	l, _, id := escrowed(t)
	later(l, day)
	refresh := func() {
		t.Helper()
		l.Must(l.Dual(&command.RefreshKey{Key: id}))
		l.Hold(id)
		later(l, fsm.RetireTime)
	}
	for _, r := range ids(1, 4) {
		want(t, l, errs.OK, boxOf(l, r, id, 1, 1))
	}
	first := lone(t, l, id)
	if !first.Live() || !first.Thin() {
		t.Fatalf("%+v", first)
	}
	refresh()
	k := keyOf(t, l, id)
	if len(k.Escrows) != 2 || k.Escrows[0] != first || k.Escrowing() != k.Escrows[1] || k.Escrowed != 2 {
		t.Fatalf("after a refresh: %+v", k.Escrows)
	}
	if e := k.Escrows[1]; e.Number != 2 || e.Live() || e.Epoch != 0 || e.M != first.M || len(e.Officers) != 3 || !e.NotBefore.Equal(first.NotBefore) || e.Asked != first.Asked {
		t.Fatalf("the one that follows: %+v", e)
	}
	want(t, l, errs.BadState, boxOf(l, 2, id, 1, 1))
	want(t, l, errs.BadState, l.Dual(escrowing(id)))
	for _, r := range ids(2, 3) {
		want(t, l, errs.OK, boxOf(l, r, id, 2, 2))
	}
	refresh() // not a third time: a region that files nothing must not use them up
	if k = keyOf(t, l, id); len(k.Escrows) != 2 || !k.Escrows[1].Live() || k.Escrowing() != nil {
		t.Fatalf("after another: %+v", k.Escrows)
	}
	l.Must(l.Dual(escrowing(id)))
	later(l, day)
	for _, r := range ids(1, 2, 3) {
		want(t, l, errs.OK, boxOf(l, r, id, 3, 3))
	}
	refresh()
	if k = keyOf(t, l, id); len(k.Escrows) != 3 || k.Escrows[2].Thin() {
		t.Fatalf("with one share more than sign: %+v", k.Escrows)
	}
}

// TestEscrowLimits: no more than MaxEscrows in the life of a key.
func TestEscrowLimits(t *testing.T) {
	l, _, id := escrowed(t)
	for n := uint32(1); n <= fsm.MaxEscrows; n++ {
		later(l, day)
		for _, r := range ids(1, 2) {
			want(t, l, errs.OK, boxOf(l, r, id, n, 1))
		}
		code := errs.OK
		if n == fsm.MaxEscrows {
			code = errs.TooLarge
		}
		want(t, l, code, l.Dual(escrowing(id)))
	}
}

// TestEscrowSnapshotVector: a vault with an escrow that is live and one that waits, as
// stored.
func TestEscrowSnapshotVector(t *testing.T) {
	l, _, id := escrowed(t)
	later(l, day)
	for _, r := range ids(1, 2, 4) {
		l.Must(boxOf(l, r, id, 1, 1))
	}
	l.Must(l.Dual(escrowing(id)))
	snapshotVector(t, "snapshot-escrow", l)
}
