package fsm

import (
	"bytes"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

func (t *task) createKey(b *command.CreateKey) (deed, error) {
	regions, err := t.creatable(b)
	if err != nil {
		return nil, err
	}
	k, err := t.newKey(b, regions)
	if err != nil {
		return nil, err
	}
	return func(o *Outcome) {
		o.Key = k.ID
		t.keys.count++
		t.keyChanged(k)
		if k.Scheme == command.SchemeThreshold {
			t.makeShares(k)
		}
	}, nil
}

// creatable reports why there may be no such key, or which regions are to hold it.
func (t *task) creatable(b *command.CreateKey) ([]identity.RegionID, error) {
	if t.admins == 0 {
		return nil, t.denied()
	}
	if err := checkKey(b); err != nil {
		return nil, err
	}
	if _, ok := t.tenants.get(b.Tenant); !ok {
		return nil, errs.New(errs.NotFound, "there is no such tenant")
	}
	if t.keyByName(b.Tenant, b.Name) {
		return nil, errs.New(errs.Exists, "the tenant has a key of that name; names of retired keys stay taken if the key was ever live")
	}
	if t.keys.count >= MaxKeys {
		return nil, errs.New(errs.TooLarge, "there are %d keys, the most there may be", MaxKeys)
	}
	return t.homes(b)
}

// newKey returns the row of a key that is creatable.
func (t *task) newKey(b *command.CreateKey, regions []identity.RegionID) (*Key, error) {
	k := &Key{ID: command.KeyIDOf(t.command.Principal, t.command.ID), Name: b.Name, Tenant: b.Tenant, Scheme: b.Scheme,
		Curve: b.Curve, Signers: b.Signers, AllowBlind: b.AllowBlind, Note: b.Note, State: KeyPending,
		Created: t.meta.Index, Stamp: t.stamp, Regions: regions, Author: t.author.id, Fallback: b.Fallback, Asset: b.Asset}
	if _, ok := t.keys.get(k.ID); ok {
		return nil, errs.New(errs.Replayed, "key %s was made by a command of the same id", k.ID)
	}
	if b.Scheme == command.SchemeThreshold && t.head.ceremonies >= MaxCeremonies {
		return nil, t.busy()
	}
	return k, nil
}

func checkKey(b *command.CreateKey) error {
	if err := command.CheckName("key", b.Name); err != nil {
		return err
	}
	if err := command.CheckText("note", b.Note, command.MaxNote); err != nil {
		return err
	}
	switch {
	case b.Scheme != command.SchemeMultisig && b.Scheme != command.SchemeThreshold:
		return errs.New(errs.Invalid, "key scheme %d is unknown", b.Scheme)
	case !b.Curve.Valid():
		return errs.New(errs.Invalid, "curve %d is unknown", b.Curve)
	case b.Scheme == command.SchemeThreshold && CommitmentLen(b.Curve) == 0:
		return errs.New(errs.Invalid, "there are no threshold keys on %s: ed25519 and secp256k1 (BIP-340) have them", b.Curve)
	case b.Signers < 2 || b.Signers > 4:
		return errs.New(errs.Invalid, "%d signers, want 2 to 4", b.Signers)
	}
	if err := checkAsset(b); err != nil {
		return err
	}
	return checkFallback(b)
}

// checkAsset asks for a key that has children, on the curve of its class.
func checkAsset(b *command.CreateKey) error {
	t := b.Asset.Template()
	switch {
	case b.Asset == 0:
		return nil
	case t == nil:
		return errs.New(errs.Invalid, "asset class %d is unknown", b.Asset)
	case b.Scheme != command.SchemeThreshold || b.Curve != t.Curve:
		return errs.New(errs.Invalid, "a %s key on %s is of no asset class %s: that wants a threshold key on %s", b.Scheme, b.Curve, b.Asset, t.Curve)
	}
	return nil
}

// checkFallback asks for two keys at least: the script path goes past every draw.
func checkFallback(b *command.CreateKey) error {
	switch {
	case b.Fallback == nil:
		return nil
	case b.Scheme != command.SchemeThreshold || b.Curve != command.Secp256k1:
		return errs.New(errs.Invalid, "a %s key on %s has no script path: only a threshold key on secp256k1 has a fallback", b.Scheme, b.Curve)
	case b.Fallback.Signers < 2:
		return errs.New(errs.Invalid, "a fallback of %d signers, want 2 at least: one key alone would be the whole wallet", b.Fallback.Signers)
	}
	_, err := (*intent.Fallback)(b.Fallback).Script()
	return err
}

// homes returns the regions that are to hold a new key: those listed, or every active
// one whose HSM has the curve; at least three, and as many as sign.
func (t *task) homes(b *command.CreateKey) ([]identity.RegionID, error) {
	if b.Scheme == command.SchemeThreshold {
		return t.holders(b.Regions, b.Signers) // whatever its HSM can
	}
	var ids []identity.RegionID
	for _, r := range t.roster.regions {
		listed := len(b.Regions) == 0 || slices.Contains(b.Regions, r.ID)
		if listed && r.Status == RegionActive && slices.Contains(r.Curves, b.Curve) {
			ids = append(ids, r.ID)
		}
	}
	if len(b.Regions) > 0 && len(ids) != len(b.Regions) {
		return nil, errs.New(errs.Invalid, "a listed region is unknown, not active, or its HSM lacks the curve")
	}
	if least := max(3, int(b.Signers)); len(ids) < least {
		return nil, errs.New(errs.NoEligiblePair, "%d regions can hold the key, want %d", len(ids), least)
	}
	return ids, nil
}

// pending finds a key that still waits for the author's region.
func (t *task) pending(id command.KeyID) (*Key, error) {
	k, ok := t.keys.get(id)
	switch {
	case !ok:
		return nil, errs.New(errs.NotFound, "there is no key %s", id)
	case !slices.Contains(k.Regions, t.region.ID):
		return nil, errs.New(errs.Denied, "key %s is not for region %d", id, t.region.ID)
	case k.State != KeyPending:
		return nil, errs.New(errs.BadState, "key %s is %s, not pending", id, k.State)
	case k.Scheme != command.SchemeMultisig:
		return nil, errs.New(errs.BadState, "key %s is a threshold key: it is made in a ceremony", id)
	}
	return k, nil
}

func (t *task) attestKey(b *command.AttestKey) (deed, error) {
	k, err := t.pending(b.Key)
	if err != nil {
		return nil, err
	}
	a := Attestation{Region: t.region.ID, PublicKey: bytes.Clone(b.PublicKey), Possession: bytes.Clone(b.Possession),
		Attributes: bytes.Clone(b.Attributes), Identity: bytes.Clone(b.Identity)}
	if old := k.Attested(t.region.ID); old != nil {
		if bytes.Equal(old.PublicKey, a.PublicKey) {
			return func(*Outcome) {}, nil // said before
		}
		return nil, errs.New(errs.BadState, "region %d attested key %s with another public key", t.region.ID, b.Key)
	}
	if err := t.checkAttestation(k, &a); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		n := *k
		n.Attestations = append(slices.Clone(k.Attestations), a)
		slices.SortFunc(n.Attestations, func(x, y Attestation) int { return int(x.Region) - int(y.Region) })
		t.putKey(&n)
	}, nil
}

