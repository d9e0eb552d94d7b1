package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func named(key command.KeyID, again bool, paths ...[]uint32) *command.IssueAddresses {
	b := &command.IssueAddresses{Key: key, Again: again}
	for _, p := range paths {
		b.Paths = append(b.Paths, command.EncodePath(p))
	}
	return b
}

// next asks for the next addresses and returns them as text.
func nextOf(t testing.TB, l *fsmtest.Log, by identity.Signer, key command.KeyID, count uint32, branch ...uint32) (out []string) {
	t.Helper()
	b := &command.NextAddresses{Key: key, Branch: branch, Count: count}
	return texts(b.Given(l.Must(l.By(by, b)).Next))
}

func texts(paths [][]uint32) (out []string) {
	for _, p := range paths {
		out = append(out, command.PathText(p))
	}
	return out
}

// TestNextAddresses: two askers at once get different ones, the same command the same ones, and
// the leaf names them.
func TestNextAddresses(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	body := &command.NextAddresses{Key: key, Branch: []uint32{0}, Count: 1}
	first, second := l.By(signer, body), l.By(l.Admins[0], body)
	r := l.Apply(first, second, first)
	if o := r.Outcomes; o[0].Next != 1 || o[1].Next != 2 || o[2].Next != 1 || o[2].Index != o[0].Index {
		t.Fatalf("%+v", o)
	}
	for i, want := range []*audit.GivenAddresses{{Key: key, Branch: []uint32{0}, First: 0, Count: 1}, {Key: key, Branch: []uint32{0}, First: 1, Count: 1}, nil} {
		e, err := audit.DecodeEffect(r.Leaves[i].Effect)
		if err != nil || (e.Given == nil) != (want == nil) || want != nil && (e.Given.First != want.First || e.Given.Key != key || e.Repeated) {
			t.Errorf("leaf %d: %+v, %v", i, e.Given, err)
		}
	}
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(bytes.NewReader(written(t, l.Machine))); err != nil {
		t.Fatal(err)
	}
	l.Machine = m
	if o := l.Must(second); o.Next != 2 {
		t.Errorf("after a restore the same command gives %+v", o)
	}
	if d, ok := m.View().Decided(second.Principal, second.ID); !ok || d.Next != 2 {
		t.Errorf("a region's word would say %+v", d)
	}
	if got := nextOf(t, l, signer, key, 2, 0); !slices.Equal(got, []string{"m/0/2", "m/0/3"}) {
		t.Errorf("then %v", got)
	}
	if got := nextOf(t, l, signer, key, 1); !slices.Equal(got, []string{"m/0"}) {
		t.Errorf("of the key itself %v", got)
	}
	if k := keyOf(t, l, key); k.Issued != 5 || k.Next([]uint32{0}) != 4 || k.Next(nil) != 1 || k.Next([]uint32{7}) != 0 {
		t.Errorf("%d issued, %+v", k.Issued, k.Given)
	}
}

// TestMarks: what is named moves its branch's mark and no other's, and is not given out twice
// unless that is meant.
func TestMarks(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.By(signer, named(key, false, child(0, 3))))
	if got := nextOf(t, l, signer, key, 3, 0); !slices.Equal(got, []string{"m/0/4", "m/0/5", "m/0/6"}) {
		t.Errorf("after m/0/3: %v", got)
	}
	var thirty [][]uint32
	for i := range uint32(30) {
		thirty = append(thirty, child(5, 29-i))
	}
	l.Must(l.By(signer, named(key, false, thirty...))) // in whatever order
	if got := nextOf(t, l, signer, key, 1, 0); !slices.Equal(got, []string{"m/0/7"}) {
		t.Errorf("thirty of m/5 left a gap: %v", got)
	}
	for _, p := range [][]uint32{{0, 3}, {0, 0}, {0, 7}, {5, 29}} {
		want(t, l, errs.Exists, l.By(signer, named(key, false, p)))
	}
	l.Must(l.By(signer, named(key, true, child(0, 3), child(0, 9))))
	if k := keyOf(t, l, key); k.Next([]uint32{0}) != 10 {
		t.Errorf("again left the mark at %d", k.Next([]uint32{0}))
	}
	l.Must(l.By(signer, named(key, false, nil)))
	want(t, l, errs.Exists, l.By(signer, named(key, false, nil)))
	l.Must(l.By(signer, named(key, true, nil)))
	l.Must(l.By(signer, named(key, false, child(3, 1<<31-1))))
	want(t, l, errs.BadState, l.By(signer, &command.NextAddresses{Key: key, Branch: child(3), Count: 1}))
}

// TestNextPassesFrozenOnes: a frozen address is not given out and does not stop its branch; a
// frozen branch is.
func TestNextPassesFrozenOnes(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	for _, p := range [][]uint32{{0, 1}, {0, 2, 8}, {0, 4}, {0, 9}, {1}} {
		l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: p}))
	}
	if got := nextOf(t, l, signer, key, 1, 0); !slices.Equal(got, []string{"m/0/0"}) {
		t.Error(got)
	}
	if got := nextOf(t, l, signer, key, 3, 0); !slices.Equal(got, []string{"m/0/5", "m/0/6", "m/0/7"}) {
		t.Error(got)
	}
	want(t, l, errs.Frozen, l.By(signer, &command.NextAddresses{Key: key, Branch: child(1), Count: 1}))
	want(t, l, errs.Frozen, l.By(signer, &command.NextAddresses{Key: key, Branch: child(1, 4), Count: 1}))
}

