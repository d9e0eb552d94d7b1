package frost

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Fault is an error for which named regions are to blame: whoever runs the protocol
// honestly never causes one. It carries a code like every other (CodeOf finds it).
type Fault struct {
	Regions []uint8 // ascending
	err     *errs.Error
}

func (f *Fault) Error() string { return f.err.Error() }

// Unwrap returns the coded error.
func (f *Fault) Unwrap() error { return f.err }

// Culprits returns the regions that err blames, none if it blames nobody.
func Culprits(err error) []uint8 {
	var f *Fault
	if errors.As(err, &f) {
		return slices.Clone(f.Regions)
	}
	return nil
}

func blame(region uint8, code errs.Code, format string, args ...any) *Fault {
	e := errs.New(code, "%s", fmt.Sprintf(format, args...))
	return &Fault{Regions: []uint8{region}, err: e.WithHint("keep the message of region %d as evidence and look at that region", region)}
}
