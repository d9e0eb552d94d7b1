package frost

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Complaint shows all the world a dealt share that its dealer signed and that does not lie
// on the dealer's polynomial. Making it public gives nothing away: the ceremony ends with
// it, and the value belongs to no key.
type Complaint struct {
	by    uint8
	dealt *Dealt
}

// By returns who complains, Against the dealer.
func (c *Complaint) By() uint8 { return c.by }

// Against returns the dealer complained of.
func (c *Complaint) Against() uint8 { return c.dealt.from }

// Encode returns the canonical form, 137 bytes; they are for publication.
func (c *Complaint) Encode() []byte {
	w := wire.NewWriter(137)
	w.U8(complaintVersion)
	w.Blob(c.dealt.Encode())
	return w.Bytes()
}

const complaintVersion = 1

// DecodeComplaint parses what the region from published. A complaint is always about a
// share dealt to from itself.
func DecodeComplaint(from uint8, b []byte) (*Complaint, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != complaintVersion {
		r.Fail("complaint version %d, this version reads %d", v, complaintVersion)
	}
	inner := r.Blob(256)
	err := r.Done()
	if err != nil || len(inner) < 35 {
		return nil, blame(from, errs.Malformed, "complaint of region %d does not decode", from)
	}
	d, err := DecodeDealt(inner[34], inner)
	if err != nil {
		return nil, &Fault{Regions: []uint8{from}, err: errs.Wrap(errs.Malformed, err, "complaint of region %d", from)}
	}
	if d.to != from {
		return nil, blame(from, errs.Denied, "region %d complains about a share dealt to region %d", from, d.to)
	}
	return &Complaint{by: from, dealt: d}, nil
}

// Judge decides a complaint; dealing is the accused's, as revealed. The Fault returned,
// never nil, names the dealer when the complaint is proven, and the complaining region
// when what it shows is right, was never signed by the dealer, or is of other terms.
func (t *Terms) Judge(c *Complaint, dealing *Dealing) *Fault {
	d := c.dealt
	if dealing == nil || dealing.region != d.from || dealing.verify(t) != nil {
		return blame(c.by, errs.Invalid, "complaint of region %d: needs the valid dealing of region %d", c.by, d.from)
	}
	switch {
	case d.suite != t.Suite || d.terms != t.Hash():
		return blame(c.by, errs.Replayed, "complaint of region %d is of another session or other terms", c.by)
	case !d.signed(dealing):
		return blame(c.by, errs.Unverified, "complaint of region %d: region %d never signed the share it shows", c.by, d.from)
	case d.right(dealing):
		return blame(c.by, errs.Unverified, "complaint of region %d: the share it shows is right", c.by)
	}
	return blame(d.from, errs.Unverified, "region %d dealt region %d a share that does not match its commitments", d.from, c.by)
}
