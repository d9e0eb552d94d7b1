package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// keyInfo is what a token says about one key pair.
type keyInfo struct {
	pub   []byte // as in Session.Public
	attrs Attributes
}

// generate makes the key pair spec describes, or finds the one that has its label, and
// refuses it if its attributes are bad.
func (h *HSM) generate(ctx context.Context, spec KeySpec) (keyInfo, error) {
	if spec.Label == "" || len(spec.Label) > maxLabel {
		return keyInfo{}, errs.New(errs.Invalid, "key label of %d bytes, want 1 to %d", len(spec.Label), maxLabel)
	}
	p := h.pool
	k, err := do(ctx, p, max(generateTime, p.timeout), func(c *conn) (keyInfo, error) {
		p.generating <- struct{}{} // held by the call, not the caller: labels stay unique
		defer func() { <-p.generating }()
		return c.findOrGenerate(spec)
	})
	if err != nil {
		return keyInfo{}, coded(err, "generating %s key %q", spec.Kind, spec.Label)
	}
	return k, h.accept(k, spec)
}

func (h *HSM) accept(k keyInfo, spec KeySpec) error {
	if k.attrs.Kind != spec.Kind || k.attrs.Use != spec.Use {
		return errs.New(errs.Exists, "key %q exists already and is %s", spec.Label, k.attrs.Kind)
	}
	return k.attrs.Check(h.info.Profile)
}

func (c *conn) findOrGenerate(spec KeySpec) (keyInfo, error) {
	k, err := c.lookup(spec.Label, spec.Kind)
	if !errors.Is(err, errNoKey) {
		return k, err
	}
	if _, _, err := c.Session.Generate(spec); err != nil {
		return keyInfo{}, err
	}
	return c.lookup(spec.Label, spec.Kind)
}

func (c *conn) lookup(label string, kind Kind) (keyInfo, error) {
	k, err := c.key(label)
	if err != nil {
		return keyInfo{}, err
	}
	if k.attrs.Kind != kind {
		return keyInfo{attrs: k.attrs}, nil // the caller says so
	}
	o, err := c.one(label, false)
	if err != nil {
		return keyInfo{}, err
	}
	pub, err := c.Public(o, kind)
	return keyInfo{pub, k.attrs}, err
}

// GenerateIdentity makes the region's identity key (P-256, or RSA-PSS where the token
// has no EC), or finds the one that is there, and returns its attributes.
func (h *HSM) GenerateIdentity(ctx context.Context, label string) (attributes []byte, err error) {
	if k, err := h.existing(ctx, label, UseSign); err == nil {
		return k.attrs.Encode(), h.setIdentity(label, k)
	} else if errs.CodeOf(err) != errs.NotFound {
		return nil, err
	}
	kind := RSA3072
	if ok, err := h.canSign(ctx, P256); err != nil {
		return nil, err
	} else if ok {
		kind = P256
	}
	k, err := h.generate(ctx, KeySpec{Kind: kind, Use: UseSign, Label: label})
	if err != nil {
		return nil, err
	}
	return k.attrs.Encode(), h.setIdentity(label, k)
}

// GenerateWrapping makes or finds the RSA-3072 wrapping key and finds out by trying
// which OAEP hash the token decrypts with.
func (h *HSM) GenerateWrapping(ctx context.Context, label string) (attributes []byte, err error) {
	k, err := h.generate(ctx, KeySpec{Kind: RSA3072, Use: UseDecrypt, Label: label})
	if err != nil {
		return nil, err
	}
	pub, err := wrappingKey(k.pub)
	if err != nil {
		return nil, err
	}
	for _, hash := range []Hash{SHA256, SHA1} {
		ok, err := h.canDecrypt(ctx, label, pub, hash)
		if err != nil {
			return nil, err
		}
		if ok {
			h.setWrapping(wrapping{label, k.pub, hash})
			return k.attrs.Encode(), nil
		}
	}
	return nil, errs.New(errs.HSMFailed, "token decrypts RSA-OAEP with neither SHA-256 nor SHA-1")
}

func (h *HSM) canDecrypt(ctx context.Context, label string, pub *rsa.PublicKey, hash Hash) (bool, error) {
	newHash, err := hash.new()
	if err != nil {
		return false, err
	}
	want := make([]byte, 32)
	_, _ = rand.Read(want)
	oaep, err := rsa.EncryptOAEP(newHash, rand.Reader, pub, want, nil)
	if err != nil {
		return false, errs.Wrap(errs.Internal, err, "RSA-OAEP")
	}
	got, err := do(ctx, h.pool, h.pool.timeout, func(c *conn) ([]byte, error) { return c.decrypt(label, hash, oaep) })
	if refused(err) {
		return false, nil
	}
	return bytes.Equal(got, want), coded(err, "trying RSA-OAEP")
}

// refused reports that the token works but does not do what was asked.
func refused(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && te.Fault == FaultCall
}

// Use finds the keys that an earlier GenerateIdentity and GenerateWrapping made; hash
// is what the latter found out.
func (h *HSM) Use(ctx context.Context, identityLabel, wrappingLabel string, hash uint8) error {
	if _, err := Hash(hash).new(); err != nil {
		return err
	}
	id, err := h.existing(ctx, identityLabel, UseSign)
	if err != nil {
		return err
	}
	wrap, err := h.existing(ctx, wrappingLabel, UseDecrypt)
	if err != nil {
		return err
	}
	if err := h.setIdentity(identityLabel, id); err != nil {
		return err
	}
	h.setWrapping(wrapping{wrappingLabel, wrap.pub, Hash(hash)})
	return nil
}

