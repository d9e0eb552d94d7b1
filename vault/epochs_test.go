package vault_test

import (
	"context"
	"sync"

	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// epochs are a region's wrapping keys in an HSM in software, which outlives the process
// that uses it. It counts what is asked of it and fails when told to.
type epochs struct {
	cluster identity.ClusterID
	device  *sealtest.Device

	mu                       sync.Mutex
	hsm                      *seal.HSM // opened when first needed
	fault                    error     // of every call
	created, opened, dropped map[uint32]int
}

func newEpochs(cluster identity.ClusterID, region identity.RegionID) *epochs {
	return &epochs{cluster: cluster, device: sealtest.New(sealtest.Options{Seed: uint64(region)}),
		created: map[uint32]int{}, opened: map[uint32]int{}, dropped: map[uint32]int{}}
}

// set changes the hooks while it is used.
func (e *epochs) set(change func(*epochs)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *epochs) use(ctx context.Context, count map[uint32]int, epoch uint32) (*seal.Epochs, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	count[epoch]++
	if e.fault != nil {
		return nil, e.fault
	}
	if e.hsm == nil {
		h, err := e.device.OpenHSM(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := h.GenerateIdentity(ctx, seal.IdentityLabel(e.cluster)); err != nil {
			return nil, err
		}
		if _, err := h.GenerateWrapping(ctx, seal.WrappingLabel(e.cluster)); err != nil {
			return nil, err
		}
		e.hsm = h
	}
	return e.hsm.Epochs(e.cluster), nil
}

func (e *epochs) CreateWrap(ctx context.Context, epoch uint32) (public, sealed, attributes []byte, err error) {
	s, err := e.use(ctx, e.created, epoch)
	if err != nil {
		return nil, nil, nil, err
	}
	return s.CreateWrap(ctx, epoch)
}

func (e *epochs) OpenWrap(ctx context.Context, epoch uint32, sealed []byte) (*box.Key, error) {
	s, err := e.use(ctx, e.opened, epoch)
	if err != nil {
		return nil, err
	}
	return s.OpenWrap(ctx, epoch, sealed)
}

func (e *epochs) DropWrap(ctx context.Context, epoch uint32) error {
	s, err := e.use(ctx, e.dropped, epoch)
	if err != nil {
		return err
	}
	return s.DropWrap(ctx, epoch)
}
