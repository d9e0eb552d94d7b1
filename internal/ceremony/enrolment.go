package ceremony

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
)

// Enrolment is round 1: who a region is, what its HSM can do, and the commitment to
// what it will contribute. Signed by the identity key it names, which so proves its
// possession; the wrapping key proves itself in round 3, where nothing opens without.
type Enrolment struct {
	origin
	Plan                          [32]byte
	Cluster                       identity.ClusterID
	Region                        identity.RegionID
	Name, ServerID                string
	RaftAddr, APIAddr, GossipAddr string
	Identity                      identity.PublicKey
	Wrapping                      []byte // PKIX
	OAEPHash                      uint8
	Curves                        []command.Curve
	HSM                           string
	Attributes                    []byte   // identity key's, then wrapping key's (seal.Attributes)
	Commitment                    [32]byte // to the contribution; zero when a founded region enrols again
	Sig                           []byte
}

func (e *Enrolment) body(w *wire.Writer) {
	w.U8(1)
	w.Fixed(e.Plan[:])
	w.Fixed(e.Cluster[:])
	w.U8(uint8(e.Region))
	for _, s := range []string{e.Name, e.ServerID, e.RaftAddr, e.APIAddr, e.GossipAddr} {
		w.String(s)
	}
	e.Identity.Write(w)
	w.Blob(e.Wrapping)
	w.U8(e.OAEPHash)
	w.U8(uint8(len(e.Curves)))
	for _, c := range e.Curves {
		w.U8(uint8(c))
	}
	w.String(e.HSM)
	w.Blob(e.Attributes)
	w.Fixed(e.Commitment[:])
}

func (e *Enrolment) signedBytes() []byte {
	w := wire.NewWriter(2048)
	w.String("tetrad/enrolment/v1")
	e.body(w)
	return w.Bytes()
}

// Encode returns the canonical form.
func (e *Enrolment) Encode() []byte {
	w := wire.NewWriter(2048)
	e.body(w)
	w.Blob(e.Sig)
	return w.Bytes()
}

// File returns the enrolment as text.
func (e *Enrolment) File() []byte { return armor(blockEnrolment, e.Encode()) }

func decodeEnrolment(b []byte) (*Enrolment, error) {
	r, e := wire.NewReader(b), &Enrolment{}
	if v := r.U8(); v != 1 {
		r.Fail("enrolment version %d", v)
	}
	r.Fixed(e.Plan[:])
	r.Fixed(e.Cluster[:])
	e.Region = identity.RegionID(r.U8())
	for _, s := range []*string{&e.Name, &e.ServerID, &e.RaftAddr, &e.APIAddr, &e.GossipAddr} {
		*s = r.String(maxText)
	}
	e.Identity = identity.ReadPublicKey(r)
	e.Wrapping = bytes.Clone(r.Blob(maxWrapping))
	e.OAEPHash = r.U8()
	e.Curves = make([]command.Curve, r.U8())
	for i := range e.Curves {
		e.Curves[i] = command.Curve(r.U8())
	}
	e.HSM = r.String(maxText)
	e.Attributes = bytes.Clone(r.Blob(maxAttributes))
	r.Fixed(e.Commitment[:])
	e.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
	if err := r.Done(); err != nil {
		return nil, err
	}
	return e, e.check()
}

// DecodeEnrolment parses and verifies the canonical form.
func DecodeEnrolment(b []byte) (*Enrolment, error) { return decodeEnrolment(b) }

// check judges an enrolment by itself: its keys, attributes and signature.
func (e *Enrolment) check() error {
	if !e.Identity.Verify(e.signedBytes(), e.Sig) {
		return errs.New(errs.Unverified, "%s is not signed by the identity key it names", e.who()).
			WithHint("it was altered or damaged on its way: fetch it again from the region")
	}
	return e.checkKeys()
}

// checkKeys judges what an enrolment says of the HSM and its keys.
func (e *Enrolment) checkKeys() error {
	if err := e.Identity.Check(); err != nil {
		return errs.Wrap(errs.Invalid, err, "identity key of %s", e.who())
	}
	// A throw-away wrap tells at once whether key and hash are usable.
	if _, err := seal.Wrap(e.Wrapping, e.OAEPHash, nil, ""); err != nil {
		return errs.Wrap(errs.Invalid, err, "wrapping key of %s", e.who())
	}
	for i, c := range e.Curves {
		if c < command.Secp256k1 || c > command.Ed25519 || i > 0 && e.Curves[i-1] >= c {
			return errs.New(errs.Invalid, "curves of %s are not known ones in ascending order", e.who())
		}
	}
	return e.checkAttributes()
}

