package auditor_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	mrand "math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

var ctx = context.Background()

// world is a vault with real beacon shares and real signing keys, on one log.
type world struct {
	*fsmtest.Log
	t      testing.TB
	shares []draw.Share
	public draw.PublicKey
	keys   map[command.KeyID]*signingKey
	leaves []audit.Leaf
	signer *identity.KeySigner
	cover  func(m command.Meta) []byte // of a completion; nil: in the older form

	closing []*command.Command // stand behind what makes a sharing live, in one entry
}

type signingKey struct {
	curve command.Curve
	priv  []any // by region - 1: ed25519, P-256 or secp256k1
}

// beacon is dealt once: it is the slowest part.
var beacon = sync.OnceValues(func() ([]draw.Share, draw.PublicKey) {
	const n, k = 4, 3
	session, random := []byte("auditor tests"), mrand.New(mrand.NewSource(1))
	dealings, dealt := make([]*draw.Dealing, n), make([][][32]byte, n)
	for i := range n {
		var err error
		if dealings[i], dealt[i], err = draw.NewDealing(random, session, uint8(i+1), n, k); err != nil {
			panic(err)
		}
	}
	shares, public := make([]draw.Share, n), draw.PublicKey{}
	for i := range n {
		mine := make([][32]byte, n)
		for j := range n {
			mine[j] = dealt[j][i]
		}
		var err error
		if shares[i], public, err = draw.Finish(session, uint8(i+1), n, k, dealings, mine); err != nil {
			panic(err)
		}
	}
	return shares, public
})

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, keys: map[command.KeyID]*signingKey{}}
	w.shares, w.public = beacon()
	b := genesis.Beacon{Threshold: 3, Public: w.public.Group}
	for i := range w.public.Shares {
		b.Shares = append(b.Shares, slices.Clone(w.public.Shares[i][:]))
	}
	w.Log = fsmtest.New(fsmtest.WithBeacon(b)).NewLog(fsm.Options{})
	w.leaves = []audit.Leaf{w.Machine.GenesisLeaf()}
	w.cover = func(m command.Meta) []byte { return w.certify(place(m), 1, 2, 3).Encode() }
	for _, r := range w.Regions {
		w.ok(w.Register(r))
	}
	w.ok(w.Dual(&command.CreateTenant{Name: "acme"}))
	w.signer = w.Signer("service")
	w.ok(w.Dual(&command.PutPrincipal{Name: "service", Tenant: "acme", Key: w.signer.Public(), Roles: command.RoleSigner}))
	return w
}

// do applies commands in one entry and keeps the leaves.
func (w *world) do(cs ...*command.Command) fsm.Result {
	res := w.Apply(cs...)
	w.leaves = append(w.leaves, res.Leaves...)
	return res
}

// ok applies commands that must succeed.
func (w *world) ok(cs ...*command.Command) fsm.Result {
	w.t.Helper()
	res := w.do(cs...)
	for i, o := range res.Outcomes {
		if o.Code != errs.OK {
			w.t.Fatalf("%s: %s: %s", cs[i].Type, o.Code, o.Text)
		}
	}
	return res
}

func newSigningKey(curve command.Curve, name string) *signingKey {
	k := &signingKey{curve: curve}
	for i := range 4 {
		seed := sha256.Sum256(append([]byte(name), byte(curve), byte(i)))
		switch curve {
		case command.Ed25519:
			k.priv = append(k.priv, ed25519.NewKeyFromSeed(seed[:]))
		case command.P256:
			p, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
			if err != nil {
				panic(err)
			}
			k.priv = append(k.priv, p)
		case command.Secp256k1:
			k.priv = append(k.priv, secp256k1.PrivKeyFromBytes(seed[:]))
		}
	}
	return k
}

func (k *signingKey) public(r identity.RegionID) []byte {
	switch p := k.priv[r-1].(type) {
	case ed25519.PrivateKey:
		return p.Public().(ed25519.PublicKey)
	case *ecdsa.PrivateKey:
		b, err := p.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		return append([]byte{2 + b[64]&1}, b[1:33]...)
	case *secp256k1.PrivateKey:
		return p.PubKey().SerializeCompressed()
	}
	panic("no such key")
}

