package fsm_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func child(path ...uint32) []uint32 { return path }

// under asks a threshold key's child for one message.
func under(key command.KeyID, path ...uint32) *command.RequestSignature {
	b := fsmtest.Message(key, "pay")
	b.Path = path
	return b
}

// payment spends one output of each child in one transaction.
func payment(t rapid.TB, k *fsm.Key, paths ...[]uint32) *command.RequestSignature {
	t.Helper()
	w, err := k.Info().Taproot()
	if err != nil {
		t.Fatal(err)
	}
	var outs []*intent.TaprootOutput
	var amounts []int64
	for _, p := range paths {
		o, err := w.Output(p...)
		if err != nil {
			t.Fatal(err)
		}
		outs, amounts = append(outs, o), append(amounts, 10_000)
	}
	psbt := intenttest.TaprootPSBT(2, w, intenttest.FundTaproot(1, outs, amounts...), outs, intenttest.To(1, 9_000))
	return &command.RequestSignature{Key: k.ID, Kind: command.KindPSBT, Payload: psbt}
}

func frozenPaths(t testing.TB, l *fsmtest.Log, key command.KeyID) (out []string) {
	t.Helper()
	k, ok := l.Machine.View().Key(key)
	if !ok {
		t.Fatal("the key is gone")
	}
	for _, f := range k.FrozenPaths {
		out = append(out, command.PathText(f.Path))
	}
	return out
}

// TestFreezePath: under a frozen child nothing is opened, drawn again or comes to life when
// the freeze ends; beside it everything goes on.
func TestFreezePath(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	operator := l.Principal("acme", "operator", command.RoleOperator)
	l.FillPools(command.Ed25519, 16)
	ask := func(path ...uint32) command.RequestID { return l.Must(l.By(signer, under(key, path...))).Request }
	released, stuck, deeper, beside, root := ask(0, 5), ask(0, 5), ask(0, 5, 9), ask(0, 6), ask()
	filed := l.Shares(l.Region(1), [32]byte{1}, ids(2, 3), released)
	freeze := &command.FreezePath{Key: key, Path: child(0, 5), Reason: "stolen laptop"}
	if r := want(t, l, errs.OK, l.By(operator, freeze)); len(r.Keys) != 1 {
		t.Fatal("the freeze is not in the result")
	}
	want(t, l, errs.OK, l.By(l.Admins[0], freeze)) // a brake may be pulled twice
	k, _ := l.Machine.View().Key(key)
	if f := k.FrozenPaths; len(f) != 1 || f[0].By != operator.Public().Fingerprint() || f[0].Reason != "stolen laptop" || k.State != fsm.KeyActive {
		t.Fatalf("frozen %+v, key %s", f, k.State)
	}
	for _, p := range [][]uint32{{0, 5}, {0, 5, 0}, {0, 5, 9, 1}} {
		want(t, l, errs.Frozen, l.By(signer, under(key, p...)))
	}
	for _, id := range []command.RequestID{stuck, deeper} {
		want(t, l, errs.Frozen, next(l, 1, id, 2, refusal(l, 2, id, 1)))
	}
	want(t, l, errs.OK, next(l, 1, beside, 2, refusal(l, 2, beside, 1)))
	for _, p := range [][]uint32{{0}, {0, 4}, {5, 0}, {0, 50}, nil} {
		want(t, l, errs.OK, l.By(signer, under(key, p...)))
	}
	if r := l.Apply(filed); len(r.Completed) != 1 { // what was released just before is still told
		t.Fatalf("%+v", r.Outcomes)
	}
	if r := want(t, l, errs.OK, l.Dual(&command.UnfreezePath{Key: key, Path: child(0, 5)})); len(r.Failed) != 2 {
		t.Fatalf("failed: %v", r.Failed)
	}
	for id, want := range map[command.RequestID]fsm.RequestState{released: fsm.RequestComplete, stuck: fsm.RequestFailed, deeper: fsm.RequestFailed,
		beside: fsm.RequestOpen, root: fsm.RequestOpen} {
		if got := state(l, id); got != want {
			t.Errorf("request %s is %s, want %s", id, got, want)
		}
	}
	ask(0, 5)
	if got := frozenPaths(t, l, key); len(got) != 0 {
		t.Error(got)
	}
}

