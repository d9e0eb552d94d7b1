package client

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
)

// A region that lost its HSM is enrolled with another one, and has another identity key
// than the genesis says. A client learns of it when something does not verify: it asks all
// regions who they are, and believes another key of one when two others that it believes
// say so over their own signatures. No region changes its own key, and a key that was
// replaced never comes back.

const (
	doubtPause  = 5 * time.Second  // between two rounds of questions, so that a liar costs little
	rollWait    = 2 * time.Second  // for all answers of a round: one node that hangs holds up nobody for long
	certainTime = 10 * time.Minute // for which what regions said of each other is asked for no more
	formersMost = 16               // keys remembered of a region
)

// trust is the identity keys a client believes.
type trust struct {
	cfg *Config

	mu      sync.RWMutex
	keys    map[RegionID][]PublicKey // oldest first
	learned map[RegionID]bool        // its last key was told by others: the ones before speak no more
	contest []RegionID               // whose key two camps dispute: what it says counts for nothing
	doubt   bool                     // something did not verify since
	asked   time.Time

	turn chan struct{} // held while asking
}

func newTrust(cfg *Config) *trust {
	t := &trust{cfg: cfg, keys: map[RegionID][]PublicKey{}, learned: map[RegionID]bool{}, turn: make(chan struct{}, 1)}
	for r, keys := range cfg.Regions {
		t.keys[r] = slices.Clone(keys)
	}
	return t
}

// speak are the keys that may speak for a region now.
func (t *trust) speak(r RegionID) []PublicKey {
	t.mu.RLock()
	defer t.mu.RUnlock()
	keys := t.keys[r]
	if t.learned[r] {
		return slices.Clone(keys[len(keys)-1:])
	}
	return slices.Clone(keys)
}

// counts are the keys under which what a region signs counts: none while it is contested.
func (t *trust) counts(r RegionID) []PublicKey {
	t.mu.RLock()
	contested := slices.Contains(t.contest, r)
	t.mu.RUnlock()
	if contested {
		return nil
	}
	return t.speak(r)
}

// book is a roster of sessions under these keys. A key that was replaced has none, however
// old the certificate: who has its HSM signs such ones now. What it alone would prove, two
// regions' words prove.
func (t *trust) book() *chain.Book {
	b := chain.NewBook(t.cfg.Cluster, t.counts, len(t.cfg.Regions))
	b.Speaking(t.counts)
	return b
}

// doubts notes that something did not verify, which may be because a region has another
// key now.
func (t *trust) doubts() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubt = true
}

// due reports whether it is time to ask who the regions are.
func (t *trust) due(now time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.doubt && now.Sub(t.asked) >= doubtPause
}

// uncertain reports whether nobody was asked lately: a client that runs for months hears of
// nothing that verifies under a key replaced since.
func (t *trust) uncertain(now time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return now.Sub(t.asked) >= certainTime
}

func (t *trust) believed() roll.Pins {
	t.mu.RLock()
	defer t.mu.RUnlock()
	pins := roll.Pins{}
	for r, keys := range t.keys {
		if len(keys) > 0 {
			pins[r] = keys[len(keys)-1]
		}
	}
	return pins
}

// former reports whether a region had a key before the one it has.
func (t *trust) former(r RegionID, k PublicKey) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	keys := t.keys[r]
	return len(keys) > 1 && t.learned[r] && slices.ContainsFunc(keys[:len(keys)-1], k.Equal)
}

// take enters what others told, and returns the regions whose key is another one now.
func (t *trust) take(pins roll.Pins, contested []RegionID) (changed []RegionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.contest = contested
	for r, k := range pins {
		keys := t.keys[r]
		if keys[len(keys)-1].Equal(k) || len(keys) >= formersMost {
			continue
		}
		t.keys[r], t.learned[r] = append(keys, k), true
		changed = append(changed, r)
	}
	return changed
}

// reconsider asks who the regions are, if something did not verify, and reports whether
// it believes another key now: then what failed is worth another try.
func (c *Client) reconsider(ctx context.Context) bool {
	if !c.trust.due(time.Now()) {
		return false
	}
	select {
	case c.trust.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-c.trust.turn }()
	if !c.trust.due(time.Now()) { // somebody asked meanwhile
		return false
	}
	changed, _, err := c.relearn(ctx, 0)
	return err == nil && changed
}

// certain asks now and then who the regions are, before something is asked of one region itself: who
// has its old HSM passes for it with a client that knows the genesis only.
func (c *Client) certain(ctx context.Context) {
	select {
	case c.trust.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-c.trust.turn }()
	if c.trust.uncertain(time.Now()) {
		_, _, _ = c.relearn(ctx, 0) // who answers nothing changes nothing
	}
}

