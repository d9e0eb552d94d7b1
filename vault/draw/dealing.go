package draw

import (
	"crypto/sha256"
	"fmt"
	"io"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The key is dealt without a dealer (Feldman's sharing, once by every region; Pedersen's
// sum). Round 1: each region publishes the hash of its dealing, so that nobody chooses
// theirs after seeing another's. Round 2: it reveals the dealing and sends each region
// its share, sealed to it. Then each finishes alone; all must report one public key.
const (
	dealingVersion  = 1
	dealingDomain   = "tetrad/draw/dealing/v1"
	knowledgeDomain = "tetrad/draw/knowledge/v1"
	secretDomain    = "tetrad/draw/coefficient/v1"
)

// Dealing is the public half of what one region contributes to the key: commitments to
// the coefficients of its polynomial, and the proof that it knows the constant one.
type Dealing struct {
	Region      uint8
	Commitments [][32]byte
	Proof       []byte // 64 bytes: challenge and response
}

// NewDealing deals to n regions with threshold t; shares[i] is secret and for region i+1.
// session names the ceremony, the same on every region.
func NewDealing(random io.Reader, session []byte, region uint8, n, t int) (d *Dealing, shares [][32]byte, err error) {
	if err := checkSize(n, t); err != nil {
		return nil, nil, err
	}
	if region == 0 || int(region) > n || len(session) == 0 || len(session) > maxSession {
		return nil, nil, errs.New(errs.Invalid, "beacon dealing: region %d of %d, session of %d bytes", region, n, len(session))
	}
	coefficients := make([]*scalar, t)
	d = &Dealing{Region: region, Commitments: make([][32]byte, t)}
	for i := range coefficients {
		if coefficients[i], err = randomScalar(random, session, region); err != nil {
			return nil, nil, err
		}
		d.Commitments[i] = encodePoint(new(point).ScalarBaseMult(coefficients[i]))
	}
	r, err := randomScalar(random, session, region)
	if err != nil {
		return nil, nil, err
	}
	c := d.challenge(session, encodePoint(new(point).ScalarBaseMult(r)))
	s := new(scalar).Subtract(r, new(scalar).Multiply(c, coefficients[0]))
	d.Proof = append(c.Bytes(), s.Bytes()...)
	for to := range n {
		shares = append(shares, [32]byte(horner(coefficients, uint8(to+1)).Bytes()))
	}
	return d, shares, nil
}

// randomScalar is never zero: a zero coefficient would lower the degree.
func randomScalar(random io.Reader, session []byte, region uint8) (*scalar, error) {
	seed := make([]byte, 64)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "beacon dealing: reading randomness")
	}
	s := hashToScalar(secretDomain, seed, session, []byte{region})
	if s.Equal(edwards25519.NewScalar()) == 1 {
		return nil, errs.New(errs.Internal, "beacon dealing: randomness gave zero")
	}
	return s, nil
}

func (d *Dealing) challenge(session []byte, r [32]byte) *scalar {
	parts := [][]byte{session, {d.Region}}
	for i := range d.Commitments {
		parts = append(parts, d.Commitments[i][:])
	}
	return hashToScalar(knowledgeDomain, append(parts, r[:])...)
}

// Hash is what a region publishes in the round before it reveals d.
func (d *Dealing) Hash(session []byte) [32]byte {
	w := wire.NewWriter(512)
	w.String(dealingDomain)
	w.Blob(session)
	w.Blob(d.Encode())
	return sha256.Sum256(w.Bytes())
}

// Encode returns the canonical form.
func (d *Dealing) Encode() []byte {
	w := wire.NewWriter(8 + 32*len(d.Commitments) + proofSize)
	w.U8(dealingVersion)
	w.U8(d.Region)
	w.U8(uint8(len(d.Commitments)))
	for i := range d.Commitments {
		w.Fixed(d.Commitments[i][:])
	}
	w.Fixed(d.Proof)
	return w.Bytes()
}

// DecodeDealing parses the canonical form; VerifyDealing judges it.
func DecodeDealing(b []byte) (*Dealing, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != dealingVersion {
		r.Fail("beacon dealing version %d, this version reads %d", v, dealingVersion)
	}
	d := &Dealing{Region: r.U8(), Proof: make([]byte, proofSize)}
	n := int(r.U8())
	if n > maxRegions {
		r.Fail("%d commitments, limit %d", n, maxRegions)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		var c [32]byte
		r.Fixed(c[:])
		d.Commitments = append(d.Commitments, c)
	}
	r.Fixed(d.Proof)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return d, nil
}

// VerifyDealing checks a revealed dealing: exactly t commitments (one more would raise
// the threshold), none the identity, and the proof of knowledge, bound to session,
// region and all commitments. Errors name the dealer.
func VerifyDealing(session []byte, d *Dealing, t int) error {
	_, err := verifyDealing(session, d, t)
	return err
}

