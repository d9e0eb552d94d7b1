package command

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Type names a kind of command. Numbers are part of the stored format.
type Type uint16

// Commands of principals, then commands of regions (signed by a session key, the
// first one by the identity key).
const (
	TypeCreateTenant     Type = 1
	TypePutPrincipal     Type = 2
	TypeRemovePrincipal  Type = 3
	TypeCreateKey        Type = 4
	TypeRequestSignature Type = 5
	TypeFreezeKey        Type = 6
	TypeUnfreezeKey      Type = 7
	TypeFreezeVault      Type = 8
	TypeUnfreezeVault    Type = 9
	TypeConfigure        Type = 10
	TypeReplaceMember    Type = 11
	TypeRetireKey        Type = 12
	TypeRefreshKey       Type = 13
	TypeIssueAddresses   Type = 14
	TypeEscrowKey        Type = 15
	TypeCancelEscrow     Type = 16
	TypeNextAddresses    Type = 17
	TypeLimitKey         Type = 20
	TypeFreezePath       Type = 21
	TypeUnfreezePath     Type = 22
	TypeImportKey        Type = 24

	TypeQuarantineRegion Type = 32
	TypeMuteRegion       Type = 33
	TypeLiftStop         Type = 34
	TypeRepairRegion     Type = 35
	TypeRepairClock      Type = 36
	TypeRaiseLevel       Type = 37
	TypeReenrol          Type = 38

	TypeRegisterSession Type = 100
	TypeAttestKey       Type = 101
	TypeConfirmKey      Type = 102
	TypeOpenAttempt     Type = 103
	TypeComplete        Type = 104
	TypeReportHealth    Type = 105
	TypeTick            Type = 106

	// Of threshold keys, see threshold.go.
	TypeOfferWrap    Type = 107
	TypeHashDealing  Type = 108
	TypeDeal         Type = 109
	TypeDealShares   Type = 110
	TypeFinishShare  Type = 111
	TypeAccuseDealer Type = 112
	TypeDropWrap     Type = 113
	TypeOfferNonces  Type = 114
	TypeEscrowShare  Type = 115

	TypeRefundRequest    Type = 125
	TypeRegionFreeze     Type = 126
	TypeRegionFreezePath Type = 127
)

var bodies = map[Type]func() Body{
	TypeCreateTenant:     func() Body { return &CreateTenant{} },
	TypePutPrincipal:     func() Body { return &PutPrincipal{} },
	TypeRemovePrincipal:  func() Body { return &RemovePrincipal{} },
	TypeCreateKey:        func() Body { return &CreateKey{} },
	TypeRequestSignature: func() Body { return &RequestSignature{} },
	TypeFreezeKey:        func() Body { return &FreezeKey{} },
	TypeUnfreezeKey:      func() Body { return &UnfreezeKey{} },
	TypeFreezeVault:      func() Body { return &FreezeVault{} },
	TypeUnfreezeVault:    func() Body { return &UnfreezeVault{} },
	TypeConfigure:        func() Body { return &Configure{} },
	TypeReplaceMember:    func() Body { return &ReplaceMember{} },
	TypeRetireKey:        func() Body { return &RetireKey{} },
	TypeRegisterSession:  func() Body { return &RegisterSession{} },
	TypeAttestKey:        func() Body { return &AttestKey{} },
	TypeConfirmKey:       func() Body { return &ConfirmKey{} },
	TypeOpenAttempt:      func() Body { return &OpenAttempt{} },
	TypeComplete:         func() Body { return &Complete{} },
	TypeReportHealth:     func() Body { return &ReportHealth{} },
	TypeTick:             func() Body { return &Tick{} },
	TypeQuarantineRegion: func() Body { return &QuarantineRegion{} },
	TypeMuteRegion:       func() Body { return &MuteRegion{} },
	TypeLiftStop:         func() Body { return &LiftStop{} },
	TypeRepairRegion:     func() Body { return &RepairRegion{} },
	TypeRepairClock:      func() Body { return &RepairClock{} },
	TypeRegionFreeze:     func() Body { return &RegionFreeze{} },
	TypeRefreshKey:       func() Body { return &RefreshKey{} },
	TypeIssueAddresses:   func() Body { return &IssueAddresses{} },
	TypeNextAddresses:    func() Body { return &NextAddresses{} },
	TypeOfferWrap:        func() Body { return &OfferWrap{} },
	TypeHashDealing:      func() Body { return &HashDealing{} },
	TypeDeal:             func() Body { return &Deal{} },
	TypeDealShares:       func() Body { return &DealShares{} },
	TypeFinishShare:      func() Body { return &FinishShare{} },
	TypeAccuseDealer:     func() Body { return &AccuseDealer{} },
	TypeDropWrap:         func() Body { return &DropWrap{} },
	TypeOfferNonces:      func() Body { return &OfferNonces{} },
	TypeEscrowKey:        func() Body { return &EscrowKey{} },
	TypeCancelEscrow:     func() Body { return &CancelEscrow{} },
	TypeEscrowShare:      func() Body { return &EscrowShare{} },
	TypeLimitKey:         func() Body { return &LimitKey{} },
	TypeRefundRequest:    func() Body { return &RefundRequest{} },
	TypeRaiseLevel:       func() Body { return &RaiseLevel{} },
	TypeReenrol:          func() Body { return &Reenrol{} },
	TypeFreezePath:       func() Body { return &FreezePath{} },
	TypeUnfreezePath:     func() Body { return &UnfreezePath{} },
	TypeRegionFreezePath: func() Body { return &RegionFreezePath{} },
	TypeImportKey:        func() Body { return &ImportKey{} },
}

