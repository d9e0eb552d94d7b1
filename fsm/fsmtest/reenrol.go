package fsmtest

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// Enrol returns a region's proven enrolment with its next HSM, and the region as it is then,
// with a session of it. No HSM has the wrapping key: its modulus is made up.
func (k *Kit) Enrol(r *Region, at time.Time) (*command.Reenrol, *Region) {
	k.mu.Lock()
	k.boots++
	n := k.boots
	k.mu.Unlock()
	next := &Region{ID: r.ID, Name: r.Name, ServerID: fmt.Sprintf("%s-%08x", r.Name, 0xb000+n), Identity: k.Signer(fmt.Sprint("identity ", r.Name, n))}
	b := &command.Reenrol{Region: r.ID, ServerID: next.ServerID, RaftAddr: r.Name + ":8001", APIAddr: r.Name + ":8002", GossipAddr: r.Name + ":8003",
		Identity: next.Identity.Public(), Wrapping: Wrapping(r.Name, n), OAEPHash: 2, Curves: []byte{1, 2, 3}, HSM: fmt.Sprint("software ", n), Attributes: []byte("attributes")}
	must(b.Prove(context.Background(), k.Cluster(), next.Identity))
	b.Replaces = r.Identity.Public().Fingerprint()
	k.NewSession(next, at)
	return b, next
}

// Enrol does the same now.
func (l *Log) Enrol(r *Region) (*command.Reenrol, *Region) { return l.Kit.Enrol(r, l.Now) }

// Wrapping returns an RSA public key that nobody has the private key of, PKIX.
func Wrapping(what string, n int) []byte {
	m := fake(384, "wrapping", what, n)
	m[0], m[383] = m[0]|0x80, m[383]|1
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(m), E: 65537})
	must(err)
	return der
}

// Reenrol enrols a region that is away with another HSM, and makes it the kit's.
func (l *Log) Reenrol(r *Region) *Region {
	b, next := l.Enrol(r)
	l.Must(l.Dual(b))
	l.Regions[r.ID-1] = next
	return next
}
