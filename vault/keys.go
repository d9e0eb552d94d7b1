package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// keymaker does this region's half of making multisig keys: generate in the HSM, attest, verify
// what the others attested, confirm. Each step is read off the committed state and may
// be repeated, so dying anywhere costs nothing.
type keymaker struct {
	cfg    *Config
	author *author
	notice notices
}

// keyLabel names a key in the HSM: the cluster's first digits keep clusters that share
// a token apart.
func keyLabel(cluster identity.ClusterID, id command.KeyID) string {
	return hex.EncodeToString(cluster[:4]) + "-" + id.String()
}

// look takes notice of keys that changed.
func (k *keymaker) look(ids []command.KeyID) { k.notice.add(ids) }

// scan takes notice of all pending keys: at start, and now and then in case the state
// changed by a snapshot, which tells nobody.
func (k *keymaker) scan() {
	var ids []command.KeyID
	for _, key := range k.cfg.Replica.View().Keys("") {
		if key.State == fsm.KeyPending && key.Scheme == command.SchemeMultisig {
			ids = append(ids, key.ID)
		}
	}
	k.look(ids)
}

func (k *keymaker) run(ctx context.Context) {
	pause := k.cfg.Timing.Retry
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		whole := false
		select {
		case <-k.notice.news:
		case <-alarm.C:
			k.scan()
			whole = true
		case <-ctx.Done():
			return
		}
		switch ok := k.round(ctx); {
		case !ok:
			alarm.Reset(pause)
			pause = min(2*pause, k.cfg.Timing.RetryMost)
		case whole:
			alarm.Reset(k.cfg.Timing.Tick)
			pause = k.cfg.Timing.Retry
		}
	}
}

// round takes every noticed key as far as it goes now; false if some step failed and
// should be tried again without further news.
func (k *keymaker) round(ctx context.Context) bool {
	if k.cfg.Replica.Ready() != nil {
		return false
	}
	ok := true
	for ctx.Err() == nil {
		id, more := k.notice.take()
		if !more {
			break
		}
		if err := k.advance(ctx, id); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("key not advanced", slog.String("key", id.String()), slog.Any("error", err))
			ok = false
		}
		k.notice.release(id)
	}
	return ok
}

// advance does the next step of one key, if there is one for this region.
func (k *keymaker) advance(ctx context.Context, id command.KeyID) error {
	view := k.cfg.Replica.View()
	key, ok := view.Key(id)
	if !ok || key.Scheme != command.SchemeMultisig || key.State != fsm.KeyPending || !slices.Contains(key.Regions, k.cfg.Region) {
		return nil
	}
	own := key.Attested(k.cfg.Region)
	switch {
	case own == nil:
		return k.attest(ctx, view, key)
	case own.Confirmed, len(key.Attestations) < len(key.Regions): // the others' turn: their attestations wake us
		return nil
	}
	if err := k.verify(view, key); err != nil && liar.Defends(liar.Attestations) {
		k.cfg.Logger.Error("key attestation refused: the key never becomes active", slog.String("key", id.String()), slog.Any("error", err))
		return nil
	}
	return k.confirm(ctx, key)
}

// attest makes the private key, has it prove that it is held, and has the identity key
// vouch for it.
func (k *keymaker) attest(ctx context.Context, view fsm.View, key *fsm.Key) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timing.KeyStep)
	defer cancel()
	label, cluster := keyLabel(view.Cluster(), key.ID), view.Cluster()
	pub, attributes, err := k.cfg.Token.Generate(ctx, label, uint8(key.Curve))
	if err != nil {
		return err
	}
	proof, err := k.cfg.Token.Sign(ctx, label, uint8(key.Curve), possession(cluster, key, k.cfg.Region))
	if err != nil {
		return err
	}
	sig, err := k.cfg.Identity.Sign(ctx, command.AttestationBytes(cluster, key.ID, k.cfg.Region, pub, attributes))
	if err != nil {
		return err
	}
	return k.file(ctx, &command.AttestKey{Key: key.ID, PublicKey: pub, Possession: proof, Attributes: attributes, Identity: sig})
}

// possession is what the new key signs: a digest for ECDSA, the bytes for Ed25519.
func possession(cluster identity.ClusterID, key *fsm.Key, region identity.RegionID) []byte {
	b := command.PossessionBytes(cluster, key.ID, region)
	if key.Curve == command.Ed25519 {
		return b
	}
	digest := sha256.Sum256(b)
	return digest[:]
}

// confirm gives this region's word that it verified every attestation itself.
func (k *keymaker) confirm(ctx context.Context, key *fsm.Key) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timing.KeyStep)
	defer cancel()
	return k.file(ctx, &command.ConfirmKey{Key: key.ID, Attestations: fsm.AttestationsHash(key)})
}

func (k *keymaker) verify(view fsm.View, key *fsm.Key) error {
	seen := map[string]identity.RegionID{}
	for i := range key.Attestations {
		a := &key.Attestations[i]
		region, ok := view.Region(a.Region)
		switch {
		case !ok:
			return errs.New(errs.NotFound, "key %s: region %d is unknown", key.ID, a.Region)
		case seen[string(a.PublicKey)] != 0:
			return errs.New(errs.Unverified, "key %s: regions %d and %d attest one public key", key.ID, seen[string(a.PublicKey)], a.Region)
		case !intent.Verify(key.Curve, a.PublicKey, possession(view.Cluster(), key, a.Region), a.Possession):
			return errs.New(errs.Unverified, "key %s: region %d does not prove possession", key.ID, a.Region)
		case !region.Identity.Verify(command.AttestationBytes(view.Cluster(), key.ID, a.Region, a.PublicKey, a.Attributes), a.Identity):
			return errs.New(errs.Unverified, "key %s: the identity key of region %d does not vouch for it", key.ID, a.Region)
		}
		if err := k.cfg.Attributes(a.Attributes); err != nil {
			return errs.Wrap(errs.Unverified, err, "key %s: attributes of region %d", key.ID, a.Region)
		}
		seen[string(a.PublicKey)] = a.Region
	}
	return nil
}

// file proposes one step. A step already done by an earlier try counts as done.
func (k *keymaker) file(ctx context.Context, body command.Body) error {
	out, err := k.author.file(ctx, k.cfg.Session, body)
	if err != nil {
		return err
	}
	if err := out.Err(); err != nil && out.Code != errs.Exists && out.Code != errs.BadState {
		return err
	}
	return nil
}
