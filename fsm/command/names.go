package command

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// CheckName accepts names of tenants, principals, keys and regions: 1 to 64 of
// a-z 0-9 . _ - beginning with a letter or digit, so that no two names look alike,
// none is a path or a flag. what says what is named; the name itself is not repeated.
func CheckName(what, s string) error {
	if s == "" || len(s) > MaxName || !alnum(s[0]) {
		return badName(what)
	}
	for i := range len(s) {
		if !alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.' {
			return badName(what)
		}
	}
	return nil
}

func alnum(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

func badName(what string) error {
	return errs.New(errs.Invalid, "the name of the %s is not 1 to %d of a-z 0-9 . _ - beginning with a letter or digit", what, MaxName)
}

// CheckText accepts notes and reasons: UTF-8 of at most limit bytes that cannot steer a
// terminal or reorder what stands around it.
func CheckText(what, s string, limit int) error {
	if len(s) > limit {
		return errs.New(errs.TooLarge, "the %s has %d bytes, limit %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, steers) {
		return errs.New(errs.Invalid, "the %s holds control characters or is not UTF-8", what)
	}
	return nil
}

// steers lists the runes by number: the tables of package unicode change with Go.
func steers(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f ||
		r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff
}

// CheckAddress accepts host:port of printable ASCII without spaces.
func CheckAddress(what, s string) error {
	colon := strings.LastIndexByte(s, ':')
	ok := colon > 0 && colon < len(s)-1 && len(s) <= MaxNote
	for i := range len(s) {
		ok = ok && s[i] > ' ' && s[i] < 0x7f
	}
	for i := colon + 1; ok && i < len(s); i++ {
		ok = s[i] >= '0' && s[i] <= '9'
	}
	if !ok {
		return errs.New(errs.Invalid, "the %s is not host:port", what)
	}
	return nil
}

// Bounds of the settings.
const (
	MinSkew = 10 * time.Millisecond
	MaxSkew = 10 * time.Minute
	MinAge  = time.Second
	MaxOpen = 4096 // as many as one audit effect can list
)

// Check reports whether the settings are within what this version can honour.
func (s Settings) Check() error {
	switch {
	case s.MaxSkew < MinSkew || s.MaxSkew > MaxSkew || s.MaxSkew%time.Millisecond != 0:
		return errs.New(errs.Invalid, "max_skew must be whole milliseconds from %s to %s", MinSkew, MaxSkew)
	case s.RequestMaxAge < MinAge || s.RequestMaxAge > MaxLifetime || s.RequestMaxAge%time.Millisecond != 0:
		return errs.New(errs.Invalid, "request_max_age must be whole milliseconds from %s to %s", MinAge, MaxLifetime)
	case s.MaxOpen < 1 || s.MaxOpen > MaxOpen:
		return errs.New(errs.Invalid, "max_open must be from 1 to %d", MaxOpen)
	case s.EscrowDelay != 0 && (s.EscrowDelay < MinEscrowDelay || s.EscrowDelay > MaxEscrowDelay || s.EscrowDelay%time.Millisecond != 0):
		return errs.New(errs.Invalid, "escrow_delay must be zero (no escrow) or whole milliseconds from %s to a year", MinEscrowDelay)
	case s.RefreshEvery != 0 && (s.RefreshEvery < MinRefreshEvery || s.RefreshEvery > MaxRefreshEvery || s.RefreshEvery%time.Hour != 0):
		return errs.New(errs.Invalid, "refresh_every must be zero (no schedule) or whole hours from %s to a year", MinRefreshEvery)
	}
	return nil
}

// CheckPrincipalKey accepts what a principal can show in TLS as well as sign with: RSA is
// for the identities of regions whose HSM has no EC.
func CheckPrincipalKey(k identity.PublicKey) error {
	if k.Alg == identity.RSAPSS {
		return errs.New(errs.Invalid, "principals use Ed25519 or P-256 keys, not RSA")
	}
	return k.Check()
}

// CheckRoles accepts at least one role, and only those that mean something there:
// principals of the vault administer, operate and audit; a tenant's principals
// operate, sign, approve and audit. Nobody does both.
func CheckRoles(tenant string, r Role) error {
	may := RoleAdmin | RoleOperator | RoleAuditor
	if tenant != "" {
		may = RoleOperator | RoleSigner | RoleApprover | RoleAuditor
	}
	if r == 0 || r&^may != 0 {
		return errs.New(errs.Invalid, "roles %q: a principal here may hold only %s", r, may)
	}
	return nil
}

var roleNames = []string{"admin", "operator", "signer", "approver", "auditor"}

// String returns the roles' names, comma-separated.
func (r Role) String() string {
	var have []string
	for i, n := range roleNames {
		if r&(1<<i) != 0 {
			have = append(have, n)
		}
	}
	return strings.Join(have, ",")
}

// ParseRoles reads comma-separated role names.
func ParseRoles(s string) (Role, error) {
	var r Role
	for n := range strings.SplitSeq(s, ",") {
		i := indexOf(roleNames, strings.TrimSpace(n))
		if i < 0 {
			return 0, errs.New(errs.Invalid, "no role %q; roles are %s", n, strings.Join(roleNames, ", "))
		}
		r |= 1 << i
	}
	return r, nil
}

var curveNames = []string{"", "secp256k1", "p256", "ed25519"}

// Valid reports whether this version knows the curve.
func (c Curve) Valid() bool { return c >= Secp256k1 && c <= Ed25519 }

// String returns the name used on the command line.
func (c Curve) String() string {
	if c == Ristretto255 {
		return "ristretto255" // shown, never asked for
	}
	return nameAt(curveNames, uint8(c))
}

// PublicKeyLen returns the length of a public key on the curve, 0 if it is unknown.
func (c Curve) PublicKeyLen() int {
	switch c {
	case Secp256k1, P256:
		return 33
	case Ed25519, Ristretto255:
		return 32
	}
	return 0
}

// ParseCurve reads a curve's name.
func ParseCurve(s string) (Curve, error) {
	i, err := parseName("curve", curveNames, s)
	return Curve(i), err
}

var schemeNames = []string{"", "multisig", "threshold"}

// String returns the name used on the command line.
func (s Scheme) String() string {
	if s == SchemeBeacon {
		return "beacon" // shown, never asked for
	}
	return nameAt(schemeNames, uint8(s))
}

// ParseScheme reads a scheme's name.
func ParseScheme(s string) (Scheme, error) {
	i, err := parseName("scheme", schemeNames, s)
	return Scheme(i), err
}

var kindNames = []string{"", "psbt", "message", "digest", "solana"}

// Valid reports whether this version knows the kind.
func (k Kind) Valid() bool { return k >= KindPSBT && k <= KindSolana }

// String returns the name used on the command line.
func (k Kind) String() string { return nameAt(kindNames, uint8(k)) }

// ParseKind reads a payload kind's name.
func ParseKind(s string) (Kind, error) {
	i, err := parseName("payload kind", kindNames, s)
	return Kind(i), err
}

var hashNames = []string{"none", "sha256", "sha256d", "keccak256", "sha512-256"}

// Valid reports whether this version knows the hash.
func (h Hash) Valid() bool { return h <= HashSHA512256 }

// String returns the name used on the command line.
func (h Hash) String() string { return nameAt(hashNames, uint8(h)) }

// ParseHash reads a hash's name.
func ParseHash(s string) (Hash, error) {
	i, err := parseName("hash", hashNames, s)
	return Hash(i), err
}

func nameAt(names []string, i uint8) string {
	if int(i) >= len(names) || names[i] == "" {
		return "invalid"
	}
	return names[i]
}

func parseName(what string, names []string, s string) (int, error) {
	i := indexOf(names, s)
	if i < 0 || s == "" {
		return 0, errs.New(errs.Invalid, "no %s %q; there are %s", what, s, strings.TrimPrefix(strings.Join(names, ", "), ", "))
	}
	return i, nil
}

func indexOf(names []string, s string) int {
	for i, n := range names {
		if n == s {
			return i
		}
	}
	return -1
}

// String returns the name used in reports.
func (k WordKind) String() string {
	return nameAt([]string{"", "refused", "unreachable", "reachable", "released nothing", "answered wrongly"}, uint8(k))
}
