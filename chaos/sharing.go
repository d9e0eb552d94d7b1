package chaos

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// sharing is what all holders of a threshold key said of one: so it went live.
type sharing struct {
	public []byte // frost.PublicKey
	point  []byte
	chain  [32]byte
	index  uint64 // of the entry that made it live
	stamp  time.Time
}

// drop is a region's word that it destroyed its wrapping key of an epoch.
type drop struct {
	region identity.RegionID
	epoch  uint32
	index  uint64
}

// share is one region's part of one signature, as it left the region or was filed.
type share struct {
	region  identity.RegionID
	at      time.Time // when it left; zero if it was only seen in the log
	request *request
	attempt int // from 1
	message int // from 0
	raw     []byte
}

// finished enters a sharing once all its holders said the same of it in one try.
func (l *ledger) finished(leaf *audit.Leaf, b *command.FinishShare) {
	k := l.keys[b.Ceremony.Key]
	public, err := frost.DecodePublicKey(b.Public)
	if k == nil && b.Ceremony.Key != command.BeaconKey || err != nil {
		return
	}
	said := l.finishes[b.Ceremony]
	if said == nil {
		said = map[identity.RegionID]string{}
		l.finishes[b.Ceremony] = said
	}
	said[l.sessions[leaf.Command.Principal].region] = string(b.Public)
	for _, r := range public.Holders() {
		if said[identity.RegionID(r)] != string(b.Public) {
			return
		}
	}
	if k == nil {
		l.reshared(leaf, public)
		return
	}
	k.sharings[b.Ceremony.Epoch] = &sharing{b.Public, b.Point, b.Chain, leaf.Meta.Index, leaf.Stamp}
}

// live counts the sharings that went live.
func (l *ledger) live() (n int) {
	n = len(l.beacon)
	for _, k := range l.keys {
		n += len(k.sharings)
	}
	return n
}

// collect lists the shares that left regions, and those in the log besides; each once.
func (l *ledger) collect() {
	seen := map[string]bool{}
	add := func(region identity.RegionID, at time.Time, it *command.AnswerItem) {
		q := l.requests[it.Request]
		if region == l.history.Liar || q == nil || !q.key.threshold || it.Code != errs.OK {
			return
		}
		for i, raw := range it.Signatures {
			id := string(it.Request[:]) + string([]byte{it.Attempt, byte(region), byte(i), byte(i >> 8)}) + string(raw)
			if !seen[id] {
				seen[id] = true
				l.shares = append(l.shares, share{region, at, q, int(it.Attempt), i, raw})
			}
		}
	}
	for i := range l.history.Answers {
		left := &l.history.Answers[i]
		if a, err := command.DecodeAnswer(left.Raw); err == nil {
			for j := range a.Items {
				add(left.Region, left.At, &a.Items[j])
			}
		}
	}
	for _, q := range l.requests {
		for i := range q.answers {
			add(q.answers[i].answer.Region, time.Time{}, &q.answers[i].item)
		}
	}
}

// uses returns everything a region's half of a key did for somebody else: signatures of
// its HSM, and shares that left it, as Made under a label of their own.
func (l *ledger) uses() []Made {
	out := slices.Clone(l.history.Made)
	for i := range l.shares {
		if s := &l.shares[i]; !s.at.IsZero() {
			out = append(out, Made{Region: s.region, Asked: s.at, Label: "share-" + s.request.key.id.String(), Data: s.raw})
		}
	}
	return out
}

// nonces checks invariant 4 over every share that left a region or was filed: it is made
// by the nonce, for the message, under the key and with the other regions' nonces that the
// log gave the attempt, by a share of the attempt's sharing, and the log gave no nonce
// twice. So no nonce makes two shares, and no signature mixes sharings.
func nonces(l *ledger, f *findings) {
	type use struct {
		request command.RequestID
		attempt int
		region  identity.RegionID
		message int
	}
	given := map[string]use{}
	for _, q := range l.requests {
		for n, t := range q.attempts {
			for r, list := range t.nonces {
				for i, c := range list {
					now := use{q.id, n + 1, r, i}
					if was, again := given[string(c)]; again {
						f.add("the log gave one nonce of region %d twice: to request %s, attempt %d, message %d, and to request %s, attempt %d, message %d",
							r, was.request, was.attempt, was.message, q.id, n+1, i)
					}
					given[string(c)] = now
				}
			}
		}
	}
	for i := range l.shares {
		if err := l.fits(&l.shares[i]); err != nil {
			s := &l.shares[i]
			f.add("request %s, attempt %d: the share of region %d for message %d is not the one its nonce is for: %v", s.request.id, s.attempt, s.region, s.message, err)
		}
	}
}

