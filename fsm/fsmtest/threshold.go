package fsmtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Threshold keys with fake bytes of the right shape: what the state machine sees of them
// is order, authors and sizes.

// fake returns n bytes that depend on what and where.
func fake(n int, what string, where ...any) []byte {
	h := sha256.Sum256(fmt.Append([]byte(what), where...))
	return bytes.Repeat(h[:], n/32+1)[:n]
}

// OfferWrap returns a region's wrapping key of an epoch.
func (l *Log) OfferWrap(r *Region, epoch uint32) *command.Command {
	b := &command.OfferWrap{Epoch: epoch, Public: fake(64, "wrap", epoch, r.ID), Sealed: fake(32, "seed", epoch, r.ID), Attributes: []byte("attributes")}
	sig, err := r.Identity.Sign(context.Background(), command.WrapBytes(l.Cluster(), r.ID, epoch, b.Public, b.Sealed, b.Attributes))
	must(err)
	b.Identity = sig
	return l.By(r.Session, b)
}

// Said returns what a region says at the present step of a key's ceremony, nil if nothing
// is running.
func (l *Log) Said(r *Region, key command.KeyID) command.Body {
	k, ok := l.Machine.View().Key(key)
	if !ok || !k.Ceremony.Running() {
		return nil
	}
	c := k.Ceremony
	switch c.Step {
	case fsm.StepHash:
		return &command.HashDealing{Ceremony: c.ID, Hash: [32]byte(fake(32, "hash", c.ID, r.ID)), Seed: fake(48, "sealed seed", c.ID, r.ID)}
	case fsm.StepDeal:
		return &command.Deal{Ceremony: c.ID, Dealing: fake(132, "dealing", c.ID, r.ID)}
	case fsm.StepShares:
		b := &command.DealShares{Ceremony: c.ID}
		for _, h := range c.Holders {
			b.Sealed = append(b.Sealed, fake(60, "dealt", c.ID, r.ID, h))
		}
		return b
	case fsm.StepFinish:
		return l.Finish(r, k)
	}
	return nil
}

// Finish returns a holder's word that it finished; the key and its chain code follow from
// the key's id.
func (l *Log) Finish(r *Region, k *fsm.Key) *command.FinishShare {
	id := k.Ceremony.ID
	f := &command.FinishShare{Ceremony: id, Transcript: [32]byte(fake(32, "transcript", id)), Public: fake(140, "public", id),
		Share: fake(80, "share", id, r.ID)}
	switch {
	case k.Import != nil:
		f.Point, f.Chain = k.Import.Point, k.Import.Chain
	case k.Sharing != nil || k.Scheme == command.SchemeBeacon:
		f.Point, f.Chain = k.Point, k.Chain
	default:
		f.Point, f.Chain = Point(k.Curve, k.ID), [32]byte(fake(32, "chain", k.ID))
	}
	return f
}

// Import returns an import of a key for all four regions, dealt under the newest epoch, of
// which every region has to have offered its key. Its point is Point of no key's id.
func (l *Log) Import(tenant, name string, curve command.Curve, signers uint8) *command.ImportKey {
	wraps := l.Machine.View().Wraps()
	b := &command.ImportKey{Name: name, Tenant: tenant, Curve: curve, Signers: signers, Wrap: wraps[len(wraps)-1].Epoch,
		Point: Point(curve, command.KeyID{}), Chain: [32]byte(fake(32, "chain", name)), Split: fake(67, "split", name)}
	for _, r := range l.Regions {
		b.Regions = append(b.Regions, r.ID)
		b.Boxes = append(b.Boxes, fake(80, "imported share", name, r.ID))
	}
	return b
}

// Point returns the public key of a threshold key of this kit: a real one, since what is
// asked of its children is derived from it.
func Point(curve command.Curve, key command.KeyID) []byte {
	secret := fake(32, "secret", key)
	if curve == command.Ed25519 {
		return ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	}
	_, public := btcec.PrivKeyFromBytes(secret)
	return public.SerializeCompressed()
}

