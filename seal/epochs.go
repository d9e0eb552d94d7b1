package seal

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Epochs are a region's wrapping keys by epoch (docs/design/threshold.md): an HPKE key
// pair each, whose seed is wrapped to an RSA key in the HSM that exists for this epoch
// only. What was ever sealed under an epoch is out of everybody's reach once its key in
// the HSM is destroyed, whatever copies of the rest exist.
type Epochs struct {
	hsm     *HSM
	cluster identity.ClusterID
}

// Epochs returns the wrapping keys of cluster's epochs in h.
func (h *HSM) Epochs(cluster identity.ClusterID) *Epochs { return &Epochs{h, cluster} }

// EpochLabel names the key of an epoch in the token.
func EpochLabel(c identity.ClusterID, epoch uint32) string {
	return label(c, fmt.Sprintf("epoch %d", epoch))
}

// wrapLabel binds the wrapped seed to its cluster and epoch.
func (e *Epochs) wrapLabel(epoch uint32) string {
	w := wire.NewWriter(64)
	w.String("tetrad/epoch/v1")
	w.Fixed(e.cluster[:])
	w.U32(epoch)
	return string(w.Bytes())
}

// CreateWrap makes a fresh key pair for epoch and returns its public half, its seed
// wrapped to the epoch's key in the HSM, and that key's attributes as read back. The key
// in the HSM is made at the first call and found by later ones; the pair is another one
// every time, and what counts is the one that was committed. The seed was opened again
// by the HSM before this returns.
func (e *Epochs) CreateWrap(ctx context.Context, epoch uint32) (public, sealed, attributes []byte, err error) {
	_, hash := e.hsm.Wrapping()
	if epoch == 0 || hash == 0 {
		return nil, nil, nil, errs.New(errs.BadState, "wrapping key of epoch %d: epochs start at 1, and the HSM's own keys must be in use", epoch)
	}
	k, err := e.hsm.generate(ctx, KeySpec{Kind: RSA3072, Use: UseDecrypt, Label: EpochLabel(e.cluster, epoch)})
	if err != nil {
		return nil, nil, nil, err
	}
	pair, seed, err := box.New()
	if err != nil {
		return nil, nil, nil, err
	}
	defer clear(seed)
	defer pair.Wipe()
	if sealed, err = Wrap(k.pub, hash, seed, e.wrapLabel(epoch)); err != nil {
		return nil, nil, nil, err
	}
	again, err := e.OpenWrap(ctx, epoch, sealed)
	if err != nil {
		return nil, nil, nil, err
	}
	defer again.Wipe()
	if !bytes.Equal(again.Public(), pair.Public()) {
		return nil, nil, nil, errs.New(errs.HSMFailed, "wrapping key of epoch %d opens as another one", epoch).WithHint("replace the HSM")
	}
	return pair.Public(), sealed, k.attrs.Encode(), nil
}

// OpenWrap opens what CreateWrap returned as sealed, by one call of the HSM. NotFound: the
// epoch's key is not in the token, most likely because it was destroyed with its epoch;
// Corrupt: sealed was altered, or belongs to another epoch, cluster or region. The key is the
// caller's to wipe.
func (e *Epochs) OpenWrap(ctx context.Context, epoch uint32, sealed []byte) (*box.Key, error) {
	name := EpochLabel(e.cluster, epoch)
	seed, err := e.hsm.unwrap(ctx, name, sealed, e.wrapLabel(epoch))
	switch errs.CodeOf(err) {
	case errs.OK:
	case errs.NotFound:
		return nil, errs.Wrap(errs.NotFound, err, "wrapping key of epoch %d", epoch).
			WithHint("it is destroyed with its epoch, when no live share is under it; if this epoch is in use, is this the region's own token?")
	case errs.Corrupt:
		return nil, errs.Wrap(errs.Corrupt, err, "wrapping key of epoch %d", epoch).
			WithHint("what is stored was altered, or belongs to another epoch or region")
	default:
		return nil, errs.Wrap(errs.CodeOf(err), err, "wrapping key of epoch %d", epoch).WithHint("%s", errs.HintOf(err))
	}
	defer clear(seed)
	return box.FromSeed(seed)
}

// DropWrap destroys the epoch's key in the HSM; see HSM.Destroy. Doing it again is fine.
func (e *Epochs) DropWrap(ctx context.Context, epoch uint32) error {
	return e.hsm.Destroy(ctx, EpochLabel(e.cluster, epoch))
}