// relearn asks until nothing new is believed, and returns the rolls of believed regions of
// the last round. The turn is held.
func (c *Client) relearn(ctx context.Context, guest RegionID) (changed bool, heard []*roll.Roll, err error) {
	for range len(c.cfg.Regions) + 1 {
		rolls, err := c.rolls(ctx, guest)
		if err != nil {
			return changed, nil, err
		}
		j := roll.Judge{Cluster: c.cfg.Cluster, Lineage: c.cfg.Lineage, Start: c.trust.believed(), Former: c.trust.former}
		pins, of := j.Believe(rolls)
		news := c.trust.take(pins, j.Contested(pins, of))
		if heard = of; len(news) == 0 {
			break
		}
		changed = true
		c.adopt(news)
	}
	c.trust.mu.Lock()
	defer c.trust.mu.Unlock()
	c.trust.doubt, c.trust.asked = false, time.Now()
	return changed, heard, nil
}

// adopt forgets what rested on keys that speak no more: verified sessions, and connections
// to whoever has the old ones.
func (c *Client) adopt(regions []RegionID) {
	c.proof.forget()
	for _, n := range c.nodes {
		if r := c.regionOf(n); r == 0 || slices.Contains(regions, r) {
			c.redial(n)
		}
	}
}

// rolls asks every node for its region's word, and returns those that answer this question.
// Nobody's word is judged here.
func (c *Client) rolls(ctx context.Context, guest RegionID) ([]*roll.Roll, error) {
	var nonce [16]byte
	if _, err := io.ReadFull(c.cfg.Random, nonce[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a nonce")
	}
	ctx, cancel := context.WithTimeout(ctx, rollWait)
	defer cancel()
	answers, why := make([]*roll.Roll, len(c.nodes)), make([]error, len(c.nodes))
	var asking sync.WaitGroup
	for i, n := range c.nodes {
		asking.Go(func() { answers[i], why[i] = c.rollOf(ctx, n, guest, nonce) })
	}
	asking.Wait()
	rolls := slices.DeleteFunc(answers, func(o *roll.Roll) bool { return o == nil })
	if len(rolls) > 0 {
		return rolls, nil
	}
	slices.SortStableFunc(why, func(a, b error) int { return less(answered(errs.CodeOf(b)), answered(errs.CodeOf(a))) })
	return nil, why[0] // a node's own word says more than that one was not reached
}

func (c *Client) rollOf(ctx context.Context, n *node, guest RegionID, nonce [16]byte) (*roll.Roll, error) {
	reply := &tetradv1.RollResponse{}
	if err := c.ask(ctx, n, tetradv1.Vault_Roll_FullMethodName, &tetradv1.RollRequest{Nonce: nonce[:], Region: uint32(guest)}, reply, false); err != nil {
		return nil, err
	}
	o, err := roll.Decode(reply.Roll)
	if err == nil && o.Nonce != nonce {
		err = errs.New(errs.Stale, "the word of region %d was given to an earlier question", o.Region)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// less orders false before true.
func less(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Identities asks the regions who they are, and returns the identity keys to believe: those
// the client was configured with, save where two other regions say that one has another.
func (c *Client) Identities(ctx context.Context) (map[RegionID]PublicKey, error) {
	if _, err := c.Rolls(ctx, 0); err != nil {
		return nil, err
	}
	return maps.Clone(map[identity.RegionID]PublicKey(c.trust.believed())), nil
}

// Rolls asks the regions who they are and returns the words (encoded roll.Roll) of those
// that are believed, one a region, ascending. With a guest each also carries the root
// keyring, wrapped to the HSM that its state has for that region; only administrators and
// operators of the vault are given it.
func (c *Client) Rolls(ctx context.Context, guest RegionID) ([][]byte, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	select {
	case c.trust.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, errs.Wrap(errs.DeadlineExceeded, ctx.Err(), "waiting for another question to the regions")
	}
	defer func() { <-c.trust.turn }()
	_, heard, err := c.relearn(ctx, guest)
	if err != nil {
		return nil, err
	}
	if len(heard) == 0 {
		return nil, errs.New(errs.Unavailable, "no region says who the regions are").WithHint("are nodes up that know this key? vaultctl status")
	}
	out := make([][]byte, len(heard))
	for i, o := range heard {
		out[i] = o.Encode()
	}
	return out, nil
}
