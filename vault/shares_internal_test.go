package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// holding is a log in which real threshold keys are made, and region 2's HSM and shares.
type holding struct {
	t      testing.TB
	l      *fsmtest.Log
	device *sealtest.Device
	hsm    *seal.HSM
	shares *shares
	made   map[command.KeyID]map[uint8]*frost.Result
	logged bytes.Buffer
}

const own = identity.RegionID(2)

func (h *holding) View() fsm.View                                { return h.l.Machine.View() }
func (h *holding) Ready() error                                  { return nil }
func (h *holding) Lease() error                                  { return nil }
func (h *holding) WaitApplied(_ context.Context, _ uint64) error { return nil }

func (h *holding) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func newHolding(t testing.TB, keep Keeping) *holding {
	h := &holding{t: t, device: sealtest.New(sealtest.Options{Seed: 2}), made: map[command.KeyID]map[uint8]*frost.Result{}}
	h.l, _, _ = fsmtest.New().Ready(fsm.Options{})
	var err error
	h.hsm, err = h.device.OpenHSM(t.Context())
	h.ok(err)
	_, err = h.hsm.GenerateIdentity(t.Context(), "identity")
	h.ok(err)
	_, err = h.hsm.GenerateWrapping(t.Context(), "wrapping")
	h.ok(err)
	cfg := &Config{Region: own, Replica: h, Wraps: h.hsm.Epochs(h.l.Cluster()), Shares: keep, Timing: DefaultTiming(),
		Attributes: func(a []byte) error { return seal.AttributesOK(a, seal.Profile{}) },
		Logger:     slog.New(slog.NewTextHandler(&h.logged, nil))}
	h.shares = newShares(cfg, newWraps(cfg, nil))
	t.Cleanup(h.shares.close)
	return h
}

// key makes an active threshold key; refresh makes its next sharing.
func (h *holding) key(curve command.Curve) command.KeyID {
	id := h.l.Must(h.l.By(h.l.Admins[0], &command.CreateKey{Name: fmt.Sprintf("key-%d", len(h.made)), Tenant: "acme", Scheme: command.SchemeThreshold,
		Curve: curve, Signers: 2})).Key
	h.hold(id)
	return id
}

func (h *holding) refresh(id command.KeyID) {
	h.l.Must(h.l.Dual(&command.RefreshKey{Key: id, Reason: "monthly"}))
	h.hold(id)
}

// hold runs the ceremony that waits, with the shares of a real one played beside it.
func (h *holding) hold(id command.KeyID) {
	h.t.Helper()
	k, _ := h.View().Key(id)
	h.offer(k.Ceremony.Wrap)
	results := h.play(k)
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		k, _ = h.View().Key(id)
		who := k.Ceremony.Dealers
		if step == fsm.StepFinish {
			who = k.Ceremony.Holders
		}
		for _, r := range who {
			body := h.l.Said(h.l.Region(r), id)
			if step == fsm.StepFinish {
				body = h.finish(k, r, results[uint8(r)])
			}
			h.l.Must(h.l.By(h.l.Region(r).Session, body))
		}
	}
	h.made[id] = results
}

// offer has everybody offer a wrapping key, region 2 a real one.
func (h *holding) offer(epoch uint32) {
	for _, r := range h.l.Regions {
		if e, _ := h.View().Wrap(epoch); e.Key(r.ID) != nil {
			continue
		} else if r.ID != own {
			h.l.Must(h.l.OfferWrap(r, epoch))
			continue
		}
		public, sealed, attributes, err := h.shares.cfg.Wraps.CreateWrap(h.t.Context(), epoch)
		h.ok(err)
		sig, err := r.Identity.Sign(h.t.Context(), command.WrapBytes(h.l.Cluster(), r.ID, epoch, public, sealed, attributes))
		h.ok(err)
		h.l.Must(h.l.By(r.Session, &command.OfferWrap{Epoch: epoch, Public: public, Sealed: sealed, Attributes: attributes, Identity: sig}))
	}
}

