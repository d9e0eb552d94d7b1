package intent_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// A child derived again is the same, whatever was done with the first one.
func TestChildAgain(t *testing.T) {
	base := map[command.Curve][]byte{
		command.Secp256k1: append([]byte{2}, generatorX()...),
		command.Ed25519:   append([]byte{0x58}, bytes.Repeat([]byte{0x66}, 31)...),
	}
	for curve, point := range base {
		chain := [32]byte{7}
		first, next, err := intent.Child(curve, point, chain, 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(first)
		first[1] ^= 1
		again, nextAgain, err := intent.Child(curve, point, chain, 1, 2)
		if err != nil || !bytes.Equal(again, want) || next != nextAgain {
			t.Errorf("%s: %x, %v, first %x", curve, again, err, want)
		}
		other, _, err := intent.Child(curve, point, [32]byte{8}, 1, 2)
		if err != nil || bytes.Equal(other, want) {
			t.Errorf("%s: another chain code gives the same child: %v", curve, err)
		}
	}
}

// generatorX is the x coordinate of secp256k1's generator (SEC 2).
func generatorX() []byte {
	return []byte{0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
		0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98}
}
