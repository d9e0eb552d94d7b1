package fsm

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

func (t *task) requestSignature(b *command.RequestSignature) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok || k.Tenant != t.principal.Tenant {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key) // another tenant's stays unseen
	}
	if !t.principal.signs(k.Tenant) {
		return nil, t.denied()
	}
	if err := t.signable(k, k.Frozen()); err != nil {
		return nil, err
	}
	if err := checkPayload(k, b); err != nil {
		return nil, err
	}
	messages, paths, err := messagesOf(k, b)
	if err != nil {
		return nil, err
	}
	if err := t.signable(k, k.Frozen(paths...)); err != nil {
		return nil, err
	}
	if t.command.Expiry.Sub(t.head.clock) > t.head.settings.RequestMaxAge {
		return nil, errs.New(errs.Invalid, "a request lives at most %s", t.head.settings.RequestMaxAge)
	}
	if t.open.count >= uint64(t.head.settings.MaxOpen) {
		return nil, errs.New(errs.Throttled, "%d requests are open, the most there may be", t.head.settings.MaxOpen)
	}
	eligible, dry := t.eligible(k, messages)
	if len(eligible) < int(k.Signers) {
		return nil, t.nobody(k, eligible, dry)
	}
	limit, charge, err := t.charge(k)
	if err != nil {
		return nil, err
	}
	q := &Request{ID: t.slot, Command: t.command.ID, Hash: t.hash, Author: t.author.id, Tenant: k.Tenant, Key: k.ID,
		KeyVersion: k.Version, Kind: b.Kind, HashAlg: b.Hash, Payload: bytes.Clone(b.Payload), Note: b.Note,
		Expiry: t.command.Expiry, State: RequestOpen, Opened: t.meta.Index, Leaf: t.head.frontier.Size(),
		Path: b.Path, Charge: charge}
	return func(o *Outcome) {
		o.Request = q.ID
		t.openAttempt(q, k, 1, eligible, messages)
		t.putLimit(k, limit)
		t.open.insert(q.ID, q)
		t.remember(q.ID, q.Expiry)
		t.kept = true
	}, nil
}

// messagesOf returns how many signatures a payload asks for, and by which children of a
// threshold key. One that no region would sign is refused here, before it costs a draw.
// What intent accepts is thereby part of the replicated decision: see its package comment.
func messagesOf(k *Key, b *command.RequestSignature) (int, [][]uint32, error) {
	if k.Scheme == command.SchemeThreshold {
		spends, err := intent.Spends(b.Kind, b.Hash, b.Payload, b.Path, k.Info())
		if n := len(spends); err == nil && (n == 0 || n > command.MaxMessages) {
			err = errs.New(errs.PayloadRejected, "the payload asks for %d signatures, want 1 to %d", n, command.MaxMessages)
		}
		return len(spends), intent.PathsOf(spends), err
	}
	messages, err := intent.Messages(b.Kind, b.Hash, b.Payload, k.Info())
	return len(messages), nil, err
}

// nobody says that too few regions can sign. Where only nonces are lacking, the same bytes
// may be sent again: pools fill by themselves, and the request cannot have been signed.
func (t *task) nobody(k *Key, eligible []identity.RegionID, dry int) error {
	if t.again = len(eligible)+dry >= int(k.Signers); t.again {
		return errs.New(errs.NoEligiblePair, "%d regions have nonces left for key %s, want %d: their pools are being refilled; send the same again", len(eligible), k.ID, k.Signers)
	}
	return errs.New(errs.NoEligiblePair, "%d regions can sign with key %s now, want %d", len(eligible), k.ID, k.Signers)
}

// signable reports why a key does not sign now; frozen is what its own freezes say.
func (w *work) signable(k *Key, frozen *errs.Error) error {
	switch {
	case k.Scheme == command.SchemeBeacon:
		return ordinary(k)
	case w.head.frozen != nil:
		return errs.New(errs.Frozen, "the vault is frozen")
	case frozen != nil:
		return frozen
	case k.State != KeyActive:
		return errs.New(errs.BadState, "key %s is %s", k.ID, k.State)
	}
	return nil
}

