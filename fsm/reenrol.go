package fsm

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// A region whose HSM is lost is enrolled with another one: docs/design/fsm.md, Re-enrolment.

// reenrol replaces what a region is. What its old HSM held counts as gone from here on,
// whoever has it.
func (t *task) reenrol(b *command.Reenrol) (deed, error) {
	r, err := t.named(b.Region)
	if err != nil {
		return nil, err
	}
	if err := t.replaceable(r, b.Replaces); err != nil {
		return nil, err
	}
	curves, err := checkEnrolment(r, b)
	if err != nil {
		return nil, err
	}
	if err := t.unused(b); err != nil {
		return nil, err
	}
	if !t.m.verify(b.Identity, command.ReenrolBytes(t.m.document().Cluster, b), b.Proof) {
		return nil, errs.New(errs.Unverified, "the enrolment of region %d is not signed by the identity key in it, or for another cluster", r.ID)
	}
	return func(*Outcome) {
		n := *r
		n.Former = append(slices.Clone(r.Former), Former{r.Identity, sha256.Sum256(r.Wrapping), t.meta.Index, t.head.clock})
		n.ServerID, n.RaftAddr, n.APIAddr, n.GossipAddr = b.ServerID, b.RaftAddr, b.APIAddr, b.GossipAddr
		n.Identity, n.Wrapping, n.OAEPHash, n.HSM, n.Curves = b.Identity, slices.Clone(b.Wrapping), b.OAEPHash, b.HSM, curves
		n.Sessions, n.Healthy, n.Since, n.Level = nil, false, t.meta.Index, 0 // a quarantine stands
		t.putRegion(&n)
		t.dropNonces(n.ID)
		t.dropWraps(n.ID)
		t.loseKeys(n.ID)
	}, nil
}

// checkEnrolment judges the form of what is announced.
func checkEnrolment(r *Region, b *command.Reenrol) ([]command.Curve, error) {
	if err := genesis.CheckServerID(r.Name, b.ServerID); err != nil {
		return nil, err
	}
	if b.ServerID == r.ServerID {
		return nil, errs.New(errs.Invalid, "region %d is incarnation %s already: another HSM begins with another one", r.ID, r.ServerID)
	}
	if err := checkAddresses(b.RaftAddr, b.APIAddr, b.GossipAddr); err != nil {
		return nil, err
	}
	if err := b.Identity.Check(); err != nil {
		return nil, err
	}
	if err := wrappingKey(b.Wrapping).Check(); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the wrapping key of region %d", r.ID)
	}
	if b.OAEPHash != 1 && b.OAEPHash != 2 { // SHA-1, SHA-256
		return nil, errs.New(errs.Invalid, "the enrolment of region %d names no hash for its wrapping key", r.ID)
	}
	if err := command.CheckText("HSM description", b.HSM, maxShort); err != nil {
		return nil, err
	}
	return curvesOf(b.Curves)
}

// wrappingKey is a region's wrapping key as a credential, to be compared with others.
func wrappingKey(pkix []byte) identity.PublicKey {
	return identity.PublicKey{Alg: identity.RSAPSS, Key: pkix}
}

// replaceable reports why a region's HSM is not taken for lost now.
func (t *task) replaceable(r *Region, was identity.Fingerprint) error {
	switch {
	case r.Identity.Fingerprint() != was:
		return errs.New(errs.Stale, "the identity of region %d is %s, not %s that is to be replaced", r.ID, r.Identity.Fingerprint().Short(), was.Short()).
			WithHint("look at the region and ask again")
	case r.Status == RegionActive && r.Healthy:
		return errs.New(errs.BadState, "region %d is active and healthy: a region at work is not given another HSM", r.ID).
			WithHint("if it is lost, two others report it away within a minute; if it is not to be trusted, put it in quarantine")
	case len(r.Former) >= MaxFormer:
		return errs.New(errs.TooLarge, "region %d had %d identities before, the most there may be", r.ID, len(r.Former))
	}
	for _, o := range t.roster.regions {
		if o.ID == r.ID || len(o.Former) == 0 {
			continue
		}
		if len(o.Sessions) == 0 {
			return errs.New(errs.BadState, "region %d was enrolled with another HSM and is not there yet", o.ID).
				WithHint("start it first: the vault lives on three regions")
		}
		if until := o.Former[len(o.Former)-1].At.Add(ReenrolTime); t.head.clock.Before(until) {
			return errs.New(errs.Throttled, "region %d was enrolled with another HSM less than %s ago; another region may be after %s",
				o.ID, ReenrolTime, until.UTC().Format(time.RFC3339))
		}
	}
	return t.beaconLasts(r)
}

