package chain

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Member is one server of the membership a snapshot stands under.
type Member struct {
	ServerID string
	Region   identity.RegionID
	Address  string
	Voter    bool
}

// Attestation is what a region found when it stood at Index itself: everything a
// snapshot restores, so that nothing of it has to be believed.
type Attestation struct {
	Tuple
	State       [32]byte // digest of the FSM
	AuditRoot   [32]byte
	AuditSize   uint64
	Members     []Member // by server id, ascending
	ConfigIndex uint64
	Beacon      [32]byte // group key
}

func (a *Attestation) write(w *wire.Writer) {
	a.Tuple.write(w)
	w.Fixed(a.State[:])
	w.Fixed(a.AuditRoot[:])
	w.U64(a.AuditSize)
	w.U8(uint8(len(a.Members)))
	for _, m := range a.Members {
		w.String(m.ServerID)
		w.U8(uint8(m.Region))
		w.String(m.Address)
		w.Bool(m.Voter)
	}
	w.U64(a.ConfigIndex)
	w.Fixed(a.Beacon[:])
}

func readAttestation(r *wire.Reader) (a Attestation) {
	a.Tuple = readTuple(r)
	r.Fixed(a.State[:])
	r.Fixed(a.AuditRoot[:])
	a.AuditSize = r.U64()
	n := int(r.U8())
	if n == 0 || n > maxMembers {
		r.Fail("%d members, limit %d", n, maxMembers)
		n = 0
	}
	for range n {
		a.Members = append(a.Members, Member{r.String(maxServerID), identity.RegionID(r.U8()), r.String(maxAddr), r.Bool()})
	}
	a.ConfigIndex = r.U64()
	r.Fixed(a.Beacon[:])
	if err := a.check(); err != nil {
		r.Fail("%s", err)
	}
	return a
}

func (a *Attestation) check() error {
	if len(a.Members) == 0 || len(a.Members) > maxMembers {
		return errs.New(errs.Invalid, "attestation of %d members, limit %d", len(a.Members), maxMembers)
	}
	for i, m := range a.Members {
		if m.ServerID == "" || len(m.ServerID) > maxServerID || len(m.Address) > maxAddr {
			return errs.New(errs.Invalid, "attestation names a member that makes no sense")
		}
		if i > 0 && a.Members[i-1].ServerID >= m.ServerID {
			return errs.New(errs.Invalid, "members of an attestation are not in order")
		}
	}
	if a.ConfigIndex > a.Index {
		return errs.New(errs.Invalid, "membership of index %d in a snapshot of index %d", a.ConfigIndex, a.Index)
	}
	return nil
}

// Attest signs what the region found itself.
func Attest(s *Signer, a *Attestation) (Signature, error) {
	if err := a.check(); err != nil {
		return Signature{}, err
	}
	return s.sign(domainAttest, a.write)
}

// VerifyAttester checks one region's signature over a.
func VerifyAttester(r Roster, a *Attestation, s *Signature) error {
	return verify(r, domainAttest, s, a.write)
}

// SnapshotProof is an attestation with the signatures of a quorum.
type SnapshotProof struct {
	Attestation
	Signatures []Signature // regions ascending
}

// Attested joins signatures over one attestation.
func Attested(a Attestation, sigs []Signature) (*SnapshotProof, error) {
	if len(sigs) > maxRegions {
		return nil, errs.New(errs.Invalid, "a snapshot proof of %d signatures", len(sigs))
	}
	p := &SnapshotProof{Attestation: a, Signatures: slices.Clone(sigs)}
	slices.SortFunc(p.Signatures, func(a, b Signature) int { return int(a.Region) - int(b.Region) })
	return p, ascending(len(p.Signatures), p.region)
}

func (p *SnapshotProof) region(i int) identity.RegionID { return p.Signatures[i].Region }