func (k *signingKey) sign(r identity.RegionID, msg []byte) []byte {
	raw := make([]byte, 64)
	switch p := k.priv[r-1].(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(p, msg)
	case *ecdsa.PrivateKey:
		s1, s2, err := ecdsa.Sign(rand.Reader, p, msg)
		if err != nil {
			panic(err)
		}
		s1.FillBytes(raw[:32])
		s2.FillBytes(raw[32:])
	case *secp256k1.PrivateKey:
		sig := secpecdsa.Sign(p, msg)
		s1, s2 := sig.R(), sig.S()
		s1.PutBytesUnchecked(raw[:32])
		s2.PutBytesUnchecked(raw[32:])
	}
	low, err := intent.NormalizeLowS(k.curve, raw)
	if err != nil {
		panic(err)
	}
	return low
}

// key makes an active key whose attestations bend may spoil.
func (w *world) key(name string, curve command.Curve, signers uint8, bend func(*command.AttestKey)) command.KeyID {
	w.t.Helper()
	id := w.ok(w.Dual(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeMultisig, Curve: curve, Signers: signers, AllowBlind: true})).Outcomes[0].Key
	k := newSigningKey(curve, name)
	w.keys[id] = k
	for _, r := range w.Regions {
		msg := command.PossessionBytes(w.Cluster(), id, r.ID)
		if curve != command.Ed25519 {
			h := sha256.Sum256(msg)
			msg = h[:]
		}
		a := &command.AttestKey{Key: id, PublicKey: k.public(r.ID), Possession: k.sign(r.ID, msg), Attributes: []byte("attributes")}
		if bend != nil {
			bend(a)
		}
		var err error
		a.Identity, err = r.Identity.Sign(ctx, command.AttestationBytes(w.Cluster(), id, r.ID, a.PublicKey, a.Attributes))
		if err != nil {
			w.t.Fatal(err)
		}
		w.ok(w.By(r.Session, a))
	}
	key, _ := w.Machine.View().Key(id)
	h := fsm.AttestationsHash(key)
	for _, r := range w.Regions {
		w.ok(w.By(r.Session, &command.ConfirmKey{Key: id, Attestations: h}))
	}
	return id
}

// round is one entry of requests on its way to completion; tests bend its parts.
type round struct {
	meta     command.Meta
	partials []draw.Partial
	value    [32]byte
	requests []command.RequestID
	answers  map[identity.RegionID]*command.Answer
	authors  map[identity.RegionID]identity.Signer // who signs an answer
}

func message(text string) *command.RequestSignature {
	return &command.RequestSignature{Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte(text)}
}

// ask opens requests in one entry.
func (w *world) ask(key command.KeyID, texts ...string) *round {
	w.t.Helper()
	var cs []*command.Command
	for _, text := range texts {
		b := message(text)
		b.Key = key
		if w.keys[key].curve == command.Ed25519 {
			b.Hash = command.HashNone
		}
		cs = append(cs, w.By(w.signer, b))
	}
	res := w.ok(cs...)
	return w.drawn(res, res.Opened...)
}

// drawn has three regions evaluate the beacon and the drawn ones answer.
func (w *world) drawn(res fsm.Result, ids ...command.RequestID) *round {
	w.t.Helper()
	r := &round{meta: res.Meta, requests: ids, answers: map[identity.RegionID]*command.Answer{}, authors: map[identity.RegionID]identity.Signer{}}
	input := draw.Input(w.Machine.View().Lineage(), r.meta.Term, r.meta.Index, r.meta.Chain)
	for i := range 3 {
		p, err := w.shares[(i+int(r.meta.Index))%4].Evaluate(draw.At(input))
		if err != nil {
			w.t.Fatal(err)
		}
		r.partials = append(r.partials, p)
	}
	var err error
	if r.value, err = w.public.CombineChecked(draw.At(input), r.partials); err != nil {
		w.t.Fatal(err)
	}
	for _, id := range ids {
		q, _ := w.Machine.View().Request(id)
		signers := w.signers(q, r.value)
		for _, region := range signers {
			w.answer(r, q, region, signers)
		}
	}
	return r
}

func (w *world) signers(q *fsm.Request, value [32]byte) (out []identity.RegionID) {
	key, _ := w.Machine.View().Key(q.Key)
	var eligible []uint8
	for _, e := range q.Open().Eligible {
		eligible = append(eligible, uint8(e))
	}
	for _, s := range draw.Permutation(value, q.ID, q.Open().Number, eligible)[:key.Signers] {
		out = append(out, identity.RegionID(s))
	}
	return out
}

