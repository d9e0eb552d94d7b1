package auditor

import (
	"crypto/sha256"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

const lastAttempt = 3

// judge holds one leaf against the books, then enters its effects.
func (v *verifier) judge(l *audit.Leaf) {
	e, err := audit.DecodeEffect(l.Effect)
	if err != nil {
		v.report.found(l.Seq, KindOutcome, "its effects do not decode: %v", err)
		return
	}
	var body command.Body
	if l.Code == errs.OK && !e.Repeated {
		if body, err = l.Body(); err != nil {
			v.report.found(l.Seq, KindOutcome, "its fields do not decode: %v", err)
			return
		}
	}
	for _, id := range e.Expired { // what time did comes before the command
		v.close(l, id, &v.report.Expired)
	}
	var good map[command.RequestID]map[identity.RegionID]bool
	var at uint64
	switch b := body.(type) {
	case *command.RegisterSession:
		v.registered(l, b)
	case *command.Reenrol:
		v.reenrolled(l, b)
	case *command.AttestKey:
		v.attested(l, b)
	case *command.FinishShare:
		v.finished(l, b)
	case *command.ImportKey:
		v.books.splits[command.KeyIDOf(l.Command.Principal, l.Command.ID)] = b.Split
	case *command.OpenAttempt:
		v.reasoned(l, b)
	case *command.Complete:
		good, at = v.completion(l, b), b.Index
	default:
		v.books.freezes(b)
	}
	v.opened(l, e, body)
	for _, id := range e.Completed {
		v.completed(l, id, at, good[id])
	}
	for _, id := range e.Failed {
		v.close(l, id, &v.report.Failed)
	}
	for _, k := range e.Keys {
		v.books.keys[k.Key] = k.State
		if fsm.KeyState(k.State) != fsm.KeyPending {
			delete(v.books.splits, k.Key)
		}
	}
	if e.Vault != nil {
		v.books.frozen = e.Vault.Frozen
	}
}

func (v *verifier) close(l *audit.Leaf, id command.RequestID, count *uint64) {
	if !v.books.settle(id) {
		v.report.found(l.Seq, KindRequest, "request %s ends without being open", id)
		return
	}
	*count++
}

// registered notes a session key its region vouched for.
func (v *verifier) registered(l *audit.Leaf, b *command.RegisterSession) {
	c, err := identity.DecodeSessionCert(b.Cert)
	if err != nil {
		v.report.found(l.Seq, KindAnswer, "session certificate: %v", err)
		return
	}
	v.books.sessions[c.Session.Fingerprint()] = session{c.Region, c.Session}
	if err := v.introduce(c); err == nil {
		v.retryCovers()
	}
	if c.Verify(v.genesis.Cluster, v.books.anew.identity(c.Region)) != nil {
		v.report.found(l.Seq, KindAnswer, "the session certificate of region %d is not signed by its identity key and its session key", c.Region)
	}
}

// attested checks the mathematics of a key's attestation, which the state machine
// leaves to the regions.
func (v *verifier) attested(l *audit.Leaf, b *command.AttestKey) {
	key, ok := v.machine.View().Key(b.Key)
	s, known := v.books.sessions[l.Command.Principal]
	if !ok || !known {
		v.report.found(l.Seq, KindKey, "attestation of key %s by %s: no such key or session", b.Key, l.Command.Principal.Short())
		return
	}
	if !intent.Verify(key.Curve, b.PublicKey, possession(v.genesis.Cluster, key, s.region), b.Possession) {
		v.report.found(l.Seq, KindKey, "key %s: region %d does not prove that it holds the private key", b.Key, s.region)
	}
	if !v.books.anew.identity(s.region).Verify(command.AttestationBytes(v.genesis.Cluster, b.Key, s.region, b.PublicKey, b.Attributes), b.Identity) {
		v.report.found(l.Seq, KindKey, "key %s: the attestation is not signed by the identity key of region %d", b.Key, s.region)
	}
}

// possession is what a new key signs: a digest for ECDSA, the bytes for Ed25519.
func possession(cluster identity.ClusterID, key *fsm.Key, region identity.RegionID) []byte {
	b := command.PossessionBytes(cluster, key.ID, region)
	if key.Curve == command.Ed25519 {
		return b
	}
	h := sha256.Sum256(b)
	return h[:]
}

// opened checks that every draw has its request and its reason.
func (v *verifier) opened(l *audit.Leaf, e *audit.Effect, body command.Body) {
	for i := range e.Opened {
		o := &e.Opened[i]
		switch b := body.(type) {
		case *command.RequestSignature:
			if o.Number != 1 || b.Key != o.Key || o.Request != command.RequestIDOf(l.Command.Principal, l.Command.ID) || v.books.open[o.Request] != nil {
				v.report.found(l.Seq, KindRequest, "attempt %d of request %s is not what this command asks for", o.Number, o.Request)
				continue
			}
			v.books.begin(v.newRequest(o, b))
			v.report.Requests++
		case *command.OpenAttempt:
			q := v.books.open[o.Request]
			if q == nil || b.Request != o.Request || q.key != o.Key || int(o.Number) != len(q.attempts)+1 || o.Number > lastAttempt || len(b.Words) == 0 {
				v.report.found(l.Seq, KindRequest, "attempt %d of request %s has no reason, or no open request", o.Number, o.Request)
				continue
			}
		default:
			v.report.found(l.Seq, KindRequest, "%s opens attempt %d of request %s: only requests and their retries do", l.Command.Type, o.Number, o.Request)
			continue
		}
		q := v.books.open[o.Request]
		v.openable(l, o, q)
		q.attempts = append(q.attempts, attempt{meta: l.Meta, eligible: o.Eligible, signers: o.Signers, answered: map[identity.RegionID]bool{},
			parts: partsOf{epoch: o.Epoch, nonces: o.Nonces}})
		v.report.Attempts++
	}
}

// openable checks key and regions of a draw.
func (v *verifier) openable(l *audit.Leaf, o *audit.OpenedAttempt, q *request) {
	if v.books.frozen || v.books.keys[o.Key] != uint8(fsm.KeyActive) {
		v.report.found(l.Seq, KindRequest, "request %s was opened although its key or the vault was frozen or not in use", o.Request)
	}
	if path, ok := v.books.frozenChild(q); ok {
		v.report.found(l.Seq, KindRequest, "request %s was opened although child %s of its key was frozen", o.Request, command.PathText(path))
	}
	key, ok := v.machine.View().Key(o.Key)
	if !ok || key.Signers != o.Signers || key.Version != o.KeyVersion || int(o.Signers) > len(o.Eligible) {
		v.report.found(l.Seq, KindDraw, "request %s draws %d of %d regions, which is not what its key says", o.Request, o.Signers, len(o.Eligible))
		return
	}
	if key.Scheme == command.SchemeThreshold {
		v.given(l, o, key, q)
		return
	}
	for i, r := range o.Eligible {
		if key.Attested(r) == nil || v.lost(l, key, 0, r) || i > 0 && o.Eligible[i-1] >= r {
			v.report.found(l.Seq, KindDraw, "request %s: region %d cannot be drawn, it does not hold the key", o.Request, r)
		}
	}
}

func (v *verifier) newRequest(o *audit.OpenedAttempt, b *command.RequestSignature) *request {
	q := &request{id: o.Request, key: o.Key}
	key, ok := v.machine.View().Key(o.Key)
	if !ok {
		q.unfit = errs.New(errs.NotFound, "key %s is unknown", o.Key)
		return q
	}
	if key.Scheme == command.SchemeThreshold {
		q.spendsOf(b, key)
		return q
	}
	q.messages, q.unfit = intent.Messages(b.Kind, b.Hash, b.Payload, key.Info())
	return q
}

// completion checks every answer of a Complete and returns, per request, the regions
// whose signatures in it are all good.
func (v *verifier) completion(l *audit.Leaf, b *command.Complete) map[command.RequestID]map[identity.RegionID]bool {
	good := map[command.RequestID]map[identity.RegionID]bool{}
	for _, raw := range b.Answers {
		a, err := command.DecodeAnswer(raw)
		if err != nil {
			v.report.found(l.Seq, KindAnswer, "an answer does not decode: %v", err)
			continue
		}
		s, ok := v.books.sessions[a.Session]
		if !ok || s.region != a.Region || !s.key.Verify(a.SignedBytes(v.genesis.Cluster), a.Sig) {
			v.report.found(l.Seq, KindAnswer, "an answer of region %d is not signed by a session it registered", a.Region)
			continue
		}
		if a.Index != b.Index {
			v.report.found(l.Seq, KindAnswer, "an answer of region %d is on entry %d, the completion on entry %d", a.Region, a.Index, b.Index)
			continue
		}
		for i := range a.Items {
			it := &a.Items[i]
			if it.Code != errs.OK || !v.answered(l, b, a, it) {
				continue
			}
			if good[it.Request] == nil {
				good[it.Request] = map[identity.RegionID]bool{}
			}
			good[it.Request][a.Region] = true
		}
	}
	return good
}

// answered checks one released set of signatures: asked for, drawn, and right.
func (v *verifier) answered(l *audit.Leaf, b *command.Complete, a *command.Answer, it *command.AnswerItem) bool {
	q := v.books.find(it.Request)
	if q == nil || it.Attempt == 0 || int(it.Attempt) > len(q.attempts) || q.attempts[it.Attempt-1].meta.Index != a.Index {
		if q == nil && len(v.books.oldest) == settledMax {
			v.report.Unchecked++ // so late that the request is forgotten
			return false
		}
		v.report.found(l.Seq, KindRequest, "region %d signed attempt %d of request %s at entry %d, which nobody opened", a.Region, it.Attempt, it.Request, a.Index)
		return false
	}
	t := &q.attempts[it.Attempt-1]
	if !v.drawn(l, b, a, q, t, it) {
		return false
	}
	if !v.released(l, a.Region, q, t, it.Signatures) {
		return false
	}
	v.certified(l, b, t.meta)
	return true
}

// drawn checks the beacon value and that the region is among those it selects.
func (v *verifier) drawn(l *audit.Leaf, b *command.Complete, a *command.Answer, q *request, t *attempt, it *command.AnswerItem) bool {
	value, err := v.value(t.meta, b.Partials)
	if err != nil {
		v.report.found(l.Seq, KindDraw, "entry %d: %v", t.meta.Index, err)
		return false
	}
	if a.Value != value {
		v.report.found(l.Seq, KindDraw, "region %d signed under another beacon value of entry %d than the proofs give", a.Region, t.meta.Index)
		return false
	}
	v.draw(q, it.Attempt, value)
	if !slices.Equal(it.Signers, t.order) || !slices.Contains(t.order, a.Region) {
		v.report.found(l.Seq, KindDraw, "request %s, attempt %d: region %d answered for signers %v, drawn were %v", q.id, it.Attempt, a.Region, it.Signers, t.order)
		return false
	}
	return true
}

// draw enters what an attempt's value selects, once.
func (v *verifier) draw(q *request, number uint8, value [32]byte) {
	if t := &q.attempts[number-1]; t.order == nil {
		t.order = order(value, q.id, number, t)
		v.books.count(t)
	}
}

func order(value [32]byte, id command.RequestID, number uint8, t *attempt) []identity.RegionID {
	eligible := make([]uint8, len(t.eligible))
	for i, r := range t.eligible {
		eligible[i] = uint8(r)
	}
	drawn := draw.Permutation(value, id, number, eligible)
	out := make([]identity.RegionID, min(int(t.signers), len(drawn)))
	for i := range out {
		out[i] = identity.RegionID(drawn[i])
	}
	return out
}

// value verifies the proofs of one entry's beacon value. Once verified it stands: there
// is only one.
func (v *verifier) value(m command.Meta, encoded [][]byte) ([32]byte, error) {
	if value, ok := v.books.values[m.Index]; ok {
		return value, nil
	}
	partials := make([]draw.Partial, len(encoded))
	for i, b := range encoded {
		var err error
		if partials[i], err = draw.DecodePartial(b); err != nil {
			return [32]byte{}, err
		}
	}
	input := draw.Input(v.lineage, m.Term, m.Index, m.Chain)
	value, err := v.beaconAt(m.Index).CombineChecked(draw.At(input), partials)
	if err != nil {
		return [32]byte{}, err
	}
	v.books.values[m.Index] = value
	v.report.Draws++
	return value, nil
}

// released checks the signatures themselves, over what the payload says.
func (v *verifier) released(l *audit.Leaf, region identity.RegionID, q *request, t *attempt, sigs [][]byte) bool {
	key, ok := v.machine.View().Key(q.key)
	if !ok || q.spends == nil && key.Attested(region) == nil {
		v.report.found(l.Seq, KindReleased, "region %d signed request %s without holding its key", region, q.id)
		return false
	}
	if q.unfit != nil || len(sigs) != len(q.messages) {
		v.report.found(l.Seq, KindReleased, "region %d gave %d signatures for request %s, whose payload has %d messages (%v)", region, len(sigs), q.id, len(q.messages), q.unfit)
		return false
	}
	if q.spends != nil {
		if !v.parts(l, region, q, t, sigs) {
			return false
		}
	} else if !v.signatures(l, region, q, key, sigs) {
		return false
	}
	if !t.answered[region] {
		t.answered[region] = true
		v.report.Released += uint64(len(sigs))
	}
	return true
}

// signatures checks one region's signatures of a multisig key.
func (v *verifier) signatures(l *audit.Leaf, region identity.RegionID, q *request, key *fsm.Key, sigs [][]byte) bool {
	for i, sig := range sigs {
		if !intent.Verify(key.Curve, key.Attested(region).PublicKey, q.messages[i], sig) {
			v.report.found(l.Seq, KindReleased, "signature %d of region %d for request %s does not verify over its payload", i, region, q.id)
			return false
		}
	}
	return true
}

// completed checks that a request is called complete only with all signatures it needs:
// those of every region drawn for its attempt at that index.
func (v *verifier) completed(l *audit.Leaf, id command.RequestID, index uint64, good map[identity.RegionID]bool) {
	if q := v.books.open[id]; q != nil {
		all := false
		for i := range q.attempts {
			if t := &q.attempts[i]; t.meta.Index == index && len(t.order) == int(t.signers) {
				all = !slices.ContainsFunc(t.order, func(r identity.RegionID) bool { return !good[r] })
				if all && q.spends != nil {
					v.summed(l, q, t)
				}
			}
		}
		if !all {
			v.report.found(l.Seq, KindReleased, "request %s is called complete without good signatures of every region drawn", id)
		}
	}
	v.close(l, id, &v.report.Completed)
}
