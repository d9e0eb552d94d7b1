package cluster_test

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
)

func FuzzRequest(f *testing.F) {
	for _, s := range cluster.SampleRequests() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if ok, same := cluster.RoundTripRequest(b); ok && !same {
			t.Errorf("%x has a second encoding", b)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add(cluster.SampleReply())
	f.Fuzz(func(t *testing.T, b []byte) {
		if ok, same := cluster.RoundTripReply(b); ok && !same {
			t.Errorf("%x has a second encoding", b)
		}
	})
}

func FuzzExtension(f *testing.F) {
	f.Add(cluster.ExtensionFor([32]byte{1}))
	full := fullExtension([32]byte{2})
	f.Add(full.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := cluster.DecodeExtension(b); err == nil && b[0] == 2 && !bytes.Equal(e.Encode(), b) {
			t.Errorf("%x has a second encoding", b)
		}
	})
}

func FuzzSnapshotEnvelope(f *testing.F) {
	sealer := clustertest.NewSealer("snapshot")
	conf := raft.Configuration{Servers: []raft.Server{{ID: "x", Address: "y"}}}
	f.Add(cluster.SealedSnapshot(sealer, [32]byte{1}, 5, 2, conf, []byte("state")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = cluster.OpenEnvelope(bytes.NewReader(b), sealer)
	})
}

func FuzzConfigurationEntry(f *testing.F) {
	f.Add(raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "x", Address: "y"}}}))
	f.Fuzz(func(t *testing.T, b []byte) { // raft's own decoder panics
		_ = cluster.CheckShape(1, 1, 1, []*raft.Log{{Index: 2, Term: 1, Type: raft.LogConfiguration, Data: b}})
	})
}

func FuzzSmallFiles(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		cluster.RoundTripMark(b)
		cluster.RoundTripIncarnation(b)
		cluster.RoundTripPartial(b)
		cluster.RoundTripSessions(b)
		if ok, same := cluster.RoundTripMeta(b); ok && !same {
			t.Errorf("%x has a second encoding", b)
		}
	})
}
