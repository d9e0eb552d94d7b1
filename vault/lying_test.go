package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// lies are what a region may answer in place of the truth, whatever the scheme of the key.
func lies() map[string]func(a *command.Answer) {
	return map[string]func(a *command.Answer){
		"other value":     func(a *command.Answer) { a.Value[0] ^= 1 },
		"other signers":   func(a *command.Answer) { slices.Reverse(a.Items[0].Signers) },
		"no signatures":   func(a *command.Answer) { a.Items[0].Signatures = nil },
		"other request":   func(a *command.Answer) { a.Items[0].Request[0] ^= 1 },
		"other region":    func(a *command.Answer) { a.Region = a.Region%4 + 1 },
		"other index":     func(a *command.Answer) { a.Index++ },
		"too many items":  func(a *command.Answer) { a.Items = append(a.Items, a.Items[0]) },
		"session not its": func(*command.Answer) {},
		"undecodable":     func(*command.Answer) {},
	}
}

// saidOf is the word on who told a lie: wrong under its signature; what has none, or is no
// answer to the question, may be anybody's.
func saidOf(lie string) command.WordKind {
	if slices.Contains([]string{"other region", "other index", "too many items", "session not its", "undecodable"}, lie) {
		return command.WordUnreachable
	}
	return command.WordWrong
}

// tells has region 2 answer with a lie.
func (w *world) tells(name string, lie func(a *command.Answer)) {
	tamper := func(_, to identity.RegionID, m *message) {
		if to != 2 || m.kind != "cosign" || m.answer == nil {
			return
		}
		a, err := command.DecodeAnswer(m.answer)
		w.ok(err)
		if a.Items[0].Code != errs.OK {
			return // asked about an attempt that was given up
		}
		signer := w.nodes[2].session
		if name == "session not its" {
			signer = &identity.Session{KeySigner: identity.GenerateEd25519()}
		}
		lie(a)
		w.ok(a.Sign(context.Background(), w.kit.Cluster(), signer))
		m.answer = a.Encode()
		if name == "undecodable" {
			m.answer = []byte("nonsense")
		}
		w.set(func() { w.lied[a.Hash()] = true })
	}
	w.set(func() { w.tamper = tamper })
}

// named wants the words on region 2 that came into the log for a lie, after the first some,
// to be of the kind it deserves, and no lie to be filed. A word on a wrong answer names one
// that was told.
func (w *world) named(lie string, some int) {
	w.t.Helper()
	kind, words := saidOf(lie), w.wordsOn(2)[some:]
	if len(words) == 0 {
		w.t.Errorf("%s: no word that it %s", lie, kind)
	}
	if s := w.leading().vault.Stats(); kind == command.WordWrong && s.BadAnswers == 0 {
		w.t.Errorf("%s: no bad answer is counted", lie)
	}
	var told map[[32]byte]bool
	w.set(func() { told = maps.Clone(w.lied) })
	for _, v := range words {
		if v.Kind != kind || kind == command.WordWrong && !told[v.Answer] {
			w.t.Errorf("%s: word of region %d that it %s, answer %x; want that it %s, by one of its lies", lie, v.By, v.Kind, v.Answer[:4], kind)
		}
	}
	for by, list := range filed[*command.Complete](w) {
		for _, raw := range slices.Concat(answersOf(list)...) {
			if a, err := command.DecodeAnswer(raw); err != nil || told[a.Hash()] {
				w.t.Errorf("%s: region %d filed a lie: %v", lie, by, err)
			}
		}
	}
}

func answersOf(list []*command.Complete) (out [][][]byte) {
	for _, b := range list {
		out = append(out, b.Answers)
	}
	return out
}

