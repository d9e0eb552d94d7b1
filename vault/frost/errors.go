package frost

import "github.com/tetrad-vault/tetrad/internal/errs"

// Every error of this package is one of these kinds: errors.Is(err, ErrReplayed) asks for it.
// Culprits(err) names the regions that are to blame, whatever the kind.
var (
	ErrMalformed   error = &errs.Error{Code: errs.Malformed}   // bytes that do not decode, or not in their one form
	ErrInvalid     error = &errs.Error{Code: errs.Invalid}     // an argument that makes no sense, or not with the others
	ErrTooLarge    error = &errs.Error{Code: errs.TooLarge}    // over a stated limit
	ErrDenied      error = &errs.Error{Code: errs.Denied}      // speaks for another region, or has no part in this
	ErrReplayed    error = &errs.Error{Code: errs.Replayed}    // a used nonce, or a message of another session
	ErrStale       error = &errs.Error{Code: errs.Stale}       // of another epoch
	ErrUnverified  error = &errs.Error{Code: errs.Unverified}  // a proof, part, dealing or signature does not verify
	ErrCorrupt     error = &errs.Error{Code: errs.Corrupt}     // a stored secret is not the key's
	ErrUnavailable error = &errs.Error{Code: errs.Unavailable} // too few parts of a signature
	ErrNotReady    error = &errs.Error{Code: errs.NotReady}    // waits for messages, which it lists
	ErrBadState    error = &errs.Error{Code: errs.BadState}    // comes too late: the ceremony or pool is past it
	ErrInternal    error = &errs.Error{Code: errs.Internal}    // randomness failed, or a fault of ours
)
