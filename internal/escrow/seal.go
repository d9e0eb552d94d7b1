package escrow

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
)

// Seal encrypts a region's share (frost.Share, stored form) as the terms say. Of regions
// it reads the HSMs' wrapping keys; any one of those HSMs is to open the second part.
func Seal(t Terms, region identity.RegionID, regions []*fsm.Region, share []byte) ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	parts := make([]byte, 2*partSize)
	defer clear(parts)
	if _, err := rand.Read(parts); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	a, b := parts[:partSize], parts[partSize:]
	out, info := &box{}, t.info(region)
	var err error
	if out.officers, err = toOfficers(&t, info, a); err != nil {
		return nil, err
	}
	if t.Disaster {
		b = nil
	} else if out.hsms, err = toHSMs(&t, region, regions, b); err != nil {
		return nil, err
	}
	aead, err := cipherOf(a, b, info)
	if err != nil {
		return nil, err
	}
	out.sealed = aead.Seal(nil, make([]byte, aead.NonceSize()), share, info)
	raw := out.encode()
	if len(raw) > command.MaxEscrowBox {
		return nil, errs.New(errs.TooLarge, "escrowed share of %d bytes, limit %d", len(raw), command.MaxEscrowBox)
	}
	return raw, nil
}

// toOfficers splits a part and encrypts one share to each officer.
func toOfficers(t *Terms, info, part []byte) (out [][]byte, err error) {
	shares, err := seal.Split(rand.Reader, part, int(t.M), len(t.Officers))
	if err != nil {
		return nil, err
	}
	for i := range shares {
		plain := officerPart(info, shares[i])
		clear(shares[i].Data)
		ciphertext, err := ceremony.EncryptTo(t.Officers[i], plain)
		clear(plain)
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "encrypting to officer %d", i+1)
		}
		out = append(out, ciphertext)
	}
	return out, nil
}

// officerPart is what an officer's ciphertext holds: age binds nothing, so this does.
func officerPart(info []byte, s seal.Share) []byte {
	enc := s.Encode()
	defer clear(enc)
	w := wire.NewWriter(512)
	w.String(domainOfficer)
	w.Blob(info)
	w.Blob(enc)
	return w.Bytes()
}

// toHSMs wraps a part to every active region's HSM.
func toHSMs(t *Terms, from identity.RegionID, regions []*fsm.Region, part []byte) (out []wrapped, err error) {
	for _, r := range regions {
		if r.Status != fsm.RegionActive {
			continue
		}
		b, err := seal.Wrap(r.Wrapping, r.OAEPHash, part, hsmLabel(t, from, r.ID))
		if err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "wrapping to the HSM of region %d", r.ID)
		}
		out = append(out, wrapped{r.ID, b})
	}
	if len(out) == 0 {
		return nil, errs.New(errs.BadState, "no region is active: no HSM could open the escrow")
	}
	return out, nil
}

func hsmLabel(t *Terms, from, to identity.RegionID) string {
	sum := sha256.Sum256(t.info(from))
	return labelHSM + " " + hex.EncodeToString(sum[:]) + " " + hex.EncodeToString([]byte{byte(to)})
}