// answer adds a region's signatures of a request to its answer.
func (w *world) answer(r *round, q *fsm.Request, region identity.RegionID, signers []identity.RegionID) {
	a := r.answers[region]
	if a == nil {
		a = &command.Answer{Region: region, Index: r.meta.Index, Value: r.value, At: w.Now}
		r.answers[region] = a
		r.authors[region] = w.Region(region).Session
	}
	k := w.keys[q.Key]
	msg := q.Payload
	if k.curve != command.Ed25519 {
		h := sha256.Sum256(msg)
		msg = h[:]
	}
	a.Items = append(a.Items, command.AnswerItem{Request: q.ID, Attempt: q.Open().Number, Signers: signers, Code: errs.OK, Signatures: [][]byte{k.sign(region, msg)}})
}

func (r *round) encoded() (out [][]byte) {
	for _, p := range r.partials {
		out = append(out, p.Encode())
	}
	return out
}

func place(m command.Meta) chain.Link { return chain.Link{Term: m.Term, Index: m.Index, Hash: m.Chain} }

// certify has regions ack an entry, each with its session of now.
func (w *world) certify(at chain.Link, regions ...identity.RegionID) *chain.Cover {
	w.t.Helper()
	var acks []chain.Ack
	for _, id := range regions {
		s, err := chain.NewSigner(id, w.Region(id).Session)
		if err != nil {
			w.t.Fatal(err)
		}
		a, err := chain.SignAck(s, chain.Tuple{Lineage: w.Genesis.Document.Hash(), Link: at}, w.Now)
		if err != nil {
			w.t.Fatal(err)
		}
		acks = append(acks, a)
	}
	c, err := chain.Certify(acks)
	if err != nil {
		w.t.Fatal(err)
	}
	return &chain.Cover{Certificate: *c}
}

// complete files the round.
func (w *world) complete(r *round, leader identity.RegionID) fsm.Result {
	w.t.Helper()
	c := &command.Complete{Index: r.meta.Index, Partials: r.encoded()}
	if w.cover != nil {
		c.Cover = w.cover(r.meta)
	}
	for id := identity.RegionID(1); id <= 4; id++ {
		a := r.answers[id]
		if a == nil {
			continue
		}
		if err := a.Sign(ctx, w.Cluster(), r.authors[id]); err != nil {
			w.t.Fatal(err)
		}
		c.Answers = append(c.Answers, a.Encode())
	}
	return w.ok(w.By(w.Region(leader).Session, c))
}

// checkpoint returns the signed checkpoint of leaves.
func (w *world) checkpoint(leaves []audit.Leaf) *audit.Checkpoint {
	var tree audit.Frontier
	for i := range leaves {
		tree.Append(leaves[i].Hash())
	}
	c := &audit.Checkpoint{Cluster: w.Cluster(), Size: tree.Size(), Root: tree.Root()}
	for _, r := range w.Regions[:3] {
		if err := c.Sign(ctx, r.ID, r.Session, w.Now); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// export writes leaves as they are, whatever their numbers say.
func (w *world) export(leaves []audit.Leaf, c *audit.Checkpoint) []byte {
	w.t.Helper()
	var out bytes.Buffer
	x, err := auditor.NewWriter(&out, w.Genesis.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range leaves {
		if err := x.Leaf(&leaves[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := x.Close(c); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

func (w *world) trust() auditor.TrustAnchor {
	return auditor.TrustAnchor{Genesis: w.Genesis.Document.Hash(), Signatures: 3}
}

// verify exports what happened and verifies it.
func (w *world) verify() (*auditor.Report, error) {
	return auditor.Verify(bytes.NewReader(w.export(w.leaves, w.checkpoint(w.leaves))), w.trust())
}

func (w *world) clean() *auditor.Report {
	w.t.Helper()
	r, err := w.verify()
	if err != nil {
		w.t.Fatalf("%v\n%v", err, r.Findings)
	}
	return r
}

// wantFinding expects Unverified with a finding of a kind.
func wantFinding(t testing.TB, r *auditor.Report, err error, kind auditor.Kind) {
	t.Helper()
	if errs.CodeOf(err) != errs.Unverified || r == nil {
		t.Fatalf("the violation was not found: %v", err)
	}
	for _, f := range r.Findings {
		if f.Kind == kind {
			return
		}
	}
	t.Fatalf("no finding of kind %s among %v", kind, r.Findings)
}
