package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// dealerGame plays with threshold keys: everything that may come in a ceremony, in any
// order, among crashes, deadlines, refreshes and requests.
type dealerGame struct {
	player
	wants map[command.KeyID]*fsm.Key // as each key stood after the last entry
	named map[string]bool            // commitments that attempts named
	set   bool                       // there was a schedule after the last entry
	begun int                        // refreshes by schedule

	brought int               // how often a key from outside was seen live
	first   uint64            // index of the game's first entry
	drawn   map[uint64]uint32 // by index of an entry: the beacon's epoch when it began
}

func (g *dealerGame) chance(percent int) bool {
	return rapid.IntRange(1, 100).Draw(g.T, "chance") <= percent
}

func (g *dealerGame) regions() []identity.RegionID {
	return pick(&g.player, [][]identity.RegionID{nil, nil, {1, 2, 3}, {2, 3, 4}, {1, 2, 3, 4}, {1, 2}})
}

// round has most regions say what a random ceremony waits for.
func (g *dealerGame) round() (out []*command.Command) {
	running := g.l.Machine.View().Ceremonies()
	if len(running) == 0 {
		return nil
	}
	k := pick(&g.player, running)
	key := k.ID
	for _, r := range g.l.Regions {
		if !g.chance(95) {
			continue
		}
		if k.Ceremony.Step == fsm.StepWrap {
			out = append(out, g.l.OfferWrap(r, k.Ceremony.Wrap))
		} else if b := g.l.Said(r, key); b != nil {
			if f, ok := b.(*command.FinishShare); ok && g.chance(5) {
				f.Transcript[0] ^= byte(rapid.IntRange(0, 2).Draw(g.T, "transcript"))
			}
			out = append(out, g.l.By(r.Session, b))
		}
	}
	return out
}

// stray is what does not belong where it comes.
func (g *dealerGame) stray() *command.Command {
	l, r := g.l, g.region()
	id := command.CeremonyID{Key: g.key(), Epoch: uint32(rapid.IntRange(0, 3).Draw(g.T, "epoch")), Try: uint8(rapid.IntRange(0, 5).Draw(g.T, "try"))}
	if k, ok := l.Machine.View().Key(id.Key); ok && k.Ceremony != nil && g.chance(70) {
		id = k.Ceremony.ID
	}
	return l.By(r.Session, pick(&g.player, []command.Body{
		&command.HashDealing{Ceremony: id, Seed: []byte{1}}, &command.Deal{Ceremony: id, Dealing: []byte{1}},
		&command.DealShares{Ceremony: id, Sealed: [][]byte{{1}, {2}, {3}}}, &command.DealShares{Ceremony: id, Sealed: [][]byte{{1}, {2}, {3}, {4}}},
		&command.FinishShare{Ceremony: id, Public: []byte{1}, Point: make([]byte, 32), Share: []byte{1}},
		&command.AccuseDealer{Ceremony: id, Against: g.region().ID}, &command.AccuseDealer{Ceremony: id, Against: g.region().ID, Note: "other"}, &command.AccuseDealer{Ceremony: id, Note: "importer"},
		&command.DropWrap{Epoch: uint32(rapid.IntRange(0, 4).Draw(g.T, "wrap"))},
	}))
}

func (g *dealerGame) offer() *command.Command {
	l, r, curve := g.l, g.region(), pick(&g.player, []command.Curve{command.Ed25519, command.Secp256k1})
	if g.chance(80) {
		return l.OfferNonces(r, curve, rapid.IntRange(1, 4).Draw(g.T, "nonces"))
	}
	return l.By(r.Session, &command.OfferNonces{Curve: curve, Commitments: l.Commitments(g.region(), curve, uint32(rapid.IntRange(1, 9).Draw(g.T, "serial")), 2)})
}

func (g *dealerGame) request() *command.Command {
	b := fsmtest.Message(g.key(), "pay")
	if k, ok := g.l.Machine.View().Key(b.Key); ok && k.Curve == command.Secp256k1 {
		b.Hash = command.HashSHA256
	}
	return g.l.By(g.signers[0], b)
}

