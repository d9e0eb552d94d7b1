package client

import (
	"crypto"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Identities, under names that importers outside the module can write.
type (
	ClusterID   = identity.ClusterID
	RegionID    = identity.RegionID
	Fingerprint = identity.Fingerprint
	PublicKey   = identity.PublicKey
	KeySigner   = identity.KeySigner
)

// NewKeySigner wraps the private key of a principal: Ed25519 or P-256.
func NewKeySigner(priv crypto.Signer) (*KeySigner, error) { return identity.NewKeySigner(priv) }

// DecodePublicKey reads a public key in canonical form, as the genesis shows it.
func DecodePublicKey(b []byte) (PublicKey, error) { return identity.DecodePublicKey(b) }

// Commands and their parts.
type (
	Command   = command.Command
	KeyID     = command.KeyID
	RequestID = command.RequestID
	Hash      = command.Hash
)

// Hashes of a message.
const (
	HashNone      = command.HashNone // Ed25519
	HashSHA256    = command.HashSHA256
	HashSHA256d   = command.HashSHA256d
	HashKeccak256 = command.HashKeccak256
	HashSHA512256 = command.HashSHA512256
)

// What the vault shows.
type (
	Request   = tetradv1.Request
	Key       = tetradv1.Key
	Principal = tetradv1.Principal
	Outcome   = tetradv1.Outcome
	Certified = tetradv1.Certified
	Status    = tetradv1.StatusResponse
)

// Error is what every method returns: a code, a text, and maybe a hint.
type (
	Error = errs.Error
	Code  = errs.Code
)

// Codes that callers act upon; the others are for reading.
const (
	OutcomeUnknown   = errs.OutcomeUnknown   // may have happened: send the same command again
	Denied           = errs.Denied           // known, but not allowed
	Unauthenticated  = errs.Unauthenticated  // the key belongs to no principal
	NotFound         = errs.NotFound         // no such object
	Frozen           = errs.Frozen           // key or vault frozen
	Expired          = errs.Expired          // make a new command
	Replayed         = errs.Replayed         // the id was used with other content
	NeedsSecondAdmin = errs.NeedsSecondAdmin // a second administrator must sign the command
	PayloadRejected  = errs.PayloadRejected  // the payload does not fit the key
	NoLeader         = errs.NoLeader         // no quorum now
	Unavailable      = errs.Unavailable      // no node could be reached
	Throttled        = errs.Throttled        // too many calls
	OverLimit        = errs.OverLimit        // make a new command when the key's limit has room again
)

// CodeOf returns an error's code.
func CodeOf(err error) Code { return errs.CodeOf(err) }

// HintOf returns what the vault suggests to do about an error, if anything.
func HintOf(err error) string { return errs.HintOf(err) }

// NewSignMessage asks for signatures over a message, hashed as declared.
func NewSignMessage(key KeyID, hash Hash, message []byte, note string) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindMessage, Hash: hash, Payload: message, Note: note}
}

// NewSignPSBT asks for signatures over every input of a PSBT (BIP-174 or BIP-370).
func NewSignPSBT(key KeyID, psbt []byte, note string) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindPSBT, Payload: psbt, Note: note}
}

// NewSignDigest asks for a signature over a bare digest; only keys made for blind
// signing allow it.
func NewSignDigest(key KeyID, digest []byte, note string) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindDigest, Payload: digest, Note: note}
}
