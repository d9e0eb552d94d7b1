//go:build liar

package cluster

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// How a region lies: it is a whole node with its own key, session and log, and changes
// what leaves it. What each lie is for stands in docs/design/liar.md.

// lies is what a liar remembers of its lies.
type lies struct {
	mu    sync.Mutex
	forks map[identity.RegionID]*fork
	shown map[identity.RegionID]chain.Link // the last entry sent to each
	old   *chain.Ack                       // an ack to replay

	command *command.Command // and a command
}

// memories are kept beside the clusters, so that ordinary builds have no field for them.
var memories sync.Map // *Cluster -> *lies

func (c *Cluster) lies() *lies {
	if m, ok := memories.Load(c); ok {
		return m.(*lies)
	}
	return &lies{forks: map[identity.RegionID]*fork{}, shown: map[identity.RegionID]chain.Link{}} // it ends
}

type falseOutcome struct {
	fsm.Outcome
	err error
}

func (c *Cluster) tells(name string) bool {
	_, is := liar.Tells(c.book.self, name)
	return is
}

// lie takes the place of what sends and answers.
func (c *Cluster) lie() {
	memories.Store(c, &lies{forks: map[identity.RegionID]*fork{}, shown: map[identity.RegionID]chain.Link{}})
	context.AfterFunc(c.ctx, func() { memories.Delete(c) })
	lie := c.lieTo
	c.transport.lie.Store(&lie)
	back := c.lieBack
	c.server.lie.Store(&back)
	c.wg.Go(c.misbehave)
}

// clings keeps a leadership that brings no certificates.
func (c *Cluster) clings() bool { return c.tells("mute-leader") }

// falseOutcome answers a command without proposing it.
func (c *Cluster) falseOutcome(cmd *command.Command) (o falseOutcome, is bool) {
	switch {
	case c.tells("freeze-unproposed") && (cmd.Type == command.TypeFreezeKey || cmd.Type == command.TypeFreezeVault):
		liar.Did("freeze-unproposed")
		return falseOutcome{fsm.Outcome{Code: errs.OK, Index: c.Applied()}, nil}, true
	case c.tells("path-unproposed") && cmd.Type == command.TypeFreezePath:
		liar.Did("path-unproposed")
		return falseOutcome{fsm.Outcome{Code: errs.OK, Index: c.Applied()}, nil}, true
	case c.tells("ignored-requests") && cmd.Type == command.TypeRequestSignature:
		liar.Did("ignored-requests")
		return falseOutcome{err: errs.New(errs.Throttled, "not now")}, true
	case c.tells("schedule-held") && cmd.Type == command.TypeTick:
		liar.Did("schedule-held")
		return falseOutcome{err: errs.New(errs.Unavailable, "not now")}, true
	case c.tells("ceremony-starved") && c.ofVictim(cmd):
		liar.Did("ceremony-starved")
		return falseOutcome{err: errs.New(errs.Unavailable, "not now")}, true
	case c.tells("completion-hidden") && cmd.Type == command.TypeComplete:
		liar.Did("completion-hidden")
		return falseOutcome{err: errs.New(errs.Unavailable, "not now")}, true
	}
	return o, false
}

// ofVictim reports whether a command is the victim's part in a ceremony.
func (c *Cluster) ofVictim(cmd *command.Command) bool {
	switch cmd.Type {
	case command.TypeHashDealing, command.TypeDeal, command.TypeDealShares, command.TypeFinishShare:
	default:
		return false
	}
	return slices.ContainsFunc(c.Shown(liar.Told(c.book.self).Victim), func(cert *identity.SessionCert) bool {
		return cert.Session.Fingerprint() == cmd.Principal
	})
}

// falseEntry changes what this leader proposes.
func (c *Cluster) falseEntry(e *command.Entry) *command.Entry {
	told := liar.Told(c.book.self)
	move := map[string]time.Duration{"stamp-forward": time.Hour, "stamp-backward": -time.Hour, "stamp-idle-forward": 48 * time.Hour, "stamp-idle-backward": -48 * time.Hour,
		"window-early": 5 * time.Minute}
	if by, ok := move[told.Name]; ok {
		liar.Did(told.Name)
		return &command.Entry{Stamp: c.cfg.Now().Add(by).UTC().Truncate(time.Millisecond), Commands: e.Commands}
	}
	if told.Name == "import-replayed" {
		c.recall(e)
	}
	if told.Name != "other-payload" {
		return e
	}
	out := &command.Entry{Stamp: e.Stamp}
	for _, cmd := range e.Commands {
		if b, err := cmd.Body(); err == nil && cmd.Type == command.TypeRequestSignature {
			r := b.(*command.RequestSignature)
			r.Payload = append([]byte("to the liar: "), r.Payload...)
			if swapped, err := command.New(r, cmd.Principal, cmd.ID, cmd.Expiry, rand.Reader); err == nil {
				swapped.Signatures = cmd.Signatures
				cmd = swapped
				liar.Did(told.Name)
			}
		}
		out.Commands = append(out.Commands, cmd)
	}
	return out
}

// recall keeps the first command that allowed imports.
func (c *Cluster) recall(e *command.Entry) {
	m := c.lies()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, cmd := range e.Commands {
		b, err := cmd.Body()
		if set, ok := b.(*command.Configure); err == nil && ok && set.Settings.Import && m.command == nil {
			m.command = cmd
		}
	}
}

// falseBytes changes an entry after it was sealed.
func (c *Cluster) falseBytes(sealed []byte) []byte {
	switch {
	case c.tells("poison-bytes"):
		liar.Did("poison-bytes")
		out := make([]byte, len(sealed))
		_, _ = rand.Read(out)
		return out
	case c.tells("poison-body"):
		liar.Did("poison-body")
		out, _ := c.cfg.EntrySealer.Seal([]byte("no entry"), entryContext(c.cfg.Lineage))
		return out
	}
	return sealed
}
