package sim

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
)

// Threshold keys under ill treatment: both curves sign all the time, for themselves and
// for children, payments too; refreshes of one and of all and reshares run meanwhile. A
// ceremony needs all its holders up, so it may fail; the key must go on all the same.

const (
	children       = 5
	ceremonyWithin = 3 * time.Minute // from the end of all faults until no ceremony runs: four tries have 30 s a step
	shedWithin     = 3 * time.Minute // until what was refreshed is gone from every HSM
)

// row is the key as one of the regions that are up has it; nil if none has.
func (w *World) row(id command.KeyID) *fsm.Key {
	for i := range w.nodes {
		if n := w.nodes[i].Load(); n != nil {
			if k, ok := n.View().Key(id); ok {
				return k
			}
		}
	}
	return nil
}

// payload is what a signer asks for: a message, and of a threshold key for a child of it
// or, where it has addresses, a payment of two of them.
func (k *key) payload(message []byte, rng *rand.Rand) *command.RequestSignature {
	hash := client.HashSHA256
	if k.curve == command.Ed25519 {
		hash = client.HashNone
	}
	b := client.NewSignMessage(k.id, hash, message, "")
	if !k.threshold {
		return b
	}
	if k.wallet != nil && rng.Intn(4) == 0 {
		if psbt, err := k.payment(rng); err == nil {
			return client.NewSignPSBT(k.id, psbt, "")
		}
	}
	if rng.Intn(2) == 0 {
		b.Path = []uint32{uint32(rng.Intn(children))}
	}
	return b
}

func (k *key) payment(rng *rand.Rand) ([]byte, error) {
	var outs []*intent.TaprootOutput
	for range 2 {
		o, err := k.wallet.Output(uint32(rng.Intn(children)))
		if err != nil {
			return nil, err
		}
		outs = append(outs, o)
	}
	seed := rng.Uint32()
	return intenttest.TaprootPSBT(2, k.wallet, intenttest.FundTaproot(seed, outs, 60_000, 50_000), outs, intenttest.To(seed, 100_000)), nil
}

// freezeChild stops a child of a threshold key for a while.
func (l *workload) freezeChild(ctx context.Context, rng *rand.Rand) {
	shared := l.shared()
	if len(shared) == 0 {
		return
	}
	k, path := shared[rng.Intn(len(shared))], []uint32{uint32(rng.Intn(children))}
	if _, err := l.submit(ctx, &command.FreezePath{Key: k.id, Path: path, Reason: "drill"}); err != nil {
		return
	}
	select {
	case <-time.After(between(rng, 2*time.Second, 15*time.Second)):
	case <-l.quit:
	}
	_, _ = l.submit(ctx, &command.UnfreezePath{Key: k.id, Path: path, Reason: "drill over"})
}

// thawChildren ends every freeze of a key's children on the healed vault.
func (l *workload) thawChildren(ctx context.Context, k *key) error {
	for i := range uint32(children) {
		if !k.threshold {
			return nil
		}
		_, err := l.submit(ctx, &command.UnfreezePath{Key: k.id, Path: []uint32{i}, Reason: "all over"})
		if err != nil && errs.CodeOf(err) != errs.BadState {
			return fmt.Errorf("thawing child %d of key %s: %w", i, k.id, err)
		}
	}
	return nil
}

// refresh begins a new sharing of one threshold key or of all, now and then among other
// regions. It may come at a bad moment; then it is not asked for again.
func (l *workload) refresh(ctx context.Context, rng *rand.Rand) {
	b := &command.RefreshKey{Reason: "drill"}
	if kind := rng.Intn(4); kind > 0 {
		shared := l.shared()
		b.Key = shared[rng.Intn(len(shared))].id
		if kind == 3 {
			for _, i := range rng.Perm(sites)[:3+rng.Intn(2)] {
				b.Holders = append(b.Holders, region(i))
			}
		}
		slices.Sort(b.Holders)
	}
	_, _ = l.submitWhile(ctx, b, func(err error) bool { return unsure(err) && errs.CodeOf(err) != errs.Throttled })
}

// refreshBeacon does the same to the beacon: to all regions, or now and then to three, until
// the next time.
func (l *workload) refreshBeacon(ctx context.Context, rng *rand.Rand) {
	b := &command.RefreshKey{Key: command.BeaconKey, Reason: "drill"}
	for _, i := range rng.Perm(sites)[:3+min(rng.Intn(4), 1)] {
		b.Holders = append(b.Holders, region(i))
	}
	slices.Sort(b.Holders)
	_, _ = l.submitWhile(ctx, b, func(err error) bool { return unsure(err) && errs.CodeOf(err) != errs.Throttled })
}

func (l *workload) shared() (out []*key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.keys {
		if k.threshold {
			out = append(out, k)
		}
	}
	return out
}

