// Package fsm is the vault's replicated state machine: it decides, from committed
// entries alone, who may do what, which draws are open, what ended how, and what the
// audit says about it. Every replica that applied the same entries holds the same
// state, digest and audit root.
//
// It is pure: no clock but the entries' stamps, no randomness, no I/O, no logger. The
// one thing that may run goroutines is Verifier, which only remembers results of a
// pure function. Nothing here does group arithmetic on signing keys or the beacon:
// regions do, and commit signed verdicts.
package fsm
