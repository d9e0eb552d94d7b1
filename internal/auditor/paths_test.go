package auditor_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestFrozenChild: what was opened beside a frozen child, or once it was let go, is in order;
// what a rewritten history opens under it is not.
func TestFrozenChild(t *testing.T) {
	w := newWorld(t)
	ed, btc := w.threshold("ed", command.Ed25519, nil), w.threshold("btc", command.Secp256k1, nil)
	edStock, btcStock := w.stock(command.Ed25519, 8), w.stock(command.Secp256k1, 8)
	w.complete(w.signed(ed, edStock, pay("one", 0, 5)), 1)
	w.ok(w.By(w.Admins[0], &command.FreezePath{Key: ed.id, Path: []uint32{0, 5}, Reason: "stolen"}))
	w.ok(w.By(w.Region(2).Session, &command.RegionFreezePath{Key: btc.id, Path: []uint32{0}, Reason: "alarm"}))
	w.complete(w.signed(ed, edStock, pay("two", 0, 6)), 2)
	under := pay("three", 0, 5, 1)
	under.Key = ed.id
	w.do(w.By(w.signer, under))
	mixed := w.taprootPayment(btc)
	mixed.Key = btc.id
	w.do(w.By(w.signer, mixed))
	w.ok(w.Dual(&command.UnfreezePath{Key: btc.id, Path: []uint32{0}}))
	w.complete(w.signed(btc, btcStock, w.taprootPayment(btc)), 3)
	if r := w.clean(); r.Completed != 3 || r.Outcomes["frozen"] != 2 {
		t.Errorf("%+v", r)
	}
	for _, key := range []command.KeyID{ed.id, btc.id} {
		ls := slices.Clone(w.leaves)
		at := slices.IndexFunc(ls, func(l audit.Leaf) bool {
			b, err := l.Body()
			q, ok := b.(*command.RequestSignature)
			return err == nil && ok && l.Code == errs.Frozen && q.Key == key
		})
		var like *audit.Effect
		for i := range ls {
			if e, err := audit.DecodeEffect(ls[i].Effect); err == nil && len(e.Opened) > 0 && e.Opened[0].Key == key {
				like = e
			}
		}
		ls[at].Code = errs.OK
		like.Opened[0].Request = command.RequestIDOf(ls[at].Command.Principal, ls[at].Command.ID)
		forge(&ls[at], func(e *audit.Effect) { e.Opened = like.Opened })
		rep, _ := auditor.Verify(bytes.NewReader(w.export(ls, w.checkpoint(ls))), w.trust())
		if !slices.ContainsFunc(rep.Findings, func(f auditor.Finding) bool {
			return f.Kind == auditor.KindRequest && f.Seq == uint64(at) && strings.Contains(f.Text, "of its key was frozen")
		}) {
			t.Errorf("a draw under a frozen child was not found: %v", rep.Findings)
		}
	}
}