func (g *dealerGame) finish() *command.Command {
	q := g.open()
	if q.Open() == nil || len(q.Open().Eligible) < 2 {
		return g.attempt()
	}
	e := q.Open().Eligible
	signers := pick(&g.player, [][]identity.RegionID{{e[0], e[1]}, {e[len(e)-1], e[0]}, {1, 2}, e})
	return g.l.Shares(g.other(signers), [32]byte{7}, signers, q.ID)
}

// play returns the commands of one entry.
func (g *dealerGame) play() []*command.Command {
	l := g.l
	g.arrive()
	switch rapid.IntRange(0, 30).Draw(g.T, "move") {
	case 15:
		return g.loss()
	case 13:
		s := l.Machine.View().Settings()
		s.RefreshEvery = pick(&g.player, []time.Duration{time.Hour, time.Hour, 2 * time.Hour, 0})
		return []*command.Command{l.Dual(&command.Configure{Settings: s})}
	case 14:
		return []*command.Command{g.bring()}
	case 0:
		c := g.admin(&command.CreateKey{Name: pick(&g.player, []string{"hot", "cold", "warm", fmt.Sprint("k", len(g.keys))}), Tenant: "acme", Scheme: command.SchemeThreshold,
			Curve: pick(&g.player, []command.Curve{1, 3, 3, 2}), Signers: uint8(rapid.IntRange(2, 3).Draw(g.T, "signers")), Regions: g.regions()})
		g.keys = append(g.keys, command.KeyIDOf(c.Principal, c.ID))
		return []*command.Command{c}
	case 1:
		return []*command.Command{l.Dual(&command.RefreshKey{Key: pick(&g.player, []command.KeyID{g.key(), command.BeaconKey}), Holders: g.regions()})}
	case 2:
		return []*command.Command{l.Dual(&command.RefreshKey{Holders: g.regions()})}
	case 3:
		return []*command.Command{g.stray(), g.stray(), g.stray()}
	case 4:
		return []*command.Command{g.offer(), g.offer(), g.offer()}
	case 5, 6:
		return []*command.Command{g.request(), g.request()}
	case 7:
		return []*command.Command{g.finish(), g.request(), g.finish()}
	case 8:
		return []*command.Command{g.attempt()}
	case 9:
		return []*command.Command{g.brakes()}
	case 10:
		return []*command.Command{g.membership()}
	case 11:
		var out []*command.Command
		for _, e := range l.Machine.View().Wraps() {
			out = append(out, l.By(g.region().Session, &command.DropWrap{Epoch: e.Epoch}))
		}
		return append(out, l.By(g.region().Session, &command.Tick{}))
	case 12:
		return []*command.Command{g.control()}
	}
	return append(g.round(), g.round()...)
}

// loss is a region that goes away and is enrolled with another HSM, and mostly comes back.
func (g *dealerGame) loss() []*command.Command {
	r := g.region()
	b, next := g.l.Enrol(r)
	g.enrolled = append(g.enrolled, next)
	out := []*command.Command{g.l.By(r.Session, &command.ReportHealth{Region: r.ID}), g.admin(b)}
	if g.chance(80) {
		out = append(out, g.l.Register(next))
	}
	return out
}

// bring brings a key in, or changes whether that is allowed.
func (g *dealerGame) bring() *command.Command {
	l := g.l
	s := l.Machine.View().Settings()
	if !s.Import || g.chance(5) {
		s.Import = !s.Import
		return l.Dual(&command.Configure{Settings: s})
	}
	b := l.Import("acme", fmt.Sprint("old", len(g.keys)), pick(&g.player, []command.Curve{1, 3}), 2)
	if g.chance(20) {
		b.Regions, b.Boxes = b.Regions[1:], b.Boxes[1:]
	}
	c := l.Dual(b)
	g.keys = append(g.keys, command.KeyIDOf(c.Principal, c.ID))
	return c
}

func (g *dealerGame) brakes() *command.Command {
	k := g.key()
	return g.l.Dual(pick(&g.player, []command.Body{&command.FreezeKey{Key: k}, &command.UnfreezeKey{Key: k}, &command.FreezeVault{}, &command.UnfreezeVault{},
		&command.UnfreezeVault{}, &command.RetireKey{Key: k}}))
}

