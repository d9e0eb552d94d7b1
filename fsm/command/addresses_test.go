package command_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// ofAddresses returns the commands that give out addresses, and those that make keys of an
// asset class.
func ofAddresses(k *fsmtest.Kit) []*command.Command {
	at, key, a, b := k.Start.Add(time.Minute), command.KeyID{1, 2, 3}, k.Admins[0], k.Admins[1]
	made, err := withFallback(k).Body()
	if err != nil {
		panic(err)
	}
	both := *made.(*command.CreateKey)
	both.Asset = command.AssetBitcoin
	brought := &command.ImportKey{Name: "old", Tenant: "acme", Curve: command.Ed25519, Signers: 2, Point: []byte{2}, Split: []byte{5}, Asset: command.AssetCosmos}
	return []*command.Command{
		k.Command(&command.NextAddresses{Key: key, Branch: []uint32{0, 1<<31 - 1}, Count: 256, Note: "n"}, at, a),
		k.Command(&command.NextAddresses{Key: key, Count: 1}, at, a),
		k.Command(&command.IssueAddresses{Key: key, Paths: [][]byte{command.EncodePath([]uint32{0, 1})}, Note: "n", Again: true}, at, a),
		k.Command(&command.CreateKey{Name: "sol", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2, Asset: command.AssetSolana}, at, a),
		k.Command(&both, at, a, b), k.Command(brought, at, a, b),
	}
}

func TestAddressVectors(t *testing.T) {
	k := fsmtest.New()
	var vectors []fsmtest.Vector
	for _, c := range ofAddresses(k) {
		cm := c.Commitment()
		vectors = append(vectors, fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:]))
		body, err := c.Body()
		if err != nil {
			t.Fatal(err)
		}
		again := k.Command(body, c.Expiry, k.Admins[0])
		for i := range c.Fields {
			if len(again.Fields) != len(c.Fields) || !bytes.Equal(again.Fields[i].Value, c.Fields[i].Value) {
				t.Errorf("%s: field %d does not come back", c.Type, i)
			}
		}
	}
	word := k.OutcomeWord(2, command.OutcomeWord{Meta: command.Meta{Index: 7, Term: 2, Chain: [32]byte{3}}, Command: [32]byte{4}, Code: errs.OK, Next: 12, Applied: 9, At: k.Start})
	fsmtest.Golden(t, root, "command-addresses", append(vectors, fsmtest.NewVector("outcome word", word)))
	o, err := command.DecodeOutcomeWord(word)
	if err != nil || o.Next != 12 || !bytes.Equal(o.Encode(), word) {
		t.Fatalf("%+v, %v", o, err)
	}
	other := *o
	if other.Next = 13; o.Agrees(&other) {
		t.Error("words on other addresses agree")
	}
	none := bytes.Clone(word)
	copy(none[bytes.Index(word, []byte{0, 0, 0, 12}):], []byte{0, 0, 0, 0})
	if _, err := command.DecodeOutcomeWord(none); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("a word on addresses, but none: %v", err)
	}
}

