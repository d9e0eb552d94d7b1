package rpc

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// showEscrow leaves the encrypted shares out.
func showEscrow(e *fsm.Escrow) *tetradv1.Escrow {
	out := &tetradv1.Escrow{Number: e.Number, Quorum: uint32(e.M), Officers: e.Officers, Disaster: e.Disaster, Author: e.Author[:],
		Reason: e.Reason, AskedIndex: e.Asked, NotBefore: showTime(e.NotBefore), Epoch: e.Epoch, Threshold: uint32(e.Threshold),
		Public: e.Public, Since: showTime(e.Since)}
	for i := range e.Boxes {
		out.Regions = append(out.Regions, uint32(e.Boxes[i].Region))
	}
	return out
}

// GetEscrow shows an escrow with its encrypted shares.
func (v *vaultService) GetEscrow(ctx context.Context, req *tetradv1.GetEscrowRequest) (*tetradv1.GetEscrowResponse, error) {
	view, err := v.ofVault(ctx)
	if err != nil {
		return nil, err
	}
	var id command.KeyID
	if len(req.KeyId) != len(id) {
		return nil, errs.New(errs.Malformed, "a key id of %d bytes, want %d", len(req.KeyId), len(id))
	}
	copy(id[:], req.KeyId)
	k, ok := view.Key(id)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", id)
	}
	e := escrowOf(k, req.Number)
	if e == nil {
		return nil, errs.New(errs.NotFound, "key %s has no such escrow that can be opened", id)
	}
	out := &tetradv1.GetEscrowResponse{Escrow: showEscrow(e)}
	for i := range e.Boxes {
		out.Boxes = append(out.Boxes, &tetradv1.EscrowBox{Region: uint32(e.Boxes[i].Region), Box: e.Boxes[i].Box})
	}
	return out, nil
}

// escrowOf finds an escrow by number; 0: the newest that can be opened.
func escrowOf(k *fsm.Key, number uint32) (found *fsm.Escrow) {
	for _, e := range k.Escrows {
		if e.Number == number || number == 0 && e.Live() {
			found = e
		}
	}
	return found
}