// existing finds a key of any kind and checks its attributes.
func (h *HSM) existing(ctx context.Context, label string, use Use) (keyInfo, error) {
	k, err := do(ctx, h.pool, h.pool.timeout, func(c *conn) (keyInfo, error) {
		k, err := c.key(label)
		if err != nil {
			return keyInfo{}, err
		}
		return c.lookup(label, k.attrs.Kind)
	})
	if err != nil {
		return keyInfo{}, notFound(err, label, coded(err, "finding key %q", label))
	}
	return k, h.accept(k, KeySpec{Kind: k.attrs.Kind, Use: use, Label: label})
}

// Curves returns the curves the token can really sign with: generated, signed,
// verified. Mechanism lists lie in both directions. The answer is remembered.
func (h *HSM) Curves(ctx context.Context) ([]uint8, error) {
	h.mu.Lock()
	known := h.curves
	h.mu.Unlock()
	if known != nil {
		return bytes.Clone(known), nil
	}
	curves := []uint8{}
	for _, kind := range []Kind{Secp256k1, P256, Ed25519} {
		ok, err := h.canSign(ctx, kind)
		if err != nil {
			return nil, err
		}
		if ok {
			curves = append(curves, uint8(kind))
		}
	}
	h.mu.Lock()
	h.curves = curves
	h.mu.Unlock()
	return bytes.Clone(curves), nil
}

// canSign generates a key that lives in its session only, and makes it sign.
func (h *HSM) canSign(ctx context.Context, kind Kind) (bool, error) {
	data := sha256.Sum256([]byte("tetrad/probe/v1"))
	ok, err := do(ctx, h.pool, max(generateTime, h.pool.timeout), func(c *conn) (bool, error) {
		public, private, err := c.Session.Generate(KeySpec{Kind: kind, Use: UseSign, Label: "tetrad probe", Temporary: true})
		if err != nil {
			return false, err
		}
		point, err := c.Public(public, kind)
		if err != nil {
			return false, err
		}
		sig, err := c.Session.Sign(private, kind, data[:])
		if err != nil {
			return false, err
		}
		return verifies(kind, point, data[:], sig), nil
	})
	if refused(err) {
		return false, nil
	}
	return ok, coded(err, "trying %s", kind)
}

// Identity signs as the region; nil before GenerateIdentity or Use.
func (h *HSM) Identity() identity.Signer {
	if s := h.signer(); s != nil {
		return s
	}
	return nil // not a typed nil
}

// Wrapping returns the public wrapping key (PKIX) and its OAEP hash, for Wrap.
func (h *HSM) Wrapping() (pub []byte, hash uint8) {
	w := h.wrappingKey()
	return bytes.Clone(w.pub), uint8(w.hash)
}

func (h *HSM) signer() *hsmSigner     { h.mu.Lock(); defer h.mu.Unlock(); return h.identity }
func (h *HSM) wrappingKey() wrapping  { h.mu.Lock(); defer h.mu.Unlock(); return h.wrapping }
func (h *HSM) setWrapping(w wrapping) { h.mu.Lock(); defer h.mu.Unlock(); h.wrapping = w }

func (h *HSM) setIdentity(label string, k keyInfo) error {
	s := &hsmSigner{hsm: h, label: label, kind: k.attrs.Kind}
	switch s.kind {
	case P256:
		pub, err := compress(P256, k.pub)
		if err != nil {
			return err
		}
		s.pub = identity.PublicKey{Alg: identity.P256, Key: pub}
	case RSA3072:
		s.pub = identity.PublicKey{Alg: identity.RSAPSS, Key: k.pub}
	default:
		return errs.New(errs.Invalid, "identity key %q is %s, want p256 or rsa-3072", label, s.kind)
	}
	if err := s.pub.Check(); err != nil {
		return err
	}
	h.mu.Lock()
	h.identity = s
	h.mu.Unlock()
	h.pool.setProbe(s.probe)
	return nil
}

// hsmSigner is the identity key as an identity.Signer.
type hsmSigner struct {
	hsm   *HSM
	label string
	kind  Kind
	pub   identity.PublicKey
}

// Public returns the identity key.
func (s *hsmSigner) Public() identity.PublicKey { return s.pub }

// Sign signs msg in the HSM.
func (s *hsmSigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	sig, err := s.hsm.sign(ctx, s.label, s.kind, s.input(msg))
	if err != nil || s.kind == RSA3072 {
		return sig, err
	}
	return lowS(s.kind, sig)
}

func (s *hsmSigner) input(msg []byte) []byte {
	if s.kind == RSA3072 {
		return msg // hashed by the token: some have no raw PSS
	}
	h := sha256.Sum256(msg)
	return h[:]
}

// probe is the pool's question whether the token works.
func (s *hsmSigner) probe(c *conn) error {
	_, err := c.sign(context.Background(), s.label, s.kind, s.input([]byte("tetrad/health/v1")))
	return err
}