func (h *holding) play(k *fsm.Key) map[uint8]*frost.Result {
	suite := frost.BIP340
	if k.Curve == command.Ed25519 {
		suite = frost.Ed25519
	}
	session, old := fmt.Appendf(nil, "session of %v", k.Ceremony.ID), h.made[k.ID]
	terms := frost.NewKey(suite, session, "test", 2, bytesOf(k.Ceremony.Holders))
	if old != nil {
		terms = frost.Refresh(old[1].Key, session, "test", bytesOf(k.Ceremony.Dealers))
	}
	all := map[uint8]*frost.Ceremony{}
	for _, r := range terms.Holders {
		var share *frost.Share
		if old != nil && slices.Contains(terms.Dealers, r) {
			share = old[r].Share
		}
		c, err := frost.Begin(rand.Reader, terms, r, share)
		h.ok(err)
		all[r] = c
	}
	each := func(f func(from uint8, c, to *frost.Ceremony, n uint8) error) {
		for _, from := range terms.Dealers {
			for _, to := range terms.Holders {
				h.ok(f(from, all[from], all[to], to))
			}
		}
	}
	each(func(from uint8, c, to *frost.Ceremony, _ uint8) error { x, _ := c.Hash(); return to.AddHash(from, x) })
	each(func(from uint8, c, to *frost.Ceremony, _ uint8) error {
		d, err := c.Reveal()
		h.ok(err)
		return to.AddDealing(from, d)
	})
	each(func(from uint8, c, to *frost.Ceremony, n uint8) error {
		d, err := c.Dealt(n)
		h.ok(err)
		return to.AddDealt(from, d)
	})
	out := map[uint8]*frost.Result{}
	for r, c := range all {
		result, err := c.Finish()
		h.ok(err)
		out[r] = result
	}
	return out
}

func bytesOf(regions []identity.RegionID) (b []uint8) {
	for _, r := range regions {
		b = append(b, uint8(r))
	}
	return b
}

func (h *holding) finish(k *fsm.Key, r identity.RegionID, result *frost.Result) *command.FinishShare {
	b := &command.FinishShare{Ceremony: k.Ceremony.ID, Transcript: result.Transcript, Public: result.Key.Encode(), Point: result.Key.Compressed(),
		Chain: frost.ChainCode(result.Transcript), Share: []byte("another region's")}
	if k.Sharing != nil {
		b.Chain = k.Chain
	}
	if r == own {
		info := shareInfo(h.l.Cluster(), k.ID, k.Ceremony.ID.Epoch, r)
		plain := result.Share.Encode()
		var err error
		b.Share, err = h.shares.wraps.seal(k.Ceremony.Wrap, r, info, plain)
		clear(plain)
		h.ok(err)
	}
	return b
}

func (h *holding) row(id command.KeyID) *fsm.Key {
	k, _ := h.View().Key(id)
	return k
}

// get opens a share and lets the caller have it.
func (h *holding) get(id command.KeyID, epoch uint32) *frost.Share {
	h.t.Helper()
	share, public, err := h.shares.get(h.t.Context(), h.row(id), epoch)
	h.ok(err)
	h.ok(share.Matches(public))
	if want := h.made[id][uint8(own)].Share; epoch == want.Epoch() && !bytes.Equal(share.Encode(), want.Encode()) {
		h.t.Fatal("another share was opened")
	}
	return share
}

// at returns the locked memory of a share.
func (h *holding) at(id command.KeyID, epoch uint32) []byte {
	s := h.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.rows[shareID{id, epoch}]
	if e == nil {
		return nil
	}
	return s.arena.at(e.Value.(*openShare).slot)
}

func zero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

