package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// frostKey is one sharing, with what its ceremony put into the log.
type frostKey struct {
	public     *frost.PublicKey
	transcript [32]byte
	shares     map[identity.RegionID]*frost.Share
	dealings   map[identity.RegionID]*frost.Dealing
}

// sharings are those a world has dealt, and how its regions open their shares.
type sharings struct {
	mu    sync.Mutex
	keys  map[command.KeyID]map[uint32]*frostKey
	fault map[identity.RegionID]error
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
	return &sharings{keys: map[command.KeyID]map[uint32]*frostKey{}, fault: map[identity.RegionID]error{},
		named: map[string]use{}, given: map[turn][][]byte{}, made: map[string]map[string]string{}}
}

// open is what a region's vault opens its shares with.
func (n *node) openShare(_ context.Context, key *fsm.Key, epoch uint32) (*frost.Share, *frost.PublicKey, error) {
	s := n.sharings
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key.ID][epoch]
	switch {
	case s.fault[n.id] != nil:
		return nil, nil, s.fault[n.id]
	case k == nil || k.shares[n.id] == nil:
		return nil, nil, errs.New(errs.NotFound, "region %d has no share of key %s in epoch %d", n.id, key.ID, epoch)
	}
	return k.shares[n.id], k.public, nil
}

func frostSuite(c command.Curve) *frost.Suite {
	if c == command.Ed25519 {
		return frost.Ed25519
	}
	return frost.BIP340
}

