// Package frost signs with keys that no one place ever holds: FROST threshold Schnorr
// signatures, and the making, refreshing, resharing and deriving of their keys. It is pure:
// no clock, no network, no storage, no randomness but the reader a call is given, so any
// system can import it.
//
// # Suites
//
//	Ed25519  FROST(Ed25519, SHA-512), RFC 9591 section 6.1; signatures of RFC 8032
//	BIP340   FROST over secp256k1 with the hashes of RFC 9591 section 6.5 under a context
//	         of its own, and signatures of BIP-340: x-only keys, R and key with even y
//	Ristretto255
//	         ceremonies only: shares evaluate the beacon (vault/draw), and sign nothing.
//	         Its first sharing is older than the ceremonies: epoch 0
//
// A region is a number from 1 to 255 and is its own FROST identifier. Up to 16 regions hold
// a key, any threshold of them (2 or more) sign.
//
// # Protocol
//
// Nonces belong to a region, a suite and a run, not to a key: one Pool signs for every key
// of its suite. A nonce is used by one attempt at one message under one key:
//
//	Pool.Prepare        ahead of time: nonces stay in the pool, commitments are published
//	DecodeCommitment    every other party, once: strict, prime order included
//	Pool.Sign           online, one message each way, with the region's share of the key:
//	                    uses the nonce up, then computes
//	PublicKey.Aggregate adds the parts and verifies the signature; if that fails it checks
//	                    the parts and names the culprits
//
// A key is made by Ceremony in three rounds (hashes, dealings, dealt shares) and goes live
// when all holders have signed the same transcript hash; that signing, and the channel, are
// the caller's. A refresh or a reshare is the same ceremony with Terms.Previous set: the
// key stays, the shares are new. Old shares still sign until they are erased.
//
// PublicKey.Child and PublicKey.Taproot derive keys; Pool.Sign and PublicKey.Aggregate take
// a derived key like any other.
//
// # Sizes, in bytes
//
//	                      Ed25519              BIP340
//	signature             64                   64                   (Ristretto255: as Ed25519)
//	Commitment            79                   81
//	SignatureShare        71                   72
//	Share (secret)        39                   39
//	PublicKey, n holders  40 + 33n             41 + 34n
//	Dealing, threshold t  100 + 32t            100 + 33t
//	Dealt (secret)        132                  132
//	Complaint             137                  137
//
// Decoders accept one encoding of each value; points are canonical and of prime order,
// scalars below the order. What comes from another region is decoded with the sender as
// the transport authenticated it.
//
// # Errors
//
// Each error is of one kind, ErrMalformed to ErrInternal, which errors.Is finds. Culprits(err)
// returns the regions to blame. A refused message changes no state. (Inside this module the
// kinds are codes of internal/errs.)
//
// # Secrets
//
// All arithmetic on shares, nonces and coefficients takes constant time (the tests count
// instructions and let memcheck follow the secrets), and a secret multiplies no point but the generator. Intermediate values
// are wiped; built with GOEXPERIMENT=runtimesecret, registers, stack and heap are erased
// too. Nonces have no encoding. Shares and dealt values have one, for sealing, and print as
// nothing but their region.
//
// # Sources
//
// RFC 9591 (FROST), RFC 9380 (expand_message_xmd), RFC 8032, BIP-340, BIP-341, BIP-32;
// Pedersen's distributed key generation with proofs of possession as in the FROST paper
// (Komlo, Goldberg, 2020/852); complete addition by Renes, Costello and Batina (2015/1060).
package frost
