package vault

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// TestEvictedShareIsNowhere reads all of the process's memory: after a share was opened,
// used and evicted, its secret bytes are nowhere in it, neither in the locked memory nor
// among what Go's heap and stacks have left lying about. What is looked for is kept masked,
// or the search would find itself.
func TestEvictedShareIsNowhere(t *testing.T) {
	for _, curve := range []command.Curve{command.Ed25519, command.Secp256k1} {
		h := newHolding(t, Keeping{Keep: time.Minute, Most: 4})
		id := h.key(curve)
		masked := h.forgetMade(id)
		use := func() {
			share, _, err := h.shares.get(t.Context(), h.row(id), 1)
			h.ok(err)
			share.Wipe()
		}
		use()
		use()
		if n := countInMemory(t, masked); n == 0 {
			t.Fatalf("%s: a share that is kept is not found: the search finds nothing", curve)
		}
		h.shares.mu.Lock()
		h.shares.sweep(func(*openShare) bool { return true })
		h.shares.mu.Unlock()
		runtime.GC()
		if n := countInMemory(t, masked); n != 0 {
			t.Errorf("%s: the secret stands %d times in memory after its eviction", curve, n)
		}
	}
}

// TestForgottenWrapIsNowhere: the same of an opened wrapping key, whose seed opens all that
// was ever sealed under its epoch, and of the key of own boxes derived from it. Both ways of
// sealing were opened with it.
func TestForgottenWrapIsNowhere(t *testing.T) {
	for name, forget := range map[string]func(h *holding){
		"unused": func(h *holding) {
			h.shares.wraps.mu.Lock()
			h.shares.wraps.keys[1].used = time.Now().Add(-time.Minute)
			h.shares.wraps.mu.Unlock()
			h.shares.wraps.forget(h.View().Wraps())
		},
		"destroyed": func(h *holding) { h.shares.wraps.lost(1) },
		"doomed":    func(h *holding) { h.shares.wraps.forget(nil) },
		"closed":    func(h *holding) { h.shares.wraps.close() },
	} {
		h := newHolding(t, Keeping{Keep: time.Minute, Most: 4})
		id := h.key(command.Ed25519)
		h.get(id, 1).Wipe()
		sealed, err := h.shares.wraps.sealOwn(t.Context(), 1, []byte("info"), []byte("plain"))
		h.ok(err)
		_, err = h.shares.wraps.open(t.Context(), 1, sealed, []byte("info"))
		h.ok(err)
		row := h.shares.wraps.keys[1]
		memory := h.shares.wraps.arena.at(row.slot)
		seed, key := masked(memory[:box.SeedSize]), masked(memory[box.SeedSize:])
		if n := countInMemory(t, seed, key); n < 2 {
			t.Fatalf("%s: seed and key of own boxes are kept and found %d times: the search finds nothing", name, n)
		}
		forget(h)
		runtime.GC()
		if n := countInMemory(t, seed, key); n != 0 {
			t.Errorf("%s: seed or key of own boxes stand %d times in memory afterwards", name, n)
		}
	}
}

// TestBeaconShareIsNowhere: the same of this region's share of the beacon key, as it is stored
// and as the library keeps it, whether the genesis dealt it or a refresh did.
func TestBeaconShareIsNowhere(t *testing.T) {
	for name, epoch := range map[string]uint32{"of the genesis": 0, "of a refresh": 1} {
		b, st, forms := openBeacon(t, epoch)
		for i := range 3 {
			share, err := b.open(t.Context(), st)
			if err == nil {
				_, err = b.partial(b.at(command.Meta{Index: uint64(i + 1)}), st, share)
			}
			if err != nil {
				t.Fatal(name, err)
			}
			share.Wipe()
		}
		if n := countInMemory(t, forms[0]); n == 0 {
			t.Errorf("%s: a share that is kept is not found: the search finds nothing", name)
		}
		if epoch == 0 {
			b.close()
		} else {
			b.forget(&fsm.Key{Sharing: &fsm.Sharing{Epoch: 2}})
		}
		runtime.GC()
		if n := countInMemory(t, forms[:]...); n != 0 {
			t.Errorf("%s: the secret stands %d times in memory afterwards", name, n)
		}
		if share, err := b.open(t.Context(), st); share != nil || err == nil {
			t.Errorf("%s: opened after the end", name)
		}
		b.close()
	}
}