var typeNames = map[Type]string{
	TypeCreateTenant: "create-tenant", TypePutPrincipal: "put-principal", TypeRemovePrincipal: "remove-principal",
	TypeCreateKey: "create-key", TypeRequestSignature: "request-signature", TypeFreezeKey: "freeze-key",
	TypeUnfreezeKey: "unfreeze-key", TypeFreezeVault: "freeze-vault", TypeUnfreezeVault: "unfreeze-vault",
	TypeConfigure: "configure", TypeReplaceMember: "replace-member", TypeRetireKey: "retire-key",
	TypeRegisterSession: "register-session", TypeAttestKey: "attest-key", TypeConfirmKey: "confirm-key",
	TypeOpenAttempt: "open-attempt", TypeComplete: "complete", TypeReportHealth: "report-health", TypeTick: "tick",
	TypeQuarantineRegion: "quarantine-region", TypeMuteRegion: "mute-region", TypeLiftStop: "lift-stop",
	TypeRepairRegion: "repair-region", TypeRepairClock: "repair-clock", TypeRegionFreeze: "region-freeze",
	TypeRefreshKey: "refresh-key", TypeIssueAddresses: "issue-addresses", TypeOfferWrap: "offer-wrap",
	TypeHashDealing: "hash-dealing", TypeDeal: "deal", TypeDealShares: "deal-shares", TypeFinishShare: "finish-share",
	TypeAccuseDealer: "accuse-dealer", TypeDropWrap: "drop-wrap", TypeOfferNonces: "offer-nonces",
	TypeEscrowKey: "escrow-key", TypeCancelEscrow: "cancel-escrow", TypeEscrowShare: "escrow-share",
	TypeLimitKey: "limit-key", TypeRefundRequest: "refund-request",
	TypeRaiseLevel: "raise-level", TypeReenrol: "reenrol", TypeFreezePath: "freeze-path", TypeUnfreezePath: "unfreeze-path", TypeRegionFreezePath: "region-freeze-path",
	TypeImportKey: "import-key", TypeNextAddresses: "next-addresses",
}

// Known reports whether this version has a body for t.
func (t Type) Known() bool { _, ok := bodies[t]; return ok }

// ByRegion reports whether only regions may issue t.
func (t Type) ByRegion() bool { return t >= TypeRegisterSession }

// String returns the imperative name.
func (t Type) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return "unknown"
}

// Role is a set of rights a principal holds in its tenant (Admin: in the vault).
type Role uint8

// The roles, as bits.
const (
	RoleAdmin    Role = 1 << 0 // tenants, principals, keys, freezes, configuration
	RoleOperator Role = 1 << 1 // freezes, status, regions
	RoleSigner   Role = 1 << 2 // asks for signatures with keys of its tenant
	RoleApprover Role = 1 << 3 // approves (with the issue on policy)
	RoleAuditor  Role = 1 << 4 // reads requests and audit
	RoleAll           = RoleAdmin | RoleOperator | RoleSigner | RoleApprover | RoleAuditor
)

// Curve names a curve and its signature algorithm.
type Curve uint8

// The curves.
const (
	Secp256k1 Curve = 1 // ECDSA, 64-byte r||s, low s; 33-byte compressed public key
	P256      Curve = 2 // ECDSA, 64-byte r||s, low s; 33-byte compressed public key
	Ed25519   Curve = 3 // RFC 8032 pure; 32-byte public key

	Ristretto255 Curve = 4 // the beacon's group: no key signs on it
)