// TestSharesSign: a share comes out of the state by one call of the HSM, out of memory
// from then on, and signs together with another region's.
func TestSharesSign(t *testing.T) {
	for _, curve := range []command.Curve{command.Ed25519, command.Secp256k1} {
		h := newHolding(t, Keeping{Keep: time.Minute, Most: 16})
		ids := []command.KeyID{h.key(curve), h.key(curve)}
		before := h.device.Count(sealtest.OpDecrypt)
		for range 2 {
			for _, id := range ids {
				h.get(id, 1).Wipe() // a copy: what is kept stays
				signs(h, id)
			}
		}
		if n := h.device.Count(sealtest.OpDecrypt) - before; n != 1 {
			t.Errorf("%d calls of the HSM for one epoch", n)
		}
		if o := h.shares.status(); o.Shares != 2 || o.Most != 16 || o.Unlocked != nil {
			t.Errorf("%+v", o)
		}
	}
}

func signs(h *holding, id command.KeyID) {
	h.t.Helper()
	share, public, err := h.shares.get(h.t.Context(), h.row(id), 1)
	h.ok(err)
	both := map[uint8]*frost.Share{uint8(own): share, 3: h.made[id][3].Share}
	pools, named := map[uint8]*frost.Pool{}, []*frost.Commitment{}
	for r := range both {
		p, err := frost.NewPool(public.Suite(), r, 1, bytes.Repeat([]byte{r}, 32))
		h.ok(err)
		c, err := p.Prepare(rand.Reader, 1)
		h.ok(err)
		pools[r], named = p, append(named, c[0])
	}
	var parts []*frost.SignatureShare
	for r, s := range both {
		part, err := pools[r].Sign(s, public, []byte("pay"), named)
		h.ok(err)
		parts = append(parts, part)
	}
	_, err = public.Aggregate([]byte("pay"), named, parts)
	h.ok(err)
	share.Wipe()
}

// TestSharesRefuse what is not this region's share of this key in this sharing.
func TestSharesRefuse(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 16})
	id, second := h.key(command.Ed25519), h.key(command.Ed25519)
	alter := func(f func(s *fsm.Sharing)) *fsm.Key {
		k, s := *h.row(id), *h.row(id).Sharing
		s.Shares, s.Public = slices.Clone(s.Shares), bytes.Clone(s.Public)
		f(&s)
		k.Sharing = &s
		return &k
	}
	put := func(box []byte) *fsm.Key { return alter(func(s *fsm.Sharing) { s.Shares[own-1].Box = box }) }
	good, result := h.row(id).Sharing.Share(own), h.made[id]
	reseal := func(share *frost.Share, info []byte) *fsm.Key {
		b, err := h.shares.wraps.seal(1, own, info, share.Encode())
		h.ok(err)
		return put(b)
	}
	info := shareInfo(h.l.Cluster(), id, 1, own)
	foreign, _, err := box.New()
	h.ok(err)
	toOther, err := box.Seal(foreign.Public(), info, result[2].Share.Encode())
	h.ok(err)
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	retired := *h.row(id)
	retired.State = fsm.KeyRetired
	for name, c := range map[string]struct {
		key   *fsm.Key
		epoch uint32
		code  errs.Code
	}{
		"an altered box":              {put(bad), 1, errs.Corrupt},
		"an empty box":                {put(nil), 1, errs.Denied},
		"another key's box":           {put(h.row(second).Sharing.Share(own)), 1, errs.Corrupt},
		"a box to another region":     {put(toOther), 1, errs.Corrupt},
		"bound to another epoch":      {reseal(result[2].Share, shareInfo(h.l.Cluster(), id, 2, own)), 1, errs.Corrupt},
		"bound to another region":     {reseal(result[2].Share, shareInfo(h.l.Cluster(), id, 1, 3)), 1, errs.Corrupt},
		"another region's share":      {reseal(result[3].Share, info), 1, errs.Corrupt},
		"another key's share":         {reseal(h.made[second][2].Share, info), 1, errs.Corrupt},
		"another key's public side":   {alter(func(s *fsm.Sharing) { s.Public = h.row(second).Sharing.Public }), 1, errs.Corrupt},
		"a public side that is none":  {alter(func(s *fsm.Sharing) { s.Public = s.Public[1:] }), 1, errs.Corrupt},
		"no share of this region":     {alter(func(s *fsm.Sharing) { s.Shares = s.Shares[2:] }), 1, errs.Denied},
		"a wrapping epoch that is no": {alter(func(s *fsm.Sharing) { s.Wrap = 7 }), 1, errs.Stale},
		"a sharing to come":           {h.row(id), 2, errs.Stale},
		"a retired key":               {&retired, 1, errs.Stale},
	} {
		share, public, err := h.shares.get(t.Context(), c.key, c.epoch)
		if errs.CodeOf(err) != c.code || share != nil || public != nil {
			t.Errorf("%s: %v (%v), want %v", name, err, errs.CodeOf(err), c.code)
		}
	}
	if n := h.shares.status().Shares; n != 0 {
		t.Errorf("%d refused shares are kept", n)
	}
	h.get(id, 1)
	h.ok(h.hsm.Destroy(t.Context(), seal.EpochLabel(h.l.Cluster(), 1)))
	h.shares.wraps.forget(nil)
	if _, _, err := h.shares.get(t.Context(), h.row(second), 1); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("the key in the HSM is destroyed: %v", err)
	}
}