// fits holds a share against what the log says it is of.
func (l *ledger) fits(s *share) error {
	if s.attempt < 1 || s.attempt > len(s.request.attempts) || s.message >= len(s.request.spends) {
		return errs.New(errs.NotFound, "the log has no such attempt or message")
	}
	t, k := &s.request.attempts[s.attempt-1], s.request.key
	made, err := frost.DecodeSignatureShare(uint8(s.region), s.raw)
	if err != nil {
		return err
	}
	if made.Epoch() != t.epoch || k.sharings[t.epoch] == nil {
		return errs.New(errs.Stale, "it is of sharing %d, the attempt of sharing %d", made.Epoch(), t.epoch)
	}
	public, err := frost.DecodePublicKey(k.sharings[t.epoch].public)
	if err != nil {
		return err
	}
	spend := &s.request.spends[s.message]
	if public, _, err = public.Derive(k.sharings[1].chain, spend.Path...); err != nil {
		return err
	}
	if spend.Taproot {
		if public, err = public.Taproot(spend.Root); err != nil {
			return err
		}
	}
	named, err := t.named(s.message)
	if err != nil {
		return err
	}
	return public.CheckShare(spend.Message, named, made)
}

// named are the nonces of the drawn regions for a message, in drawn order.
func (t *attempt) named(message int) (out []*frost.Commitment, err error) {
	for _, r := range t.drawn {
		if message >= len(t.nonces[r]) {
			return nil, errs.New(errs.NotFound, "the log gave no nonce of region %d", r)
		}
		c, err := frost.DecodeCommitment(uint8(r), t.nonces[r][message])
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// sums judges the signatures a client got from a threshold key, as a client would: by
// crypto/ed25519 or BIP-340, under the key at the path it named.
func (l *ledger) sums(o *Op, q *request, f *findings) {
	if len(o.Sums) != len(q.spends) {
		f.add("request %s: %d signatures for %d messages", q.id, len(o.Sums), len(q.spends))
		return
	}
	for i := range q.spends {
		if !q.spends[i].Verify(q.key.info(), o.Sums[i]) {
			f.add("request %s: signature %d of its threshold key does not verify", q.id, i)
		}
	}
}

// outlived is the part of invariant 8 about sharings: nothing is asked of a sharing once
// the next one is live, its shares make nothing once its last minute is over, and a
// wrapping key that is called destroyed is never used again.
func outlived(l *ledger, f *findings) {
	for _, q := range l.requests {
		for n, t := range q.attempts {
			if next := q.key.sharings[t.epoch+1]; q.key.threshold && next != nil && next.index < t.meta.Index {
				f.add("request %s: attempt %d is of sharing %d, although %d was live", q.id, n+1, t.epoch, t.epoch+1)
			}
		}
	}
	for i := range l.shares {
		s := &l.shares[i]
		if s.at.IsZero() || s.attempt > len(s.request.attempts) {
			continue
		}
		epoch := s.request.attempts[s.attempt-1].epoch
		next := s.request.key.sharings[epoch+1]
		if next == nil {
			continue
		}
		if over, ok := l.passed(next.stamp.Add(fsm.RetireTime)); ok && s.at.After(over.Add(staleness)) {
			f.add("region %d gave a share of sharing %d of key %s %s after its time was over", s.region, epoch, s.request.key.id, s.at.Sub(over))
		}
	}
	for _, o := range l.history.Opened {
		for _, d := range l.drops {
			if o.Region != d.region || o.Label != seal.EpochLabel(l.history.Genesis.Document.Cluster, d.epoch) {
				continue
			}
			if filed, ok := l.appliedFirst(d.index); ok && o.At.After(filed) {
				f.add("region %d used its wrapping key of epoch %d %s after it said that it had destroyed it", d.region, d.epoch, o.At.Sub(filed))
			}
		}
	}
}

// passed returns when a region first had a state whose clock shows t.
func (l *ledger) passed(t time.Time) (time.Time, bool) {
	i, _ := slices.BinarySearchFunc(l.leaves, t, func(leaf audit.Leaf, t time.Time) int { return leaf.Stamp.Compare(t) })
	if i == len(l.leaves) {
		return time.Time{}, false
	}
	return l.appliedFirst(l.leaves[i].Meta.Index)
}

// appliedFirst returns when the first region applied an entry.
func (l *ledger) appliedFirst(index uint64) (at time.Time, ok bool) {
	for i := range l.history.Applied {
		if a := &l.history.Applied[i]; a.Meta.Index >= index && (!ok || a.At.Before(at)) {
			at, ok = a.At, true
		}
	}
	return at, ok
}
