package chain_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
)

// fuzz: what a decoder reads has one encoding, and verifying it never panics.
func fuzz(f *testing.F, name string) {
	for _, x := range forms(f) {
		if x.name != name {
			continue
		}
		for _, s := range x.samples {
			f.Add(s)
		}
		book := newWorld(f).book
		f.Fuzz(func(t *testing.T, b []byte) {
			v, err := x.decode(b)
			if err != nil {
				return
			}
			if !bytes.Equal(v.Encode(), b) {
				t.Errorf("%x has a second encoding", b)
			}
			judgeAny(book, v)
		})
		return
	}
	f.Fatalf("no form %q", name)
}

// judgeAny runs what is run on v when it arrives; the fuzzer looks for panics.
func judgeAny(book *chain.Book, v encoder) {
	switch v := v.(type) {
	case interface{ Verify(chain.Roster) error }:
		_ = v.Verify(book)
	case interface {
		Verify(chain.Roster, [32]byte) error
	}:
		_ = v.Verify(book, lineage)
	case *chain.Justification:
		_ = chain.Believe(book, lineage, v.Term(), v)
	case *chain.Evidence:
		_, _ = chain.Convict(chain.Court{Cluster: v.Cluster, Lineage: v.Lineage, Pins: nobody, Regions: 4}, v)
	}
}

func FuzzDecodeEntrySignature(f *testing.F) { fuzz(f, "entry signature") }

func FuzzDecodeAck(f *testing.F) { fuzz(f, "ack") }

func FuzzDecodeCertificate(f *testing.F) { fuzz(f, "certificate") }

func FuzzDecodeVote(f *testing.F) { fuzz(f, "vote") }

func FuzzDecodeLeaderProof(f *testing.F) { fuzz(f, "leader proof") }

func FuzzDecodePreVote(f *testing.F) { fuzz(f, "pre-vote") }

func FuzzDecodeTransfer(f *testing.F) { fuzz(f, "transfer") }

func FuzzDecodeJustification(f *testing.F) { fuzz(f, "justification") }

func FuzzDecodeSnapshotProof(f *testing.F) { fuzz(f, "snapshot proof") }

func FuzzDecodeOffer(f *testing.F) { fuzz(f, "snapshot offer") }

func FuzzDecodeClaim(f *testing.F) { fuzz(f, "claim") }

func FuzzDecodeRefused(f *testing.F) { fuzz(f, "refused entry") }

func FuzzDecodeEvidence(f *testing.F) { fuzz(f, "evidence") }

func FuzzDecodeCover(f *testing.F) { fuzz(f, "cover") }
