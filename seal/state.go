package seal

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// State is a region's unseal file: what it needs, beside its HSM, to open itself. Its
// plain part says where the keys are; Wrapped opens only in the HSM.
type State struct {
	Cluster       identity.ClusterID
	Region        identity.RegionID
	IdentityLabel string // of the identity key in the HSM
	WrappingLabel string // of the key that opens Wrapped
	Hash          uint8  // OAEP hash
	Wrapped       []byte // Contents and the region's own key, wrapped to the HSM
}

// Secrets are a region's named secrets, such as its share of the beacon key.
type Secrets map[string][]byte

// Format keeps the secrets out of logs and errors, whatever the verb.
func (s Secrets) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[%d secrets]", len(s)) }

// Contents is what an unseal file protects.
type Contents struct {
	Roots   map[uint32]Root // by version; 1 is the one of the genesis
	Local   Root            // the region's own key; drawn by InitState when zero
	Secrets Secrets
}

const (
	stateVersion    = 1
	contentsVersion = 1
)

// InitState makes the unseal file of a region from s without Wrapped, the public
// wrapping key of its HSM and what is to be protected. It needs no HSM, so the file
// can be made again when a root key is added.
func InitState(s State, wrapping []byte, c Contents) (*State, error) {
	if s.Region == 0 || s.IdentityLabel == "" || s.WrappingLabel == "" {
		return nil, errs.New(errs.Invalid, "unseal file without region or key labels")
	}
	if c.Local == (Root{}) {
		if _, err := rand.Read(c.Local[:]); err != nil {
			return nil, errs.Wrap(errs.Internal, err, "randomness")
		}
	}
	plain, err := s.encodeContents(c)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if s.Wrapped, err = Wrap(wrapping, s.Hash, plain, s.label()); err != nil {
		return nil, err
	}
	return &s, nil
}

// label binds Wrapped to everything in the plain part.
func (s *State) label() string {
	w := wire.NewWriter(256)
	w.String("tetrad/state/v1")
	s.writePlain(w)
	return string(w.Bytes())
}

func (s *State) writePlain(w *wire.Writer) {
	w.U8(stateVersion)
	w.Fixed(s.Cluster[:])
	w.U8(uint8(s.Region))
	w.String(s.IdentityLabel)
	w.String(s.WrappingLabel)
	w.U8(s.Hash)
}

// Encode returns the canonical form.
func (s *State) Encode() []byte {
	w := wire.NewWriter(256 + len(s.Wrapped))
	s.writePlain(w)
	w.Blob(s.Wrapped)
	return w.Bytes()
}

// DecodeState parses the canonical form.
func DecodeState(b []byte) (*State, error) {
	s := &State{}
	r := wire.NewReader(b)
	if v := r.U8(); v != stateVersion {
		r.Fail("unseal file version %d", v)
	}
	r.Fixed(s.Cluster[:])
	s.Region = identity.RegionID(r.U8())
	s.IdentityLabel = r.String(maxLabel)
	s.WrappingLabel = r.String(maxLabel)
	s.Hash = r.U8()
	s.Wrapped = bytes.Clone(r.Blob(maxState))
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "unseal file")
	}
	return s, nil
}

// encodeContents ends in a MAC under root key version 1. The genesis commits to that
// key, so a file made by somebody who lacks it is refused, whatever it says.
func (s *State) encodeContents(c Contents) ([]byte, error) {
	first, ok := c.Roots[1]
	if !ok || len(c.Roots) > maxRootKeys || len(c.Secrets) > maxSecrets {
		return nil, errs.New(errs.Invalid, "unseal file with %d root keys and %d secrets", len(c.Roots), len(c.Secrets))
	}
	w := wire.NewWriter(4096)
	w.U8(contentsVersion)
	w.U32(uint32(len(c.Roots)))
	for _, v := range slices.Sorted(maps.Keys(c.Roots)) {
		root := c.Roots[v]
		w.U32(v)
		w.Fixed(root[:])
	}
	w.Fixed(c.Local[:])
	w.U32(uint32(len(c.Secrets)))
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		if len(name) > maxLabel || len(c.Secrets[name]) > maxSecretBytes {
			return nil, errs.New(errs.TooLarge, "secret %q has %d bytes, limit %d", name, len(c.Secrets[name]), maxSecretBytes)
		}
		w.String(name)
		w.Blob(c.Secrets[name])
	}
	mac := s.mac(first, w.Bytes())
	w.Fixed(mac)
	return w.Bytes(), nil
}

