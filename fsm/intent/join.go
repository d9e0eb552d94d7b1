package intent

import (
	"bytes"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// A frost.SignatureShare begins with version, suite, region and epoch u32; R and the
// response follow.
const (
	shareHead   = 7
	responseLen = 32
)

// ShareLen returns the length of an encoded frost.SignatureShare on a curve of threshold
// keys, Ed25519 or secp256k1.
func ShareLen(curve command.Curve) int { return shareHead + curve.PublicKeyLen() + responseLen }

// Join adds up the encoded shares of one signature of a threshold key (frost.Join does the
// same for the regions): all of one R, the sum of the responses. What comes out is 64 bytes
// to be verified. The error is Unverified, and names nobody.
func Join(curve command.Curve, shares [][]byte) ([]byte, error) {
	if len(shares) == 0 {
		return nil, errs.New(errs.Unverified, "no shares of a signature")
	}
	end := shareHead + curve.PublicKeyLen() // of R, which has the form of a public key
	responses := make([][]byte, len(shares))
	for i, s := range shares {
		if len(s) != ShareLen(curve) || !bytes.Equal(s[shareHead:end], shares[0][shareHead:end]) {
			return nil, errs.New(errs.Unverified, "shares of different signatures")
		}
		responses[i] = s[end:]
	}
	sum, ok := sumScalars(curve, responses)
	if !ok {
		return nil, errs.New(errs.Unverified, "a share with a response that is no scalar")
	}
	r := shares[0][end-32 : end] // x only on secp256k1
	return append(bytes.Clone(r), sum...), nil
}

func sumScalars(curve command.Curve, scalars [][]byte) (sum []byte, ok bool) {
	if curve == command.Ed25519 {
		total, next := edwards25519.NewScalar(), edwards25519.NewScalar()
		for _, s := range scalars {
			if _, err := next.SetCanonicalBytes(s); err != nil {
				return nil, false
			}
			total.Add(total, next)
		}
		return total.Bytes(), true
	}
	var total, next btcec.ModNScalar
	for _, s := range scalars {
		if next.SetByteSlice(s) {
			return nil, false
		}
		total.Add(&next)
	}
	b := total.Bytes()
	return b[:], true
}