func (g *dealerGame) membership() *command.Command {
	l, r := g.l, g.region()
	switch rapid.IntRange(0, 6).Draw(g.T, "member") {
	case 5, 6:
		return g.reenrol()
	case 0:
		return l.Dual(&command.QuarantineRegion{Region: r.ID, Quarantined: g.chance(40)})
	case 1:
		l.NewSession(r, l.Now)
		return l.Register(r)
	case 2:
		return l.Dual(&command.ReplaceMember{Region: r.ID, ServerID: pick(&g.player, []string{r.ServerID, r.Name + "-00000007"}), RaftAddr: "a:1", APIAddr: "a:2", GossipAddr: "a:3"})
	}
	return l.By(r.Session, &command.ReportHealth{Region: r.ID, Healthy: g.chance(70)})
}

// check holds after every entry.
func (g *dealerGame) check(res fsm.Result) {
	v := g.l.Machine.View()
	uses, running := map[uint32]uint32{}, 0
	g.drawn[res.Meta.Index] = g.epoch()
	for _, k := range append(v.ThresholdKeys(), v.BeaconKey()) {
		g.checkKey(v, k, uses)
		g.checkLost(v, k)
		if k.Ceremony.Running() {
			running++
		}
		g.wants[k.ID] = k
	}
	if n := len(v.Ceremonies()); n != running || n > fsm.MaxCeremonies {
		g.Fatalf("%d ceremonies are running, %d are found", running, n)
	}
	wraps := v.Wraps()
	for i, e := range wraps {
		if newest := i == len(wraps)-1; e.Live != uses[e.Epoch] || (e.Doomed != 0) != (!newest && e.Live == 0) {
			g.Fatalf("wrapping epoch %d of %d: %d uses, counted %d, doomed at %d", e.Epoch, len(wraps), uses[e.Epoch], e.Live, e.Doomed)
		}
	}
	g.checkNonces(v, res)
	g.checkSchedule(v, res)
	for _, q := range v.OpenRequests() { // whatever is open can be drawn, under the epoch its entry began with
		if at := q.Open().Meta.Index; at >= g.first {
			if s := v.BeaconKey().SharingAt(at); s == nil || s.Epoch != g.drawn[at] {
				g.Fatalf("request %s was opened at %d under beacon epoch %d, now it is %+v", q.ID, at, g.drawn[at], s)
			}
		}
	}
}

// checkSchedule: time begins a refresh of all only where that is set, at most once an entry,
// and the next one is never farther away than the period.
func (g *dealerGame) checkSchedule(v fsm.View, res fsm.Result) {
	s, set := v.Schedule()
	if set && (s.Due.After(v.Clock().Add(s.Every)) || s.Since.After(v.Clock())) {
		g.Fatalf("at %s: %+v", v.Clock(), s)
	}
	began := 0
	for i := range res.Leaves {
		if e, _ := audit.DecodeEffect(res.Leaves[i].Effect); e != nil && e.Schedule != nil {
			began++
		}
	}
	if began > 1 || began == 1 && !g.set {
		g.Fatalf("%d refreshes by schedule in an entry; one is set: %v", began, g.set)
	}
	g.set = set
	g.begun += began
}

// epoch is the beacon's as of the last look.
func (g *dealerGame) epoch() uint32 {
	if k := g.wants[command.BeaconKey]; k != nil {
		return k.Sharing.Epoch
	}
	return 0
}