// TestBranchesAreBounded: the last one is refused with what to do instead.
func TestBranchesAreBounded(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	for i := range uint32(fsm.MaxBranches) {
		l.Must(l.By(signer, &command.NextAddresses{Key: key, Branch: child(i), Count: 1}))
	}
	want(t, l, errs.TooLarge, l.By(signer, &command.NextAddresses{Key: key, Branch: child(1 << 20), Count: 1}))
	want(t, l, errs.TooLarge, l.By(signer, named(key, true, child(1<<20, 1))))
	if got := nextOf(t, l, signer, key, 1, 7); !slices.Equal(got, []string{"m/7/1"}) {
		t.Error(got)
	}
	canonical(t, l)
}

// TestOldCounts: of keys of before the marks only a number is known; m/0/N was given out up to it.
func TestOldCounts(t *testing.T) {
	m := reads(t, "snapshot-threshold")
	k, ok := m.View().KeyByName("acme", "cold")
	if !ok || k.Issued != 1 || k.Next([]uint32{0}) != 1 || k.Next(nil) != 0 {
		t.Fatalf("%d issued, marks %+v", k.Issued, k.Given)
	}
}

func classy(l *fsmtest.Log, name string, curve command.Curve, a command.Asset) command.KeyID {
	id := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: curve, Signers: 2, Asset: a})).Key
	l.Hold(id)
	return id
}

// TestAssetRefused: a class wants a threshold key on its curve.
func TestAssetRefused(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	for i, b := range []command.CreateKey{
		{Scheme: command.SchemeMultisig, Curve: command.Secp256k1, Asset: command.AssetBitcoin},
		{Scheme: command.SchemeThreshold, Curve: command.Ed25519, Asset: command.AssetBitcoin},
		{Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Asset: command.AssetSolana},
		{Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Asset: 99},
	} {
		b.Name, b.Tenant, b.Signers = fmt.Sprint("k", i), "acme", 2
		want(t, l, errs.Invalid, l.By(l.Admins[0], &b))
	}
}

// TestTemplateHolds: of a key with a class only the template's children are signed for, given
// out and frozen; through refresh and restore.
func TestTemplateHolds(t *testing.T) {
	l, signer, plain := fsmtest.New().ReadyThreshold(fsm.Options{})
	sol := classy(l, "sol", command.Ed25519, command.AssetSolana)
	btc := classy(l, "btc", command.Secp256k1, command.AssetBitcoin)
	l.Must(l.Dual(&command.RefreshKey{Key: btc}))
	l.Hold(btc)
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(bytes.NewReader(written(t, l.Machine))); err != nil {
		t.Fatal(err)
	}
	l.Machine = m
	l.FillPools(command.Ed25519, 8)
	l.FillPools(command.Secp256k1, 8)
	for _, p := range [][]uint32{nil, {0}, {1, 0}, {0, 0, 0}} {
		want(t, l, errs.PayloadRejected, l.By(signer, under(sol, p...)))
		want(t, l, errs.Invalid, l.By(signer, named(sol, true, p)))
		want(t, l, errs.OK, l.By(signer, under(plain, p...)))
	}
	want(t, l, errs.OK, l.By(signer, under(sol, 0, 7)))
	want(t, l, errs.OK, l.By(signer, named(sol, false, child(0, 7))))
	want(t, l, errs.Invalid, l.By(signer, &command.NextAddresses{Key: sol, Branch: child(1), Count: 1}))
	want(t, l, errs.Invalid, l.By(signer, &command.NextAddresses{Key: sol, Count: 1}))
	want(t, l, errs.Invalid, l.By(signer, named(sol, false, child(0, 8+fsm.MaxSkip+1))))
	want(t, l, errs.Invalid, l.By(l.Admins[0], &command.FreezePath{Key: sol, Path: child(2)}))
	want(t, l, errs.Invalid, l.By(l.Region(1).Session, &command.RegionFreezePath{Key: sol, Path: child(0, 1, 2)}))
	want(t, l, errs.OK, l.By(l.Admins[0], &command.FreezePath{Key: sol, Path: child(0)}))
	k := keyOf(t, l, btc)
	want(t, l, errs.OK, l.By(signer, payment(t, k, child(0, 1), child(1, 2))))
	for _, p := range [][]uint32{nil, {0}, {2, 1}, {0, 1, 2}} {
		want(t, l, errs.PayloadRejected, l.By(signer, payment(t, k, child(0, 1), p)))
	}
	seen := map[[32]byte]bool{}
	for _, other := range []fsm.Key{*k, *k, *k} {
		other.Asset = command.Asset(len(seen))
		seen[fsm.SharingHash(&other)] = true
	}
	if len(seen) != 3 || !seen[fsm.SharingHash(k)] {
		t.Errorf("%d hashes of three classes", len(seen))
	}
}

