package escrow

import (
	"bytes"
	"encoding/pem"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

const (
	formatBundle  = 1
	blockBundle   = "TETRAD ESCROW BUNDLE"
	blockRelease  = "TETRAD ESCROW RELEASE"
	maxBundleFile = 2 * (maxBundle + command.MaxRegions*command.MaxEscrowBox + command.MaxEscrowOfficers*command.MaxRecipient)
)

// Bundle is everything a key is restored from but the officers' age keys, and a region's
// release where one must take part. It is ciphertext and public.
type Bundle struct {
	Terms
	Name   string
	Public []byte   // frost.PublicKey of the sharing
	Chain  [32]byte // chain code
	Boxes  []fsm.Sealed
}

// Encode returns the canonical form.
func (b *Bundle) Encode() []byte {
	w := wire.NewWriter(64 << 10)
	w.U8(formatBundle)
	w.Fixed(b.Cluster[:])
	w.Fixed(b.Key[:])
	w.String(b.Name)
	w.U32(b.Number)
	w.U32(b.Epoch)
	w.U8(b.M)
	w.U8(uint8(len(b.Officers)))
	for _, o := range b.Officers {
		w.String(o)
	}
	w.Bool(b.Disaster)
	w.Blob(b.Public)
	w.Fixed(b.Chain[:])
	w.U8(uint8(len(b.Boxes)))
	for i := range b.Boxes {
		w.U8(uint8(b.Boxes[i].Region))
		w.Blob(b.Boxes[i].Box)
	}
	return w.Bytes()
}

// DecodeBundle parses the canonical form.
func DecodeBundle(raw []byte) (*Bundle, error) {
	r, b := wire.NewReader(raw), &Bundle{}
	if v := r.U8(); v != formatBundle {
		r.Fail("escrow bundle of format %d", v)
	}
	r.Fixed(b.Cluster[:])
	r.Fixed(b.Key[:])
	b.Name = r.String(command.MaxName)
	b.Number, b.Epoch, b.M = r.U32(), r.U32(), r.U8()
	for range r.Few(command.MaxEscrowOfficers) {
		b.Officers = append(b.Officers, r.String(command.MaxRecipient))
	}
	b.Disaster = r.Bool()
	b.Public = bytes.Clone(r.Blob(command.MaxThresholdPK))
	r.Fixed(b.Chain[:])
	last := identity.RegionID(0)
	for range r.Few(command.MaxRegions) {
		s := fsm.Sealed{Region: identity.RegionID(r.U8()), Box: bytes.Clone(r.Blob(command.MaxEscrowBox))}
		if s.Region <= last {
			r.Fail("regions do not ascend")
		}
		last = s.Region
		b.Boxes = append(b.Boxes, s)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return b, b.Check()
}

// PublicKey returns the key the bundle claims to be of.
func (b *Bundle) PublicKey() (*frost.PublicKey, error) {
	k, err := frost.DecodePublicKey(b.Public)
	if err == nil && k.Epoch() != b.Epoch {
		err = errs.New(errs.Corrupt, "the bundle is of sharing %d, its public key of %d", b.Epoch, k.Epoch())
	}
	return k, err
}

// File returns the bundle as text.
func (b *Bundle) File() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockBundle, Bytes: b.Encode()})
}

// ParseBundle reads File's form.
func ParseBundle(file []byte) (*Bundle, error) {
	raw, err := only(file, blockBundle, "an escrow bundle")
	if err != nil {
		return nil, err
	}
	return DecodeBundle(raw)
}

// only reads the one PEM block of a file.
func only(file []byte, kind, what string) ([]byte, error) {
	if len(file) > maxBundleFile {
		return nil, errs.New(errs.TooLarge, "%s of %d bytes, limit %d", what, len(file), maxBundleFile)
	}
	block, rest := pem.Decode(file)
	if block == nil || block.Type != kind || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errs.New(errs.Malformed, "this is not %s: want one %q block", what, kind)
	}
	return block.Bytes, nil
}
