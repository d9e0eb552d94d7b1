package fsm

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Outcome is what Apply decided about one command. Code OK means carried out.
type Outcome struct {
	Code    errs.Code
	Text    string            // for people; empty when OK
	Index   uint64            // log index it was decided at (the first time, for a repeated id)
	Key     command.KeyID     // set by CreateKey
	Request command.RequestID // set by RequestSignature
	Next    uint32            // set by NextAddresses: index after the last one given out, never 0
}

// Err returns nil for OK, else a coded error.
func (o Outcome) Err() error {
	if o.Code == errs.OK {
		return nil
	}
	return errs.New(o.Code, "%s", o.Text)
}

// Input is one committed entry with its place in the log.
type Input struct {
	Meta  command.Meta
	Entry *command.Entry
}

// Result is what one entry did: an outcome a command, at least one leaf a command,
// the attempts it opened and the requests it completed (both in order).
type Result struct {
	Meta      command.Meta
	Stamp     time.Time
	Outcomes  []Outcome
	Leaves    []audit.Leaf
	Opened    []command.RequestID
	Completed []command.RequestID
	Failed    []command.RequestID // all attempts refused, or frozen meanwhile
	Expired   []command.RequestID
	Keys      []command.KeyID // keys created or changed, or whose ceremony moved
	Wraps     bool            // a wrapping epoch began, got a key, is doomed or gone
	Nonces    bool            // a pool of nonce commitments was filled, emptied or taken from
	Frozen    bool            // the vault was frozen or unfrozen
	Regions   bool            // membership, health or sessions changed
	Lifted    bool            // a local stop was lifted
	Clock     bool            // the clock was set back
	Repairs   []Repair        // logs to be cut
}

// RegionStatus is a region's standing in the FSM.
type RegionStatus uint8

// The region states.
const (
	RegionActive      RegionStatus = 1
	RegionQuarantined RegionStatus = 2
)

// Region is one member.
type Region struct {
	ID         identity.RegionID
	Name       string
	ServerID   string
	Identity   identity.PublicKey
	Wrapping   []byte
	OAEPHash   uint8
	RaftAddr   string
	APIAddr    string
	GossipAddr string
	HSM        string
	Curves     []command.Curve
	Status     RegionStatus
	Healthy    bool
	Since      uint64                 // index of the last change of health, or of the last session
	Sessions   []identity.SessionCert // newest first, at most four
	Level      uint32                 // of commands, as its newest session announced
	Former     []Former               // what was replaced, oldest first: the founder's identity leads
}

// Former is what a region was before it was enrolled with another HSM. It never counts again.
type Former struct {
	Identity identity.PublicKey
	Wrapping [32]byte  // SHA-256 of the wrapping key
	Index    uint64    // of the entry that replaced it
	At       time.Time // committed clock then
}

// Principal is one credential with its rights.
type Principal struct {
	ID      identity.Fingerprint
	Name    string
	Tenant  string
	Key     identity.PublicKey
	Roles   command.Role
	Removed bool
}

// KeyState is a key's place in its life: pending -> active -> (frozen <-> active) -> retired.
type KeyState uint8

// The key states.
const (
	KeyPending KeyState = 1
	KeyActive  KeyState = 2
	KeyFrozen  KeyState = 3
	KeyRetired KeyState = 4
)

// String returns the name shown in tables.
func (s KeyState) String() string {
	return [...]string{"invalid", "pending", "active", "frozen", "retired"}[min(s, 5)%5]
}

// Attestation is one region's half of a multisig key.
type Attestation struct {
	Region     identity.RegionID
	PublicKey  []byte
	Possession []byte
	Attributes []byte
	Identity   []byte
	Confirmed  bool // the region verified all attestations
	Lost       bool // with the HSM it was in: it is part of addresses for ever, and never signs
}

// Key is one signing key.
type Key struct {
	ID           command.KeyID
	Name         string
	Tenant       string
	Scheme       command.Scheme
	Curve        command.Curve
	Signers      uint8
	AllowBlind   bool
	Note         string
	State        KeyState
	Version      uint32
	Created      uint64 // index
	Stamp        time.Time
	Regions      []identity.RegionID // that hold or are to hold it, ascending
	Attestations []Attestation       // ascending by region
	Author       identity.Fingerprint
	FrozenBy     identity.Fingerprint
	Reason       string
	Limit        *Limit // nil: as many requests as are asked for

	// Of threshold keys, see threshold.go.
	Point    []byte            // 33 bytes compressed, or 32 for Ed25519; nil before it is made
	Chain    [32]byte          // chain code, as of BIP-32
	Sharing  *Sharing          // the live one; nil before the first
	Retiring *Sharing          // the one before: attempts opened under it may still be answered
	RetireAt time.Time         // by the committed clock
	Since    uint64            // of the beacon key: index whose entry made Sharing live; 0 for the genesis's
	Ceremony *Ceremony         // the sharing being made, or whose making failed; nil at rest
	Issued   uint64            // addresses given out
	Given    Given             // which of them, see addresses.go
	Asset    command.Asset     // which children there are, fixed when it was created; 0: any
	Fallback *command.Fallback // script path of its Taproot outputs, fixed when it was created; nil: none
	Escrows  []*Escrow         // in order of number; none unless somebody asked, see escrow.go
	Escrowed uint32            // escrows ever asked for
	Outside  bool              // it was brought in as a whole: known outside, for ever
	Import   *Import           // what was dealt of it, until it is live

	FrozenPaths []FrozenPath // ascending, see paths.go
}

