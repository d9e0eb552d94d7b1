package vault_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// garbage is an offer of commitments that are none, in the shape the log takes.
func (n *node) garbage(curve command.Curve, count int) *command.OfferNonces {
	return n.garbageOf(uint64(n.session.Cert.Issued.UnixMilli()), curve, count)
}

func (n *node) garbageOf(boot uint64, curve command.Curve, count int) *command.OfferNonces {
	b := &command.OfferNonces{Curve: curve}
	for i := range count {
		c := []byte{1, 1, byte(n.id)}
		if curve == command.Secp256k1 {
			c[1] = 2
		}
		c = binary.BigEndian.AppendUint64(c, boot)
		c = binary.BigEndian.AppendUint32(c, uint32(i+1))
		b.Commitments = append(b.Commitments, append(c, bytes.Repeat([]byte{0xff}, fsm.CommitmentLen(curve)-len(c))...)...)
	}
	return b
}

// TestBootNumbers: a region that offered under a number of far ahead, as one whose clock ran
// ahead did before it was replaced, goes on above it.
func TestBootNumbers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		n := w.nodes[3]
		ahead := uint64(time.Now().Add(time.Hour).UnixMilli())
		w.must(w.command(n.garbageOf(ahead, ed25519Curve, 4), time.Minute, n.session))
		n.kill()
		time.Sleep(time.Second)
		n.restart()
		w.threshold(ed25519Curve, 2)
		w.eventually("its pool is full again", func() bool {
			p, ok := w.leading().View().NoncePool(3, ed25519Curve)
			return ok && p.Boot == ahead+1 && p.Count() >= 64 && p.Session == n.session.Public().Fingerprint()
		})
	})
}

// TestCommitmentsThatAreNone: a region offers bytes that are no points. Nobody can sign
// beside it; it is named, and left out of the next draw on another region's word.
func TestCommitmentsThatAreNone(t *testing.T) {
	for _, curve := range jointCurves {
		for _, polite := range []bool{true, false} { // it says "not now", or gives some share
			t.Run(fmt.Sprintf("%s, polite %t", curve, polite), func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					liar := w.nodes[3]
					liar.must(liar.command(liar.garbage(curve, 64), time.Minute, liar.session))
					w.set(func() {
						w.tamper = func(_, to identity.RegionID, m *message) {
							if to == liar.id && m.kind == "cosign" && m.answer != nil {
								m.answer = liar.pretend(m.answer, polite)
							}
						}
					})
					k := w.ready(curve, 2)
					for i := range 10 {
						c := w.joint(k, fmt.Sprint("beside a liar ", i))
						req := w.sign(c)
						w.proven(k, c, req)
						if slices.ContainsFunc(req.Results, func(s fsm.SignatureSet) bool { return s.Region == liar.id }) {
							t.Error("the liar's share is in the result")
						}
					}
					if !w.wordOn(liar.id) || w.wordOn(1) || w.wordOn(2) || w.wordOn(4) {
						t.Error("the words in the log name nobody, or another than the liar")
					}
				})
			})
		}
	}
}

// pretend rewrites a liar's answer and signs it again.
func (n *node) pretend(raw []byte, polite bool) []byte {
	a, err := command.DecodeAnswer(raw)
	n.ok(err)
	for i := range a.Items {
		it := &a.Items[i]
		if it.Code = errs.NotReady; !polite {
			share := bytes.Repeat([]byte{0}, 71)
			share[0], share[1], share[2], share[6] = 1, 1, byte(n.id), 1
			copy(share[7:], bytes.Repeat([]byte{0x58}, 1))
			it.Code, it.Text, it.Signatures = errs.OK, "", [][]byte{share}
		}
	}
	n.ok(a.Sign(n.t.Context(), n.kit.Cluster(), n.session))
	return a.Encode()
}

// TestThresholdPayments: a payment with many inputs is one request with as many messages,
// and one answer a region.
func TestThresholdPayments(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Secp256k1, 2)
		wallet, err := k.Info().Taproot()
		w.ok(err)
		before := w.count("cosign")
		var outs []*intent.TaprootOutput
		var amounts []int64
		for i := range uint32(12) {
			o, err := wallet.Output(0, i)
			w.ok(err)
			outs, amounts = append(outs, o), append(amounts, 10_000)
		}
		funds := intenttest.FundTaproot(1, outs, amounts...)
		psbt := intenttest.TaprootPSBT(2, wallet, funds, outs, intenttest.To(1, 110_000))
		c := w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindPSBT, Payload: psbt}, time.Minute, w.client)
		req := w.sign(c)
		if sums := w.proven(k, c, req); len(sums) != 12 {
			t.Errorf("%d signatures", len(sums))
		}
		if n := w.count("cosign") - before; n > 2 {
			t.Errorf("%d questions for one request", n)
		}
		w.oneNonceOneMessage()
	})
}

