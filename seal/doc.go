// Package seal opens a region with its own HSM and closes everything the vault
// stores. Here live the root keyring and the envelopes made with it, the unseal
// file of a region, the officers' shares of the root key, and the HSM itself: the
// region's identity key, its wrapping key and its signing keys.
//
// Two kinds of key, never confused:
//
//	root key (shared by all regions)  hides what the log, snapshots and leaves say;
//	                                  it never authenticates anybody
//	HSM keys (one region each)        identify the region, open what is wrapped to
//	                                  it, and sign; they never leave the HSM
//
// The package knows no PKCS#11: it drives a Token, which seal/pkcs11 implements over
// a vendor's module and seal/sealtest in software. It imports no other room.
package seal
