package pkcs11

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/seal"
)

// What PKCS#11 3.0 names and the binding does not.
const (
	ckkEdwards           = 0x00000040
	ckmEdwardsKeyPairGen = 0x00001055
	ckmEdDSA             = 0x00001057
)

type session struct {
	ctx *pkcs11.Ctx
	h   pkcs11.SessionHandle
}

// Login logs the user in. The binding wants a string; this one shares pin's memory, so
// that clearing pin clears it (the C copy is the binding's).
func (s *session) Login(pin []byte) error {
	err := s.ctx.Login(s.h, pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(pin), len(pin)))
	if is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN) {
		return nil
	}
	return classify("C_Login", err)
}

func (s *session) Close() error { return classify("C_CloseSession", s.ctx.CloseSession(s.h)) }

func (s *session) Find(label string, private bool) ([]seal.Object, error) {
	class := uint(pkcs11.CKO_PUBLIC_KEY)
	if private {
		class = pkcs11.CKO_PRIVATE_KEY
	}
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	if err := s.ctx.FindObjectsInit(s.h, template); err != nil {
		return nil, classify("C_FindObjectsInit", err)
	}
	handles, _, err := s.ctx.FindObjects(s.h, 3)
	if ferr := s.ctx.FindObjectsFinal(s.h); err == nil {
		err = ferr
	}
	if err != nil {
		return nil, classify("C_FindObjects", err)
	}
	out := make([]seal.Object, len(handles))
	for i, h := range handles {
		out[i] = seal.Object(h)
	}
	return out, nil
}

func (s *session) Generate(spec seal.KeySpec) (public, private seal.Object, err error) {
	for _, g := range generations(spec.Kind) {
		var pub, priv pkcs11.ObjectHandle
		pub, priv, err = s.ctx.GenerateKeyPair(s.h, []*pkcs11.Mechanism{pkcs11.NewMechanism(g.mechanism, nil)},
			publicTemplate(spec, g), privateTemplate(spec))
		if err == nil {
			return seal.Object(pub), seal.Object(priv), nil
		}
	}
	return 0, 0, classify("C_GenerateKeyPair "+spec.Kind.String(), err)
}

// generation is one way to ask for a kind of key.
type generation struct {
	mechanism uint
	params    []*pkcs11.Attribute
}

// generations lists the ways to try: Ed25519's parameters have two spellings.
func generations(k seal.Kind) []generation {
	if k == seal.RSA3072 {
		return []generation{{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 3072),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		}}}
	}
	mechanism := uint(pkcs11.CKM_EC_KEY_PAIR_GEN)
	if k == seal.Ed25519 {
		mechanism = ckmEdwardsKeyPairGen
	}
	var out []generation
	for _, p := range ecParams[k] {
		out = append(out, generation{mechanism, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte(p))}})
	}
	return out
}

func publicTemplate(spec seal.KeySpec, g generation) []*pkcs11.Attribute {
	use := uint(pkcs11.CKA_VERIFY)
	if spec.Use == seal.UseDecrypt {
		use = pkcs11.CKA_ENCRYPT
	}
	return append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, !spec.Temporary),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, spec.Label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(spec.Label)),
		pkcs11.NewAttribute(use, true),
	}, g.params...)
}

// privateTemplate says everything explicitly: defaults differ between vendors.
func privateTemplate(spec seal.KeySpec) []*pkcs11.Attribute {
	sign := spec.Use == seal.UseSign
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, !spec.Temporary),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, spec.Label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(spec.Label)),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, sign),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, !sign),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
	}
}

func (s *session) Sign(o seal.Object, kind seal.Kind, data []byte) ([]byte, error) {
	var m *pkcs11.Mechanism
	switch kind {
	case seal.Ed25519:
		m = pkcs11.NewMechanism(ckmEdDSA, nil)
	case seal.RSA3072: // hashing in the token: TPMs have no raw PSS
		m = pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS_PSS, pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32))
	default:
		m = pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)
	}
	if err := s.ctx.SignInit(s.h, []*pkcs11.Mechanism{m}, pkcs11.ObjectHandle(o)); err != nil {
		return nil, classify("C_SignInit", err)
	}
	sig, err := s.ctx.Sign(s.h, data)
	return sig, classify("C_Sign", err)
}

func (s *session) Decrypt(o seal.Object, hash seal.Hash, ciphertext []byte) ([]byte, error) {
	h, mgf := uint(pkcs11.CKM_SHA_1), uint(pkcs11.CKG_MGF1_SHA1)
	if hash == seal.SHA256 {
		h, mgf = pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256
	}
	m := pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, pkcs11.NewOAEPParams(h, mgf, pkcs11.CKZ_DATA_SPECIFIED, nil))
	if err := s.ctx.DecryptInit(s.h, []*pkcs11.Mechanism{m}, pkcs11.ObjectHandle(o)); err != nil {
		return nil, classify("C_DecryptInit", err)
	}
	plain, err := s.ctx.Decrypt(s.h, ciphertext)
	return plain, classify("C_Decrypt", err)
}

func (s *session) Destroy(o seal.Object) error {
	return classify("C_DestroyObject", s.ctx.DestroyObject(s.h, pkcs11.ObjectHandle(o)))
}

func (s *session) get(o seal.Object, typ uint) ([]byte, error) {
	a, err := s.ctx.GetAttributeValue(s.h, pkcs11.ObjectHandle(o), []*pkcs11.Attribute{pkcs11.NewAttribute(typ, nil)})
	if err != nil {
		return nil, err
	}
	if len(a) != 1 {
		return nil, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)
	}
	return a[0].Value, nil
}

func (s *session) Public(o seal.Object, kind seal.Kind) ([]byte, error) {
	if kind == seal.RSA3072 {
		return s.rsaPublic(o)
	}
	point, err := s.get(o, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, classify("CKA_EC_POINT", err)
	}
	return unwrapPoint(kind, point), nil
}

// unwrapPoint takes the point out of its DER OCTET STRING; some tokens give it bare.
func unwrapPoint(kind seal.Kind, b []byte) []byte {
	bare := 65
	if kind == seal.Ed25519 {
		bare = 32
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(b, &inner); err == nil && len(rest) == 0 && len(b) != bare {
		return inner
	}
	return b
}

func (s *session) rsaPublic(o seal.Object) ([]byte, error) {
	n, err := s.get(o, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, classify("CKA_MODULUS", err)
	}
	e, err := s.get(o, pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil {
		return nil, classify("CKA_PUBLIC_EXPONENT", err)
	}
	exp := new(big.Int).SetBytes(e)
	if !exp.IsInt64() || exp.Int64() != 65537 {
		return nil, &seal.TokenError{Fault: seal.FaultCall, Op: "CKA_PUBLIC_EXPONENT", Err: fmt.Errorf("exponent of %d bits, want 65537", exp.BitLen())}
	}
	return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537})
}
