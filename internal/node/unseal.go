package node

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// opened is a region after unsealing: what only its HSM could give.
type opened struct {
	genesis *genesis.Genesis
	hash    [32]byte
	hsm     *seal.HSM
	keyring *seal.Keyring
	share   draw.Share
	session *identity.Session
	curves  []command.Curve
	told    roll.Pins // of regions that were re-enrolled before this disk was installed
}

// unseal opens the region alone: no human, no other region, no network.
func unseal(ctx context.Context, cfg *Config) (_ *opened, err error) {
	installed, err := ceremony.Load(cfg.FS)
	if err != nil {
		return nil, err
	}
	state, err := seal.DecodeState(installed.Unseal)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "unseal file of region %d", installed.Region).WithHint(ceremony.Reinstall)
	}
	doc := &installed.Genesis.Document
	o := &opened{genesis: installed.Genesis, hash: doc.Hash(), told: installed.Pins}
	if o.hsm, err = seal.Open(ctx, cfg.HSM); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = o.hsm.Close(context.WithoutCancel(ctx))
		}
	}()
	var secrets seal.Secrets
	if o.keyring, secrets, err = seal.Unseal(ctx, o.hsm, state, doc.Cluster, doc.RootCheck); err != nil {
		if errors.Is(err, errs.ErrCorrupt) && errs.HintOf(err) == "" {
			err = errs.Wrap(errs.Corrupt, err, "unsealing").WithHint(ceremony.Reinstall)
		}
		return nil, err
	}
	cfg.Logger.Info("root key open", slog.Duration("after", time.Since(cfg.Started)), slog.String("hsm", o.hsm.Describe()))
	defer clear(secrets[ceremony.SecretBeacon])
	if o.share, err = beaconShare(secrets, doc); err != nil {
		return nil, err
	}
	if o.session, err = newSession(ctx, cfg, o.hsm, installed); err != nil {
		return nil, err
	}
	curves, err := o.hsm.Curves(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range curves {
		o.curves = append(o.curves, command.Curve(c))
	}
	return o, nil
}

// beaconShare is the region's share of the beacon key as of the genesis. A region may do
// without, once the beacon was refreshed: later shares lie in the replicated state.
func beaconShare(secrets seal.Secrets, doc *genesis.Document) (draw.Share, error) {
	if len(secrets[ceremony.SecretBeacon]) == 0 {
		return draw.Share{}, nil
	}
	share, err := draw.DecodeShare(secrets[ceremony.SecretBeacon])
	if err != nil {
		return draw.Share{}, errs.Wrap(errs.Corrupt, err, "beacon share in the unseal file")
	}
	public, err := draw.NewPublicKey(int(doc.Beacon.Threshold), doc.Beacon.Public, doc.Beacon.Shares)
	if err != nil {
		return draw.Share{}, err
	}
	return share, share.Matches(public)
}

// newSession makes the key that speaks for the region until it stops, and has the HSM
// vouch for it.
func newSession(ctx context.Context, cfg *Config, hsm *seal.HSM, in *ceremony.Installed) (*identity.Session, error) {
	key := identity.GenerateEd25519()
	cert := identity.SessionCert{Cluster: in.Genesis.Document.Cluster, Region: in.Region, ServerID: in.ServerID, Issued: cfg.Clock.Now()}
	if _, err := io.ReadFull(rand.Reader, cert.Boot[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "drawing a boot id")
	}
	signed, err := identity.IssueSession(ctx, hsm.Identity(), key, cert)
	if err != nil {
		return nil, err
	}
	return &identity.Session{KeySigner: key, Cert: signed}, nil
}
