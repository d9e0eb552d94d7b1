// Package escrow is what of a threshold key may lie outside the vault, if the vault allows
// it at all (docs/design/threshold.md, section Escrow): every holder's share, encrypted so
// that M of N officers open it, and unless the escrow was asked for as one for disasters
// only together with the HSM of some region. Pure, but for randomness: what is stored, who
// may ask and when is the state machine's (fsm), when a share leaves the region's (vault).
//
//	share ── AES-256-GCM, key = HKDF(a, b) ──> in the box
//	a ── Shamir M of N ── age ──> each officer
//	b ── RSA-OAEP ──> each region's HSM; left out for disasters
//
// Restoring puts the whole key together in one place. That is the end of it as a threshold
// key: what it holds belongs moved.
package escrow

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const (
	domainInfo    = "tetrad/escrow/v1"
	domainKey     = "tetrad/escrow/key/v1"
	domainOfficer = "tetrad/escrow/officer/v1"
	domainRelease = "tetrad/escrow/release/v1"
	labelHSM      = "tetrad/escrow/hsm/v1"

	partSize   = 32
	formatBox  = 1
	maxSealed  = 256     // a sealed share: 39 bytes and the tag
	maxWrapped = 1024    // b, wrapped to an HSM
	maxOfficer = 3 << 10 // an officer's part under age
	maxBundle  = 8 << 10 // of a bundle, besides its boxes
)

// Terms name one escrow of one sharing; every part of every box is bound to them.
type Terms struct {
	Cluster  identity.ClusterID
	Key      command.KeyID
	Number   uint32
	Epoch    uint32
	M        uint8
	Officers []string // age recipients
	Disaster bool
}

// TermsOf returns the terms of a key's escrow for shares of the sharing of an epoch.
func TermsOf(cluster identity.ClusterID, key command.KeyID, e *fsm.Escrow, epoch uint32) Terms {
	return Terms{cluster, key, e.Number, epoch, e.M, e.Officers, e.Disaster}
}

// Check reports whether the terms are ones the state machine accepts.
func (t *Terms) Check() error {
	if n := len(t.Officers); t.M < 2 || n < int(t.M) || n > command.MaxEscrowOfficers || t.Number == 0 || t.Epoch == 0 {
		return errs.New(errs.Invalid, "escrow %d of sharing %d to %d of %d officers", t.Number, t.Epoch, t.M, n)
	}
	return nil
}

// info is what the share of a region is bound to.
func (t *Terms) info(region identity.RegionID) []byte {
	w := wire.NewWriter(256)
	t.write(w, domainInfo)
	w.U8(uint8(region))
	return w.Bytes()
}

func (t *Terms) write(w *wire.Writer, domain string) {
	w.String(domain)
	w.Fixed(t.Cluster[:])
	w.Fixed(t.Key[:])
	w.U32(t.Number)
	w.U32(t.Epoch)
	w.U8(t.M)
	w.Bool(t.Disaster)
	officers := wire.NewWriter(1024)
	for _, o := range t.Officers {
		officers.String(o)
	}
	sum := sha256.Sum256(officers.Bytes())
	w.Fixed(sum[:])
}

// cipherOf is the cipher of one box: its key comes from both parts and serves once, so that
// the nonce is zero.
func cipherOf(a, b, info []byte) (cipher.AEAD, error) {
	secret := append(append(make([]byte, 0, 2*partSize), a...), b...)
	defer clear(secret)
	key, err := hkdf.Key(sha256.New, secret, nil, domainKey+string(info), 32)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "key of an escrowed share")
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "AES")
	}
	return cipher.NewGCM(block)
}

// box is one region's escrowed share.
type box struct {
	officers [][]byte // in the order of the terms
	hsms     []wrapped
	sealed   []byte
}

type wrapped struct {
	region identity.RegionID
	part   []byte
}

func (b *box) encode() []byte {
	w := wire.NewWriter(8 << 10)
	w.U8(formatBox)
	w.U8(uint8(len(b.officers)))
	for _, o := range b.officers {
		w.Blob(o)
	}
	w.U8(uint8(len(b.hsms)))
	for i := range b.hsms {
		w.U8(uint8(b.hsms[i].region))
		w.Blob(b.hsms[i].part)
	}
	w.Blob(b.sealed)
	return w.Bytes()
}

func decodeBox(raw []byte) (*box, error) {
	r, b := wire.NewReader(raw), &box{}
	if v := r.U8(); v != formatBox {
		r.Fail("escrowed share of format %d", v)
	}
	for range r.Few(command.MaxEscrowOfficers) {
		b.officers = append(b.officers, r.Blob(maxOfficer))
	}
	for range r.Few(command.MaxRegions) {
		b.hsms = append(b.hsms, wrapped{identity.RegionID(r.U8()), r.Blob(maxWrapped)})
	}
	b.sealed = r.Blob(maxSealed)
	return b, r.Done()
}
