package fsm

import (
	"crypto/sha256"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The canonical form of what threshold keys add to the rows. Rows of multisig keys and
// their requests are what they were.

// optional writes whether there is a v, and it.
func optional[T any](w *wire.Writer, v *T, write func(*T, *wire.Writer)) {
	w.Bool(v != nil)
	if v != nil {
		write(v, w)
	}
}

func readOptional[T any](r *wire.Reader, read func(*wire.Reader) *T) *T {
	if r.Bool() {
		return read(r)
	}
	return nil
}

func (k *Key) writeThreshold(w *wire.Writer) {
	w.Blob(k.Point)
	w.Fixed(k.Chain[:])
	optional(w, k.Sharing, (*Sharing).write)
	optional(w, k.Retiring, (*Sharing).write)
	if k.Retiring != nil {
		w.Time(k.RetireAt)
	}
	optional(w, k.Ceremony, (*Ceremony).write)
	w.U64(k.Issued)
}

func (k *Key) readThreshold(r *wire.Reader) {
	k.Point = clone(r, 33)
	k.Chain = readHash(r)
	k.Sharing = readOptional(r, readSharing)
	if k.Retiring = readOptional(r, readSharing); k.Retiring != nil {
		k.RetireAt = r.Time()
	}
	if k.Ceremony = readOptional(r, readCeremony); k.Ceremony != nil {
		k.Ceremony.ID.Key = k.ID
	}
	k.Issued = r.U64()
}

func (s *Sharing) write(w *wire.Writer) {
	w.U32(s.Epoch)
	w.U32(s.Wrap)
	w.U8(s.Threshold)
	w.Fixed(s.Transcript[:])
	w.Blob(s.Public)
	w.U8(uint8(len(s.Shares)))
	for i := range s.Shares {
		w.U8(uint8(s.Shares[i].Region))
		w.Blob(s.Shares[i].Box)
	}
}

func readSharing(r *wire.Reader) *Sharing {
	s := &Sharing{Epoch: r.U32(), Wrap: r.U32(), Threshold: r.U8(), Transcript: readHash(r), Public: clone(r, command.MaxThresholdPK)}
	n := r.Few(command.MaxRegions)
	s.Shares = slices.Grow(s.Shares, n)
	for range n {
		s.Shares = append(s.Shares, Sealed{identity.RegionID(r.U8()), clone(r, command.MaxSealedShare)})
	}
	return s
}

// write leaves out the key, which the row names.
func (c *Ceremony) write(w *wire.Writer) {
	w.U32(c.ID.Epoch)
	w.U8(c.ID.Try)
	w.U8(c.Last)
	w.U32(c.Wrap)
	w.U8(c.Threshold)
	writeRegions(w, c.Dealers)
	writeRegions(w, c.Holders)
	w.U8(uint8(c.Step))
	if c.Running() {
		w.Time(c.Deadline)
	}
	w.U8(uint8(len(c.Parts)))
	for i := range c.Parts {
		c.Parts[i].write(w)
	}
	w.U8(uint8(len(c.Faults)))
	for i := range c.Faults {
		c.Faults[i].write(w)
	}
	w.Fixed(c.Author[:])
}

func readCeremony(r *wire.Reader) *Ceremony {
	c := &Ceremony{}
	c.ID.Epoch, c.ID.Try, c.Last = r.U32(), r.U8(), r.U8()
	c.Wrap, c.Threshold = r.U32(), r.U8()
	c.Dealers, c.Holders = readRegions(r), readRegions(r)
	c.Step = CeremonyStep(r.U8())
	if c.Step < StepWrap || c.Step > StepFailed {
		r.Fail("a ceremony at step %d", c.Step)
	}
	if c.Running() {
		c.Deadline = r.Time()
	}
	for range r.Few(command.MaxRegions) {
		c.Parts = append(c.Parts, readPart(r))
	}
	for range r.Few(MaxFaults) {
		c.Faults = append(c.Faults, readFault(r))
	}
	c.Author = readFingerprint(r)
	return c
}

func (p *Part) write(w *wire.Writer) {
	w.U8(uint8(p.Region))
	w.Bool(p.Hashed)
	if p.Hashed {
		w.Fixed(p.Hash[:])
		w.Blob(p.Seed)
	}
	w.Blob(p.Dealing)
	w.U8(uint8(len(p.Sealed)))
	for _, s := range p.Sealed {
		w.Blob(s)
	}
	w.Blob(p.Public)
	if len(p.Public) > 0 {
		w.Fixed(p.Transcript[:])
		w.Blob(p.Point)
		w.Fixed(p.Chain[:])
		w.Blob(p.Share)
	}
	w.U8(uint8(len(p.Accuses)))
	for i := range p.Accuses {
		w.U8(uint8(p.Accuses[i].Against))
		w.Blob(p.Accuses[i].Complaint)
		w.String(p.Accuses[i].Note)
	}
}

func readPart(r *wire.Reader) Part {
	p := Part{Region: identity.RegionID(r.U8()), Hashed: r.Bool()}
	if p.Hashed {
		p.Hash, p.Seed = readHash(r), clone(r, command.MaxSealedShare)
	}
	p.Dealing = clone(r, command.MaxDealing)
	for range r.Few(command.MaxRegions) {
		p.Sealed = append(p.Sealed, clone(r, command.MaxSealedShare))
	}
	if p.Public = clone(r, command.MaxThresholdPK); len(p.Public) > 0 {
		p.Transcript, p.Point, p.Chain = readHash(r), clone(r, 33), readHash(r)
		p.Share = clone(r, command.MaxSealedShare)
	}
	for range r.Few(command.MaxRegions) {
		p.Accuses = append(p.Accuses, Accusation{identity.RegionID(r.U8()), clone(r, command.MaxComplaint), r.String(command.MaxNote)})
	}
	return p
}

func (f *Fault) write(w *wire.Writer) {
	w.U8(f.Try)
	w.U8(uint8(f.Step))
	w.U8(uint8(f.Region))
	writeRegions(w, f.By)
	w.String(f.Note)
}

func readFault(r *wire.Reader) Fault {
	return Fault{Try: r.U8(), Step: CeremonyStep(r.U8()), Region: identity.RegionID(r.U8()), By: readRegions(r), Note: r.String(command.MaxNote)}
}

func (e *Wrap) encode() []byte {
	w := wire.NewWriter(4096)
	w.U32(e.Epoch)
	w.U64(e.Doomed)
	w.U8(uint8(len(e.Keys)))
	for i := range e.Keys {
		k := &e.Keys[i]
		w.U8(uint8(k.Region))
		w.Blob(k.Public)
		w.Blob(k.Sealed)
		w.Blob(k.Attributes)
		w.Blob(k.Identity)
	}
	writeRegions(w, e.Dropped)
	return w.Bytes()
}

func decodeWrap(b []byte) (*Wrap, error) {
	r := wire.NewReader(b)
	e := &Wrap{Epoch: r.U32(), Doomed: r.U64()}
	for range r.Few(command.MaxRegions) {
		e.Keys = append(e.Keys, WrapKey{Region: identity.RegionID(r.U8()), Public: clone(r, command.MaxWrapKey), Sealed: clone(r, command.MaxWrapKey),
			Attributes: clone(r, 1024), Identity: clone(r, command.MaxSignatureLen)})
	}
	e.Dropped = readRegions(r)
	return e, r.Done()
}

func (p *NoncePool) encode() []byte {
	w := wire.NewWriter(80 + len(p.Commitments))
	w.U8(uint8(p.Region))
	w.U8(uint8(p.Curve))
	w.Fixed(p.Session[:])
	w.U64(p.Boot)
	w.U32(p.Serial)
	w.U64(p.Offered)
	w.Blob(p.Commitments)
	return w.Bytes()
}

func decodePool(b []byte) (*NoncePool, error) {
	r := wire.NewReader(b)
	p := &NoncePool{Region: identity.RegionID(r.U8()), Curve: command.Curve(r.U8()), Session: readFingerprint(r), Boot: r.U64(), Serial: r.U32(), Offered: r.U64()}
	size := CommitmentLen(p.Curve)
	if size == 0 {
		r.Fail("a pool of nonces on curve %d", p.Curve)
		return nil, r.Done()
	}
	if p.Commitments = clone(r, MaxPool*size); len(p.Commitments)%size != 0 {
		r.Fail("%d bytes of commitments", len(p.Commitments))
	}
	return p, r.Done()
}

// threshold reports whether the request is one to a threshold key: its attempts name the
// sharing that signs.
func (q *Request) threshold() bool { return len(q.Attempts) > 0 && q.Attempts[0].Epoch != 0 }

// writeThreshold ends a row: the path, and for each attempt its sharing and nonces.
func (q *Request) writeThreshold(w *wire.Writer) {
	w.Blob(command.EncodePath(q.Path))
	for i := range q.Attempts {
		a := &q.Attempts[i]
		w.U32(a.Epoch)
		w.U8(uint8(len(a.Nonces)))
		for _, s := range a.Nonces {
			w.U8(uint8(s.Region))
			w.U32(uint32(len(s.Commitments)))
			for _, c := range s.Commitments {
				w.Blob(c)
			}
		}
	}
}

func (q *Request) readThreshold(b []byte) error {
	r := wire.NewReader(b)
	path, err := command.DecodePath(r.Blob(4 * command.MaxDepth))
	if err != nil {
		return err
	}
	q.Path = path
	for i := range q.Attempts {
		a := &q.Attempts[i]
		if a.Epoch = r.U32(); a.Epoch == 0 {
			r.Fail("an attempt under sharing 0")
		}
		for range r.Few(command.MaxRegions) {
			a.Nonces = append(a.Nonces, readNonces(r))
		}
	}
	if len(q.Attempts) == 0 {
		r.Fail("a path or nonces without an attempt")
	}
	return r.Done()
}

func readNonces(r *wire.Reader) NonceSet {
	s := NonceSet{Region: identity.RegionID(r.U8())}
	n := r.Count(command.MaxMessages)
	for i := 0; i < n && r.Err() == nil; i++ {
		s.Commitments = append(s.Commitments, clone(r, command.CommitmentLen))
	}
	return s
}

// SharingHash is what audit leaves say of a threshold key's live sharing: what all its
// holders said alike when they finished it, the key's fallback and asset class, and that it was
// known outside.
func SharingHash(k *Key) [32]byte {
	w := wire.NewWriter(1024)
	var fallback []byte
	if k.Fallback != nil {
		fallback = k.Fallback.Encode()
	}
	switch {
	case k.Asset != 0:
		w.String("tetrad/sharing/v4")
		w.Blob(fallback)
		w.Bool(k.Outside)
		w.U8(uint8(k.Asset))
	case k.Outside:
		w.String("tetrad/sharing/v3")
		w.Blob(fallback)
	case k.Fallback != nil:
		w.String("tetrad/sharing/v2")
		w.Blob(fallback)
	default:
		w.String("tetrad/sharing/v1")
	}
	w.Fixed(k.ID[:])
	w.U8(uint8(k.Curve))
	w.U8(k.Signers)
	w.Bool(k.AllowBlind)
	writeRegions(w, k.Regions)
	if s := k.Sharing; s != nil {
		w.U32(s.Epoch)
		w.U8(s.Threshold)
		w.Fixed(s.Transcript[:])
		w.Blob(s.Public)
		w.Blob(k.Point)
		w.Fixed(k.Chain[:])
	}
	return sha256.Sum256(w.Bytes())
}
