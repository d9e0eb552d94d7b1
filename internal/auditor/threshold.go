package auditor

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Threshold keys: the mathematics that the state machine takes on the regions' word. The
// public key of a sharing is what its holders filed, the nonces stand in the effect that
// opened the attempt, the parts in the answers; so each signature is added up again here.

// sharings are the public keys of a key's newest sharings, by epoch.
type sharings map[uint32]*frost.PublicKey

// nonceSlot is where nonces are counted: a region on a curve.
type nonceSlot struct {
	region identity.RegionID
	curve  command.Curve
}

// nonceMark is the newest nonce that an attempt was given: the highest boot, and serial in it.
type nonceMark struct {
	boot   uint64
	serial uint32
}

// partsOf are the parts of one attempt's signatures.
type partsOf struct {
	epoch  uint32
	nonces [][]byte           // by place among the eligible
	keys   []*frost.PublicKey // that sign, one a message; nil before they are derived
	named  [][]*frost.Commitment
	given  map[identity.RegionID][]*frost.SignatureShare
}

// finished enters a sharing that went live, and checks its public side.
func (v *verifier) finished(l *audit.Leaf, b *command.FinishShare) {
	key, ok := v.machine.View().Key(b.Ceremony.Key)
	if !ok {
		return // found elsewhere
	}
	s := key.SharingOf(b.Ceremony.Epoch)
	if s == nil || !bytes.Equal(s.Public, b.Public) || s.Transcript != b.Transcript {
		return // not live yet, or never
	}
	public, err := frost.DecodePublicKey(b.Public)
	if err == nil {
		err = fits(key, s, public, b, v.holdersOf(l, s, public.Holders()))
	}
	if err == nil && key.Outside && s.Epoch == 1 {
		err = isSplit(v.books.splits[key.ID], public)
	}
	if err != nil {
		v.report.found(l.Seq, KindKey, "key %s, epoch %d: %v", key.ID, b.Ceremony.Epoch, err)
		return
	}
	if key.Scheme == command.SchemeBeacon {
		v.reshared(l, s, public)
		return
	}
	if v.books.sharings[key.ID] == nil {
		v.books.sharings[key.ID] = sharings{}
	}
	v.books.sharings[key.ID][public.Epoch()] = public
	delete(v.books.sharings[key.ID], public.Epoch()-sharingsMax)
}

// fits holds the public side of a sharing against the key it is called a sharing of.
func fits(key *fsm.Key, s *fsm.Sharing, public *frost.PublicKey, b *command.FinishShare, holders []uint8) error {
	switch {
	case public.Suite() != suiteOf(key.Curve) || public.Epoch() != s.Epoch || public.Threshold() != int(key.Signers):
		return errs.New(errs.Unverified, "its public key is on %v, of epoch %d, for %d signers", public.Suite(), public.Epoch(), public.Threshold())
	case !bytes.Equal(public.Compressed(), key.Point):
		return errs.New(errs.Unverified, "the shares are of key %x, not of %x", public.Compressed(), key.Point)
	case !slices.Equal(public.Holders(), holders):
		return errs.New(errs.Unverified, "its public key has holders %v, shares were sealed to %v", public.Holders(), holders)
	case s.Epoch == 1 && !key.Outside && key.Scheme == command.SchemeThreshold && frost.ChainCode(b.Transcript) != b.Chain:
		return errs.New(errs.Unverified, "its chain code is not that of the ceremony")
	}
	return nil
}

// isSplit holds the first sharing of a key from outside against what was dealt of it.
func isSplit(raw []byte, public *frost.PublicKey) error {
	split, err := frost.DecodeSplit(raw)
	if err != nil {
		return err
	}
	dealt, err := split.Key(public.Holders())
	if err == nil && !bytes.Equal(dealt.Encode(), public.Encode()) {
		err = errs.New(errs.Unverified, "the holders finished another sharing than was dealt to them")
	}
	return err
}

func suiteOf(c command.Curve) *frost.Suite {
	switch c {
	case command.Ed25519:
		return frost.Ed25519
	case command.Ristretto255:
		return frost.Ristretto255
	}
	return frost.BIP340
}

// given checks the nonces an attempt was given: each of the eligible regions gave one a
// message, and none is older than one given before: so none is given twice.
func (v *verifier) given(l *audit.Leaf, o *audit.OpenedAttempt, key *fsm.Key, q *request) {
	public := v.books.sharings[o.Key][o.Epoch]
	if public == nil {
		v.report.found(l.Seq, KindDraw, "request %s is opened under sharing %d of key %s, which is not known to be good", o.Request, o.Epoch, o.Key)
		return
	}
	size := fsm.CommitmentLen(key.Curve)
	if len(o.Nonces) != len(o.Eligible) || q == nil {
		v.report.found(l.Seq, KindDraw, "request %s: %d regions gave nonces, %d are eligible", o.Request, len(o.Nonces), len(o.Eligible))
		return
	}
	for i, r := range o.Eligible {
		if !slices.Contains(public.Holders(), uint8(r)) || v.lost(l, key, o.Epoch, r) || i > 0 && o.Eligible[i-1] >= r {
			v.report.found(l.Seq, KindDraw, "request %s: region %d cannot be drawn, it does not hold the key", o.Request, r)
		}
		if len(o.Nonces[i]) != size*len(q.messages) {
			v.report.found(l.Seq, KindDraw, "request %s: region %d gave %d bytes of nonces for %d messages", o.Request, r, len(o.Nonces[i]), len(q.messages))
			continue
		}
		for c := range slices.Chunk(o.Nonces[i], size) {
			v.fresh(l, o.Request, nonceSlot{r, key.Curve}, c)
		}
	}
}

