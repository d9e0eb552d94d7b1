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

func ids(r ...identity.RegionID) []identity.RegionID { return r }

func TestMainPath(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	cmd := l.By(signer, fsmtest.Digest(key, [32]byte{1}))
	res := l.Apply(cmd)
	out := res.Outcomes[0]
	if out.Code != errs.OK || len(res.Opened) != 1 || res.Opened[0] != out.Request || len(res.Leaves) != 1 {
		t.Fatalf("request: %+v", res)
	}
	q, ok := l.Machine.View().Request(out.Request)
	if !ok || q.State != fsm.RequestOpen || len(q.Open().Eligible) != 4 || len(l.Machine.View().OpenRequests()) != 1 || q.Leaf != res.Leaves[0].Seq {
		t.Fatalf("open request: %+v", q)
	}
	value := [32]byte{9}
	res = l.Apply(l.Completion(l.Region(2), value, ids(3, 1), out.Request))
	if len(res.Completed) != 1 {
		t.Fatalf("completion: %+v", res.Outcomes)
	}
	q, _ = l.Machine.View().Request(out.Request)
	if q.State != fsm.RequestComplete || q.Payload != nil || q.Value != value || len(q.Results) != 2 || q.Results[0].Region != 3 {
		t.Fatalf("completed request: %+v", q)
	}
	// The same bytes again: the same outcome, nothing new.
	before := l.Machine.View().OpenRequests()
	again := l.Apply(cmd)
	if again.Outcomes[0] != out || len(again.Opened) != 0 || len(before) != 0 || len(again.Leaves) != 1 {
		t.Fatalf("repeated: %+v, want %+v", again.Outcomes[0], out)
	}
	// A completion again: nothing.
	if res := l.Apply(l.Completion(l.Region(1), value, ids(3, 1), out.Request)); len(res.Completed) != 0 {
		t.Fatal("completed twice")
	}
}

func TestSnapshotRestores(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	var buf bytes.Buffer
	n, err := l.Machine.Snapshot().WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatal(n, err)
	}
	other, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(bytes.NewReader(buf.Bytes())); err != nil {
		t.Fatal(err)
	}
	if other.View().Digest() != l.Machine.View().Digest() {
		t.Fatal("digests differ after restore")
	}
	l.Now = l.Now.Add(time.Hour)
	in := l.Input(l.By(l.Admins[0], &command.FreezeVault{Reason: "drill"}))
	a, b := l.Machine.Apply([]fsm.Input{in}), other.Apply([]fsm.Input{in})
	if a[0].Outcomes[0].Code != errs.OK || b[0].Outcomes[0].Code != errs.OK || other.View().Digest() != l.Machine.View().Digest() {
		t.Fatalf("%+v %+v", a[0].Outcomes, b[0].Outcomes)
	}
}
