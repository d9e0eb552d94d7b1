package fsm

import (
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func (t *task) createTenant(b *command.CreateTenant) (deed, error) {
	if err := command.CheckName("tenant", b.Name); err != nil {
		return nil, err
	}
	if _, ok := t.tenants.get(b.Name); ok {
		return nil, errs.New(errs.Exists, "the tenant exists")
	}
	if t.tenants.count >= MaxTenants {
		return nil, errs.New(errs.TooLarge, "there are %d tenants, the most there may be", MaxTenants)
	}
	return func(*Outcome) { t.tenants.insert(b.Name, &tenant{b.Name}) }, nil
}

func (t *task) putPrincipal(b *command.PutPrincipal) (deed, error) {
	if err := t.checkPrincipal(b); err != nil {
		return nil, err
	}
	p := &Principal{ID: b.Key.Fingerprint(), Name: b.Name, Tenant: b.Tenant, Key: b.Key, Roles: b.Roles}
	old, exists := t.principals.get(p.ID)
	if !exists {
		if t.principals.count >= MaxPrincipals {
			return nil, errs.New(errs.TooLarge, "there are %d principals, the most there may be", MaxPrincipals)
		}
		return func(*Outcome) { t.principals.count++; t.putRights(nil, p) }, nil
	}
	if old.Removed {
		return nil, errs.New(errs.BadState, "credential %s was revoked for ever", p.ID.Short())
	}
	if old.Tenant != b.Tenant {
		return nil, errs.New(errs.Invalid, "credential %s belongs elsewhere; principals do not move between tenants", p.ID.Short())
	}
	if err := t.keepsAdmins(old, p); err != nil {
		return nil, err
	}
	return func(*Outcome) { t.putRights(old, p) }, nil
}

func (t *task) checkPrincipal(b *command.PutPrincipal) error {
	if err := command.CheckName("principal", b.Name); err != nil {
		return err
	}
	if err := command.CheckPrincipalKey(b.Key); err != nil {
		return err
	}
	if err := command.CheckRoles(b.Tenant, b.Roles); err != nil {
		return err
	}
	if _, ok := t.tenants.get(b.Tenant); !ok && b.Tenant != "" {
		return errs.New(errs.NotFound, "there is no such tenant")
	}
	id := b.Key.Fingerprint()
	if t.roster.taken(id) {
		return errs.New(errs.Invalid, "credential %s is a region's, or was", id.Short())
	}
	for _, p := range t.principals.all(func(p *Principal) identity.Fingerprint { return p.ID }) {
		if p.Name == b.Name && p.Tenant == b.Tenant && p.ID != id && !p.Removed {
			return errs.New(errs.Exists, "another principal there has that name")
		}
	}
	return nil
}

// keepsAdmins refuses what would leave fewer than two administrators: dual control
// could never be met again.
func (t *task) keepsAdmins(old, now *Principal) error {
	if old.admin() && !now.admin() && t.head.admins <= 2 {
		return errs.New(errs.BadState, "two administrators must remain")
	}
	return nil
}

func (t *task) putRights(old, now *Principal) {
	if old != nil && old.admin() {
		t.head.admins--
	}
	if now.admin() {
		t.head.admins++
	}
	if old != nil && !old.signs(now.Tenant) && now.signs(now.Tenant) {
		t.failOpen(func(q *Request) bool { return q.Author == now.ID })
	}
	t.principals.put(now.ID, now)
	t.effect.Principals = append(t.effect.Principals,
		audit.PrincipalChange{Principal: now.ID, Roles: now.Roles, Removed: now.Removed})
}

func (t *task) removePrincipal(b *command.RemovePrincipal) (deed, error) {
	old, ok := t.principals.get(b.Principal)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no principal %s", b.Principal.Short())
	}
	if old.Removed {
		return nil, errs.New(errs.BadState, "principal %s is removed already", b.Principal.Short())
	}
	now := *old
	now.Removed = true
	if err := t.keepsAdmins(old, &now); err != nil {
		return nil, err
	}
	return func(*Outcome) { t.putRights(old, &now) }, nil
}

func (t *task) configure(b *command.Configure) (deed, error) {
	if err := b.Settings.Check(); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		t.head.settings = b.Settings
		t.head.reschedule()
		if b.Settings.Import && t.head.newest == 0 {
			t.openWrap() // an import seals to keys that are there
		}
	}, nil
}

func (t *task) freezeVault(b *command.FreezeVault) (deed, error) {
	if t.principal.Tenant != "" || t.principal.Roles&(command.RoleAdmin|command.RoleOperator) == 0 {
		return nil, t.denied()
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	return t.brakeVault(b.Reason), nil
}

// brakeVault may be pulled twice.
func (t *task) brakeVault(reason string) deed {
	if t.head.frozen != nil {
		return func(*Outcome) {}
	}
	return func(*Outcome) {
		t.head.frozen = &freeze{reason, t.author.id}
		t.result.Frozen = true
		t.effect.Vault = &audit.VaultChange{Frozen: true}
	}
}

func (t *task) unfreezeVault(b *command.UnfreezeVault) (deed, error) {
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if t.head.frozen == nil {
		return nil, errs.New(errs.BadState, "the vault is not frozen")
	}
	return func(*Outcome) {
		t.head.frozen = nil
		t.result.Frozen = true
		t.effect.Vault = &audit.VaultChange{}
		t.failOpen(func(*Request) bool { return true })
	}, nil
}