func verifyDealing(session []byte, d *Dealing, t int) ([]*point, error) {
	if d == nil || d.Region == 0 || d.Region > maxRegions {
		return nil, errs.New(errs.Invalid, "beacon dealing of no region")
	}
	if len(d.Commitments) != t {
		return nil, d.fault("%d commitments, want exactly %d", len(d.Commitments), t)
	}
	points := make([]*point, t)
	for i := range points {
		p, ok := decodePoint(d.Commitments[i][:])
		if !ok {
			return nil, d.fault("commitment %d is not a canonical element, or is the identity", i)
		}
		points[i] = p
	}
	if !d.knows(session, points[0]) {
		return nil, d.fault("its proof of knowledge does not verify")
	}
	return points, nil
}

func (d *Dealing) knows(session []byte, constant *point) bool {
	if len(d.Proof) != proofSize {
		return false
	}
	c, okC := decodeScalar(d.Proof[:32])
	s, okS := decodeScalar(d.Proof[32:])
	if !okC || !okS {
		return false
	}
	r := new(point).VarTimeDoubleScalarBaseMult(c, constant, s)
	return d.challenge(session, encodePoint(r)).Equal(c) == 1
}

func (d *Dealing) fault(format string, args ...any) error {
	e := errs.New(errs.Unverified, format, args...)
	e.Msg = fmt.Sprintf("beacon dealing of region %d: %s", d.Region, e.Msg)
	return e.WithHint("stop the ceremony; the named region must deal again in a new session")
}

// VerifyShare checks what d's dealer sent to receiver. Errors name the dealer.
func VerifyShare(d *Dealing, receiver uint8, share [32]byte) error {
	if d == nil {
		return errs.New(errs.Invalid, "beacon dealing of no region")
	}
	points := make([]*point, len(d.Commitments))
	for i := range points {
		p, ok := decodePoint(d.Commitments[i][:])
		if !ok {
			return d.fault("commitment %d is not a canonical element, or is the identity", i)
		}
		points[i] = p
	}
	return d.verifyShare(points, receiver, share)
}

func (d *Dealing) verifyShare(points []*point, receiver uint8, share [32]byte) error {
	s, ok := decodeScalar(share[:])
	if ok {
		defer wipe(s)
	}
	if !ok || receiver == 0 || encodePoint(new(point).ScalarBaseMult(s)) != encodePoint(hornerPoints(points, receiver)) {
		return d.fault("its share for region %d does not match its commitments", receiver)
	}
	return nil
}

// PublicKeyFrom verifies n regions' dealings, one of each region, and computes the key.
func PublicKeyFrom(session []byte, dealings []*Dealing, n, t int) (PublicKey, error) {
	_, k, err := combineDealings(session, dealings, n, t)
	return k, err
}

func combineDealings(session []byte, dealings []*Dealing, n, t int) ([][]*point, PublicKey, error) {
	if err := checkSize(n, t); err != nil {
		return nil, PublicKey{}, err
	}
	if len(dealings) != n {
		return nil, PublicKey{}, errs.New(errs.Invalid, "beacon ceremony: %d dealings, want one of each of %d regions", len(dealings), n)
	}
	var seen [maxRegions + 1]bool
	points := make([][]*point, n)
	for i, d := range dealings {
		p, err := verifyDealing(session, d, t)
		if err != nil {
			return nil, PublicKey{}, err
		}
		if int(d.Region) > n || seen[d.Region] {
			return nil, PublicKey{}, d.fault("a second one, or of a region that takes no part")
		}
		seen[d.Region], points[i] = true, p
	}
	k := PublicKey{Threshold: t, Shares: make([][32]byte, n)}
	sum := make([]*point, t)
	for j := range sum {
		sum[j] = edwards25519.NewIdentityPoint()
		for i := range points {
			sum[j].Add(sum[j], points[i][j])
		}
	}
	k.Group = encodePoint(sum[0])
	for i := range k.Shares {
		k.Shares[i] = encodePoint(hornerPoints(sum, uint8(i+1)))
	}
	if isIdentity(sum[t-1]) {
		return nil, PublicKey{}, errs.New(errs.Invalid, "beacon ceremony: the dealings cancel out").
			WithHint("start a new session")
	}
	return points, k, k.Validate()
}

// Finish verifies everything again and returns region's share and the public key;
// shares[i] is what dealings[i]'s dealer sent to region.
func Finish(session []byte, region uint8, n, t int, dealings []*Dealing, shares [][32]byte) (Share, PublicKey, error) {
	points, k, err := combineDealings(session, dealings, n, t)
	if err != nil {
		return Share{}, PublicKey{}, err
	}
	if region == 0 || int(region) > n || len(shares) != n {
		return Share{}, PublicKey{}, errs.New(errs.Invalid, "beacon ceremony: region %d of %d with %d shares", region, n, len(shares))
	}
	sum := edwards25519.NewScalar()
	for i, d := range dealings {
		if err := d.verifyShare(points[i], region, shares[i]); err != nil {
			return Share{}, PublicKey{}, err
		}
		s, _ := decodeScalar(shares[i][:])
		sum.Add(sum, s)
		wipe(s)
	}
	s := newShare(region, sum)
	wipe(sum)
	return s, k, s.Matches(k)
}
