package draw

import (
	"io"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Input returns what is evaluated for one log entry.
func Input(lineage [32]byte, term, index uint64, chain [32]byte) []byte { return nil }

// PublicKey is the public side of the PRF, fixed at genesis.
type PublicKey struct {
	Threshold int
	Group     [32]byte   // public key of the shared secret
	Shares    [][32]byte // Shares[i] verifies region i+1
}

// NewPublicKey builds and validates a public key from its stored parts (genesis.Beacon).
func NewPublicKey(threshold int, group [32]byte, shares [][]byte) (PublicKey, error) {
	return PublicKey{}, errTodo
}

// Validate checks that every point is canonical and not the identity, and that the
// shares lie on one polynomial of degree Threshold-1 through Group.
func (k PublicKey) Validate() error { return errTodo }

// Check verifies one partial. The coded error (Unverified) names the region at fault.
func (k PublicKey) Check(input []byte, p Partial) error { return errTodo }

// Combine returns the value from Threshold or more partials of distinct regions, which
// the caller has checked (or made itself): it verifies no proof.
func (k PublicKey) Combine(input []byte, ps []Partial) ([32]byte, error) {
	return [32]byte{}, errTodo
}

// CombineChecked checks every partial, then combines.
func (k PublicKey) CombineChecked(input []byte, ps []Partial) ([32]byte, error) {
	return [32]byte{}, errTodo
}

// Share is one region's secret share.
type Share struct {
	Region uint8
	secret [32]byte
}

// Evaluate returns the region's partial for input. The same input gives the same bytes.
func (s Share) Evaluate(input []byte) (Partial, error) { return Partial{}, errTodo }

// Matches reports whether s is the share k expects of its region.
func (s Share) Matches(k PublicKey) error { return errTodo }

// Encode returns the stored form, which is secret: seal it.
func (s Share) Encode() []byte { return nil }

// DecodeShare parses the stored form.
func DecodeShare(b []byte) (Share, error) { return Share{}, errTodo }

// Partial is one region's partial evaluation with its proof.
type Partial struct {
	Region uint8
	Eval   [32]byte
	Proof  []byte // 64 bytes: challenge and response
}

// Encode returns the canonical form, 98 bytes.
func (p Partial) Encode() []byte { return nil }

// DecodePartial parses the canonical form without verifying the proof.
func DecodePartial(b []byte) (Partial, error) { return Partial{}, errTodo }

// Permutation returns the regions of the set eligible in the order they are drawn for an
// attempt: the first k sign.
func Permutation(value [32]byte, request [16]byte, attempt uint8, eligible []uint8) []uint8 {
	return nil
}

// Dealing is the public half of what one region contributes to the key: commitments to
// the coefficients of its polynomial, and the proof that it knows the constant one.
type Dealing struct {
	Region      uint8
	Commitments [][32]byte
	Proof       []byte
}

// NewDealing deals to n regions with threshold t; shares[i] is secret and for region i+1.
// session names the ceremony, the same on every region.
func NewDealing(random io.Reader, session []byte, region uint8, n, t int) (d *Dealing, shares [][32]byte, err error) {
	return nil, nil, errTodo
}

// Hash is what a region publishes in the round before it reveals d.
func (d *Dealing) Hash(session []byte) [32]byte { return [32]byte{} }

// Encode returns the canonical form.
func (d *Dealing) Encode() []byte { return nil }

// DecodeDealing parses the canonical form; VerifyDealing judges it.
func DecodeDealing(b []byte) (*Dealing, error) { return nil, errTodo }

// VerifyDealing checks a revealed dealing: exactly t commitments, none the identity, and
// the proof of knowledge, bound to session and region. Errors name the dealer.
func VerifyDealing(session []byte, d *Dealing, t int) error { return errTodo }

// VerifyShare checks what d's dealer sent to receiver. Errors name the dealer.
func VerifyShare(d *Dealing, receiver uint8, share [32]byte) error { return errTodo }

// PublicKeyFrom computes the public key of n regions' verified dealings, one of each region.
func PublicKeyFrom(session []byte, dealings []*Dealing, n, t int) (PublicKey, error) {
	return PublicKey{}, errTodo
}

// Finish verifies everything again and returns region's share and the public key;
// shares[i] is what dealings[i]'s dealer sent to region.
func Finish(session []byte, region uint8, n, t int, dealings []*Dealing, shares [][32]byte) (Share, PublicKey, error) {
	return Share{}, PublicKey{}, errTodo
}

var errTodo = errs.New(errs.Internal, "draw: not yet implemented")
