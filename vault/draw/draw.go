package draw

import (
	"crypto/sha256"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/erase"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const (
	inputDomain = "tetrad/draw/input/v1"
	valueDomain = "tetrad/draw/value/v1"
	groupDomain = "tetrad/draw/v1-ristretto255_XMD:SHA-512_R255MAP_RO_"
)

// Input returns what is evaluated for one log entry: its place and its whole history.
func Input(lineage [32]byte, term, index uint64, chain [32]byte) []byte {
	w := wire.NewWriter(128)
	w.String(inputDomain)
	w.Fixed(lineage[:])
	w.U64(term)
	w.U64(index)
	w.Fixed(chain[:])
	return w.Bytes()
}

// Place is what Input returned, hashed to the group: once an entry is enough for its own
// partial and for all that are checked.
type Place struct {
	input []byte
	hash  *point
	enc   [32]byte
}

// At hashes an input.
func At(input []byte) *Place {
	h := hashToPoint(input, groupDomain)
	return &Place{input, h, encodePoint(h)}
}

func value(input []byte, combined [32]byte) [32]byte {
	w := wire.NewWriter(192)
	w.String(valueDomain)
	w.Blob(input)
	w.Fixed(combined[:])
	return sha256.Sum256(w.Bytes())
}

// Partial is one region's partial evaluation with its proof. It verifies and combines under
// the sharing of its epoch only; the value is the same under every one.
type Partial struct {
	Region uint8
	Epoch  uint32 // of the share it was made with: 0 for the one of the genesis
	Eval   [32]byte
	Proof  []byte // 64 bytes: challenge and response

	read *element // Eval as DecodePartial found it
}

type element struct {
	enc [32]byte
	p   *point
}

// point decodes Eval, or finds it decoded.
func (p Partial) point() (*point, bool) {
	if p.read != nil && p.read.enc == p.Eval {
		return p.read.p, true
	}
	return decodePoint(p.Eval[:])
}

// Partials made with a share of the genesis are of version 1 and name no epoch.
const (
	partialVersion = 1
	epochVersion   = 2
)

// Encode returns the canonical form: 98 bytes, and with an epoch 102.
func (p Partial) Encode() []byte {
	w := wire.NewWriter(38 + proofSize)
	if p.Epoch == 0 {
		w.U8(partialVersion)
		w.U8(p.Region)
	} else {
		w.U8(epochVersion)
		w.U8(p.Region)
		w.U32(p.Epoch)
	}
	w.Fixed(p.Eval[:])
	w.Fixed(p.Proof)
	return w.Bytes()
}

// DecodePartial parses the canonical form: right size, and points and scalars as only
// they may be written. It does not verify the proof.
func DecodePartial(b []byte) (Partial, error) {
	r := wire.NewReader(b)
	v := r.U8()
	if v != partialVersion && v != epochVersion {
		r.Fail("draw partial version %d, this version reads %d and %d", v, partialVersion, epochVersion)
	}
	p := Partial{Region: r.U8(), Proof: make([]byte, proofSize)}
	if v == epochVersion {
		if p.Epoch = r.U32(); p.Epoch == 0 {
			r.Fail("draw partial of version %d and epoch 0", v)
		}
	}
	r.Fixed(p.Eval[:])
	r.Fixed(p.Proof)
	if err := r.Done(); err != nil {
		return Partial{}, err
	}
	eval, okEval := decodePoint(p.Eval[:])
	_, okC := decodeScalar(p.Proof[:32])
	_, okS := decodeScalar(p.Proof[32:])
	if p.Region == 0 || p.Region > maxRegions || !okEval || !okC || !okS {
		return Partial{}, errs.New(errs.Malformed, "draw partial of region %d: not a canonical element and proof", p.Region)
	}
	p.read = &element{p.Eval, eval}
	return p, nil
}

// Share is one region's secret share. It prints as its region only, whatever the verb.
type Share struct {
	Region uint8
	Epoch  uint32 // 0: dealt at the genesis
	secret scalar
	public [32]byte
}

// NewShare is a region's share that a later ceremony dealt (vault/frost): epoch is 1 or
// more, secret 32 bytes, the caller's to clear.
func NewShare(epoch uint32, region uint8, secret []byte) (Share, error) {
	if epoch == 0 {
		return Share{}, errs.New(errs.Malformed, "draw share of region %d and epoch 0, which the genesis deals", region)
	}
	s, err := readShare(region, secret)
	s.Epoch = epoch
	return s, err
}

