package fsm

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Sharing is one sharing of a threshold key: who holds a share, and each share sealed to
// its holder's wrapping key. What stands in Public is the regions' word: all holders
// signed the same transcript.
type Sharing struct {
	Epoch      uint32 // 1 for the first; one more for each refresh or reshare
	Wrap       uint32 // epoch of the wrapping keys the shares are sealed to
	Threshold  uint8
	Transcript [32]byte
	Public     []byte   // frost.PublicKey
	Shares     []Sealed // ascending by holder
}

// Sealed is what only one region can open.
type Sealed struct {
	Region identity.RegionID
	Box    []byte
}

// CeremonyStep is what a ceremony waits for next. Each step ends when the last region
// that owes it has delivered.
type CeremonyStep uint8

// The steps.
const (
	StepWrap   CeremonyStep = 1 // all holders offer a wrapping key of the ceremony's epoch
	StepHash   CeremonyStep = 2 // all dealers commit to their dealing
	StepDeal   CeremonyStep = 3 // all dealers reveal it
	StepShares CeremonyStep = 4 // all dealers deliver the sealed values
	StepFinish CeremonyStep = 5 // all holders verified everything and sealed their share
	StepFailed CeremonyStep = 6 // the last try failed; Faults says by whom
)

// Ceremony is the making of one sharing. A try that a region spoils or holds up fails at
// its deadline by the committed clock, and the next one starts from nothing; what was
// live before stays live.
type Ceremony struct {
	ID        command.CeremonyID
	Wrap      uint32 // epoch of the wrapping keys
	Threshold uint8
	Dealers   []identity.RegionID // ascending
	Holders   []identity.RegionID // ascending
	Step      CeremonyStep
	Deadline  time.Time
	Parts     []Part // of this try, ascending by region
	Faults    []Fault
	Author    identity.Fingerprint
}

// Part is what one region has delivered in a try.
type Part struct {
	Region     identity.RegionID
	Hashed     bool
	Hash       [32]byte
	Seed       []byte   // sealed to itself
	Dealing    []byte   // nil before it is revealed
	Sealed     [][]byte // aligned with the holders; nil before
	Transcript [32]byte
	Public     []byte // nil before it finished
	Point      []byte
	Chain      [32]byte
	Share      []byte
	Accuses    []Accusation
}

// Accusation is one region's word against a dealer of its try.
type Accusation struct {
	Against   identity.RegionID
	Complaint []byte // frost.Complaint, or empty
	Note      string
}

// Fault says why a try failed.
type Fault struct {
	Try    uint8
	Step   CeremonyStep
	Region identity.RegionID   // to blame
	By     []identity.RegionID // who said so; empty: it let the deadline pass
	Note   string
}

// Wrap is one epoch of wrapping keys. It is doomed once a later one is in use and no live
// sharing is sealed under it: every region then destroys its key in the HSM and says so.
type Wrap struct {
	Epoch   uint32
	Keys    []WrapKey // ascending by region
	Live    uint32    // live sharings and ceremonies under it
	Doomed  uint64    // index at which it was given up; 0 while in use
	Dropped []identity.RegionID
}

// WrapKey is one region's wrapping key of an epoch.
type WrapKey struct {
	Region     identity.RegionID
	Public     []byte
	Sealed     []byte
	Attributes []byte
	Identity   []byte
}

// NonceSet is the commitments one eligible region was given for an attempt, one a message.
type NonceSet struct {
	Region      identity.RegionID
	Commitments [][]byte
}

// NoncePool is what is left of the commitments a region's present session offered for a
// curve.
type NoncePool struct {
	Region      identity.RegionID
	Curve       command.Curve
	Session     identity.Fingerprint
	Commitments []byte // frost.Commitment, one after the other; taken from the front
	Offered     uint64 // in all by this session
}
