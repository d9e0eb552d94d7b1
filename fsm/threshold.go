package fsm

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Sharing is one sharing of a threshold key: who holds a share, and each share sealed to
// its holder's wrapping key. What stands in Public is the regions' word: all holders
// signed the same transcript.
type Sharing struct {
	Epoch      uint32 // 1 for the first; more for each refresh or reshare, by one unless 255 tries failed
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
	Last      uint8  // the try after which it is given up
	Wrap      uint32 // epoch of the wrapping keys
	Threshold uint8
	Dealers   []identity.RegionID // ascending
	Holders   []identity.RegionID // ascending
	Step      CeremonyStep
	Deadline  time.Time // by the committed clock; zero once failed
	Parts     []Part    // of this try, ascending by region; none once failed
	Faults    []Fault   // of all tries, the last MaxFaults
	Author    identity.Fingerprint
}

// Running reports whether the ceremony waits for anybody.
func (c *Ceremony) Running() bool { return c != nil && c.Step != StepFailed }

// Part is what one region has delivered in a try; what is empty it has not.
type Part struct {
	Region     identity.RegionID
	Hashed     bool
	Hash       [32]byte
	Seed       []byte // sealed to itself
	Dealing    []byte
	Sealed     [][]byte // aligned with the holders
	Transcript [32]byte
	Public     []byte // and what follows: its word that it finished
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
	Region identity.RegionID   // to blame; 0: the state cannot tell who
	By     []identity.RegionID // who said so; empty: it let the deadline pass
	Note   string
}

// Wrap is one epoch of wrapping keys. It is doomed once there is a later one and nothing
// is sealed under it any more: every region that offered a key then destroys it in the HSM
// and says so. When all have, the row goes.
type Wrap struct {
	Epoch   uint32
	Keys    []WrapKey           // ascending by region
	Live    uint32              // sharings, live and retiring, and running ceremonies under it; counted, not stored
	Doomed  uint64              // index at which it was given up; 0 while in use
	Dropped []identity.RegionID // ascending
}

// Key returns a region's wrapping key of the epoch, or nil.
func (e *Wrap) Key(r identity.RegionID) *WrapKey {
	for i := range e.Keys {
		if e.Keys[i].Region == r {
			return &e.Keys[i]
		}
	}
	return nil
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
// curve. Commitments is only ever appended to and cut in front, so that rows of several
// indices share its memory.
type NoncePool struct {
	Region      identity.RegionID
	Curve       command.Curve
	Session     identity.Fingerprint
	Boot        uint64 // of the newest commitment ever offered, the highest of all
	Serial      uint32 // of the newest commitment ever offered, the highest of that boot
	Commitments []byte // frost.Commitment, one after the other; taken from the front
	Offered     uint64 // in all by this session
}

// Count returns how many commitments are left.
func (p *NoncePool) Count() int { return len(p.Commitments) / CommitmentLen(p.Curve) }

// Holds reports whether a region has a share of the key's live sharing.
func (k *Key) Holds(r identity.RegionID) bool {
	return k.Sharing.Holds(r)
}

// SharingOf returns the sharing of an epoch: the live one or the one before it, or nil.
func (k *Key) SharingOf(epoch uint32) *Sharing {
	for _, s := range []*Sharing{k.Sharing, k.Retiring} {
		if s != nil && s.Epoch == epoch {
			return s
		}
	}
	return nil
}

// Holds reports whether a region has a share of it, also of one that the genesis dealt. A
// region that lost its HSM has none, though Public goes on naming it.
func (s *Sharing) Holds(r identity.RegionID) bool {
	return s != nil && slices.Contains(s.Holders(), r)
}

// Share returns a region's sealed share, or nil.
func (s *Sharing) Share(r identity.RegionID) []byte {
	for i := range s.Shares {
		if s.Shares[i].Region == r {
			return s.Shares[i].Box
		}
	}
	return nil
}

// wraps returns the epochs of wrapping keys that a key needs, one for each use. A retired
// key needs none: it never signs again.
func (k *Key) wraps() (epochs []uint32) {
	if !k.Scheme.Shared() || k.State == KeyRetired {
		return nil
	}
	for _, s := range []*Sharing{k.Sharing, k.Retiring} {
		if s != nil && !s.Founded() {
			epochs = append(epochs, s.Wrap)
		}
	}
	if k.Ceremony.Running() {
		epochs = append(epochs, k.Ceremony.Wrap)
	}
	return epochs
}

// due returns when time alone changes the key: a try's deadline, or the end of a retiring
// sharing.
func (k *Key) due() (at time.Time, ok bool) {
	if k.Ceremony.Running() {
		at, ok = k.Ceremony.Deadline, true
	}
	if k.Retiring != nil && (!ok || k.RetireAt.Before(at)) {
		at, ok = k.RetireAt, true
	}
	return at, ok
}

// neverLive reports whether a key was given up before its first sharing: nobody can have
// used it, so its name is free again.
func (k *Key) neverLive() bool {
	return k.Scheme == command.SchemeThreshold && k.State == KeyRetired && k.Sharing == nil
}
