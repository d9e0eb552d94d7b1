package ceremony

import (
	"bytes"
	"context"
	"crypto/ed25519"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Resign lets a test play a region that signs whatever it likes.
func (c *Contribution) Resign(by identity.Signer) (err error) {
	c.Sig, err = by.Sign(context.Background(), c.signedBytes())
	return err
}

// Resign lets a test play a region that signs whatever it likes.
func (e *Enrolment) Resign(by identity.Signer) (err error) {
	e.Sig, err = by.Sign(context.Background(), e.signedBytes())
	return err
}

// Seal makes an envelope of c's region with other content.
func (c *Contribution) Seal(to *Enrolment, root, share [32]byte) (err error) {
	e := envelope{root, share}
	c.Envelopes[to.Region-1], err = seal.Wrap(to.Wrapping, to.OAEPHash, e.encode(), envelopeLabel(c.Enrolments, c.Region, to.Region))
	return err
}

// Open opens an envelope as its receiver.
func (c *Contribution) Open(h HSM, to identity.RegionID) (root, share [32]byte, err error) {
	b, err := h.Unwrap(context.Background(), c.Envelopes[to-1], envelopeLabel(c.Enrolments, c.Region, to))
	if err != nil {
		return root, share, err
	}
	e, err := decodeEnvelope(b)
	return e.root, e.share, err
}

// Decoders of what crosses between sites, for fuzzing.
var Decoders = map[string]func([]byte) (interface{ Encode() []byte }, error){
	"enrolment":    func(b []byte) (interface{ Encode() []byte }, error) { return decodeEnrolment(b) },
	"contribution": func(b []byte) (interface{ Encode() []byte }, error) { return decodeContribution(b) },
	"approval":     func(b []byte) (interface{ Encode() []byte }, error) { return decodeApproval(b) },
	"share":        func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficerShare(b) },
	"proof":        func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficerProof(b) },
	"officers":     func(b []byte) (interface{ Encode() []byte }, error) { return decodeOfficersProved(b) },
	"reenrolment":  func(b []byte) (interface{ Encode() []byte }, error) { return decodeReenrolment(b) },
	"welcome":      func(b []byte) (interface{ Encode() []byte }, error) { return decodeWelcome(b) },
	"pins": func(b []byte) (interface{ Encode() []byte }, error) {
		f, err := decodePins(b)
		return encoded(f.encode()), err
	},
}

type encoded []byte

func (e encoded) Encode() []byte { return e }

// RegionFile decodes and encodes the region file.
func RegionFile(b []byte) ([]byte, error) {
	f, err := decodeRegion(b)
	return f.encode(), err
}

func goldenKey(b byte) identity.PublicKey {
	return identity.PublicKey{Alg: identity.Ed25519, Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))[32:]}
}

// Golden returns the encoding of one fixed value of each stored format.
func Golden() map[string][]byte {
	fill := func(n int, from byte) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = from + byte(i)
		}
		return b
	}
	h := func(from byte) (out [32]byte) { copy(out[:], fill(32, from)); return }
	e := &Enrolment{Plan: h(1), Cluster: identity.ClusterID(fill(16, 2)), Region: 2, Name: "east", ServerID: "east-0a0b0c0d",
		RaftAddr: "east.test:7201", APIAddr: "east.test:7202", GossipAddr: "east.test:7203",
		Identity: identity.PublicKey{Alg: identity.P256, Key: fill(33, 3)}, Wrapping: fill(40, 4), OAEPHash: 1,
		Curves: []command.Curve{1, 2, 3}, HSM: "maker model", Attributes: fill(20, 5), Commitment: h(6), Sig: fill(64, 7)}
	d := &draw.Dealing{Region: 2, Commitments: [][32]byte{h(8), h(9), h(10)}, Proof: fill(64, 11)}
	c := &Contribution{Plan: h(1), Enrolments: h(12), Region: 2, RootHash: h(13), Dealing: d,
		Envelopes: [][]byte{fill(4, 14), fill(4, 15), fill(4, 16), fill(4, 17)}, Sig: fill(64, 18)}
	s := &OfficerShare{Genesis: h(19), Region: 1, Index: 2, Recipient: "age1a", Asking: "age1b", Ciphertext: fill(8, 20), Sig: fill(64, 21)}
	p := &OfficerProof{Genesis: h(19), Region: 1, Index: 2, Ciphertext: fill(8, 22)}
	o := &OfficersProved{Genesis: h(19), Region: 1, Threshold: 2, Officers: 3, Sig: fill(64, 23)}
	env := envelope{root: h(24), share: h(25)}
	sec := &secrets{root: h(26), shares: [][32]byte{h(27), h(28), h(29), h(30)}}
	cm := commitment(h(1), 2, h(13), h(31))
	pins := pinsFile{h(19), roll.Pins{3: goldenKey(1), 2: goldenKey(2)}}
	return map[string][]byte{"pins": pins.encode(), "enrolment": e.Encode(), "enrolment-signed": e.signedBytes(), "contribution": c.Encode(), "contribution-signed": c.signedBytes(),
		"officer-share": s.Encode(), "officer-share-signed": s.signedBytes(), "officer-proof": p.Encode(),
		"officers-proved": o.Encode(), "officers-proved-signed": o.signedBytes(), "envelope": env.encode(), "secrets": encodeSecrets(sec, d),
		"commitment": cm[:], "envelope-label": []byte(envelopeLabel(h(12), 2, 3)),
		"region": regionFile{h(19), 2, "east-0a0b0c0d"}.encode()}
}
