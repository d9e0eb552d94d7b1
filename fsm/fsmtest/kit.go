// Package fsmtest is a small vault for tests: a signed genesis of four software regions
// and two administrators, commands ready signed, and a log that applies them. All keys
// and ids follow from the kit's seed, so two kits of one seed are the same vault.
//
// It panics where a test would stop anyway.
package fsmtest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Region is one software region.
type Region struct {
	ID       identity.RegionID
	Name     string
	ServerID string
	Identity *identity.KeySigner
	Session  *identity.Session
}

// Kit is a vault's cast.
type Kit struct {
	Genesis *genesis.Genesis
	Regions []*Region // ascending
	Admins  []*identity.KeySigner
	Start   time.Time // when the genesis was made

	seed   string
	mu     sync.Mutex
	random io.Reader
	boots  int
}

// Option changes the genesis before it is signed.
type Option func(*genesis.Document)

// WithBeacon puts a real beacon key into the genesis; without it the shares are bytes
// that no proof verifies against.
func WithBeacon(b genesis.Beacon) Option { return func(d *genesis.Document) { d.Beacon = b } }

// WithSettings replaces the default settings.
func WithSettings(s command.Settings) Option { return func(d *genesis.Document) { d.Settings = s } }

// defaultStart is when the default kit's genesis was made. Where time.Now matters, use At.
var defaultStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// At sets when the genesis was made.
func At(t time.Time) Option {
	return func(d *genesis.Document) { d.Created = t.Truncate(time.Millisecond).UTC() }
}

// New returns the kit of the default seed.
func New(opts ...Option) *Kit { return NewSeeded("kit", opts...) }

// NewSeeded returns the kit of a seed.
func NewSeeded(seed string, opts ...Option) *Kit {
	k := &Kit{seed: seed, random: rand.NewChaCha8(sha256.Sum256([]byte(seed)))}
	d := genesis.Document{Name: "testvault", Created: defaultStart, RootCheck: sha256.Sum256([]byte(seed + "root")),
		Settings: command.Settings{MaxSkew: 2 * time.Second, RequestMaxAge: 10 * time.Minute, MaxOpen: 4096},
		Officers: genesis.Officers{Threshold: 1, Recipients: []string{"age1testofficer"}},
		Beacon:   genesis.Beacon{Threshold: 3, Public: sha256.Sum256([]byte("public"))}}
	h := sha256.Sum256([]byte(seed + "cluster"))
	copy(d.Cluster[:], h[:])
	for i, name := range []string{"alpha", "beta", "gamma", "delta"} {
		r := &Region{ID: identity.RegionID(i + 1), Name: name, ServerID: fmt.Sprintf("%s-%08x", name, 0xa0+i),
			Identity: k.Signer("identity " + name)}
		k.Regions = append(k.Regions, r)
		share, contribution := sha256.Sum256([]byte("share"+name)), sha256.Sum256([]byte("contribution"+name))
		d.Beacon.Shares = append(d.Beacon.Shares, share[:])
		d.Contributions = append(d.Contributions, contribution)
		d.Regions = append(d.Regions, genesis.Region{ID: r.ID, Name: name, ServerID: r.ServerID,
			Identity: r.Identity.Public(), OAEPHash: 2, Wrapping: []byte("wrapping " + name),
			RaftAddr: name + ":7001", APIAddr: name + ":7002", GossipAddr: name + ":7003", HSM: "software",
			Curves: []command.Curve{command.Secp256k1, command.P256, command.Ed25519}})
	}
	for _, name := range []string{"alice", "bob"} {
		a := k.Signer("admin " + name)
		k.Admins = append(k.Admins, a)
		d.Administrators = append(d.Administrators, genesis.Principal{Name: name, Key: a.Public(),
			Roles: command.RoleAdmin | command.RoleOperator | command.RoleAuditor})
	}
	for _, o := range opts {
		o(&d)
	}
	k.Start = d.Created
	k.Genesis = &genesis.Genesis{Document: d}
	for _, r := range k.Regions {
		must(k.Genesis.Sign(context.Background(), r.Identity))
	}
	for _, a := range k.Admins {
		must(k.Genesis.Sign(context.Background(), a))
	}
	must(k.Genesis.Verify())
	for _, r := range k.Regions {
		k.NewSession(r, k.Start)
	}
	return k
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Cluster returns the cluster's id.
func (k *Kit) Cluster() identity.ClusterID { return k.Genesis.Document.Cluster }

// Region returns one region.
func (k *Kit) Region(id identity.RegionID) *Region { return k.Regions[id-1] }

// Signer returns the Ed25519 signer of a name; the same name gives the same key.
func (k *Kit) Signer(name string) *identity.KeySigner {
	seed := sha256.Sum256([]byte(k.seed + "/" + name))
	s, err := identity.NewKeySigner(ed25519.NewKeyFromSeed(seed[:]))
	must(err)
	return s
}

// NewSession gives a region a fresh session key, as at unseal.
func (k *Kit) NewSession(r *Region, at time.Time) {
	k.mu.Lock()
	k.boots++
	name := fmt.Sprintf("session %s %d", r.Name, k.boots)
	k.mu.Unlock()
	key := k.Signer(name)
	h := sha256.Sum256([]byte(name))
	cert, err := identity.IssueSession(context.Background(), r.Identity, key, identity.SessionCert{
		Cluster: k.Cluster(), Region: r.ID, ServerID: r.ServerID, Boot: identity.Boot(h[:16]), Issued: at})
	must(err)
	r.Session = &identity.Session{KeySigner: key, Cert: cert}
}

// ID returns the next command id.
func (k *Kit) ID() (id command.ID) {
	k.read(id[:])
	return id
}

func (k *Kit) read(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := io.ReadFull(k.random, b)
	must(err)
}

type locked struct{ k *Kit }

func (l locked) Read(b []byte) (int, error) { l.k.read(b); return len(b), nil }

// Command returns a command signed by its author and further signers.
func (k *Kit) Command(body command.Body, expiry time.Time, author identity.Signer, more ...identity.Signer) *command.Command {
	c, err := command.New(body, author.Public().Fingerprint(), k.ID(), expiry, locked{k})
	must(err)
	for _, s := range append([]identity.Signer{author}, more...) {
		must(c.Sign(context.Background(), k.Cluster(), s))
	}
	return c
}

// Word returns a region's signed word.
func (k *Kit) Word(by identity.RegionID, w command.Word) []byte {
	w.By = by
	must(w.Sign(context.Background(), k.Cluster(), k.Region(by).Session))
	return w.Encode()
}

// Answer returns a region's signed answer.
func (k *Kit) Answer(a command.Answer) []byte {
	must(a.Sign(context.Background(), k.Cluster(), k.Region(a.Region).Session))
	return a.Encode()
}

// ClockWord returns a region's signed word on the clock.
func (k *Kit) ClockWord(by identity.RegionID, v command.ClockWord) []byte {
	v.By, v.Lineage = by, k.Genesis.Document.Hash()
	must(v.Sign(context.Background(), k.Cluster(), k.Region(by).Session))
	return v.Encode()
}

// OutcomeWord returns a region's signed word on a command.
func (k *Kit) OutcomeWord(by identity.RegionID, o command.OutcomeWord) []byte {
	o.Region, o.Lineage = by, k.Genesis.Document.Hash()
	must(o.Sign(context.Background(), k.Cluster(), k.Region(by).Session))
	return o.Encode()
}
