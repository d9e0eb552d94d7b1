package intent

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Descriptor returns wsh(sortedmulti(k,...)) with its checksum (BIP-380, BIP-383), for
// wallet software to watch and to make PSBTs.
func (w *Wallet) Descriptor() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wsh(sortedmulti(%d", w.signers)
	for _, k := range w.keys {
		b.WriteString("," + hex.EncodeToString(k.Key))
	}
	b.WriteString("))")
	return b.String() + "#" + DescriptorChecksum(b.String())
}

// CheckDescriptor returns a descriptor without its checksum, which must be there and fit.
func CheckDescriptor(s string) (string, error) {
	body, sum, ok := strings.Cut(s, "#")
	if !ok || sum == "" || DescriptorChecksum(body) != sum {
		return "", errs.New(errs.Malformed, "descriptor: its checksum is missing or does not fit").
			WithHint("copy it again, all of it, from where it was exported")
	}
	return body, nil
}

const (
	descriptorChars = "0123456789()[],'/*abcdefgh@:$%{}" + "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~" +
		"ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
	bech32Chars = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

// DescriptorChecksum is the eight characters of BIP-380, "" where s has foreign characters.
func DescriptorChecksum(s string) string {
	c, group, n := uint64(1), 0, 0
	for i := range len(s) {
		pos := strings.IndexByte(descriptorChars, s[i])
		if pos < 0 {
			return ""
		}
		c = descriptorStep(c, pos&31)
		group = group*3 + pos>>5
		if n++; n == 3 {
			c, group, n = descriptorStep(c, group), 0, 0
		}
	}
	if n > 0 {
		c = descriptorStep(c, group)
	}
	for range 8 {
		c = descriptorStep(c, 0)
	}
	c ^= 1
	out := make([]byte, 8)
	for i := range out {
		out[i] = bech32Chars[c>>(5*(7-i))&31]
	}
	return string(out)
}

func descriptorStep(c uint64, v int) uint64 {
	top := c >> 35
	c = (c&0x7ffffffff)<<5 ^ uint64(v)
	for i, g := range [5]uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd} {
		if top>>i&1 == 1 {
			c ^= g
		}
	}
	return c
}
