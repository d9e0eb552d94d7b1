package command

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// StopID names one local stop of a region; drawn by the region when it stopped.
type StopID [16]byte

// QuarantineRegion takes a region out of every draw and refuses what it says, or lets
// it back in. Two administrators. Evidence is the SHA-256 of the file acted upon, zero
// where people had other reasons.
type QuarantineRegion struct {
	Region      identity.RegionID
	Quarantined bool
	Evidence    [32]byte
	Reason      string
}

// MuteRegion takes from a region the right to freeze by itself, or gives it back. Two
// administrators.
type MuteRegion struct {
	Region identity.RegionID
	Muted  bool
	Reason string
}

// LiftStop ends one local stop. Two administrators; the region obeys once it applied it.
type LiftStop struct {
	Region identity.RegionID
	Stop   StopID
	Reason string
}

// RepairRegion has a region cut what is not certified from its log, keeping everything
// up to index Keep. Two administrators.
type RepairRegion struct {
	Region identity.RegionID
	Keep   uint64
	Reason string
}

// RepairClock sets the committed clock back to To, on the words of two regions that it
// is ahead of their clocks. Two administrators.
type RepairClock struct {
	To     time.Time // millisecond resolution
	Words  [][]byte  // ClockWord, of different regions
	Reason string
}

// RegionFreeze stops a key, or with the zero key the vault: a region's own brake.
type RegionFreeze struct {
	Key    KeyID
	Reason string
}

// Restricts reports whether commands of type t take rights away, so that who gives one
// waits until no region can act against it.
func (t Type) Restricts() bool {
	switch t {
	case TypeFreezeKey, TypeFreezeVault, TypeRemovePrincipal, TypePutPrincipal, TypeConfigure, TypeRetireKey,
		TypeQuarantineRegion, TypeRegionFreeze, TypeCancelEscrow, TypeFreezePath, TypeRegionFreezePath:
		return true
	}
	return false
}

func (*QuarantineRegion) Type() Type { return TypeQuarantineRegion }
func (*MuteRegion) Type() Type       { return TypeMuteRegion }
func (*LiftStop) Type() Type         { return TypeLiftStop }
func (*RepairRegion) Type() Type     { return TypeRepairRegion }
func (*RepairClock) Type() Type      { return TypeRepairClock }
func (*RegionFreeze) Type() Type     { return TypeRegionFreeze }

func (b *QuarantineRegion) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.flag("quarantined", &b.Quarantined)
	f.fixed("evidence", b.Evidence[:])
	f.text("reason", &b.Reason, MaxNote)
}

func (b *MuteRegion) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.flag("muted", &b.Muted)
	f.text("reason", &b.Reason, MaxNote)
}

func (b *LiftStop) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.fixed("stop", b.Stop[:])
	f.text("reason", &b.Reason, MaxNote)
}

func (b *RepairRegion) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.u64("keep", &b.Keep)
	f.text("reason", &b.Reason, MaxNote)
}

func (b *RepairClock) fields(f *fields) {
	ms := uint64(b.To.UnixMilli())
	f.u64("to_ms", &ms)
	if f.decoding {
		if ms > maxClockMillis {
			f.fail("to_ms", "%d milliseconds are beyond the year 9999", ms)
			return
		}
		b.To = time.UnixMilli(int64(ms)).UTC()
	}
	f.list("words", &b.Words, MaxRegions, 1024)
	f.text("reason", &b.Reason, MaxNote)
}

func (b *RegionFreeze) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.text("reason", &b.Reason, MaxNote)
}

const maxClockMillis = 253402300799999
