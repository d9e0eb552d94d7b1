package audit_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func FuzzDecodeLeaf(f *testing.F) {
	l := sample()
	r := l.Redact(func(i int) bool { return i%2 == 0 })
	g := audit.GenesisLeaf([]byte("genesis"), [32]byte{1}, l.Stamp)
	f.Add(l.Encode())
	f.Add(r.Encode())
	f.Add(g.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := audit.DecodeLeaf(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Encode(), b) {
			t.Error("one leaf has two encodings")
		}
		_ = l.CheckFields()
		_, _ = l.Body()
		_, _ = audit.DecodeEffect(l.Effect)
	})
}

func FuzzDecodeEffect(f *testing.F) {
	e := everything()
	f.Add(e.Encode())
	e = threshold()
	f.Add(e.Encode())
	e = scheduled()
	f.Add(e.Encode())
	e = given()
	f.Add(e.Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := audit.DecodeEffect(b); err == nil && !bytes.Equal(e.Encode(), b) {
			t.Error("one effect has two encodings")
		}
	})
}

func FuzzDecodeFrontier(f *testing.F) {
	_, edges := grow(f, 21)
	for _, e := range edges {
		f.Add(e.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := audit.DecodeFrontier(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Encode(), b) {
			t.Error("one frontier has two encodings")
		}
		e.Root()
		e.Append([32]byte{1})
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c := audit.Checkpoint{Cluster: identity.ClusterID{1}, Size: 3, Signatures: []audit.CheckpointSignature{{Region: 1, Sig: []byte{1}}, {Region: 4}}}
	f.Add(c.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := audit.DecodeCheckpoint(b); err == nil && !bytes.Equal(c.Encode(), b) {
			t.Error("one checkpoint has two encodings")
		}
	})
}