// Hold runs a key's ceremony to its end.
func (l *Log) Hold(key command.KeyID) {
	k, _ := l.Machine.View().Key(key)
	for _, r := range l.Regions {
		if e, _ := l.Machine.View().Wrap(k.Ceremony.Wrap); e.Key(r.ID) == nil {
			l.Must(l.OfferWrap(r, k.Ceremony.Wrap))
		}
	}
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		k, _ = l.Machine.View().Key(key)
		who := k.Ceremony.Dealers
		if step == fsm.StepFinish {
			who = k.Ceremony.Holders
		}
		for _, r := range who {
			l.Must(l.By(l.Region(r).Session, l.Said(l.Region(r), key)))
		}
	}
}

// ThresholdKey creates a threshold key over all four regions and brings it to active.
func (l *Log) ThresholdKey(tenant, name string, curve command.Curve, signers uint8) command.KeyID {
	id := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: name, Tenant: tenant, Scheme: command.SchemeThreshold, Curve: curve, Signers: signers})).Key
	l.Hold(id)
	return id
}

// Commitments returns n nonce commitments of a region from a serial on; the boot is the
// present session's, higher than every boot of which the region's pool knows.
func (l *Log) Commitments(r *Region, curve command.Curve, serial uint32, n int) []byte {
	suite := byte(2)
	if curve == command.Ed25519 {
		suite = 1
	}
	boot := binary.BigEndian.Uint64(r.Session.Cert.Boot[:])
	if p, ok := l.Machine.View().NoncePool(r.ID, curve); ok && p.Offered > 0 {
		boot = p.Boot
	} else if ok {
		boot = max(boot, p.Boot+1)
	}
	var out []byte
	for range n {
		c := []byte{1, suite, byte(r.ID)}
		c = binary.BigEndian.AppendUint64(c, boot)
		c = binary.BigEndian.AppendUint32(c, serial)
		out = append(out, append(c, fake(fsm.CommitmentLen(curve)-len(c), "points", r.ID, serial)...)...)
		serial++
	}
	return out
}

// OfferNonces returns a region's next n commitments.
func (l *Log) OfferNonces(r *Region, curve command.Curve, n int) *command.Command {
	serial := uint32(1)
	if p, ok := l.Machine.View().NoncePool(r.ID, curve); ok && p.Offered > 0 {
		serial = p.Serial + 1
	}
	return l.By(r.Session, &command.OfferNonces{Curve: curve, Commitments: l.Commitments(r, curve, serial, n)})
}

// FillPools gives every region n nonces more.
func (l *Log) FillPools(curve command.Curve, n int) {
	for _, r := range l.Regions {
		l.Must(l.OfferNonces(r, curve, n))
	}
}

// ReadyThreshold is Ready with an active Ed25519 2-of-4 threshold key and filled pools.
func (k *Kit) ReadyThreshold(o fsm.Options) (l *Log, signer *identity.KeySigner, key command.KeyID) {
	l, signer, _ = k.Ready(o)
	key = l.ThresholdKey("acme", "cold", command.Ed25519, 2)
	l.FillPools(command.Ed25519, 8)
	return l, signer, key
}

// Message returns a request for one message.
func Message(key command.KeyID, message string) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindMessage, Payload: []byte(message)}
}

// Shares returns the completion of threshold keys' requests opened at one index, as
// Completion does of others.
func (l *Log) Shares(leader *Region, value [32]byte, signers []identity.RegionID, ids ...command.RequestID) *command.Command {
	c, v := &command.Complete{}, l.Machine.View()
	for _, s := range signers {
		a := command.Answer{Region: s, Value: value, At: l.Now}
		for _, id := range ids {
			q, ok := v.Request(id)
			if !ok || q.Open() == nil {
				continue
			}
			a.Index = q.Open().Meta.Index
			a.Items = append(a.Items, l.shares(v, q, s, signers))
		}
		c.Index = a.Index
		c.Answers = append(c.Answers, l.Answer(a))
	}
	return l.By(leader.Session, c)
}

// shares is what one region answers to one request: a share of each signature.
func (l *Log) shares(v fsm.View, q *fsm.Request, by identity.RegionID, signers []identity.RegionID) command.AnswerItem {
	at, n := q.Open(), 71
	if k, _ := v.Key(q.Key); k.Curve == command.Secp256k1 {
		n = 72
	}
	item := command.AnswerItem{Request: q.ID, Attempt: at.Number, Signers: signers, Code: errs.OK}
	if len(at.Nonces) > 0 {
		for m := range at.Nonces[0].Commitments {
			item.Signatures = append(item.Signatures, fake(n, "share of a signature", q.ID, by, m))
		}
	}
	return item
}
