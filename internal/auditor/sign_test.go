package auditor_test

import (
	"crypto/ecdsa"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

func signSecp256k1(p *ecdsa.PrivateKey, digest []byte) (r, s *big.Int, err error) {
	d, err := p.Bytes()
	if err != nil { // the curve is not one of the standard library's
		d = p.D.FillBytes(make([]byte, 32))
	}
	sig := secpecdsa.Sign(secp256k1.PrivKeyFromBytes(d), digest)
	sr, ss := sig.R(), sig.S()
	rb, sb := sr.Bytes(), ss.Bytes()
	return new(big.Int).SetBytes(rb[:]), new(big.Int).SetBytes(sb[:]), nil
}