// checkPayload checks what needs no decoding.
func checkPayload(k *Key, b *command.RequestSignature) error {
	if err := command.CheckText("note", b.Note, command.MaxNote); err != nil {
		return err
	}
	hashed := b.Hash != command.HashNone
	threshold := k.Scheme == command.SchemeThreshold
	switch {
	case !b.Kind.Valid() || !b.Hash.Valid():
		return errs.New(errs.Invalid, "payload kind %d or hash %d is unknown", b.Kind, b.Hash)
	case len(b.Path) > 0 && !threshold:
		return errs.New(errs.Invalid, "key %s is a multisig key: it has no children", k.ID)
	case len(b.Payload) == 0 || len(b.Payload) > command.MaxPayload:
		return errs.New(errs.PayloadRejected, "payload of %d bytes, want 1 to %d", len(b.Payload), command.MaxPayload)
	case b.Kind == command.KindDigest && !k.AllowBlind:
		return errs.New(errs.BlindDenied, "key %s does not sign bare digests", k.ID)
	case b.Kind == command.KindDigest && (hashed || len(b.Payload) != 32):
		return errs.New(errs.PayloadRejected, "a digest is 32 bytes without a hash")
	case b.Kind == command.KindPSBT && (hashed || k.Curve != command.Secp256k1):
		return errs.New(errs.PayloadRejected, "a PSBT needs a secp256k1 key and no hash")
	case b.Kind == command.KindSolana && (hashed || !threshold || k.Curve != command.Ed25519):
		return errs.New(errs.PayloadRejected, "a Solana message needs a threshold key on ed25519 and no hash")
	case b.Kind == command.KindMessage && hashed == (k.Curve == command.Ed25519):
		return errs.New(errs.PayloadRejected, "a message to a %s key: ECDSA and BIP-340 need a hash, Ed25519 none", k.Curve)
	}
	return nil
}

// eligible returns the regions a draw for k is among at this index, and how many more were
// among them if they had nonces for so many messages. Health is that of before the entry:
// a change counts for later entries, wherever in the entry it stands.
func (w *work) eligible(k *Key, messages int) (ids []identity.RegionID, dry int) {
	ids = make([]identity.RegionID, 0, len(k.Regions))
	for _, r := range w.roster.regions {
		was, ok := w.before.region(r.ID)
		switch {
		case !ok || !was.Healthy || !r.able(k):
		case k.Scheme == command.SchemeThreshold && w.nonces(r, k.Curve) < messages:
			dry++
		default:
			ids = append(ids, r.ID)
		}
	}
	return ids, dry
}

// able reports whether a region, if healthy (and with nonces enough), can sign with k.
func (g *Region) able(k *Key) bool {
	if g.Status != RegionActive || len(g.Sessions) == 0 {
		return false
	}
	if k.Scheme == command.SchemeThreshold {
		return k.Holds(g.ID)
	}
	a := k.Attested(g.ID)
	return a != nil && !a.Lost && slices.Contains(g.Curves, k.Curve)
}

// word decodes and verifies one region's word.
func (t *task) word(raw []byte) (*command.Word, error) {
	v, err := command.DecodeWord(raw)
	if err != nil {
		return nil, err
	}
	s, ok := t.roster.sessions[v.Session]
	if !ok || s.region.ID != v.By {
		return nil, errs.New(errs.Unverified, "a word of region %d by an unknown session", v.By)
	}
	if s.region.Status != RegionActive {
		return nil, errs.New(errs.Denied, "region %d is quarantined: its word does not count", v.By)
	}
	if !t.m.verify(s.cert.Session, v.SignedBytes(t.m.document().Cluster), v.Sig) {
		return nil, errs.New(errs.Unverified, "a word of region %d does not verify", v.By)
	}
	return v, nil
}

