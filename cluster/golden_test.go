package cluster_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// golden compares v with docs/spec/vectors/name.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("..", "docs", "spec", "vectors", name)
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

func TestGoldenChain(t *testing.T) {
	type entry struct {
		Index, Term      uint64
		Type             uint8
		Data, Chain, Ext string
	}
	lineage := [32]byte{}
	for i := range lineage {
		lineage[i] = byte(i)
	}
	out := struct {
		Lineage string
		Entries []entry
	}{Lineage: hex.EncodeToString(lineage[:])}
	prev := lineage
	for i, e := range []struct {
		term uint64
		kind raft.LogType
		data string
	}{{1, raft.LogConfiguration, "membership"}, {2, raft.LogNoop, ""}, {2, raft.LogCommand, "sealed entry"}, {5, raft.LogBarrier, ""}} {
		index := uint64(i + 1)
		prev = cluster.ChainHash(prev, e.term, index, e.kind, cluster.DataHash([]byte(e.data)))
		x := cluster.Extension{Chain: prev}
		if index == 4 {
			x = fullExtension(prev)
		}
		out.Entries = append(out.Entries, entry{index, e.term, uint8(e.kind), hex.EncodeToString([]byte(e.data)), hex.EncodeToString(prev[:]), hex.EncodeToString(x.Encode())})
	}
	golden(t, "chain.json", out)
}

// fullExtension has every part, with signatures of zeros: their own vectors are in
// certificates.json.
func fullExtension(hash [32]byte) cluster.Extension {
	sig := func(r identity.RegionID) chain.Signature { return chain.Signature{Region: r} }
	at := chain.Link{Term: 1, Index: 3, Hash: [32]byte{3}}
	return cluster.Extension{Chain: hash, Signature: &chain.Signature{Region: 1},
		Proof:       &chain.LeaderProof{Term: 5, Leader: 1, Base: at, Ballots: []chain.Ballot{{Last: at, Signature: sig(1)}, {Last: at, Signature: sig(2)}, {Last: at, Signature: sig(4)}}},
		Certificate: &chain.Certificate{Tuple: chain.Tuple{Link: at}, Witnesses: []chain.Witness{{At: time.UnixMilli(9), Signature: sig(1)}, {At: time.UnixMilli(8), Signature: sig(3)}}}}
}

// plainSealer shows what is sealed and under which context.
type plainSealer struct{ contexts []string }

func (p *plainSealer) Seal(plain, context []byte) ([]byte, error) {
	p.contexts = append(p.contexts, hex.EncodeToString(context))
	return append([]byte("sealed:"), plain...), nil
}

func (p *plainSealer) Open(sealed, context []byte) ([]byte, error) {
	return bytes.TrimPrefix(sealed, []byte("sealed:")), nil
}

func TestGoldenSnapshotEnvelope(t *testing.T) {
	p := &plainSealer{}
	conf := raft.Configuration{Servers: []raft.Server{{ID: "r1-00000001", Address: "r1:1"}}}
	b := cluster.SealedSnapshot(p, [32]byte{1}, 1234, 7, conf, []byte("state"))
	golden(t, "snapshot-envelope.json", map[string]any{
		"comment":      "sealing replaced by the prefix \"sealed:\"",
		"lineage":      hex.EncodeToString(append([]byte{1}, make([]byte, 31)...)),
		"index":        1234,
		"term":         7,
		"chain":        hex.EncodeToString(append([]byte{5}, make([]byte, 31)...)),
		"config_index": 1,
		"state":        "state",
		"contexts":     p.contexts,
		"file":         hex.EncodeToString(b),
	})
}

func TestGoldenEntryContext(t *testing.T) {
	golden(t, "entry-context.json", map[string]string{
		"lineage": hex.EncodeToString(append([]byte{1}, make([]byte, 31)...)),
		"context": hex.EncodeToString(cluster.EntryContext([32]byte{1})),
	})
}
