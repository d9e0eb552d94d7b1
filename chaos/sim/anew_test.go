package sim

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const lost = 2 // the site that loses its HSM

// TestLostHSM: a region loses disk and HSM, is enrolled with another one, takes new shares of
// the beacon and of every threshold key, and signs again; clients sign all the time.
func TestLostHSM(t *testing.T) {
	unraced(t)
	h, found := simulate(t, shared(40*time.Second), Options{Log: verbosely(t), Meanwhile: func(w *World) {
		time.Sleep(4 * time.Second)
		w.down(orderKill, lost)
		w.anew(t)
	}})
	only(t, h, found)
}

// TestStolenRegion: the same, but the old HSM is not broken. Somebody runs the region's old
// process on, on a copy of its disk: first in its place, and beside the other one until the
// end. Nothing is signed that the log did not draw, and no state differs.
func TestStolenRegion(t *testing.T) {
	onlyLong(t)
	h, found := simulate(t, shared(60*time.Second), Options{Log: verbosely(t), Meanwhile: func(w *World) {
		time.Sleep(4 * time.Second)
		w.mu.Lock()
		ghost, err := w.Copy(lost)
		w.mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		w.down(orderKill, lost)
		w.Net.Route(w.Sites[lost].Host(), ghost.Host())
		w.Net.Reset(w.Sites[lost].Host())
		time.Sleep(5 * time.Second) // it is the region: it signs, and may lead
		w.anew(t)
		time.Sleep(10 * time.Second)
		w.End(ghost)
	}})
	only(t, h, found)
}

// verbosely is where a run says what happens; nil unless tests are verbose.
func verbosely(t *testing.T) io.Writer {
	if testing.Verbose() {
		return t.Output()
	}
	return nil
}

// operators are the people who bring the lost region back, one step after the other.
type operators struct {
	*World
	t      *testing.T
	cl     *client.Client
	region identity.RegionID
}

// anew enrols the lost region with another HSM, has it arrive, and reshares everything.
func (w *World) anew(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	o := &operators{World: w, t: t, cl: w.ClientAt("anew", w.Lab.Admins[0], 0, 1, 3), region: region(lost)}
	defer o.cl.Close()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"quarantine", func(ctx context.Context) error { return o.quarantine(ctx, true) }}, {"enrolment", o.enrol},
		{"release", func(ctx context.Context) error { return o.quarantine(ctx, false) }}, {"welcome", o.welcome},
		{"ready", o.ready}, {"new shares", o.reshare}, {"drawn again", o.drawn},
	} {
		if err := persist(ctx, step.do); err != nil {
			t.Errorf("%s: %v", step.what, err)
			return
		}
	}
}

// persist does a step until it is done.
func persist(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

func (o *operators) dual(ctx context.Context, b command.Body) error {
	_, err := o.Dual(ctx, o.cl, b)
	return err
}

func (o *operators) quarantine(ctx context.Context, on bool) error {
	if r, _ := o.anyView().Region(o.region); (r.Status == fsm.RegionQuarantined) == on {
		return nil
	}
	return o.dual(ctx, &command.QuarantineRegion{Region: o.region, Quarantined: on, Reason: "its HSM is lost"})
}

// enrol makes keys in the new HSM, once, and has both administrators sign them in.
func (o *operators) enrol(ctx context.Context) error {
	row, _ := o.anyView().Region(o.region)
	switch {
	case len(row.Former) > 0:
		return nil
	case o.nodes[lost].Load() != nil:
		return errs.New(errs.NotReady, "its process still runs")
	}
	if o.gone() {
		o.Net.Route(o.Sites[lost].Host(), o.Sites[lost].Host())
		o.Net.Reset(o.Sites[lost].Host())
	}
	b, err := o.Reenrol(ctx, lost)
	if err != nil {
		return err
	}
	b.Replaces = row.Identity.Fingerprint()
	return o.dual(ctx, b)
}

// gone takes disk and HSM away once the process is down; it reports the first time.
func (o *operators) gone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.Lose(lost) {
		return false
	}
	o.attend(lost)
	return true
}

// welcome installs the region by what the others say, and starts it.
func (o *operators) welcome(ctx context.Context) error {
	rolls, err := o.cl.Rolls(ctx, o.region)
	if err != nil {
		return err
	}
	if err := o.Arrive(ctx, lost, rolls); err != nil {
		return err
	}
	o.keepers[lost].orders <- orderUp
	return nil
}

func (o *operators) ready(context.Context) error {
	n := o.nodes[lost].Load()
	if n == nil {
		return errs.New(errs.NotReady, "it is down")
	}
	return n.Ready()
}

// reshare asks for new sharings until the region holds the beacon and every threshold key.
func (o *operators) reshare(ctx context.Context) error {
	v := o.anyView()
	for _, k := range append(v.ThresholdKeys(), v.BeaconKey()) {
		if k.Holds(o.region) || k.State == fsm.KeyRetired {
			continue
		}
		if err := o.dual(ctx, &command.RefreshKey{Key: k.ID, Holders: everybody(), Reason: "it has another HSM"}); err != nil {
			return err
		}
		return errs.New(errs.NotReady, "key %s is being reshared", k.Name)
	}
	return nil
}

// drawn wants the region among the signers of a threshold key, by its new shares.
func (o *operators) drawn(context.Context) error {
	v := o.anyView()
	row, _ := v.Region(o.region)
	for _, q := range v.Requests("", command.RequestID{}, 1<<16) {
		k, _ := v.Key(q.Key)
		if q.Opened > row.Former[0].Index && q.State == fsm.RequestComplete && k.Scheme == command.SchemeThreshold &&
			slices.ContainsFunc(q.Results, func(s fsm.SignatureSet) bool { return s.Region == o.region }) {
			return nil
		}
	}
	return errs.New(errs.NotReady, "not yet")
}