// TestThresholdStatements: shares that left and that no completion shows are filed by
// whoever gave them, and a share alone completes nothing.
func TestThresholdStatements(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		req := w.abandoned(w.joint(k, "hidden"))
		q, drawn := w.question(req)
		a, err := w.nodes[drawn[0]].ask(q)
		w.ok(err)
		w.set(func() { w.leader = drawn[1] }) // takes proposals, works on nothing
		var filed atomic.Bool
		w.eventually("a statement", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, in := range w.log {
				for _, c := range in.Entry.Commands {
					if body, err := c.Body(); err == nil && c.Type == command.TypeComplete {
						got, err := command.DecodeAnswer(body.(*command.Complete).Answers[0])
						filed.Store(err == nil && got.Region == drawn[0] && bytes.Equal(got.Items[0].Signatures[0], a.Items[0].Signatures[0]))
					}
				}
			}
			return filed.Load()
		})
		if row, _ := w.nodes[1].View().Request(req.ID); row.State != fsm.RequestOpen {
			t.Errorf("one share made the request %s", row.State)
		}
	})
}

// TestWrongShareCompletesNothingElse: of two requests in one answer one share is wrong.
// The right one reaches its client and its completion; nothing wrong is ever filed.
func TestWrongShareCompletesNothingElse(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		var spoilt atomic.Int32
		w.set(func() {
			w.tamper = func(_, to identity.RegionID, m *message) {
				if to != 2 || m.kind != "cosign" || m.answer == nil {
					return
				}
				a, err := command.DecodeAnswer(m.answer)
				w.ok(err)
				if last := &a.Items[len(a.Items)-1]; len(a.Items) > 1 && len(last.Signatures) == 1 {
					last.Signatures[0] = bytes.Clone(last.Signatures[0])
					last.Signatures[0][len(last.Signatures[0])-32] ^= 1
					spoilt.Add(1)
				}
				w.ok(a.Sign(t.Context(), w.kit.Cluster(), w.nodes[2].session))
				m.answer = a.Encode()
			}
		})
		var cs []*command.Command
		for i := range 24 {
			cs = append(cs, w.joint(k, fmt.Sprint("side by side ", i)))
		}
		for i, r := range w.leading().vault.SignBatch(t.Context(), cs) {
			w.ok(r.Err)
			w.proven(k, cs[i], r.Request)
		}
		if spoilt.Load() == 0 {
			t.Fatal("nothing was spoilt: this test shows nothing")
		}
		for _, c := range cs {
			w.proven(k, c, w.row(3, command.RequestIDOf(c.Principal, c.ID)))
		}
		for _, in := range w.log {
			for _, c := range in.Entry.Commands {
				if body, err := c.Body(); err == nil && c.Type == command.TypeComplete {
					w.provenCompletion(k, body.(*command.Complete))
				}
			}
		}
	})
}

// TestWrongShareIsNotFiled has a few requests share an entry, with all shares of one region
// wrong: no leader files an answer of it, and what others signed beside it is filed at once.
func TestWrongShareIsNotFiled(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		w.set(func() { w.tamper = w.spoil(2) })
		for round := range 12 {
			var cs []*command.Command
			for i := range 3 {
				cs = append(cs, w.joint(k, fmt.Sprint("beside a wrong one ", round, i)))
			}
			for i, r := range w.leading().vault.SignBatch(t.Context(), cs) {
				w.ok(r.Err)
				w.proven(k, cs[i], r.Request)
			}
		}
		w.eventually("completions", func() bool { return len(w.nodes[1].View().OpenRequests()) == 0 })
		if s := w.leading().vault.Stats(); s.BadAnswers == 0 {
			t.Fatal("nothing was spoilt: this test shows nothing")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, in := range w.log {
			for _, c := range in.Entry.Commands {
				body, err := c.Body()
				b, ok := body.(*command.Complete)
				if err != nil || !ok || c.Principal == w.nodes[2].session.Public().Fingerprint() {
					continue
				}
				for _, raw := range b.Answers {
					if a, err := command.DecodeAnswer(raw); err != nil || a.Region == 2 {
						t.Errorf("entry %d: the answer of region 2 is filed, all shares of which are wrong: %v", in.Meta.Index, err)
					}
				}
			}
		}
	})
}

// provenCompletion wants every request to which a completion holds all shares to have
// shares that verify.
func (w *world) provenCompletion(k *fsm.Key, b *command.Complete) {
	w.t.Helper()
	shares := map[command.RequestID][]*frost.SignatureShare{}
	for _, raw := range b.Answers {
		a, err := command.DecodeAnswer(raw)
		w.ok(err)
		for _, it := range a.Items {
			if len(it.Signatures) == 1 {
				s, err := frost.DecodeSignatureShare(uint8(a.Region), it.Signatures[0])
				w.ok(err)
				shares[it.Request] = append(shares[it.Request], s)
			}
		}
	}
	for id, parts := range shares {
		if len(parts) < int(k.Signers) {
			continue
		}
		public, err := frost.DecodePublicKey(k.Sharing.Public)
		w.ok(err)
		if sum, err := frost.Join(parts); err != nil || w.payloadOf(id) == nil || public.Verify(w.payloadOf(id), sum) != nil {
			w.t.Errorf("a completion of request %s does not verify: %v", id, err)
		}
	}
}

// payloadOf finds what a request asked for in the log.
func (w *world) payloadOf(id command.RequestID) []byte {
	for _, in := range w.log {
		for _, c := range in.Entry.Commands {
			if c.Type == command.TypeRequestSignature && command.RequestIDOf(c.Principal, c.ID) == id {
				if body, err := c.Body(); err == nil {
					return body.(*command.RequestSignature).Payload
				}
			}
		}
	}
	return nil
}