// openBeacon is a beacon that opened its share of one sharing; forms are the secret's, masked.
func openBeacon(t *testing.T, epoch uint32) (b *beacon, st *stand, forms [2][]byte) {
	t.Helper()
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 4})
	share := drawShare(t, epoch)
	secret := share.Secret()
	forms[0] = masked(secret)
	clear(secret)
	field, _ := reflect.TypeOf(share).FieldByName("secret")
	forms[1] = masked(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&share), field.Offset)), field.Type.Size()))
	key := draw.PublicKey{Epoch: epoch, Threshold: 2, Shares: make([][32]byte, 4)}
	key.Shares[own-1] = share.Public()
	st = &stand{key: key, holds: true}
	cfg := *h.shares.cfg
	if epoch == 0 {
		cfg.Share = share
	}
	b, err := newBeacon(&cfg, h.shares)
	h.ok(err)
	b.stands[epoch], st.slot = st, b.first
	if epoch != 0 {
		h.ok(b.remember(st, &share))
	}
	share.Wipe()
	return b, st, forms
}

func drawShare(t *testing.T, epoch uint32) draw.Share {
	t.Helper()
	secret := make([]byte, 34)
	defer clear(secret)
	rand.Read(secret[2:])
	secret[0], secret[1], secret[33] = 1, uint8(own), secret[33]&0x0f
	read := func() (draw.Share, error) { return draw.NewShare(epoch, uint8(own), secret[2:]) }
	if epoch == 0 {
		read = func() (draw.Share, error) { return draw.DecodeShare(secret) }
	}
	share, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return share
}

const mask = 0x5a

// masked is b in another form, made without writing b anywhere.
func masked(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range out {
		out[i] = b[i] ^ mask
	}
	return out
}

// forgetMade wipes what the test knows of region 2's share and returns its secret, masked.
func (h *holding) forgetMade(id command.KeyID) []byte {
	share := h.made[id][uint8(own)].Share
	b := share.Encode()
	secret := masked(b[7:])
	clear(b)
	share.Wipe()
	delete(h.made, id)
	return secret
}

// countInMemory counts how often what is masked, things of one length, stands in the process's writable memory. It
// leaves out mappings of a GiB and more: the race detector's bookkeeping.
func countInMemory(t *testing.T, masked ...[]byte) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("NOT CHECKED: ", err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skip("NOT CHECKED: ", err)
	}
	defer mem.Close()
	chunk := make([]byte, 1<<20)
	for _, line := range strings.Split(string(maps), "\n") {
		var from, to int64
		var mode string
		if k, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); k < 3 || !strings.HasPrefix(mode, "rw") || strings.Contains(line, "[v") || to-from > 1<<30 {
			continue
		}
		for at := from; at < to; at += int64(len(chunk) - len(masked[0])) {
			k, err := mem.ReadAt(chunk[:min(int64(len(chunk)), to-at)], at)
			if err != nil && k == 0 {
				break // never touched, or not ours to read
			}
			for _, m := range masked {
				n += countMasked(chunk[:k], m)
			}
		}
	}
	clear(chunk)
	return n
}

func countMasked(b, masked []byte) (n int) {
	for at := 0; ; at++ {
		next := bytes.IndexByte(b[at:], masked[0]^mask)
		if next < 0 || at+next+len(masked) > len(b) {
			return n
		}
		at += next
		same := true
		for i := range masked {
			same = same && b[at+i]^mask == masked[i]
		}
		if same {
			n++
		}
	}
}
