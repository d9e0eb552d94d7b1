package auditor_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

var four = []uint8{1, 2, 3, 4}

// shared is a real threshold key on the world's log.
type shared struct {
	id      command.KeyID
	curve   command.Curve
	results map[uint8]*frost.Result
	chain   [32]byte
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func suiteOf(c command.Curve) *frost.Suite {
	switch c {
	case command.Ed25519:
		return frost.Ed25519
	case command.Ristretto255:
		return frost.Ristretto255
	}
	return frost.BIP340
}

var session = []byte("a session of the auditor's tests")

// threshold makes an active key of two of four; bend may spoil what all holders file.
func (w *world) threshold(name string, curve command.Curve, bend func(*command.FinishShare)) *shared {
	w.t.Helper()
	return w.made(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: curve, Signers: 2}, bend)
}

func (w *world) made(b *command.CreateKey, bend func(*command.FinishShare)) *shared {
	w.t.Helper()
	s := &shared{curve: b.Curve, results: frosttest.Run(frost.NewKey(suiteOf(b.Curve), session, b.Name, 2, four), nil)}
	s.chain = frost.ChainCode(s.results[1].Transcript)
	s.id = w.ok(w.Dual(b)).Outcomes[0].Key
	w.hold(s, bend)
	return s
}

// hold files a sharing: what is only sealed is made up, what is public is real.
func (w *world) hold(s *shared, bend func(*command.FinishShare)) {
	w.t.Helper()
	key, _ := w.Machine.View().Key(s.id)
	for _, r := range w.Regions {
		if e, _ := w.Machine.View().Wrap(key.Ceremony.Wrap); e.Key(r.ID) == nil {
			w.ok(w.OfferWrap(r, key.Ceremony.Wrap))
		}
	}
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		for _, r := range w.Regions {
			said := w.Said(r, s.id)
			if said == nil {
				continue // an import: its only step was the first here
			}
			if f, ok := said.(*command.FinishShare); ok {
				k := s.results[uint8(r.ID)]
				f.Transcript, f.Public, f.Point, f.Chain = s.results[1].Transcript, k.Key.Encode(), k.Key.Compressed(), s.chain
				if bend != nil {
					bend(f)
				}
			}
			cs := []*command.Command{w.By(r.Session, said)}
			if step == fsm.StepFinish && r.ID == 4 {
				cs = append(cs, w.closing...)
			}
			w.ok(cs...)
		}
	}
	if key, _ = w.Machine.View().Key(s.id); key.State != fsm.KeyActive {
		w.t.Fatalf("key is %s", key.State)
	}
}

func (w *world) refresh(s *shared) {
	w.t.Helper()
	w.ok(w.Dual(&command.RefreshKey{Key: s.id, Reason: "drill"}))
	s.results = frosttest.Run(frost.Refresh(s.results[1].Key, session, "refresh", four), s.results)
	w.hold(s, nil)
}

// stock are the pools of every region for one curve.
type stock map[identity.RegionID]*frost.Pool

func (w *world) stock(curve command.Curve, n int) stock { return w.stockOf(curve, 7, n) }

// stockOf are pools of a boot.
func (w *world) stockOf(curve command.Curve, boot uint64, n int) stock {
	w.t.Helper()
	st := stock{}
	for _, r := range w.Regions {
		p := must(frost.NewPool(suiteOf(curve), uint8(r.ID), boot, bytes.Repeat([]byte{byte(r.ID)}, 32)))
		st[r.ID] = p
		var offer []byte
		for _, c := range must(p.Prepare(rand.Reader, n)) {
			offer = append(offer, c.Encode()...)
		}
		w.ok(w.By(r.Session, &command.OfferNonces{Curve: curve, Commitments: offer}))
	}
	return st
}

// signed opens a request for a payload and has the regions drawn give their parts.
func (w *world) signed(s *shared, st stock, b *command.RequestSignature) *round {
	w.t.Helper()
	b.Key = s.id
	res := w.ok(w.By(w.signer, b))
	r := w.drawn(res)
	r.requests = res.Opened
	q, _ := w.Machine.View().Request(res.Opened[0])
	signers := w.signers(q, r.value)
	key, _ := w.Machine.View().Key(s.id)
	spends, err := intent.Spends(q.Kind, q.HashAlg, q.Payload, q.Path, key.Info())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, region := range signers {
		a := &command.Answer{Region: region, Index: r.meta.Index, Value: r.value, At: w.Now}
		it := command.AnswerItem{Request: q.ID, Attempt: q.Open().Number, Signers: signers, Code: errs.OK}
		for i := range spends {
			it.Signatures = append(it.Signatures, w.part(s, st, q, &spends[i], i, region, signers))
		}
		a.Items = []command.AnswerItem{it}
		r.answers[region], r.authors[region] = a, w.Region(region).Session
	}
	return r
}