// TestFreezePathOfAPayment: one input under the frozen child stops the whole transaction.
func TestFreezePathOfAPayment(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	id := l.ThresholdKey("acme", "cold", command.Secp256k1, 2)
	l.FillPools(command.Secp256k1, 16)
	k, _ := l.Machine.View().Key(id)
	mixed, clean := l.Must(l.By(signer, payment(t, k, child(0, 1), child(1, 0)))).Request, l.Must(l.By(signer, payment(t, k, child(0, 1), nil))).Request
	l.Must(l.By(l.Admins[0], &command.FreezePath{Key: id, Path: child(1)}))
	want(t, l, errs.Frozen, l.By(signer, payment(t, k, child(0, 1), child(0, 2), child(1, 7))))
	want(t, l, errs.Frozen, next(l, 1, mixed, 2, refusal(l, 2, mixed, 1)))
	want(t, l, errs.OK, next(l, 1, clean, 2, refusal(l, 2, clean, 1)))
	want(t, l, errs.OK, l.By(signer, payment(t, k, child(0, 1), child(0, 2))))
	k, _ = l.Machine.View().Key(id)
	view := l.Machine.View()
	for id, frozen := range map[command.RequestID]bool{mixed: true, clean: false} {
		q, _ := view.Request(id)
		if got := k.FrozenFor(q); (got != nil) != frozen || frozen && got.Code != errs.Frozen {
			t.Errorf("request %s: %v", id, got)
		}
	}
	if r := want(t, l, errs.OK, l.Dual(&command.UnfreezePath{Key: id, Path: child(1)})); len(r.Failed) != 1 || state(l, mixed) != fsm.RequestFailed {
		t.Fatalf("failed: %v", r.Failed)
	}
}

// TestFreezePathRights: who may freeze a key may freeze a child, two administrators let go.
func TestFreezePathRights(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	operator, auditor := l.Principal("acme", "operator", command.RoleOperator), l.Principal("", "auditor", command.RoleAuditor)
	l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
	foreign := l.Principal("other", "foreign", command.RoleOperator)
	multisig := l.Key("acme", "warm", command.P256, 2)
	pending := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "new", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	freeze := func(key command.KeyID) command.Body { return &command.FreezePath{Key: key, Path: child(0, 5)} }
	lift := &command.UnfreezePath{Key: key, Path: child(0, 5)}
	byRegion := &command.RegionFreezePath{Key: key, Path: child(7), Reason: "alarm"}
	for _, c := range []struct {
		name string
		code errs.Code
		c    *command.Command
	}{
		{"a signer", errs.Denied, l.By(signer, freeze(key))},
		{"an auditor", errs.Denied, l.By(auditor, freeze(key))},
		{"another tenant", errs.NotFound, l.By(foreign, freeze(key))},
		{"no such key", errs.NotFound, l.By(l.Admins[0], freeze(command.KeyID{9}))},
		{"a multisig key", errs.Invalid, l.By(l.Admins[0], freeze(multisig))},
		{"a pending key", errs.BadState, l.By(l.Admins[0], freeze(pending))},
		{"nothing to lift", errs.BadState, l.Dual(lift)},
		{"a tenant's operator", errs.OK, l.By(operator, freeze(key))},
		{"lifted by one", errs.NeedsSecondAdmin, l.By(l.Admins[0], lift)},
		{"lifted by the operator", errs.Denied, l.By(operator, lift)},
		{"a parent is not what was frozen", errs.BadState, l.Dual(&command.UnfreezePath{Key: key, Path: child(0)})},
		{"a child neither", errs.BadState, l.Dual(&command.UnfreezePath{Key: key, Path: child(0, 5, 1)})},
		{"a region", errs.OK, l.By(l.Region(3).Session, byRegion)},
		{"a region, no such key", errs.NotFound, l.By(l.Region(3).Session, &command.RegionFreezePath{Key: command.KeyID{9}, Path: child(7)})},
		{"the muting of it", errs.OK, l.Dual(&command.MuteRegion{Region: 3, Muted: true})},
		{"a muted region", errs.Denied, l.By(l.Region(3).Session, &command.RegionFreezePath{Key: key, Path: child(8)})},
		{"another region", errs.OK, l.By(l.Region(2).Session, &command.RegionFreezePath{Key: key, Path: child(8)})},
		{"two administrators", errs.OK, l.Dual(lift)},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, l, c.code, c.c) })
	}
	if got := frozenPaths(t, l, key); !slices.Equal(got, []string{"m/7", "m/8"}) {
		t.Error(got)
	}
	if k := l.Machine.View().FrozenPaths(); len(k) != 1 || k[0].ID != key {
		t.Errorf("%d keys have frozen children", len(k))
	}
}