func (g *dealerGame) checkKey(v fsm.View, k *fsm.Key, uses map[uint32]uint32) {
	was := g.wants[k.ID]
	if was != nil && was.Sharing != nil {
		if k.Sharing == nil || k.Sharing.Epoch < was.Sharing.Epoch || k.Sharing.Epoch > was.Sharing.Epoch+1 || !bytes.Equal(k.Point, was.Point) || k.Chain != was.Chain {
			g.Fatalf("key %s lost its sharing %d, or became another key", k.ID, was.Sharing.Epoch)
		}
		if k.Sharing.Epoch == was.Sharing.Epoch+1 && k.State != fsm.KeyRetired && (k.Retiring == nil || k.Retiring.Epoch != was.Sharing.Epoch) {
			g.Fatalf("key %s: sharing %d vanished at once", k.ID, was.Sharing.Epoch)
		}
	}
	if was != nil && k.Outside != was.Outside || (k.Import != nil) != (k.Outside && k.State == fsm.KeyPending) {
		g.Fatalf("key %s, %s: outside %v, to be taken over %v", k.ID, k.State, k.Outside, k.Import != nil)
	}
	if k.Outside && k.State == fsm.KeyActive {
		g.brought++
	}
	if k.State == fsm.KeyRetired {
		if k.Ceremony != nil || k.Retiring != nil {
			g.Fatalf("key %s is retired and goes on", k.ID)
		}
		return
	}
	if (k.Sharing == nil) != (k.State == fsm.KeyPending) {
		g.Fatalf("key %s is %s, live: %v", k.ID, k.State, k.Sharing != nil)
	}
	for _, s := range []*fsm.Sharing{k.Sharing, k.Retiring} {
		if s == nil || s.Founded() && k.Scheme == command.SchemeBeacon {
			continue
		}
		if e, ok := v.Wrap(s.Wrap); !ok || e.Doomed != 0 || len(s.Shares) < 3-enrolledAnew(v) {
			g.Fatalf("key %s: sharing %d of %d shares lies under wrapping epoch %d, which is gone", k.ID, s.Epoch, len(s.Shares), s.Wrap)
		}
		uses[s.Wrap]++
	}
	if c := k.Ceremony; c.Running() {
		uses[c.Wrap]++
		want := uint32(1)
		if k.Sharing != nil {
			want = k.Sharing.Epoch + 1
		}
		longest := fsm.StepTime
		if k.Import != nil {
			longest = fsm.ImportTime
		}
		if c.ID.Epoch != want || c.ID.Try > c.Last || c.Deadline.After(v.Clock().Add(longest)) || len(c.Holders) < 3 || k.Import == nil && len(c.Dealers) < int(c.Threshold) {
			g.Fatalf("key %s: ceremony %+v", k.ID, c)
		}
	}
}

func enrolledAnew(v fsm.View) (n int) {
	for _, r := range v.Regions() {
		n += len(r.Former)
	}
	return n
}

// checkLost: nothing that was sealed to an HSM counts once its region has another.
func (g *dealerGame) checkLost(v fsm.View, k *fsm.Key) {
	for _, r := range v.Regions() {
		if len(r.Former) == 0 {
			continue
		}
		since := r.Former[len(r.Former)-1].Index
		if a := k.Attested(r.ID); a != nil && k.Created < since && !a.Lost && k.State != fsm.KeyPending {
			g.Fatalf("key %s: region %d lost its HSM at index %d and could sign", k.ID, r.ID, since)
		}
		for _, s := range []*fsm.Sharing{k.Sharing, k.Retiring} {
			if s == nil || !slices.Contains(s.Holders(), r.ID) {
				continue
			}
			if e, ok := v.Wrap(s.Wrap); k.State != fsm.KeyRetired && (!ok || e.Key(r.ID) == nil) {
				g.Fatalf("key %s: region %d has a share that none of its HSMs opens", k.ID, r.ID)
			}
		}
	}
}

// checkNonces: no commitment is named twice, and each attempt has what it needs, of the
// live sharing's holders, in the row as in the leaf.
func (g *dealerGame) checkNonces(v fsm.View, res fsm.Result) {
	for i := range res.Leaves {
		e, err := audit.DecodeEffect(res.Leaves[i].Effect)
		if err != nil {
			g.Fatal(err)
		}
		for _, o := range e.Opened {
			q, _ := v.Request(o.Request)
			a := q.Attempts[o.Number-1]
			if a.Epoch != o.Epoch || len(o.Nonces) != len(a.Nonces) && q.State == fsm.RequestOpen {
				g.Fatalf("request %s: %d sets in the leaf, %d in the row", q.ID, len(o.Nonces), len(a.Nonces))
			}
			for n, set := range o.Nonces {
				if set[2] != byte(o.Eligible[n]) || q.State == fsm.RequestOpen && !bytes.Equal(set, a.Nonces[n].Commitments[0]) {
					g.Fatalf("request %s: nonces of another region", q.ID)
				}
				if head := string(set[:15]); g.named[head] {
					g.Fatalf("a commitment of region %d is named twice", set[2])
				} else {
					g.named[head] = true
				}
			}
		}
	}
}

