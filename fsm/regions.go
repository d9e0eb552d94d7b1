package fsm

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

func (t *task) registerSession(b *command.RegisterSession) (deed, error) {
	r := t.region
	c, err := identity.DecodeSessionCert(b.Cert)
	if err != nil {
		return nil, err
	}
	curves, err := curvesOf(b.Curves)
	if err != nil {
		return nil, err
	}
	if err := t.checkCert(r, c); err != nil {
		return nil, err
	}
	if b.Level < t.head.level {
		return nil, errs.New(errs.BadState, "region %d runs a release of level %d, the vault is at level %d", r.ID, b.Level, t.head.level).
			WithHint("install the release the other regions run")
	}
	return func(*Outcome) {
		n := *r
		n.Sessions = append([]identity.SessionCert{*c}, r.Sessions...)
		n.Sessions = n.Sessions[:min(len(n.Sessions), MaxSessions)]
		n.Curves, n.Healthy, n.Since, n.Level = curves, true, t.meta.Index, b.Level
		t.putRegion(&n)
		t.dropNonces(n.ID)
		t.grow()
	}, nil
}

func curvesOf(b []byte) ([]command.Curve, error) {
	var curves []command.Curve
	for i, v := range b {
		c := command.Curve(v)
		if !c.Valid() || i > 0 && b[i-1] >= v {
			return nil, errs.New(errs.Invalid, "curves must be known and ascend")
		}
		curves = append(curves, c)
	}
	return curves, nil
}

// checkCert accepts the certificate of a newer boot of the approved incarnation.
func (t *task) checkCert(r *Region, c *identity.SessionCert) error {
	if c.Region != r.ID || c.Cluster != t.m.document().Cluster || !t.m.verify(r.Identity, c.SignedBytes(), c.Sig) {
		return errs.New(errs.Unverified, "the session certificate is not one of region %d", r.ID)
	}
	if !t.m.verify(c.Session, c.PossessionBytes(), c.Possession[:]) && liar.Defends(liar.Possession) {
		return errs.New(errs.Unverified, "the session key in a certificate of region %d did not sign it: it is another's", r.ID)
	}
	if c.ServerID != r.ServerID {
		return errs.New(errs.Stale, "region %d is another incarnation now; a replaced member must be approved first", r.ID)
	}
	if c.Issued.After(t.head.clock.Add(t.head.settings.MaxSkew)) {
		return errs.New(errs.Skewed, "the session of region %d begins in the future; check its clock", r.ID)
	}
	if len(r.Sessions) > 0 && !c.Issued.After(r.Sessions[0].Issued) {
		return errs.New(errs.Stale, "region %d has a session issued later", r.ID)
	}
	if t.known(c.Session.Fingerprint()) && liar.Defends(liar.Sessions) {
		return errs.New(errs.Invalid, "the session key of region %d was used before", r.ID)
	}
	return nil
}

func (t *task) reportHealth(b *command.ReportHealth) (deed, error) {
	r, ok := t.roster.region(b.Region)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no region %d", b.Region)
	}
	if t.region.ID != r.ID {
		if err := t.vouched(b, r); err != nil && liar.Defends(liar.Health) {
			return nil, err
		}
	}
	if b.Healthy && len(r.Sessions) == 0 {
		return nil, errs.New(errs.BadState, "region %d has no session yet", r.ID)
	}
	if r.Healthy == b.Healthy {
		return func(*Outcome) {}, nil
	}
	return func(*Outcome) {
		n := *r
		n.Healthy, n.Since = b.Healthy, t.meta.Index
		t.putRegion(&n)
	}, nil
}

// vouched requires the fresh words of two regions other than the one they are about. A
// word is of one spell of health: once the region's health changed, or it started again,
// it says nothing more, or a leader could take the region out again and again with it.
func (t *task) vouched(b *command.ReportHealth, r *Region) error {
	want := command.WordUnreachable
	if b.Healthy {
		want = command.WordReachable
	}
	var by []identity.RegionID
	for _, raw := range b.Words {
		v, err := t.word(raw)
		if err != nil {
			return err
		}
		fresh := v.At.After(t.head.clock.Add(-WordAge)) && v.At.Before(t.head.clock.Add(WordAge))
		if v.Kind != want || v.About != b.Region || v.By == b.Region || v.Attempt != 0 || v.Request != command.HealthSpell(r.Since) || !fresh {
			return errs.New(errs.Unverified, "a word of region %d does not say this of region %d now", v.By, b.Region)
		}
		if !slices.Contains(by, v.By) {
			by = append(by, v.By)
		}
	}
	if len(by) < 2 {
		return errs.New(errs.Denied, "the health of region %d is its own to report, or needs the words of two others", b.Region)
	}
	return nil
}

// replaceMember approves a region's server: a new incarnation starts without sessions
// and is eligible again once it has registered one.
func (t *task) replaceMember(b *command.ReplaceMember) (deed, error) {
	r, ok := t.roster.region(b.Region)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no region %d", b.Region)
	}
	if err := genesis.CheckServerID(r.Name, b.ServerID); err != nil {
		return nil, err
	}
	if err := checkAddresses(b.RaftAddr, b.APIAddr, b.GossipAddr); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		n := *r
		if n.ServerID != b.ServerID {
			n.Sessions, n.Healthy, n.Since, n.Level = nil, false, t.meta.Index, 0
			t.dropNonces(n.ID)
		}
		n.ServerID, n.RaftAddr, n.APIAddr, n.GossipAddr = b.ServerID, b.RaftAddr, b.APIAddr, b.GossipAddr // a quarantine stands
		t.putRegion(&n)
	}, nil
}

func checkAddresses(raft, api, gossip string) error {
	for _, a := range []struct{ what, addr string }{{"raft address", raft}, {"api address", api}, {"gossip address", gossip}} {
		if err := command.CheckAddress(a.what, a.addr); err != nil {
			return err
		}
	}
	return nil
}