// Scheme says where a key's secret lives (DESIGN section 6).
type Scheme uint8

// The schemes.
const (
	SchemeMultisig  Scheme = 1 // one private key in each region's HSM
	SchemeThreshold Scheme = 2 // FROST shares: the key exists nowhere (docs/design/threshold.md)
	SchemeBeacon    Scheme = 3 // the beacon key, of which there is one; its shares draw and sign nothing
)

// Shared reports whether a key's secret is in shares that ceremonies deal.
func (s Scheme) Shared() bool { return s == SchemeThreshold || s == SchemeBeacon }

// BeaconKey names the beacon key where a command names a key. No command makes another key
// of that id: those are hashes.
var BeaconKey = KeyID([]byte("tetrad beacon v1"))

// Kind says what a payload is.
type Kind uint8

// The payload kinds.
const (
	KindPSBT    Kind = 1 // BIP-174 or BIP-370 bytes
	KindMessage Kind = 2 // bytes, hashed as Hash says
	KindDigest  Kind = 3 // a bare digest, only where the key allows blind signing
	KindSolana  Kind = 4 // a Solana message, legacy or v0, of a threshold Ed25519 key
)

// Hash is the declared hash of a message.
type Hash uint8

// The hashes. HashNone is right for Ed25519 (pure) and for PSBT and digest payloads.
const (
	HashNone      Hash = 0
	HashSHA256    Hash = 1
	HashSHA256d   Hash = 2 // SHA-256 twice
	HashKeccak256 Hash = 3
	HashSHA512256 Hash = 4
)

// CreateTenant adds a tenant. Two administrators.
type CreateTenant struct{ Name string }

// PutPrincipal adds a principal or replaces its roles. Two administrators.
// Tenant "" makes it a principal of the vault itself.
type PutPrincipal struct {
	Name   string
	Tenant string
	Key    identity.PublicKey
	Roles  Role
}

// RemovePrincipal revokes a credential for ever. Two administrators.
type RemovePrincipal struct{ Principal identity.Fingerprint }

// CreateKey asks every listed region to make a private key in its HSM, or (threshold) to
// take part in making one that exists nowhere. Empty Regions means: every active region
// whose HSM has the curve (at least three); of a threshold key, the four members.
type CreateKey struct {
	Name       string
	Tenant     string
	Scheme     Scheme
	Curve      Curve
	Signers    uint8 // k of the listed regions sign: 2, 3 or 4
	AllowBlind bool  // digest payloads allowed; needs two administrators
	Regions    []identity.RegionID
	Note       string
	Fallback   *Fallback // of threshold keys on secp256k1; needs two administrators. nil: none
	Asset      Asset     // of threshold keys: which children there are. 0: any
}

// RequestSignature asks for signatures over everything Payload names.
type RequestSignature struct {
	Key     KeyID
	Kind    Kind
	Hash    Hash
	Payload []byte
	Note    string

	// Path derives the key that signs from a threshold key, non-hardened indices from the
	// root; empty is the root itself, and in commands older than this field. A PSBT names
	// the paths of its inputs itself.
	Path []uint32
}

// FreezeKey stops a key; UnfreezeKey (two administrators) lets it sign again.
type (
	FreezeKey struct {
		Key    KeyID
		Reason string
	}
	UnfreezeKey struct {
		Key    KeyID
		Reason string
	}
)

// FreezeVault stops every key; UnfreezeVault needs two administrators.
type (
	FreezeVault   struct{ Reason string }
	UnfreezeVault struct{ Reason string }
)

// Configure replaces the replicated settings. Two administrators.
type Configure struct{ Settings Settings }

// Settings are the replicated limits of the vault.
type Settings struct {
	MaxSkew       time.Duration // how far a command's or stamp's time may be ahead, milliseconds resolution
	RequestMaxAge time.Duration // longest life of a signature request
	MaxOpen       uint32        // open requests at once, over all tenants

	// EscrowDelay is how long an escrow of a key must wait at least; 0: there is none.
	EscrowDelay time.Duration

	// RefreshEvery is how long after the last refresh of all threshold keys the next one
	// begins by itself, whole hours; 0: never.
	RefreshEvery time.Duration

	// Import allows whole keys to be brought in from outside.
	Import bool
}

// ReplaceMember approves a server for a region: the first one when it joins, a new
// incarnation when its disk was lost. Two administrators.
type ReplaceMember struct {
	Region     identity.RegionID
	ServerID   string
	RaftAddr   string
	APIAddr    string
	GossipAddr string
	Enrolment  []byte // the region's signed enrolment bundle, kept for the audit
}

