package pkcs11

import (
	"bytes"
	"errors"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/seal"
)

func TestUnwrapPoint(t *testing.T) {
	point65 := append([]byte{4}, bytes.Repeat([]byte{7}, 64)...)
	point32 := bytes.Repeat([]byte{9}, 32)
	looksLikeDER := append([]byte{4, 30}, bytes.Repeat([]byte{1}, 30)...) // a bare Ed25519 key may begin like an OCTET STRING
	for name, tc := range map[string]struct {
		kind     seal.Kind
		in, want []byte
	}{
		"EC, octet string":      {seal.P256, append([]byte{4, 65}, point65...), point65},
		"EC, bare":              {seal.P256, point65, point65},
		"Ed25519, octet string": {seal.Ed25519, append([]byte{4, 32}, point32...), point32},
		"Ed25519, bare":         {seal.Ed25519, point32, point32},
		"Ed25519, bare, unkind": {seal.Ed25519, looksLikeDER, looksLikeDER},
		"garbage":               {seal.P256, []byte{1, 2, 3}, []byte{1, 2, 3}},
		"nothing":               {seal.P256, nil, nil},
	} {
		if got := unwrapPoint(tc.kind, tc.in); !bytes.Equal(got, tc.want) {
			t.Errorf("%s: %x, want %x", name, got, tc.want)
		}
	}
}

func TestClassify(t *testing.T) {
	if classify("op", nil) != nil {
		t.Error("no error became one")
	}
	for err, want := range map[error]seal.Fault{
		pkcs11.Error(pkcs11.CKR_PIN_INCORRECT):         seal.FaultPIN,
		pkcs11.Error(pkcs11.CKR_PIN_LOCKED):            seal.FaultPIN,
		pkcs11.Error(pkcs11.CKR_MECHANISM_INVALID):     seal.FaultCall,
		pkcs11.Error(pkcs11.CKR_OBJECT_HANDLE_INVALID): seal.FaultToken, // SoftHSM whose files are gone
		pkcs11.Error(pkcs11.CKR_GENERAL_ERROR):         seal.FaultToken,
		pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN):    seal.FaultToken,
		pkcs11.Error(0x80001234):                       seal.FaultToken, // a vendor's own
		errors.New("no return value at all"):           seal.FaultToken,
	} {
		var te *seal.TokenError
		if got := classify("op", err); !errors.As(got, &te) || te.Fault != want || !errors.Is(got, err) {
			t.Errorf("%v: %v, want fault %d", err, got, want)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, tc := range []struct{ maker, model, want string }{
		{"SoftHSM project", "SoftHSM v2", "softhsm"},
		{"Mozilla Foundation", "NSS 3", "nss"},
		{"IBM", "Soft", "opencryptoki"},
		{"IBM", "SW   TPM", "opencryptoki"},
		{"STMicro", "TPM 2.0", "tpm2"},
		{"Somebody", "Something", "strict"},
	} {
		if got := profileOf(tc.maker, tc.model); got.Name != tc.want {
			t.Errorf("%s %s has profile %q, want %q", tc.maker, tc.model, got.Name, tc.want)
		}
	}
	if trim("NSS\x00\x00 ") != "NSS" || trim("label   ") != "label" {
		t.Error("padding stays")
	}
}

// TestInitArgsReachTheModule: SoftHSM refuses them, which shows that they arrive.
func TestInitArgsReachTheModule(t *testing.T) {
	path, err := SoftHSM()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(path, "configdir='x'")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Token("any").Start(); !is(err, pkcs11.CKR_ARGUMENTS_BAD) {
		t.Errorf("%v, want ARGUMENTS_BAD", err)
	}
}