// readShare takes a share of the genesis, or what another needs its epoch for.
func readShare(region uint8, secret []byte) (s Share, err error) {
	x, ok := decodeScalar(secret)
	if ok {
		defer wipe(x)
	}
	if !ok || x.Equal(new(scalar)) == 1 || region == 0 || region > maxRegions {
		return Share{}, errs.New(errs.Malformed, "draw share of region %d: not a canonical scalar", region)
	}
	erase.After(func() { s = newShare(region, x) })
	return s, nil
}

// Secret returns the 32 bytes to keep of a share, the caller's to clear.
func (s *Share) Secret() []byte { return s.secret.Bytes() }

// KnownShare makes a share again of what Secret returned and k expects of its region,
// without the multiplication that would show that they belong together.
func KnownShare(k PublicKey, region uint8, secret []byte) (*Share, error) {
	x, ok := decodeScalar(secret)
	if !ok || !k.Holds(region) {
		return nil, errs.New(errs.Malformed, "draw share of region %d, epoch %d: not a canonical scalar", region, k.Epoch)
	}
	defer wipe(x)
	s := &Share{Region: region, Epoch: k.Epoch, public: k.Shares[region-1]}
	s.secret.Set(x)
	return s, nil
}

// Wipe overwrites the secret; the share evaluates nothing any more.
func (s *Share) Wipe() { wipe(&s.secret) }

//go:noinline
func wipe(x *scalar) { *x = scalar{} }

func newShare(region uint8, secret *scalar) Share {
	s := Share{Region: region, public: encodePoint(new(point).ScalarBaseMult(secret))}
	s.secret.Set(secret)
	return s
}

// Evaluate returns the region's partial for a place. The same place gives the same bytes.
func (s *Share) Evaluate(at *Place) (Partial, error) {
	if s.Region == 0 || s.secret.Equal(new(scalar)) == 1 {
		return Partial{}, errs.New(errs.Invalid, "draw share is empty").
			WithHint("the share is dealt in the genesis ceremony and stored sealed to the region")
	}
	p := Partial{Region: s.Region, Epoch: s.Epoch, Proof: make([]byte, proofSize)}
	erase.After(func() {
		p.Eval = encodePoint(new(point).ScalarMult(&s.secret, at.hash))
		copy(p.Proof, prove(&s.secret, s.public, at.hash, at.enc, p.Eval))
	})
	return p, nil
}

// Public returns the key that verifies the share's partials.
func (s *Share) Public() [32]byte { return s.public }

// Matches reports whether s is the share k expects of its region.
func (s *Share) Matches(k PublicKey) error {
	if s.Epoch != k.Epoch {
		return errs.New(errs.Stale, "draw share of region %d is of epoch %d, the beacon's sharing of epoch %d", s.Region, s.Epoch, k.Epoch)
	}
	if !k.Holds(s.Region) || k.Shares[s.Region-1] != s.public {
		return errs.New(errs.Corrupt, "draw share of region %d is not the one the beacon's public key names", s.Region).
			WithHint("restore the region's own state; a share cannot be taken from another cluster or region")
	}
	return nil
}

// Format keeps the secret out of logs and errors, whatever the verb.
func (s Share) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "draw share of region %d", s.Region) }

const shareVersion = 1

// Encode returns the stored form of a share of the genesis, which is secret: seal it. Later
// ones are stored as vault/frost has them.
func (s *Share) Encode() []byte {
	w := wire.NewWriter(34)
	w.U8(shareVersion)
	w.U8(s.Region)
	secret := s.secret.Bytes()
	w.Fixed(secret)
	clear(secret)
	return w.Bytes()
}

// DecodeShare parses the stored form.
func DecodeShare(b []byte) (Share, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != shareVersion {
		r.Fail("draw share version %d, this version reads %d", v, shareVersion)
	}
	region, secret := r.U8(), make([]byte, 32)
	defer clear(secret)
	r.Fixed(secret)
	if err := r.Done(); err != nil {
		return Share{}, err
	}
	return readShare(region, secret)
}