// TestFreezePathUnderOthers: freezes of key, parent and child each end by themselves.
func TestFreezePathUnderOthers(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.FillPools(command.Ed25519, 8)
	freeze := func(path ...uint32) { l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: path})) }
	l.Must(l.By(l.Admins[0], &command.FreezeKey{Key: key}))
	freeze(0, 5)
	freeze(0)
	l.Must(l.Dual(&command.UnfreezeKey{Key: key}))
	want(t, l, errs.Frozen, l.By(signer, under(key, 0, 5)))
	want(t, l, errs.Frozen, l.By(signer, under(key, 0, 6)))
	l.Must(l.Dual(&command.UnfreezePath{Key: key, Path: child(0)}))
	want(t, l, errs.Frozen, l.By(signer, under(key, 0, 5)))
	want(t, l, errs.OK, l.By(signer, under(key, 0, 6)))
	l.Must(l.By(l.Admins[0], &command.FreezeKey{Key: key}))
	l.Must(l.Dual(&command.UnfreezePath{Key: key, Path: child(0, 5)}))
	want(t, l, errs.Frozen, l.By(signer, under(key, 0, 5)))
	l.Must(l.Dual(&command.UnfreezeKey{Key: key}))
	want(t, l, errs.OK, l.By(signer, under(key, 0, 5)))
}

// TestFreezePathElsewhere: no address of a frozen child is given out, no share leaves for an
// escrow, and a refresh goes on.
func TestFreezePathElsewhere(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	issue := func(paths ...[]uint32) *command.Command {
		b := &command.IssueAddresses{Key: key}
		for _, p := range paths {
			b.Paths = append(b.Paths, command.EncodePath(p))
		}
		return l.By(l.Admins[0], b)
	}
	l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(0, 5)}))
	want(t, l, errs.Frozen, issue(child(0, 4), child(0, 5)))
	want(t, l, errs.Frozen, issue(child(0, 5, 1)))
	want(t, l, errs.OK, issue(child(0, 4), child(0, 6)))
	if k, _ := l.Machine.View().Key(key); k.Issued != 2 {
		t.Errorf("%d addresses are given out", k.Issued)
	}
	l.Must(l.Dual(&command.RefreshKey{Key: key}))
	l.Hold(key)
	if k, _ := l.Machine.View().Key(key); k.Sharing.Epoch != 2 || len(k.FrozenPaths) != 1 {
		t.Errorf("sharing %d, %d frozen paths", k.Sharing.Epoch, len(k.FrozenPaths))
	}
	set := l.Machine.View().Settings()
	set.EscrowDelay = time.Second
	l.Must(l.Dual(&command.Configure{Settings: set}))
	l.Must(l.Dual(&command.EscrowKey{Key: key, Officers: []string{"age1a", "age1b"}, M: 2, Delay: time.Second, Reason: "drill"}))
	l.Now = l.Now.Add(2 * time.Minute)
	l.Must(l.By(l.Region(1).Session, &command.Tick{}))
	share := func() *command.Command {
		return l.By(l.Region(1).Session, &command.EscrowShare{Key: key, Number: 1, Epoch: 2, Box: []byte("box")})
	}
	want(t, l, errs.Frozen, share())
	l.Must(l.Dual(&command.UnfreezePath{Key: key, Path: child(0, 5)}))
	want(t, l, errs.OK, share())
}

// TestFrozenPathsAreBounded: the last one is refused with what to do instead.
func TestFrozenPathsAreBounded(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	for i := range uint32(fsm.MaxFrozenPaths) {
		l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(1, fsm.MaxFrozenPaths-i)}))
	}
	want(t, l, errs.TooLarge, l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(1)}))
	want(t, l, errs.OK, l.By(l.Admins[0], &command.FreezePath{Key: key, Path: child(1, 7)}))
	want(t, l, errs.OK, l.By(l.Admins[0], &command.FreezeKey{Key: key}))
	canonical(t, l)
}

