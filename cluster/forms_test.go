package cluster_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/tetrad-vault/tetrad/cluster"
)

// FuzzStoredForms: what a decoder reads has one encoding, and nothing makes it panic. The
// samples are of each form that the room stores or sends besides messages.
func FuzzStoredForms(f *testing.F) {
	for _, s := range cluster.Samples() {
		f.Add(s.Kind, s.Bytes)
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		again, err := cluster.Recode(kind, b)
		if err == nil && !bytes.Equal(again, b) {
			t.Errorf("%s %x has a second encoding %x", kind, b, again)
		}
	})
}

// TestGoldenForms: what earlier versions stored is read as it was.
func TestGoldenForms(t *testing.T) {
	out := map[string]string{}
	for _, s := range cluster.Samples() {
		again, err := cluster.Recode(s.Kind, s.Bytes)
		if err != nil || !bytes.Equal(again, s.Bytes) {
			t.Errorf("%s: %v", s.Kind, err)
		}
		for cut := range s.Bytes {
			if _, err := cluster.Recode(s.Kind, s.Bytes[:cut]); err == nil {
				t.Fatalf("%s cut after %d bytes decodes", s.Kind, cut)
			}
		}
		if s.Stored {
			out[s.Kind] = hex.EncodeToString(s.Bytes)
		}
	}
	golden(t, "cluster-forms.json", out)
}
