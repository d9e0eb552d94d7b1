package draw

import (
	"crypto/sha512"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/wire"
)

type scalar = edwards25519.Scalar

// decodeScalar accepts only canonical bytes. They may be secret: the library compares them
// with the order by subtracting, and TestConstantTime of vault/frost watches that it does.
func decodeScalar(b []byte) (*scalar, bool) {
	s, err := new(scalar).SetCanonicalBytes(b)
	return s, err == nil
}

// hashToScalar reduces SHA-512 over the domain and the parts, each with its length. What it
// hashes may be secret.
func hashToScalar(domain string, parts ...[]byte) *scalar {
	w := wire.NewWriter(512)
	w.String(domain)
	for _, p := range parts {
		w.Blob(p)
	}
	sum := sha512.Sum512(w.Bytes())
	clear(w.Bytes())
	defer clear(sum[:])
	s, err := new(scalar).SetUniformBytes(sum[:])
	if err != nil {
		panic("draw: SHA-512 is not 64 bytes")
	}
	return s
}

func small(n uint8) *scalar {
	var b [32]byte
	b[0] = n
	s, err := new(scalar).SetCanonicalBytes(b[:])
	if err != nil {
		panic("draw: a byte is not a scalar")
	}
	return s
}

// lagrange returns, for each of the distinct regions, the coefficient by which its share
// counts in the polynomial's value at zero. Region numbers are public. With n_i the product
// of the other regions' numbers and d_i that of their differences to i's, the coefficient
// is n_i/d_i; one inversion serves all, since inversions are what costs here.
func lagrange(regions []uint8) []*scalar {
	out, dens := make([]*scalar, len(regions)), make([]*scalar, len(regions))
	all := small(1)
	for i, ri := range regions {
		out[i], dens[i] = small(1), small(1)
		for j, rj := range regions {
			if i != j {
				out[i].Multiply(out[i], small(rj))
				dens[i].Multiply(dens[i], new(scalar).Subtract(small(rj), small(ri)))
			}
		}
		all.Multiply(all, dens[i])
	}
	all.Invert(all)
	for i := range out {
		out[i].Multiply(out[i], all)
		for j := range dens {
			if j != i {
				out[i].Multiply(out[i], dens[j])
			}
		}
	}
	return out
}

// horner evaluates the polynomial of secret coefficients at x.
func horner(coefficients []*scalar, x uint8) *scalar {
	sum, at := edwards25519.NewScalar(), small(x)
	for i := len(coefficients) - 1; i >= 0; i-- {
		sum.MultiplyAdd(sum, at, coefficients[i])
	}
	return sum
}

// hornerPoints evaluates a polynomial of public commitments at x.
func hornerPoints(commitments []*point, x uint8) *point {
	sum, at := edwards25519.NewIdentityPoint(), small(x)
	for i := len(commitments) - 1; i >= 0; i-- {
		sum.VarTimeMultiScalarMult([]*scalar{at}, []*point{sum})
		sum.Add(sum, commitments[i])
	}
	return sum
}
