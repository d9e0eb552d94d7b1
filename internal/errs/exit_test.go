package errs

import (
	"errors"
	"fmt"
	"testing"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("plain"), 1}, {New(NotFound, "x"), 1}, {fmt.Errorf("more: %w", New(Sealed, "x")), 3},
		{New(WrongPIN, "x"), 3}, {New(NoLeader, "x"), 4}, {New(Unavailable, "x"), 4}, {New(NeedsSecondAdmin, "x"), 5},
		{New(Denied, "x"), 5}, {New(OutcomeUnknown, "x"), 6}, {New(Unverified, "x"), 7}, {New(Corrupt, "x"), 7},
		{New(Unacknowledged, "x"), 8},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

func TestHintOf(t *testing.T) {
	hinted := New(Corrupt, "x").WithHint("do this")
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {errors.New("plain"), ""}, {New(Corrupt, "x"), ""}, {hinted, "do this"},
		{fmt.Errorf("more: %w", hinted), "do this"}, {Wrap(Internal, hinted, "y"), "do this"},
		{errors.Join(errors.New("plain"), fmt.Errorf("more: %w", hinted)), "do this"},
		{Wrap(Internal, errors.Join(New(Invalid, "z").WithHint("first"), hinted), "y"), "first"},
	} {
		if got := HintOf(c.err); got != c.want {
			t.Errorf("%v: hint %q, want %q", c.err, got, c.want)
		}
	}
}
