package vault_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// sharings is what a world notes of the nonces of its threshold keys.
type sharings struct {
	mu    sync.Mutex
	quiet bool                         // takes no notes
	named map[string]use               // by commitment: what the log gave it to
	given map[turn][][]byte            // what the log gave, one a message
	made  map[string]map[string]string // shares seen, by commitment: where
}

// turn is one region's part in one attempt.
type turn struct {
	request command.RequestID
	attempt uint8
	region  identity.RegionID
}

// use is what one commitment is for.
type use struct {
	turn
	message int
}

func newSharings() *sharings {
	return &sharings{named: map[string]use{}, given: map[turn][][]byte{}, made: map[string]map[string]string{}}
}

// ready makes a threshold key and waits until it can sign.
func (w *world) ready(curve command.Curve, signers uint8) *fsm.Key {
	w.t.Helper()
	k := w.threshold(curve, signers)
	w.stocked(curve)
	return k
}

// stocked waits until every living region's committed pool of a curve holds something.
func (w *world) stocked(curve command.Curve) {
	w.t.Helper()
	w.eventually("pools filled", func() bool {
		return !slices.ContainsFunc(w.all(), func(n *node) bool { return !n.isDown() && w.pool(n.id, curve) < poolAtRest/2 })
	})
}

func (w *world) pool(region identity.RegionID, curve command.Curve) int {
	at := w.nodes[1]
	for _, n := range w.all() {
		if !n.isDown() {
			at = n
		}
	}
	p, ok := at.View().NoncePool(region, curve)
	if !ok {
		return 0
	}
	return p.Count()
}

// joint is a request to a threshold key, for a child if a path is given.
func (w *world) joint(k *fsm.Key, message string, path ...uint32) *command.Command {
	hash := command.HashSHA256
	if k.Curve == command.Ed25519 {
		hash = command.HashNone
	}
	return w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindMessage, Hash: hash, Payload: []byte(message), Path: path}, 5*time.Minute, w.client)
}

// proven checks a threshold result as a distrustful client would: one ordinary signature
// a message, over what the command asked for, under the key it asked for.
func (w *world) proven(k *fsm.Key, c *command.Command, req *fsm.Request) [][]byte {
	w.t.Helper()
	sums, err := vault.Signatures(w.nodes[1].View(), req)
	w.ok(err)
	body, err := c.Body()
	w.ok(err)
	b := body.(*command.RequestSignature)
	spends, err := intent.Spends(b.Kind, b.Hash, b.Payload, b.Path, k.Info())
	w.ok(err)
	if req.State != fsm.RequestComplete || len(req.Results) != int(k.Signers) || len(sums) != len(spends) {
		w.t.Fatalf("request is %s with %d results and %d signatures, want %d and %d", req.State, len(req.Results), len(sums), k.Signers, len(spends))
	}
	for i, s := range spends {
		if !s.Verify(k.Info(), sums[i]) {
			w.t.Errorf("signature %d does not verify", i)
		}
	}
	return sums
}

// given notes what the log gave each commitment to; one is given once.
func (w *world) given(view fsm.View, ids []command.RequestID) {
	s := w.sharings
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		q, ok := view.Request(id)
		if s.quiet || !ok || q.Open() == nil {
			continue
		}
		for _, set := range q.Open().Nonces {
			t := turn{id, q.Open().Number, set.Region}
			s.given[t] = set.Commitments
			for i, c := range set.Commitments {
				if was, ok := s.named[string(c)]; ok && was != (use{t, i}) {
					w.t.Errorf("commitment %x is given to %+v and %+v", c[:15], was, use{t, i})
				}
				s.named[string(c)] = use{t, i}
			}
		}
	}
}

// emitted notes the shares in an answer, wherever it was seen.
func (w *world) emitted(where string, region identity.RegionID, items []command.AnswerItem) {
	s := w.sharings
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		given := s.given[turn{it.Request, it.Attempt, region}]
		for i := range min(len(given), len(it.Signatures)) {
			c := string(given[i])
			if s.made[c] == nil {
				s.made[c] = map[string]string{}
			}
			s.made[c][string(it.Signatures[i])] = where
		}
	}
}

// oneNonceOneMessage looks at every share that left a region or was written down by one:
// on the wire, on disk, in the log. No nonce made two of them.
func (w *world) oneNonceOneMessage() {
	w.t.Helper()
	w.mu.Lock()
	log := slices.Clone(w.log)
	w.mu.Unlock()
	for _, in := range log {
		for _, c := range in.Entry.Commands {
			if body, err := c.Body(); err == nil && c.Type == command.TypeComplete {
				for _, raw := range body.(*command.Complete).Answers {
					if a, err := command.DecodeAnswer(raw); err == nil {
						w.emitted("log", a.Region, a.Items)
					}
				}
			}
		}
	}
	for _, n := range w.all() {
		n.journalled(n.disk)
	}
	w.sharings.mu.Lock()
	defer w.sharings.mu.Unlock()
	for c, shares := range w.sharings.made {
		if len(shares) > 1 {
			w.t.Errorf("nonce %x of region %d made %d shares", c[3:15], w.sharings.named[c].region, len(shares))
		}
	}
}

type reader interface {
	Names() []string
	ReadFile(string) ([]byte, error)
}

// journalled notes the shares a region wrote down.
func (n *node) journalled(disk reader) {
	for _, name := range disk.Names() {
		if !strings.HasPrefix(name, "answers/") {
			continue
		}
		b, err := disk.ReadFile(name)
		n.ok(err)
		for len(b) >= 4 {
			size := int(binary.BigEndian.Uint32(b))
			if size == 0 || size > len(b)-4 {
				break
			}
			if items, err := vault.StoredAnswers(b[4+32 : 4+size]); err == nil {
				n.emitted("disk", n.id, items)
			}
			b = b[4+size:]
		}
	}
}
