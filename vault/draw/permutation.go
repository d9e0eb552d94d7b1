package draw

import (
	"crypto/sha256"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/wire"
)

const permutationDomain = "tetrad/draw/permutation/v1"

// Permutation returns the regions of the set eligible in the order they are drawn for an
// attempt: the first k sign. Every order is equally likely over values; the order and
// repetition in which eligible is given do not matter.
func Permutation(value [32]byte, request [16]byte, attempt uint8, eligible []uint8) []uint8 {
	out := slices.Clone(eligible)
	slices.Sort(out)
	out = slices.Compact(out)
	s := stream{value: value, request: request, attempt: attempt}
	for i := len(out) - 1; i > 0; i-- { // Fisher-Yates
		j := s.below(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// stream expands one attempt's draw into bytes, a SHA-256 block at a time.
type stream struct {
	value   [32]byte
	request [16]byte
	attempt uint8
	counter uint32
	block   []byte
}

func (s *stream) next() byte {
	if len(s.block) == 0 {
		w := wire.NewWriter(96)
		w.String(permutationDomain)
		w.Fixed(s.value[:])
		w.Fixed(s.request[:])
		w.U8(s.attempt)
		w.U32(s.counter)
		sum := sha256.Sum256(w.Bytes())
		s.block, s.counter = sum[:], s.counter+1
	}
	b := s.block[0]
	s.block = s.block[1:]
	return b
}

// below returns a uniform number in [0, n), n at most 256: bytes that would favour small
// results are rejected.
func (s *stream) below(n int) int {
	limit := 256 - 256%n
	for {
		if b := int(s.next()); b < limit {
			return b % n
		}
	}
}