// pathGame plays freezes and requests over a small tree of children against a model: what
// is frozen, and which requests are open.
type pathGame struct {
	*rapid.T
	l      *fsmtest.Log
	signer identity.Signer
	keys   []command.KeyID
	frozen map[command.KeyID]map[string][]uint32
	open   map[command.RequestID]asked
}

type asked struct {
	key   command.KeyID
	paths [][]uint32
}

func (g *pathGame) path(least int) (p []uint32) {
	for range rapid.IntRange(least, 3).Draw(g.T, "depth") {
		p = append(p, uint32(rapid.IntRange(0, 1).Draw(g.T, "index")))
	}
	return p
}

// stopped is the property: a request is refused exactly when one of its paths has a frozen
// prefix.
func (g *pathGame) stopped(a asked) bool {
	for _, p := range a.paths {
		for n := range len(p) + 1 {
			if _, ok := g.frozen[a.key][fmt.Sprint(p[:n])]; ok {
				return true
			}
		}
	}
	return false
}

func (g *pathGame) expect(what string, stopped bool, o fsm.Outcome) {
	want := errs.OK
	if stopped {
		want = errs.Frozen
	}
	if o.Code != want {
		g.Fatalf("%s: %s (%s), want %s, frozen: %v", what, o.Code, o.Text, want, g.frozen)
	}
}

func (g *pathGame) request() {
	a := asked{key: g.keys[rapid.IntRange(0, 1).Draw(g.T, "key")]}
	k, _ := g.l.Machine.View().Key(a.key)
	for range rapid.IntRange(1, 3).Draw(g.T, "inputs") {
		a.paths = append(a.paths, g.path(0))
	}
	body := under(a.key, a.paths[0]...)
	if k.Curve == command.Secp256k1 {
		body = payment(g.T, k, a.paths...)
	} else {
		a.paths = a.paths[:1]
	}
	g.l.FillPools(k.Curve, len(a.paths))
	o := g.l.Do(g.l.By(g.signer, body))
	g.expect(fmt.Sprint("a request for ", a.paths), g.stopped(a), o)
	if o.Code == errs.OK {
		g.open[o.Request] = a
	}
}

func (g *pathGame) again() {
	for _, id := range slices.SortedFunc(maps.Keys(g.open), func(a, b command.RequestID) int { return bytes.Compare(a[:], b[:]) }) {
		q, _ := g.l.Machine.View().Request(id)
		if n := q.Open().Number; n < fsm.MaxAttempts && rapid.IntRange(0, 3).Draw(g.T, "again") == 0 {
			k, _ := g.l.Machine.View().Key(q.Key)
			g.l.FillPools(k.Curve, 3)
			g.expect("another attempt", g.stopped(g.open[id]), g.l.Do(next(g.l, 1, id, n+1, refusal(g.l, q.Open().Eligible[0], id, n))))
		}
	}
}

func (g *pathGame) freeze() {
	key, p := g.keys[rapid.IntRange(0, 1).Draw(g.T, "key")], g.path(1)
	if rapid.Bool().Draw(g.T, "by a region") {
		g.l.Must(g.l.By(g.l.Region(2).Session, &command.RegionFreezePath{Key: key, Path: p}))
	} else {
		g.l.Must(g.l.By(g.l.Admins[0], &command.FreezePath{Key: key, Path: p}))
	}
	g.frozen[key][fmt.Sprint(p)] = p
}

// thaw lifts one freeze: of the open requests exactly those that it stopped have failed.
func (g *pathGame) thaw() {
	key, p := g.keys[rapid.IntRange(0, 1).Draw(g.T, "key")], g.path(1)
	o := g.l.Do(g.l.Dual(&command.UnfreezePath{Key: key, Path: p}))
	if _, ok := g.frozen[key][fmt.Sprint(p)]; !ok {
		if o.Code != errs.BadState {
			g.Fatalf("lifting what is not frozen: %s", o.Code)
		}
		return
	}
	all := g.frozen
	g.frozen = map[command.KeyID]map[string][]uint32{key: {fmt.Sprint(p): p}} // this freeze alone
	for id, a := range g.open {
		if failed := state(g.l, id) == fsm.RequestFailed; failed != g.stopped(a) {
			g.Fatalf("request for %v of key %s failed: %v, when %v was lifted", a.paths, a.key, failed, p)
		} else if failed {
			delete(g.open, id)
		}
	}
	g.frozen = all
	delete(g.frozen[key], fmt.Sprint(p))
}