// beaconLasts keeps enough shares of the beacon key: with fewer nothing is ever drawn again.
func (t *task) beaconLasts(r *Region) error {
	k, _ := t.sharedKey(command.BeaconKey)
	if left := len(k.Sharing.without(r.ID).Shares); k.Holds(r.ID) && left < int(k.Sharing.Threshold) {
		return errs.New(errs.BadState, "without region %d only %d regions hold a share of the beacon key, and nothing can be drawn with fewer than %d", r.ID, left, k.Sharing.Threshold).
			WithHint("give the other regions shares first: vaultctl beacon reshare")
	}
	return nil
}

// unused wants keys that nobody has, and no region ever had.
func (t *task) unused(b *command.Reenrol) error {
	for _, key := range []identity.PublicKey{b.Identity, wrappingKey(b.Wrapping)} {
		if fp := key.Fingerprint(); t.known(fp) || t.roster.wrapped(key.Key) {
			return errs.New(errs.Invalid, "key %s in the enrolment of region %d is in use here, or was", fp.Short(), b.Region).
				WithHint("make new keys in the new HSM")
		}
	}
	if b.Identity.Equal(wrappingKey(b.Wrapping)) {
		return errs.New(errs.Invalid, "identity and wrapping key of region %d are the same", b.Region)
	}
	return nil
}

// known reports whether a credential is a principal's, a session's, or is or was a region's.
func (w *work) known(fp identity.Fingerprint) bool {
	_, principal := w.principals.get(fp)
	return principal || w.roster.taken(fp)
}

// dropWraps takes a region's keys out of every wrapping epoch: nobody waits for an HSM that
// is gone to destroy them.
func (w *work) dropWraps(r identity.RegionID) {
	for _, e := range sortByID(w.wraps.all(func(e *Wrap) uint32 { return e.Epoch })) {
		if e.Key(r) == nil {
			continue
		}
		n := *e
		n.Keys = slices.DeleteFunc(slices.Clone(e.Keys), func(k WrapKey) bool { return k.Region == r })
		n.Dropped = without(e.Dropped, []identity.RegionID{r})
		w.putWrap(&n)
	}
}

// loseKeys notes for each key what a region's HSM took with it.
func (w *work) loseKeys(r identity.RegionID) {
	keys := sortByID(w.keys.all(func(k *Key) command.KeyID { return k.ID }))
	if _, ok := w.keys.get(command.BeaconKey); !ok {
		keys = append(keys, w.m.beacon)
	}
	for _, k := range keys {
		n := k.losing(r)
		if c := k.Ceremony; c.Running() && (slices.Contains(c.Dealers, r) || slices.Contains(c.Holders, r)) {
			w.failTry(n.ours(), []Fault{{Try: c.ID.Try, Step: c.Step, Region: r, Note: "it was enrolled with another HSM"}})
		} else if n != k {
			w.putKey(n)
		}
	}
}

// losing returns the key without what was in a region's HSM; k itself where that was nothing.
// Regions stays: it is who is meant to hold the key, and part of what audit leaves hash.
func (k *Key) losing(r identity.RegionID) *Key {
	n := *k
	switch {
	case k.Sharing.Holds(r) || k.Retiring.Holds(r):
		n.Sharing, n.Retiring = k.Sharing.without(r), k.Retiring.without(r)
	case k.Attested(r) == nil || k.Attested(r).Lost:
		return k
	case k.State == KeyPending:
		n.Attestations = nil // the others have to confirm the new ones
		for _, a := range k.Attestations {
			if a.Confirmed = false; a.Region != r {
				n.Attestations = append(n.Attestations, a)
			}
		}
	default:
		n.Attestations = slices.Clone(k.Attestations)
		n.Attested(r).Lost = true
	}
	return &n
}

// without returns the sharing without a region's share. Public goes on naming all.
func (s *Sharing) without(r identity.RegionID) *Sharing {
	if s == nil {
		return nil
	}
	n := *s
	n.Shares = slices.DeleteFunc(slices.Clone(s.Shares), func(o Sealed) bool { return o.Region == r })
	return &n
}

// Founder returns the identity a region had in the genesis.
func (g *Region) Founder() identity.PublicKey {
	if len(g.Former) > 0 {
		return g.Former[0].Identity
	}
	return g.Identity
}
