// Package intent says what a payload asks for: it decodes the canonical bytes of a
// request into the messages each region signs and a summary people can judge, always
// against the key's own attested public keys, never on the payload's word.
//
//	psbt     BIP-174 or BIP-370; every input must be the key's own P2WSH k-of-n wallet
//	message  bytes, under the declared hash (Ed25519: the bytes themselves)
//	digest   32 bytes, only where the key allows blind signing
//
// Taproot does the same for the wallet of a threshold key (BIP-371, key path); package solana
// reads Solana messages. Nothing calls these two yet.
//
// It also builds what comes of it: wallet script, address and descriptor, the combined
// PSBT, the final transaction. The package is pure: no clock, no randomness, no I/O, no
// state. Apply refuses a request whose payload does not decode here, so a change to what
// is accepted is a change to the replicated decision: it waits until every member has it.
package intent
