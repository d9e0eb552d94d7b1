package frost

import (
	"crypto/sha256"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Terms are what the parties of a ceremony agree on before it starts. Every message of the
// ceremony is bound to their hash, so one of another session, purpose, epoch or party
// list is refused as such.
//
// A new key has no Previous, and everybody deals: Dealers equal Holders. A refresh deals a
// new sharing of Previous to the same holders; a reshare to others, or with another
// threshold. There the dealers are holders of Previous, at least as many as its threshold.
type Terms struct {
	Suite     *Suite
	Session   []byte // 16 to 1024 bytes, never used before: it names this ceremony
	Purpose   string // what the key is for, 1 to 256 bytes; the same at every refresh
	Epoch     uint32 // of the sharing made: 1 for a new key, else one more than Previous has
	Threshold int
	Holders   []uint8    // who gets a share, ascending
	Dealers   []uint8    // who deals, ascending
	Previous  *PublicKey // nil for a new key
}

// NewKey returns the terms of the ceremony that makes a key for holders.
func NewKey(suite *Suite, session []byte, purpose string, threshold int, holders []uint8) Terms {
	return Terms{Suite: suite, Session: session, Purpose: purpose, Epoch: 1, Threshold: threshold, Holders: holders, Dealers: holders}
}

// Refresh returns the terms of a new sharing of key among its holders, dealt by dealers.
func Refresh(key *PublicKey, session []byte, purpose string, dealers []uint8) Terms {
	return Reshare(key, session, purpose, key.threshold, key.Holders(), dealers)
}

// Reshare returns the terms of a new sharing of key among holders.
func Reshare(key *PublicKey, session []byte, purpose string, threshold int, holders, dealers []uint8) Terms {
	return Terms{Suite: key.suite, Session: session, Purpose: purpose, Epoch: key.epoch + 1, Threshold: threshold,
		Holders: holders, Dealers: dealers, Previous: key}
}

// Check reports what makes no sense in t.
func (t *Terms) Check() error {
	if t.Suite == nil || len(t.Session) < minSession || len(t.Session) > maxSession || t.Purpose == "" || len(t.Purpose) > maxPurpose {
		return errs.New(errs.Invalid, "key ceremony: needs a suite, a session of %d to %d bytes and a purpose of 1 to %d, not %d and %d",
			minSession, maxSession, maxPurpose, len(t.Session), len(t.Purpose))
	}
	if err := checkHolders(t.Threshold, t.Holders); err != nil {
		return err
	}
	if t.Previous == nil {
		if t.Epoch != 1 || !slices.Equal(t.Dealers, t.Holders) {
			return errs.New(errs.Invalid, "key ceremony: a new key has epoch 1, not %d, and all its holders deal", t.Epoch)
		}
		return nil
	}
	return t.checkPrevious()
}

func (t *Terms) checkPrevious() error {
	old := t.Previous
	if old.suite != t.Suite || t.Epoch <= old.epoch {
		return errs.New(errs.Invalid, "key ceremony: %v of epoch %d cannot follow %v of epoch %d", t.Suite, t.Epoch, old.suite, old.epoch)
	}
	if err := checkRegions(t.Dealers); err != nil {
		return err
	}
	for _, d := range t.Dealers {
		if old.indexOf(d) < 0 {
			return errs.New(errs.Invalid, "key ceremony: region %d holds no share of epoch %d and cannot deal", d, old.epoch)
		}
	}
	if len(t.Dealers) < old.threshold {
		return errs.New(errs.Invalid, "key ceremony: %d dealers, the sharing of epoch %d needs %d", len(t.Dealers), old.epoch, old.threshold)
	}
	return nil
}

const termsDomain = "tetrad/frost/terms/v1"

// Hash binds every message of the ceremony to its terms.
func (t *Terms) Hash() [32]byte {
	w := wire.NewWriter(512)
	w.String(termsDomain)
	w.U8(t.Suite.id)
	w.Blob(t.Session)
	w.String(t.Purpose)
	w.U32(t.Epoch)
	w.U8(uint8(t.Threshold))
	w.Blob(t.Holders)
	w.Blob(t.Dealers)
	if t.Previous != nil {
		w.Blob(t.Previous.Encode())
	} else {
		w.Blob(nil)
	}
	return sha256.Sum256(w.Bytes())
}

// weights says how each dealer's polynomial counts in the sum: one each for a new key,
// Lagrange coefficients of the old sharing otherwise.
func (t *Terms) weights() []scalar {
	if t.Previous != nil {
		return t.Suite.lagrange(t.Dealers)
	}
	w := make([]scalar, len(t.Dealers))
	for i := range w {
		w[i] = t.Suite.group.number(1)
	}
	return w
}
