package command

import (
	"bytes"
	"context"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Reenrol gives a region whose HSM is lost another one: new identity and wrapping keys, a
// new incarnation. What the old HSM held is lost with it. Two administrators, on a bundle
// that the new identity signed.
type Reenrol struct {
	Region     identity.RegionID
	ServerID   string
	RaftAddr   string
	APIAddr    string
	GossipAddr string
	Identity   identity.PublicKey
	Wrapping   []byte // RSA, PKIX
	OAEPHash   uint8
	Curves     []byte // one Curve a byte, ascending
	HSM        string
	Attributes []byte // of the identity key, then of the wrapping key, a blob each, as read back
	Proof      []byte // signature of the new identity key over ReenrolBytes

	// Replaces is the identity that the administrators saw and mean: held back until another
	// took its place, the command is of no use. The bundle has none: whoever submits it says.
	Replaces identity.Fingerprint
}

func (*Reenrol) Type() Type { return TypeReenrol }

func (b *Reenrol) fields(f *fields) {
	b.enrolment(f)
	f.bytes("proof", &b.Proof, MaxSignatureLen)
	f.fixed("replaces", b.Replaces[:])
}

// enrolment walks what the new identity signs.
func (b *Reenrol) enrolment(f *fields) {
	f.u8("region", (*uint8)(&b.Region))
	f.text("server_id", &b.ServerID, MaxName)
	f.text("raft_addr", &b.RaftAddr, MaxNote)
	f.text("api_addr", &b.APIAddr, MaxNote)
	f.text("gossip_addr", &b.GossipAddr, MaxNote)
	f.key("identity", &b.Identity)
	f.bytes("wrapping", &b.Wrapping, MaxWrapping)
	f.u8("oaep_hash", &b.OAEPHash)
	f.bytes("curves", &b.Curves, 16)
	f.text("hsm", &b.HSM, MaxNote)
	f.bytes("attributes", &b.Attributes, 16<<10)
}

// ReenrolBytes returns what the new identity key signs: all of b but Proof and Replaces.
func ReenrolBytes(cluster identity.ClusterID, b *Reenrol) []byte {
	w := wire.NewWriter(4 << 10)
	w.String("tetrad/reenrol/v1")
	w.Fixed(cluster[:])
	f := &fields{}
	b.enrolment(f)
	for _, v := range f.values {
		w.Blob(v)
	}
	return w.Bytes()
}

// Prove signs b with the new identity key.
func (b *Reenrol) Prove(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	b.Proof, err = s.Sign(ctx, ReenrolBytes(cluster, b))
	return err
}

// Proven reports whether the new identity signed b for a cluster.
func (b *Reenrol) Proven(cluster identity.ClusterID) error {
	if !b.Identity.Verify(ReenrolBytes(cluster, b), b.Proof) {
		return errs.New(errs.Unverified, "the enrolment of region %d is not signed by the identity key in it, or for another cluster", b.Region)
	}
	return nil
}

// reenrolFormat is the version of the bundle that the new site hands over.
const reenrolFormat = 1

// Bundle returns the canonical form of what the new site hands over: b without Replaces.
func (b *Reenrol) Bundle() []byte {
	w := wire.NewWriter(4 << 10)
	w.U8(reenrolFormat)
	values := encodeBody(b)
	for _, v := range values[:len(values)-1] {
		w.Blob(v)
	}
	return w.Bytes()
}

// DecodeReenrol parses a bundle. It checks shape and size; Proven judges the signature.
func DecodeReenrol(raw []byte) (*Reenrol, error) {
	if len(raw) > MaxReenrol {
		return nil, errs.New(errs.TooLarge, "an enrolment of %d bytes, limit %d", len(raw), MaxReenrol)
	}
	r := wire.NewReader(raw)
	if v := r.U8(); v != reenrolFormat {
		r.Fail("enrolment format %d, this version reads %d", v, reenrolFormat)
	}
	var in []Field
	for len(in) < MaxFields && r.More() {
		in = append(in, Field{Value: bytes.Clone(r.Blob(MaxReenrol))})
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	b, err := decodeBody(TypeReenrol, append(in, Field{Value: make([]byte, len(identity.Fingerprint{}))}))
	if err != nil {
		return nil, err
	}
	return b.(*Reenrol), nil
}
