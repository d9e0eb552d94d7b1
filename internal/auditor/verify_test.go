package auditor_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// busy is a history with a bit of everything in it.
func busy(t testing.TB) *world {
	w := newWorld(t)
	hot := w.key("hot", command.P256, 2, nil)
	w.complete(w.ask(hot, "one", "two", "three"), 1)
	cold := w.key("cold", command.Secp256k1, 3, nil)
	sol := w.key("sol", command.Ed25519, 2, nil)
	w.complete(w.ask(cold, "four"), 2)
	w.complete(w.ask(sol, "five", "six"), 3)
	w.do(w.By(w.signer, &command.CreateKey{Name: "x", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})) // denied
	w.do(w.By(w.Admins[0], &command.CreateTenant{Name: "other"}))                                                                        // one administrator only

	// a second attempt: a region gives its word that it refused
	r := w.ask(hot, "seven")
	id := r.requests[0]
	q, _ := w.Machine.View().Request(id)
	about := w.signers(q, r.value)[0]
	word := w.Word(about, command.Word{Kind: command.WordRefused, About: about, Request: id, Attempt: 1, At: w.Now})
	res := w.ok(w.By(w.Region(2).Session, &command.OpenAttempt{Request: id, Attempt: 2, Words: [][]byte{word}, Partials: r.encoded()}))
	w.complete(w.drawn(res, id), 2)

	// frozen, unfrozen, and a request that expires
	w.ok(w.By(w.Admins[0], &command.FreezeKey{Key: hot, Reason: "lost phone"}))
	b := message("eight")
	b.Key = hot
	w.do(w.By(w.signer, b))
	w.ok(w.Dual(&command.UnfreezeKey{Key: hot, Reason: "found"}))
	w.ask(hot, "nine")
	w.Now = w.Now.Add(time.Hour)
	w.ok(w.By(w.Region(1).Session, &command.Tick{}))
	// a new boot of a region, then more signatures
	w.NewSession(w.Region(4), w.Now)
	w.ok(w.Register(w.Region(4)))
	w.ok(w.By(w.Region(4).Session, &command.ReportHealth{Region: 4, Healthy: true}))
	w.complete(w.ask(hot, "ten"), 4)
	return w
}

func TestCleanHistory(t *testing.T) {
	w := busy(t)
	r := w.clean()
	if r.Completed != 8 || r.Requests != 9 || r.Attempts != 10 || r.Expired != 1 || r.Open != 0 || r.Released != 8*2+1 ||
		r.Replayed != r.Leaves || len(r.SignedBy) != 3 || r.Leaves != uint64(len(w.leaves)) {
		t.Errorf("%+v", r)
	}
	var draws uint64
	for _, s := range r.Selections {
		draws += s.Draws
	}
	if draws != 9 || r.Undrawn != 1 || r.Certified != 5 || r.Older != 0 {
		t.Errorf("%d draws, %d attempts not drawn, %d entries certified, %d in the older form", draws, r.Undrawn, r.Certified, r.Older)
	}
	if r.Outcomes["denied"] != 1 || r.Outcomes["needs_second_admin"] != 1 || r.Outcomes["frozen"] != 1 {
		t.Errorf("outcomes %v", r.Outcomes)
	}
}

