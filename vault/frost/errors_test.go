package frost

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

var kinds = map[string]error{
	"Malformed": ErrMalformed, "Invalid": ErrInvalid, "TooLarge": ErrTooLarge, "Denied": ErrDenied, "Replayed": ErrReplayed, "Stale": ErrStale,
	"Unverified": ErrUnverified, "Corrupt": ErrCorrupt, "Unavailable": ErrUnavailable, "NotReady": ErrNotReady, "BadState": ErrBadState, "Internal": ErrInternal,
}

// TestEveryErrorHasAKind: an importer outside the module can name each code that the sources
// give errors, and a kind is found in an error of its code only.
func TestEveryErrorHasAKind(t *testing.T) {
	used, named := map[string]bool{}, regexp.MustCompile(`errs\.([A-Z]\w+)`)
	paths, err := filepath.Glob("*.go")
	must(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || path == "errors.go" {
			continue
		}
		text, err := os.ReadFile(path)
		must(t, err)
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
	}
	for _, other := range []string{"New", "Wrap", "Error", "Code", "CodeOf", "OK"} {
		delete(used, other)
	}
	if a, b := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(kinds)); !slices.Equal(a, b) {
		t.Errorf("codes in use: %v; kinds: %v", a, b)
	}
	for name, kind := range kinds {
		code := errs.CodeOf(kind)
		for _, err := range []error{errs.New(code, "x"), errs.Wrap(code, errors.New("y"), "x"), blame(3, code, "x"), errs.New(code, "x").WithHint("z")} {
			for other, k := range kinds {
				if errors.Is(err, k) != (name == other) {
					t.Errorf("an error of kind %s is one of kind %s: %v", name, other, errors.Is(err, k))
				}
			}
		}
	}
}

// TestSecretIsCopiedOnce: what Bytes returns is all there is to clear.
func TestSecretIsCopiedOnce(t *testing.T) {
	for _, s := range suites {
		value := s.group.number(7)
		secret := &Secret{nil, value}
		if n := testing.AllocsPerRun(100, func() { clear(secret.Bytes()) }); n > 1 {
			t.Errorf("%v: %v copies are made", s, n)
		}
	}
}
