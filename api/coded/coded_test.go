package coded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// known returns every code but the two that are no errors.
func known() (out []errs.Code) {
	for c := errs.Code(0); c < 1000; c++ {
		if c.Known() && c != errs.OK {
			out = append(out, c)
		}
	}
	return out
}

// over sends an error as a server and reads it as a client does.
func over(t testing.TB, err error) *errs.Error {
	t.Helper()
	sent := ToStatus(err)
	wire, ok := status.FromError(sent)
	if !ok {
		t.Fatalf("%v is no status", sent)
	}
	got := FromError(status.FromProto(wire.Proto()).Err())
	var e *errs.Error
	if !errors.As(got, &e) {
		t.Fatalf("%v came back as %T", err, got)
	}
	return e
}

func TestEveryCodeRoundTrips(t *testing.T) {
	codesSeen := known()
	if len(codesSeen) < 33 {
		t.Fatalf("only %d codes", len(codesSeen))
	}
	for _, c := range codesSeen {
		if _, ok := grpcCodes[c]; !ok {
			t.Errorf("%s has no gRPC code", c)
		}
		e := over(t, fmt.Errorf("context: %w", errs.New(c, "object %d", 7).WithHint("do this")))
		if e.Code != c || e.Msg != "object 7" || e.Hint != "do this" {
			t.Errorf("%s came back as %s %q hint %q", c, e.Code, e.Msg, e.Hint)
		}
		if !Travelled(ToStatus(errs.New(c, "x"))) {
			t.Errorf("%s does not look like an answer of ours", c)
		}
	}
}

func TestCausesDoNotTravel(t *testing.T) {
	cause := errors.New("PIN 1234")
	for _, err := range []error{errs.Wrap(errs.HSMFailed, cause, "signing"), cause, fmt.Errorf("deep: %w", cause)} {
		if s := fmt.Sprint(ToStatus(err)); strings.Contains(s, "1234") {
			t.Errorf("status %q shows the cause", s)
		}
	}
}

func TestContextErrors(t *testing.T) {
	if e := over(t, context.DeadlineExceeded); e.Code != errs.DeadlineExceeded {
		t.Errorf("deadline came back as %s", e.Code)
	}
	if e := over(t, fmt.Errorf("x: %w", context.Canceled)); e.Code != errs.Canceled {
		t.Errorf("cancel came back as %s", e.Code)
	}
}

// TestForwardedErrorsStay: a node that passes a leader's error on changes nothing.
func TestForwardedErrorsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(known()).Draw(t, "code")
		text := rapid.StringN(1, 200, 900).Draw(t, "text")
		hint := rapid.StringN(0, 200, 900).Draw(t, "hint")
		first := FromError(ToStatus(&errs.Error{Code: c, Msg: text, Hint: hint}))
		second := FromError(ToStatus(first))
		if errs.CodeOf(second) != c || second.Error() != first.Error() || errs.HintOf(second) != errs.HintOf(first) {
			t.Fatalf("%v became %v", first, second)
		}
	})
}

func TestLongAndBrokenTexts(t *testing.T) {
	e := over(t, errs.New(errs.Invalid, "%s", strings.Repeat("x", 5000)+"\xff"))
	if len(e.Msg) > textMax {
		t.Errorf("text of %d bytes travelled", len(e.Msg))
	}
	if e := over(t, errs.New(errs.Invalid, "a\xffb")); e.Msg != "a?b" {
		t.Errorf("text came as %q", e.Msg)
	}
}

func TestForeignStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want errs.Code
	}{
		{status.Error(codes.Unavailable, "connection refused"), errs.Unavailable},
		{status.Error(codes.Unimplemented, "unknown method"), errs.Invalid},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (2 vs. 1)"), errs.TooLarge},
		{status.Error(codes.ResourceExhausted, "slow down"), errs.Throttled},
		{status.Error(codes.Unknown, "?"), errs.Internal},
		{errors.New("plain"), errs.Internal},
		{nil, errs.OK},
	} {
		if got := errs.CodeOf(FromError(c.err)); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

func TestAmbiguous(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{status.Error(codes.Unavailable, "transport is closing"), true},
		{status.Error(codes.DeadlineExceeded, ""), true},
		{status.Error(codes.ResourceExhausted, ""), false},
		{context.Canceled, true},
		{ToStatus(errs.New(errs.NoLeader, "x")), false},
		{ToStatus(errs.New(errs.OutcomeUnknown, "x")), true},
		{ToStatus(errs.New(errs.Internal, "x")), false},
	} {
		if got := Ambiguous(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
