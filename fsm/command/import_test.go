package command_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// outside are an import, and the settings that came with it and with refresh by schedule.
func outside(k *fsmtest.Kit) []*command.Command {
	at, a, b := k.Start.Add(time.Minute), k.Admins[0], k.Admins[1]
	set := command.Settings{MaxSkew: 1500 * time.Millisecond, RequestMaxAge: time.Hour, MaxOpen: 9}
	every, imports, all := set, set, set
	every.RefreshEvery, imports.Import = 36*time.Hour, true
	all.EscrowDelay, all.RefreshEvery, all.Import = 24*time.Hour, 36*time.Hour, true
	body := &command.ImportKey{Name: "old", Tenant: "acme", Curve: command.Secp256k1, Signers: 2, AllowBlind: true, Regions: []identity.RegionID{1, 2, 4}, Note: "a note",
		Wrap: 7, Point: []byte{2, 3}, Chain: [32]byte{4}, Split: []byte{5, 6}, Boxes: [][]byte{{7}, {8}, {9}}}
	paths := *body
	paths.Fallback = &command.Fallback{Signers: 2, PublicKeys: [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}}
	return []*command.Command{k.Command(body, at, a, b), k.Command(&paths, at, a, b),
		k.Command(&command.Configure{Settings: every}, at, a, b), k.Command(&command.Configure{Settings: imports}, at, a, b), k.Command(&command.Configure{Settings: all}, at, a, b)}
}

func TestImportVectors(t *testing.T) {
	k := fsmtest.New()
	var vectors []fsmtest.Vector
	for _, c := range outside(k) {
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
		for n := range c.Fields {
			if body, err := (&command.Command{Format: c.Format, Type: c.Type, Fields: c.Fields[:n]}).Body(); c.Type == command.TypeImportKey && n < 12 && err == nil {
				t.Errorf("%d fields are %+v", n, body)
			}
		}
	}
	info := command.ImportInfo(k.Cluster(), 3, 7, []byte{5, 6})
	vectors = append(vectors, fsmtest.NewVector("info of region 3's box", info))
	fsmtest.Golden(t, root, "command-import", vectors)
	for _, other := range [][]byte{command.ImportInfo(identity.ClusterID{1}, 3, 7, []byte{5, 6}), command.ImportInfo(k.Cluster(), 2, 7, []byte{5, 6}),
		command.ImportInfo(k.Cluster(), 3, 8, []byte{5, 6}), command.ImportInfo(k.Cluster(), 3, 7, []byte{5, 7})} {
		if bytes.Equal(info, other) {
			t.Error("a box fits two places")
		}
	}
}

// TestSettingsHaveOneForm: what is zero at the end is not there.
func TestSettingsHaveOneForm(t *testing.T) {
	k := fsmtest.New()
	zero := []command.Field{{Value: make([]byte, 8)}, {Value: make([]byte, 8)}, {Value: []byte{0}}}
	c := k.Command(&command.Configure{Settings: command.Settings{MaxSkew: time.Second, RequestMaxAge: time.Hour, MaxOpen: 9}}, k.Start, k.Admins[0])
	plain := c.Fields
	if len(plain) != 3 {
		t.Fatalf("%d fields", len(plain))
	}
	for n := 1; n <= 3; n++ {
		c.Fields = append(plain[:3:3], zero[:n]...)
		if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%d zeros at the end: %v", n, err)
		}
	}
	for name, last := range map[string][]byte{"two": {2}, "long": {0, 1}, "empty": {}} {
		c.Fields = append(plain[:3:3], zero[0], zero[1], command.Field{Value: last})
		if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("import %s: %v", name, err)
		}
	}
	c.Fields = append(plain[:3:3], zero[0], zero[1], command.Field{Value: []byte{1}}, command.Field{Value: []byte{1}})
	if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("one field too many: %v", err)
	}
}
