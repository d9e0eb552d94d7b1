package chain

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// EntrySignature is a leader's word that this entry, and no other, stands at its place.
type EntrySignature struct {
	Tuple
	Signature
}

// SignEntry signs as leader.
func SignEntry(s *Signer, t Tuple) (EntrySignature, error) {
	sig, err := s.sign(domainEntry, t.write)
	return EntrySignature{t, sig}, err
}

// Verify checks the signature; whether the signer led is LeaderProof's business.
func (e *EntrySignature) Verify(r Roster) error {
	return verify(r, domainEntry, &e.Signature, e.Tuple.write)
}

// Encode returns the canonical form.
func (e *EntrySignature) Encode() []byte {
	return encode(tupleSize+signatureSize, func(w *wire.Writer) { e.Tuple.write(w); e.Signature.write(w) })
}

// DecodeEntrySignature parses the canonical form.
func DecodeEntrySignature(b []byte) (*EntrySignature, error) {
	return decode(b, 1+tupleSize+signatureSize, "entry signature", func(r *wire.Reader) EntrySignature {
		return EntrySignature{readTuple(r), readSignature(r)}
	})
}

// Ack is a region's word that it has the entry, and all before it, on disk.
type Ack struct {
	Tuple
	At time.Time // its own clock, in milliseconds; never back within one session
	Signature
}

func ackBody(t Tuple, at time.Time) func(*wire.Writer) {
	return func(w *wire.Writer) { t.write(w); w.Time(at) }
}

// SignAck signs an ack; MayAck says whether it may be.
func SignAck(s *Signer, t Tuple, at time.Time) (Ack, error) {
	at = at.Truncate(time.Millisecond).UTC()
	sig, err := s.sign(domainAck, ackBody(t, at))
	return Ack{t, at, sig}, err
}

// Verify checks the signature.
func (a *Ack) Verify(r Roster) error {
	return verify(r, domainAck, &a.Signature, ackBody(a.Tuple, a.At))
}

const ackSize = tupleSize + 8 + signatureSize

// Encode returns the canonical form.
func (a *Ack) Encode() []byte {
	return encode(ackSize, func(w *wire.Writer) { a.Tuple.write(w); w.Time(a.At); a.Signature.write(w) })
}

// DecodeAck parses the canonical form.
func DecodeAck(b []byte) (*Ack, error) {
	return decode(b, 1+ackSize, "ack", func(r *wire.Reader) Ack { return Ack{readTuple(r), r.Time(), readSignature(r)} })
}

// Witness is one ack within a certificate.
type Witness struct {
	At time.Time
	Signature
}

// Certificate proves that a quorum of regions has one and the same log up to Index on
// disk. Two certificates share an honest region, so they never conflict.
type Certificate struct {
	Tuple
	Witnesses []Witness // regions ascending
}

// Certify joins acks. All must be of the identical tuple; whether they suffice and
// verify is Verify's business.
func Certify(acks []Ack) (*Certificate, error) {
	if len(acks) == 0 || len(acks) > maxRegions {
		return nil, errs.New(errs.Invalid, "a certificate of %d acks", len(acks))
	}
	c := &Certificate{Tuple: acks[0].Tuple}
	for _, a := range acks {
		if a.Tuple != c.Tuple {
			return nil, errs.New(errs.Invalid, "acks of different entries do not add up to a certificate of index %d", c.Index)
		}
		c.Witnesses = append(c.Witnesses, Witness{a.At, a.Signature})
	}
	slices.SortFunc(c.Witnesses, func(a, b Witness) int { return int(a.Region) - int(b.Region) })
	return c, ascending(len(c.Witnesses), c.region)
}

func (c *Certificate) region(i int) identity.RegionID { return c.Witnesses[i].Region }

// Ack returns the i-th ack.
func (c *Certificate) Ack(i int) Ack {
	return Ack{c.Tuple, c.Witnesses[i].At, c.Witnesses[i].Signature}
}

// Verify checks that a quorum of the roster's regions signed, each once. The roster is
// that of the membership at the certificate's index.
func (c *Certificate) Verify(r Roster, lineage [32]byte) error {
	if c.Lineage != lineage {
		return errs.New(errs.Unverified, "certificate of index %d is of another lineage", c.Index)
	}
	return quorum(r, "certificate", len(c.Witnesses), c.region, func(i int) error { a := c.Ack(i); return a.Verify(r) })
}

// Encode returns the canonical form.
func (c *Certificate) Encode() []byte {
	return encode(tupleSize+1+len(c.Witnesses)*(8+signatureSize), func(w *wire.Writer) {
		c.Tuple.write(w)
		w.U8(uint8(len(c.Witnesses)))
		for i := range c.Witnesses {
			w.Time(c.Witnesses[i].At)
			c.Witnesses[i].write(w)
		}
	})
}

// DecodeCertificate parses the canonical form.
func DecodeCertificate(b []byte) (*Certificate, error) {
	return decode(b, maxQuorumBytes, "certificate", func(r *wire.Reader) (c Certificate) {
		c.Tuple = readTuple(r)
		for range readCount(r) {
			c.Witnesses = append(c.Witnesses, Witness{r.Time(), readSignature(r)})
		}
		order(r, len(c.Witnesses), c.region)
		return c
	})
}

// order makes a decoder refuse regions out of order or named twice.
func order(r *wire.Reader, n int, region func(int) identity.RegionID) {
	if err := ascending(n, region); err != nil {
		r.Fail("%s", err)
	}
}