// checkAttestation leaves the proof of possession to the regions: their ConfirmKey says
// that they verified it.
func (t *task) checkAttestation(k *Key, a *Attestation) error {
	if len(a.PublicKey) != k.Curve.PublicKeyLen() || len(a.Possession) != signatureLen {
		return errs.New(errs.Invalid, "public key of %d bytes or proof of %d does not fit %s", len(a.PublicKey), len(a.Possession), k.Curve)
	}
	for _, o := range k.Attestations {
		if bytes.Equal(o.PublicKey, a.PublicKey) && liar.Defends(liar.Attestations) {
			return errs.New(errs.Invalid, "region %d has the same public key", o.Region)
		}
	}
	msg := command.AttestationBytes(t.m.document().Cluster, k.ID, a.Region, a.PublicKey, a.Attributes)
	if !t.m.verify(t.region.Identity, msg, a.Identity) {
		return errs.New(errs.Unverified, "the attestation is not signed by the identity key of region %d", a.Region)
	}
	return nil
}

func (t *task) confirmKey(b *command.ConfirmKey) (deed, error) {
	k, err := t.pending(b.Key)
	if err != nil {
		return nil, err
	}
	if len(k.Attestations) != len(k.Regions) {
		return nil, errs.New(errs.BadState, "key %s has %d of %d attestations", k.ID, len(k.Attestations), len(k.Regions))
	}
	if AttestationsHash(k) != b.Attestations {
		return nil, errs.New(errs.Unverified, "region %d confirms other attestations than key %s has", t.region.ID, k.ID)
	}
	return func(*Outcome) {
		n := *k
		n.Attestations = slices.Clone(k.Attestations)
		n.Attested(t.region.ID).Confirmed = true
		for i := range n.Attestations {
			if !n.Attestations[i].Confirmed {
				t.putKey(&n)
				return
			}
		}
		n.State, n.Version = KeyActive, 1
		t.keyChanged(&n)
	}, nil
}