func newDealerGame(t *rapid.T, v *fsm.Verifier) (*dealerGame, []fsm.Result) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{Verify: v.Verify})
	key := l.ThresholdKey("acme", "cold", command.Ed25519, 2)
	l.FillPools(command.Ed25519, 3)
	g := &dealerGame{player: player{T: t, l: l, signers: []*identity.KeySigner{signer}, keys: []command.KeyID{key}}, wants: map[command.KeyID]*fsm.Key{}, named: map[string]bool{}, drawn: map[uint64]uint32{}}
	g.first = l.Machine.View().Meta().Index + 1
	replay, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
	if err != nil {
		t.Fatal(err)
	}
	return g, replay.Apply(l.Inputs)
}

// TestThresholdHistories plays random games with threshold keys: no interleaving of
// messages, crashes, deadlines and refreshes loses the live sharing, makes two, or names a
// commitment twice; and replicas agree, however entries were batched.
func TestThresholdHistories(t *testing.T) {
	v := fsm.NewVerifier(1 << 14)
	lived, drew, games, scheduled, brought, anew := 0, 0, 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		g, want := newDealerGame(t, v)
		if g.chance(60) {
			want = append(want, g.l.Apply(g.l.Dual(&command.RefreshKey{Key: pick(&g.player, []command.KeyID{g.keys[0], command.BeaconKey})})))
			g.first++
		}
		if g.chance(30) {
			want = append(want, g.l.Apply(g.bring()), g.l.Apply(g.bring()))
		}
		for range rapid.IntRange(1, 60).Draw(t, "entries") {
			g.l.Now = g.l.Now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 5, 31, 61}).Draw(t, "seconds")) * time.Second)
			if g.set && g.chance(2) {
				g.l.Now = g.l.Now.Add(time.Hour)
			}
			res := g.l.Apply(g.play()...)
			g.check(res)
			want = append(want, res)
			if g.chance(5) {
				g.l.Machine = restored(t, g.l, g.l.Machine, v)
			}
		}
		if g.epoch() > 0 {
			drew++
		}
		for _, k := range g.l.Machine.View().ThresholdKeys() {
			if k.Sharing != nil && k.Sharing.Epoch > 1 {
				lived++
			}
		}
		games++
		scheduled += g.begun
		brought += min(g.brought, 1)
		anew += enrolledAnew(g.l.Machine.View())
		m, got := replayed(t, g.l, v)
		compare(t, g.l, m, want, got)
	})
	t.Logf("%d refreshed keys in %d games, %d with a refreshed beacon, %d refreshes by schedule, keys brought in in %d, %d regions enrolled anew", lived, games, drew, scheduled, brought, anew)
	if lived == 0 || drew == 0 || scheduled == 0 || brought == 0 || anew == 0 {
		t.Fatal("no game refreshed a key or the beacon, or none by schedule, or brought one in, or enrolled a region anew: the test shows nothing")
	}
}

// replayed applies a log again, in other batches, with restores between them.
func replayed(t *rapid.T, l *fsmtest.Log, v *fsm.Verifier) (*fsm.Machine, []fsm.Result) {
	m, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
	if err != nil {
		t.Fatal(err)
	}
	var got []fsm.Result
	for rest := slices.Clone(l.Inputs); len(rest) > 0; {
		n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
		got = append(got, m.Apply(rest[:n])...)
		if rapid.Bool().Draw(t, "restore") {
			m = restored(t, l, m, v)
		}
		rest = rest[n:]
	}
	return m, got
}