// giver plays with the addresses of two keys.
type giver struct {
	player
	given map[string]bool // every path ever, of which key
	twice int
}

func (g *giver) path() []uint32 {
	return pick(&g.player, [][]uint32{nil, {0}, {3}, {0, 0}, {0, 1}, {0, 6}, {0, 30}, {1, 2}, {1, 5}, {5, 0, 1}})
}

func (g *giver) body() command.Body {
	if rapid.Bool().Draw(g.T, "named") {
		return named(g.key(), rapid.IntRange(0, 3).Draw(g.T, "again") == 0, g.path(), g.path())
	}
	return &command.NextAddresses{Key: g.key(), Branch: pick(&g.player, [][]uint32{nil, {0}, {0}, {1}, {5, 0}}), Count: uint32(rapid.IntRange(1, 4).Draw(g.T, "count"))}
}

// take checks one carried out command: nothing of it was given out before, unless it says so.
func (g *giver) take(c *command.Command, o fsm.Outcome, leaf *audit.Leaf) {
	e, err := audit.DecodeEffect(leaf.Effect)
	if err != nil || o.Code != errs.OK || e.Repeated {
		return
	}
	body, _ := c.Body()
	var paths [][]uint32
	key, again := command.KeyID{}, false
	switch b := body.(type) {
	case *command.NextAddresses:
		paths, key = b.Given(o.Next), b.Key
		if e.Given == nil || e.Given.First != paths[0][len(b.Branch)] || e.Given.Count != b.Count || !slices.Equal(e.Given.Branch, b.Branch) {
			g.Fatalf("the leaf says %+v, the outcome %v", e.Given, texts(paths))
		}
	case *command.IssueAddresses:
		key, again = b.Key, b.Again
		for _, p := range b.Paths {
			path, _ := command.DecodePath(p)
			paths = append(paths, path)
		}
	}
	for _, text := range texts(paths) {
		at := key.String() + text
		if g.given[at] && !again {
			g.Fatalf("%s is given out twice", text)
		} else if g.given[at] {
			g.twice++
		}
		g.given[at] = true
	}
}

// TestNoAddressTwice plays random histories: whatever is asked for, by whom and at once, no
// path is ever given out a second time unless that is asked for; replicas agree.
func TestNoAddressTwice(t *testing.T) {
	v, twice := fsm.NewVerifier(1<<14), 0
	rapid.Check(t, func(t *rapid.T) {
		l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{Verify: v.Verify})
		g := &giver{player: player{T: t, l: l, signers: []*identity.KeySigner{signer}, keys: []command.KeyID{key, classy(l, "sol", command.Ed25519, command.AssetSolana)}}, given: map[string]bool{}}
		for range rapid.IntRange(1, 25).Draw(t, "entries") {
			var commands []*command.Command
			for range rapid.IntRange(1, 4).Draw(t, "commands") {
				switch rapid.IntRange(0, 9).Draw(t, "move") {
				case 0:
					if len(g.past) > 0 {
						commands = append(commands, pick(&g.player, g.past))
					}
				case 1:
					commands = append(commands, l.By(l.Admins[0], &command.FreezePath{Key: g.key(), Path: append(g.path(), 4)}))
				default:
					commands = append(commands, l.By(pick(&g.player, []identity.Signer{signer, l.Admins[0]}), g.body()))
				}
			}
			g.past = append(g.past, commands...)
			r := l.Apply(commands...)
			for i, c := range commands {
				g.take(c, r.Outcomes[i], &r.Leaves[i])
			}
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 {
				l.Machine = restored(t, l, l.Machine, v)
			}
		}
		twice += g.twice
		m, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
		if err != nil {
			t.Fatal(err)
		}
		if m.Apply(l.Inputs); m.View().Digest() != l.Machine.View().Digest() {
			t.Fatal("another replica is in another state")
		}
	})
	if twice == 0 {
		t.Error("nothing was ever asked for again: the test shows less than it could")
	}
}

// TestImportedAsset: a key from outside may have a class too, for its life.
func TestImportedAsset(t *testing.T) {
	l, signer := importing(t)
	b := l.Import("acme", "old", command.Ed25519, 2)
	b.Asset = command.AssetBitcoin
	want(t, l, errs.Invalid, l.Dual(b))
	b.Asset = command.AssetSolana
	id := l.Must(l.Dual(b)).Key
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, l.Said(r, id)))
	}
	k := keyOf(t, l, id)
	if k.State != fsm.KeyActive || k.Asset != command.AssetSolana || !k.Outside {
		t.Fatalf("%+v", k)
	}
	other := *k
	other.Outside = false
	if fsm.SharingHash(k) == fsm.SharingHash(&other) {
		t.Error("its hash does not say that it was known outside")
	}
	want(t, l, errs.Invalid, l.By(signer, named(id, false, child(5))))
	canonical(t, l)
}
