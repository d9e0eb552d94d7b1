package seal

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Tri is an attribute as a token reports it.
type Tri uint8

// The values. Numbers are part of the stored format.
const (
	Absent Tri = 0 // the token does not know the attribute
	No     Tri = 1
	Yes    Tri = 2
)

// TriOf returns Yes or No.
func TriOf(v bool) Tri {
	if v {
		return Yes
	}
	return No
}

// Attributes are what a token says about a private key. They are no proof (tokens lie,
// docs/design/seal.md) but they are recorded, and bad ones are refused.
type Attributes struct {
	Kind            Kind
	Use             Use
	Persistent      Tri // CKA_TOKEN
	Private         Tri
	Sensitive       Tri
	Extractable     Tri
	AlwaysSensitive Tri
	NeverExtracted  Tri // CKA_NEVER_EXTRACTABLE
	Local           Tri // generated in the token
	Modifiable      Tri
	Sign            Tri
	Decrypt         Tri
	Unwrap          Tri
	Derive          Tri
	GenMechanism    uint64 // CKA_KEY_GEN_MECHANISM; NoMechanism when absent
}

// NoMechanism stands for an absent CKA_KEY_GEN_MECHANISM.
const NoMechanism = ^uint64(0)

const attributesVersion = 1

func (a *Attributes) tris() []*Tri {
	return []*Tri{&a.Persistent, &a.Private, &a.Sensitive, &a.Extractable, &a.AlwaysSensitive, &a.NeverExtracted,
		&a.Local, &a.Modifiable, &a.Sign, &a.Decrypt, &a.Unwrap, &a.Derive}
}

// Encode returns the canonical form, which regions attest.
func (a Attributes) Encode() []byte {
	w := wire.NewWriter(32)
	w.U8(attributesVersion)
	w.U8(uint8(a.Kind))
	w.U8(uint8(a.Use))
	for _, t := range a.tris() {
		w.U8(uint8(*t))
	}
	w.U64(a.GenMechanism)
	return w.Bytes()
}

// DecodeAttributes parses the canonical form.
func DecodeAttributes(b []byte) (Attributes, error) {
	var a Attributes
	r := wire.NewReader(b)
	if v := r.U8(); v != attributesVersion {
		r.Fail("key attributes version %d", v)
	}
	a.Kind, a.Use = Kind(r.U8()), Use(r.U8())
	for _, t := range a.tris() {
		if *t = Tri(r.U8()); *t > Yes {
			r.Fail("attribute value %d", *t)
		}
	}
	a.GenMechanism = r.U64()
	return a, r.Done()
}

// AttributesOK checks the canonical form of a key's attributes against what every key
// of ours must be, minus what the profile says the vendor cannot report.
func AttributesOK(encoded []byte, p Profile) error {
	a, err := DecodeAttributes(encoded)
	if err != nil {
		return err
	}
	return a.Check(p)
}

// Check refuses a key that could leave its token, was not made in it, or may do
// more than its use.
func (a Attributes) Check(p Profile) error {
	type rule struct {
		bad  bool
		text string
	}
	for _, r := range []rule{
		{a.Persistent != Yes, "is not stored in the token"},
		{a.Private != Yes, "is readable without login"},
		{a.Sensitive != Yes, "is not sensitive"},
		{a.AlwaysSensitive != Yes, "was not always sensitive"},
		{a.Extractable != No, "is extractable"},
		{a.NeverExtracted != Yes, "was extractable once"},
		{a.Local != Yes && !p.LocalNotReported, "was not generated in the token"},
		{a.GenMechanism == NoMechanism && !p.NoGenMechanism, "does not say how it was generated"},
		{a.Derive == Yes, "may derive keys"},
		{a.Unwrap == Yes, "may unwrap keys"},
		{a.Use == UseSign && (a.Sign != Yes || a.Decrypt == Yes), "is not for signing alone"},
		{a.Use == UseDecrypt && (a.Decrypt != Yes || a.Sign == Yes), "is not for decryption alone"},
		{a.Use != UseSign && a.Use != UseDecrypt, "has no known use"},
	} {
		if r.bad {
			return errs.New(errs.Denied, "%s key %s", a.Kind, r.text).WithHint("the token, or its profile %q, does not keep keys as Tetrad requires", p.Name)
		}
	}
	return nil
}