func (w *world) part(s *shared, st stock, q *fsm.Request, spend *intent.Spend, i int, region identity.RegionID, signers []identity.RegionID) []byte {
	w.t.Helper()
	k, _, err := s.results[uint8(region)].Key.Derive(s.chain, spend.Path...)
	if err == nil && spend.Taproot {
		k, err = k.Taproot(spend.Root)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var named []*frost.Commitment
	for _, n := range q.Open().Nonces {
		for _, r := range signers {
			if n.Region == r {
				named = append(named, must(frost.DecodeCommitment(uint8(r), n.Commitments[i])))
			}
		}
	}
	return must(st[region].Sign(s.results[uint8(region)].Share, k, spend.Message, named)).Encode()
}

func pay(text string, path ...uint32) *command.RequestSignature {
	return &command.RequestSignature{Kind: command.KindMessage, Payload: []byte(text), Path: path}
}

// taprootPayment spends two outputs of a key, its own and a child's.
func (w *world) taprootPayment(s *shared) *command.RequestSignature {
	w.t.Helper()
	key, _ := w.Machine.View().Key(s.id)
	wallet := must(key.Info().Taproot())
	outs := []*intent.TaprootOutput{must(wallet.Output()), must(wallet.Output(0, 3))}
	psbt := intenttest.TaprootPSBT(2, wallet, intenttest.FundTaproot(1, outs, 10_000, 20_000), outs, intenttest.To(1, 29_000))
	return &command.RequestSignature{Kind: command.KindPSBT, Payload: psbt}
}

func TestThresholdHistory(t *testing.T) {
	w := newWorld(t)
	ed, btc := w.threshold("ed", command.Ed25519, nil), w.threshold("btc", command.Secp256k1, nil)
	edStock, btcStock := w.stock(command.Ed25519, 8), w.stock(command.Secp256k1, 8)
	w.complete(w.signed(ed, edStock, pay("one")), 1)
	w.complete(w.signed(ed, edStock, pay("two", 4, 7)), 2)
	w.complete(w.signed(btc, btcStock, w.taprootPayment(btc)), 3)
	w.refresh(ed)
	w.complete(w.signed(ed, edStock, pay("three", 1)), 4)
	w.complete(w.ask(w.key("multisig", command.Ed25519, 2, nil), "four"), 1)
	r := w.clean()
	if r.Completed != 5 || r.Summed != 5 || r.Released != 2*5+2 || r.Requests != 5 || r.Replayed != r.Leaves {
		t.Errorf("%+v", r)
	}
}

// The outputs of a key with a script path are others than without: what is added up is the
// signature under their key.
func TestFallbackHistory(t *testing.T) {
	w := newWorld(t)
	b := &command.CreateKey{Name: "tap", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2,
		Fallback: &command.Fallback{Signers: 2}}
	for _, r := range frosttest.New(frost.BIP340, 2, 1, 2, 3).Public.Holders() {
		b.Fallback.PublicKeys = append(b.Fallback.PublicKeys, frosttest.New(frost.BIP340, 2, r, r+1).Public.Bytes())
	}
	slices.SortFunc(b.Fallback.PublicKeys, bytes.Compare)
	btc := w.made(b, nil)
	key, _ := w.Machine.View().Key(btc.id)
	if wallet := must(key.Info().Taproot()); wallet.MerkleRoot() == nil {
		t.Fatal("it has no script path")
	}
	w.complete(w.signed(btc, w.stock(command.Secp256k1, 2), w.taprootPayment(btc)), 1)
	if r := w.clean(); r.Summed != 2 || r.Completed != 1 {
		t.Errorf("%+v", r)
	}
}

// A sharing under which an attempt was opened still answers for it after the next is live.
func TestRefreshBetweenDrawAndAnswer(t *testing.T) {
	w := newWorld(t)
	ed := w.threshold("ed", command.Ed25519, nil)
	open := w.signed(ed, w.stock(command.Ed25519, 2), pay("before"))
	w.refresh(ed)
	w.complete(open, 1)
	if r := w.clean(); r.Summed != 1 {
		t.Errorf("%+v", r)
	}
}

// What the state machine takes on the regions' word, two liars could file.
func TestPlantedThresholdViolations(t *testing.T) {
	first := func(r *round) *command.AnswerItem {
		for id := identity.RegionID(1); ; id++ {
			if a := r.answers[id]; a != nil {
				return &a.Items[0]
			}
		}
	}
	for name, bend := range map[string]func(w *world, s *shared, st stock, r *round){
		"a part that is wrong":  func(_ *world, _ *shared, _ stock, r *round) { first(r).Signatures[0][60] ^= 1 },
		"a part that is no one": func(_ *world, _ *shared, _ stock, r *round) { first(r).Signatures[0][0] = 9 },
		"another's part": func(_ *world, _ *shared, _ stock, r *round) {
			var both [][]byte
			for _, a := range r.answers {
				both = append(both, a.Items[0].Signatures[0])
			}
			for _, a := range r.answers {
				a.Items[0].Signatures[0] = both[1]
			}
		},
		"parts over another message": func(w *world, s *shared, st stock, r *round) {
			w.resign(s, st, r, func(sp *intent.Spend) { sp.Message = []byte("pay Mallory") })
		},
		"parts of another child": func(w *world, s *shared, st stock, r *round) {
			w.resign(s, st, r, func(sp *intent.Spend) { sp.Path = []uint32{9} })
		},
	} {
		w := newWorld(t)
		ed := w.threshold("ed", command.Ed25519, nil)
		st := w.stock(command.Ed25519, 4)
		w.complete(w.signed(ed, st, pay("good")), 1)
		b := pay("bad", 1)
		if name == "parts over another message" || name == "parts of another child" {
			r := w.opened(ed, b)
			bend(w, ed, st, r)
			w.complete(r, bystander(r))
		} else {
			r := w.signed(ed, st, b)
			bend(w, ed, st, r)
			w.complete(r, bystander(r))
		}
		r, err := w.verify()
		t.Log(name)
		wantFinding(t, r, err, auditor.KindReleased)
		if r.Summed != 1 {
			t.Errorf("%s: %d signatures verified, want the good one", name, r.Summed)
		}
	}
}

// bystander is a region that was not drawn: what a drawn one files of itself Apply verifies.
func bystander(r *round) identity.RegionID {
	for id := identity.RegionID(1); ; id++ {
		if r.answers[id] == nil {
			return id
		}
	}
}

// opened is signed without any parts yet.
func (w *world) opened(s *shared, b *command.RequestSignature) *round {
	b.Key = s.id
	res := w.ok(w.By(w.signer, b))
	r := w.drawn(res)
	r.requests = res.Opened
	return r
}

// resign gives the parts of something else than was asked for, under the request's nonces.
func (w *world) resign(s *shared, st stock, r *round, bend func(*intent.Spend)) {
	q, _ := w.Machine.View().Request(r.requests[0])
	key, _ := w.Machine.View().Key(s.id)
	spends := must(intent.Spends(q.Kind, q.HashAlg, q.Payload, q.Path, key.Info()))
	bend(&spends[0])
	signers := w.signers(q, r.value)
	for _, region := range signers {
		it := command.AnswerItem{Request: q.ID, Attempt: 1, Signers: signers, Code: errs.OK, Signatures: [][]byte{w.part(s, st, q, &spends[0], 0, region, signers)}}
		r.answers[region] = &command.Answer{Region: region, Index: r.meta.Index, Value: r.value, At: w.Now, Items: []command.AnswerItem{it}}
		r.authors[region] = w.Region(region).Session
	}
}

// A public key that is not what the holders call it is found when its sharing goes live.
func TestPlantedSharings(t *testing.T) {
	other := frosttest.Run(frost.NewKey(frost.Ed25519, session, "another", 2, four), nil)
	for name, bend := range map[string]func(*command.FinishShare){
		"not a key":        func(f *command.FinishShare) { f.Public = bytes.Repeat([]byte{1}, 140) },
		"of another point": func(f *command.FinishShare) { f.Public = other[1].Key.Encode() },
		"chain code":       func(f *command.FinishShare) { f.Chain[0] ^= 1 },
	} {
		w := newWorld(t)
		ed := w.threshold("ed", command.Ed25519, bend)
		r, err := w.verify()
		t.Log(name)
		wantFinding(t, r, err, auditor.KindKey)
		// and nothing signed under it counts
		w.stock(command.Ed25519, 1)
		w.opened(ed, pay("one"))
		r, err = w.verify()
		wantFinding(t, r, err, auditor.KindDraw)
	}
}

// A nonce given twice would give the shares away: it is counted apart from the replay.
func TestNonceGivenTwice(t *testing.T) {
	w := newWorld(t)
	ed := w.threshold("ed", command.Ed25519, nil)
	st := w.stock(command.Ed25519, 4)
	w.complete(w.signed(ed, st, pay("one")), 1)
	w.complete(w.signed(ed, st, pay("two")), 1)
	var first *audit.OpenedAttempt
	for i := range w.leaves {
		e := must(audit.DecodeEffect(w.leaves[i].Effect))
		switch {
		case len(e.Opened) == 0:
		case first == nil:
			first = &e.Opened[0]
		default:
			e.Opened[0].Nonces = first.Nonces
			w.leaves[i].Effect = e.Encode()
		}
	}
	r, err := w.verify()
	wantFinding(t, r, err, auditor.KindDraw)
	if !slices.ContainsFunc(r.Findings, func(f auditor.Finding) bool { return strings.Contains(f.Text, "was given before") }) {
		t.Errorf("%v", r.Findings)
	}
}

// Nonces of an earlier boot, after those of another, would be the same ones again: all of
// them are found, also those whose serials ascend.
func TestNoncesOfAnOldBoot(t *testing.T) {
	w := newWorld(t)
	ed := w.threshold("ed", command.Ed25519, nil)
	boots := []uint64{7, 9, 7, 7}
	var nonces [][][]byte
	for i, boot := range []uint64{7, 9, 11, 13} {
		for _, r := range w.Regions {
			w.NewSession(r, w.Now.Add(time.Duration(i+1)*time.Millisecond))
			w.ok(w.Register(r))
		}
		w.complete(w.signed(ed, w.stockOf(command.Ed25519, boot, 1), pay(fmt.Sprint("payment ", i))), 1)
	}
	for i := range w.leaves {
		e := must(audit.DecodeEffect(w.leaves[i].Effect))
		if len(e.Opened) == 0 {
			continue
		}
		n := e.Opened[0].Nonces
		for r := range n {
			binary.BigEndian.PutUint64(n[r][3:], boots[len(nonces)])
			binary.BigEndian.PutUint32(n[r][11:], uint32(len(nonces)+1))
		}
		nonces = append(nonces, n)
		w.leaves[i].Effect = e.Encode()
	}
	r, err := w.verify()
	wantFinding(t, r, err, auditor.KindDraw)
	found := 0
	for _, f := range r.Findings {
		if strings.Contains(f.Text, "older than one that was") {
			found++
		}
	}
	if found != 2*len(w.Regions) {
		t.Errorf("%d found, want %d: %v", found, 2*len(w.Regions), r.Findings)
	}
}

// imported brings a real key in; bend may spoil what its holders file.
func (w *world) imported(bend func(*command.FinishShare)) *shared {
	w.t.Helper()
	s := w.Machine.View().Settings()
	s.Import = true
	w.ok(w.Dual(&command.Configure{Settings: s}))
	for _, r := range w.Regions {
		w.ok(w.OfferWrap(r, 1))
	}
	secret := bytes.Repeat([]byte{7}, 32)
	split, shares, err := frost.SplitSecret(rand.Reader, frost.BIP340, secret, 2, four)
	if err != nil {
		w.t.Fatal(err)
	}
	public := must(split.Key(four))
	out := &shared{curve: command.Secp256k1, results: map[uint8]*frost.Result{}, chain: [32]byte{9}}
	for _, share := range shares {
		out.results[share.Region()] = &frost.Result{Share: share, Key: public, Transcript: [32]byte{8}}
	}
	b := w.Import("acme", "old", command.Secp256k1, 2)
	b.Split, b.Point, b.Chain = split.Encode(), public.Compressed(), out.chain
	out.id = w.ok(w.Dual(b)).Outcomes[0].Key
	w.hold(out, bend)
	return out
}

// A key from outside has no ceremony; what it was dealt as stands in the command.
func TestImportedKey(t *testing.T) {
	w := newWorld(t)
	old := w.imported(nil)
	st := w.stock(command.Secp256k1, 4)
	payment := func() *command.RequestSignature {
		return &command.RequestSignature{Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("pay")}
	}
	w.complete(w.signed(old, st, payment()), 1)
	w.refresh(old)
	w.complete(w.signed(old, st, payment()), 1)
	r, err := w.verify()
	if err != nil || len(r.Findings) != 0 || r.Summed != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Holders that finish another sharing of the same key than they were dealt are found.
func TestPlantedImport(t *testing.T) {
	again, _, err := frost.SplitSecret(rand.Reader, frost.BIP340, bytes.Repeat([]byte{7}, 32), 2, four)
	if err != nil {
		t.Fatal(err)
	}
	public := must(again.Key(four)).Encode()
	w := newWorld(t)
	w.imported(func(f *command.FinishShare) { f.Public = public })
	r, err := w.verify()
	wantFinding(t, r, err, auditor.KindKey)
	if !slices.ContainsFunc(r.Findings, func(f auditor.Finding) bool { return strings.Contains(f.Text, "another sharing than was dealt") }) {
		t.Errorf("%v", r.Findings)
	}
}