// reopen opens another attempt, or after the last one gives up.
func (t *task) reopen(b *command.OpenAttempt) (deed, error) {
	q, ok := t.open.get(b.Request)
	if !ok {
		return nil, errs.New(errs.BadState, "request %s is not open", b.Request)
	}
	last := q.Open()
	if b.Attempt != last.Number+1 {
		return nil, errs.New(errs.BadState, "request %s is at attempt %d, not %d", q.ID, last.Number, int(b.Attempt)-1)
	}
	if !q.Expiry.After(t.head.clock) {
		return nil, errs.New(errs.Expired, "request %s expired", q.ID)
	}
	about, err := t.reasons(last, q, b.Words)
	if err != nil && liar.Defends(liar.Reasons) {
		return nil, err
	}
	if b.Attempt > MaxAttempts {
		return func(*Outcome) { t.finish(q, RequestFailed) }, nil
	}
	k, ok := t.keys.get(q.Key)
	if !ok {
		return nil, errs.New(errs.Internal, "key %s of request %s is gone", q.Key, q.ID)
	}
	if err := t.signable(k, k.FrozenFor(q)); err != nil {
		return nil, err
	}
	if p, ok := t.principals.get(q.Author); !ok || !p.signs(q.Tenant) {
		return nil, errs.New(errs.Denied, "who asked for request %s may not sign any more", q.ID)
	}
	messages := q.messages()
	eligible, dry := t.eligible(k, messages)
	if some := without(eligible, about); len(some) >= int(k.Signers) {
		eligible = some
	}
	if some := without(eligible, leftOut(q)); len(some) >= int(k.Signers) {
		eligible = some
	}
	if len(eligible) < int(k.Signers) {
		return nil, t.nobody(k, eligible, dry)
	}
	return func(o *Outcome) {
		n := *q
		t.openAttempt(&n, k, b.Attempt, eligible, messages)
		t.open.put(n.ID, &n)
		o.Request = n.ID
	}, nil
}

// messages is how many signatures a threshold key's request asks for: as many nonces as
// each region gave at its first attempt.
func (q *Request) messages() int {
	if !q.threshold() {
		return 0
	}
	return len(q.Attempts[0].Nonces[0].Commitments)
}

func without(ids, out []identity.RegionID) []identity.RegionID {
	return slices.DeleteFunc(slices.Clone(ids), func(r identity.RegionID) bool { return slices.Contains(out, r) })
}

// leftOut returns the regions that an earlier attempt drew among and the last one did
// not: what they were left out for counts still. It also leaves a region that refuses in
// order to be drawn again, or to have others drawn, nothing to gain.
func leftOut(q *Request) (ids []identity.RegionID) {
	last := q.Open().Eligible
	for _, a := range q.Attempts {
		ids = append(ids, without(a.Eligible, last)...)
	}
	return ids
}

// reasons verifies the words for a next attempt and returns the regions they are about:
// a region's own refusal, or that one other than the author cannot reach it either, or got
// a wrong answer from it. Words
// from before the draw count for nothing: collected beforehand, they would let who leads
// pick the regions.
func (t *task) reasons(last *Attempt, q *Request, words [][]byte) ([]identity.RegionID, error) {
	if len(words) == 0 {
		return nil, errs.New(errs.Invalid, "another attempt at request %s needs a reason", q.ID)
	}
	var about []identity.RegionID
	drawn := last.Stamp.Add(-t.head.settings.MaxSkew)
	for _, raw := range words {
		v, err := t.word(raw)
		if err != nil {
			return nil, err
		}
		refused := v.Kind == command.WordRefused && v.By == v.About
		unreachable := v.Kind == command.WordUnreachable && v.By != v.About && v.By != t.region.ID
		wrong := v.Kind == command.WordWrong && v.By != v.About && v.By != t.region.ID
		if v.Request != q.ID || v.Attempt != last.Number || v.At.Before(drawn) || !refused && !unreachable && !wrong || !slices.Contains(last.Eligible, v.About) {
			return nil, errs.New(errs.Unverified, "a word of region %d is no reason to leave attempt %d of request %s", v.By, last.Number, q.ID)
		}
		about = append(about, v.About)
	}
	return about, nil
}

// vote is one region's answer for one request.
type vote struct {
	region identity.RegionID
	value  [32]byte
	item   *command.AnswerItem
}

