package client

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Lease is how long a region may act on what it knew: see docs/design/certificates.md.
const Lease = time.Second

const (
	ackPause = 200 * time.Millisecond // between two questions to one node
	ackLeast = 2                      // words on one place in the log: one of two regions is honest
)

// Ground is what an acknowledgement rests on.
type Ground uint8

// The grounds. GroundNone: it is not acknowledged.
const (
	GroundNone        Ground = 0
	GroundEveryRegion Ground = 1 // each region signed that it carried the command out
	GroundLease       Ground = 2 // its entry is certified, and every older lease has run out
)

// String returns the name shown in results.
func (g Ground) String() string {
	return [...]string{"none", "every region", "lease", "unknown"}[min(g, 3)]
}

// Acknowledgement says who confirmed a command that takes rights away, and whether it
// can no longer be acted against.
type Acknowledgement struct {
	Ground    Ground
	Index     uint64              // where the regions applied it
	Confirmed []RegionID          // whose signed words were verified, ascending
	Missing   map[RegionID]string // and why there is none of the others
	Refused   []string            // answers that did not verify
	Certified uint64              // index of the certificate that covers it; 0 without one
	Newest    time.Time           // newest time in that certificate
	Wait      time.Duration       // what is left of the lease, once certified
}

// Acknowledge waits until nothing can be signed against cmd any more, which was submitted
// before: until every region confirmed it under its own signature, or until one lease
// plus twice the skew has passed since the proof that its entry is certified was here. It
// verifies everything against the pinned identity keys and believes no node. progress,
// which may be nil, hears of each step. At the end of ctx the error is Unacknowledged.
//
// The wait is measured from the arrival of the proof on a clock that only has to run
// evenly: whoever signed the certificate did so before.
func (c *Client) Acknowledge(ctx context.Context, cmd *Command, progress func(*Acknowledgement)) (*Acknowledgement, error) {
	if !cmd.Type.Restricts() {
		return nil, errs.New(errs.Invalid, "%s takes no rights away: there is nothing to acknowledge", cmd.Type)
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	cm := cmd.Commitment()
	f := newFreezeCheck(c.cfg, cm.Hash(c.cfg.Cluster))
	if _, err := io.ReadFull(c.cfg.Random, f.nonce[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a nonce")
	}
	return c.await(ctx, f, c.askAcks(ctx, cmd, f.nonce), progress)
}

func (c *Client) await(ctx context.Context, f *freezeCheck, replies <-chan *tetradv1.AcknowledgeResponse, progress func(*Acknowledgement)) (*Acknowledgement, error) {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		a := f.judge(time.Now())
		if progress != nil {
			progress(a)
		}
		if a.Ground != GroundNone {
			return a, nil
		}
		if a.Certified != 0 {
			alarm.Reset(a.Wait)
		}
		select {
		case r := <-replies:
			f.take(r, time.Now())
		case <-alarm.C:
		case <-ctx.Done():
			return a, errs.New(errs.Unacknowledged, "%d of %d regions confirmed it, and %s: something may still be signed against it",
				len(a.Confirmed), len(f.regions), certifiedText(a)).
				WithHint("it stands in the log and takes hold as regions come back; ask again, or stop regions with vaultctl region stop --local")
		}
	}
}

func certifiedText(a *Acknowledgement) string {
	if a.Certified == 0 {
		return "nothing proves that it is certified"
	}
	return fmt.Sprintf("its certificate's lease runs for another %s", a.Wait.Round(time.Millisecond))
}

// askAcks asks every node again and again until ctx ends: one that lies or is silent
// hides nothing that another one tells.
func (c *Client) askAcks(ctx context.Context, cmd *Command, nonce [16]byte) <-chan *tetradv1.AcknowledgeResponse {
	out := make(chan *tetradv1.AcknowledgeResponse)
	req := &tetradv1.AcknowledgeRequest{Author: cmd.Principal[:], CommandId: cmd.ID[:], Nonce: nonce[:]}
	for _, n := range c.nodes {
		go func() {
			for ctx.Err() == nil {
				reply := &tetradv1.AcknowledgeResponse{}
				if c.ask(ctx, n, tetradv1.Vault_Acknowledge_FullMethodName, req, reply, false) == nil {
					select {
					case out <- reply:
					case <-ctx.Done():
					}
				}
				t := time.NewTimer(ackPause)
				select {
				case <-t.C:
				case <-ctx.Done():
				}
				t.Stop()
			}
		}()
	}
	return out
}

// freezeCheck verifies what nodes answer about one command.
type freezeCheck struct {
	cluster ClusterID
	lineage [32]byte
	regions map[RegionID][]PublicKey
	command [32]byte // content hash
	nonce   [16]byte

	book    *chain.Book
	acks    map[RegionID]*command.FreezeAck
	why     map[RegionID]string // no ack
	refused []string
	cover   *chain.Cover // verified, of place
	place   chain.Link
	since   time.Time // when cover was here
}

func newFreezeCheck(cfg Config, content [32]byte) *freezeCheck {
	f := &freezeCheck{cluster: cfg.Cluster, lineage: cfg.Lineage, regions: cfg.Regions, command: content,
		acks: map[RegionID]*command.FreezeAck{}, why: map[RegionID]string{}}
	f.book = chain.NewBook(f.cluster, func(r identity.RegionID) []identity.PublicKey { return f.regions[r] }, len(f.regions))
	return f
}

// refusedMost bounds the texts kept of answers that did not verify.
const refusedMost = 16

// take enters one node's answer.
func (f *freezeCheck) take(r *tetradv1.AcknowledgeResponse, now time.Time) {
	for _, a := range r.Acks {
		region := RegionID(a.Region)
		if len(a.Ack) == 0 {
			if _, known := f.regions[region]; known && a.Fault != nil {
				f.why[region] = a.Fault.Text
			}
			continue
		}
		if err := f.ack(region, a.Ack, a.Session); err != nil {
			f.refuse(err)
		}
	}
	if len(r.Cover) == 0 || len(r.Sessions) > 64 {
		return
	}
	for _, s := range r.Sessions {
		_, _ = f.session(s) // one that does not verify signs nothing below either
	}
	if err := f.covered(r.Cover, now); err != nil {
		f.refuse(err)
	}
}

func (f *freezeCheck) refuse(err error) {
	if text := err.Error(); len(f.refused) < refusedMost && !slices.Contains(f.refused, text) {
		f.refused = append(f.refused, text)
	}
}

func (f *freezeCheck) session(raw []byte) (*identity.SessionCert, error) {
	cert, err := identity.DecodeSessionCert(raw)
	if err != nil {
		return nil, err
	}
	return cert, f.book.Add(cert)
}

// ack enters a region's word, if it is that: of this region in its present boot, on this
// very command of this very vault, given now.
func (f *freezeCheck) ack(region RegionID, raw, session []byte) error {
	a, err := command.DecodeFreezeAck(raw)
	if err != nil {
		return err
	}
	cert, err := f.session(session)
	if err != nil {
		return err
	}
	switch {
	case a.Region != region || cert.Region != region:
		return errs.New(errs.Unverified, "a word for region %d is one of region %d", region, a.Region)
	case a.Lineage != f.lineage:
		return errs.New(errs.Unverified, "the word of region %d is of another vault or lineage", region)
	case a.Command != f.command:
		return errs.New(errs.Unverified, "the word of region %d is on another command", region)
	case a.Nonce != f.nonce:
		return errs.New(errs.Stale, "the word of region %d was given to an earlier question", region)
	}
	if err := a.Verify(f.cluster, cert.Session); err != nil {
		return err
	}
	if !f.current(a) {
		return errs.New(errs.Stale, "the word of region %d is of an earlier boot", region)
	}
	f.acks[region] = a
	return nil
}

func (f *freezeCheck) current(a *command.FreezeAck) bool {
	h, ok := f.book.Holder(a.Session)
	return ok && h.Region == a.Region && h.Current
}

// standing returns the regions whose words agree on one place in the log, the most there
// are, and that place.
func (f *freezeCheck) standing() (at command.Meta, regions []RegionID) {
	by := map[command.Meta][]RegionID{}
	for r, a := range f.acks {
		if f.current(a) {
			by[a.Meta] = append(by[a.Meta], r)
		}
	}
	for m, rs := range by {
		if len(rs) > len(regions) || len(rs) == len(regions) && m.Index < at.Index {
			at, regions = m, rs
		}
	}
	slices.Sort(regions)
	return at, regions
}

// covered enters the proof that the command's place is certified. The place itself rests
// on the words of two regions, one of which is honest.
func (f *freezeCheck) covered(raw []byte, now time.Time) error {
	at, regions := f.standing()
	place := chain.Link{Term: at.Term, Index: at.Index, Hash: at.Chain}
	if len(regions) < ackLeast || f.cover != nil && f.place == place {
		return nil
	}
	cover, err := chain.DecodeCover(raw)
	if err != nil {
		return err
	}
	if err := cover.Verify(f.book, f.lineage, place); err != nil {
		return err
	}
	f.cover, f.place, f.since = cover, place, now
	return nil
}

// judge says how far the command is acknowledged.
func (f *freezeCheck) judge(now time.Time) *Acknowledgement {
	at, regions := f.standing()
	a := &Acknowledgement{Index: at.Index, Confirmed: regions, Missing: map[RegionID]string{}, Refused: slices.Clone(f.refused)}
	for r := range f.regions {
		if !slices.Contains(regions, r) {
			if a.Missing[r] = f.why[r]; f.acks[r] != nil || a.Missing[r] == "" {
				a.Missing[r] = "no word that verifies"
			}
		}
	}
	f.lease(a, at, now)
	if len(regions) == len(f.regions) {
		a.Ground = GroundEveryRegion
	}
	return a
}

// lease fills in what the certificate gives. The skew is the largest any of the words
// names: a liar can only make the wait longer.
func (f *freezeCheck) lease(a *Acknowledgement, at command.Meta, now time.Time) {
	place := chain.Link{Term: at.Term, Index: at.Index, Hash: at.Chain}
	if f.cover == nil || f.place != place || len(a.Confirmed) < ackLeast {
		return
	}
	var skew time.Duration
	for _, r := range a.Confirmed {
		skew = max(skew, f.acks[r].Skew)
	}
	a.Certified = f.cover.Certificate.Index
	for _, w := range f.cover.Certificate.Witnesses {
		if w.At.After(a.Newest) {
			a.Newest = w.At
		}
	}
	if a.Wait = Lease + 2*skew - now.Sub(f.since); a.Wait <= 0 {
		a.Ground, a.Wait = GroundLease, 0
	}
}
