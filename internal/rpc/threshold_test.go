package rpc_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var thresholdKey = fsm.Key{ID: command.KeyID{7}, Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2,
	State: fsm.KeyActive, Point: append([]byte{3}, bytes.Repeat([]byte{8}, 32)...), Chain: [32]byte{9}, Issued: 5,
	Asset: command.AssetBitcoin, Given: fsm.Given{Self: true, Branches: []fsm.Branch{{Path: []uint32{0}, Next: 4}, {Path: []uint32{1}, Next: 1}}},
	Fallback: &command.Fallback{Signers: 2, PublicKeys: [][]byte{{1}, {2}, {3}}},
	Sharing:  &fsm.Sharing{Epoch: 2, Wrap: 3, Threshold: 2, Public: []byte("public"), Shares: []fsm.Sealed{{Region: 1, Box: []byte("for one alone")}, {Region: 4, Box: []byte("for four alone")}}},
	Ceremony: &fsm.Ceremony{ID: command.CeremonyID{Epoch: 3, Try: 1}, Wrap: 4, Step: fsm.StepWrap, Deadline: time.Unix(1700000030, 0),
		Dealers: []identity.RegionID{1, 4}, Holders: []identity.RegionID{1, 2, 4},
		Faults: []fsm.Fault{{Try: 1, Step: fsm.StepDeal, Region: 2, By: []identity.RegionID{1, 4}, Note: "no"}}}}

func TestThresholdKeyIsShown(t *testing.T) {
	c := start(t, 2)
	c.State.PutKey(thresholdKey)
	c.State.PutWrap(fsm.Wrap{Epoch: 4, Keys: []fsm.WrapKey{{Region: 4, Sealed: []byte("seed")}}, Live: 1})
	v := vaultOf(t, c, c.Principal("acme", signer), 1)
	reply, err := v.GetKey(within(t), &tetradv1.GetKeyRequest{KeyId: thresholdKey.ID[:]})
	if err != nil {
		t.Fatal(err)
	}
	k := reply.Key
	if !bytes.Equal(k.PublicKey, thresholdKey.Point[1:]) || !bytes.Equal(k.Point, thresholdKey.Point) || !bytes.Equal(k.ChainCode, thresholdKey.Chain[:]) || k.Addresses != 5 {
		t.Errorf("%v", k)
	}
	if s := k.Sharing; s.GetEpoch() != 2 || s.GetWrapEpoch() != 3 || !slices.Equal(s.GetHolders(), []uint32{1, 4}) || k.Retiring != nil {
		t.Errorf("sharing %v", s)
	}
	if f := k.Fallback; f.GetSigners() != 2 || len(f.GetPublicKeys()) != 3 || f.PublicKeys[2][0] != 3 {
		t.Errorf("fallback %v", f)
	}
	if b := k.Branches; k.Asset != tetradv1.Asset_ASSET_BITCOIN || !k.SelfIssued || len(b) != 2 || b[0].Next != 4 || !slices.Equal(b[1].Path, []uint32{1}) {
		t.Errorf("class %v, branches %v", k.Asset, b)
	}
	ce := k.Ceremony
	if ce.GetStep() != tetradv1.CeremonyStep_CEREMONY_STEP_WRAP || !slices.Equal(ce.GetMissing(), []uint32{1, 2}) || len(ce.GetFaults()) != 1 || !slices.Equal(ce.GetSuspects(), []uint32{2}) || ce.Faults[0].Region != 2 {
		t.Errorf("ceremony %v", ce)
	}
}

func TestWrapsAndNoncesAreForTheVault(t *testing.T) {
	c := start(t, 2)
	c.State.PutWrap(fsm.Wrap{Epoch: 1, Doomed: 9, Dropped: []identity.RegionID{2}, Keys: []fsm.WrapKey{{Region: 1}, {Region: 2}}})
	c.State.PutPool(fsm.NoncePool{Region: 2, Curve: command.Secp256k1, Commitments: make([]byte, 81*3), Offered: 10, Session: identity.Fingerprint{5}})
	mine, theirs := vaultOf(t, c, c.Principal("", admin), 1), vaultOf(t, c, c.Principal("acme", signer), 0)
	w, err := mine.ListWraps(within(t), &tetradv1.ListWrapsRequest{})
	if err != nil || len(w.Wraps) != 1 || w.Wraps[0].DoomedIndex != 9 || !slices.Equal(w.Wraps[0].Regions, []uint32{1, 2}) || !slices.Equal(w.Wraps[0].Dropped, []uint32{2}) {
		t.Errorf("%v, %v", w, err)
	}
	c.State.PutWrap(fsm.Wrap{Epoch: 3, Keys: []fsm.WrapKey{{Region: 2, Public: []byte{1}, Sealed: []byte{2}, Attributes: []byte{3}, Identity: []byte{4}}}})
	if w, err = mine.ListWraps(within(t), &tetradv1.ListWrapsRequest{Keys: true}); err != nil || len(w.Wraps) != 2 || len(w.Wraps[1].Keys) != 1 ||
		!proto.Equal(w.Wraps[1].Keys[0], &tetradv1.WrapKey{Region: 2, Public: []byte{1}, Sealed: []byte{2}, Attributes: []byte{3}, Identity: []byte{4}}) {
		t.Errorf("with keys: %v, %v", w, err)
	}
	if st, err := mine.Status(within(t), &tetradv1.StatusRequest{}); err != nil || st.WrapEpoch != 3 || st.Refresh != nil {
		t.Errorf("%v, %v", st, err)
	}
	n, err := mine.ListNonces(within(t), &tetradv1.ListNoncesRequest{})
	if err != nil || len(n.Pools) != 4 || n.Pools[2].Left != 3 || n.Pools[2].Most != fsm.MaxPool || n.Pools[2].Offered != 10 || n.Pools[0].Left != 0 {
		t.Errorf("%v, %v", n, err)
	}
	_, err = theirs.ListWraps(within(t), &tetradv1.ListWrapsRequest{})
	want(t, err, errs.Denied)
	_, err = theirs.ListNonces(within(t), &tetradv1.ListNoncesRequest{})
	want(t, err, errs.Denied)
}

