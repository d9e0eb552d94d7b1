package vault

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
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

const mask = 0x5a

// forgetMade wipes what the test knows of region 2's share and returns its secret, masked.
func (h *holding) forgetMade(id command.KeyID) []byte {
	share := h.made[id][uint8(own)].Share
	b := share.Encode()
	masked := bytes.Clone(b[7:])
	clear(b)
	for i := range masked {
		masked[i] ^= mask
	}
	share.Wipe()
	delete(h.made, id)
	return masked
}

// countInMemory counts how often what is masked stands in the process's writable memory. It
// leaves out mappings of a GiB and more: the race detector's bookkeeping.
func countInMemory(t *testing.T, masked []byte) (n int) {
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
		for at := from; at < to; at += int64(len(chunk) - len(masked)) {
			k, err := mem.ReadAt(chunk[:min(int64(len(chunk)), to-at)], at)
			if err != nil && k == 0 {
				break // never touched, or not ours to read
			}
			n += countMasked(chunk[:k], masked)
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
