package intent

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"

	"golang.org/x/crypto/sha3"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func (in *Intent) decodeMessage(payload []byte, k KeyInfo) error {
	switch k.Curve {
	case command.Ed25519:
		if in.Hash != command.HashNone {
			return errs.New(errs.PayloadRejected, "message for an ed25519 key is signed as it is, not under hash %s", hashName(in.Hash)).
				WithHint("declare no hash, or hash it yourself and send the hash as the message")
		}
		in.Messages = []Message{bytes.Clone(payload)}
	case command.Secp256k1, command.P256:
		digest, err := Digest(in.Hash, payload)
		if err != nil {
			return err
		}
		in.Messages = []Message{digest[:]}
	default:
		return unknownCurve(k.Curve)
	}
	if kind := k.looksLike(in.Hash, payload); kind != "" && !k.AllowBlind {
		return errs.New(errs.BlindDenied, "message could be what a transaction's signature covers").
			WithHint("send the transaction as a %s payload, or use a key that allows blind signing", kind)
	}
	return nil
}

func (in *Intent) decodeDigest(payload []byte, k KeyInfo) error {
	switch {
	case k.Curve == command.Ed25519 && !k.Threshold:
		return errs.New(errs.PayloadRejected, "digest payload: an ed25519 key signs messages, not digests").
			WithHint("send it as a message")
	case k.Curve != command.Secp256k1 && k.Curve != command.P256 && k.Curve != command.Ed25519:
		return unknownCurve(k.Curve)
	case !k.AllowBlind:
		return errs.New(errs.BlindDenied, "digest payload: this key does not allow blind signing").
			WithHint("send the psbt or message itself, or create a key that allows it")
	case in.Hash != command.HashNone:
		return errs.New(errs.PayloadRejected, "digest payload: hash %s is declared, but a digest is signed as it is", hashName(in.Hash))
	case len(payload) != 32:
		return errs.New(errs.PayloadRejected, "digest payload of %d bytes, want 32", len(payload))
	}
	in.Messages = []Message{bytes.Clone(payload)}
	return nil
}

func unknownCurve(c command.Curve) error {
	return errs.New(errs.Invalid, "key of curve %d, unknown to this version", c)
}

// Digest hashes a message as h declares, for an ECDSA key.
func Digest(h command.Hash, message []byte) ([32]byte, error) {
	switch h {
	case command.HashSHA256:
		return sha256.Sum256(message), nil
	case command.HashSHA256d:
		once := sha256.Sum256(message)
		return sha256.Sum256(once[:]), nil
	case command.HashKeccak256:
		k := sha3.NewLegacyKeccak256()
		k.Write(message)
		return [32]byte(k.Sum(nil)), nil
	case command.HashSHA512256:
		return sha512.Sum512_256(message), nil
	}
	return [32]byte{}, errs.New(errs.PayloadRejected, "message for an ECDSA key: hash %s does not give 32 bytes", hashName(h)).
		WithHint("declare one of sha256, sha256d, keccak256, sha512-256")
}

func hashName(h command.Hash) string {
	switch h {
	case command.HashNone:
		return "none"
	case command.HashSHA256:
		return "sha256"
	case command.HashSHA256d:
		return "sha256d"
	case command.HashKeccak256:
		return "keccak256"
	case command.HashSHA512256:
		return "sha512-256"
	}
	return "unknown"
}

// hidesTransaction tells messages by which a transaction could be signed past all that
// is checked of a PSBT: the preimage of a signature hash under SHA256d, or its inner
// hash, 32 bytes that say nothing, under SHA256.
func hidesTransaction(h command.Hash, message []byte) bool {
	switch h {
	case command.HashSHA256:
		return len(message) == 32
	case command.HashSHA256d:
		return isWitnessPreimage(message) || isLegacyPreimage(message)
	}
	return false
}

// isWitnessPreimage matches the layout of BIP-143: version, two hashes, outpoint, script
// code, amount, sequence, a hash, locktime, hash type.
func isWitnessPreimage(message []byte) bool {
	r := reader{octets.Reader{B: message}}
	r.Take(4 + 32 + 32 + 36)
	r.bytes()
	r.Take(8 + 4 + 32 + 4)
	r.hashType()
	return r.Done() == nil
}

// isLegacyPreimage matches a transaction followed by a hash type.
func isLegacyPreimage(message []byte) bool {
	end := len(message) - 4
	if end < 0 {
		return false
	}
	r := reader{octets.Reader{B: message, Off: end}}
	r.hashType()
	_, err := readTransaction(message[:end], false)
	return err == nil && r.Done() == nil
}

// hashType reads the four bytes at a preimage's end; only the first can be set, as a
// signature has room for one.
func (r *reader) hashType() {
	if v := r.U32(); v > 0xff {
		r.Fail("hash type %#x", v)
	}
}