// Attested returns the attestation of a region, or nil.
func (k *Key) Attested(r identity.RegionID) *Attestation {
	for i := range k.Attestations {
		if k.Attestations[i].Region == r {
			return &k.Attestations[i]
		}
	}
	return nil
}

// Info returns what decoding a payload must know of the key.
func (k *Key) Info() intent.KeyInfo {
	info := intent.KeyInfo{Curve: k.Curve, Signers: k.Signers, AllowBlind: k.AllowBlind,
		Threshold: k.Scheme == command.SchemeThreshold, Point: k.Point, Chain: k.Chain, Fallback: (*intent.Fallback)(k.Fallback), Outside: k.Outside, Asset: k.Asset,
		PublicKeys: make([]intent.PublicKey, len(k.Attestations))}
	for i := range k.Attestations {
		info.PublicKeys[i] = intent.PublicKey{Region: k.Attestations[i].Region, Key: k.Attestations[i].PublicKey}
	}
	return info
}

// RequestState is a signature request's place in its life.
type RequestState uint8

// The request states; all but Open are final. A request past its Expiry is not signable
// any more, but stays Open for CompletionGrace, so that what was released just before can
// still be filed. One whose key or vault is frozen, or whose author lost the right to
// sign, stays Open too, not signable, and fails when the freeze ends or the right is back.
const (
	RequestOpen     RequestState = 1 // an attempt is open
	RequestComplete RequestState = 2
	RequestFailed   RequestState = 3 // all attempts refused
	RequestExpired  RequestState = 4
)

// String returns the name shown in tables.
func (s RequestState) String() string {
	return [...]string{"invalid", "open", "complete", "failed", "expired"}[min(s, 5)%5]
}

// Attempt is one opened draw. Eligible is fixed at its index.
type Attempt struct {
	Number   uint8
	Meta     command.Meta        // of the entry that opened it: the beacon's input
	Stamp    time.Time           // of that entry
	Eligible []identity.RegionID // ascending
	Epoch    uint32              // of the sharing whose shares sign; 0 for multisig keys
	// Of threshold keys: one set for each of Eligible, in its order. Once the request is
	// complete, only those of the regions that signed, in the attempt they signed.
	Nonces []NonceSet
}

// SignatureSet is one drawn region's signatures, one a message.
type SignatureSet struct {
	Region     identity.RegionID
	Signatures [][]byte
}

// Request is one signature request.
type Request struct {
	ID         command.RequestID
	Command    command.ID
	Hash       [32]byte // of the command's content
	Author     identity.Fingerprint
	Tenant     string
	Key        command.KeyID
	KeyVersion uint32
	Kind       command.Kind
	HashAlg    command.Hash
	Payload    []byte // dropped once final
	Note       string
	Expiry     time.Time
	State      RequestState
	Attempts   []Attempt      // last one is the open one
	Results    []SignatureSet // once complete, in drawn order; of threshold keys frost.SignatureShare
	Value      [32]byte       // beacon value of the completing attempt
	Opened     uint64         // index
	Closed     uint64         // index, 0 while open
	Leaf       uint64         // sequence number of the opening audit leaf
	Path       []uint32       // derives the signing key from a threshold key
	Charge     Charge         // against the limit of its key
}

// Open returns the open attempt, or nil.
func (q *Request) Open() *Attempt {
	if q.State != RequestOpen || len(q.Attempts) == 0 {
		return nil
	}
	return &q.Attempts[len(q.Attempts)-1]
}

// Signed returns the attempt that completed a threshold key's request, or nil. Its Nonces
// are those its Results were made with.
func (q *Request) Signed() *Attempt {
	if q.State == RequestComplete {
		for i := range q.Attempts {
			if len(q.Attempts[i].Nonces) > 0 {
				return &q.Attempts[i]
			}
		}
	}
	return nil
}
