package pkcs11

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/seal"
)

// ecParams are the DER parameters of the curves, the spelling to try first in front.
var ecParams = map[seal.Kind][]string{
	seal.Secp256k1: {"\x06\x05\x2b\x81\x04\x00\x0a"},
	seal.P256:      {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"},
	seal.Ed25519:   {"\x06\x03\x2b\x65\x70", "\x13\x0cedwards25519"},
}

// Attributes reads back what the token says about a private key, each attribute by
// itself: one the token does not know fails a whole list.
func (s *session) Attributes(o seal.Object) (seal.Attributes, error) {
	a := seal.Attributes{GenMechanism: seal.NoMechanism}
	var decrypt, sign seal.Tri
	for _, f := range []struct {
		typ uint
		to  *seal.Tri
	}{
		{pkcs11.CKA_TOKEN, &a.Persistent}, {pkcs11.CKA_PRIVATE, &a.Private},
		{pkcs11.CKA_SENSITIVE, &a.Sensitive}, {pkcs11.CKA_EXTRACTABLE, &a.Extractable},
		{pkcs11.CKA_ALWAYS_SENSITIVE, &a.AlwaysSensitive}, {pkcs11.CKA_NEVER_EXTRACTABLE, &a.NeverExtracted},
		{pkcs11.CKA_LOCAL, &a.Local}, {pkcs11.CKA_MODIFIABLE, &a.Modifiable},
		{pkcs11.CKA_SIGN, &sign}, {pkcs11.CKA_DECRYPT, &decrypt},
		{pkcs11.CKA_UNWRAP, &a.Unwrap}, {pkcs11.CKA_DERIVE, &a.Derive},
	} {
		v, err := s.get(o, f.typ)
		if err != nil && !unknown(err) {
			return seal.Attributes{}, classify("C_GetAttributeValue", err)
		}
		if err == nil && len(v) == 1 {
			*f.to = seal.TriOf(v[0] != 0)
		}
	}
	a.Sign, a.Decrypt = sign, decrypt
	switch {
	case sign == seal.Yes:
		a.Use = seal.UseSign
	case decrypt == seal.Yes:
		a.Use = seal.UseDecrypt
	}
	var err error
	if a.Kind, err = s.kind(o); err != nil {
		return seal.Attributes{}, err
	}
	if v, err := s.get(o, pkcs11.CKA_KEY_GEN_MECHANISM); err == nil && len(v) == 8 {
		if m := binary.NativeEndian.Uint64(v); m != uint64(pkcs11.CK_UNAVAILABLE_INFORMATION) {
			a.GenMechanism = m
		}
	}
	return a, nil
}

// unknown reports that a token lacks an attribute, in the ways tokens say so.
func unknown(err error) bool {
	return is(err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID) || is(err, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID) || is(err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
}

// kind reads what kind of key it really is; 0 for one that is none of ours.
func (s *session) kind(o seal.Object) (seal.Kind, error) {
	v, err := s.get(o, pkcs11.CKA_KEY_TYPE)
	if err != nil || len(v) != 8 {
		return 0, classify("CKA_KEY_TYPE", err)
	}
	switch binary.NativeEndian.Uint64(v) {
	case pkcs11.CKK_RSA:
		n, err := s.get(o, pkcs11.CKA_MODULUS)
		if err != nil || len(n) != 384 {
			return 0, classify("CKA_MODULUS", err)
		}
		return seal.RSA3072, nil
	case pkcs11.CKK_EC, ckkEdwards:
		p, err := s.get(o, pkcs11.CKA_EC_PARAMS)
		if err != nil {
			return 0, classify("CKA_EC_PARAMS", err)
		}
		for kind, spellings := range ecParams {
			if slices.Contains(spellings, string(p)) {
				return kind, nil
			}
		}
	}
	return 0, nil
}
