// Package command is the language of the log: the signed envelope around every
// change of the vault, the bodies of all command types, and the entry that batches
// commands under one time stamp.
//
//	entry    = format | stamp | commands
//	command  = format | type | id | principal | expiry | fields | signatures
//	field    = salt | value
//	signed   = domain | cluster | format | type | id | principal | expiry | Merkle root of the fields
//
// A body is committed field by field: each value is hashed with its own salt and
// the signature covers only the Merkle root (RFC 6962 hashing), so that any one
// field can later be shown alone, with proof, and the others withheld.
//
// The package is pure: no clock, no randomness of its own, no I/O. Every decoder
// is strict (one value, one encoding) and bounded by limits.go.
package command
