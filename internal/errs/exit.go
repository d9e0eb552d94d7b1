package errs

// Exit statuses of vaultd and vaultctl. Scripts depend on them: they never change.
const (
	ExitOK             = 0
	ExitFailure        = 1
	ExitUsage          = 2 // the command line makes no sense; nothing was tried
	ExitSealed         = 3 // the HSM is not open
	ExitNoLeader       = 4 // no leader, no quorum, nobody reachable
	ExitDenied         = 5 // known what was wanted, and refused
	ExitOutcomeUnknown = 6 // it may have happened: ask again with the same id
	ExitUnverified     = 7 // a signature, proof or checksum does not hold
	ExitUnacknowledged = 8 // carried out, but a region may still act against it
)

var exits = map[Code]int{
	Sealed: ExitSealed, WrongPIN: ExitSealed,
	NoLeader: ExitNoLeader, NotLeader: ExitNoLeader, NotReady: ExitNoLeader, Unavailable: ExitNoLeader, DeadlineExceeded: ExitNoLeader,
	Denied: ExitDenied, Unauthenticated: ExitDenied, NeedsSecondAdmin: ExitDenied, BlindDenied: ExitDenied, Frozen: ExitDenied, OverLimit: ExitDenied,
	OutcomeUnknown: ExitOutcomeUnknown,
	Unverified:     ExitUnverified, Corrupt: ExitUnverified,
	Unacknowledged: ExitUnacknowledged,
}

// ExitCode is the one mapping from errors to exit statuses. ExitUsage is the business
// of whoever parses command lines.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if n, ok := exits[CodeOf(err)]; ok {
		return n
	}
	return ExitFailure
}