// Signatures are shown of complete requests of threshold keys, and of no others; parts that
// do not add up are shown without.
func TestSignaturesAreAddedUp(t *testing.T) {
	var asked int
	c := start(t, 1)
	c.Nodes[0].Adds = func(r *fsm.Request) ([][]byte, error) {
		asked++
		if r.ID == (command.RequestID{3}) {
			return nil, errs.New(errs.Corrupt, "no sum")
		}
		return [][]byte{[]byte("sum")}, nil
	}
	c.Nodes[0].Attach()
	put := func(id byte, epoch uint32, state fsm.RequestState) {
		c.State.PutRequest(fsm.Request{ID: command.RequestID{id}, Tenant: "acme", State: state, Path: []uint32{0, 5}, Attempts: []fsm.Attempt{{Number: 1, Epoch: epoch}},
			Results: []fsm.SignatureSet{{Region: 1, Signatures: [][]byte{[]byte("part")}}}})
	}
	put(1, 0, fsm.RequestComplete)
	put(2, 1, fsm.RequestComplete)
	put(3, 1, fsm.RequestComplete)
	put(4, 1, fsm.RequestOpen)
	v := vaultOf(t, c, c.Principal("acme", signer), 0)
	list, err := v.ListRequests(within(t), &tetradv1.ListRequestsRequest{})
	if err != nil || len(list.Requests) != 4 {
		t.Fatal(list, err)
	}
	for i, r := range list.Requests {
		if got := len(r.Signatures); got != []int{0, 1, 0, 0}[i] || len(r.Results) != 1 || !slices.Equal(r.Path, []uint32{0, 5}) {
			t.Errorf("request %d: %v", i+1, r)
		}
	}
	if asked != 2 {
		t.Errorf("%d sums were asked for, want 2", asked)
	}
}

// TestEscrowsAreShown: whoever reads the key sees its escrows; the encrypted shares are for
// principals of the vault.
func TestEscrowsAreShown(t *testing.T) {
	c := start(t, 2)
	k := thresholdKey
	k.ID, k.Name = command.KeyID{77}, "escrowed"
	k.Escrowed, k.Escrows = 3, []*fsm.Escrow{
		{Number: 1, M: 2, Officers: []string{"age1a", "age1b"}, Disaster: true, Epoch: 1, Threshold: 2, Since: time.Unix(9, 0), Boxes: []fsm.Sealed{{Region: 1, Box: []byte{1}}, {Region: 4, Box: []byte{4}}}},
		{Number: 3, M: 2, Officers: []string{"age1c", "age1d"}, NotBefore: time.Unix(99, 0)}}
	c.State.PutKey(k)
	mine, theirs := vaultOf(t, c, c.Principal("", admin), 1), vaultOf(t, c, c.Principal("acme", signer), 0)
	reply, err := theirs.GetKey(within(t), &tetradv1.GetKeyRequest{KeyId: k.ID[:]})
	if err != nil {
		t.Fatal(err)
	}
	if es := reply.Key.Escrows; len(es) != 2 || es[0].Since.GetSeconds() != 9 || !es[0].Disaster || !slices.Equal(es[0].Regions, []uint32{1, 4}) || es[1].Since != nil || es[1].NotBefore.GetSeconds() != 99 {
		t.Errorf("%v", es)
	}
	got, err := mine.GetEscrow(within(t), &tetradv1.GetEscrowRequest{KeyId: k.ID[:]})
	if err != nil || got.Escrow.Number != 1 || len(got.Boxes) != 2 || got.Boxes[1].Region != 4 || !bytes.Equal(got.Boxes[1].Box, []byte{4}) {
		t.Errorf("%v, %v", got, err)
	}
	for number, code := range map[uint32]errs.Code{2: errs.NotFound, 3: errs.OK} {
		_, err = mine.GetEscrow(within(t), &tetradv1.GetEscrowRequest{KeyId: k.ID[:], Number: number})
		want(t, err, code)
	}
	_, err = mine.GetEscrow(within(t), &tetradv1.GetEscrowRequest{KeyId: []byte{1}})
	want(t, err, errs.Malformed)
	_, err = theirs.GetEscrow(within(t), &tetradv1.GetEscrowRequest{KeyId: k.ID[:]})
	want(t, err, errs.Denied)
}
