package draw

import (
	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/ristretto"
)

type point = edwards25519.Point

// decodePoint accepts only the canonical encoding of an element other than the identity.
func decodePoint(b []byte) (*point, bool) { return ristretto.Decode(b) }

func encodePoint(p *point) [32]byte { return ristretto.Encode(p) }

func isIdentity(p *point) bool { return ristretto.IsIdentity(p) }

func hashToPoint(msg []byte, dst string) *point { return ristretto.Hash(msg, dst) }
