package client

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const (
	wordsPause   = 200 * time.Millisecond // between two questions to one node
	wordsLeast   = 2                      // words that agree: one of two regions is honest
	wordsAtOnce  = 16                     // items of a batch that are asked about at once
	wordSessions = 64                     // session certificates of one answer
	refusedMost  = 16                     // texts kept of answers that did not verify
)

// askWords asks every node, with again until ctx ends: one that lies or is silent hides
// nothing that another one tells. The channel is closed when nothing more will come.
func (c *Client) askWords(ctx context.Context, req *tetradv1.AcknowledgeRequest, again bool) <-chan *tetradv1.AcknowledgeResponse {
	out := make(chan *tetradv1.AcknowledgeResponse)
	var asking sync.WaitGroup
	for _, n := range c.nodes {
		asking.Go(func() {
			for first := true; ctx.Err() == nil && (first || again); first = false {
				reply := &tetradv1.AcknowledgeResponse{}
				if c.ask(ctx, n, tetradv1.Vault_Acknowledge_FullMethodName, req, reply, false) == nil {
					select {
					case out <- reply:
					case <-ctx.Done():
					}
				}
				if again {
					c.reconsider(ctx)
					pause(ctx, wordsPause)
				}
			}
		})
	}
	go func() {
		asking.Wait()
		close(out)
	}()
	return out
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// wordCheck verifies regions' words on one command, given to one question. Sessions are
// held against the newest this client knows of each region: words of an earlier boot
// count for nothing.
type wordCheck struct {
	cfg     *Config
	trust   *trust
	command [32]byte // content hash
	nonce   [16]byte

	book    *chain.Book
	words   map[RegionID]*command.OutcomeWord
	why     map[RegionID]string // no word
	refused []string
}

func (c *Client) newWordCheck(content [32]byte) (*wordCheck, error) {
	w := newWordCheck(&c.cfg, c.trust, content)
	if _, err := io.ReadFull(c.cfg.Random, w.nonce[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a nonce")
	}
	for _, raw := range c.proof.newest() {
		_, _ = w.session(raw) // verified before
	}
	return w, nil
}

func newWordCheck(cfg *Config, t *trust, content [32]byte) *wordCheck {
	w := &wordCheck{cfg: cfg, trust: t, book: t.book(), command: content, words: map[RegionID]*command.OutcomeWord{}, why: map[RegionID]string{}}
	return w
}

// take enters one node's answer.
func (w *wordCheck) take(r *tetradv1.AcknowledgeResponse) {
	for _, s := range r.Sessions[:min(len(r.Sessions), wordSessions)] {
		_, _ = w.session(s) // one that does not verify signs nothing below either
	}
	for _, a := range r.Words[:min(len(r.Words), len(w.cfg.Regions))] {
		region := RegionID(min(a.Region, 1<<8-1))
		if _, known := w.cfg.Regions[region]; !known {
			continue
		}
		if len(a.Word) == 0 {
			w.why[region] = a.GetFault().GetText()
		} else if err := w.word(region, a.Word, a.Session); err != nil {
			w.refuse(err)
		}
	}
}

func (w *wordCheck) refuse(err error) {
	if text := err.Error(); len(w.refused) < refusedMost && !slices.Contains(w.refused, text) {
		w.refused = append(w.refused, text)
	}
}

func (w *wordCheck) session(raw []byte) (*identity.SessionCert, error) {
	cert, err := identity.DecodeSessionCert(raw)
	if err != nil {
		return nil, err
	}
	if err := w.book.Add(cert); err != nil {
		w.trust.doubts()
		return cert, err
	}
	return cert, nil
}

// word enters a region's word, if it is that: of this region in its present boot, on this
// very command of this very vault, given now.
func (w *wordCheck) word(region RegionID, raw, session []byte) error {
	o, err := command.DecodeOutcomeWord(raw)
	if err != nil {
		return err
	}
	cert, err := w.session(session)
	if err != nil {
		return err
	}
	switch {
	case o.Region != region || cert.Region != region:
		return errs.New(errs.Unverified, "a word for region %d is one of region %d", region, o.Region)
	case o.Lineage != w.cfg.Lineage:
		return errs.New(errs.Unverified, "the word of region %d is of another vault or lineage", region)
	case o.Command != w.command:
		return errs.New(errs.Unverified, "the word of region %d is on another command", region)
	case o.Nonce != w.nonce:
		return errs.New(errs.Stale, "the word of region %d was given to an earlier question", region)
	}
	if err := o.Verify(w.cfg.Cluster, cert.Session); err != nil {
		return err
	}
	if !w.current(o) {
		return errs.New(errs.Stale, "the word of region %d is of an earlier boot", region)
	}
	w.words[region] = o
	return nil
}

func (w *wordCheck) current(o *command.OutcomeWord) bool {
	h, ok := w.book.Holder(o.Region, o.Session)
	return ok && h.Current
}

// saying returns the regions whose current words count, ascending.
func (w *wordCheck) saying(counts func(*command.OutcomeWord) bool) (regions []RegionID) {
	for r, o := range w.words {
		if w.current(o) && counts(o) {
			regions = append(regions, r)
		}
	}
	slices.Sort(regions)
	return regions
}

// agreed returns the largest group of current words that agree, of those that count, as
// one of them and its regions, ascending. A word that knows the whole place stands for
// its group where there is one.
func (w *wordCheck) agreed(counts func(*command.OutcomeWord) bool) (best *command.OutcomeWord, regions []RegionID) {
	for _, first := range w.saying(counts) {
		o := w.words[first]
		by := w.saying(func(other *command.OutcomeWord) bool { return counts(other) && o.Agrees(other) })
		if len(by) < len(regions) {
			continue
		}
		better := best == nil || len(by) > len(regions) || o.Placed() && !best.Placed() ||
			o.Placed() == best.Placed() && o.Meta.Index < best.Meta.Index
		if better {
			best, regions = o, by
		}
	}
	return best, regions
}