// complete files what co-signers answered. It counts statements: whether the draw and the
// signatures are right, each of the k signers has verified and says with its own. What the
// author says of itself is verified here.
func (t *task) complete(b *command.Complete) (deed, error) {
	votes, order, err := t.votes(b)
	if err != nil {
		return nil, err
	}
	type agreed struct {
		was *Request
		now Request
	}
	var done []agreed
	for _, id := range order {
		q, ok := t.open.get(id)
		if !ok {
			continue // final already, or never was
		}
		k, ok := t.keys.get(q.Key)
		if !ok {
			continue
		}
		if results, first := agree(q, k, b.Index, votes[id]); results != nil {
			if err := genuine(q, k, t.region.ID, results); err != nil {
				return nil, err
			}
			now := *q
			now.Results, now.Value = results, first.value
			now.Attempts = withNonces(q.Attempts, first.item.Attempt, first.item.Signers)
			done = append(done, agreed{q, now})
		}
	}
	return func(*Outcome) {
		for i := range done {
			t.finish(&done[i].now, RequestComplete)
		}
	}, nil
}

// votes verifies the answers and sorts their items by request, in order of appearance.
func (t *task) votes(b *command.Complete) (map[command.RequestID][]vote, []command.RequestID, error) {
	votes := map[command.RequestID][]vote{}
	var order []command.RequestID
	var seen [256]bool
	for _, raw := range b.Answers {
		a, err := command.DecodeAnswer(raw)
		if err != nil {
			return nil, nil, err
		}
		s, ok := t.roster.sessions[a.Session]
		if !ok || s.region.ID != a.Region || a.Index != b.Index || seen[a.Region] {
			return nil, nil, errs.New(errs.Unverified, "an answer of region %d: unknown session, other index, or its second", a.Region)
		}
		if !t.m.verify(s.cert.Session, a.SignedBytes(t.m.document().Cluster), a.Sig) {
			return nil, nil, errs.New(errs.Unverified, "the answer of region %d does not verify", a.Region)
		}
		seen[a.Region] = true
		if s.region.Status != RegionActive {
			continue // what a quarantined region says completes nothing
		}
		for i := range a.Items {
			id := a.Items[i].Request
			if votes[id] == nil {
				order = append(order, id)
			}
			votes[id] = append(votes[id], vote{a.Region, a.Value, &a.Items[i]})
		}
	}
	return votes, order, nil
}

// agree returns the results of a request and the vote they agree with, if k eligible
// regions agree who was drawn at an index, by which value, and each of them signed
// everything.
func agree(q *Request, k *Key, index uint64, votes []vote) ([]SignatureSet, *vote) {
	length := signatureLen
	if k.Scheme == command.SchemeThreshold {
		length = intent.ShareLen(k.Curve)
	}
	for i := range votes {
		first := &votes[i]
		at := attemptAt(q, index, first.item.Attempt)
		if at == nil || !drawn(first.item.Signers, int(k.Signers), at.Eligible) || q.threshold() && len(first.item.Signatures) != q.messages() {
			continue
		}
		var sets []SignatureSet
		for _, region := range first.item.Signers {
			if s := signed(votes, region, first, length); s != nil {
				sets = append(sets, *s)
			}
		}
		if len(sets) == int(k.Signers) {
			return sets, first
		}
	}
	return nil, nil
}

func attemptAt(q *Request, index uint64, number uint8) *Attempt {
	for i := range q.Attempts {
		if q.Attempts[i].Meta.Index == index && q.Attempts[i].Number == number {
			return &q.Attempts[i]
		}
	}
	return nil
}

// drawn reports whether signers are k distinct eligible regions.
func drawn(signers []identity.RegionID, k int, eligible []identity.RegionID) bool {
	if len(signers) != k {
		return false
	}
	for i, s := range signers {
		if !slices.Contains(eligible, s) || slices.Contains(signers[:i], s) {
			return false
		}
	}
	return true
}

// signed returns a region's signatures, each of a length, if it agrees with first in everything.
func signed(votes []vote, region identity.RegionID, first *vote, length int) *SignatureSet {
	for i := range votes {
		v := &votes[i]
		if v.region != region || v.value != first.value || v.item.Attempt != first.item.Attempt || v.item.Code != errs.OK ||
			!slices.Equal(v.item.Signers, first.item.Signers) || len(v.item.Signatures) == 0 ||
			len(v.item.Signatures) != len(first.item.Signatures) {
			continue
		}
		for _, s := range v.item.Signatures {
			if len(s) != length {
				return nil
			}
		}
		return &SignatureSet{region, v.item.Signatures}
	}
	return nil
}
