package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestReshareIsNotSplit: where the last acknowledgement of a reshare could be told differently
// to different parties, some would go on with the new shares and some with the old, and
// neither could sign. Whatever the holders say at the end, one sharing is live, whole, and
// the old one unless all said the same.
func TestReshareIsNotSplit(t *testing.T) {
	for said := range 1 << 4 {
		t.Run(fmt.Sprintf("%04b", said), func(t *testing.T) {
			l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
			old := keyOf(t, l, id)
			l.Must(l.Dual(&command.RefreshKey{Key: id, Reason: "drill"}))
			finishing(t, l, id)
			for i, r := range l.Regions {
				f := l.Finish(r, keyOf(t, l, id))
				if said>>i&1 == 1 {
					f.Transcript[0] ^= 1
				}
				l.Must(l.By(r.Session, f))
				if i < 3 { // and who takes it back is refused
					f.Transcript[0] ^= 1
					want(t, l, errs.Replayed, l.By(r.Session, f))
				}
			}
			k, agreed := keyOf(t, l, id), said == 0 || said == 15
			if k.State != fsm.KeyActive || !bytes.Equal(k.Point, old.Point) || k.Chain != old.Chain || len(k.Sharing.Shares) != 4 {
				t.Fatalf("%+v", k)
			}
			if agreed && (k.Sharing.Epoch != 2 || k.Retiring.Epoch != 1) || !agreed && (k.Sharing.Epoch != 1 || k.Retiring != nil || k.Ceremony.ID.Try != 2) {
				t.Fatalf("agreed %v: sharing %d, retiring %v", agreed, k.Sharing.Epoch, k.Retiring)
			}
			for i := range k.Sharing.Shares {
				if !agreed && !bytes.Equal(k.Sharing.Shares[i].Box, old.Sharing.Shares[i].Box) {
					t.Errorf("region %d has a share of another sharing", i+1)
				}
			}
			rid := l.Must(l.By(signer, fsmtest.Message(id, "pay"))).Request
			if q, _ := l.Machine.View().Request(rid); q.Open().Epoch != k.Sharing.Epoch || len(q.Open().Eligible) != 4 {
				t.Errorf("the attempt is of sharing %d with %d regions", q.Open().Epoch, len(q.Open().Eligible))
			}
		})
	}
}

// finishing brings a key's ceremony to its last step.
func finishing(t *testing.T, l *fsmtest.Log, id command.KeyID) {
	t.Helper()
	c := keyOf(t, l, id).Ceremony
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, c.Wrap))
	}
	for step := fsm.StepHash; step < fsm.StepFinish; step++ {
		for _, r := range keyOf(t, l, id).Ceremony.Dealers {
			l.Must(l.By(l.Region(r).Session, l.Said(l.Region(r), id)))
		}
	}
	if at := keyOf(t, l, id).Ceremony.Step; at != fsm.StepFinish {
		t.Fatalf("the ceremony is at %s", at)
	}
}

// TestStrangersTouchNoCeremony: who is no region says nothing in a ceremony, and who does not
// administer the vault begins, ends or redirects none, of whatever tenant the key is.
func TestStrangersTouchNoCeremony(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
	foreign, operator := l.Principal("other", "service", command.RoleSigner), l.Principal("acme", "operator", command.RoleOperator)
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
	finishing(t, l, id)
	before := keyOf(t, l, id)
	c := before.Ceremony.ID
	strangers := []identity.Signer{signer, foreign, operator, l.Admins[0]}
	said := []command.Body{&command.HashDealing{Ceremony: c, Hash: [32]byte{1}, Seed: []byte{1}}, &command.Deal{Ceremony: c, Dealing: []byte{1}},
		&command.DealShares{Ceremony: c, Sealed: [][]byte{{1}, {2}, {3}, {4}}}, l.Finish(l.Region(1), before),
		&command.AccuseDealer{Ceremony: c, Against: 2}, &command.DropWrap{Epoch: 1}, &command.OfferNonces{Curve: command.Ed25519, Commitments: l.Commitments(l.Region(1), command.Ed25519, 99, 1)}}
	asked := []command.Body{&command.RefreshKey{Key: id}, &command.RefreshKey{}, &command.RefreshKey{Key: id, Holders: ids(1, 2, 3)}, &command.RetireKey{Key: id},
		&command.CreateKey{Name: "mine", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2}}
	for _, who := range strangers {
		for _, b := range said {
			want(t, l, errs.Unauthenticated, l.By(who, b))
		}
	}
	for _, who := range strangers[:3] {
		for _, b := range asked {
			want(t, l, errs.Denied, l.By(who, b))
		}
	}
	for _, b := range asked[:4] {
		want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], b))
	}
	want(t, l, errs.NotFound, l.By(foreign, fsmtest.Message(id, "pay me")))
	if keyOf(t, l, id) != before {
		t.Error("the key's row changed")
	}
}
