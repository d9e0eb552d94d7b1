package frost

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// rfcSecp256k1 is FROST(secp256k1, SHA-256) of RFC 9591 section 6.5. Nothing verifies its
// signatures, so it exists only here: it ties hashing, group and protocol of the BIP340
// suite to the RFC's figures.
var rfcSecp256k1 = func() *Suite {
	s := *BIP340
	s.name, s.context, s.evenY = "rfc-secp256k1", "FROST-secp256k1-SHA256-v1", false
	s.challenge = func(s *Suite, r, key, msg []byte) scalar { return s.hashScalar("chal", r, key, msg) }
	return &s
}()

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(s)
	return err
}

type rfcVector struct {
	Inputs struct {
		Participants []uint8  `json:"participant_list"`
		Secret       hexBytes `json:"group_secret_key"`
		Public       hexBytes `json:"group_public_key"`
		Message      hexBytes
		Coefficients []hexBytes `json:"share_polynomial_coefficients"`
		Shares       []struct {
			Identifier uint8
			Share      hexBytes `json:"participant_share"`
		} `json:"participant_shares"`
	}
	One struct {
		Outputs []struct {
			Identifier    uint8
			HidingRandom  hexBytes `json:"hiding_nonce_randomness"`
			BindingRandom hexBytes `json:"binding_nonce_randomness"`
			Hiding        hexBytes `json:"hiding_nonce"`
			Binding       hexBytes `json:"binding_nonce"`
			HidingPoint   hexBytes `json:"hiding_nonce_commitment"`
			BindingPoint  hexBytes `json:"binding_nonce_commitment"`
			Factor        hexBytes `json:"binding_factor"`
		}
	} `json:"round_one_outputs"`
	Two struct {
		Outputs []struct {
			Identifier uint8
			Share      hexBytes `json:"sig_share"`
		}
	} `json:"round_two_outputs"`
	Final struct{ Sig hexBytes } `json:"final_output"`
}

func TestRFC9591Vectors(t *testing.T) {
	for file, s := range map[string]*Suite{"rfc9591-ed25519.json": Ed25519, "rfc9591-secp256k1.json": rfcSecp256k1} {
		t.Run(s.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", file))
			must(t, err)
			var v rfcVector
			must(t, json.Unmarshal(text, &v))
			checkRFC(t, s, &v)
		})
	}
}

func readScalarOf(t *testing.T, s *Suite, b []byte) scalar {
	t.Helper()
	k, ok := s.group.decodeScalar(b)
	if !ok {
		t.Fatalf("%x is not a scalar", b)
	}
	return k
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is %x, the vector says %x", what, got, want)
	}
}

func checkRFC(t *testing.T, s *Suite, v *rfcVector) {
	k := &PublicKey{suite: s, epoch: 1, threshold: 2}
	polynomial := []scalar{readScalarOf(t, s, v.Inputs.Secret), readScalarOf(t, s, v.Inputs.Coefficients[0])}
	k.root = s.group.base(polynomial[0])
	k.point = k.root
	same(t, "public key", k.point.bytes(), v.Inputs.Public)
	pools, shares := map[uint8]*Pool{}, map[uint8]*Share{}
	for _, in := range v.Inputs.Shares {
		share := &Share{suite: s, epoch: 1, region: in.Identifier, secret: s.evaluate(polynomial, in.Identifier)}
		same(t, "share", share.secret.bytes(), in.Share)
		share.public = s.group.base(share.secret)
		k.regions, k.shares = append(k.regions, share.region), append(k.shares, share.public)
		pools[share.region], shares[share.region] = newPool(t, s, share.region, 1), share
	}
	must(t, k.validate())

	var cs []*Commitment
	for _, out := range v.One.Outputs {
		pool := pools[out.Identifier]
		hedge := shares[out.Identifier].secret.bytes() // the RFC hedges with the share
		c := &Commitment{suite: s, region: out.Identifier, boot: 1, serial: 1}
		n := c.draw([64]byte(append(bytes.Clone(out.HidingRandom), out.BindingRandom...)), bytes.Clone(hedge), bytes.Clone(hedge))
		publish(s, []*nonce{n})
		same(t, "hiding nonce", n.hiding.bytes(), out.Hiding)
		same(t, "binding nonce", n.binding.bytes(), out.Binding)
		same(t, "hiding commitment", c.hiding.bytes(), out.HidingPoint)
		same(t, "binding commitment", c.binding.bytes(), out.BindingPoint)
		must(t, pool.put(n))
		cs = append(cs, c)
	}
	r, err := k.newRound(v.Inputs.Message, cs)
	must(t, err)
	for i, out := range v.One.Outputs {
		same(t, "binding factor", r.rho[i].bytes(), out.Factor)
	}
	var parts []*SignatureShare
	for _, out := range v.Two.Outputs {
		part, err := pools[out.Identifier].Sign(shares[out.Identifier], k, v.Inputs.Message, cs)
		must(t, err)
		same(t, "signature share", part.z, out.Share)
		must(t, k.CheckShare(v.Inputs.Message, cs, part))
		parts = append(parts, part)
	}
	z := s.group.add(readScalarOf(t, s, parts[0].z), readScalarOf(t, s, parts[1].z))
	same(t, "signature", s.signature(parts[0].r, z.bytes()), v.Final.Sig)
	if s == Ed25519 {
		sig, err := k.Aggregate(v.Inputs.Message, cs, parts)
		must(t, err)
		same(t, "aggregate", sig, v.Final.Sig)
	}
}
