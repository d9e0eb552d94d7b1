package chaos

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// ledger is the audit log read by somebody who only wants to know what was asked, what
// was drawn and what was filed. It judges nothing.
type ledger struct {
	history  *History
	leaves   []audit.Leaf
	until    time.Time      // when the log was exported
	clock    time.Time      // committed, at the leaf being read
	commands map[slot][]int // leaves of one command id
	sessions map[identity.Fingerprint]session
	keys     map[command.KeyID]*key
	requests map[command.RequestID]*request
	drops    []drop
	tries    map[command.CeremonyID]bool // at sharings, that got as far as a first dealing
	finishes map[command.CeremonyID]map[identity.RegionID]string
	shares   []share // of threshold signatures, each once, by time
	beacon   []beaconSharing
	proofs   []proof
}

type slot struct {
	by identity.Fingerprint
	id command.ID
}

type session struct {
	region identity.RegionID
	key    identity.PublicKey
}

type key struct {
	id      command.KeyID
	curve   command.Curve
	signers uint8
	blind   bool
	public  map[identity.RegionID][]byte
	limits  []limit

	threshold bool
	sharings  map[uint32]*sharing // by epoch
}

type request struct {
	id       command.RequestID
	key      *key
	at       time.Time // committed clock when it was opened
	messages [][]byte
	spends   []intent.Spend      // of a threshold key, one a message
	eligible []identity.RegionID // for the first attempt
	attempts []attempt
	answers  []filed
}

type attempt struct {
	meta  command.Meta
	seq   uint64
	drawn []identity.RegionID // in order
	words [][]byte            // the reason of a further attempt

	epoch  uint32                         // of a threshold key's sharing
	nonces map[identity.RegionID][][]byte // and the commitments each eligible region gave, one a message
}

// filed is one answer of a Complete command.
type filed struct {
	seq    uint64
	answer *command.Answer
	item   command.AnswerItem
}

func readLedger(h *History, e Export) (*ledger, error) {
	leaves := e.Leaves
	l := &ledger{history: h, leaves: leaves, until: e.At, commands: map[slot][]int{}, sessions: map[identity.Fingerprint]session{},
		keys: map[command.KeyID]*key{}, requests: map[command.RequestID]*request{}, tries: map[command.CeremonyID]bool{},
		finishes: map[command.CeremonyID]map[identity.RegionID]string{}}
	for i := range leaves {
		leaf := &leaves[i]
		l.clocked(leaf)
		if leaf.IsGenesis() {
			continue
		}
		at := slot{leaf.Command.Principal, leaf.Command.ID}
		l.commands[at] = append(l.commands[at], i)
		if err := l.read(leaf); err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "audit leaf %d", leaf.Seq)
		}
	}
	l.collect()
	return l, nil
}

