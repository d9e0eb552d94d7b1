package frost

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// round is what all parties compute alike from key, message and commitments, all public:
// RFC 9591 sections 4.3 to 4.6.
type round struct {
	key         *PublicKey
	signed      point // the key, with even y where the suite wants that
	negateKey   bool
	commitments []*Commitment // by region
	rho         []scalar      // binding factors
	lambda      []scalar
	r           point // group commitment as it stands in the signature
	negateR     bool
	c           scalar // challenge
}

func (k *PublicKey) newRound(msg []byte, cs []*Commitment) (*round, error) {
	if err := k.suite.signless(); err != nil {
		return nil, err
	}
	if len(msg) > maxMessage {
		return nil, errs.New(errs.TooLarge, "threshold signature: message of %d bytes, limit %d", len(msg), maxMessage)
	}
	cs, err := k.sortCommitments(cs)
	if err != nil {
		return nil, err
	}
	s := k.suite
	r := &round{key: k, signed: s.normal(k.point), commitments: cs}
	r.negateKey = s.evenY && s.group.oddY(k.point)
	r.bindingFactors(msg)
	r.groupCommitment()
	if r.r.isIdentity() {
		return nil, errs.New(errs.Invalid, "threshold signature: the commitments cancel out")
	}
	regions := make([]uint8, len(cs))
	for i, c := range cs {
		regions[i] = c.region
	}
	r.lambda = s.lagrange(regions)
	r.c = s.challenge(s, r.r.bytes(), r.signed.bytes(), msg)
	return r, nil
}

func (r *round) bindingFactors(msg []byte) {
	s := r.key.suite
	var list []byte
	for _, c := range r.commitments {
		list = append(list, s.identifier(c.region)...)
		list = append(list, c.hiding.bytes()...)
		list = append(list, c.binding.bytes()...)
	}
	prefix := append([]byte(nil), r.signed.bytes()...)
	prefix = append(prefix, s.hash("msg", msg)...)
	prefix = append(prefix, s.hash("com", list)...)
	r.rho = make([]scalar, len(r.commitments))
	for i, c := range r.commitments {
		r.rho[i] = s.hashScalar("rho", prefix, s.identifier(c.region))
	}
}

// identifier is a region's number as the RFC encodes it, a scalar.
func (s *Suite) identifier(region uint8) []byte { return s.small().value[region].bytes() }

func (r *round) groupCommitment() {
	s := r.key.suite
	hiding, binding := make([]point, len(r.commitments)), make([]point, len(r.commitments))
	for i, c := range r.commitments {
		hiding[i], binding[i] = c.hiding, c.binding
	}
	sum := s.group.combine(hiding, r.rho, binding)
	r.negateR = s.evenY && s.group.oddY(sum)
	r.r = s.normal(sum)
}

func (r *round) indexOf(region uint8) int {
	for i, c := range r.commitments {
		if c.region == region {
			return i
		}
	}
	return -1
}

// respond computes region i's part of the signature, in constant time in the three
// secrets. It consumes the nonce's scalars: both are zero afterwards.
func (r *round) respond(i int, share, hiding, binding scalar) []byte {
	s := r.key.suite
	g := s.group
	nonce := g.mulAdd(binding, r.rho[i], hiding)
	hiding.wipe()
	binding.wipe()
	if r.negateR { // the signs are public
		nonce = replace(nonce, g.negate(nonce))
	}
	secret := r.key.shareSecret(share)
	if r.negateKey {
		secret = replace(secret, g.negate(secret))
	}
	z := g.mulAdd(secret, s.mul(r.lambda[i], r.c), nonce)
	nonce.wipe()
	secret.wipe()
	return z.bytes()
}

// shareSecret applies the key's derivation to a share of its root. The result is the
// caller's to wipe.
func (k *PublicKey) shareSecret(share scalar) scalar {
	g := k.suite.group
	secret := g.add(share, k.suite.small().value[0])
	if k.negated {
		secret = replace(secret, g.negate(secret))
	}
	if k.tweak != nil {
		secret = replace(secret, g.add(secret, k.tweak))
	}
	return secret
}

// replace wipes the old value and returns the new one.
func replace(old, fresh scalar) scalar {
	old.wipe()
	return fresh
}

// holds checks region i's part: z*B = ±(D + rho*E) + c*lambda*(±Y).
func (r *round) holds(i int, z scalar) bool {
	s := r.key.suite
	g, c := s.group, r.commitments[i]
	nonce := g.combine([]point{c.hiding}, []scalar{r.rho[i]}, []point{c.binding})
	if r.negateR {
		nonce = g.negatePoint(nonce)
	}
	public := r.key.shareOf(c.region)
	if r.negateKey {
		public = g.negatePoint(public)
	}
	k := g.negate(s.mul(r.c, r.lambda[i]))
	return g.combineBase(z, []scalar{k}, []point{public}).equal(nonce)
}
