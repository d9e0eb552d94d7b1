package vault

import (
	"encoding/hex"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// splitOfOne is a split of the secret 1 whose polynomial is x + 1: the generator twice.
const splitOfOne = "010202" + "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" + "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

// TestImportIsFixed: what every version must make alike of what was dealt.
func TestImportIsFixed(t *testing.T) {
	raw, err := hex.DecodeString(splitOfOne)
	noErr(t, err)
	split, err := frost.DecodeSplit(raw)
	noErr(t, err)
	public, err := split.Key([]uint8{1, 2, 4})
	noErr(t, err)
	var cluster identity.ClusterID
	copy(cluster[:], "0123456789abcdef")
	id := command.CeremonyID{Epoch: 1, Try: 1}
	copy(id.Key[:], "fedcba9876543210")
	key := &fsm.Key{ID: id.Key, Curve: command.Secp256k1, Signers: 2, Outside: true, Ceremony: &fsm.Ceremony{ID: id, Holders: []identity.RegionID{1, 2, 4}},
		Import: &fsm.Import{Split: raw, Point: public.Compressed(), Chain: [32]byte{9}}}
	got, err := importedKey(key)
	noErr(t, err)
	sum := importTranscript(cluster, key, got)
	if hex.EncodeToString(got.Encode()) != goldenImported || hex.EncodeToString(sum[:]) != goldenTranscript {
		t.Errorf("public side %x, transcript %x", got.Encode(), sum)
	}
	key.Import.Chain[0]++
	if importTranscript(cluster, key, got) == sum {
		t.Error("the transcript does not bind the chain code")
	}
}

const (
	goldenImported = "0102000000010203" + "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" + // the generator
		"01" + "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5" + "02" + "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9" + // 2 and 3 times it
		"04" + "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4" // 5 times
	goldenTranscript = "55c91f9568bfd9bd366ef770bd88aa15318aebe55705c7269a3cccbb666369d0"
)
