package seal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

// HSM is an open token. All methods are safe for concurrent use. Sessions, deadlines
// and recovery are the pool's business; here is what is asked of the token.
type HSM struct {
	pool *pool
	info Info

	mu       sync.Mutex
	identity *hsmSigner
	wrapping wrapping
	curves   []uint8
}

type wrapping struct {
	label string
	pub   []byte
	hash  Hash
}

// IdentityLabel and WrappingLabel name a cluster's keys in the token, so that one token
// can serve a test and a production cluster.
func IdentityLabel(c identity.ClusterID) string { return label(c, "identity") }

// WrappingLabel names the wrapping key.
func WrappingLabel(c identity.ClusterID) string { return label(c, "wrapping") }

func label(c identity.ClusterID, what string) string {
	return "tetrad " + hex.EncodeToString(c[:4]) + " " + what
}

// Open starts the token and logs in, once: a wrong PIN is errs.WrongPIN and is never
// tried again by this HSM.
func Open(ctx context.Context, c Config) (*HSM, error) {
	if c.Token == nil || c.PIN == nil || c.Sessions < 0 || c.Sessions > 64 || c.Timeout < 0 {
		return nil, errs.New(errs.Invalid, "HSM configuration lacks a token or PIN, or has bad limits")
	}
	if c.Sessions == 0 {
		c.Sessions = 2
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &HSM{pool: newPool(c)}
	start, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := h.pool.alone(start, h.pool.start, func() {}); err != nil {
		h.abandon()
		return nil, coded(err, "opening the token")
	}
	info, err := attempt(ctx, h.pool, c.Timeout, func(*conn) (Info, error) { return c.Token.Info() })
	if err != nil {
		h.abandon()
		return nil, coded(err, "logging in to the token")
	}
	h.info = info
	return h, nil
}

// abandon closes what Open could not finish. If a call hangs there is nothing to wait for.
func (h *HSM) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.pool.close(ctx)
}

// Close refuses new calls, waits for running ones and then finalises the module. If
// one hangs past ctx the module stays loaded: finalising under a call crashes.
func (h *HSM) Close(ctx context.Context) error { return h.pool.close(ctx) }

// Describe returns maker, model, serial and firmware for people.
func (h *HSM) Describe() string {
	i := h.info
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s serial %s firmware %s", i.Maker, i.Model, i.Serial, i.Firmware)), " ")
}

// Profile returns the vendor's accepted quirks.
func (h *HSM) Profile() Profile { return h.info.Profile }

// Generate makes a signing key, or finds the one with that label, and returns its
// public key (33 bytes compressed, or 32 for Ed25519) and attributes as read back.
func (h *HSM) Generate(ctx context.Context, label string, curve uint8) (pub, attributes []byte, err error) {
	if !Kind(curve).curve() {
		return nil, nil, errs.New(errs.Invalid, "curve %d does not exist", curve)
	}
	k, err := h.generate(ctx, KeySpec{Kind: Kind(curve), Use: UseSign, Label: label})
	if err != nil {
		return nil, nil, err
	}
	pub, err = compress(Kind(curve), k.pub)
	return pub, k.attrs.Encode(), err
}

// Sign signs with a generated key: ECDSA over a 32-byte digest, 64 bytes r||s with low
// s, or Ed25519 over a message.
func (h *HSM) Sign(ctx context.Context, label string, curve uint8, msg []byte) ([]byte, error) {
	kind := Kind(curve)
	if !kind.curve() {
		return nil, errs.New(errs.Invalid, "curve %d does not exist", curve)
	}
	if kind != Ed25519 && len(msg) != 32 || len(msg) > maxMessage {
		return nil, errs.New(errs.Invalid, "%s key %q cannot sign %d bytes", kind, label, len(msg))
	}
	sig, err := h.sign(ctx, label, kind, msg)
	if err != nil {
		return nil, err
	}
	return lowS(kind, sig)
}

func (h *HSM) sign(ctx context.Context, label string, kind Kind, data []byte) ([]byte, error) {
	sig, err := do(ctx, h.pool, h.pool.timeout, func(c *conn) ([]byte, error) { return c.sign(ctx, label, kind, data) })
	return sig, notFound(err, label, coded(err, "signing with %s key %q", kind, label))
}

// sign makes no signature that nobody waits for: a token that hung while its key was
// looked up may come back long after the asker gave up.
func (c *conn) sign(ctx context.Context, label string, kind Kind, data []byte) ([]byte, error) {
	k, err := c.key(label)
	if err != nil {
		return nil, err
	}
	if k.attrs.Kind != kind {
		return nil, errs.New(errs.Invalid, "key %q is %s, not %s", label, k.attrs.Kind, kind)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.Session.Sign(k.private, kind, data)
}

// notFound returns e, or, when the token works but lacks the key, says just that.
func notFound(err error, label string, e error) error {
	var te *TokenError
	if errors.Is(err, errNoKey) && errors.As(err, &te) && te.Fault == FaultCall {
		return errs.New(errs.NotFound, "key %q is not in this token", label).WithHint("is this the region's own token?")
	}
	return e
}

// Unwrap opens what was wrapped to this HSM under the same label.
func (h *HSM) Unwrap(ctx context.Context, wrapped []byte, label string) ([]byte, error) {
	key := h.wrappingKey()
	if key.label == "" {
		return nil, errs.New(errs.BadState, "no wrapping key is in use")
	}
	return h.unwrap(ctx, key.label, wrapped, label)
}

// unwrap opens what was wrapped to the key called name.
func (h *HSM) unwrap(ctx context.Context, name string, wrapped []byte, label string) ([]byte, error) {
	return openWrapped(wrapped, label, func(hash Hash, oaep []byte) ([]byte, error) {
		plain, err := do(ctx, h.pool, h.pool.timeout, func(c *conn) ([]byte, error) { return c.decrypt(name, hash, oaep) })
		var te *TokenError
		if errors.As(err, &te) && te.Fault == FaultCall && !errors.Is(err, errNoKey) {
			return nil, errs.Wrap(errs.Corrupt, err, "blob does not open with this HSM's wrapping key").
				WithHint("it is damaged, or wrapped to another region's HSM")
		}
		return plain, notFound(err, name, coded(err, "unwrapping"))
	})
}

func (c *conn) decrypt(label string, hash Hash, oaep []byte) ([]byte, error) {
	k, err := c.key(label)
	if err != nil {
		return nil, err
	}
	return c.Session.Decrypt(k.private, hash, oaep)
}

// Health makes the identity key sign.
func (h *HSM) Health(ctx context.Context) error {
	id := h.signer()
	if id == nil {
		return errs.New(errs.BadState, "no identity key is in use")
	}
	msg := []byte("tetrad/health/v1")
	sig, err := id.Sign(ctx, msg)
	if err == nil && !id.pub.Verify(msg, sig) {
		return errs.New(errs.HSMFailed, "the token's signature does not verify").WithHint("replace the HSM")
	}
	return err
}
