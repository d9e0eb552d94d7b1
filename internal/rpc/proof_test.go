package rpc

import (
	"testing"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// TestReported: the entry a client gets proven is the one its signatures were drawn at,
// whichever attempt that was; for a request without any, the one that ended it.
func TestReported(t *testing.T) {
	all := []identity.RegionID{1, 2, 3, 4}
	r := fsm.Request{ID: command.RequestID{3}, Opened: 10, Closed: 90, Attempts: []fsm.Attempt{
		{Number: 1, Meta: command.Meta{Index: 10}, Eligible: all},
		{Number: 2, Meta: command.Meta{Index: 20}, Eligible: []identity.RegionID{1, 2, 4}},
		{Number: 3, Meta: command.Meta{Index: 30}, Eligible: []identity.RegionID{2, 4}},
	}}
	signedIn := func(number uint8, eligible ...uint8) fsm.Request {
		q := r
		q.State = fsm.RequestComplete
		for v := byte(0); ; v++ { // a value under which the attempts drew different pairs
			q.Value, q.Results = [32]byte{v}, nil
			order := draw.Permutation(q.Value, q.ID, number, eligible)
			for _, region := range order[:2] {
				q.Results = append(q.Results, fsm.SignatureSet{Region: identity.RegionID(region)})
			}
			same := 0
			for i := range q.Attempts {
				if drew(&q, &q.Attempts[i]) {
					same++
				}
			}
			if same == 1 {
				return q
			}
		}
	}
	first, second, third := signedIn(1, 1, 2, 3, 4), signedIn(2, 1, 2, 4), signedIn(3, 2, 4)
	open, failed, expired := r, r, r
	open.State, failed.State, expired.State = fsm.RequestOpen, fsm.RequestFailed, fsm.RequestExpired
	for name, c := range map[string]struct {
		r    fsm.Request
		want uint64
	}{"first": {first, 10}, "second": {second, 20}, "third": {third, 30}, "open": {open, 30}, "failed": {failed, 90}, "expired": {expired, 90}} {
		if got := reported(&c.r); got != c.want {
			t.Errorf("%s: entry %d, want %d", name, got, c.want)
		}
	}
}

// TestBatchSharesProofs: one proof an entry, and no item loses its own.
func TestBatchSharesProofs(t *testing.T) {
	var items []*tetradv1.SignItem
	for _, index := range []uint64{5, 5, 6, 5} {
		items = append(items, &tetradv1.SignItem{Request: &tetradv1.Request{Certified: &tetradv1.Certified{Index: index, Cover: []byte{byte(index)}}}})
	}
	items = append(items, &tetradv1.SignItem{Fault: &tetradv1.Fault{}}, &tetradv1.SignItem{Request: &tetradv1.Request{}})
	shareProofs(items)
	for i, want := range []int{1, 0, 1, 0} {
		c := items[i].Request.Certified
		if len(c.Cover) != want || c.Index == 0 {
			t.Errorf("item %d: %+v", i, c)
		}
	}
	if items[5].Request.Certified != nil {
		t.Error("a proof out of nothing")
	}
}
