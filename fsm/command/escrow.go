package command

import "time"

// The commands of escrow (docs/design/threshold.md, section Escrow): copies of a threshold
// key's shares for officers outside the vault. Off unless Settings allow it.

// EscrowKey asks that, once Delay is over, every region that holds a share of the key
// encrypts it to the officers, M of whom can then restore the key. Two administrators.
type EscrowKey struct {
	Key      KeyID
	Officers []string // age recipients, distinct
	M        uint8    // 2 to the number of officers
	Delay    time.Duration
	Disaster bool // the officers alone can open it; else the HSM of one living region must take part
	Reason   string
}

// CancelEscrow takes back an escrow of which no share is in the log yet. A brake: any
// administrator, any operator of the vault or the key's tenant alone.
type CancelEscrow struct {
	Key    KeyID
	Reason string
}

// EscrowShare is a holder's share, encrypted as the key's escrow asks (internal/escrow).
// The state machine reads only its length.
type EscrowShare struct {
	Key    KeyID
	Number uint32 // of the key's escrow
	Epoch  uint32 // of the sharing
	Box    []byte
}

func (*EscrowKey) Type() Type    { return TypeEscrowKey }
func (*CancelEscrow) Type() Type { return TypeCancelEscrow }
func (*EscrowShare) Type() Type  { return TypeEscrowShare }

func (b *EscrowKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	officers := make([][]byte, len(b.Officers))
	for i, o := range b.Officers {
		officers[i] = []byte(o)
	}
	f.list("officers", &officers, MaxEscrowOfficers, MaxRecipient)
	f.u8("quorum", &b.M)
	f.millis("delay_ms", &b.Delay)
	f.flag("disaster", &b.Disaster)
	f.text("reason", &b.Reason, MaxNote)
	if f.decoding {
		for _, o := range officers {
			b.Officers = append(b.Officers, string(o))
		}
	}
}

func (b *CancelEscrow) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.text("reason", &b.Reason, MaxNote)
}

func (b *EscrowShare) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.u32("number", &b.Number)
	f.u32("epoch", &b.Epoch)
	f.bytes("box", &b.Box, MaxEscrowBox)
}

// millis is a field of whole milliseconds, at most a year.
func (f *fields) millis(name string, d *time.Duration) {
	ms := uint64(d.Milliseconds())
	f.u64(name, &ms)
	if !f.decoding {
		return
	}
	if ms > uint64(MaxEscrowDelay/time.Millisecond) {
		f.fail(name, "durations are at most a year")
		return
	}
	*d = time.Duration(ms) * time.Millisecond
}