// RetireKey ends a key: it never signs again. Two administrators.
type RetireKey struct{ Key KeyID }

// RegisterSession announces a region's session key. Author and signer is the
// identity key in the HSM; Curves lists what its HSM can sign with now.
type RegisterSession struct {
	Cert   []byte // identity.SessionCert
	Curves []byte // one Curve a byte, ascending

	// Level is the highest the region's release understands; absent: 0.
	Level uint32
}

// AttestKey is one region's half of key creation.
type AttestKey struct {
	Key        KeyID
	PublicKey  []byte // as Curve says
	Possession []byte // signature by the new key over PossessionBytes
	Attributes []byte // what was read back from the HSM, see seal
	Identity   []byte // signature by the region's identity key over AttestationBytes
}

// ConfirmKey is one region's word that it verified every attestation of a key.
// Attestations is the hash fsm computed over all of them.
type ConfirmKey struct {
	Key          KeyID
	Attestations [32]byte
}

// OpenAttempt opens the next attempt of a request; Words carry the reason.
type OpenAttempt struct {
	Request RequestID
	Attempt uint8    // number of the attempt it opens: 2 or 3
	Words   [][]byte // Word: the drawn region's refusal, or another's word that it is unreachable

	// Partials are the beacon partials of the last attempt's entry: they show that the
	// regions the words are about were drawn. Empty in commands older than this field.
	Partials [][]byte
}

// Complete files what co-signers answered for the attempts opened at one index.
type Complete struct {
	Index    uint64
	Partials [][]byte // the three beacon partials (draw.Partial) that give the value
	Answers  [][]byte // Answer, one a region

	// Cover is the encoded proof (chain.Cover) that the entry at Index is certified. Empty
	// in commands older than this field.
	Cover []byte
}

// ReportHealth changes whether a region is eligible for later draws: signed by the
// region itself, or carrying the words of two others.
type ReportHealth struct {
	Region  identity.RegionID
	Healthy bool
	Words   [][]byte
}

// Tick moves the FSM clock when nothing else does.
type Tick struct{}

// The bodies' types and fields. The order of fields is part of the stored format.

func (*CreateTenant) Type() Type     { return TypeCreateTenant }
func (*PutPrincipal) Type() Type     { return TypePutPrincipal }
func (*RemovePrincipal) Type() Type  { return TypeRemovePrincipal }
func (*CreateKey) Type() Type        { return TypeCreateKey }
func (*RequestSignature) Type() Type { return TypeRequestSignature }
func (*FreezeKey) Type() Type        { return TypeFreezeKey }
func (*UnfreezeKey) Type() Type      { return TypeUnfreezeKey }
func (*FreezeVault) Type() Type      { return TypeFreezeVault }
func (*UnfreezeVault) Type() Type    { return TypeUnfreezeVault }
func (*Configure) Type() Type        { return TypeConfigure }
func (*ReplaceMember) Type() Type    { return TypeReplaceMember }
func (*RetireKey) Type() Type        { return TypeRetireKey }
func (*RegisterSession) Type() Type  { return TypeRegisterSession }
func (*AttestKey) Type() Type        { return TypeAttestKey }
func (*ConfirmKey) Type() Type       { return TypeConfirmKey }
func (*OpenAttempt) Type() Type      { return TypeOpenAttempt }
func (*Complete) Type() Type         { return TypeComplete }
func (*ReportHealth) Type() Type     { return TypeReportHealth }
func (*Tick) Type() Type             { return TypeTick }

func (b *CreateTenant) fields(f *fields) { f.text("name", &b.Name, MaxName) }

func (b *PutPrincipal) fields(f *fields) {
	f.text("name", &b.Name, MaxName)
	f.text("tenant", &b.Tenant, MaxName)
	f.key("key", &b.Key)
	f.u8("roles", (*uint8)(&b.Roles))
}

func (b *RemovePrincipal) fields(f *fields) { f.fixed("principal", b.Principal[:]) }

func (b *CreateKey) fields(f *fields) {
	f.text("name", &b.Name, MaxName)
	f.text("tenant", &b.Tenant, MaxName)
	f.u8("scheme", (*uint8)(&b.Scheme))
	f.u8("curve", (*uint8)(&b.Curve))
	f.u8("signers", &b.Signers)
	f.flag("allow_blind", &b.AllowBlind)
	f.regions("regions", &b.Regions)
	f.text("note", &b.Note, MaxNote)
	f.fixedFor(&b.Fallback, &b.Asset)
}