// Violations the state machine itself cannot see: it does no group arithmetic. Two
// regions that lie together can commit them; the auditor finds them.
func TestPlantedViolations(t *testing.T) {
	first := func(r *round) *command.Answer {
		for id := identity.RegionID(1); ; id++ {
			if a := r.answers[id]; a != nil {
				return a
			}
		}
	}
	everyItem := func(r *round, f func(*command.AnswerItem)) {
		for _, a := range r.answers {
			for i := range a.Items {
				f(&a.Items[i])
			}
		}
	}
	cases := map[string]struct {
		bend func(w *world, r *round)
		kind auditor.Kind
	}{
		"a partial whose proof does not verify": {func(_ *world, r *round) { r.partials[1].Proof[40] ^= 1 }, auditor.KindDraw},
		"two partials only":                     {func(_ *world, r *round) { r.partials = r.partials[:2] }, auditor.KindDraw},
		"one region's partial twice":            {func(_ *world, r *round) { r.partials[2] = r.partials[0] }, auditor.KindDraw},
		"a value the proofs do not give": {func(_ *world, r *round) {
			for _, a := range r.answers {
				a.Value[0] ^= 1
			}
		}, auditor.KindDraw},
		"a pair nobody drew": {func(w *world, r *round) {
			q, _ := w.Machine.View().Request(r.requests[0])
			drawn := w.signers(q, r.value)
			var others []identity.RegionID
			for id := identity.RegionID(1); id <= 4; id++ {
				if !slices.Contains(drawn, id) {
					others = append(others, id)
				}
			}
			r.answers = map[identity.RegionID]*command.Answer{}
			for _, id := range others {
				w.answer(r, q, id, others)
			}
		}, auditor.KindDraw},
		"the drawn pair in another order": {func(_ *world, r *round) {
			everyItem(r, func(it *command.AnswerItem) { it.Signers = []identity.RegionID{it.Signers[1], it.Signers[0]} })
		}, auditor.KindDraw},
		"a signature over another payload": {func(w *world, r *round) {
			q, _ := w.Machine.View().Request(r.requests[0])
			a := first(r)
			other := *q
			other.Payload = []byte("pay Mallory")
			a.Items = nil
			w.answer(r, &other, a.Region, w.signers(q, r.value))
		}, auditor.KindReleased},
		"a signature by another key": {func(w *world, r *round) {
			q, _ := w.Machine.View().Request(r.requests[0])
			a := first(r)
			w.keys[q.Key].priv[a.Region-1], w.keys[q.Key].priv[a.Region%4] = w.keys[q.Key].priv[a.Region%4], w.keys[q.Key].priv[a.Region-1]
			a.Items = nil
			w.answer(r, q, a.Region, w.signers(q, r.value))
		}, auditor.KindReleased},
		"one signature too many": {func(_ *world, r *round) {
			everyItem(r, func(it *command.AnswerItem) { it.Signatures = append(it.Signatures, it.Signatures[0]) })
		}, auditor.KindReleased},
		"an answer on a request nobody made": {func(_ *world, r *round) {
			a := first(r)
			it := a.Items[0]
			it.Request[0] ^= 1
			a.Items = append(a.Items, it)
		}, auditor.KindRequest},
		"an answer on an attempt nobody opened": {func(_ *world, r *round) {
			a := first(r)
			it := a.Items[0]
			it.Attempt = 2
			a.Items = append(a.Items, it)
		}, auditor.KindRequest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.ask(w.key("hot", command.P256, 2, nil), "one")
			c.bend(w, r)
			w.complete(r, bystander(r))
			rep, err := w.verify()
			wantFinding(t, rep, err, c.kind)
			if want := uint64(len(w.leaves) - 1); rep.Findings[0].Seq != want {
				t.Errorf("found at leaf %d, planted at %d", rep.Findings[0].Seq, want)
			}
		})
	}
	t.Run("a key without proof of possession", func(t *testing.T) {
		w := newWorld(t)
		w.key("hot", command.Ed25519, 2, func(a *command.AttestKey) { a.Possession[3] ^= 1 })
		rep, err := w.verify()
		wantFinding(t, rep, err, auditor.KindKey)
	})
}

// forge edits a leaf's effect.
func forge(l *audit.Leaf, f func(*audit.Effect)) {
	e, err := audit.DecodeEffect(l.Effect)
	if err != nil {
		panic(err)
	}
	f(e)
	l.Effect = e.Encode()
}

// find returns the first leaf of a type and code.
func find(leaves []audit.Leaf, typ command.Type, code errs.Code) *audit.Leaf {
	for i := range leaves {
		if leaves[i].Command.Type == typ && leaves[i].Code == code {
			return &leaves[i]
		}
	}
	panic(fmt.Sprintf("no %s recorded as %s", typ, code))
}

// firstSigner returns a region that answered a request of the first completion.
func firstSigner(ls []audit.Leaf, id command.RequestID) identity.RegionID {
	body := must(find(ls, command.TypeComplete, errs.OK).Body())
	for _, raw := range body.(*command.Complete).Answers {
		a := must(command.DecodeAnswer(raw))
		if slices.ContainsFunc(a.Items, func(it command.AnswerItem) bool { return it.Request == id }) {
			return a.Region
		}
	}
	panic("nobody answered it")
}

