// Package chain holds what regions sign about the log, and the rules over it.
//
// A follower of raft believes its leader; a region of Tetrad believes signatures. Here
// are the signed objects (entry signatures, acks, certificates, votes, leader proofs,
// justifications, attestations, evidence), their one encoding (docs/spec/certificates.md),
// and each rule as one named function: MayAck, MayPreVote, MayGrant, Believe, ProofBase,
// CheckAppend, MayTruncate, CapCommit, MayInstall, ResolveEquivocation, Convict.
//
// Everything is pure: state in, decision out. No raft, clock, disk, network or
// goroutine may live here, so that the running cluster, the model checker and an
// auditor without a network judge by the same code.
package chain
