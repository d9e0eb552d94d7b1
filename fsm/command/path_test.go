package command

import (
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestPathText(t *testing.T) {
	for s, want := range map[string][]uint32{"m": nil, "m/0": {0}, "m/0/5": {0, 5}, "m/2147483647": {1<<31 - 1},
		"m/1/2/3/4/5/6/7/8": {1, 2, 3, 4, 5, 6, 7, 8}} {
		got, err := ParsePath(s)
		if err != nil || !slices.Equal(got, want) || PathText(got) != s {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0/5", "m/", "m//5", "m/05", "m/+5", "m/-1", "m/5/", "m/5'", "m/5h", "m/2147483648", "m0", "M/0", "m/1/2/3/4/5/6/7/8/9", "m/ 1", "m/1 "} {
		if got, err := ParsePath(s); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q is accepted as %v: %v", s, got, err)
		}
	}
}
