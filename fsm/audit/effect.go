package audit

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// EffectFormat is the newest effect format this version writes. Format 2 is that of
// effects that open an attempt of a threshold key, format 3 of those with extras; all
// others are written as format 1.
const EffectFormat = 3

// Effect is what a command changed, as far as an outsider needs it to judge every
// signature: which draws were opened among whom, what ended how, and how keys,
// regions and principals stood afterwards. The zero value encodes to nothing.
//
// What time alone changes (expired requests) stands in the first leaf of the entry
// whose stamp made it so.
type Effect struct {
	Repeated   bool // the id had been decided before: same outcome told again, nothing done
	Opened     []OpenedAttempt
	Completed  []command.RequestID // got their signatures: at most once for each request
	Failed     []command.RequestID // all attempts refused
	Expired    []command.RequestID
	Keys       []KeyChange
	Regions    []RegionChange
	Principals []PrincipalChange
	Vault      *VaultChange // frozen or unfrozen
	Schedule   *ScheduledRefresh
	Given      *GivenAddresses // which addresses the state machine chose
}

// OpenedAttempt is one draw: with the leaf's Meta (the beacon's input) and the beacon
// value it determines who signs.
type OpenedAttempt struct {
	Request    command.RequestID
	Number     uint8 // 1, 2 or 3
	Key        command.KeyID
	KeyVersion uint32
	Signers    uint8               // k: the first k of the permutation sign
	Eligible   []identity.RegionID // ascending, fixed at this index

	// Of threshold keys: the sharing that signs, and for each of Eligible the nonce
	// commitments (frost.Commitment) it gave, one a message, one after the other.
	Epoch  uint32
	Nonces [][]byte
}

// KeyChange is a key's standing after the command. State carries the numbers of
// fsm.KeyState (1 pending, 2 active, 3 frozen, 4 retired).
type KeyChange struct {
	Key          command.KeyID
	State        uint8
	Version      uint32
	Attestations [32]byte // hash over all attestations once active, else zero
}

// RegionChange is a region's standing after the command. Status carries the numbers
// of fsm.RegionStatus.
type RegionChange struct {
	Region  identity.RegionID
	Status  uint8
	Healthy bool
	Session identity.Fingerprint // newest session key, zero without one
}

// PrincipalChange is a principal's rights after the command.
type PrincipalChange struct {
	Principal identity.Fingerprint
	Roles     command.Role
	Removed   bool
}

// ScheduledRefresh says that time, and no command, began the refresh of all threshold keys.
type ScheduledRefresh struct {
	Wrap  uint32 // wrapping epoch every key is to come under
	Retry uint8  // 0: the first time in the period; else of those that did not come along
}

// GivenAddresses names the children of a threshold key that were given out because a command
// asked for the next ones: First to First+Count-1 below a branch.
type GivenAddresses struct {
	Key    command.KeyID
	Branch []uint32
	First  uint32
	Count  uint32
}

// VaultChange says whether the whole vault is frozen after the command.
type VaultChange struct{ Frozen bool }

// IsZero reports whether nothing changed.
func (e *Effect) IsZero() bool {
	return !e.Repeated && len(e.Opened)+len(e.Completed)+len(e.Failed)+len(e.Expired)+
		len(e.Keys)+len(e.Regions)+len(e.Principals) == 0 && e.Vault == nil && !e.extra()
}

// Encode returns the canonical form; empty for the zero effect.
func (e *Effect) Encode() []byte {
	if e.IsZero() {
		return nil
	}
	w := wire.NewWriter(64 + 40*len(e.Opened) + 16*len(e.Completed))
	format := e.format()
	w.U8(format)
	w.Bool(e.Repeated)
	w.U32(uint32(len(e.Opened)))
	for i := range e.Opened {
		e.Opened[i].write(w, format)
	}
	for _, ids := range [][]command.RequestID{e.Completed, e.Failed, e.Expired} {
		w.U32(uint32(len(ids)))
		for i := range ids {
			w.Fixed(ids[i][:])
		}
	}
	w.U32(uint32(len(e.Keys)))
	for i := range e.Keys {
		e.Keys[i].write(w)
	}
	w.U32(uint32(len(e.Regions)))
	for i := range e.Regions {
		e.Regions[i].write(w)
	}
	w.U32(uint32(len(e.Principals)))
	for i := range e.Principals {
		e.Principals[i].write(w)
	}
	w.Bool(e.Vault != nil)
	if e.Vault != nil {
		w.Bool(e.Vault.Frozen)
	}
	e.writeExtras(w)
	return w.Bytes()
}

