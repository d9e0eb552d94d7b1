package fsm

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What regions say in a ceremony. Each says each thing once, and only when it is its turn.

// message is one thing a region owes a step.
type message struct {
	id   command.CeremonyID
	step CeremonyStep
	said func(*Part) (some, same bool) // whether it was said already, and the same
	put  func(*Part)
}

// deliver takes a message of a try. The same again changes nothing.
func (t *task) deliver(m message) (deed, error) {
	k, err := t.trying(m.id)
	if err != nil {
		return nil, err
	}
	c, r := k.Ceremony, t.region.ID
	if !slices.Contains(c.owing(m.step), r) {
		return nil, errs.New(errs.Denied, "region %d owes the ceremony of key %s no %s", r, k.ID, t.command.Type)
	}
	if p := c.Part(r); p != nil {
		switch some, same := m.said(p); {
		case same:
			return func(*Outcome) {}, nil
		case some:
			return nil, errs.New(errs.Replayed, "region %d said another %s in try %d of key %s before", r, t.command.Type, m.id.Try, k.ID)
		}
	}
	if c.Step != m.step {
		return nil, errs.New(errs.BadState, "the ceremony of key %s is at step %s: no %s now", k.ID, c.Step, t.command.Type)
	}
	return func(*Outcome) {
		n := k.ours()
		m.put(n.Ceremony.own(r))
		t.advance(n)
	}, nil
}

func (t *task) hashDealing(b *command.HashDealing) (deed, error) {
	if len(b.Seed) == 0 {
		return nil, errs.New(errs.Invalid, "the hash of a dealing comes without the sealed seed it is made from")
	}
	return t.deliver(message{b.Ceremony, StepHash, func(p *Part) (bool, bool) {
		return p.Hashed, p.Hashed && p.Hash == b.Hash && bytes.Equal(p.Seed, b.Seed)
	}, func(p *Part) {
		p.Hashed, p.Hash, p.Seed = true, b.Hash, bytes.Clone(b.Seed)
	}})
}

func (t *task) deal(b *command.Deal) (deed, error) {
	if len(b.Dealing) == 0 {
		return nil, errs.New(errs.Invalid, "the dealing is empty")
	}
	return t.deliver(message{b.Ceremony, StepDeal, func(p *Part) (bool, bool) {
		return len(p.Dealing) > 0, bytes.Equal(p.Dealing, b.Dealing)
	}, func(p *Part) {
		p.Dealing = bytes.Clone(b.Dealing)
	}})
}

// dealShares wants one box a holder.
func (t *task) dealShares(b *command.DealShares) (deed, error) {
	k, err := t.trying(b.Ceremony)
	if err != nil {
		return nil, err
	}
	if want := len(k.Ceremony.Holders); len(b.Sealed) != want || slices.ContainsFunc(b.Sealed, func(s []byte) bool { return len(s) == 0 }) {
		return nil, errs.New(errs.Invalid, "%d sealed values for the %d holders of key %s, or an empty one", len(b.Sealed), want, k.ID)
	}
	return t.deliver(message{b.Ceremony, StepShares, func(p *Part) (bool, bool) {
		return len(p.Sealed) > 0, slices.EqualFunc(p.Sealed, b.Sealed, bytes.Equal)
	}, func(p *Part) {
		for _, s := range b.Sealed {
			p.Sealed = append(p.Sealed, bytes.Clone(s))
		}
	}})
}

// finishShare takes no other key from a refresh than the key there is.
func (t *task) finishShare(b *command.FinishShare) (deed, error) {
	k, err := t.trying(b.Ceremony)
	if err != nil {
		return nil, err
	}
	switch {
	case len(b.Public) == 0 || len(b.Share) == 0 || len(b.Point) != k.Curve.PublicKeyLen():
		return nil, errs.New(errs.Invalid, "public side, share or a point of %d bytes is not one of key %s", len(b.Point), k.ID)
	case k.Curve == command.Secp256k1 && b.Point[0] != 2 && b.Point[0] != 3:
		return nil, errs.New(errs.Invalid, "the point of key %s is not compressed", k.ID)
	case k.Sharing != nil && (!bytes.Equal(b.Point, k.Point) || b.Chain != k.Chain) && liar.Defends(liar.SameKey):
		return nil, errs.New(errs.Unverified, "a new sharing of key %s has to be of the same key and chain code", k.ID)
	}
	if err := t.importFits(k, b); err != nil {
		return nil, err
	}
	said := Part{Transcript: b.Transcript, Public: b.Public, Point: b.Point, Chain: b.Chain}
	return t.deliver(message{b.Ceremony, StepFinish, func(p *Part) (bool, bool) {
		return len(p.Public) > 0, p.agrees(&said) && bytes.Equal(p.Share, b.Share)
	}, func(p *Part) {
		p.Transcript, p.Chain = b.Transcript, b.Chain
		p.Public, p.Point, p.Share = bytes.Clone(b.Public), bytes.Clone(b.Point), bytes.Clone(b.Share)
	}})
}

// accuseDealer ends the try when a second region accuses the same one: of two, one is
// honest. What is accused is there to be seen only once dealings are. One word against who
// imported a key is enough: without that region there would be no key either.
func (t *task) accuseDealer(b *command.AccuseDealer) (deed, error) {
	k, err := t.trying(b.Ceremony)
	if err != nil {
		return nil, err
	}
	c, r, importer := k.Ceremony, t.region.ID, k.Import != nil && b.Against == 0
	part := func(r identity.RegionID) bool { return slices.Contains(c.Dealers, r) || slices.Contains(c.Holders, r) }
	if err := command.CheckText("note", b.Note, command.MaxNote); err != nil {
		return nil, err
	}
	switch {
	case !part(r) || !part(b.Against) && !importer || r == b.Against:
		return nil, errs.New(errs.Denied, "region %d cannot accuse region %d in the ceremony of key %s", r, b.Against, k.ID)
	case c.Step < StepDeal:
		return nil, errs.New(errs.BadState, "the ceremony of key %s is at step %s: there is nothing to accuse of yet", k.ID, c.Step)
	}
	if p := c.Part(r); p != nil {
		if a := p.accusation(b.Against); a != nil && (!bytes.Equal(a.Complaint, b.Complaint) || a.Note != b.Note) {
			return nil, errs.New(errs.Replayed, "region %d accused region %d of something else in try %d of key %s before", r, b.Against, c.ID.Try, k.ID)
		} else if a != nil {
			return func(*Outcome) {}, nil
		}
	}
	return func(*Outcome) {
		n := k.ours()
		p := n.Ceremony.own(r)
		p.Accuses = append(slices.Clone(p.Accuses), Accusation{b.Against, bytes.Clone(b.Complaint), b.Note})
		if by := n.Ceremony.accusers(b.Against); len(by) > 1 || importer || !liar.Defends(liar.Accusers) {
			t.failTry(n, []Fault{{Try: c.ID.Try, Step: c.Step, Region: b.Against, By: by, Note: b.Note}})
			return
		}
		t.putKey(n)
	}, nil
}

func (p *Part) accusation(against identity.RegionID) *Accusation {
	for i := range p.Accuses {
		if p.Accuses[i].Against == against {
			return &p.Accuses[i]
		}
	}
	return nil
}

func (c *Ceremony) accusers(against identity.RegionID) (ids []identity.RegionID) {
	for i := range c.Parts {
		if c.Parts[i].accusation(against) != nil {
			ids = append(ids, c.Parts[i].Region)
		}
	}
	return ids
}
