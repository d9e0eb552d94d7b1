package command

import (
	"strconv"
	"strings"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// PathText returns a derivation path as people write it: m for the key itself, m/0/5.
func PathText(path []uint32) string {
	s := "m"
	for _, i := range path {
		s += "/" + strconv.FormatUint(uint64(i), 10)
	}
	return s
}

// ParsePath reads PathText's form, and no other. The error is Invalid.
func ParsePath(s string) ([]uint32, error) {
	var path []uint32
	rest, ok := strings.CutPrefix(s, "m")
	for ok && rest != "" {
		var step string
		step, rest, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		if rest != "" {
			rest = "/" + rest
		}
		i, err := strconv.ParseUint(step, 10, 31)
		if err != nil {
			break
		}
		path = append(path, uint32(i))
	}
	if len(path) > MaxDepth || PathText(path) != s {
		return nil, errs.New(errs.Invalid, "derivation path %q", s).
			WithHint("m for the key itself, or up to %d indices below 2147483648 like m/0/5; none is hardened, as nobody has the whole secret", MaxDepth)
	}
	return path, nil
}
