package chain_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// encoder is what every form has.
type encoder interface{ Encode() []byte }

func as[T encoder](decode func([]byte) (T, error)) func([]byte) (encoder, error) {
	return func(b []byte) (encoder, error) { return decode(b) }
}

// form is one stored or sent form with samples of it.
type form struct {
	name    string
	decode  func([]byte) (encoder, error)
	samples [][]byte
}

func forms(tb testing.TB) []form {
	s := newScene(tb)
	w := s.world
	transfer, err := chain.SignTransfer(w.signers[1], chain.Transfer{Lineage: lineage, Term: 2, To: 4})
	w.must(err)
	cert, err := chain.Certify([]chain.Ack{w.ack(1, at(1, 0)), w.ack(2, at(1, 0)), w.ack(3, at(1, 0))})
	w.must(err)
	ack := w.ack(1, at(1, 0))
	snap := w.snapshot(1, 2, 3)
	prevote := w.preVote(2, 1, 3)
	return []form{
		{"entry signature", as(chain.DecodeEntrySignature), [][]byte{w.entry(4, at(3, 0))}},
		{"ack", as(chain.DecodeAck), [][]byte{ack.Encode()}},
		{"certificate", as(chain.DecodeCertificate), [][]byte{cert.Encode()}},
		{"vote", as(chain.DecodeVote), [][]byte{w.voteBytes(2, 1, 3, s.link(3), true), w.voteBytes(2, 1, 3, s.link(2), false)}},
		{"leader proof", as(chain.DecodeLeaderProof), [][]byte{s.proof.Encode()}},
		{"pre-vote", as(chain.DecodePreVote), [][]byte{prevote.Encode()}},
		{"transfer", as(chain.DecodeTransfer), [][]byte{transfer.Encode()}},
		{"justification", as(chain.DecodeJustification), [][]byte{
			w.justify(1, 3, 1, 2, 4).Encode(),
			(&chain.Justification{Handover: &chain.Handover{Transfer: transfer, Proof: *s.proof}}).Encode(),
			(&chain.Justification{Proof: s.proof}).Encode()}},
		{"snapshot proof", as(chain.DecodeSnapshotProof), [][]byte{snap.Encode()}},
		{"snapshot offer", as(chain.DecodeOffer), [][]byte{w.offerBytes(1, snap, snap.Encode())}},
		{"claim", as(chain.DecodeClaim), [][]byte{w.claimBytes(1, 9, noon)}},
		{"refused entry", as(chain.DecodeRefused), [][]byte{w.refusedBytes(4, 2, "x", []byte("x"))}},
		{"cover", as(chain.DecodeCover), [][]byte{(&chain.Cover{Certificate: *cert}).Encode(),
			(&chain.Cover{Certificate: *cert, Path: []chain.Header{{Prev: [32]byte{1}, Term: 1, Index: 1, Type: chain.TypeNoop, Data: sum(nil)}},
				Sessions: []*identity.SessionCert{w.certs[3]}}).Encode()}},
		{"evidence", as(chain.DecodeEvidence), [][]byte{w.accuse(chain.RivalEntries, 4, w.entry(4, at(3, 0)), w.entry(4, at(3, 1))).Encode()}},
	}
}

func TestGolden(t *testing.T) {
	type vector struct{ Form, Hex string }
	out := struct {
		Lineage  string
		Sessions []string // keys of regions 1 to 4
		Forms    []vector
	}{Lineage: hex.EncodeToString(lineage[:])}
	w := newWorld(t)
	for _, r := range sorted(1, 2, 3, 4) {
		out.Sessions = append(out.Sessions, w.certs[r].Session.Text())
	}
	for _, f := range forms(t) {
		for _, b := range f.samples {
			out.Forms = append(out.Forms, vector{f.name, hex.EncodeToString(b)})
		}
	}
	got, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("..", "..", "docs", "spec", "vectors", "certificates.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s", path, got)
	}
}

// TestStrict: every form round trips, and nothing longer, shorter or of another
// version is read.
func TestStrict(t *testing.T) {
	for _, f := range forms(t) {
		for _, b := range f.samples {
			v, err := f.decode(b)
			if err != nil || !bytes.Equal(v.Encode(), b) {
				t.Fatalf("%s: round trip: %v", f.name, err)
			}
			for i := range b {
				if _, err := f.decode(b[:i]); err == nil {
					t.Errorf("%s: read from %d of %d bytes", f.name, i, len(b))
				}
			}
			if _, err := f.decode(append(bytes.Clone(b), 0)); err == nil {
				t.Errorf("%s: trailing byte read", f.name)
			}
			newer := bytes.Clone(b)
			newer[0] = 2
			if _, err := f.decode(newer); err == nil {
				t.Errorf("%s: version 2 read", f.name)
			}
		}
	}
}

// TestMessage rebuilds by hand, from the specification, what an ack signs.
func TestMessage(t *testing.T) {
	w := newWorld(t)
	a := w.ack(2, at(7, 1))
	str := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	m := str("tetrad/ack/v1")
	m = append(m, lineage[:]...)
	m = binary.BigEndian.AppendUint64(m, 2)
	m = binary.BigEndian.AppendUint64(m, 7)
	m = append(m, a.Hash[:]...)
	m = binary.BigEndian.AppendUint64(m, uint64(a.At.UnixMilli()))
	m = append(m, 2)
	key := w.certs[2].Session
	session := key.Fingerprint()
	m = append(m, session[:]...)
	if !key.Verify(m, a.Sig[:]) {
		t.Error("an ack signs something else than the specification says")
	}
}

// TestChainHash: the hash of a header is the chain hash of the log.
func TestChainHash(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "vectors", "chain.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Lineage string
		Entries []struct {
			Index, Term uint64
			Type        uint8
			Data, Chain string
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil || len(v.Entries) == 0 {
		t.Fatal(err)
	}
	prev := unhex(t, v.Lineage)
	for _, e := range v.Entries {
		data, err := hex.DecodeString(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		h := chain.Header{Prev: [32]byte(prev), Term: e.Term, Index: e.Index, Type: e.Type, Data: sum(data)}
		if got := h.Hash(); !bytes.Equal(got[:], unhex(t, e.Chain)) {
			t.Errorf("index %d: %x, want %s", e.Index, got, e.Chain)
		}
		prev = unhex(t, e.Chain)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}
