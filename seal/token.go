package seal

import (
	"fmt"
)

// Kind is a kind of key in a token. The first three are the curves of signing keys,
// numbered as in the log.
type Kind uint8

// The kinds.
const (
	Secp256k1 Kind = 1
	P256      Kind = 2
	Ed25519   Kind = 3
	RSA3072   Kind = 4
)

// String returns the name used in messages.
func (k Kind) String() string {
	names := [...]string{"invalid", "secp256k1", "p256", "ed25519", "rsa-3072"}
	if int(k) < len(names) {
		return names[k]
	}
	return "invalid"
}

func (k Kind) curve() bool { return k >= Secp256k1 && k <= Ed25519 }

// Use is what a key may do; a key has one use.
type Use uint8

// The uses.
const (
	UseSign    Use = 1
	UseDecrypt Use = 2
)

// Hash names the hash of an OAEP padding. Numbers are part of stored formats.
type Hash uint8

// The hashes.
const (
	SHA1   Hash = 1 // as OAEP uses it: no collision resistance needed; some HSMs have no other
	SHA256 Hash = 2
)

// KeySpec describes a key pair to be generated. Private keys are sensitive, private
// and not extractable, always.
type KeySpec struct {
	Kind      Kind
	Use       Use
	Label     string
	Temporary bool // lives as long as its session: for probing
}

// Token is one HSM token reached through one loaded module. Calls block, perhaps for
// ever; HSM puts the deadlines around them.
type Token interface {
	// Start initialises the module and finds the token; again after Stop.
	Start() error
	// Stop finalises the module and so ends every session and the login. No other
	// call may be running: modules crash the process otherwise.
	Stop() error
	// Info describes the token found by Start.
	Info() (Info, error)
	// Session opens a session. At most one goroutine uses it at a time.
	Session() (Session, error)
}

// Session is one session with the token. After any error it is good for nothing but
// Close.
type Session interface {
	Login(pin []byte) error // no error when the token is logged in already
	Find(label string, private bool) ([]Object, error)
	Generate(spec KeySpec) (public, private Object, err error)
	Public(o Object, kind Kind) ([]byte, error) // SEC 1 point, 32 Ed25519 bytes, or PKIX for RSA
	Attributes(private Object) (Attributes, error)
	// Sign makes an ECDSA signature r||s over a digest, an Ed25519 signature over a
	// message, or RSASSA-PSS with SHA-256 and salt 32 over a message.
	Sign(private Object, kind Kind, data []byte) ([]byte, error)
	Decrypt(private Object, hash Hash, ciphertext []byte) ([]byte, error) // RSA-OAEP, no label
	Destroy(o Object) error                                               // one half of a pair, for good
	Close() error
}

// Object is a handle within one session's lifetime.
type Object uint64

// Info describes a token, for people and for the genesis.
type Info struct {
	Maker, Model, Serial, Label, Firmware string
	Profile                               Profile
}

// Profile says which lies of a vendor's stack about its keys are accepted, and why.
type Profile struct {
	Name             string
	LocalNotReported bool // CKA_LOCAL is false although the key was generated (NSS)
	NoGenMechanism   bool // CKA_KEY_GEN_MECHANISM is missing (NSS, openCryptoki)
}

// Fault says what a failed token call means for those that follow.
type Fault uint8

// The faults. The zero value is the careful reading: everything may be lost.
const (
	FaultToken Fault = 0 // session, login, object or the token itself: climb the recovery ladder
	FaultCall  Fault = 1 // only this call's arguments: trying again is of no use
	FaultPIN   Fault = 2 // the PIN is wrong or locked: never again
)

// TokenError is an error of a Token.
type TokenError struct {
	Fault Fault
	Op    string
	Err   error
}

func (e *TokenError) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.Err }