func TestRewrittenHistory(t *testing.T) {
	base := busy(t)
	refield := func(l *audit.Leaf) { // a new commitment to go with new values
		c := command.Command{Format: l.Command.Format, Type: l.Command.Type, ID: l.Command.ID, Principal: l.Command.Principal,
			Expiry: l.Command.Expiry, Fields: l.Fields, Signatures: l.Command.Signatures}
		l.Command = c.Commitment()
	}
	cases := map[string]struct {
		edit func(w *world, ls []audit.Leaf) []audit.Leaf
		kind auditor.Kind
	}{
		"a payload exchanged": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeRequestSignature, errs.OK)
			l.Fields = slices.Clone(l.Fields)
			l.Fields[3].Value = []byte("pay Mallory")
			return ls
		}, auditor.KindFields},
		"a payload exchanged with its commitment": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeRequestSignature, errs.OK)
			l.Fields = slices.Clone(l.Fields)
			l.Fields[3].Value = []byte("pay Mallory")
			refield(l)
			return ls
		}, auditor.KindSignature},
		"the second administrator's signature gone": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeCreateTenant, errs.OK)
			l.Command.Signatures = l.Command.Signatures[:1]
			return ls
		}, auditor.KindSignature},
		"the second signature by the first again": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeCreateTenant, errs.OK)
			l.Command.Signatures = []command.Signature{l.Command.Signatures[0], l.Command.Signatures[0]}
			return ls
		}, auditor.KindSignature},
		"a refusal turned into a success": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			find(ls, command.TypeCreateTenant, errs.NeedsSecondAdmin).Code = errs.OK
			return ls
		}, auditor.KindSignature},
		"a denied command turned into a success": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			find(ls, command.TypeCreateKey, errs.Denied).Code = errs.OK
			return ls
		}, auditor.KindSignature},
		"a success turned into a refusal": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			find(ls, command.TypeFreezeKey, errs.OK).Code = errs.Denied
			return ls
		}, auditor.KindOutcome},
		"signed against a freeze": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeRequestSignature, errs.Frozen)
			l.Code = errs.OK
			o, _ := audit.DecodeEffect(find(ls, command.TypeRequestSignature, errs.OK).Effect)
			o.Opened[0].Request = command.RequestIDOf(l.Command.Principal, l.Command.ID)
			forge(l, func(e *audit.Effect) { e.Opened = o.Opened })
			return ls
		}, auditor.KindRequest},
		"a draw without a request": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			o, _ := audit.DecodeEffect(find(ls, command.TypeRequestSignature, errs.OK).Effect)
			forge(find(ls, command.TypeTick, errs.OK), func(e *audit.Effect) { e.Opened = o.Opened })
			return ls
		}, auditor.KindRequest},
		"another set of eligible regions": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			forge(find(ls, command.TypeRequestSignature, errs.OK), func(e *audit.Effect) {
				answered := firstSigner(ls, e.Opened[0].Request) // cannot be drawn any more
				e.Opened[0].Eligible = slices.DeleteFunc(e.Opened[0].Eligible, func(r identity.RegionID) bool { return r == answered })
			})
			return ls
		}, auditor.KindDraw},
		"fewer signers than the key wants": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			forge(find(ls, command.TypeRequestSignature, errs.OK), func(e *audit.Effect) { e.Opened[0].Signers = 1 })
			return ls
		}, auditor.KindDraw},
		"a second attempt without its reason": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeOpenAttempt, errs.OK)
			l.Fields = slices.Clone(l.Fields)
			l.Fields[2].Value = nil
			refield(l)
			return ls
		}, auditor.KindRequest},
		"completed twice": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			e, _ := audit.DecodeEffect(find(ls, command.TypeComplete, errs.OK).Effect)
			forge(find(ls, command.TypeTick, errs.OK), func(t *audit.Effect) { t.Completed = e.Completed[:1] })
			return ls
		}, auditor.KindRequest},
		"a completion hidden": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			forge(find(ls, command.TypeComplete, errs.OK), func(e *audit.Effect) { e.Completed = nil })
			return ls
		}, auditor.KindOutcome},
		"an answer by another session": {func(w *world, ls []audit.Leaf) []audit.Leaf {
			l := find(ls, command.TypeComplete, errs.OK)
			body, _ := l.Body()
			c := body.(*command.Complete)
			a, _ := command.DecodeAnswer(c.Answers[0])
			_ = a.Sign(ctx, w.Cluster(), identity.GenerateEd25519())
			fresh := w.By(w.Region(1).Session, &command.Complete{Index: c.Index, Partials: c.Partials, Answers: [][]byte{a.Encode(), c.Answers[1]}})
			l.Command, l.Fields = fresh.Commitment(), fresh.Fields
			return ls
		}, auditor.KindAnswer},
		"a leaf dropped": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			return slices.Delete(ls, 9, 10)
		}, auditor.KindOutcome},
		"two leaves swapped": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			ls[2], ls[3] = ls[3], ls[2]
			return ls
		}, auditor.KindSequence},
		"an entry told twice": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			return slices.Insert(ls, 7, ls[6])
		}, auditor.KindSequence},
		"the first command of an entry dropped": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			i := slices.IndexFunc(ls, func(l audit.Leaf) bool { return l.Position == 1 })
			return slices.Delete(ls, i-1, i)
		}, auditor.KindSequence},
		"another genesis leaf": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			ls[0].Stamp = ls[0].Stamp.Add(time.Second)
			return ls
		}, auditor.KindGenesis},
		"a time moved": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			find(ls, command.TypeTick, errs.OK).Stamp = base.Start.Add(time.Minute)
			return ls
		}, auditor.KindOutcome},
		"effects that do not decode": {func(_ *world, ls []audit.Leaf) []audit.Leaf {
			ls[4].Effect = []byte{99}
			return ls
		}, auditor.KindOutcome},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ls := c.edit(base, slices.Clone(base.leaves))
			for i := range ls {
				ls[i].Seq = uint64(i) // a careful forger
			}
			rep, err := auditor.Verify(bytes.NewReader(base.export(ls, base.checkpoint(ls))), base.trust())
			wantFinding(t, rep, err, c.kind)
		})
	}
}

