// Package intent says what a payload asks for: it decodes the canonical bytes of a
// request into the messages each region signs and a summary people can judge, always
// against the key's own attested public keys, never on the payload's word.
//
//	psbt     BIP-174 or BIP-370; every input must be the key's own P2WSH k-of-n wallet
//	message  bytes, under the declared hash (Ed25519: the bytes themselves)
//	digest   32 bytes, only where the key allows blind signing
//	solana   a Solana transaction message, in which the key must be a signer
//
// A threshold key's psbt spends its Taproot wallet by the key path (BIP-371), and Spends
// says under which child of the key each message is signed.
//
// It also builds what comes of it: wallet script, address and descriptor, the combined
// PSBT, the final transaction. The package is pure: no clock, no randomness, no I/O, no
// state. Apply refuses a request whose payload does not decode here, so a change to what
// is accepted is a change to the replicated decision: it waits until every member has it.
package intent
