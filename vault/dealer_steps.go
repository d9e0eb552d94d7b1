package vault

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// owed returns the message this region owes the try now, nil if none: first what it has to
// say against others, then its part of the step.
func (d *dealer) owed(ctx context.Context, view fsm.View, key *fsm.Key, t *trying) (command.Body, error) {
	if !t.concerned(key.Ceremony) {
		return nil, nil
	}
	if err := d.attend(ctx, key, t); err != nil {
		return nil, err
	}
	if err := t.hear(key.Ceremony); err != nil {
		return nil, err
	}
	t.judge(key.Ceremony)
	if body := t.accusation(key.Ceremony); body != nil || len(t.faults) > 0 {
		return body, nil // nothing comes of this try
	}
	if !t.owes(key.Ceremony) {
		return nil, nil
	}
	if t.made != nil && t.step == key.Ceremony.Step {
		return t.made, nil
	}
	body, err := d.say(ctx, view, key, t)
	if err != nil {
		return nil, err
	}
	if len(t.faults) > 0 {
		return t.accusation(key.Ceremony), nil
	}
	t.made, t.step = body, key.Ceremony.Step
	return body, nil
}

// say makes the message of the step.
func (d *dealer) say(ctx context.Context, view fsm.View, key *fsm.Key, t *trying) (command.Body, error) {
	switch key.Ceremony.Step {
	case fsm.StepHash:
		return d.hash(view, key, t)
	case fsm.StepDeal:
		return t.reveal()
	case fsm.StepShares:
		return d.shares(view, key, t)
	case fsm.StepFinish:
		return d.finish(ctx, view, key, t)
	}
	return nil, nil
}

// owes reports whether the present step waits for this region.
func (t *trying) owes(c *fsm.Ceremony) bool {
	own := partOf(c, t.region)
	switch c.Step {
	case fsm.StepHash:
		return t.deals() && !own.Hashed
	case fsm.StepDeal:
		return t.deals() && len(own.Dealing) == 0
	case fsm.StepShares:
		return t.deals() && len(own.Sealed) == 0
	case fsm.StepFinish:
		return t.holds() && len(own.Public) == 0
	}
	return false
}

// concerned reports whether there is anything for this region to do or to look at: what it
// owes, dealings it has not seen, complaints of others.
func (t *trying) concerned(c *fsm.Ceremony) bool {
	if t.owes(c) || c.Step >= fsm.StepShares && len(t.dealings) < len(t.terms.Dealers) {
		return true
	}
	return slices.ContainsFunc(c.Parts, func(p fsm.Part) bool { return p.Region != t.region && len(p.Accuses) > 0 })
}

// attend joins the ceremony, or joins it again: from the committed seed where there is one,
// and never with another dealing than the log holds the hash of.
func (d *dealer) attend(ctx context.Context, key *fsm.Key, t *trying) error {
	if t.ceremony != nil && t.agrees(key.Ceremony) {
		return nil
	}
	t.wipe() // a seed of another boot was committed first
	seed, err := d.seed(ctx, key, t)
	if err != nil {
		return err
	}
	defer clear(seed)
	var old *frost.Share
	if t.deals() && key.Sharing != nil {
		if old, err = d.old(ctx, key); err != nil {
			return err
		}
		defer old.Wipe()
	}
	if err := t.join(seed, old); err != nil {
		return err
	}
	if !t.agrees(key.Ceremony) {
		t.wipe()
		return errs.New(errs.Corrupt, "key %s: the sealed seed of region %d does not give the dealing it committed to", key.ID, t.region).
			WithHint("the try fails at its deadline and the next one begins with a new seed; look for another process of this region")
	}
	return nil
}

// seed is the committed one, opened; before there is one, fresh.
func (d *dealer) seed(ctx context.Context, key *fsm.Key, t *trying) ([]byte, error) {
	if !t.deals() {
		return nil, nil
	}
	own := partOf(key.Ceremony, t.region)
	if own.Hashed {
		wrap, err := d.wraps.open(ctx, seedWrap(key, t.region))
		if err != nil {
			return nil, err
		}
		seed, err := wrap.Open(own.Seed, seedInfo(t.cluster, t.id, t.region))
		if err != nil {
			return nil, errs.Wrap(errs.Corrupt, err, "key %s: own seed of try %d", key.ID, t.id.Try)
		}
		return seed, nil
	}
	seed := make([]byte, seedSize)
	if _, err := io.ReadFull(d.cfg.Random, seed); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "drawing the seed of a dealing")
	}
	t.fresh = bytes.Clone(seed)
	return seed, nil
}

func (d *dealer) hash(view fsm.View, key *fsm.Key, t *trying) (command.Body, error) {
	hash, _ := t.ceremony.Hash()
	public, err := wrapPublic(view, seedWrap(key, t.region), t.region)
	if err != nil {
		return nil, err
	}
	box, err := sealTo(public, seedInfo(t.cluster, t.id, t.region), t.fresh)
	if err != nil {
		return nil, err
	}
	clear(t.fresh)
	return &command.HashDealing{Ceremony: t.id, Hash: hash, Seed: box}, nil
}

