//go:build liar

package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault"
)

// How a region lies when a threshold key is made or refreshed, and about its nonces: its
// own messages are right until they leave the room.

var sharingLies = map[string]bool{"other-dealing": true, "wrong-value": true, "finish-withheld": true, "two-finishes": true,
	"nonces-twice": true, "lone-accusation": true, "soft-wrap": true, "import-accused": true, "import-other-key": true, "refresh-other-key": true, "beacon-wrong-value": true, "wrap-kept": true}

// falseSharing proposes in place of an honest message what the lie makes of it.
func (n *Node) falseSharing(ctx context.Context, told liar.Lie, p vault.Proposer, c *command.Command) (fsm.Outcome, error) {
	body, err := c.Body()
	if err != nil {
		return fsm.Outcome{}, err
	}
	changed := true
	switch b := body.(type) {
	case *command.Deal:
		if changed = told.Name == "other-dealing"; changed {
			b.Dealing[len(b.Dealing)-1] ^= 1
		}
	case *command.DealShares:
		if changed = told.Name == "wrong-value" || told.Name == "beacon-wrong-value"; changed {
			n.spoil(told, b)
		}
	case *command.FinishShare:
		switch told.Name {
		case "finish-withheld":
			liar.Did(told.Name)
			return fsm.Outcome{}, errs.New(errs.Unavailable, "kept back")
		case "two-finishes":
			b.Public = bytes.Clone(b.Public)
			b.Public[len(b.Public)-5] ^= 1
		case "lone-accusation":
			n.accuse(ctx, told, p, b.Ceremony)
			return p.Propose(ctx, c)
		case "import-accused":
			body = &command.AccuseDealer{Ceremony: b.Ceremony, Note: "what it sealed to this region does not open"}
		case "import-other-key", "refresh-other-key":
			return n.finishOther(ctx, told, p, b)
		default:
			changed = false
		}
	case *command.DropWrap:
		if told.Name == "wrap-kept" {
			liar.Did(told.Name)
			return fsm.Outcome{}, errs.New(errs.Unavailable, "kept back")
		}
		changed = false
	case *command.OfferNonces:
		if changed = told.Name == "nonces-twice"; changed {
			return n.offerTwice(ctx, told, p, b)
		}
	case *command.OfferWrap:
		if changed = told.Name == "soft-wrap"; changed {
			b.Attributes = []byte("it lies on a disk")
			b.Identity, err = n.hsm.Identity().Sign(ctx, command.WrapBytes(n.genesis.Document.Cluster, n.region(), b.Epoch, b.Public, b.Sealed, b.Attributes))
		}
	default:
		changed = false
	}
	if !changed || err != nil {
		return p.Propose(ctx, c)
	}
	liar.Did(told.Name)
	other, err := n.command(ctx, body)
	if err != nil {
		return fsm.Outcome{}, err
	}
	return p.Propose(ctx, other)
}

// spoil makes the box for the victim one that does not open.
func (n *Node) spoil(told liar.Lie, b *command.DealShares) {
	key, ok := n.fsm.View().Key(b.Ceremony.Key)
	if b.Ceremony.Key == command.BeaconKey {
		key, ok = n.fsm.View().BeaconKey(), true
	}
	if !ok || key.Ceremony == nil {
		return
	}
	for i, r := range key.Ceremony.Holders {
		if r == told.Victim && i < len(b.Sealed) {
			_, _ = rand.Read(b.Sealed[i])
		}
	}
}

// offerTwice offers fresh commitments, and then the same again, of which the region holds
// the nonces no more once they are used.
func (n *Node) offerTwice(ctx context.Context, told liar.Lie, p vault.Proposer, b *command.OfferNonces) (fsm.Outcome, error) {
	var out fsm.Outcome
	for range 2 {
		c, err := n.command(ctx, b)
		if err != nil {
			return out, err
		}
		if out, err = p.Propose(ctx, c); err != nil {
			return out, err
		}
		liar.Did(told.Name)
	}
	return out, nil
}

// accuse says of the victim's dealing that it is wrong, while the liar's own part is right.
func (n *Node) accuse(ctx context.Context, told liar.Lie, p vault.Proposer, id command.CeremonyID) {
	c, err := n.command(ctx, &command.AccuseDealer{Ceremony: id, Against: told.Victim, Note: "I do not like it"})
	if err != nil {
		return
	}
	if o, err := p.Propose(ctx, c); err == nil && o.Code == errs.OK {
		liar.Did(told.Name)
	}
}

// finishOther finishes with a public key whose private key the liar has: it is 1.
func (n *Node) finishOther(ctx context.Context, told liar.Lie, p vault.Proposer, b *command.FinishShare) (fsm.Outcome, error) {
	b.Point, _ = hex.DecodeString("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	c, err := n.command(ctx, b)
	if err != nil {
		return fsm.Outcome{}, err
	}
	liar.Did(told.Name)
	o, err := p.Propose(ctx, c)
	if err == nil && o.Code == errs.Unverified {
		liar.Did(told.Name + ": refused")
	}
	return o, err
}
