package chaos

import (
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// History is everything that was observed of one run. Recording is safe from any
// goroutine; checkers read a history that is complete.
type History struct {
	Seed    uint64
	Genesis *genesis.Genesis

	// Value returns the beacon value of an entry, computed from the shares and not from
	// what any node said.
	Value func(command.Meta) ([32]byte, error)

	// Liar is a region whose own words count for nothing, zero for none.
	Liar identity.RegionID

	mu         sync.Mutex
	Ops        []Op
	Boots      []Boot
	Applied    []Applied
	Made       []Made
	Answers    []Answered
	Opened     []Opened
	Isolations []Isolation
	Exports    []Export // of every region, at the end
}

// Kind says what a client asked.
type Kind uint8

// The kinds of operation.
const (
	OpSign   Kind = 1 // RequestSignature, with the wait for its signatures
	OpSubmit Kind = 2 // any other command
	OpRead   Kind = 3 // a list of tenants, from one region
)

// Op is one call of a client. The same command may be sent by many calls.
type Op struct {
	Client string
	Kind   Kind
	Call   time.Time
	Return time.Time
	Err    error // nil: acknowledged

	Command *command.Command  // OpSign, OpSubmit
	Index   uint64            // OpSubmit: where the vault says it was decided
	Signed  []SignatureSet    // OpSign
	Sums    [][]byte          // OpSign with a threshold key: the signatures
	Region  identity.RegionID // OpRead: who was asked
	Tenants []string          // OpRead: the answer, ascending
	Adds    string            // OpSubmit: the tenant it creates
}

// SignatureSet is what one region signed for a request.
type SignatureSet struct {
	Region     identity.RegionID
	Signatures [][]byte
}

// OK reports whether the vault acknowledged.
func (o *Op) OK() bool { return o.Err == nil }

// Refused reports whether the vault said for good that it did not carry it out.
func (o *Op) Refused() bool {
	switch errs.CodeOf(o.Err) {
	case errs.Malformed, errs.TooLarge, errs.Invalid, errs.Unauthenticated, errs.Denied, errs.NotFound,
		errs.Exists, errs.Replayed, errs.NeedsSecondAdmin, errs.PayloadRejected, errs.BlindDenied, errs.OverLimit:
		return true
	}
	return false
}

// Boot is one life of a node.
type Boot struct {
	Region identity.RegionID
	At     time.Time
}

// Applied is a region's state after it applied one entry. Digest is zero where it was not
// computed.
type Applied struct {
	Region identity.RegionID
	At     time.Time
	Meta   command.Meta
	Size   uint64 // audit leaves
	Root   [32]byte
	Digest [32]byte
}

// Made is one signature an HSM made, whether or not it was released, and even if the node
// that asked for it was dead by then.
type Made struct {
	Region identity.RegionID
	Asked  time.Time
	Label  string // of the key in the HSM
	Data   []byte
}

// Answered is an answer that left a region for another one.
type Answered struct {
	Region identity.RegionID
	At     time.Time
	Raw    []byte // command.Answer
}

// Opened is one use of a key that an HSM decrypts with.
type Opened struct {
	Region identity.RegionID
	At     time.Time
	Label  string
}

// Isolation is a time in which a region was cut off from all others.
type Isolation struct {
	Region   identity.RegionID
	From, To time.Time
}

// Export is the audit log as one region holds it.
type Export struct {
	Region     identity.RegionID
	At         time.Time // no leaf it could hold was applied later
	Leaves     []audit.Leaf
	Checkpoint *audit.Checkpoint
}

// Record adds one observation.
func (h *History) Record(what any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch x := what.(type) {
	case Op:
		h.Ops = append(h.Ops, x)
	case Boot:
		h.Boots = append(h.Boots, x)
	case Applied:
		h.Applied = append(h.Applied, x)
	case Made:
		h.Made = append(h.Made, x)
	case Answered:
		h.Answers = append(h.Answers, x)
	case Opened:
		h.Opened = append(h.Opened, x)
	case Isolation:
		h.Isolations = append(h.Isolations, x)
	case Export:
		h.Exports = append(h.Exports, x)
	}
}

// MadeBy returns what a region's HSM signed so far.
func (h *History) MadeBy(r identity.RegionID) (out []Made) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.Made {
		if m.Region == r {
			out = append(out, m)
		}
	}
	return out
}

// Until returns the calls that had returned by then.
func (h *History) Until(t time.Time) (out []Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.Ops {
		if !o.Return.After(t) {
			out = append(out, o)
		}
	}
	return out
}

// acknowledged returns the calls of a kind that the vault acknowledged, in order of their
// return.
func (h *History) acknowledged(k Kind) (out []*Op) {
	for i := range h.Ops {
		if o := &h.Ops[i]; o.Kind == k && o.OK() {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *Op) int { return a.Return.Compare(b.Return) })
	return out
}