// TestEvictionWipes looks at the memory itself: least recently used goes first.
func TestEvictionWipes(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 2})
	a, b, c := h.key(command.Ed25519), h.key(command.Secp256k1), h.key(command.Ed25519)
	secret := func(id command.KeyID) []byte { return h.made[id][uint8(own)].Share.Encode() }
	h.get(a, 1)
	h.get(b, 1)
	h.get(a, 1) // so that b is the one unused longest
	memory, slot := h.shares.arena.mem, h.at(b, 1)
	if !bytes.Contains(memory, secret(a)) || !bytes.Equal(slot, secret(b)) {
		t.Fatal("the shares are not where they should be")
	}
	h.get(c, 1)
	if bytes.Contains(memory, secret(b)[7:]) || h.at(b, 1) != nil || !bytes.Contains(memory, secret(a)) || !bytes.Equal(slot, secret(c)) {
		t.Fatal("the share that went is still in memory, or another one went")
	}
	h.l.Must(h.l.Dual(&command.RetireKey{Key: c}))
	h.shares.look(h.View(), []command.KeyID{a, c})
	if !zero(slot) || h.at(c, 1) != nil || h.at(a, 1) == nil {
		t.Fatal("a retired key's share is still there, or another went")
	}
	h.shares.look(h.View(), nil)
	h.shares.mu.Lock()
	h.shares.sweep(func(*openShare) bool { return true })
	h.shares.mu.Unlock()
	if !zero(memory) {
		t.Fatal("something is left")
	}
	h.get(a, 1)
	h.shares.close()
	h.shares.close()
	if _, _, err := h.shares.get(t.Context(), h.row(a), 1); errs.CodeOf(err) != errs.BadState {
		t.Errorf("after the end: %v", err)
	}
	if text := h.logged.String(); strings.Contains(text, "locked") {
		t.Errorf("logged: %s", text)
	}
}

// TestRefreshedShareGoes: while the old sharing retires both are there; then one.
func TestRefreshedShareGoes(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 8})
	id := h.key(command.Ed25519)
	old := h.get(id, 1)
	h.refresh(id)
	fresh := h.get(id, 2)
	if bytes.Equal(old.Encode(), fresh.Encode()) {
		t.Fatal("the share did not change")
	}
	h.shares.look(h.View(), []command.KeyID{id})
	if h.at(id, 1) == nil || h.at(id, 2) == nil {
		t.Fatal("a sharing that may still be answered is gone")
	}
	h.l.Now = h.l.Now.Add(fsm.RetireTime)
	r := h.l.Apply(h.l.By(h.l.Region(1).Session, &command.Tick{}))
	slot := h.at(id, 1)
	h.shares.look(h.View(), r.Keys)
	if h.at(id, 1) != nil || !zero(slot) || h.at(id, 2) == nil {
		t.Fatalf("keys changed: %v; old sharing there %v, wiped %v", r.Keys, h.at(id, 1) != nil, zero(slot))
	}
	if _, _, err := h.shares.get(t.Context(), h.row(id), 1); errs.CodeOf(err) != errs.Stale {
		t.Errorf("the old sharing: %v", err)
	}
	e, _ := h.View().Wrap(1)
	h.shares.wraps.forget(h.View().Wraps())
	if e.Doomed == 0 || h.shares.wraps.has(1) || !h.shares.wraps.has(2) {
		t.Error("the doomed epoch's key is still in memory, or the next one's is not")
	}
}

