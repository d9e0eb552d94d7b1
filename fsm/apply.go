package fsm

import (
	"crypto/sha256"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// apply carries out one entry.
func (w *work) apply(in Input) Result {
	res := Result{Meta: in.Meta}
	var commands []*command.Command
	if in.Entry != nil {
		res.Stamp, commands = in.Entry.Stamp.Truncate(time.Millisecond).UTC(), in.Entry.Commands
	}
	res.Outcomes = make([]Outcome, len(commands))
	if in.Meta.Index <= w.head.meta.Index {
		for i := range res.Outcomes {
			res.Outcomes[i] = Outcome{Code: errs.Stale, Text: "the entry was applied before", Index: in.Meta.Index}
		}
		return res
	}
	w.meta, w.stamp, w.result, w.before = in.Meta, res.Stamp, &res, w.roster
	w.head.meta = in.Meta
	if len(commands) > 0 && res.Stamp.After(w.head.clock) { // time moves only where a leaf tells of it
		w.head.clock = res.Stamp
	}
	res.Leaves = make([]audit.Leaf, len(commands))
	for i, c := range commands {
		w.effect = audit.Effect{}
		if i == 0 {
			w.sweep()
		}
		cm := c.Commitment()
		res.Outcomes[i] = w.judge(c, &cm)
		w.leaf(&res.Leaves[i], i, c, cm, res.Outcomes[i].Code)
	}
	if len(commands) > 0 {
		w.roll()
	}
	w.fileDue()
	return res
}

// leaf writes a command's line of the audit. The outcome's text stays out of it: it may
// be worded differently by another version, the tree may not.
func (w *work) leaf(l *audit.Leaf, position int, c *command.Command, cm command.Commitment, code errs.Code) {
	*l = audit.Leaf{Seq: w.head.frontier.Size(), Meta: w.meta, Stamp: w.stamp, Position: uint32(position),
		Command: cm, Code: code, Effect: w.effect.Encode(), Fields: c.Fields}
	w.head.frontier.Append(l.Hash())
}

// author is who signed a command.
type author struct {
	id        identity.Fingerprint
	principal *Principal // nil for a region
	region    *Region    // nil for a principal
	admins    int        // distinct administrators among the signers
}

// judge decides one command, carries it out and remembers the outcome.
func (w *work) judge(c *command.Command, cm *command.Commitment) Outcome {
	signed := cm.SignedBytes(w.m.document().Cluster)
	a, err := w.authenticate(c, signed)
	if err != nil {
		return w.refused(err)
	}
	hash, slot := sha256.Sum256(signed), command.RequestIDOf(c.Principal, c.ID)
	if o, known := w.recall(slot, hash); known && liar.Defends(liar.Once) {
		w.effect.Repeated = true
		return o
	}
	if err := w.checkTime(a, c); err != nil {
		return w.refused(err)
	}
	t := &task{work: w, author: a, command: c, slot: slot, hash: hash}
	do, err := t.decide()
	if err != nil {
		return w.refuse(t, err)
	}
	out := Outcome{Code: errs.OK, Index: w.meta.Index}
	do(&out)
	if !t.kept {
		w.memorize(t, out)
	}
	return out
}

// refused says what err says. The coded text is for the client.
func (w *work) refused(err error) Outcome {
	return Outcome{Code: errs.CodeOf(err), Text: err.Error(), Index: w.meta.Index}
}

// refuse also remembers it, so that bytes once refused never succeed later behind their
// author's back; except where asking again is what the author is meant to do.
func (w *work) refuse(t *task, err error) Outcome {
	out := w.refused(err)
	if out.Code != errs.NeedsSecondAdmin && out.Code != errs.Throttled && !t.again && !t.idempotent() {
		w.memorize(t, out)
	}
	return out
}

func (w *work) memorize(t *task, o Outcome) {
	if t.idempotent() {
		return
	}
	w.memos.insert(t.slot, &memo{slot: t.slot, outcome: remembered{t.hash, o.Code, o.Index, o.Key, o.Next}})
	w.remember(t.slot, t.command.Expiry)
}

// recall tells the outcome of a command seen before.
func (w *work) recall(slot command.RequestID, hash [32]byte) (Outcome, bool) {
	var was remembered
	var request command.RequestID
	if q, ok := w.open.get(slot); ok {
		was, request = remembered{hash: q.Hash, code: errs.OK, index: q.Opened}, q.ID
	} else if m, ok := w.memos.get(slot); ok {
		was = m.outcome
	} else if s, ok := w.settled.get(slot); ok {
		q := s.request()
		was, request = remembered{hash: q.Hash, code: errs.OK, index: q.Opened}, q.ID
	} else {
		return Outcome{}, false
	}
	if was.hash != hash {
		return Outcome{Code: errs.Replayed, Text: "the id was used before for another command", Index: w.meta.Index}, true
	}
	o := Outcome{Code: was.code, Index: was.index, Key: was.key, Request: request, Next: was.next}
	if was.code != errs.OK {
		o.Text = "refused before; use a new id to ask again"
	}
	return o, true
}

// authenticate resolves the author and verifies every signature.
func (w *work) authenticate(c *command.Command, signed []byte) (*author, error) {
	if c.Format != command.Format || !c.Type.Known() {
		return nil, errs.New(errs.Malformed, "command format %d, type %d: unknown to this version", c.Format, c.Type)
	}
	if len(c.Signatures) == 0 || len(c.Signatures) > command.MaxSignatures || c.Signatures[0].Principal != c.Principal {
		return nil, errs.New(errs.Unauthenticated, "the author %s has not signed first", c.Principal.Short())
	}
	a, key, err := w.resolve(c)
	if err != nil {
		return nil, err
	}
	if a.region != nil && a.region.Status != RegionActive {
		return nil, errs.New(errs.Denied, "region %d is quarantined: nothing it says counts", a.region.ID)
	}
	if !w.m.verify(key, signed, c.Signatures[0].Sig) && liar.Defends(liar.Commands) {
		return nil, errs.New(errs.Unauthenticated, "the signature of %s does not verify", c.Principal.Short())
	}
	for i, s := range c.Signatures[1:] {
		if err := w.cosigned(a, c.Signatures[:i+1], s, signed); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// resolve finds the author: a principal first, then a region's session; for the command
// that announces a session, the region's identity.
func (w *work) resolve(c *command.Command) (*author, identity.PublicKey, error) {
	if c.Type == command.TypeRegisterSession {
		if r, ok := w.roster.identities[c.Principal]; ok {
			return &author{id: c.Principal, region: r}, r.Identity, nil
		}
	} else if c.Type.ByRegion() {
		if s, ok := w.roster.sessions[c.Principal]; ok {
			return &author{id: c.Principal, region: s.region}, s.cert.Session, nil
		}
	} else if p, ok := w.principals.get(c.Principal); ok && !p.Removed {
		a := &author{id: c.Principal, principal: p}
		if p.admin() {
			a.admins = 1
		}
		return a, p.Key, nil
	}
	return nil, identity.PublicKey{}, errs.New(errs.Unauthenticated, "%s is not known here as an author of %s", c.Principal.Short(), c.Type)
}

// cosigned verifies one further signature; only principals co-sign, each once, and none of
// another tenant: who signs a command may submit it and learns its outcome.
func (w *work) cosigned(a *author, before []command.Signature, s command.Signature, signed []byte) error {
	for _, b := range before {
		if b.Principal == s.Principal {
			return errs.New(errs.Unauthenticated, "%s signed twice", s.Principal.Short())
		}
	}
	p, ok := w.principals.get(s.Principal)
	if !ok || p.Removed || a.principal == nil || p.Tenant != "" && p.Tenant != a.principal.Tenant {
		return errs.New(errs.Unauthenticated, "the co-signer %s is not known", s.Principal.Short())
	}
	if !w.m.verify(p.Key, signed, s.Sig) && liar.Defends(liar.Commands) {
		return errs.New(errs.Unauthenticated, "the signature of %s does not verify", s.Principal.Short())
	}
	if p.admin() {
		a.admins++
	}
	return nil
}

func (p *Principal) admin() bool {
	return !p.Removed && p.Tenant == "" && p.Roles&command.RoleAdmin != 0
}

// signs reports whether p may have a tenant's keys sign.
func (p *Principal) signs(tenant string) bool {
	return !p.Removed && p.Tenant == tenant && p.Roles&command.RoleSigner != 0
}

// checkTime bounds a command's life, and with it how long its id is remembered.
func (w *work) checkTime(a *author, c *command.Command) error {
	repair := c.Type == command.TypeRepairClock // whose expiry is judged by the time it asks for
	switch {
	case a.principal != nil && !repair && w.forgotten(c):
		return errs.New(errs.Expired, "since the clock was set back, commands must expire after %s", time.Unix(int64(w.head.control.floor), 0).UTC().Format(time.RFC3339))
	case !repair && !c.Expiry.After(w.head.clock):
		return errs.New(errs.Expired, "the command expired")
	case c.Expiry.After(w.head.clock.Add(command.MaxLifetime)):
		return errs.New(errs.Invalid, "the command expires more than %s ahead", command.MaxLifetime)
	case a.principal != nil && w.remembered() >= a.principal.memory():
		return errs.New(errs.Throttled, "%d commands are remembered, the most there may be", a.principal.memory())
	}
	return nil
}

// forgotten reports whether a command may have been decided and forgotten while the clock
// stood too high. Regions' commands live for a minute and are judged by the state: a
// repeated one changes nothing that matters, and without them nothing would go on.
func (w *work) forgotten(c *command.Command) bool {
	return w.head.control != nil && !c.Expiry.After(time.Unix(int64(w.head.control.floor), 0))
}

// memory is how many commands may be remembered for p still to add one. Tenants leave
// room for who pulls the brakes, but nobody's commands are remembered without end.
func (p *Principal) memory() uint64 {
	if p.Tenant == "" {
		return MaxRemembered + ReservedMemory
	}
	return MaxRemembered
}

// task is one authenticated command about to be decided. Deciding only reads; what is to
// be done comes back as a function, so that a refusal, for whatever reason, has changed
// nothing.
type task struct {
	*work
	*author
	command *command.Command
	slot    command.RequestID
	hash    [32]byte
	kept    bool // the request itself is the memory of the command
	again   bool // a refusal is for the moment: the same bytes may be sent again
}

type deed func(*Outcome)

// idempotent reports whether repeating the command is harmless without any memory of it:
// these two come with every entry, and are judged by the state alone.
func (t *task) idempotent() bool {
	return t.command.Type == command.TypeComplete || t.command.Type == command.TypeTick
}

// decide never panics: a command that made every replica stop would stop the vault.
func (t *task) decide() (do deed, err error) {
	defer func() {
		if r := recover(); r != nil {
			do, err = nil, errs.New(errs.Internal, "the command could not be judged")
		}
	}()
	body, err := t.command.Body()
	if err == nil {
		err = t.head.allowed(t.command.Type, t.m.levelOf)
	}
	if err != nil {
		return nil, err
	}
	if dual(body) && t.admins < 2 && liar.Defends(liar.DualControl) {
		if t.principal.admin() {
			return nil, errs.New(errs.NeedsSecondAdmin, "%s needs the signatures of two administrators", t.command.Type)
		}
		return nil, t.denied()
	}
	return t.dispatch(body)
}

func (t *task) denied() error {
	return errs.New(errs.Denied, "%s may not %s here", t.author.id.Short(), t.command.Type)
}

// dual reports whether two administrators must sign.
func dual(b command.Body) bool {
	switch b := b.(type) {
	case *command.CreateTenant, *command.PutPrincipal, *command.RemovePrincipal, *command.UnfreezeKey, *command.UnfreezePath,
		*command.UnfreezeVault, *command.Configure, *command.ReplaceMember, *command.RetireKey,
		*command.RefreshKey, *command.EscrowKey, *command.ImportKey, *command.QuarantineRegion, *command.MuteRegion, *command.LiftStop, *command.RepairRegion, *command.RepairClock, *command.RaiseLevel, *command.Reenrol:
		return true
	case *command.CreateKey:
		return b.AllowBlind || b.Fallback != nil
	}
	return false
}

func (t *task) dispatch(body command.Body) (deed, error) {
	switch b := body.(type) {
	case *command.CreateTenant:
		return t.createTenant(b)
	case *command.PutPrincipal:
		return t.putPrincipal(b)
	case *command.RemovePrincipal:
		return t.removePrincipal(b)
	case *command.CreateKey:
		return t.createKey(b)
	case *command.RequestSignature:
		return t.requestSignature(b)
	case *command.FreezeKey:
		return t.freezeKey(b)
	case *command.UnfreezeKey:
		return t.unfreezeKey(b)
	case *command.FreezePath:
		return t.freezePath(b)
	case *command.UnfreezePath:
		return t.unfreezePath(b)
	case *command.FreezeVault:
		return t.freezeVault(b)
	case *command.UnfreezeVault:
		return t.unfreezeVault(b)
	case *command.Configure:
		return t.configure(b)
	case *command.ReplaceMember:
		return t.replaceMember(b)
	case *command.RetireKey:
		return t.retireKey(b)
	case *command.RegisterSession:
		return t.registerSession(b)
	case *command.AttestKey:
		return t.attestKey(b)
	case *command.ConfirmKey:
		return t.confirmKey(b)
	case *command.OpenAttempt:
		return t.reopen(b)
	case *command.Complete:
		return t.complete(b)
	case *command.ReportHealth:
		return t.reportHealth(b)
	case *command.Tick:
		return func(*Outcome) {}, nil
	case *command.IssueAddresses:
		return t.issueAddresses(b)
	case *command.NextAddresses:
		return t.nextAddresses(b)
	case *command.LimitKey:
		return t.limitKey(b)
	case *command.RefundRequest:
		return t.refundRequest(b)
	}
	if t.region != nil {
		return t.dispatchCeremony(body)
	}
	return t.dispatchControl(body)
}

func (t *task) dispatchCeremony(body command.Body) (deed, error) {
	switch b := body.(type) {
	case *command.OfferWrap:
		return t.offerWrap(b)
	case *command.HashDealing:
		return t.hashDealing(b)
	case *command.Deal:
		return t.deal(b)
	case *command.DealShares:
		return t.dealShares(b)
	case *command.FinishShare:
		return t.finishShare(b)
	case *command.AccuseDealer:
		return t.accuseDealer(b)
	case *command.DropWrap:
		return t.dropWrap(b)
	case *command.OfferNonces:
		return t.offerNonces(b)
	case *command.EscrowShare:
		return t.escrowShare(b)
	}
	return t.dispatchControl(body)
}

func (t *task) dispatchControl(body command.Body) (deed, error) {
	switch b := body.(type) {
	case *command.RefreshKey:
		return t.refreshKey(b)
	case *command.EscrowKey:
		return t.escrowKey(b)
	case *command.CancelEscrow:
		return t.cancelEscrow(b)
	case *command.ImportKey:
		return t.importKey(b)
	case *command.QuarantineRegion:
		return t.quarantineRegion(b)
	case *command.MuteRegion:
		return t.muteRegion(b)
	case *command.LiftStop:
		return t.liftStop(b)
	case *command.RepairRegion:
		return t.repairRegion(b)
	case *command.RepairClock:
		return t.repairClock(b)
	case *command.RaiseLevel:
		return t.raiseLevel(b)
	case *command.Reenrol:
		return t.reenrol(b)
	case *command.RegionFreeze:
		return t.regionFreeze(b)
	case *command.RegionFreezePath:
		return t.regionFreezePath(b)
	}
	return nil, errs.New(errs.Malformed, "command type %d has no handler", t.command.Type)
}