func TestCheckpointFindings(t *testing.T) {
	w := busy(t)
	good := w.checkpoint(w.leaves)
	x := w.export(w.leaves, good)
	at := bytes.LastIndex(x, good.Encode())
	half := w.checkpoint(w.leaves[:20])
	cases := map[string]struct {
		edit  func(c *audit.Checkpoint)
		trust func(a *auditor.TrustAnchor)
		kind  auditor.Kind
	}{
		"another root":            {func(c *audit.Checkpoint) { c.Root[0] ^= 1 }, nil, auditor.KindTree},
		"another size":            {func(c *audit.Checkpoint) { c.Size-- }, nil, auditor.KindTree},
		"another cluster":         {func(c *audit.Checkpoint) { c.Cluster[0] ^= 1 }, nil, auditor.KindCheckpoint},
		"a forged signature":      {func(c *audit.Checkpoint) { c.Signatures[1].Sig[0] ^= 1 }, nil, auditor.KindCheckpoint},
		"a borrowed signature":    {func(c *audit.Checkpoint) { c.Signatures[2].Session = c.Signatures[0].Session }, nil, auditor.KindCheckpoint},
		"too few signatures":      {nil, func(a *auditor.TrustAnchor) { a.Signatures = 4 }, auditor.KindCheckpoint},
		"another genesis trusted": {nil, func(a *auditor.TrustAnchor) { a.Genesis[0] ^= 1 }, auditor.KindGenesis},
		"history rewritten since last time": {nil, func(a *auditor.TrustAnchor) {
			known := *half
			known.Root[0] ^= 1
			a.Known = []audit.Checkpoint{known}
		}, auditor.KindTree},
		"history cut since last time": {nil, func(a *auditor.TrustAnchor) {
			a.Known = []audit.Checkpoint{{Size: good.Size + 1}}
		}, auditor.KindTree},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			forged, err := audit.DecodeCheckpoint(good.Encode())
			if err != nil {
				t.Fatal(err)
			}
			trust := w.trust()
			if c.edit != nil {
				c.edit(forged)
			}
			if c.trust != nil {
				c.trust(&trust)
			}
			rep, err := auditor.Verify(bytes.NewReader(append(bytes.Clone(x[:at]), forged.Encode()...)), trust)
			wantFinding(t, rep, err, c.kind)
		})
	}
	trust := w.trust()
	trust.Known = []audit.Checkpoint{*half, *good}
	if _, err := auditor.Verify(bytes.NewReader(x), trust); err != nil {
		t.Errorf("with true checkpoints known: %v", err)
	}
}