// TestUnusedSharesGo after the configured time, by the runner.
func TestUnusedSharesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHolding(t, Keeping{Keep: 8 * time.Minute, Most: 8})
		a, b := h.key(command.Ed25519), h.key(command.Ed25519)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.shares.run(ctx); close(ended) }()
		h.get(a, 1)
		h.get(b, 1)
		slot := h.at(a, 1)
		for range 3 {
			time.Sleep(4 * time.Minute)
			h.get(b, 1)
		}
		synctest.Wait()
		if h.at(a, 1) != nil || !zero(slot) || h.at(b, 1) == nil {
			t.Errorf("unused share there: %v, wiped: %v, used share there: %v", h.at(a, 1) != nil, zero(slot), h.at(b, 1) != nil)
		}
		h.get(a, 1)
		cancel()
		<-ended
		if o := h.shares.status(); o.Shares != 0 {
			t.Errorf("%d shares after the end", o.Shares)
		}
	})
}

// TestSharesUnderLoad: many callers, few places, keys that retire, an end in the middle.
// Whoever gets a share gets the right one.
func TestSharesUnderLoad(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 2})
	var ids []command.KeyID
	for range 4 {
		ids = append(ids, h.key(command.Ed25519))
	}
	before := h.device.Count(sealtest.OpDecrypt)
	var wg sync.WaitGroup
	var closing atomic.Bool
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				id := ids[(i+j)%len(ids)]
				share, public, err := h.shares.get(t.Context(), h.row(id), 1)
				if errs.CodeOf(err) == errs.BadState && closing.Load() {
					return
				}
				if err != nil || !bytes.Equal(share.Encode(), h.made[id][2].Share.Encode()) || !bytes.Equal(public.Encode(), h.made[id][2].Key.Encode()) {
					t.Errorf("%v", err)
					return
				}
				share.Wipe()
				if j%10 == 9 {
					h.shares.tidy()
					h.shares.look(h.View(), ids[:1])
				}
				if i == 7 && j == 45 {
					closing.Store(true)
					h.shares.close()
				}
			}
		})
	}
	wg.Wait()
	if n := h.device.Count(sealtest.OpDecrypt) - before; n != 1 {
		t.Errorf("%d calls of the HSM", n)
	}
}

// TestUnlockableMemoryIsSaid: without the right to lock memory shares are kept all the
// same, and it is said once in the log, and in the status.
func TestUnlockableMemoryIsSaid(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 8})
	a, b := h.key(command.Ed25519), h.key(command.Ed25519)
	withoutLocking(t, func() {
		h.get(a, 1)
		h.get(b, 1)
	})
	if o := h.shares.status(); o.Unlocked == nil || o.Shares != 2 {
		t.Errorf("%+v", o)
	}
	if n := strings.Count(h.logged.String(), "not locked"); n != 1 {
		t.Errorf("said %d times: %s", n, h.logged.String())
	}
}

