package escrow

import (
	"context"
	"encoding/pem"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// HSM is what a region opens its part with; *seal.HSM has it.
type HSM interface {
	Unwrap(ctx context.Context, wrapped []byte, label string) ([]byte, error)
}

// Release is a region's part in restoring a key: for every box, what only an HSM opens.
// Without the officers it is worth nothing.
type Release struct{ parts map[identity.RegionID][]byte }

// Wipe clears the parts.
func (r *Release) Wipe() {
	if r != nil {
		for _, p := range r.parts {
			clear(p)
		}
	}
}

// NewRelease opens a bundle's boxes as far as a region's HSM can, and encrypts what comes
// out to an age recipient: that of who restores the key.
func NewRelease(ctx context.Context, hsm HSM, region identity.RegionID, b *Bundle, recipient string) ([]byte, error) {
	if b.Disaster {
		return nil, errs.New(errs.BadState, "escrow %d of key %s needs no region: it was made for disasters", b.Number, b.Key)
	}
	w := wire.NewWriter(512)
	b.write(w, domainRelease)
	w.U8(uint8(len(b.Boxes)))
	opened := 0
	var last error
	for i := range b.Boxes {
		part, err := b.release(ctx, hsm, region, i) // one that does not open must not stand in the way of the others
		if err != nil {
			last = err
		} else {
			opened++
		}
		w.U8(uint8(b.Boxes[i].Region))
		w.Blob(part)
		clear(part)
	}
	plain := w.Bytes()
	defer clear(plain)
	if opened == 0 {
		return nil, errs.Wrap(errs.CodeOf(last), last, "region %d opens nothing of the bundle", region).
			WithHint("is it the HSM of that region, and one that was active when the escrow was made?")
	}
	out, err := ceremony.EncryptTo(recipient, plain)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encrypting the release")
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockRelease, Bytes: out}), nil
}

// release opens this region's part of box i.
func (b *Bundle) release(ctx context.Context, hsm HSM, region identity.RegionID, i int) ([]byte, error) {
	from := b.Boxes[i].Region
	x, err := decodeBox(b.Boxes[i].Box)
	if err != nil {
		return nil, err
	}
	for _, h := range x.hsms {
		if h.region == region {
			part, err := hsm.Unwrap(ctx, h.part, hsmLabel(&b.Terms, from, region))
			if err == nil && len(part) != partSize {
				err = errs.New(errs.Corrupt, "a part of %d bytes, want %d", len(part), partSize)
			}
			return part, err
		}
	}
	return nil, errs.New(errs.NotFound, "the share of region %d is not for the HSM of region %d", from, region)
}

// OpenRelease reads a release that is for this bundle.
func OpenRelease(file []byte, b *Bundle, ids ...age.Identity) (*Release, error) {
	raw, err := only(file, blockRelease, "an escrow release")
	if err != nil {
		return nil, err
	}
	plain, err := ceremony.DecryptWith(raw, ids...)
	if err != nil {
		return nil, errs.Wrap(errs.Denied, err, "the release does not open with these age identities")
	}
	defer clear(plain)
	return b.readRelease(plain)
}

// readRelease parses what NewRelease encrypted. The caller clears plain.
func (b *Bundle) readRelease(plain []byte) (*Release, error) {
	want := wire.NewWriter(256)
	b.write(want, domainRelease)
	r, out := wire.NewReader(plain), &Release{map[identity.RegionID][]byte{}}
	head := make([]byte, len(want.Bytes()))
	if r.Fixed(head); r.Err() != nil || string(head) != string(want.Bytes()) {
		return nil, errs.New(errs.Unverified, "the release is for another escrow than the bundle's")
	}
	for range r.Few(command.MaxRegions) {
		region, part := identity.RegionID(r.U8()), r.Blob(partSize)
		if len(part) == partSize {
			out.parts[region] = append([]byte(nil), part...)
		}
	}
	return out, r.Done()
}