// checkAttributes refuses keys that the HSM itself says could leave it. What some
// vendors cannot report (seal.Profile) is let pass; it is recorded all the same.
func (e *Enrolment) checkAttributes() error {
	r := wire.NewReader(e.Attributes)
	for _, what := range []string{"identity", "wrapping"} {
		a := r.Blob(maxAttributes)
		if r.Err() != nil {
			break
		}
		if err := seal.AttributesOK(a, seal.Profile{Name: "any", LocalNotReported: true, NoGenMechanism: true}); err != nil {
			return errs.Wrap(errs.Denied, err, "%s key of %s", what, e.who()).WithHint("%s", errs.HintOf(err))
		}
	}
	return r.Done()
}

func (e *Enrolment) who() string { return "enrolment of region \"" + e.Name + "\"" + e.in() }

// checkPlan judges an enrolment against the plan.
func (e *Enrolment) checkPlan(p *Plan) error {
	if e.Plan != p.Hash() || e.Cluster != p.Cluster {
		return errs.New(errs.Invalid, "%s was made from another plan", e.who()).
			WithHint("all sites must use the same plan file: compare the plan hash that vaultctl init show prints")
	}
	r, err := p.Region(e.Name)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "%s", e.who())
	}
	if r.ID != e.Region || r.RaftAddr != e.RaftAddr || r.APIAddr != e.APIAddr || r.Gossip != e.GossipAddr {
		return errs.New(errs.Invalid, "%s names other addresses or another number than the plan", e.who())
	}
	if err := genesis.CheckServerID(e.Name, e.ServerID); err != nil {
		return errs.Wrap(errs.Invalid, err, "%s", e.who())
	}
	return nil
}

// enrolments orders and judges a full set.
func (p *Plan) enrolments(in []*Enrolment) ([]*Enrolment, error) {
	for _, e := range in {
		if err := e.checkPlan(p); err != nil {
			return nil, err
		}
	}
	set, err := onePerRegion(p, "enrolment", "enrol", in)
	if err != nil {
		return nil, err
	}
	seen := map[string]*Enrolment{}
	for _, e := range set {
		for _, key := range []string{string(e.Identity.Encode()), string(e.Wrapping)} {
			if other, ok := seen[key]; ok {
				return nil, errs.New(errs.Invalid, "%s and %s share a key: every region needs an HSM of its own", other.who(), e.who())
			}
			seen[key] = e
		}
	}
	return set, nil
}

// regional is an artefact one region made.
type regional interface {
	region() identity.RegionID
	Encode() []byte
	who() string
}

func (e *Enrolment) region() identity.RegionID { return e.Region }

// onePerRegion orders artefacts by region. Copies are fine, rivals are not.
func onePerRegion[T regional](p *Plan, what, verb string, in []T) ([]T, error) {
	out, have := make([]T, len(p.Regions)), make([]bool, len(p.Regions))
	for _, v := range in {
		id := v.region()
		if id < 1 || int(id) > len(out) {
			return nil, errs.New(errs.Invalid, "%s: the plan has no region %d", v.who(), id)
		}
		if have[id-1] && !bytes.Equal(out[id-1].Encode(), v.Encode()) {
			return nil, errs.New(errs.Invalid, "two different ones: %s and %s", out[id-1].who(), v.who()).
				WithHint("keep the one whose hash the region's operator confirms")
		}
		out[id-1], have[id-1] = v, true
	}
	for i, ok := range have {
		if !ok {
			return nil, errs.New(errs.NotFound, "the %s of region %q is missing", what, p.Regions[i].Name).
				WithHint("run vaultctl init %s there and bring the file here", verb)
		}
	}
	return out, nil
}

// setHash binds what follows to exactly these artefacts.
func setHash[T regional](domain string, set []T) [32]byte {
	h := sha256.New()
	h.Write([]byte(domain))
	for _, v := range set {
		sum := sha256.Sum256(v.Encode())
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

func signAs(ctx context.Context, s identity.Signer, msg []byte) ([]byte, error) {
	sig, err := s.Sign(ctx, msg)
	if err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "signing with the region's identity key")
	}
	return sig, nil
}
