package escrow

import (
	"fmt"
	"strings"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Recover restores the key of a bundle with the age keys of its officers, and a region's
// release where one must take part (else nil). Boxes that do not open, or hold something
// else than the share the public key names, are left out and told in skipped. The secret
// is the caller's to wipe.
func Recover(b *Bundle, release *Release, officers []age.Identity) (secret *frost.Secret, skipped []string, err error) {
	k, err := b.PublicKey()
	if err != nil {
		return nil, nil, err
	}
	var shares []*frost.Share
	defer func() {
		for _, s := range shares {
			s.Wipe()
		}
	}()
	for i := range b.Boxes {
		s, err := b.open(i, k, release, officers)
		if code := errs.CodeOf(err); code == errs.Denied {
			return nil, nil, err // too few officers, or no region: no other box will do better
		}
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("the share of region %d: %v", b.Boxes[i].Region, err))
			continue
		}
		shares = append(shares, s)
	}
	if len(shares) < k.Threshold() {
		return nil, skipped, errs.New(errs.Corrupt, "%d shares of key %s are good, %d are needed: %s", len(shares), b.Key, k.Threshold(), strings.Join(skipped, "; ")).
			WithHint("the bundle was altered, or regions filed garbage: fetch it again from another region, or use another escrow of the key")
	}
	secret, err = frost.Recover(k, shares)
	return secret, skipped, err
}

// open restores one region's share. Denied: the officers, or a region, are missing.
func (b *Bundle) open(i int, k *frost.PublicKey, release *Release, officers []age.Identity) (*frost.Share, error) {
	from := b.Boxes[i].Region
	x, err := decodeBox(b.Boxes[i].Box)
	if err != nil {
		return nil, err
	}
	info := b.info(from)
	a, err := b.officersPart(x, info, officers)
	if err != nil {
		return nil, err
	}
	defer clear(a)
	second, err := b.regionsPart(from, release)
	if err != nil {
		return nil, err
	}
	aead, err := cipherOf(a, second, info)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), x.sealed, info)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "it does not open: it was altered, or belongs to another escrow")
	}
	defer clear(plain)
	return shareOf(plain, from, k)
}

func shareOf(plain []byte, from identity.RegionID, k *frost.PublicKey) (*frost.Share, error) {
	s, err := frost.DecodeShare(plain)
	if err != nil {
		return nil, err
	}
	if s.Region() != uint8(from) {
		err = errs.New(errs.Corrupt, "it is the share of region %d", s.Region())
	} else {
		err = s.Matches(k)
	}
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return s, nil
}

// regionsPart is what the release says of a box; nil for disasters.
func (b *Bundle) regionsPart(from identity.RegionID, release *Release) ([]byte, error) {
	if b.Disaster {
		return nil, nil
	}
	if release == nil {
		return nil, errs.New(errs.Denied, "escrow %d of key %s opens only together with one region's HSM", b.Number, b.Key).
			WithHint("run vaultctl recover release at a region that lives, and give what it writes with --release")
	}
	part := release.parts[from]
	if part == nil {
		return nil, errs.New(errs.Corrupt, "the release holds nothing for it")
	}
	return part, nil
}

// officersPart puts together what the officers hold of a box.
func (b *Bundle) officersPart(x *box, info []byte, officers []age.Identity) ([]byte, error) {
	var shares []seal.Share
	defer func() {
		for _, s := range shares {
			clear(s.Data)
		}
	}()
	opened := 0
	for i, ciphertext := range x.officers {
		plain, err := ceremony.DecryptWith(ciphertext, officers...)
		if err != nil {
			continue // another officer's
		}
		opened++
		s, err := readOfficerPart(plain, info)
		clear(plain)
		if err != nil || int(s.Index) != i+1 {
			continue
		}
		shares = append(shares, s)
	}
	if opened < int(b.M) && len(x.officers) == len(b.Officers) && b.present(officers) < int(b.M) {
		return nil, errs.New(errs.Denied, "%d officers' keys open it, %d are needed", opened, b.M).
			WithHint("give the age identity of each officer with --identity")
	}
	return seal.Combine(shares)
}

// present counts whose keys are there by what they are known by, and all boxes' ciphertexts:
// an altered box must not be taken for a missing officer.
func (b *Bundle) present(officers []age.Identity) int {
	best := 0
	for i := range b.Boxes {
		x, err := decodeBox(b.Boxes[i].Box)
		if err != nil {
			continue
		}
		n := 0
		for _, ciphertext := range x.officers {
			if _, err := ceremony.DecryptWith(ciphertext, officers...); err == nil {
				n++
			}
		}
		best = max(best, n)
	}
	return best
}

func readOfficerPart(plain, info []byte) (seal.Share, error) {
	r := wire.NewReader(plain)
	domain, bound, enc := r.String(64), r.Blob(512), r.Blob(512)
	if err := r.Done(); err != nil {
		return seal.Share{}, err
	}
	if domain != domainOfficer || string(bound) != string(info) {
		return seal.Share{}, errs.New(errs.Corrupt, "an officer's part of another share")
	}
	return seal.DecodeShare(enc)
}