func (t *trying) reveal() (command.Body, error) {
	dealing, err := t.ceremony.Reveal()
	if err != nil {
		return nil, err
	}
	return &command.Deal{Ceremony: t.id, Dealing: dealing.Encode()}, nil
}

// shares seals the value dealt to each holder, this region too if it is one.
func (d *dealer) shares(view fsm.View, key *fsm.Key, t *trying) (command.Body, error) {
	body := &command.DealShares{Ceremony: t.id}
	for _, holder := range key.Ceremony.Holders {
		public, err := wrapPublic(view, key.Ceremony.Wrap, holder)
		if err != nil {
			return nil, err
		}
		dealt, err := t.ceremony.Dealt(uint8(holder))
		if err != nil {
			return nil, err
		}
		plain := dealt.Encode()
		dealt.Wipe()
		box, err := sealTo(public, dealtInfo(t.cluster, t.id, t.region, holder), plain)
		clear(plain)
		if err != nil {
			return nil, err
		}
		body.Sealed = append(body.Sealed, box)
	}
	return body, nil
}

// finish opens what was dealt to this region and, if all of it is right, seals the share
// that comes out to the region's own wrapping key.
func (d *dealer) finish(ctx context.Context, view fsm.View, key *fsm.Key, t *trying) (command.Body, error) {
	if err := d.collect(ctx, view, key, t); err != nil || len(t.faults) > 0 {
		return nil, err
	}
	result, err := t.ceremony.Finish()
	if err != nil {
		return nil, err
	}
	defer result.Share.Wipe()
	point, chain := result.Key.Compressed(), frost.ChainCode(result.Transcript)
	if key.Sharing != nil {
		chain = key.Chain
		if !bytes.Equal(point, key.Point) {
			return nil, errs.New(errs.Internal, "key %s: the new sharing is of another key", key.ID)
		}
	}
	public, err := wrapPublic(view, key.Ceremony.Wrap, t.region)
	if err != nil {
		return nil, err
	}
	plain := result.Share.Encode()
	defer clear(plain)
	box, err := sealTo(public, shareInfo(t.cluster, key.ID, t.id.Epoch, t.region), plain)
	if err != nil {
		return nil, err
	}
	return &command.FinishShare{Ceremony: t.id, Transcript: result.Transcript, Public: result.Key.Encode(),
		Point: point, Chain: chain, Share: box}, nil
}

// collect opens the boxes of all dealers. An error is this region's own trouble; what a
// dealer did wrong becomes a fault.
func (d *dealer) collect(ctx context.Context, view fsm.View, key *fsm.Key, t *trying) error {
	wrap, err := d.wraps.open(ctx, key.Ceremony.Wrap)
	if err != nil {
		return err
	}
	at := slices.Index(key.Ceremony.Holders, t.region)
	for _, dealer := range key.Ceremony.Dealers {
		if dealer == t.region {
			continue // its own comes from its own coefficients
		}
		p := partOf(key.Ceremony, dealer)
		if at >= len(p.Sealed) {
			t.note(fault{against: dealer, note: "it sealed nothing to this region"})
			continue
		}
		plain, err := wrap.Open(p.Sealed[at], dealtInfo(t.cluster, t.id, dealer, t.region))
		if err != nil {
			if err := d.opens(view, key, wrap, t); err != nil {
				return err
			}
			t.note(fault{against: dealer, note: "what it sealed to this region does not open"})
			continue
		}
		err = t.take(dealer, plain)
		clear(plain)
		if err != nil {
			return err
		}
	}
	return nil
}

// opens makes sure that this region's own wrapping key works before it says of another's
// box that it does not open.
func (d *dealer) opens(view fsm.View, key *fsm.Key, wrap wrapKey, t *trying) error {
	public, err := wrapPublic(view, key.Ceremony.Wrap, t.region)
	if err != nil {
		return err
	}
	info := dealtInfo(t.cluster, t.id, t.region, t.region)
	box, err := sealTo(public, info, make([]byte, seedSize))
	if err != nil {
		return err
	}
	if _, err = wrap.Open(box, info); err != nil {
		return errs.Wrap(errs.Corrupt, err, "own wrapping key of epoch %d", key.Ceremony.Wrap)
	}
	return nil
}

// take reads one dealt value. Where its dealer signed a wrong one, the fault carries the
// evidence.
func (t *trying) take(from identity.RegionID, plain []byte) error {
	dealt, err := frost.DecodeDealt(uint8(from), plain)
	if err != nil {
		return t.blame(err, nil)
	}
	if err = t.ceremony.AddDealt(uint8(from), dealt); err == nil {
		return nil
	}
	var evidence []byte
	if complaint, none := t.ceremony.Complain(dealt); none == nil {
		evidence = complaint.Encode()
	}
	dealt.Wipe()
	return t.blame(err, evidence)
}

// wrapPublic returns what is sealed to region under a wrapping epoch.
func wrapPublic(view fsm.View, epoch uint32, region identity.RegionID) ([]byte, error) {
	if e, ok := view.Wrap(epoch); ok && e.Key(region) != nil {
		return e.Key(region).Public, nil
	}
	return nil, errs.New(errs.NotFound, "region %d has offered no wrapping key of epoch %d", region, epoch)
}
