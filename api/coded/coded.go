// Package coded is the one place where coded errors meet gRPC: an *errs.Error
// becomes a status with an ErrorInfo detail, and comes back as an *errs.Error with
// the same code, text and hint. Servers and the client both use it. Causes never
// travel.
package coded

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// domain marks ErrorInfo details as ours.
const domain = "tetrad"

// textMax bounds what an error may carry over the wire, in bytes.
const textMax = 1024

// grpcCodes gives every code its nearest gRPC code, for callers that know no other.
var grpcCodes = map[errs.Code]codes.Code{
	errs.Internal: codes.Internal, errs.Malformed: codes.InvalidArgument, errs.TooLarge: codes.InvalidArgument,
	errs.Invalid: codes.InvalidArgument, errs.Unauthenticated: codes.Unauthenticated, errs.Denied: codes.PermissionDenied,
	errs.NotFound: codes.NotFound, errs.Exists: codes.AlreadyExists, errs.Replayed: codes.AlreadyExists,
	errs.Expired: codes.FailedPrecondition, errs.Skewed: codes.FailedPrecondition, errs.Frozen: codes.FailedPrecondition,
	errs.BadState: codes.FailedPrecondition, errs.NeedsSecondAdmin: codes.FailedPrecondition,
	errs.PayloadRejected: codes.InvalidArgument, errs.BlindDenied: codes.PermissionDenied,
	errs.Sealed: codes.Unavailable, errs.NotReady: codes.Unavailable, errs.NotLeader: codes.Unavailable,
	errs.NoLeader: codes.Unavailable, errs.OutcomeUnknown: codes.Unknown, errs.Unavailable: codes.Unavailable,
	errs.Throttled: codes.ResourceExhausted, errs.HSMFailed: codes.Internal, errs.HSMTimeout: codes.Internal,
	errs.WrongPIN: codes.FailedPrecondition, errs.Corrupt: codes.DataLoss, errs.DiskFull: codes.ResourceExhausted,
	errs.DiskFailed: codes.Internal, errs.Unverified: codes.FailedPrecondition, errs.Canceled: codes.Canceled,
	errs.DeadlineExceeded: codes.DeadlineExceeded, errs.NoEligiblePair: codes.FailedPrecondition, errs.Stale: codes.Unavailable,
	errs.Unacknowledged: codes.FailedPrecondition, errs.OverLimit: codes.ResourceExhausted,
}

// plainCodes reads a status that says nothing of ours: gRPC itself spoke, or a proxy.
var plainCodes = map[codes.Code]errs.Code{
	codes.Canceled: errs.Canceled, codes.InvalidArgument: errs.Invalid, codes.DeadlineExceeded: errs.DeadlineExceeded,
	codes.NotFound: errs.NotFound, codes.AlreadyExists: errs.Exists, codes.PermissionDenied: errs.Denied,
	codes.ResourceExhausted: errs.Throttled, codes.FailedPrecondition: errs.BadState, codes.OutOfRange: errs.Invalid,
	codes.Unimplemented: errs.Invalid, codes.Unavailable: errs.Unavailable, codes.DataLoss: errs.Corrupt,
	codes.Unauthenticated: errs.Unauthenticated,
}

// ToStatus converts err for the wire; nil stays nil. A plain error tells the caller
// nothing but that it was internal.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok && Travelled(err) {
		return s.Err()
	}
	code, text := errs.CodeOf(err), ""
	var e *errs.Error
	switch {
	case errors.As(err, &e):
		text = e.Msg
	case code == errs.Internal:
		text = "internal error"
	default:
		text = code.String()
	}
	return statusOf(code, text, errs.HintOf(err))
}

func statusOf(code errs.Code, text, hint string) error {
	if text == "" {
		text = code.String()
	}
	g, ok := grpcCodes[code]
	if !ok {
		g = codes.Unknown
	}
	info := &errdetails.ErrorInfo{Reason: code.String(), Domain: domain,
		Metadata: map[string]string{"code": strconv.Itoa(int(code))}}
	if hint != "" {
		info.Metadata["hint"] = clean(hint)
	}
	s := status.New(g, clean(text))
	if d, err := s.WithDetails(info); err == nil {
		s = d
	}
	return s.Err()
}

// clean makes text fit for a status message: valid UTF-8 of bounded length.
func clean(s string) string {
	if len(s) > textMax {
		s = s[:textMax]
	}
	return strings.ToValidUTF8(s, "?")
}

// FromError converts what a gRPC call returned back into a coded error; nil stays nil.
func FromError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*errs.Error); ok {
		return e
	}
	s, ok := status.FromError(err)
	if !ok {
		return errs.Wrap(errs.CodeOf(err), err, "call failed")
	}
	if info := infoOf(s); info != nil {
		if code, ok := codeOf(info); ok {
			return &errs.Error{Code: code, Msg: s.Message(), Hint: info.Metadata["hint"]}
		}
	}
	code, ok := plainCodes[s.Code()]
	if !ok {
		code = errs.Internal
	}
	if s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "larger than max") {
		code = errs.TooLarge
	}
	return &errs.Error{Code: code, Msg: s.Message()}
}

// Travelled reports whether err is a status that one of our servers made: then it is
// an answer, not a broken connection.
func Travelled(err error) bool {
	s, ok := status.FromError(err)
	if !ok || s == nil {
		return false
	}
	info := infoOf(s)
	if info == nil {
		return false
	}
	_, ok = codeOf(info)
	return ok
}

func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Domain == domain {
			return info
		}
	}
	return nil
}

// codeOf trusts the number; a code this version does not know keeps it.
func codeOf(info *errdetails.ErrorInfo) (errs.Code, bool) {
	n, err := strconv.ParseUint(info.Metadata["code"], 10, 16)
	return errs.Code(n), err == nil && n > uint64(errs.OK)
}

// Ambiguous reports whether a call that was sent and failed with err may have been
// carried out all the same.
func Ambiguous(err error) bool {
	if err == nil {
		return false
	}
	if Travelled(err) {
		return errs.CodeOf(FromError(err)) == errs.OutcomeUnknown
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown, codes.Aborted:
		return true
	}
	return false
}
