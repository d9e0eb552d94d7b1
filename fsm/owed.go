package fsm

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Owed is nil for a command that is owed a decision: signed by those the state knows, in
// time at now, and not decided as far as the state remembers. Verify is as in Options.
// What the decision would be is not asked.
func (v View) Owed(c *command.Command, now time.Time, verify func(pub identity.PublicKey, msg, sig []byte) bool) error {
	if v.Clock().After(now) {
		now = v.Clock()
	}
	_, decided := v.Decided(c.Principal, c.ID)
	if err := v.Allowed(c.Type); err != nil {
		return err
	}
	switch {
	case decided:
		return errs.New(errs.Replayed, "command %s is decided", c.ID)
	case !c.Expiry.After(now) || c.Expiry.After(now.Add(command.MaxLifetime)):
		return errs.New(errs.Expired, "command %s expired, or expires more than %s ahead", c.ID, command.MaxLifetime)
	case len(c.Signatures) == 0 || c.Signatures[0].Principal != c.Principal:
		return errs.New(errs.Unauthenticated, "the author of command %s has not signed first", c.ID)
	}
	cm := c.Commitment()
	msg := cm.SignedBytes(v.Cluster())
	for _, s := range c.Signatures {
		pub, ok := signerKey(v, c.Type, s.Principal)
		if !ok || !v.counts(c.Type, s.Principal) || !verify(pub, msg, s.Sig) {
			return errs.New(errs.Unauthenticated, "command %s is not signed by %s as this region knows it", c.ID, s.Principal.Short())
		}
	}
	return nil
}

// counts reports whether what a known signer says is heard: no removed principal's, and no
// region's in quarantine.
func (v View) counts(t command.Type, fp identity.Fingerprint) bool {
	if t == command.TypeRegisterSession {
		r, ok := v.s.roster.identities[fp]
		return ok && r.Status == RegionActive
	}
	if t.ByRegion() {
		r, _, ok := v.RegionBySession(fp)
		return ok && r.Status == RegionActive
	}
	p, ok := v.Principal(fp)
	return ok && !p.Removed
}
