package command

import (
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Asset is what a threshold key is for: which children it has and what they mean. Zero: any
// child. Numbers are part of the stored format, and so is what each template allows.
type Asset uint8

// The asset classes.
const (
	AssetBitcoin        Asset = 1
	AssetBitcoinTestnet Asset = 2 // testnet, signet and regtest: other money, another key
	AssetSolana         Asset = 3
	AssetCosmos         Asset = 4
)

// Step is one level of derivation below a key. None is hardened: what stands above hardened
// levels is a key of its own.
type Step struct {
	Name            string
	Lowest, Highest uint32
}

// Template says which children the keys of an asset class have: those with one index for
// each step, no others. They alone sign and are given out.
type Template struct {
	Curve   Curve
	Key     string   // where the key itself is thought to stand: each hardened level is a choice between keys
	Follows string   // whose rules these are
	Steps   []Step   // from the key down to an address
	Issue   []uint32 // branch from which addresses are given out unless another is named
}

const lastIndex = 1<<31 - 1

// account is the end of a BIP-44 path: a branch and an index in it.
func account(branch string, branches uint32) []Step {
	return []Step{{branch, 0, branches - 1}, {"index", 0, lastIndex}}
}

var templates = map[Asset]*Template{
	AssetBitcoin:        {Secp256k1, "m/86'/0'/account'", "BIP-44, BIP-86", account("branch", 2), []uint32{0}}, // 0 receives, 1 takes change
	AssetBitcoinTestnet: {Secp256k1, "m/86'/1'/account'", "BIP-44, BIP-86", account("branch", 2), []uint32{0}},
	AssetSolana:         {Ed25519, "m/44'/501'/account'", "BIP-44, SLIP-44", account("branch", 1), []uint32{0}}, // accounts have no change
	AssetCosmos:         {Ed25519, "m/44'/118'/account'", "BIP-44, SLIP-44", account("branch", 1), []uint32{0}},
}

var assetNames = []string{"", "bitcoin", "bitcoin-testnet", "solana", "cosmos"}

// Valid reports whether this version knows the class.
func (a Asset) Valid() bool { return templates[a] != nil }

// String returns the name used on the command line, empty for none.
func (a Asset) String() string {
	if a == 0 {
		return ""
	}
	return nameAt(assetNames, uint8(a))
}

// ParseAsset reads a class's name.
func ParseAsset(s string) (Asset, error) {
	i, err := parseName("asset class", assetNames, s)
	return Asset(i), err
}

// Template returns what the class says of paths, nil for none.
func (a Asset) Template() *Template { return templates[a] }

// Branch returns the branch from which a key's addresses are given out by default.
func (a Asset) Branch() []uint32 {
	if t := templates[a]; t != nil {
		return t.Issue
	}
	return []uint32{0}
}

// Check reports why a key of the class has no such child; the error is Invalid. Without a
// class every path is one.
func (a Asset) Check(path []uint32) error {
	t := templates[a]
	if a == 0 || t != nil && len(path) == len(t.Steps) && t.fits(path) {
		return nil
	}
	return a.refusal(path)
}

// CheckAbove is Check for what may also stand above children: the key itself and branches.
func (a Asset) CheckAbove(path []uint32) error {
	t := templates[a]
	if a == 0 || t != nil && len(path) <= len(t.Steps) && t.fits(path) {
		return nil
	}
	return a.refusal(path)
}

// fits judges the indices there are, at most one for each step.
func (t *Template) fits(path []uint32) bool {
	for i, v := range path {
		if s := t.Steps[i]; v < s.Lowest || v > s.Highest {
			return false
		}
	}
	return true
}

func (a Asset) refusal(path []uint32) error {
	t := templates[a]
	if t == nil {
		return errs.New(errs.Invalid, "asset class %d is unknown to this version", a)
	}
	return errs.New(errs.Invalid, "path %s is not of the template of asset class %s: %s", PathText(path), a, t).
		WithHint("the class is fixed for the key's life; other paths are of another key")
}

// String says the template in a line, like m/branch/index, branch 0 to 1.
func (t *Template) String() string {
	path, bounds := "m", ""
	for _, s := range t.Steps {
		path += "/" + s.Name
		switch {
		case s.Lowest == s.Highest:
			bounds += fmt.Sprintf(", %s %d", s.Name, s.Lowest)
		case s.Lowest != 0 || s.Highest != lastIndex:
			bounds += fmt.Sprintf(", %s %d to %d", s.Name, s.Lowest, s.Highest)
		}
	}
	return path + bounds
}

// AssetNames lists the classes for people.
func AssetNames() string { return strings.Join(assetNames[1:], ", ") }

// fixedFor walks the last fields of what makes a key, which older commands lack: its
// fallback and its asset class, as many as it takes to the last there is.
func (f *fields) fixedFor(fallback **Fallback, asset *Asset) {
	if f.decoding && f.err == nil && f.next+2 == len(f.values) && len(f.values[f.next]) == 0 {
		f.next++ // no fallback, but a class
	} else if !f.decoding && *fallback == nil && *asset != 0 {
		f.values = append(f.values, nil)
	} else if !f.absent("fallback", *fallback == nil) {
		f.fallback("fallback", fallback)
	}
	if !f.absent("asset", *asset == 0) {
		f.u8("asset", (*uint8)(asset))
		if f.decoding && f.err == nil && *asset == 0 {
			f.fail("asset", "there, but zero")
		}
	}
}
