package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"sync"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// token is an HSM in memory that counts what it signs and fails when told to. It
// outlives the process that uses it.
type token struct {
	mu     sync.Mutex
	keys   map[string]any
	signed map[string]int                     // by label and message
	fault  error                              // of every call
	delay  time.Duration                      // of every signature
	before func(label string, message []byte) // called before a signature is made
	wrong  bool                               // signatures do not verify
}

// goodAttributes is what the token reads back of every key.
const goodAttributes = "sensitive, not extractable"

func newToken() *token { return &token{keys: map[string]any{}, signed: map[string]int{}} }

// set changes the token while it is used.
func (t *token) set(change func(*token)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
}

func (t *token) fail(err error) { t.set(func(t *token) { t.fault = err }) }

func (t *token) Health(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}

func (t *token) Generate(_ context.Context, label string, curve uint8) (pub, attributes []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault != nil {
		return nil, nil, t.fault
	}
	if t.keys[label] == nil {
		t.keys[label] = generate(command.Curve(curve))
	}
	return public(t.keys[label]), []byte(goodAttributes), nil
}

func generate(c command.Curve) any {
	switch c {
	case command.Secp256k1:
		k, _ := secp256k1.GeneratePrivateKey()
		return k
	case command.P256:
		k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return k
	}
	_, k, _ := ed25519.GenerateKey(rand.Reader)
	return k
}

func public(key any) []byte {
	switch k := key.(type) {
	case *secp256k1.PrivateKey:
		return k.PubKey().SerializeCompressed()
	case *ecdsa.PrivateKey:
		return elliptic.MarshalCompressed(k.Curve, k.X, k.Y)
	case ed25519.PrivateKey:
		return k.Public().(ed25519.PublicKey)
	}
	return nil
}

func (t *token) Sign(ctx context.Context, label string, _ uint8, message []byte) ([]byte, error) {
	t.mu.Lock()
	key, fault, before, delay, wrong := t.keys[label], t.fault, t.before, t.delay, t.wrong
	t.mu.Unlock()
	switch {
	case fault != nil:
		return nil, fault
	case key == nil:
		return nil, errs.New(errs.HSMFailed, "no key %s", label)
	case before != nil:
		before(label, message)
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t.mu.Lock()
	h := sha256.Sum256(message)
	t.signed[label+string(h[:])]++
	t.mu.Unlock()
	sig := signWith(key, message)
	if wrong {
		sig[9] ^= 1
	}
	return sig, nil
}

func signWith(key any, message []byte) []byte {
	out := make([]byte, 64)
	switch k := key.(type) {
	case *secp256k1.PrivateKey:
		s := secpecdsa.Sign(k, message)
		r, v := s.R(), s.S()
		r.PutBytesUnchecked(out[:32])
		v.PutBytesUnchecked(out[32:])
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, k, message)
		if n := k.Params().N; s.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
			s.Sub(n, s)
		}
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
	case ed25519.PrivateKey:
		return ed25519.Sign(k, message)
	}
	return out
}

// signatures returns how many signatures were made, and the most over one message.
func (t *token) signatures() (all, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.signed {
		all += n
		most = max(most, n)
	}
	return all, most
}
