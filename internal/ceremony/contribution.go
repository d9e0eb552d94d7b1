package ceremony

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Contribution is round 2: a region's part of the root key and of the beacon key. The
// secrets lie in envelopes, one for each region's HSM; the rest is public and must be
// what round 1 committed to.
type Contribution struct {
	origin
	Plan       [32]byte
	Enrolments [32]byte // hash of the enrolments it was made for
	Region     identity.RegionID
	RootHash   [32]byte // SHA-256 of the contribution to the root key
	Dealing    *draw.Dealing
	Envelopes  [][]byte // Envelopes[i] opens in the HSM of region i+1
	Sig        []byte   // by the region's identity key
}

func (c *Contribution) body(w *wire.Writer) {
	w.U8(1)
	w.Fixed(c.Plan[:])
	w.Fixed(c.Enrolments[:])
	w.U8(uint8(c.Region))
	w.Fixed(c.RootHash[:])
	w.Blob(c.Dealing.Encode())
	w.U8(uint8(len(c.Envelopes)))
	for _, e := range c.Envelopes {
		w.Blob(e)
	}
}

func (c *Contribution) signedBytes() []byte {
	w := wire.NewWriter(8192)
	w.String("tetrad/contribution/v1")
	c.body(w)
	return w.Bytes()
}

// Encode returns the canonical form.
func (c *Contribution) Encode() []byte {
	w := wire.NewWriter(8192)
	c.body(w)
	w.Blob(c.Sig)
	return w.Bytes()
}

// File returns the contribution as text.
func (c *Contribution) File() []byte { return armor(blockContribution, c.Encode()) }

func decodeContribution(b []byte) (*Contribution, error) {
	r, c := wire.NewReader(b), &Contribution{}
	if v := r.U8(); v != 1 {
		r.Fail("contribution version %d", v)
	}
	r.Fixed(c.Plan[:])
	r.Fixed(c.Enrolments[:])
	c.Region = identity.RegionID(r.U8())
	r.Fixed(c.RootHash[:])
	dealing := bytes.Clone(r.Blob(maxBox))
	n := int(r.U8())
	if n != Regions {
		r.Fail("%d envelopes, want %d", n, Regions)
	} else {
		c.Envelopes = make([][]byte, n)
	}
	for i := range c.Envelopes {
		c.Envelopes[i] = bytes.Clone(r.Blob(maxBox))
	}
	c.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
	if err := r.Done(); err != nil {
		return nil, err
	}
	var err error
	c.Dealing, err = draw.DecodeDealing(dealing)
	return c, err
}

func (c *Contribution) region() identity.RegionID { return c.Region }

func (c *Contribution) who() string {
	return fmt.Sprintf("contribution of region %d%s", c.Region, c.in())
}

const domainEnrolments = "tetrad/enrolments/v1"

// session names this ceremony to the dealing's proofs.
func session(plan [32]byte) []byte {
	return append([]byte("tetrad/ceremony/v1"), plan[:]...)
}

// commitment is what round 1 publishes of a contribution.
func commitment(plan [32]byte, region identity.RegionID, rootHash, dealing [32]byte) [32]byte {
	w := wire.NewWriter(160)
	w.String("tetrad/commitment/v1")
	w.Fixed(plan[:])
	w.U8(uint8(region))
	w.Fixed(rootHash[:])
	w.Fixed(dealing[:])
	return sha256.Sum256(w.Bytes())
}

// envelopeLabel binds an envelope to ceremony, sender and receiver: a copied one does
// not open elsewhere.
func envelopeLabel(enrolments [32]byte, from, to identity.RegionID) string {
	return fmt.Sprintf("tetrad/envelope/v1 %s %d %d", hex.EncodeToString(enrolments[:]), from, to)
}

// secrets is what one region keeps to itself between round 1 and round 2.
type secrets struct {
	root   [seal.ContributionSize]byte
	shares [][32]byte // of its dealing, one a region
}

