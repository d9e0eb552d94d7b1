package fsm_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func keyOf(t testing.TB, l *fsmtest.Log, id command.KeyID) *fsm.Key {
	t.Helper()
	k, ok := l.Machine.View().Key(id)
	if !ok {
		t.Fatal("the key is not there")
	}
	return k
}

func wrapOf(t testing.TB, l *fsmtest.Log, epoch uint32) *fsm.Wrap {
	t.Helper()
	e, ok := l.Machine.View().Wrap(epoch)
	if !ok {
		t.Fatalf("wrapping epoch %d is not there", epoch)
	}
	return e
}

// say has a region say what the present step of a key's ceremony wants of it.
func say(l *fsmtest.Log, r identity.RegionID, key command.KeyID) fsm.Outcome {
	return l.Do(l.By(l.Region(r).Session, l.Said(l.Region(r), key)))
}

// later moves the clock on and commits a tick.
func later(l *fsmtest.Log, d time.Duration) fsm.Result {
	l.Now = l.Now.Add(d)
	return l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
}

// TestThresholdPath: a key is made, signs, is refreshed, and the old wrapping epoch goes.
func TestThresholdPath(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	k := keyOf(t, l, id)
	if k.State != fsm.KeyActive || k.Version != 1 || k.Ceremony != nil || k.Retiring != nil || k.Sharing.Epoch != 1 || k.Sharing.Wrap != 1 ||
		len(k.Sharing.Shares) != 4 || len(k.Point) != 32 || wrapOf(t, l, 1).Live != 1 {
		t.Fatalf("made: %+v", k)
	}
	request := fsmtest.Message(id, "pay")
	request.Path = []uint32{0, 7}
	res := l.Apply(l.By(signer, request))
	if len(res.Opened) != 1 || !res.Nonces {
		t.Fatalf("%+v", res.Outcomes)
	}
	q, _ := l.Machine.View().Request(res.Opened[0])
	a := q.Open()
	if a.Epoch != 1 || len(a.Nonces) != 4 || len(a.Nonces[2].Commitments) != 1 || a.Nonces[2].Region != 3 || len(q.Path) != 2 {
		t.Fatalf("opened: %+v", a)
	}
	effect, err := audit.DecodeEffect(res.Leaves[0].Effect)
	if err != nil || effect.Opened[0].Epoch != 1 || len(effect.Opened[0].Nonces) != 4 || !bytes.Equal(effect.Opened[0].Nonces[1], a.Nonces[1].Commitments[0]) {
		t.Fatalf("the audit does not name the nonces: %+v, %v", effect, err)
	}
	for _, p := range l.Machine.View().NoncePools() {
		if p.Count() != 7 || p.Offered != 8 || !bytes.Equal(p.Commitments[:79], l.Commitments(l.Region(p.Region), p.Curve, 2, 1)) {
			t.Fatalf("pool of region %d: %d left", p.Region, p.Count())
		}
	}
	l.Must(l.Dual(&command.RefreshKey{Key: id, Reason: "monthly"}))
	if k = keyOf(t, l, id); k.State != fsm.KeyActive || k.Ceremony.Step != fsm.StepWrap || k.Ceremony.ID.Epoch != 2 || k.Ceremony.Wrap != 2 || k.Sharing.Epoch != 1 {
		t.Fatalf("refresh: %+v", k.Ceremony)
	}
	l.Hold(id)
	if k = keyOf(t, l, id); k.Sharing.Epoch != 2 || k.Retiring.Epoch != 1 || wrapOf(t, l, 1).Doomed != 0 {
		t.Fatalf("refreshed: %+v", k)
	}
	// What was opened under the retiring sharing is still answered.
	if res = l.Apply(l.Shares(l.Region(1), [32]byte{9}, ids(4, 2), q.ID)); len(res.Completed) != 1 {
		t.Fatalf("completion: %+v", res.Outcomes)
	}
	q, _ = l.Machine.View().Request(q.ID)
	if s := q.Signed(); s == nil || len(s.Nonces) != 2 || s.Nonces[0].Region != 2 || s.Nonces[1].Region != 4 || s.Epoch != 1 || len(q.Results) != 2 || len(q.Path) != 2 {
		t.Fatalf("completed: %+v", q)
	}
	later(l, fsm.RetireTime)
	if k = keyOf(t, l, id); k.Retiring != nil || wrapOf(t, l, 1).Doomed == 0 || wrapOf(t, l, 2).Live != 1 {
		t.Fatalf("retired: %+v", k)
	}
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, &command.DropWrap{Epoch: 1}))
	}
	if w := l.Machine.View().Wraps(); len(w) != 1 || w[0].Epoch != 2 {
		t.Fatalf("%d wrapping epochs are left", len(w))
	}
	if o := l.Do(l.By(l.Region(1).Session, &command.DropWrap{Epoch: 1})); o.Code != errs.OK {
		t.Fatal("said again:", o)
	}
}