// TestAddressFields: what is not there is not written, and nothing reads as another thing.
func TestAddressFields(t *testing.T) {
	cs := ofAddresses(fsmtest.New())
	bad := func(name string, c *command.Command, field int, value []byte) {
		t.Helper()
		d := *c
		d.Fields = slices.Clone(c.Fields)
		d.Fields[field].Value = value
		if _, err := d.Body(); errs.CodeOf(err) != errs.Malformed && errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad("no addresses", cs[0], 2, []byte{0, 0, 0, 0})
	bad("too many", cs[0], 2, []byte{0, 0, 1, 1})
	bad("a branch too deep", cs[0], 1, make([]byte, 32))
	bad("a hardened branch", cs[0], 1, []byte{0x80, 0, 0, 0})
	bad("not again", cs[2], 3, []byte{0})
	bad("again, but empty", cs[2], 3, nil)
	bad("again twice", cs[2], 3, []byte{2})
	for _, c := range cs[3:] {
		bad("no class", c, len(c.Fields)-1, []byte{0})
		bad("an empty class", c, len(c.Fields)-1, nil)
		bad("a long class", c, len(c.Fields)-1, []byte{0, 1})
	}
	sol, err := cs[3].Body()
	if b := sol.(*command.CreateKey); err != nil || b.Fallback != nil || b.Asset != command.AssetSolana {
		t.Errorf("%+v, %v", b, err)
	}
	old, err := withFallback(fsmtest.New()).Body()
	if b := old.(*command.CreateKey); err != nil || b.Fallback == nil || b.Asset != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestTemplates: each class reads as it is named, has children from 0 on, and gives out some
// of them by default.
func TestTemplates(t *testing.T) {
	for a := command.Asset(1); a.Valid(); a++ {
		tpl, again := a.Template(), command.Asset(0)
		again, err := command.ParseAsset(a.String())
		if err != nil || again != a || !tpl.Curve.Valid() || tpl.Follows == "" || tpl.Key == "" || len(tpl.Steps) > command.MaxDepth {
			t.Errorf("class %d: %v, %+v", a, err, tpl)
		}
		for i := range uint32(3) {
			if err := a.Check(append(slices.Clone(a.Branch()), i)); err != nil {
				t.Errorf("class %s, index %d: %v", a, i, err)
			}
		}
	}
	if _, err := command.ParseAsset(""); err == nil {
		t.Error("no name is a class")
	}
	for _, tc := range []struct {
		asset       command.Asset
		path        []uint32
		child, over bool
	}{
		{0, nil, true, true}, {0, []uint32{1, 2, 3, 4, 5, 6, 7, 8}, true, true},
		{command.AssetBitcoin, nil, false, true}, {command.AssetBitcoin, []uint32{0}, false, true}, {command.AssetBitcoin, []uint32{1}, false, true},
		{command.AssetBitcoin, []uint32{0, 1<<31 - 1}, true, true}, {command.AssetBitcoin, []uint32{1, 5}, true, true},
		{command.AssetBitcoin, []uint32{2}, false, false}, {command.AssetBitcoin, []uint32{2, 5}, false, false},
		{command.AssetBitcoin, []uint32{0, 5, 0}, false, false}, {command.AssetBitcoin, []uint32{0, 1 << 31}, false, false},
		{command.AssetBitcoinTestnet, []uint32{1, 5}, true, true},
		{command.AssetSolana, []uint32{0, 5}, true, true}, {command.AssetSolana, []uint32{1, 5}, false, false},
		{command.AssetCosmos, []uint32{0, 5}, true, true}, {command.AssetCosmos, []uint32{1}, false, false},
		{99, []uint32{0, 5}, false, false},
	} {
		if child, over := tc.asset.Check(tc.path), tc.asset.CheckAbove(tc.path); (child == nil) != tc.child || (over == nil) != tc.over {
			t.Errorf("class %q, %s: %v, %v", tc.asset, command.PathText(tc.path), child, over)
		}
	}
}

// TestGiven: what an outcome says has to be a row of addresses that there can be.
func TestGiven(t *testing.T) {
	b := &command.NextAddresses{Branch: []uint32{0}, Count: 3}
	if got := b.Given(5); len(got) != 3 || !slices.Equal(got[0], []uint32{0, 2}) || !slices.Equal(got[2], []uint32{0, 4}) {
		t.Errorf("%v", got)
	}
	if got := b.Given(1 << 31); len(got) != 3 || got[2][1] != 1<<31-1 {
		t.Errorf("the last ones: %v", got)
	}
	for _, next := range []uint32{0, 2, 1<<31 + 1, 1<<32 - 1} {
		if got := b.Given(next); got != nil {
			t.Errorf("next %d: %v", next, got)
		}
	}
}
