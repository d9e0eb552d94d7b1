package rpc

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Roll gives this region's word on who the regions are to any principal. The root keyring
// goes only to the vault's administrators and operators, for a region's HSM to open: whose
// key that is two administrators decided when they approved it.
func (v *vaultService) Roll(ctx context.Context, req *tetradv1.RollRequest) (*tetradv1.RollResponse, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	if req.Region != 0 {
		if rooms, _, err = v.local(ctx, true); err != nil {
			return nil, err
		}
	}
	var nonce [16]byte
	if err := id(nonce[:], req.Nonce, "nonce", false); err != nil {
		return nil, err
	}
	guest := identity.RegionID(req.Region)
	if _, ok := rooms.Reader.Local().Region(guest); req.Region != 0 && (!ok || uint32(guest) != req.Region) {
		return nil, errs.New(errs.NotFound, "there is no region %d", req.Region)
	}
	if rooms.Roll == nil {
		return nil, errs.New(errs.NotReady, "region %d is starting", v.server.cfg.Region)
	}
	raw, err := rooms.Roll(ctx, guest, nonce)
	if err != nil {
		return nil, err
	}
	return &tetradv1.RollResponse{Roll: raw}, nil
}
