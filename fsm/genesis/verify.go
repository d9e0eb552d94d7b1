package genesis

import (
	"context"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func bad(format string, args ...any) error {
	return errs.New(errs.Invalid, "genesis: "+format, args...)
}

// Check reports whether the document makes sense: four regions in order, at least two
// administrators, every name, key and address its own, everything within limits.
func (d *Document) Check() error {
	if d.Cluster == (identity.ClusterID{}) {
		return bad("the cluster has no id")
	}
	if err := command.CheckName("cluster", d.Name); err != nil {
		return err
	}
	if len(d.Regions) != Regions {
		return bad("%d regions, want %d", len(d.Regions), Regions)
	}
	if n := len(d.Administrators); n < MinAdministrators || n > MaxAdministrators {
		return bad("%d administrators, want %d to %d", n, MinAdministrators, MaxAdministrators)
	}
	seen := map[string]bool{}
	for i := range d.Regions {
		if err := d.Regions[i].check(identity.RegionID(i+1), seen); err != nil {
			return err
		}
	}
	for i := range d.Administrators {
		if err := d.Administrators[i].check(seen); err != nil {
			return err
		}
	}
	if err := d.Officers.check(); err != nil {
		return err
	}
	if s := d.Settings; s.EscrowDelay != 0 || s.RefreshEvery != 0 || s.Import {
		return errs.New(errs.Invalid, "no vault begins with escrow, imports or a schedule: two administrators may allow them later")
	}
	if err := d.Settings.Check(); err != nil {
		return err
	}
	return d.checkSecrets()
}

// once notes that a value is used; it may be used only once in its space.
func once(seen map[string]bool, space, value string) bool {
	k := space + "\x00" + value
	was := seen[k]
	seen[k] = true
	return !was
}

func (g *Region) check(id identity.RegionID, seen map[string]bool) error {
	if g.ID != id {
		return bad("region %d stands where region %d belongs", g.ID, id)
	}
	if err := command.CheckName("region", g.Name); err != nil {
		return err
	}
	if err := CheckServerID(g.Name, g.ServerID); err != nil {
		return err
	}
	if err := g.Identity.Check(); err != nil {
		return errs.Wrap(errs.Invalid, err, "identity key of region %d", id)
	}
	fp := g.Identity.Fingerprint()
	if !once(seen, "name", g.Name) || !once(seen, "key", string(fp[:])) ||
		len(g.Wrapping) > 0 && !once(seen, "wrapping", string(g.Wrapping)) {
		return bad("region %d shares its name or a key with another member", id)
	}
	for _, a := range []struct{ what, addr string }{{"raft address", g.RaftAddr}, {"api address", g.APIAddr}, {"gossip address", g.GossipAddr}} {
		if err := command.CheckAddress(a.what, a.addr); err != nil {
			return err
		}
		if !once(seen, a.what, a.addr) {
			return bad("region %d shares its %s with another", id, a.what)
		}
	}
	if len(g.Wrapping) > maxWrapping || len(g.Attributes) > maxAttributes {
		return bad("region %d: wrapping key or attributes are too large", id)
	}
	for i, c := range g.Curves {
		if !c.Valid() || i > 0 && g.Curves[i-1] >= c {
			return bad("region %d: curves must be known and ascend", id)
		}
	}
	return command.CheckText("HSM description", g.HSM, maxShort)
}

// CheckServerID accepts a region's raft server id: its name, a dash, and eight hex
// digits of the incarnation.
func CheckServerID(region, id string) error {
	inc, ok := strings.CutPrefix(id, region+"-")
	ok = ok && len(inc) == 8 && len(id) <= maxServerID && strings.Trim(inc, "0123456789abcdef") == ""
	if !ok {
		return bad("a server id must be the region's name, a dash and 8 hex digits")
	}
	return nil
}

func (p *Principal) check(seen map[string]bool) error {
	if err := command.CheckName("administrator", p.Name); err != nil {
		return err
	}
	if err := command.CheckPrincipalKey(p.Key); err != nil {
		return errs.Wrap(errs.Invalid, err, "key of administrator %q", p.Name)
	}
	if err := command.CheckRoles("", p.Roles); err != nil {
		return err
	}
	fp := p.Key.Fingerprint()
	switch {
	case p.Roles&command.RoleAdmin == 0:
		return bad("founding administrator %q lacks the role admin", p.Name)
	case !once(seen, "admin", p.Name):
		return bad("two administrators are named %q", p.Name)
	case !once(seen, "key", string(fp[:])):
		return bad("administrator %q shares a key with another member", p.Name)
	}
	return nil
}

// check allows no officers at all: the founders sign that there is no recovery.
func (o *Officers) check() error {
	n := len(o.Recipients)
	if n > MaxOfficers || int(o.Threshold) > n || n > 0 && o.Threshold == 0 {
		return bad("%d of %d officers is not possible", o.Threshold, n)
	}
	seen := map[string]bool{}
	for _, r := range o.Recipients {
		if r == "" || len(r) > MaxRecipient || command.CheckText("recipient", r, MaxRecipient) != nil {
			return bad("an officer's recipient is empty or malformed")
		}
		if !once(seen, "", r) {
			return bad("two officers have the same recipient")
		}
	}
	return nil
}

func (d *Document) checkSecrets() error {
	b := &d.Beacon
	if b.Threshold != 3 || len(b.Shares) != Regions {
		return bad("the beacon is %d of %d, want 3 of %d", b.Threshold, len(b.Shares), Regions)
	}
	seen := map[string]bool{}
	for i, s := range b.Shares {
		if len(s) != 32 || !once(seen, "share", string(s)) {
			return bad("beacon share of region %d is not its own 32 bytes", i+1)
		}
	}
	if len(d.Contributions) != Regions {
		return bad("%d contributions, want %d", len(d.Contributions), Regions)
	}
	for i := range d.Contributions {
		if !once(seen, "contribution", string(d.Contributions[i][:])) {
			return bad("the contribution of region %d is another's", i+1)
		}
	}
	return nil
}

// Founders returns the keys that must sign, in the order of the signatures: the
// regions' identity keys, then the administrators'.
func (d *Document) Founders() []identity.PublicKey {
	var keys []identity.PublicKey
	for i := range d.Regions {
		keys = append(keys, d.Regions[i].Identity)
	}
	for i := range d.Administrators {
		keys = append(keys, d.Administrators[i].Key)
	}
	return keys
}

// AddSignature keeps the signatures in the founders' order; a founder's earlier one is
// replaced. It verifies s first.
func (g *Genesis) AddSignature(s command.Signature) error {
	have := map[identity.Fingerprint]command.Signature{s.Principal: s}
	for _, old := range g.Signatures {
		if old.Principal != s.Principal {
			have[old.Principal] = old
		}
	}
	msg, known := g.Document.SignedBytes(), false
	g2 := make([]command.Signature, 0, len(have))
	for _, k := range g.Document.Founders() {
		fp := k.Fingerprint()
		if fp == s.Principal {
			if known = k.Verify(msg, s.Sig); !known {
				return errs.New(errs.Unverified, "genesis: the signature of %s does not verify", fp.Short()).
					WithHint("sign the document whose hash all sites compared")
			}
		}
		if old, ok := have[fp]; ok {
			g2 = append(g2, old)
		}
	}
	if !known {
		return errs.New(errs.Unauthenticated, "genesis: %s is no founder", s.Principal.Short())
	}
	g.Signatures = g2
	return nil
}

// Sign adds one founder's signature.
func (g *Genesis) Sign(ctx context.Context, s identity.Signer) error {
	sig, err := s.Sign(ctx, g.Document.SignedBytes())
	if err != nil {
		return err
	}
	return g.AddSignature(command.Signature{Principal: s.Public().Fingerprint(), Sig: sig})
}

// Verify reports whether g is final: a document that makes sense, signed by every
// founder, once each and in order, so that all hold the same bytes.
func (g *Genesis) Verify() error {
	if err := g.Document.Check(); err != nil {
		return err
	}
	founders, msg := g.Document.Founders(), g.Document.SignedBytes()
	if len(g.Signatures) != len(founders) {
		return errs.New(errs.Unverified, "genesis: %d signatures, want %d: every region and every administrator", len(g.Signatures), len(founders))
	}
	for i, k := range founders {
		s := g.Signatures[i]
		if s.Principal != k.Fingerprint() || !k.Verify(msg, s.Sig) {
			return errs.New(errs.Unverified, "genesis: signature %d of %d is not by %s over this document", i+1, len(founders), k.Fingerprint().Short())
		}
	}
	return nil
}