// ceremoniesOver wants every ceremony to end on the healed vault, and every threshold key
// to be live: one that faults kept from it is begun again, as an operator would.
func (l *workload) ceremoniesOver(ctx context.Context) error {
	if !await(ctx, ceremonyWithin, func() bool { return l.w.everywhere(func(v fsm.View) bool { return len(v.Ceremonies()) == 0 }) }) {
		return fmt.Errorf("ceremonies go on: %s", l.w.ceremonies())
	}
	for _, k := range l.w.anyView().Keys("") {
		if k.Scheme != command.SchemeThreshold || k.State != fsm.KeyPending {
			continue
		}
		if _, err := l.submit(ctx, &command.RefreshKey{Key: k.ID, Reason: "begun again"}); err != nil && errs.CodeOf(err) != errs.BadState {
			return fmt.Errorf("beginning key %s again: %w", k.ID, err)
		}
		if !await(ctx, ceremonyWithin, func() bool { return l.w.row(k.ID).State == fsm.KeyActive }) {
			return fmt.Errorf("key %s is not made: %s", k.ID, l.w.ceremonies())
		}
	}
	return nil
}

// shed wants a last refresh of all keys, and then everything of the sharings before to be
// gone: no share of theirs is valid, and no HSM holds a wrapping key that is not in use.
func (l *workload) shed(ctx context.Context) error {
	retired := func(v fsm.View) bool {
		return !slices.ContainsFunc(append(v.Keys(""), v.BeaconKey()), func(k *fsm.Key) bool { return k.Retiring != nil || k.Ceremony.Running() })
	}
	if !l.passes(ctx, retired) {
		return fmt.Errorf("a sharing does not go: %s", l.w.ceremonies())
	}
	before := map[command.KeyID]uint32{}
	for _, k := range l.shared() {
		before[k.id] = l.w.row(k.id).Sharing.Epoch
	}
	if _, err := l.submit(ctx, &command.RefreshKey{Reason: "after all"}); err != nil {
		return fmt.Errorf("a refresh of all keys: %w", err)
	}
	drew := l.w.anyView().BeaconKey().Sharing.Epoch
	if _, err := l.submit(ctx, &command.RefreshKey{Key: command.BeaconKey, Holders: everybody(), Reason: "after all"}); err != nil {
		return fmt.Errorf("a refresh of the beacon: %w", err)
	}
	if !l.passes(ctx, func(v fsm.View) bool {
		return retired(v) && v.BeaconKey().Sharing.Epoch > drew && !slices.ContainsFunc(l.shared(), func(k *key) bool { row, _ := v.Key(k.id); return row.Sharing.Epoch <= before[k.id] })
	}) {
		return fmt.Errorf("the last refresh does not end: %s", l.w.ceremonies())
	}
	for _, k := range l.shared() {
		if err := l.signAnew(ctx, k); err != nil {
			return fmt.Errorf("a signature with key %s after its refresh: %w", k.id, err)
		}
	}
	if !await(ctx, shedWithin, l.w.bare) {
		return fmt.Errorf("HSMs hold wrapping keys that are not in use: %s", l.w.wraps())
	}
	return nil
}

func everybody() (ids []identity.RegionID) {
	for i := range sites {
		ids = append(ids, region(i))
	}
	return ids
}

// passes waits until every region's state is so, and moves the committed clock meanwhile.
func (l *workload) passes(ctx context.Context, so func(fsm.View) bool) bool {
	for n := range 12 {
		if await(ctx, shedWithin/12, func() bool { return l.w.everywhere(so) }) {
			return true
		}
		_, _ = l.submit(ctx, &command.CreateTenant{Name: fmt.Sprintf("later-%d-%d", time.Now().Unix(), n)})
	}
	return false
}

// everywhere reports whether all regions are up and their states are so.
func (w *World) everywhere(so func(fsm.View) bool) bool {
	for i := range w.nodes {
		if n := w.nodes[i].Load(); n == nil || !so(n.View()) {
			return false
		}
	}
	return true
}

func (w *World) anyView() (v fsm.View) {
	for i := range w.nodes {
		if n := w.nodes[i].Load(); n != nil {
			v = n.View()
		}
	}
	return v
}

// bare reports whether every HSM holds the wrapping keys of epochs in use, and no others.
func (w *World) bare() bool {
	return w.everywhere(func(v fsm.View) bool { return len(v.Wraps()) == 1 }) && w.wraps() == ""
}

// wraps names the wrapping keys that HSMs hold and the state does not want.
func (w *World) wraps() (s string) {
	cluster := w.Genesis.Document.Cluster
	wanted := map[string]bool{}
	epochs := w.anyView().Wraps()
	for _, e := range epochs {
		wanted[seal.EpochLabel(cluster, e.Epoch)] = e.Doomed == 0
	}
	prefix := strings.TrimSuffix(seal.EpochLabel(cluster, 0), "0")
	for i, site := range w.Sites {
		for _, label := range site.Device.Labels() {
			if strings.HasPrefix(label, prefix) && !wanted[label] {
				s += fmt.Sprintf("region %d: %s; ", region(i), label)
			}
		}
	}
	return s
}

// ceremonies says how threshold keys stand, for a run that does not end well.
func (w *World) ceremonies() (s string) {
	for _, k := range append(w.anyView().Keys(""), w.anyView().BeaconKey()) {
		if c := k.Ceremony; c != nil {
			s += fmt.Sprintf("key %s: try %d of sharing %d at step %s, faults %v; ", k.ID, c.ID.Try, c.ID.Epoch, c.Step, c.Faults)
		} else if k.Retiring != nil {
			s += fmt.Sprintf("key %s: sharing %d retires at %s; ", k.ID, k.Retiring.Epoch, k.RetireAt)
		}
	}
	return s
}
