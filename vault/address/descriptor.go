package address

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Branch returns the descriptor of all outputs below a branch of a key, tr(xpub/branch/*)
// (BIP-386), with the fallback's sortedmulti_a where there is one (BIP-387) and the
// checksum of BIP-380. By custom branch 0 receives and branch 1 takes change. The error is
// Invalid.
func Branch(e Extended, branch uint32, f *intent.Fallback) (string, error) {
	if branch >= hardened {
		return "", errs.New(errs.Invalid, "descriptor: branch %d is hardened; a threshold key has no whole secret", branch)
	}
	return tr(fmt.Sprintf("%s/%d/*", e, branch), f)
}

// Single returns the descriptor of one output, tr(key), of the internal key given in 33
// bytes or 32, x alone. The error is Invalid.
func Single(internal []byte, f *intent.Fallback) (string, error) {
	if len(internal) == 33 {
		internal = internal[1:]
	}
	if _, err := intent.NewTaproot(intent.TaprootKey{Key: append([]byte{2}, internal...), Fallback: f}); err != nil {
		return "", err
	}
	return tr(hex.EncodeToString(internal), f)
}

func tr(key string, f *intent.Fallback) (string, error) {
	s := "tr(" + key
	if f != nil {
		keys, err := f.Keys()
		if err != nil {
			return "", err
		}
		var b strings.Builder
		for _, k := range keys {
			b.WriteString("," + hex.EncodeToString(k))
		}
		s += fmt.Sprintf(",sortedmulti_a(%d%s)", f.Signers, &b)
	}
	s += ")"
	return s + "#" + intent.DescriptorChecksum(s), nil
}
