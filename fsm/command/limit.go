package command

import (
	"crypto/sha256"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Bounds of a key's limit.
const (
	MaxLimit        = 1_000_000 // requests in one window
	MinWindow       = time.Second
	MaxWindow       = 365 * 24 * time.Hour
	MaxNothingWords = 3 * MaxRegions // one for each attempt and region
)

// LimitKey limits how many requests of a key may be opened within any window of the
// committed clock; zero for both takes the limit away. Two administrators, save to
// tighten one that is there: any administrator or operator.
type LimitKey struct {
	Key      KeyID
	Requests uint32
	Window   time.Duration // millisecond resolution
}

// RefundRequest gives back what a request was charged that ended without signatures.
// Words are of kind WordNothing, of so many eligible regions that no signature can exist.
type RefundRequest struct {
	Request RequestID
	Words   [][]byte
}

func (*LimitKey) Type() Type      { return TypeLimitKey }
func (*RefundRequest) Type() Type { return TypeRefundRequest }

func (b *LimitKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.u32("requests", &b.Requests)
	ms := uint64(b.Window.Milliseconds())
	f.u64("window_ms", &ms)
	if f.decoding {
		if ms > uint64(MaxWindow.Milliseconds()) {
			f.fail("window_ms", "a window is at most a year")
			return
		}
		b.Window = time.Duration(ms) * time.Millisecond
	}
}

func (b *RefundRequest) fields(f *fields) {
	f.fixed("request", b.Request[:])
	f.list("words", &b.Words, MaxNothingWords, 1024)
}

// Check accepts a limit this version can honour, or none.
func (b *LimitKey) Check() error {
	switch {
	case b.Requests == 0 && b.Window == 0:
		return nil
	case b.Requests == 0 || b.Requests > MaxLimit:
		return errs.New(errs.Invalid, "a limit is 1 to %d requests in a window", MaxLimit)
	case b.Window < MinWindow || b.Window > MaxWindow || b.Window%time.Millisecond != 0:
		return errs.New(errs.Invalid, "the window of a limit must be whole milliseconds from %s to %s", MinWindow, MaxWindow)
	}
	return nil
}

// NothingOf stands for the request in a word of kind WordNothing. It names the very entry
// that opened the attempt: an id may come again once it was forgotten, and a word on its
// earlier life must not serve the later one.
func NothingOf(request RequestID, attempt uint8, opened Meta) (id RequestID) {
	w := wire.NewWriter(128)
	w.String("tetrad/nothing/v1")
	w.Fixed(request[:])
	w.U8(attempt)
	w.U64(opened.Index)
	w.U64(opened.Term)
	w.Fixed(opened.Chain[:])
	h := sha256.Sum256(w.Bytes())
	copy(id[:], h[:])
	return id
}