// hold plays a ceremony between all parties, in memory.
func hold(terms frost.Terms, old map[identity.RegionID]*frost.Share) (*frostKey, error) {
	parties := map[uint8]*frost.Ceremony{}
	for _, r := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(terms.Holders, terms.Dealers)))) {
		share := old[identity.RegionID(r)]
		if !slices.Contains(terms.Dealers, r) {
			share = nil
		}
		c, err := frost.Begin(rand.Reader, terms, r, share)
		if err != nil {
			return nil, err
		}
		parties[r] = c
	}
	k := &frostKey{shares: map[identity.RegionID]*frost.Share{}, dealings: map[identity.RegionID]*frost.Dealing{}}
	for _, d := range terms.Dealers {
		h, _ := parties[d].Hash()
		for _, to := range parties {
			if err := to.AddHash(d, h); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range terms.Dealers {
		dealing, err := parties[d].Reveal()
		if err != nil {
			return nil, err
		}
		k.dealings[identity.RegionID(d)] = dealing
		for _, to := range parties {
			if err := to.AddDealing(d, dealing); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range terms.Dealers {
		for _, h := range terms.Holders {
			dealt, err := parties[d].Dealt(h)
			if err != nil {
				return nil, err
			}
			if err := parties[h].AddDealt(d, dealt); err != nil {
				return nil, err
			}
		}
	}
	for r, p := range parties {
		result, err := p.Finish()
		if err != nil {
			return nil, err
		}
		k.public, k.transcript = result.Key, result.Transcript
		if result.Share != nil {
			k.shares[identity.RegionID(r)] = result.Share
		}
	}
	return k, nil
}

func ids(rs []identity.RegionID) (out []uint8) {
	for _, r := range rs {
		out = append(out, uint8(r))
	}
	return out
}

// file commits a command of a region.
func (n *node) file(body command.Body) {
	n.t.Helper()
	out, err := n.Propose(context.Background(), n.command(body, time.Minute, n.session))
	n.ok(err)
	if out.Err() != nil {
		n.t.Fatalf("%T of region %d: %s: %s", body, n.id, out.Code, out.Text)
	}
}

// deal takes a key's ceremony through all its steps.
func (w *world) deal(id command.KeyID) {
	w.t.Helper()
	key, _ := w.nodes[1].View().Key(id)
	c := key.Ceremony
	terms := frost.NewKey(frostSuite(key.Curve), bytes.Repeat([]byte{1, byte(c.ID.Try)}, 16), "test", int(c.Threshold), ids(c.Holders))
	var old map[identity.RegionID]*frost.Share
	if key.Sharing != nil {
		was := w.sharings.keys[id][key.Sharing.Epoch]
		old = was.shares
		terms = frost.Reshare(was.public, terms.Session, "test", int(c.Threshold), ids(c.Holders), ids(c.Dealers))
	}
	made, err := hold(terms, old)
	w.ok(err)
	w.sharings.mu.Lock()
	if w.sharings.keys[id] == nil {
		w.sharings.keys[id] = map[uint32]*frostKey{}
	}
	w.sharings.keys[id][c.ID.Epoch] = made
	w.sharings.mu.Unlock()
	w.offerWraps(c.Wrap)
	for _, d := range c.Dealers {
		w.nodes[d].file(&command.HashDealing{Ceremony: c.ID, Hash: made.dealings[d].Hash(), Seed: []byte("sealed seed")})
	}
	for _, d := range c.Dealers {
		w.nodes[d].file(&command.Deal{Ceremony: c.ID, Dealing: made.dealings[d].Encode()})
	}
	for _, d := range c.Dealers {
		sealed := make([][]byte, len(c.Holders))
		for i, h := range c.Holders {
			sealed[i] = fmt.Appendf(nil, "dealt by %d to %d", d, h)
		}
		w.nodes[d].file(&command.DealShares{Ceremony: c.ID, Sealed: sealed})
	}
	chain := key.Chain
	if key.Sharing == nil {
		chain = frost.ChainCode(made.transcript)
	}
	for _, h := range c.Holders {
		w.nodes[h].file(&command.FinishShare{Ceremony: c.ID, Transcript: made.transcript, Public: made.public.Encode(),
			Point: made.public.Compressed(), Chain: chain, Share: fmt.Appendf(nil, "share of %d", h)})
	}
}

func (w *world) offerWraps(epoch uint32) {
	for _, n := range w.all() {
		for _, e := range n.View().Wraps() {
			if e.Epoch != epoch || e.Key(n.id) != nil {
				continue
			}
			public, sealed, attributes := fmt.Appendf(nil, "wrap %d of %d", epoch, n.id), []byte("sealed"), []byte(goodAttributes)
			sig, err := n.kit.Region(n.id).Identity.Sign(context.Background(), command.WrapBytes(w.kit.Cluster(), n.id, epoch, public, sealed, attributes))
			n.ok(err)
			n.file(&command.OfferWrap{Epoch: epoch, Public: public, Sealed: sealed, Attributes: attributes, Identity: sig})
		}
	}
}

// threshold makes a threshold key and waits until it can sign.
func (w *world) threshold(curve command.Curve, signers uint8) *fsm.Key {
	w.t.Helper()
	id := w.must(w.dual(&command.CreateKey{Name: fmt.Sprintf("joint-%s-%d", curve, signers), Tenant: "acme",
		Scheme: command.SchemeThreshold, Curve: curve, Signers: signers, AllowBlind: true})).Key
	w.deal(id)
	w.eventually("key live", func() bool {
		k, ok := w.nodes[1].View().Key(id)
		return ok && k.State == fsm.KeyActive && k.Sharing != nil
	})
	w.stocked(curve)
	k, _ := w.nodes[1].View().Key(id)
	return k
}

// refresh makes a new sharing of a key.
func (w *world) refresh(id command.KeyID) *fsm.Key {
	w.t.Helper()
	w.must(w.dual(&command.RefreshKey{Key: id, Reason: "test"}))
	w.deal(id)
	k, _ := w.nodes[1].View().Key(id)
	return k
}

// stocked waits until every living region's committed pool of a curve holds something.
func (w *world) stocked(curve command.Curve) {
	w.t.Helper()
	w.eventually("pools filled", func() bool {
		return !slices.ContainsFunc(w.all(), func(n *node) bool { return !n.isDown() && w.pool(n.id, curve) < 32 })
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

// opened notes what the log gave each commitment to; one is given once.
func (w *world) opened(view fsm.View, ids []command.RequestID) {
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