// Verify checks that a quorum attested.
func (p *SnapshotProof) Verify(r Roster, lineage [32]byte) error {
	if !liar.Defends(liar.SnapshotProof) {
		return nil
	}
	if p.Lineage != lineage {
		return errs.New(errs.Unverified, "snapshot of index %d is of another lineage", p.Index)
	}
	return quorum(r, "snapshot proof", len(p.Signatures), p.region, func(i int) error {
		return VerifyAttester(r, &p.Attestation, &p.Signatures[i])
	})
}

// Encode returns the canonical form.
func (p *SnapshotProof) Encode() []byte {
	return encode(1024, func(w *wire.Writer) {
		p.Attestation.write(w)
		w.U8(uint8(len(p.Signatures)))
		for i := range p.Signatures {
			p.Signatures[i].write(w)
		}
	})
}

// DecodeSnapshotProof parses the canonical form.
func DecodeSnapshotProof(b []byte) (*SnapshotProof, error) {
	return decode(b, maxAttestation, "snapshot proof", func(r *wire.Reader) (p SnapshotProof) {
		p.Attestation = readAttestation(r)
		for range readCount(r) {
			p.Signatures = append(p.Signatures, readSignature(r))
		}
		order(r, len(p.Signatures), p.region)
		return p
	})
}

// Offer is signed by whoever sends a snapshot, over the proof it sends along: so a
// sender cannot deny what it tried.
type Offer struct {
	Tuple          // of the snapshot
	Proof [32]byte // SHA-256 of the encoded SnapshotProof
	Signature
}

func (o *Offer) body(w *wire.Writer) { o.Tuple.write(w); w.Fixed(o.Proof[:]) }

// SignOffer signs the offer of a snapshot with the given encoded proof.
func SignOffer(s *Signer, t Tuple, proof []byte) (Offer, error) {
	o := Offer{Tuple: t, Proof: sha256.Sum256(proof)}
	var err error
	o.Signature, err = s.sign(domainOffer, o.body)
	return o, err
}

// Verify checks the signature and that proof is the one that was sent along.
func (o *Offer) Verify(r Roster, proof []byte) error {
	if o.Proof != sha256.Sum256(proof) {
		return errs.New(errs.Unverified, "snapshot offer of region %d came with another proof", o.Region)
	}
	return verify(r, domainOffer, &o.Signature, o.body)
}

const offerSize = tupleSize + 32 + signatureSize

// Encode returns the canonical form.
func (o *Offer) Encode() []byte {
	return encode(offerSize, func(w *wire.Writer) { o.body(w); o.Signature.write(w) })
}

// DecodeOffer parses the canonical form.
func DecodeOffer(b []byte) (*Offer, error) {
	return decode(b, 1+offerSize, "snapshot offer", func(r *wire.Reader) (o Offer) {
		o.Tuple = readTuple(r)
		r.Fixed(o.Proof[:])
		o.Signature = readSignature(r)
		return o
	})
}

// Claim is a region's word which certificate is the highest it knows. Within one
// session neither index nor time ever goes back.
type Claim struct {
	Tuple
	At time.Time
	Signature
}

// SignClaim signs a claim.
func SignClaim(s *Signer, t Tuple, at time.Time) (Claim, error) {
	at = at.Truncate(time.Millisecond).UTC()
	sig, err := s.sign(domainClaim, ackBody(t, at))
	return Claim{t, at, sig}, err
}

// Verify checks the signature.
func (c *Claim) Verify(r Roster) error {
	return verify(r, domainClaim, &c.Signature, ackBody(c.Tuple, c.At))
}

// Encode returns the canonical form.
func (c *Claim) Encode() []byte {
	return encode(ackSize, func(w *wire.Writer) { c.Tuple.write(w); w.Time(c.At); c.Signature.write(w) })
}

// DecodeClaim parses the canonical form.
func DecodeClaim(b []byte) (*Claim, error) {
	return decode(b, 1+ackSize, "claim", func(r *wire.Reader) Claim { return Claim{readTuple(r), r.Time(), readSignature(r)} })
}
