package command_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// reenrol is a proven enrolment of region 3 with another HSM.
func reenrol(k *fsmtest.Kit) *command.Reenrol {
	id := k.Signer("region 3, its next HSM")
	b := &command.Reenrol{Region: 3, ServerID: "gamma-0000beef", RaftAddr: "c:1", APIAddr: "c:2", GossipAddr: "c:3", Identity: id.Public(),
		Wrapping: []byte{0x30, 1}, OAEPHash: 1, Curves: []byte{1, 2, 3}, HSM: "token of gamma", Attributes: []byte{0, 0, 0, 1, 7, 0, 0, 0, 0}}
	if err := b.Prove(context.Background(), k.Cluster(), id); err != nil {
		panic(err)
	}
	b.Replaces = k.Region(3).Identity.Public().Fingerprint()
	return b
}

func ofReenrolment(k *fsmtest.Kit) []*command.Command {
	return []*command.Command{k.Command(reenrol(k), k.Start.Add(time.Minute), k.Admins[0], k.Admins[1])}
}

func TestReenrolVectors(t *testing.T) {
	k := fsmtest.New()
	c := ofReenrolment(k)[0]
	cm := c.Commitment()
	fsmtest.Golden(t, root, "command-reenrol", []fsmtest.Vector{fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:])})
	b := reenrol(k)
	fsmtest.Golden(t, root, "reenrol", []fsmtest.Vector{fsmtest.NewVector("bundle", b.Bundle(), "signed", command.ReenrolBytes(k.Cluster(), b))})
	again, err := command.DecodeReenrol(b.Bundle())
	if err != nil || again.Proven(k.Cluster()) != nil || !bytes.Equal(again.Bundle(), b.Bundle()) || again.Replaces != (identity.Fingerprint{}) {
		t.Fatalf("%+v, %v", again, err)
	}
	for name, raw := range map[string][]byte{"nothing": nil, "another format": append([]byte{2}, b.Bundle()[1:]...), "a field more": append(b.Bundle(), 0, 0, 0, 0),
		"cut short": b.Bundle()[:300]} {
		if _, err := command.DecodeReenrol(raw); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := command.DecodeReenrol(make([]byte, command.MaxReenrol+1)); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("a huge bundle: %v", err)
	}
}

// TestReenrolProof: whatever of an enrolment is changed, or put before another vault, is not
// what the new identity signed.
func TestReenrolProof(t *testing.T) {
	k := fsmtest.New()
	other := k.Signer("somebody else").Public()
	for name, change := range map[string]func(*command.Reenrol){
		"region": func(b *command.Reenrol) { b.Region = 2 }, "server": func(b *command.Reenrol) { b.ServerID = "gamma-00000001" },
		"raft": func(b *command.Reenrol) { b.RaftAddr = "x:1" }, "api": func(b *command.Reenrol) { b.APIAddr = "x:1" },
		"gossip": func(b *command.Reenrol) { b.GossipAddr = "x:1" }, "identity": func(b *command.Reenrol) { b.Identity = other },
		"wrapping": func(b *command.Reenrol) { b.Wrapping = []byte{1} }, "hash": func(b *command.Reenrol) { b.OAEPHash = 2 },
		"curves": func(b *command.Reenrol) { b.Curves = []byte{1} }, "hsm": func(b *command.Reenrol) { b.HSM = "another" },
		"attributes": func(b *command.Reenrol) { b.Attributes = nil }, "proof": func(b *command.Reenrol) { b.Proof = nil },
		"a byte between fields": func(b *command.Reenrol) { b.RaftAddr, b.APIAddr = "c:1c", ":2" },
	} {
		b := reenrol(k)
		change(b)
		if err := b.Proven(k.Cluster()); errs.CodeOf(err) != errs.Unverified {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	b := reenrol(k)
	if err := b.Proven(identity.ClusterID{1}); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("before another cluster: %v", err)
	}
	b.Replaces = identity.Fingerprint{}
	if err := b.Proven(k.Cluster()); err != nil {
		t.Errorf("what it replaces is not the new HSM's to say: %v", err)
	}
}