func (e *Effect) format() uint8 {
	if e.extra() {
		return EffectFormat
	}
	for i := range e.Opened {
		if e.Opened[i].Epoch != 0 {
			return 2
		}
	}
	return 1
}

// DecodeEffect parses the canonical form.
func DecodeEffect(b []byte) (*Effect, error) {
	if len(b) == 0 {
		return &Effect{}, nil
	}
	r := wire.NewReader(b)
	format := r.U8()
	if format == 0 || format > EffectFormat {
		r.Fail("effect format %d, this version reads up to %d", format, EffectFormat)
	}
	e := &Effect{Repeated: r.Bool()}
	e.Opened = readList(r, func(r *wire.Reader) OpenedAttempt { return readOpened(r, format) })
	e.Completed = readList(r, readRequestID)
	e.Failed = readList(r, readRequestID)
	e.Expired = readList(r, readRequestID)
	e.Keys = readList(r, readKeyChange)
	e.Regions = readList(r, readRegionChange)
	e.Principals = readList(r, readPrincipalChange)
	if r.Bool() {
		e.Vault = &VaultChange{Frozen: r.Bool()}
	}
	if format == EffectFormat {
		e.readExtras(r)
	}
	if r.Err() == nil && format != e.format() {
		r.Fail("an effect of format %d written as format %d", e.format(), format)
	}
	if r.Err() == nil && e.IsZero() {
		r.Fail("the empty effect is encoded as nothing")
	}
	return e, r.Done()
}

func readList[T any](r *wire.Reader, read func(*wire.Reader) T) []T {
	var out []T
	n := r.Count(MaxItems)
	for i := 0; i < n && r.Err() == nil; i++ {
		out = append(out, read(r))
	}
	return out
}

func readRequestID(r *wire.Reader) (id command.RequestID) { r.Fixed(id[:]); return id }

func (o *OpenedAttempt) write(w *wire.Writer, format uint8) {
	w.Fixed(o.Request[:])
	w.U8(o.Number)
	w.Fixed(o.Key[:])
	w.U32(o.KeyVersion)
	w.U8(o.Signers)
	w.U8(uint8(len(o.Eligible)))
	for _, id := range o.Eligible {
		w.U8(uint8(id))
	}
	if format == 1 {
		return
	}
	w.U32(o.Epoch)
	w.U8(uint8(len(o.Nonces)))
	for _, n := range o.Nonces {
		w.Blob(n)
	}
}

func readOpened(r *wire.Reader, format uint8) (o OpenedAttempt) {
	r.Fixed(o.Request[:])
	o.Number = r.U8()
	r.Fixed(o.Key[:])
	o.KeyVersion = r.U32()
	o.Signers = r.U8()
	n := int(r.U8())
	if n > command.MaxRegions {
		r.Fail("%d eligible regions, limit %d", n, command.MaxRegions)
		return o
	}
	for range n {
		o.Eligible = append(o.Eligible, identity.RegionID(r.U8()))
	}
	if format == 1 {
		return o
	}
	o.Epoch = r.U32()
	if n = int(r.U8()); n > command.MaxRegions {
		r.Fail("nonces of %d regions, limit %d", n, command.MaxRegions)
		return o
	}
	for range n {
		o.Nonces = append(o.Nonces, bytes.Clone(r.Blob(command.MaxMessages*command.CommitmentLen)))
	}
	return o
}

func (k *KeyChange) write(w *wire.Writer) {
	w.Fixed(k.Key[:])
	w.U8(k.State)
	w.U32(k.Version)
	w.Fixed(k.Attestations[:])
}

func readKeyChange(r *wire.Reader) (k KeyChange) {
	r.Fixed(k.Key[:])
	k.State = r.U8()
	k.Version = r.U32()
	r.Fixed(k.Attestations[:])
	return k
}

func (c *RegionChange) write(w *wire.Writer) {
	w.U8(uint8(c.Region))
	w.U8(c.Status)
	w.Bool(c.Healthy)
	w.Fixed(c.Session[:])
}

func readRegionChange(r *wire.Reader) (c RegionChange) {
	c.Region = identity.RegionID(r.U8())
	c.Status = r.U8()
	c.Healthy = r.Bool()
	r.Fixed(c.Session[:])
	return c
}

func (p *PrincipalChange) write(w *wire.Writer) {
	w.Fixed(p.Principal[:])
	w.U8(uint8(p.Roles))
	w.Bool(p.Removed)
}

func readPrincipalChange(r *wire.Reader) (p PrincipalChange) {
	r.Fixed(p.Principal[:])
	p.Roles = command.Role(r.U8())
	p.Removed = r.Bool()
	return p
}
