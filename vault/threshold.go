package vault

import (
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// part is one message of a threshold request: the key under which the drawn regions sign
// it together, and the nonces the log gave each of them for it.
type part struct {
	message     []byte
	key         *frost.PublicKey    // derived, of the attempt's sharing
	commitments []*frost.Commitment // of the drawn regions, in drawn order
}

// unreadable says that a region offered a commitment that is none. Whoever offered it is
// to blame, and nobody else.
type unreadable struct {
	region identity.RegionID
	err    error
}

func (u *unreadable) Error() string { return u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

func (g ground) threshold() bool { return g.key.Scheme == command.SchemeThreshold }

// sharing returns the sharing an attempt was opened under, as long as its shares may sign:
// the live one, or the one before until the committed clock has passed its end. Nil after.
func sharing(view fsm.View, key *fsm.Key, epoch uint32) *fsm.Sharing {
	s := key.SharingOf(epoch)
	if s != nil && s == key.Retiring && !view.Clock().Before(key.RetireAt) {
		return nil
	}
	return s
}

// holds reports whether a region has its half of the key: an attested private key, or a
// share in the attempt's sharing.
func (g ground) holds(region identity.RegionID) bool {
	if !g.threshold() {
		a := g.key.Attested(region)
		return a != nil && !a.Lost
	}
	return g.sharing != nil && g.sharing.Share(region) != nil
}

// nonces returns the commitments an attempt gave a region, one for each of n messages.
func (g ground) nonces(region identity.RegionID, n int) ([][]byte, error) {
	for i := range g.attempt.Nonces {
		if s := &g.attempt.Nonces[i]; s.Region == region && len(s.Commitments) == n {
			return s.Commitments, nil
		}
	}
	return nil, errs.New(errs.Internal, "attempt %d of request %s names no %d nonces of region %d", g.attempt.Number, g.req.ID, n, region)
}

// keyring holds decoded public keys of threshold keys and what was derived from them:
// decoding and deriving cost as much as signing.
type keyring struct {
	mu       sync.Mutex
	roots    map[rootID]*frost.PublicKey
	children map[childID]*frost.PublicKey
}

type rootID struct {
	key   command.KeyID
	epoch uint32
}

type childID struct {
	rootID
	path, script string // script: of a Taproot output, "t" and its Merkle root
}

func newKeyring() *keyring {
	return &keyring{roots: map[rootID]*frost.PublicKey{}, children: map[childID]*frost.PublicKey{}}
}

// root returns the public side of a sharing, and checks that it is of that key.
func (k *keyring) root(key *fsm.Key, s *fsm.Sharing) (*frost.PublicKey, error) {
	id := rootID{key.ID, s.Epoch}
	k.mu.Lock()
	pub := k.roots[id]
	k.mu.Unlock()
	if pub != nil {
		return pub, nil
	}
	pub, err := frost.DecodePublicKey(s.Public)
	if err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "key %s: its sharing of epoch %d", key.ID, s.Epoch)
	}
	if pub.Suite() != suiteFor(key.Curve) || pub.Epoch() != s.Epoch || !slices.Equal(pub.Compressed(), key.Point) {
		return nil, errs.New(errs.Corrupt, "key %s: its sharing of epoch %d is of another key or epoch", key.ID, s.Epoch)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.roots) >= maxRoots {
		clear(k.roots)
	}
	k.roots[id] = pub
	return pub, nil
}

// child returns the key one message is signed under.
func (k *keyring) child(key *fsm.Key, s *fsm.Sharing, spend *intent.Spend) (*frost.PublicKey, error) {
	root, err := k.root(key, s)
	if err != nil || len(spend.Path) == 0 && !spend.Taproot {
		return root, err
	}
	id := childID{rootID: rootID{key.ID, s.Epoch}, path: string(command.EncodePath(spend.Path))}
	if spend.Taproot {
		id.script = "t" + string(spend.Root)
	}
	k.mu.Lock()
	pub := k.children[id]
	k.mu.Unlock()
	if pub != nil {
		return pub, nil
	}
	if pub, _, err = root.Derive(key.Chain, spend.Path...); err != nil {
		return nil, err
	}
	if spend.Taproot {
		if pub, err = pub.Taproot(spend.Root); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.children) >= maxChildren {
		clear(k.children)
	}
	k.children[id] = pub
	return pub, nil
}

func suiteFor(c command.Curve) *frost.Suite {
	switch c {
	case command.Ed25519:
		return frost.Ed25519
	case command.Secp256k1:
		return frost.BIP340
	}
	return nil
}

// parts puts together what the drawn regions sign, from the committed state alone. An
// *unreadable error names the region whose commitment is none.
func (k *keyring) parts(g ground, spends []intent.Spend, signers []identity.RegionID, own *nonces) ([]part, error) {
	out := make([]part, len(spends))
	for i := range spends {
		key, err := k.child(g.key, g.sharing, &spends[i])
		if err != nil {
			return nil, err
		}
		out[i] = part{message: spends[i].Message, key: key, commitments: make([]*frost.Commitment, len(signers))}
	}
	for j, region := range signers {
		named, err := g.nonces(region, len(spends))
		if err != nil {
			return nil, err
		}
		for i, b := range named {
			c, err := own.read(g.key.Curve, b)
			if err == nil && (c.Region() != uint8(region) || c.Suite() != suiteFor(g.key.Curve)) {
				err = errs.New(errs.Malformed, "of region %d, for %v", c.Region(), c.Suite())
			}
			if err != nil {
				return nil, &unreadable{region, errs.Wrap(errs.Unverified, err, "request %s: the nonce commitment of region %d", g.req.ID, region)}
			}
			out[i].commitments[j] = c
		}
	}
	return out, nil
}