// TestLyingCoSigner: what one region answers falsely reaches no client.
func TestLyingCoSigner(t *testing.T) {
	all := lies()
	all["bad signature"] = func(a *command.Answer) { a.Items[0].Signatures[0][5] ^= 1 }
	for _, name := range inOrder(all) {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				w.tells(name, all[name])
				good := 0
				for i := range 16 {
					c := w.request(k, fmt.Sprint("lies ", i))
					ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
					req, err := w.leading().vault.Sign(ctx, c)
					cancel()
					if err == nil {
						w.verify(k, c, req)
						good++
					} else if errs.CodeOf(err) != errs.OutcomeUnknown {
						t.Errorf("got %v", err)
					}
				}
				w.named(name, 0)
				if s := w.leading().vault.Stats(); good != 16 || s.SecondAttempts == 0 {
					t.Errorf("%d of 16 signed, want all, those that drew the liar by another pair: %+v", good, s)
				}
				w.consistent()
			})
		})
	}
}

// wrongShares are what a region may give in place of its share of an Ed25519 signature.
// before is a share of its own that was right, in another request.
func wrongShares() map[string]func(share, before []byte) []byte {
	const suite, region, epoch, point, scalar, end = 1, 2, 6, 7, 39, 71
	fill := func(from, to int, with byte) func(share, _ []byte) []byte {
		return func(share, _ []byte) []byte {
			copy(share[from:to], bytes.Repeat([]byte{with}, to-from))
			return share
		}
	}
	return map[string]func(share, before []byte) []byte{
		"scalar not canonical": fill(scalar, end, 0xff),
		"scalar is zero":       fill(scalar, end, 0),
		"scalar is another":    func(s, _ []byte) []byte { s[scalar] ^= 1; return s },
		"point is none":        fill(point, scalar, 0xff),
		"point of order four":  fill(point, scalar, 0),
		"point is the other's": func(s, before []byte) []byte { copy(s[point:scalar], before[point:scalar]); return s },
		"share of before":      func(_, before []byte) []byte { return bytes.Clone(before) },
		"other epoch":          func(s, _ []byte) []byte { s[epoch]++; return s },
		"name of another":      func(s, _ []byte) []byte { s[region]++; return s },
		"other suite":          func(s, _ []byte) []byte { s[suite]++; return s },
		"cut short":            func(s, _ []byte) []byte { return s[:end-1] },
		"longer":               func(s, _ []byte) []byte { return append(s, 0) },
	}
}

// TestLyingThresholdSigner: the same of a threshold key, and of every part of a share, one
// lie after the other. Who drew the liar signs by another pair.
func TestLyingThresholdSigner(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		before, all, shares := w.shareOf(k, 2), lies(), wrongShares()
		for name, change := range shares {
			all[name] = func(a *command.Answer) {
				own := a.Items[0].Signatures
				own[0] = change(bytes.Clone(own[0]), before)
			}
		}
		for _, name := range inOrder(all) {
			some := len(w.wordsOn(2))
			w.tells(name, all[name])
			w.signsWithout(k, 2, name)
			w.named(name, some)
		}
		w.consistent()
	})
}

// shareOf signs until a region has given a share that made a signature, and returns it.
func (w *world) shareOf(k *fsm.Key, region identity.RegionID) []byte {
	w.t.Helper()
	for i := range 64 {
		c := w.joint(k, fmt.Sprint("the truth ", i))
		req := w.sign(c)
		w.proven(k, c, req)
		for _, s := range req.Results {
			if s.Region == region {
				return s.Signatures[0]
			}
		}
	}
	w.t.Fatalf("64 draws without region %d", region)
	return nil
}

// signsWithout signs until two requests have drawn a liar: each gets its signature, and
// nothing of the liar is in it.
func (w *world) signsWithout(k *fsm.Key, liar identity.RegionID, lie string) {
	w.t.Helper()
	again := 0
	for i := 0; again < 2 && i < 64; i++ {
		c := w.joint(k, fmt.Sprint(lie, i))
		req := w.sign(c)
		w.proven(k, c, req)
		if len(req.Attempts) > 1 {
			again++
		}
		if slices.ContainsFunc(req.Results, func(s fsm.SignatureSet) bool { return s.Region == liar }) {
			w.t.Errorf("%s: a liar's share is in the result", lie)
		}
	}
	if again < 2 {
		w.t.Errorf("%s: %d of 64 requests drew the liar", lie, again)
	}
}