func (s *secrets) clear() {
	clear(s.root[:])
	clear(s.shares)
}

func (s *secrets) rootHash() [32]byte { return sha256.Sum256(s.root[:]) }

func encodeSecrets(s *secrets, d *draw.Dealing) []byte {
	w := wire.NewWriter(1024)
	w.U8(1)
	w.Fixed(s.root[:])
	w.Blob(d.Encode())
	w.U8(uint8(len(s.shares)))
	for _, v := range s.shares {
		w.Fixed(v[:])
	}
	return w.Bytes()
}

func decodeSecrets(b []byte) (*secrets, *draw.Dealing, error) {
	r, s := wire.NewReader(b), &secrets{}
	if v := r.U8(); v != 1 {
		r.Fail("ceremony secrets version %d", v)
	}
	r.Fixed(s.root[:])
	dealing := bytes.Clone(r.Blob(maxBox))
	if n := r.U8(); n == Regions {
		s.shares = make([][32]byte, n)
	} else {
		r.Fail("%d shares, want %d", n, Regions)
	}
	for i := range s.shares {
		r.Fixed(s.shares[i][:])
	}
	if err := r.Done(); err != nil {
		return nil, nil, err
	}
	d, err := draw.DecodeDealing(dealing)
	return s, d, err
}

// envelope is what one region tells another.
type envelope struct {
	root  [seal.ContributionSize]byte
	share [32]byte
}

func (e *envelope) encode() []byte {
	return append(append([]byte{1}, e.root[:]...), e.share[:]...)
}

func decodeEnvelope(b []byte) (e envelope, err error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("envelope version %d", v)
	}
	r.Fixed(e.root[:])
	r.Fixed(e.share[:])
	return e, r.Done()
}

// contributions orders a full set and checks all that needs no secret: signatures,
// that all were made for these enrolments, commitments, dealings.
func (p *Plan) contributions(enrolments []*Enrolment, in []*Contribution) ([]*Contribution, error) {
	want := setHash(domainEnrolments, enrolments)
	for _, c := range in {
		if c.Region < 1 || int(c.Region) > len(enrolments) {
			return nil, errs.New(errs.Invalid, "%s: the plan has no such region", c.who())
		}
		if err := c.check(p, want, enrolments[c.Region-1]); err != nil {
			return nil, err
		}
	}
	return onePerRegion(p, "contribution", "contribute", in)
}

func (c *Contribution) check(p *Plan, enrolments [32]byte, by *Enrolment) error {
	if c.Plan != p.Hash() {
		return errs.New(errs.Invalid, "%s was made from another plan", c.who())
	}
	if !by.Identity.Verify(c.signedBytes(), c.Sig) {
		return errs.New(errs.Unverified, "%s is not signed by region %q", c.who(), by.Name).
			WithHint("it was altered or damaged on its way: fetch it again from the region")
	}
	if c.Enrolments != enrolments {
		return errs.New(errs.Invalid, "%s was made for other enrolments than those given here", c.who()).
			WithHint("some region enrolled twice: collect the four enrolments again and repeat round 2 everywhere")
	}
	if commitment(c.Plan, c.Region, c.RootHash, c.Dealing.Hash(session(c.Plan))) != by.Commitment {
		return errs.New(errs.Unverified, "%s is not what region %q committed to in round 1", c.who(), by.Name).
			WithHint("region %q misbehaves or lost its state: do not go on before you know why", by.Name)
	}
	if c.Dealing.Region != uint8(c.Region) {
		return errs.New(errs.Unverified, "%s deals as region %d", c.who(), c.Dealing.Region)
	}
	if err := draw.VerifyDealing(session(c.Plan), c.Dealing, beaconThreshold); err != nil {
		return errs.Wrap(errs.Unverified, err, "beacon dealing of region %q%s", by.Name, c.in())
	}
	return nil
}