// withoutLocking runs f on a thread that may lock no memory; the thread ends with it.
func withoutLocking(t *testing.T, f func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the capability is gone for this thread only
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&hdr, &caps[0])
		if err == nil {
			caps[0].Effective &^= 1 << unix.CAP_IPC_LOCK
			err = unix.Capset(&hdr, &caps[0])
		}
		if err == nil {
			err = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: was.Max})
		}
		if err == nil {
			f()
			err = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestArenaIsKeptToItself reads what the kernel says of the memory.
func TestArenaIsKeptToItself(t *testing.T) {
	a, err := newArena(100, frost.ShareSize)
	if err != nil {
		t.Fatal(err)
	}
	if a.locked != nil {
		t.Skip("NOT CHECKED: this process may lock no memory: ", a.locked)
	}
	if _, ok := a.put(make([]byte, frost.ShareSize+1)); ok {
		t.Error("took a secret larger than a slot")
	}
	seen := map[int]bool{}
	for i := range 100 {
		slot, ok := a.put(bytes.Repeat([]byte{byte(i + 1)}, frost.ShareSize))
		if !ok || seen[slot] {
			t.Fatalf("secret %d: slot %d, %v", i, slot, ok)
		}
		seen[slot] = true
	}
	if _, ok := a.put([]byte{1}); ok {
		t.Error("took more secrets than it has slots")
	}
	flags := vmFlags(t, a.mem)
	for _, want := range []string{"lo", "dd"} { // locked; left out of core dumps
		if !slices.Contains(flags, want) {
			t.Errorf("flags of the mapping: %v, want %s", flags, want)
		}
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkShare is what a signature pays for a share that is in memory, and for one that
// has to be opened.
func BenchmarkShare(b *testing.B) {
	for _, curve := range []command.Curve{command.Ed25519, command.Secp256k1} {
		h := newHolding(b, Keeping{Keep: time.Hour, Most: 16})
		key := h.row(h.key(curve))
		take := func() {
			share, _, err := h.shares.get(b.Context(), key, 1)
			h.ok(err)
			share.Wipe()
		}
		b.Run(fmt.Sprintf("%s/kept", curve), func(b *testing.B) {
			for b.Loop() {
				take()
			}
		})
		b.Run(fmt.Sprintf("%s/opened", curve), func(b *testing.B) {
			for b.Loop() {
				h.shares.mu.Lock()
				h.shares.sweep(func(*openShare) bool { return true })
				h.shares.mu.Unlock()
				take()
			}
		})
	}
}

// BenchmarkManyKeys is what 10,000 keys in use cost: bytes of Go's heap and of locked
// memory for each.
func BenchmarkManyKeys(b *testing.B) {
	const n = 10000
	for _, curve := range []command.Curve{command.Ed25519, command.Secp256k1} {
		b.Run(curve.String(), func(b *testing.B) {
			h := newHolding(b, Keeping{Keep: time.Hour, Most: n})
			result := h.made[h.key(curve)][uint8(own)]
			encoded := result.Key.Encode()
			for b.Loop() {
				h.shares.mu.Lock()
				h.ok(h.shares.open())
				h.shares.sweep(func(*openShare) bool { return true })
				h.shares.mu.Unlock()
				before := heap()
				for i := range uint32(n) {
					public, err := frost.DecodePublicKey(encoded) // each key has its own
					h.ok(err)
					h.ok(h.shares.remember(shareID{command.KeyID{byte(i), byte(i >> 8)}, 1}, result.Share, public))
				}
				b.ReportMetric(float64(heap()-before)/n, "heap-bytes/share")
				b.ReportMetric(float64(len(h.shares.arena.mem))/n, "locked-bytes/share")
			}
			runtime.KeepAlive(h)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// vmFlags returns what /proc/self/smaps says of the mapping that holds mem.
func vmFlags(t *testing.T, mem []byte) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("NOT CHECKED: ", err)
	}
	address, inside := uint64(uintptr(unsafe.Pointer(&mem[0]))), false
	for _, line := range strings.Split(string(text), "\n") {
		var from, to uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			return strings.Fields(flags)
		}
	}
	t.Fatal("the mapping is not there")
	return nil
}

func TestShareInfoIsTheSpecs(t *testing.T) {
	got := shareInfo(identity.ClusterID{1}, command.KeyID{2}, 3, 4)
	want := "00000013" + hex.EncodeToString([]byte("tetrad/box/share/v1")) + "01" + strings.Repeat("00", 15) + "02" + strings.Repeat("00", 15) + "00000003" + "04"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x, the spec says %s", got, want)
	}
}