func TestWithheldFields(t *testing.T) {
	w := busy(t)
	ls := slices.Clone(w.leaves)
	for i := range ls[30:] {
		ls[30+i] = ls[30+i].Redact(func(int) bool { return false })
	}
	x := w.export(ls, w.checkpoint(w.leaves)) // the checkpoint of the whole leaves
	rep, err := auditor.Verify(bytes.NewReader(x), w.trust())
	wantFinding(t, rep, err, auditor.KindWithheld)
	rep, err = auditor.Verify(bytes.NewReader(x), auditor.TrustAnchor{Genesis: w.Genesis.Document.Hash(), Partial: true})
	if err != nil || rep.Replayed == rep.Leaves || rep.Replayed < 20 || rep.Withheld == 0 {
		t.Errorf("partial: %v, %d of %d leaves replayed", err, rep.Replayed, rep.Leaves)
	}
}

func TestSelectionIsCounted(t *testing.T) {
	w := newWorld(t)
	key := w.key("hot", command.Ed25519, 2, nil)
	const n = 240
	for i := range n / 8 {
		var texts []string
		for j := range 8 {
			texts = append(texts, fmt.Sprint(i, j))
		}
		w.complete(w.ask(key, texts...), 1)
	}
	r := w.clean()
	if len(r.Selections) != 1 {
		t.Fatalf("%+v", r.Selections)
	}
	s := r.Selections[0]
	if s.Draws != n || len(s.Sets) != 6 || s.Freedom != 5 || s.P < 1e-6 || s.P > 1 {
		t.Errorf("%+v", s)
	}
	for _, d := range s.Sets {
		if d.Count == 0 {
			t.Errorf("pair %v was never drawn in %d draws", d.Regions, n)
		}
	}
}

// TestReusedID: an id that the log forgot may stand for another request. That is no
// fault of the vault's, and both requests are judged by their own payloads.
func TestReusedID(t *testing.T) {
	w := newWorld(t)
	key := w.key("hot", command.P256, 2, nil)
	id := w.ID()
	ask := func(text string) *round {
		b := message(text)
		b.Key = key
		c, err := command.New(b, w.signer.Public().Fingerprint(), id, w.Now.Add(w.Life), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Sign(t.Context(), w.Cluster(), w.signer); err != nil {
			t.Fatal(err)
		}
		res := w.ok(c)
		return w.drawn(res, res.Opened...)
	}
	for i := range 3 {
		if r := w.complete(ask(fmt.Sprint("payload ", i)), 1); len(r.Completed) != 1 {
			t.Fatalf("%+v", r.Outcomes)
		}
		w.Now = w.Now.Add(time.Hour)
		w.ok(w.By(w.Region(1).Session, &command.Tick{}))
	}
	if r := w.clean(); r.Completed != 3 || r.Requests != 3 || r.Released != 6 {
		t.Errorf("%+v", r)
	}
}

// TestFirstLeafIsTheGenesis: a history whose beginning is something else is none.
func TestFirstLeafIsTheGenesis(t *testing.T) {
	w := newWorld(t)
	leaves := slices.Clone(w.leaves[1:])
	for i := range leaves {
		leaves[i].Seq = uint64(i)
	}
	r, err := auditor.Verify(bytes.NewReader(w.export(leaves, w.checkpoint(leaves))), w.trust())
	wantFinding(t, r, err, auditor.KindGenesis)
}
