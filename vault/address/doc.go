// Package address says what the outside world calls a threshold key: its addresses, its
// extended public key and the descriptors that wallet software watches.
//
//	Solana     the Ed25519 key in base58
//	Cosmos     bech32 of the first 20 bytes of the Ed25519 key's SHA-256
//	Bitcoin    P2TR (fsm/intent.Taproot), extended public keys of BIP-32, descriptors tr()
//
// Nothing secret passes through here. But who has an extended public key sees all
// addresses below it, and with the whole secret of one child computes the parent's: it is
// shown to those who may see the key's addresses, not published.
//
// The package is pure: no clock, no randomness, no I/O, no state.
package address
