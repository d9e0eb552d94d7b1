package seal

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Config says how to reach a token.
type Config struct {
	Token    Token
	PIN      PINSource
	Sessions int           // calls at once; default 2, more only burns CPU in SoftHSM's locks
	Timeout  time.Duration // of one call; default 5 s
	Logger   *slog.Logger  // default: none
}

// HSM is an open token. All methods are safe for concurrent use.
type HSM struct{}

// IdentityLabel and WrappingLabel name a cluster's keys in the token, so that one token
// can serve a test and a production cluster.
func IdentityLabel(c identity.ClusterID) string {
	return "tetrad " + hex.EncodeToString(c[:4]) + " identity"
}

// WrappingLabel names the wrapping key.
func WrappingLabel(c identity.ClusterID) string {
	return "tetrad " + hex.EncodeToString(c[:4]) + " wrapping"
}

// Open starts the token and logs in, once: a wrong PIN is errs.WrongPIN and is never
// tried again by this HSM.
func Open(ctx context.Context, c Config) (*HSM, error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// GenerateIdentity makes the region's identity key (P-256, or RSA-PSS where the token
// has no EC), or finds the one that is there, and returns its attributes.
func (h *HSM) GenerateIdentity(ctx context.Context, label string) (attributes []byte, err error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// GenerateWrapping makes or finds the RSA-3072 wrapping key and finds out by trying
// which OAEP hash the token decrypts with.
func (h *HSM) GenerateWrapping(ctx context.Context, label string) (attributes []byte, err error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// Use finds existing identity and wrapping keys by label.
func (h *HSM) Use(ctx context.Context, identityLabel, wrappingLabel string, hash uint8) error {
	return errs.New(errs.Internal, "not yet")
}

// Identity signs as the region; nil before GenerateIdentity or Use.
func (h *HSM) Identity() identity.Signer { return nil }

// Wrapping returns the public wrapping key (PKIX) and its OAEP hash, for Wrap.
func (h *HSM) Wrapping() (pub []byte, hash uint8) { return nil, 0 }

// Describe returns maker, model, serial and firmware for people.
func (h *HSM) Describe() string { return "" }

// Profile returns the vendor's accepted quirks.
func (h *HSM) Profile() Profile { return Profile{} }

// Curves returns the curves the token can really sign with: generated, signed,
// verified. The answer is remembered.
func (h *HSM) Curves(ctx context.Context) ([]uint8, error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// Generate makes a signing key, or finds the one with that label, and returns its
// public key (33 bytes compressed, or 32 for Ed25519) and attributes as read back.
func (h *HSM) Generate(ctx context.Context, label string, curve uint8) (pub, attributes []byte, err error) {
	return nil, nil, errs.New(errs.Internal, "not yet")
}

// Sign signs with a generated key: ECDSA over a 32-byte digest, 64 bytes r||s with low
// s, or Ed25519 over a message.
func (h *HSM) Sign(ctx context.Context, label string, curve uint8, msg []byte) ([]byte, error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// Unwrap opens what was wrapped to this HSM under the same label.
func (h *HSM) Unwrap(ctx context.Context, wrapped []byte, label string) ([]byte, error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// Health makes the identity key sign.
func (h *HSM) Health(ctx context.Context) error { return errs.New(errs.Internal, "not yet") }

// Close refuses new calls, waits for running ones and then finalises the module. If
// one hangs past ctx the module stays loaded: finalising under a call crashes.
func (h *HSM) Close(ctx context.Context) error { return nil }