// brakes finds a key that the author alone may brake: every administrator, every operator of
// vault or tenant.
func (t *task) brakes(id command.KeyID, reason string) (*Key, error) {
	k, ok := t.keys.get(id)
	if !ok || t.principal.Tenant != "" && t.principal.Tenant != k.Tenant {
		return nil, errs.New(errs.NotFound, "there is no key %s", id)
	}
	if t.principal.Roles&(command.RoleAdmin|command.RoleOperator) == 0 {
		return nil, t.denied()
	}
	if err := ordinary(k); err != nil {
		return nil, err
	}
	return k, command.CheckText("reason", reason, command.MaxNote)
}

// freezeKey is a brake.
func (t *task) freezeKey(b *command.FreezeKey) (deed, error) {
	k, err := t.brakes(b.Key, b.Reason)
	if err != nil {
		return nil, err
	}
	return t.brakeKey(k, b.Reason)
}

// brakeKey may be pulled twice.
func (t *task) brakeKey(k *Key, reason string) (deed, error) {
	switch k.State {
	case KeyFrozen:
		return func(*Outcome) {}, nil
	case KeyActive:
		return func(*Outcome) {
			n := *k
			n.State, n.FrozenBy, n.Reason = KeyFrozen, t.author.id, reason
			t.keyChanged(&n)
		}, nil
	}
	return nil, errs.New(errs.BadState, "key %s is %s", k.ID, k.State)
}

func (t *task) unfreezeKey(b *command.UnfreezeKey) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if k.State != KeyFrozen {
		return nil, errs.New(errs.BadState, "key %s is %s, not frozen", k.ID, k.State)
	}
	return func(*Outcome) {
		n := *k
		n.State, n.FrozenBy, n.Reason = KeyActive, identity.Fingerprint{}, ""
		t.keyChanged(&n)
		t.failOpen(func(q *Request) bool { return q.Key == k.ID })
	}, nil
}

func (t *task) retireKey(b *command.RetireKey) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	if err := ordinary(k); err != nil {
		return nil, err
	}
	if k.State == KeyRetired {
		return nil, errs.New(errs.BadState, "key %s is retired already", k.ID)
	}
	return func(*Outcome) {
		n := *k
		n.State = KeyRetired
		n.Ceremony, n.Import, n.Retiring, n.RetireAt = nil, nil, nil, time.Time{}
		n.dropEscrow()
		t.keyChanged(&n)
	}, nil
}
