package vault

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// What the parties of a key ceremony must write alike, byte for byte: who opens a box or
// checks a dealing computes it again from the committed row.
const (
	sessionDomain = "tetrad/ceremony/session/v1"
	dealingDomain = "tetrad/ceremony/dealing/v1"
	seedDomain    = "tetrad/ceremony/seed/v1"
	dealtDomain   = "tetrad/ceremony/dealt/v1"
	purposePrefix = "tetrad threshold key"
)

const (
	seedSize  = 32
	frostDraw = 64 // bytes frost reads for each number it draws
)

func writeCeremony(w *wire.Writer, domain string, cluster identity.ClusterID, id command.CeremonyID) {
	w.String(domain)
	w.Fixed(cluster[:])
	w.Fixed(id.Key[:])
	w.U32(id.Epoch)
	w.U8(id.Try)
}

// ceremonySession names one try at one sharing of one key in one vault, 32 bytes.
func ceremonySession(cluster identity.ClusterID, id command.CeremonyID) []byte {
	w := wire.NewWriter(128)
	writeCeremony(w, sessionDomain, cluster, id)
	sum := sha256.Sum256(w.Bytes())
	return sum[:]
}

// ceremonyPurpose keeps what is dealt for one key, curve and number of signers from ever
// counting for another.
func ceremonyPurpose(key *fsm.Key) string {
	return fmt.Sprintf("%s %s %s %d", purposePrefix, key.ID, key.Curve, key.Signers)
}

// seedInfo binds a dealer's sealed seed to its try. Nobody but the dealer opens it.
func seedInfo(cluster identity.ClusterID, id command.CeremonyID, region identity.RegionID) []byte {
	w := wire.NewWriter(128)
	writeCeremony(w, seedDomain, cluster, id)
	w.U8(uint8(region))
	return w.Bytes()
}

// dealtInfo binds a sealed dealt value to its try, its dealer and its holder.
func dealtInfo(cluster identity.ClusterID, id command.CeremonyID, from, to identity.RegionID) []byte {
	w := wire.NewWriter(128)
	writeCeremony(w, dealtDomain, cluster, id)
	w.U8(uint8(from))
	w.U8(uint8(to))
	return w.Bytes()
}

// suiteOf returns the suite that shares of a key on a curve are dealt in.
func suiteOf(curve command.Curve) (*frost.Suite, error) {
	switch curve {
	case command.Ed25519:
		return frost.Ed25519, nil
	case command.Secp256k1:
		return frost.BIP340, nil
	case command.Ristretto255:
		return frost.Ristretto255, nil
	}
	return nil, errs.New(errs.Invalid, "curve %s has no threshold keys", curve)
}

// ceremonyTerms returns what the committed row says the parties agreed on.
func ceremonyTerms(cluster identity.ClusterID, key *fsm.Key) (frost.Terms, error) {
	suite, err := suiteOf(key.Curve)
	if err != nil {
		return frost.Terms{}, err
	}
	c := key.Ceremony
	t := frost.Terms{Suite: suite, Session: ceremonySession(cluster, c.ID), Purpose: ceremonyPurpose(key),
		Epoch: c.ID.Epoch, Threshold: int(c.Threshold), Holders: numbers(c.Holders), Dealers: numbers(c.Dealers)}
	if key.Sharing != nil {
		if t.Previous, err = frost.DecodePublicKey(key.Sharing.Public); err != nil {
			return frost.Terms{}, errs.Wrap(errs.Corrupt, err, "key %s: the public side of its sharing %d", key.ID, key.Sharing.Epoch)
		}
	}
	return t, t.Check()
}

func numbers(regions []identity.RegionID) []uint8 {
	out := make([]uint8, len(regions))
	for i, r := range regions {
		out[i] = uint8(r)
	}
	return out
}

// seedWrap is the epoch of the wrapping key that region's seed is sealed to: the
// ceremony's, or for one that deals and will hold nothing, that of the share it deals. A
// share of the genesis lies under none.
func seedWrap(key *fsm.Key, region identity.RegionID) uint32 {
	c := key.Ceremony
	if !slices.Contains(c.Holders, region) && key.Sharing != nil && !key.Sharing.Founded() {
		return key.Sharing.Wrap
	}
	return c.Wrap
}

// dealingRandom is all the randomness of a dealing, from its seed: exactly what frost.Begin
// reads, so that the same seed and terms make the same dealing again, and whoever asks for
// more fails. frost hashes the terms into every number it draws: one seed under other terms
// shares no number with this dealing.
func dealingRandom(seed, session []byte, draws int) (io.Reader, error) {
	stream, err := hkdf.Key(sha256.New, seed, session, dealingDomain, frostDraw*draws)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "expanding the seed of a dealing")
	}
	return &drained{*bytes.NewReader(stream), stream}, nil
}

// drained wipes what it gave out once it is empty.
type drained struct {
	bytes.Reader
	stream []byte
}

func (d *drained) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	if d.Len() == 0 {
		clear(d.stream)
	}
	return n, err
}