func (l *ledger) read(leaf *audit.Leaf) error {
	e, err := audit.DecodeEffect(leaf.Effect)
	if err != nil || leaf.Code != errs.OK || e.Repeated {
		return err
	}
	body, err := leaf.Body()
	if err != nil {
		return err
	}
	switch b := body.(type) {
	case *command.CreateKey:
		id := command.KeyIDOf(leaf.Command.Principal, leaf.Command.ID)
		l.keys[id] = &key{id: id, curve: b.Curve, signers: b.Signers, blind: b.AllowBlind, public: map[identity.RegionID][]byte{},
			threshold: b.Scheme == command.SchemeThreshold, sharings: map[uint32]*sharing{}}
	case *command.FinishShare:
		l.finished(leaf, b)
	case *command.HashDealing:
		l.tries[b.Ceremony] = true
	case *command.DropWrap:
		l.drops = append(l.drops, drop{l.sessions[leaf.Command.Principal].region, b.Epoch, leaf.Meta.Index})
	case *command.RegisterSession:
		c, err := identity.DecodeSessionCert(b.Cert)
		if err != nil {
			return err
		}
		l.sessions[c.Session.Fingerprint()] = session{c.Region, c.Session}
	case *command.AttestKey:
		l.keys[b.Key].public[l.sessions[leaf.Command.Principal].region] = b.PublicKey
	case *command.LimitKey:
		k := l.keys[b.Key]
		k.limits = append(k.limits, limit{leaf.Seq, l.clock, int(b.Requests), b.Window})
	case *command.Complete:
		err = l.complete(leaf, b)
	}
	if err != nil {
		return err
	}
	for i := range e.Opened {
		if err := l.open(leaf, body, &e.Opened[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) complete(leaf *audit.Leaf, b *command.Complete) error {
	if by := l.sessions[leaf.Command.Principal].region; by != l.history.Liar && len(b.Partials) > 0 {
		l.proofs = append(l.proofs, proof{leaf.Seq, b.Index, b.Partials})
	}
	for _, raw := range b.Answers {
		a, err := command.DecodeAnswer(raw)
		if err != nil {
			return err
		}
		for _, it := range a.Items {
			if q := l.requests[it.Request]; q != nil {
				q.answers = append(q.answers, filed{leaf.Seq, a, it})
			}
		}
	}
	return nil
}

// open enters a draw, with the regions that must have been drawn.
func (l *ledger) open(leaf *audit.Leaf, body command.Body, o *audit.OpenedAttempt) error {
	t := attempt{meta: leaf.Meta, seq: leaf.Seq}
	switch b := body.(type) {
	case *command.RequestSignature:
		q := &request{id: o.Request, key: l.keys[o.Key], at: l.clock, eligible: o.Eligible}
		if err := q.read(b); err != nil {
			return err
		}
		l.requests[o.Request] = q
	case *command.OpenAttempt:
		t.words = b.Words
	}
	value, err := l.history.Value(leaf.Meta)
	if err != nil {
		return err
	}
	eligible := make([]uint8, len(o.Eligible))
	for i, r := range o.Eligible {
		eligible[i] = uint8(r)
	}
	for _, r := range draw.Permutation(value, o.Request, o.Number, eligible)[:o.Signers] {
		t.drawn = append(t.drawn, identity.RegionID(r))
	}
	q := l.requests[o.Request]
	if q.key.threshold {
		t.epoch, t.nonces = o.Epoch, map[identity.RegionID][][]byte{}
		for i := range min(len(o.Nonces), len(o.Eligible)) {
			t.nonces[o.Eligible[i]] = slices.Collect(slices.Chunk(o.Nonces[i], fsm.CommitmentLen(q.key.curve)))
		}
	}
	q.attempts = append(q.attempts, t)
	return nil
}

// read takes from the payload what is to be signed.
func (q *request) read(b *command.RequestSignature) error {
	in, err := intent.Decode(b.Kind, b.Hash, b.Payload, q.key.info(), b.Path...)
	if err == nil {
		q.messages, q.spends = in.Messages, in.Spends
	}
	return err
}

func (k *key) info() intent.KeyInfo {
	info := intent.KeyInfo{Curve: k.curve, Signers: k.signers, AllowBlind: k.blind, Threshold: k.threshold}
	if s := k.sharings[1]; s != nil {
		info.Point, info.Chain = s.point, s.chain
	}
	for r, p := range k.public {
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: r, Key: p})
	}
	slices.SortFunc(info.PublicKeys, func(a, b intent.PublicKey) int { return int(a.Region) - int(b.Region) })
	return info
}

// drawnIn returns the attempts a region was drawn for.
func (q *request) drawnIn(r identity.RegionID) (out []attempt) {
	for _, t := range q.attempts {
		if slices.Contains(t.drawn, r) {
			out = append(out, t)
		}
	}
	return out
}

// keyOf finds the signing key a token's label names; nil for a region's own keys.
func (l *ledger) keyOf(label string) *key {
	for id, k := range l.keys {
		if strings.HasSuffix(label, "-"+id.String()) {
			return k
		}
	}
	return nil
}

// possession is what a new key signs once, to prove that it is there.
func (l *ledger) possession(k *key, r identity.RegionID) []byte {
	b := command.PossessionBytes(l.history.Genesis.Document.Cluster, k.id, r)
	if k.curve == command.Ed25519 {
		return b
	}
	h := sha256.Sum256(b)
	return h[:]
}

// hadApplied returns the index a region's state was at when its HSM was asked: what the
// life it was asked by had applied until then.
func (l *ledger) hadApplied(m *Made) (index uint64) {
	boot := l.history.boot(m)
	for i := range l.history.Applied {
		a := &l.history.Applied[i]
		if a.Region == m.Region && !a.At.Before(boot) && !a.At.After(m.Asked) {
			index = max(index, a.Meta.Index)
		}
	}
	return index
}

// asking returns the requests in which a key was to sign a message.
func (l *ledger) asking(k *key, message []byte) (out []*request) {
	for _, q := range l.requests {
		if q.key == k && slices.ContainsFunc(q.messages, func(m []byte) bool { return string(m) == string(message) }) {
			out = append(out, q)
		}
	}
	return out
}
