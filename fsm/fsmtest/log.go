package fsmtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Log is a log of one: it stamps entries, chains them and applies them to a machine.
type Log struct {
	*Kit
	Machine *fsm.Machine
	Now     time.Time // stamp of the next entry
	Life    time.Duration
	Inputs  []fsm.Input // all so far
	meta    command.Meta
}

// NewLog starts an empty log with a machine of its own.
func (k *Kit) NewLog(o fsm.Options) *Log {
	m, err := fsm.New(k.Genesis, o)
	must(err)
	l := &Log{Kit: k, Machine: m, Now: k.Start.Add(time.Second), Life: 5 * time.Minute}
	l.meta = command.Meta{Term: 1, Chain: k.Genesis.Document.Hash()}
	return l
}

// Input places an entry at the end of the log without applying it.
func (l *Log) Input(commands ...*command.Command) fsm.Input {
	e := &command.Entry{Stamp: l.Now.Truncate(time.Millisecond), Commands: commands}
	l.meta.Index++
	h := sha256.New()
	h.Write(l.meta.Chain[:])
	_ = binary.Write(h, binary.BigEndian, l.meta.Index)
	h.Write(e.Encode())
	l.meta.Chain = [32]byte(h.Sum(nil))
	in := fsm.Input{Meta: l.meta, Entry: e}
	l.Inputs = append(l.Inputs, in)
	return in
}

// Apply commits one entry of the given commands.
func (l *Log) Apply(commands ...*command.Command) fsm.Result {
	return l.Machine.Apply([]fsm.Input{l.Input(commands...)})[0]
}

// By returns a command that lives for l.Life from now.
func (l *Log) By(author identity.Signer, body command.Body, more ...identity.Signer) *command.Command {
	return l.Command(body, l.Now.Add(l.Life), author, more...)
}

// Dual returns a command signed by both administrators.
func (l *Log) Dual(body command.Body) *command.Command {
	return l.By(l.Admins[0], body, l.Admins[1])
}

// Do applies one command and returns its outcome.
func (l *Log) Do(c *command.Command) fsm.Outcome { return l.Apply(c).Outcomes[0] }

// Must applies one command that has to succeed.
func (l *Log) Must(c *command.Command) fsm.Outcome {
	o := l.Do(c)
	if o.Code != errs.OK {
		panic(fmt.Sprintf("%s: %s: %s", c.Type, o.Code, o.Text))
	}
	return o
}

// Register returns a region's RegisterSession.
func (l *Log) Register(r *Region) *command.Command {
	return l.By(r.Identity, &command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{1, 2, 3}})
}

// Boot registers every region's session.
func (l *Log) Boot() {
	for _, r := range l.Regions {
		l.Must(l.Register(r))
	}
}

// Principal adds a principal and returns its signer.
func (l *Log) Principal(tenant, name string, roles command.Role) *identity.KeySigner {
	s := l.Signer("principal " + tenant + "/" + name)
	l.Must(l.Dual(&command.PutPrincipal{Name: name, Tenant: tenant, Key: s.Public(), Roles: roles}))
	return s
}

// Attest returns a region's attestation of a key made of fake bytes of the right length.
func (l *Log) Attest(r *Region, key command.KeyID, curve command.Curve) *command.Command {
	h := sha256.Sum256(fmt.Append(nil, "signing key", key, r.ID))
	pub := append([]byte{2}, h[:]...)[33-curve.PublicKeyLen():]
	return l.AttestWith(r, key, pub, make([]byte, 64), []byte("attributes"))
}

// AttestWith returns a region's attestation of a key.
func (l *Log) AttestWith(r *Region, key command.KeyID, pub, possession, attributes []byte) *command.Command {
	sig, err := r.Identity.Sign(context.Background(), command.AttestationBytes(l.Cluster(), key, r.ID, pub, attributes))
	must(err)
	return l.By(r.Session, &command.AttestKey{Key: key, PublicKey: pub, Possession: possession, Attributes: attributes, Identity: sig})
}

// Key creates a key over all four regions and brings it to active.
func (l *Log) Key(tenant, name string, curve command.Curve, signers uint8) command.KeyID {
	id := l.Must(l.Dual(&command.CreateKey{Name: name, Tenant: tenant, Scheme: command.SchemeMultisig,
		Curve: curve, Signers: signers, AllowBlind: true})).Key
	for _, r := range l.Regions {
		l.Must(l.Attest(r, id, curve))
	}
	k, _ := l.Machine.View().Key(id)
	h := fsm.AttestationsHash(k)
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, &command.ConfirmKey{Key: id, Attestations: h}))
	}
	return id
}

// Ready is a log with sessions, tenant "acme", its signer and an active P-256 2-of-4 key.
func (k *Kit) Ready(o fsm.Options) (l *Log, signer *identity.KeySigner, key command.KeyID) {
	l = k.NewLog(o)
	l.Boot()
	l.Must(l.Dual(&command.CreateTenant{Name: "acme"}))
	signer = l.Principal("acme", "service", command.RoleSigner)
	return l, signer, l.Key("acme", "hot", command.P256, 2)
}

// Digest returns a request for one 32-byte digest.
func Digest(key command.KeyID, d [32]byte) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindDigest, Payload: d[:]}
}

// Completion returns what the leader would file for requests opened at one index, signed
// by the given regions, as if value had drawn them. Signatures are fake.
func (l *Log) Completion(leader *Region, value [32]byte, signers []identity.RegionID, ids ...command.RequestID) *command.Command {
	c := &command.Complete{}
	v := l.Machine.View()
	for _, s := range signers {
		a := command.Answer{Region: s, Value: value, At: l.Now}
		for _, id := range ids {
			r, ok := v.Request(id)
			if !ok || r.Open() == nil {
				continue
			}
			a.Index = r.Open().Meta.Index
			sig := sha256.Sum256(append(id[:], byte(s)))
			a.Items = append(a.Items, command.AnswerItem{Request: id, Attempt: r.Open().Number, Signers: signers,
				Code: errs.OK, Signatures: [][]byte{append(sig[:], sig[:]...)}})
		}
		c.Index = a.Index
		c.Answers = append(c.Answers, l.Answer(a))
	}
	return l.By(leader.Session, c)
}
