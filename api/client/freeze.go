package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Lease is how long a region may act on what it knew: see docs/design/certificates.md.
const Lease = time.Second

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
	c.certain(ctx)
	cm := cmd.Commitment()
	words, err := c.newWordCheck(cm.Hash(c.cfg.Cluster))
	if err != nil {
		return nil, err
	}
	f := &freezeCheck{wordCheck: words}
	req := &tetradv1.AcknowledgeRequest{Author: cmd.Principal[:], CommandId: cmd.ID[:], Nonce: words.nonce[:]}
	return c.await(ctx, f, c.askWords(ctx, req, true), progress)
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
		case r, more := <-replies:
			if !more {
				replies = nil // ctx ends
				continue
			}
			f.take(r, time.Now())
		case <-alarm.C:
		case <-ctx.Done():
			return a, errs.New(errs.Unacknowledged, "%d of %d regions confirmed it, and %s: something may still be signed against it",
				len(a.Confirmed), len(f.cfg.Regions), certifiedText(a)).
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

// freezeCheck verifies what nodes answer about one command that takes rights away.
type freezeCheck struct {
	*wordCheck
	cover *chain.Cover // verified, of place
	place chain.Link
	since time.Time // when cover was here
}

// take enters one node's answer.
func (f *freezeCheck) take(r *tetradv1.AcknowledgeResponse, now time.Time) {
	f.wordCheck.take(r)
	if len(r.Cover) == 0 {
		return
	}
	if err := f.covered(r.Cover, now); err != nil {
		f.refuse(err)
	}
}

// standing returns the regions whose words agree that the command was carried out, the
// most there are, and their place in the log. It rests on two words at least, or is no
// place that a cover could be of.
func (f *freezeCheck) standing() (at command.Meta, regions []RegionID) {
	best, regions := f.agreed(func(o *command.OutcomeWord) bool { return o.Code == errs.OK })
	if best == nil {
		return at, nil
	}
	placed := 0
	for _, r := range regions {
		if f.words[r].Meta == best.Meta && best.Placed() {
			placed++
		}
	}
	if placed < wordsLeast {
		return command.Meta{Index: best.Meta.Index}, regions
	}
	return best.Meta, regions
}

func placeOf(at command.Meta) chain.Link {
	return chain.Link{Term: at.Term, Index: at.Index, Hash: at.Chain}
}

// covered enters the proof that the command's place is certified. The place itself rests
// on the words of two regions, one of which is honest.
func (f *freezeCheck) covered(raw []byte, now time.Time) error {
	at, _ := f.standing()
	place := placeOf(at)
	if at.Term == 0 || f.cover != nil && f.place == place {
		return nil
	}
	cover, err := chain.DecodeCover(raw)
	if err != nil {
		return err
	}
	if err := cover.Verify(f.book, f.cfg.Lineage, place); err != nil {
		return err
	}
	f.cover, f.place, f.since = cover, place, now
	return nil
}

// judge says how far the command is acknowledged.
func (f *freezeCheck) judge(now time.Time) *Acknowledgement {
	at, regions := f.standing()
	a := &Acknowledgement{Index: at.Index, Confirmed: regions, Missing: map[RegionID]string{}, Refused: slices.Clone(f.refused)}
	for r := range f.cfg.Regions {
		if slices.Contains(regions, r) {
			continue
		}
		a.Missing[r] = f.why[r]
		if o := f.words[r]; o != nil && f.current(o) && o.Code != errs.OK {
			a.Missing[r] = "it decided the command as " + o.Code.String()
		} else if o != nil || a.Missing[r] == "" {
			a.Missing[r] = "no word that verifies"
		}
	}
	f.lease(a, at, now)
	if len(regions) == len(f.cfg.Regions) {
		a.Ground = GroundEveryRegion
	}
	return a
}

// lease fills in what the certificate gives. The skew is the largest any of the words
// names: a liar can only make the wait longer.
func (f *freezeCheck) lease(a *Acknowledgement, at command.Meta, now time.Time) {
	if f.cover == nil || at.Term == 0 || f.place != placeOf(at) {
		return
	}
	var skew time.Duration
	for _, r := range a.Confirmed {
		skew = max(skew, f.words[r].Skew)
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
