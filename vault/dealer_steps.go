package vault

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// owed returns the message this region owes the try now, nil if none: first what it has to
// say against others, then its part of the step.
func (d *dealer) owed(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	if key.Import != nil {
		return d.owedImport(ctx, key, t)
	}
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
	body, err := d.say(ctx, key, t)
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
func (d *dealer) say(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	switch key.Ceremony.Step {
	case fsm.StepHash:
		return d.hash(ctx, key, t)
	case fsm.StepDeal:
		return t.reveal()
	case fsm.StepShares:
		return d.shares(ctx, key, t)
	case fsm.StepFinish:
		return d.finish(ctx, key, t)
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
		if old, _, err = d.held.get(ctx, key, key.Sharing.Epoch); err != nil {
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
		seed, err := d.wraps.open(ctx, seedWrap(key, t.region), own.Seed, seedInfo(t.cluster, t.id, t.region))
		if err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "key %s: own seed of try %d", key.ID, t.id.Try)
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

func (d *dealer) hash(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	hash, _ := t.ceremony.Hash()
	box, err := d.wraps.sealOwn(ctx, seedWrap(key, t.region), seedInfo(t.cluster, t.id, t.region), t.fresh)
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

// unfit are the codes of wraps.seal when it is the other region's key that is wrong: no key
// at all, one that nothing can be sealed to, one that can leave its HSM.
var unfit = []errs.Code{errs.Malformed, errs.Invalid, errs.Unverified}

// shares seals the value dealt to each holder, this region too if it is one. One whose
// wrapping key is unfit, which everybody sees, ends the try.
func (d *dealer) shares(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	body := &command.DealShares{Ceremony: t.id}
	for _, holder := range key.Ceremony.Holders {
		dealt, err := t.ceremony.Dealt(uint8(holder))
		if err != nil {
			return nil, err
		}
		plain := dealt.Encode()
		dealt.Wipe()
		sealed, err := d.sealDealt(ctx, key.Ceremony.Wrap, holder, dealtInfo(t.cluster, t.id, t.region, holder), plain)
		clear(plain)
		switch {
		case holder != t.region && slices.Contains(unfit, errs.CodeOf(err)):
			t.note(fault{against: holder, note: "its wrapping key is not one to seal shares to"})
		case err != nil:
			return nil, err
		}
		body.Sealed = append(body.Sealed, sealed)
	}
	return body, nil
}

func (d *dealer) sealDealt(ctx context.Context, epoch uint32, to identity.RegionID, info, plain []byte) ([]byte, error) {
	if to == d.cfg.Region {
		return d.wraps.sealOwn(ctx, epoch, info, plain)
	}
	return d.wraps.seal(epoch, to, info, plain)
}

// finish opens what was dealt to this region and, if all of it is right, seals the share
// that comes out to the region's own wrapping key.
func (d *dealer) finish(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	if err := d.collect(ctx, key, t); err != nil || len(t.faults) > 0 {
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
	plain := result.Share.Encode()
	defer clear(plain)
	box, err := d.wraps.sealOwn(ctx, key.Ceremony.Wrap, shareInfo(t.cluster, key.ID, t.id.Epoch, t.region), plain)
	if err != nil {
		return nil, err
	}
	return &command.FinishShare{Ceremony: t.id, Transcript: result.Transcript, Public: result.Key.Encode(),
		Point: point, Chain: chain, Share: box}, nil
}

// collect opens the boxes of all dealers. An error is this region's own trouble; what a
// dealer did wrong becomes a fault.
func (d *dealer) collect(ctx context.Context, key *fsm.Key, t *trying) error {
	// A key that is not the one announced is an error too.
	return d.wraps.use(ctx, key.Ceremony.Wrap, func(wrap *box.Key) error {
		for _, dealer := range key.Ceremony.Dealers {
			if dealer == t.region {
				continue // its own comes from its own coefficients
			}
			if err := t.unbox(wrap, key.Ceremony, dealer); err != nil {
				return err
			}
		}
		return nil
	})
}

// unbox opens what a dealer sealed to this region.
func (t *trying) unbox(wrap *box.Key, c *fsm.Ceremony, dealer identity.RegionID) error {
	p, at := partOf(c, dealer), slices.Index(c.Holders, t.region)
	if at >= len(p.Sealed) {
		t.note(fault{against: dealer, note: "it sealed nothing to this region"})
		return nil
	}
	plain, err := wrap.Open(p.Sealed[at], dealtInfo(t.cluster, t.id, dealer, t.region))
	if err != nil {
		t.note(fault{against: dealer, note: "what it sealed to this region does not open"})
		return nil
	}
	defer clear(plain)
	return t.take(dealer, plain)
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
