package ceremony

import (
	"context"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
)

// Resign lets a test play a region that signs whatever it likes.
func (c *Contribution) Resign(by identity.Signer) (err error) {
	c.Sig, err = by.Sign(context.Background(), c.signedBytes())
	return err
}

// Resign lets a test play a region that signs whatever it likes.
func (e *Enrolment) Resign(by identity.Signer) (err error) {
	e.Sig, err = by.Sign(context.Background(), e.signedBytes())
	return err
}

// Seal makes an envelope of c's region with other content.
func (c *Contribution) Seal(to *Enrolment, root, share [32]byte) (err error) {
	e := envelope{root, share}
	c.Envelopes[to.Region-1], err = seal.Wrap(to.Wrapping, to.OAEPHash, e.encode(), envelopeLabel(c.Enrolments, c.Region, to.Region))
	return err
}

// Open opens an envelope as its receiver.
func (c *Contribution) Open(h HSM, to identity.RegionID) (root, share [32]byte, err error) {
	b, err := h.Unwrap(context.Background(), c.Envelopes[to-1], envelopeLabel(c.Enrolments, c.Region, to))
	if err != nil {
		return root, share, err
	}
	e, err := decodeEnvelope(b)
	return e.root, e.share, err
}

// Decoders of what crosses between sites, for fuzzing.
var Decoders = map[string]func([]byte) (interface{ Encode() []byte }, error){
	"enrolment":    func(b []byte) (interface{ Encode() []byte }, error) { return decodeEnrolment(b) },
	"contribution": func(b []byte) (interface{ Encode() []byte }, error) { return decodeContribution(b) },
	"approval":     func(b []byte) (interface{ Encode() []byte }, error) { return decodeApproval(b) },
	"share":        func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficerShare(b) },
	"proof":        func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficerProof(b) },
	"officers":     func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficersProved(b) },
}

// RegionFile decodes and encodes the region file.
func RegionFile(b []byte) ([]byte, error) {
	f, err := decodeRegion(b)
	return f.encode(), err
}