// fresh counts one nonce. Of a commitment it reads boot and serial, as the state machine does.
func (v *verifier) fresh(l *audit.Leaf, request command.RequestID, at nonceSlot, c []byte) {
	last, now := v.books.nonces[at], nonceMark{binary.BigEndian.Uint64(c[3:]), binary.BigEndian.Uint32(c[11:])}
	if now.boot < last.boot || now.boot == last.boot && now.serial <= last.serial {
		v.report.found(l.Seq, KindDraw, "request %s: nonce %d of boot %d of region %d was given before, or is older than one that was: the last is %d of boot %d", request, now.serial, now.boot, at.region, last.serial, last.boot)
		return // the mark never goes back, or all that follow an old one would pass
	}
	v.books.nonces[at] = now
}

// spendsOf returns what a threshold key is asked to sign.
func (q *request) spendsOf(b *command.RequestSignature, key *fsm.Key) {
	q.info = key.Info()
	q.spends, q.unfit = intent.Spends(b.Kind, b.Hash, b.Payload, b.Path, q.info)
	for i := range q.spends {
		q.messages = append(q.messages, q.spends[i].Message)
	}
}

// parts checks one region's parts, one a message: under the nonces the attempt names, by
// the share its sharing gives that region, for the key derived as the request says.
func (v *verifier) parts(l *audit.Leaf, region identity.RegionID, q *request, t *attempt, encoded [][]byte) bool {
	if err := v.prepare(q, t); err != nil {
		v.report.found(l.Seq, KindReleased, "request %s: %v", q.id, err)
		return false
	}
	shares := make([]*frost.SignatureShare, len(encoded))
	for i, b := range encoded {
		var err error
		if shares[i], err = frost.DecodeSignatureShare(uint8(region), b); err == nil {
			err = t.parts.keys[i].CheckShare(q.messages[i], t.parts.named[i], shares[i])
		}
		if err != nil {
			v.report.found(l.Seq, KindReleased, "part %d of region %d for request %s: %v", i, region, q.id, err)
			return false
		}
	}
	t.parts.given[region] = shares
	return true
}

// prepare derives the keys that sign and reads the nonces of the regions drawn, once.
func (v *verifier) prepare(q *request, t *attempt) error {
	if t.parts.keys != nil {
		return nil
	}
	public := v.books.sharings[q.key][t.parts.epoch]
	if public == nil {
		return errs.New(errs.NotFound, "sharing %d of key %s is not known to be good", t.parts.epoch, q.key)
	}
	var keys []*frost.PublicKey
	t.parts.named = nil
	for i := range q.spends {
		s := &q.spends[i]
		k, _, err := public.Derive(q.info.Chain, s.Path...)
		if err == nil && s.Taproot {
			k, err = k.Taproot(s.Root)
		}
		if err != nil {
			return err
		}
		named, err := t.commitments(i, fsm.CommitmentLen(q.info.Curve))
		if err != nil {
			return err
		}
		keys, t.parts.named = append(keys, k), append(t.parts.named, named)
	}
	t.parts.keys, t.parts.given = keys, map[identity.RegionID][]*frost.SignatureShare{}
	return nil
}

// commitments reads the nonces of the regions drawn for message i.
func (t *attempt) commitments(i, size int) (out []*frost.Commitment, err error) {
	for _, r := range t.order {
		at := slices.Index(t.eligible, r)
		if at < 0 || at >= len(t.parts.nonces) || len(t.parts.nonces[at]) < (i+1)*size {
			return nil, errs.New(errs.NotFound, "no nonce of region %d for message %d", r, i)
		}
		c, err := frost.DecodeCommitment(uint8(r), t.parts.nonces[at][i*size:(i+1)*size])
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// settle keeps of an attempt what an answer that comes late needs.
func (t *attempt) settle() {
	t.parts.keys, t.parts.named, t.parts.given = nil, nil, nil
	for i := range t.parts.nonces {
		if t.order != nil && !slices.Contains(t.order, t.eligible[i]) {
			t.parts.nonces[i] = nil
		}
	}
}

// summed adds the parts of a complete request up and has each signature judged as anybody
// would, under the derived key, by code that knows nothing of parts.
func (v *verifier) summed(l *audit.Leaf, q *request, t *attempt) {
	for i := range q.spends {
		var shares []*frost.SignatureShare
		for _, r := range t.order {
			shares = append(shares, t.parts.given[r][i])
		}
		sig, err := t.parts.keys[i].Aggregate(q.messages[i], t.parts.named[i], shares)
		if err == nil && !q.spends[i].Verify(q.info, sig) {
			err = errs.New(errs.Unverified, "it does not verify under the key at path %s", command.PathText(q.spends[i].Path))
		}
		if err != nil {
			v.report.found(l.Seq, KindReleased, "signature %d of request %s: %v", i, q.id, err)
			continue
		}
		v.report.Summed++
	}
}