// judged: the co-signers' judge says of every open request what the model says.
func (g *pathGame) judged() {
	view := g.l.Machine.View()
	listed := 0
	for _, k := range view.FrozenPaths() {
		listed += len(k.FrozenPaths)
	}
	if want := len(g.frozen[g.keys[0]]) + len(g.frozen[g.keys[1]]); listed != want {
		g.Fatalf("%d frozen children are listed, want %d", listed, want)
	}
	for id, a := range g.open {
		q, _ := view.Request(id)
		k, _ := view.Key(a.key)
		if got := k.FrozenFor(q) != nil; q.State != fsm.RequestOpen || got != g.stopped(a) {
			g.Fatalf("request for %v is %s, frozen: %v, want %v", a.paths, q.State, got, !got)
		}
	}
}

func TestPathHistories(t *testing.T) {
	fewerHistories(t)
	v := fsm.NewVerifier(1 << 16)
	rapid.Check(t, func(t *rapid.T) {
		l, signer, _ := fsmtest.New().Ready(fsm.Options{Verify: v.Verify})
		g := &pathGame{T: t, l: l, signer: signer, frozen: map[command.KeyID]map[string][]uint32{}, open: map[command.RequestID]asked{}}
		for _, c := range []command.Curve{command.Ed25519, command.Secp256k1} {
			id := l.ThresholdKey("acme", fmt.Sprint("key-", c), c, 2)
			g.keys, g.frozen[id] = append(g.keys, id), map[string][]uint32{}
		}
		for range rapid.IntRange(3, 20).Draw(t, "moves") {
			switch rapid.IntRange(0, 5).Draw(t, "move") {
			case 0:
				g.freeze()
			case 1:
				g.thaw()
			case 2:
				g.again()
			default:
				g.request()
			}
			g.judged()
		}
		m, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
		if err != nil {
			t.Fatal(err)
		}
		if m.Apply(l.Inputs); m.View().Digest() != l.Machine.View().Digest() {
			t.Fatal("another replica is in another state")
		}
	})
}

// variedPaths is a log with frozen children of two keys, one of them with a limit.
func variedPaths(t testing.TB) *fsmtest.Log {
	t.Helper()
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.LimitKey{Key: key, Requests: 9, Window: time.Hour}))
	l.Must(l.By(signer, under(key, 0, 5)))
	for _, p := range [][]uint32{{1}, {0, 5}, {0}, {0, 5, 1<<31 - 1}} {
		l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: p, Reason: fmt.Sprint("path ", p)}))
	}
	other := l.ThresholdKey("acme", "wallet", command.Secp256k1, 2)
	l.Must(l.By(l.Region(2).Session, &command.RegionFreezePath{Key: other, Path: child(1, 2, 3, 4, 5, 6, 7, 8)}))
	return l
}

func TestPathsVector(t *testing.T) {
	l := variedPaths(t)
	canonical(t, l)
	snapshotVector(t, "snapshot-paths", l)
}

// TestDamagedPaths: a snapshot whose frozen paths are none, or twice, is not read.
func TestDamagedPaths(t *testing.T) {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	for _, p := range [][]uint32{{7}, {9}} {
		l.Must(l.By(l.Admins[0], &command.FreezePath{Key: key, Path: p, Reason: "r"}))
	}
	good := written(t, l.Machine)
	entry := 4 + 4 + 32 + 4 + 1 // blob(path), by, str(reason)
	first := bytes.Index(good, []byte{2, 0, 0, 0, 4, 0, 0, 0, 7}) + 1
	if first == 0 {
		t.Fatal("the paths are not where they were")
	}
	for name, damage := range map[string]func(b []byte){
		"twice":        func(b []byte) { b[first+7] = 9 },
		"out of order": func(b []byte) { b[first+7], b[first+entry+7] = 9, 7 },
		"hardened":     func(b []byte) { b[first+4] = 0x80 },
		"one too many": func(b []byte) { b[first-1] = 3 },
		"none":         func(b []byte) { b[first-1] = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(good)
			damage(b)
			m, err := fsm.New(l.Genesis, fsm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Restore(bytes.NewReader(resealed(b))); errs.CodeOf(err) != errs.Corrupt {
				t.Errorf("%v", err)
			}
		})
	}
}
