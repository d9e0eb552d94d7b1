// Package solana reads the transaction messages that Ed25519 keys sign for Solana, legacy
// and version 0, into what an approver sees, and joins signatures to transactions.
//
// What is signed is the message, byte for byte. Reading is strict: there is one encoding
// of each message, and what a node would refuse for its form is refused here. Addresses
// that a message takes from lookup tables are not in it: they are shown as table and
// place, never guessed.
//
// The package is pure: no clock, no randomness, no I/O, no state.
package solana