func (s *State) mac(root Root, contents []byte) []byte {
	m := hmac.New(sha256.New, derive(root[:], s.Cluster, "tetrad/state-mac/v1"))
	m.Write([]byte(s.label()))
	m.Write(contents)
	return m.Sum(nil)
}

// decodeContents parses what encodeContents made; mac is what it ends in and signed
// what that covers.
func decodeContents(b []byte) (c Contents, signed, mac []byte, err error) {
	c = Contents{Roots: map[uint32]Root{}, Secrets: Secrets{}}
	r := wire.NewReader(b)
	if v := r.U8(); v != contentsVersion {
		r.Fail("contents version %d", v)
	}
	last := uint32(0)
	for range r.Count(maxRootKeys) {
		var root Root
		v := r.U32()
		r.Fixed(root[:])
		if v <= last {
			r.Fail("root key versions out of order")
		}
		c.Roots[v], last = root, v
	}
	r.Fixed(c.Local[:])
	prev := ""
	for i := range r.Count(maxSecrets) {
		name := r.String(maxLabel)
		if i > 0 && name <= prev {
			r.Fail("secrets out of order")
		}
		c.Secrets[name], prev = bytes.Clone(r.Blob(maxSecretBytes)), name
	}
	mac = make([]byte, sha256.Size)
	r.Fixed(mac)
	if err := r.Done(); err != nil {
		return Contents{}, nil, nil, errs.Wrap(errs.Corrupt, err, "contents of the unseal file")
	}
	return c, b[:len(b)-len(mac)], mac, nil
}

// Unseal opens a region: it finds the region's keys in the HSM, unwraps the state in
// one call and checks it against the genesis.
func Unseal(ctx context.Context, h *HSM, s *State, cluster identity.ClusterID, rootCheck [32]byte) (*Keyring, Secrets, error) {
	c, err := OpenState(ctx, h, s, cluster, rootCheck)
	if err != nil {
		return nil, nil, err
	}
	ring, err := NewKeyring(cluster, c.Roots, c.Local)
	if err != nil {
		return nil, nil, err
	}
	return ring, c.Secrets, nil
}

// OpenState is Unseal for those who make the file again: it returns all contents.
func OpenState(ctx context.Context, h *HSM, s *State, cluster identity.ClusterID, rootCheck [32]byte) (Contents, error) {
	if s.Cluster != cluster {
		return Contents{}, errs.New(errs.Corrupt, "unseal file of region %d belongs to another cluster", s.Region)
	}
	if err := h.Use(ctx, s.IdentityLabel, s.WrappingLabel, s.Hash); err != nil {
		return Contents{}, errs.Wrap(errs.CodeOf(err), err, "keys named in the unseal file of region %d", s.Region).
			WithHint("%s", errs.HintOf(err))
	}
	plain, err := h.Unwrap(ctx, s.Wrapped, s.label())
	if err != nil {
		return Contents{}, errs.Wrap(errs.CodeOf(err), err, "unseal file of region %d", s.Region).WithHint("%s", errs.HintOf(err))
	}
	defer clear(plain)
	c, signed, mac, err := decodeContents(plain)
	if err != nil {
		return Contents{}, err
	}
	first := c.Roots[1]
	if check := RootCheck(cluster, first); !hmac.Equal(check[:], rootCheck[:]) {
		return Contents{}, errs.New(errs.Corrupt, "root key in the unseal file is not the one of the genesis").
			WithHint("restore the unseal file that was made with this genesis")
	}
	if !hmac.Equal(s.mac(first, signed), mac) {
		return Contents{}, errs.New(errs.Corrupt, "unseal file of region %d does not authenticate", s.Region)
	}
	return c, nil
}
