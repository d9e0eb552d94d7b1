package replication_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

// gcm is a sealer with one key.
type gcm struct{ cipher.AEAD }

func newSealer(key byte) gcm {
	b, _ := aes.NewCipher(append(make([]byte, 31), key))
	a, _ := cipher.NewGCMWithRandomNonce(b)
	return gcm{a}
}

func (g gcm) Seal(plain, context []byte) ([]byte, error) {
	return g.AEAD.Seal(nil, nil, plain, context), nil
}

func (g gcm) Open(sealed, context []byte) ([]byte, error) {
	return g.AEAD.Open(nil, nil, sealed, context)
}

// history makes leaf seq of a made-up cluster: always the same one.
func history(seq uint64) audit.Leaf {
	var name [8]byte
	binary.BigEndian.PutUint64(name[:], seq)
	c := command.Command{Format: command.Format, Type: command.TypeFreezeVault, Expiry: time.UnixMilli(int64(seq)).UTC(),
		Fields: []command.Field{{Value: []byte("reason " + string(name[:]))}}, Signatures: []command.Signature{{Sig: make([]byte, 64)}}}
	copy(c.ID[:], name[:])
	return audit.Leaf{Seq: seq, Meta: command.Meta{Index: seq/3 + 1, Term: 1}, Stamp: c.Expiry, Command: c.Commitment(),
		Code: errs.OK, Effect: []byte{1, 2, 3}, Fields: c.Fields}
}

func leaves(from, to uint64) (out []audit.Leaf) {
	for seq := from; seq < to; seq++ {
		out = append(out, history(seq))
	}
	return out
}

func tree(size uint64) (f audit.Frontier) {
	for seq := range size {
		l := history(seq)
		f.Append(l.Hash())
	}
	return f
}

// source serves history, changed by bend where that is set.
type source struct {
	size uint64
	bend func(*audit.Leaf)
	err  error
}

func (s source) Leaves(_ context.Context, from uint64, most int) ([]audit.Leaf, error) {
	if s.err != nil {
		return nil, s.err
	}
	out := leaves(from, min(s.size, from+uint64(most)))
	for i := range out {
		if s.bend != nil {
			s.bend(&out[i])
		}
	}
	return out, nil
}

func open(t testing.TB, fs durable.FS) *replication.Store {
	t.Helper()
	s, err := replication.Open(fs, newSealer(1), replication.Options{SegmentLeaves: 16})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, want errs.Code) {
	t.Helper()
	if got := errs.CodeOf(err); got != want {
		t.Fatalf("error %v is %s, want %s", err, got, want)
	}
}

// wantAll checks that every leaf is there, and that the tree proves it.
func wantAll(t testing.TB, s *replication.Store, size uint64) {
	t.Helper()
	must(t, s.Healthy())
	edge := s.Frontier()
	if want := tree(size); !edge.Equal(&want) {
		t.Fatalf("the store holds another tree of %d leaves, want %d", edge.Size(), size)
	}
	for seq := range size {
		l, err := s.Leaf(seq)
		must(t, err)
		if h := history(seq); l.Hash() != h.Hash() || l.CheckFields() != nil {
			t.Fatalf("leaf %d is another one", seq)
		}
		p, err := s.Prove(seq, size)
		must(t, err)
		must(t, audit.CheckInclusion(p, size, edge.Root(), seq, l.Hash()))
	}
}

var ctx = context.Background()

func random(n int) []byte { b := make([]byte, n); _, _ = rand.Read(b); return b }
