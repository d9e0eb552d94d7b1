// Package errs holds the one coded error that crosses rooms, RPC and exit codes.
//
// A Code is stable for ever: it stands in audit leaves, in RPC details and in
// vaultctl's exit codes. Text may change, codes may not. A room that returns an
// error somebody acts upon gives it a code; everything else stays a plain error
// and is read as Internal.
package errs

import (
	"context"
	"errors"
	"fmt"
)

// Code names what went wrong, independent of wording.
type Code uint16

// The codes. Numbers are part of the stored audit format: append, never renumber.
const (
	Unset            Code = 0  // zero value, never on the wire
	OK               Code = 1  // a command that was carried out
	Internal         Code = 2  // a fault of ours
	Malformed        Code = 3  // bytes that do not decode
	TooLarge         Code = 4  // over a stated limit
	Invalid          Code = 5  // decodes, but a field makes no sense
	Unauthenticated  Code = 6  // unknown credential or bad signature
	Denied           Code = 7  // known, but not allowed
	NotFound         Code = 8  // no such object
	Exists           Code = 9  // the name is taken
	Replayed         Code = 10 // the id was used before with other bytes
	Expired          Code = 11 // past its expiry
	Skewed           Code = 12 // a time too far ahead
	Frozen           Code = 13 // key or vault frozen
	BadState         Code = 14 // the object is not in the state this needs
	NeedsSecondAdmin Code = 15 // dual control: a second administrator must sign
	PayloadRejected  Code = 16 // payload does not match key or its own rules
	BlindDenied      Code = 17 // digest signing without the key allowing it
	Sealed           Code = 18 // this region has not opened its HSM
	NotReady         Code = 19 // opened, but not yet caught up
	NotLeader        Code = 20 // another region leads
	NoLeader         Code = 21 // no leader or no quorum now
	OutcomeUnknown   Code = 22 // may or may not have happened: ask again by id
	Unavailable      Code = 23 // a region could not be reached
	Throttled        Code = 24 // too many requests
	HSMFailed        Code = 25 // the token returned an error
	HSMTimeout       Code = 26 // the token did not answer in time
	WrongPIN         Code = 27 // tried once, not again
	Corrupt          Code = 28 // stored bytes fail their check
	DiskFull         Code = 29 // no space for a write
	DiskFailed       Code = 30 // a read or write failed or hung
	Unverified       Code = 31 // a signature or proof does not verify
	Canceled         Code = 32 // the caller gave up
	DeadlineExceeded Code = 33 // time ran out before anything was proposed
	NoEligiblePair   Code = 34 // too few healthy regions hold this key
	Stale            Code = 35 // this replica must not answer: clone, old disk or old boot
	Unacknowledged   Code = 56 // carried out, but something may still be signed against it
	OverLimit        Code = 57 // the key has taken all the requests its limit allows for now
)

var names = map[Code]string{
	OK: "ok", Internal: "internal", Malformed: "malformed", TooLarge: "too_large", Invalid: "invalid",
	Unauthenticated: "unauthenticated", Denied: "denied", NotFound: "not_found", Exists: "exists",
	Replayed: "replayed", Expired: "expired", Skewed: "skewed", Frozen: "frozen", BadState: "bad_state",
	NeedsSecondAdmin: "needs_second_admin", PayloadRejected: "payload_rejected", BlindDenied: "blind_denied",
	Sealed: "sealed", NotReady: "not_ready", NotLeader: "not_leader", NoLeader: "no_leader",
	OutcomeUnknown: "outcome_unknown", Unavailable: "unavailable", Throttled: "throttled",
	HSMFailed: "hsm_failed", HSMTimeout: "hsm_timeout", WrongPIN: "wrong_pin", Corrupt: "corrupt",
	DiskFull: "disk_full", DiskFailed: "disk_failed", Unverified: "unverified", Canceled: "canceled",
	DeadlineExceeded: "deadline_exceeded", NoEligiblePair: "no_eligible_pair", Stale: "stale",
	Unacknowledged: "unacknowledged", OverLimit: "over_limit",
}

// String returns the stable snake_case name.
func (c Code) String() string {
	if n, ok := names[c]; ok {
		return n
	}
	return fmt.Sprintf("code_%d", uint16(c))
}

// Known reports whether c is one of the codes above.
func (c Code) Known() bool { _, ok := names[c]; return ok }

// Error is an error with a code. Msg says what happened and to which object;
// Hint, where there is one, says what the operator can do.
type Error struct {
	Code Code
	Msg  string
	Hint string
	Err  error // cause, may be nil; never sent over RPC
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches another *Error by code, so errors.Is(err, errs.ErrSealed) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Msg == "" && t.Code == e.Code
}

// New returns a coded error.
func New(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Msg: fmt.Sprintf(format, args...)}
}

// Wrap returns a coded error with a cause.
func Wrap(c Code, err error, format string, args ...any) *Error {
	return &Error{Code: c, Msg: fmt.Sprintf(format, args...), Err: err}
}

// WithHint returns a copy of e that tells the operator what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	d := *e
	d.Hint = fmt.Sprintf(format, args...)
	return &d
}

// CodeOf returns the code of the first coded error in err's chain; OK for nil,
// Canceled or DeadlineExceeded for context errors, else Internal.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	}
	return Internal
}

// HintOf returns the hint of the first coded error that has one.
func HintOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Hint != "" {
			return e.Hint
		}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				if hint := HintOf(one); hint != "" {
					return hint
				}
			}
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// Sentinels for errors.Is across rooms; they match by code.
var (
	ErrSealed         = &Error{Code: Sealed}
	ErrNotReady       = &Error{Code: NotReady}
	ErrNotLeader      = &Error{Code: NotLeader}
	ErrNoLeader       = &Error{Code: NoLeader}
	ErrOutcomeUnknown = &Error{Code: OutcomeUnknown}
	ErrNotFound       = &Error{Code: NotFound}
	ErrCorrupt        = &Error{Code: Corrupt}
	ErrWrongPIN       = &Error{Code: WrongPIN}
)