func (b *RequestSignature) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.u8("kind", (*uint8)(&b.Kind))
	f.u8("hash", (*uint8)(&b.Hash))
	f.bytes("payload", &b.Payload, MaxPayload)
	f.text("note", &b.Note, MaxNote)
	if !f.absent("path", len(b.Path) == 0) {
		f.path("path", &b.Path)
	}
}

func (b *FreezeKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.text("reason", &b.Reason, MaxNote)
}

func (b *UnfreezeKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.text("reason", &b.Reason, MaxNote)
}

func (b *FreezeVault) fields(f *fields)   { f.text("reason", &b.Reason, MaxNote) }
func (b *UnfreezeVault) fields(f *fields) { f.text("reason", &b.Reason, MaxNote) }

func (b *Configure) fields(f *fields) {
	skew, age := uint64(b.Settings.MaxSkew.Milliseconds()), uint64(b.Settings.RequestMaxAge.Milliseconds())
	f.u64("max_skew_ms", &skew)
	f.u64("request_max_age_ms", &age)
	f.u32("max_open", &b.Settings.MaxOpen)
	if f.decoding {
		const most = uint64(365 * 24 * time.Hour / time.Millisecond)
		if skew > most || age > most {
			f.fail("max_skew_ms", "durations are at most a year")
			return
		}
		b.Settings.MaxSkew = time.Duration(skew) * time.Millisecond
		b.Settings.RequestMaxAge = time.Duration(age) * time.Millisecond
	}
	b.Settings.later(f)
}

// later walks the fields that older commands do not have: as many as it takes to the last
// that is not zero.
func (s *Settings) later(f *fields) {
	noImport, noSchedule := !s.Import, !s.Import && s.RefreshEvery == 0
	if f.absent("escrow_delay_ms", noSchedule && s.EscrowDelay == 0) {
		return
	}
	f.millis("escrow_delay_ms", &s.EscrowDelay)
	empty := s.EscrowDelay == 0
	if !f.absent("refresh_every_ms", noSchedule) {
		f.millis("refresh_every_ms", &s.RefreshEvery)
		empty = s.RefreshEvery == 0
		if !f.absent("import", noImport) {
			f.flag("import", &s.Import)
			empty = !s.Import
		}
	}
	if f.decoding && empty {
		f.fail("settings", "the last one is there, but zero")
	}
}

func (b *ReplaceMember) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.text("server_id", &b.ServerID, MaxName)
	f.text("raft_addr", &b.RaftAddr, MaxNote)
	f.text("api_addr", &b.APIAddr, MaxNote)
	f.text("gossip_addr", &b.GossipAddr, MaxNote)
	f.bytes("enrolment", &b.Enrolment, 16<<10)
}

func (b *RetireKey) fields(f *fields) { f.fixed("key", b.Key[:]) }

func (b *RegisterSession) fields(f *fields) {
	f.bytes("cert", &b.Cert, 2048)
	f.bytes("curves", &b.Curves, 16)
	if !f.absent("level", b.Level == 0) {
		f.u32("level", &b.Level)
		if f.decoding && f.err == nil && b.Level == 0 {
			f.fail("level", "there, but zero")
		}
	}
}

func (b *AttestKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.bytes("public_key", &b.PublicKey, 128)
	f.bytes("possession", &b.Possession, MaxSignatureLen)
	f.bytes("attributes", &b.Attributes, 1024)
	f.bytes("identity", &b.Identity, MaxSignatureLen)
}

func (b *ConfirmKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.fixed("attestations", b.Attestations[:])
}

func (b *OpenAttempt) fields(f *fields) {
	f.fixed("request", b.Request[:])
	f.u8("attempt", &b.Attempt)
	f.list("words", &b.Words, MaxRegions, 1024)
	if !f.absent("partials", len(b.Partials) == 0) {
		f.list("partials", &b.Partials, MaxRegions, 256)
	}
}

func (b *Complete) fields(f *fields) {
	f.u64("index", &b.Index)
	f.list("partials", &b.Partials, MaxRegions, 256)
	f.list("answers", &b.Answers, MaxRegions, MaxField)
	if !f.absent("cover", len(b.Cover) == 0) {
		f.bytes("cover", &b.Cover, MaxCover)
	}
}

func (b *ReportHealth) fields(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.flag("healthy", &b.Healthy)
	f.list("words", &b.Words, MaxRegions, 1024)
}

func (*Tick) fields(*fields) {}
