package vault_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault"
)

// Who files a completion and is drawn itself has nobody else look at its own signature:
// the log refuses one that is wrong, and the next leader gets an answer from both again.
func TestAuthorsWrongSignature(t *testing.T) {
	for _, c := range []struct {
		name  string
		joint bool
		curve command.Curve
	}{{"frost ed25519", true, command.Ed25519}, {"frost bip340", true, command.Secp256k1},
		{"p256", false, command.P256}, {"secp256k1", false, command.Secp256k1}, {"ed25519", false, command.Ed25519}} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				var k *fsm.Key
				var cmd *command.Command
				if c.joint {
					k = w.ready(c.curve, 2)
					cmd = w.joint(k, "spoiled by who leads")
				} else {
					k = w.key(c.curve, 2)
					cmd = w.request(k, "spoiled by who leads")
				}
				filedByALiar(t, w, k, cmd, c.joint)
			})
		})
	}
}

// filedByALiar completes a request in the name of its first drawn region, whose signature
// has one bit wrong; the second drawn then leads.
func filedByALiar(t *testing.T, w *world, k *fsm.Key, cmd *command.Command, joint bool) {
	req := w.abandoned(cmd)
	q, drawn := w.question(req)
	liar, honest := w.nodes[drawn[0]], w.nodes[drawn[1]]
	good, err := liar.ask(q)
	w.ok(err)
	partner, err := honest.ask(q)
	w.ok(err)
	spoiled := *good
	spoiled.Items = append([]command.AnswerItem(nil), good.Items...)
	s := bytes.Clone(good.Items[0].Signatures[0])
	s[len(s)-20] ^= 1
	spoiled.Items[0].Signatures = [][]byte{s}
	w.ok(spoiled.Sign(t.Context(), w.kit.Cluster(), liar.session))
	file := func(a *command.Answer) fsm.Outcome {
		p := proposal{liar.command(&command.Complete{Index: q.Meta.Index, Partials: q.Partials, Answers: [][]byte{a.Encode(), partner.Encode()}}, time.Minute, liar.session), make(chan fsm.Outcome, 1)}
		w.commit([]proposal{p})
		return <-p.reply
	}
	if out := file(&spoiled); out.Code != errs.Unverified {
		t.Fatalf("a wrong signature of its author: %v", out)
	}
	if row, _ := honest.View().Request(req.ID); row.State != fsm.RequestOpen {
		t.Fatalf("the request is %s", row.State)
	}
	w.lead(honest.id)
	row := w.row(honest.id, req.ID)
	if !joint {
		w.verify(k, cmd, row)
		return
	}
	sums, err := vault.Signatures(honest.View(), row)
	w.ok(err)
	var shares [][]byte
	for _, r := range row.Results {
		shares = append(shares, r.Signatures[0])
	}
	if sum, err := intent.Join(k.Curve, shares); err != nil || !bytes.Equal(sum, sums[0]) {
		t.Errorf("the state adds up %x, %v, the regions %x", sum, err, sums[0])
	}
	w.proven(k, cmd, row)
}

// BenchmarkFiled is what Apply adds for a completion whose author is drawn itself.
func BenchmarkFiled(b *testing.B) {
	w := newWorld(b)
	defer w.close()
	w.sharings.quiet = true
	w.setUp()
	for _, curve := range []command.Curve{command.Ed25519, command.Secp256k1} {
		k := w.ready(curve, 2)
		c := w.joint(k, "a message", 0, 7)
		req := w.sign(c)
		body, err := c.Body()
		w.ok(err)
		ask := body.(*command.RequestSignature)
		shares := [][]byte{req.Results[0].Signatures[0], req.Results[1].Signatures[0]}
		b.Run(curve.String(), func(b *testing.B) {
			for b.Loop() {
				info := k.Info()
				spends, err := intent.Spends(ask.Kind, ask.Hash, ask.Payload, ask.Path, info)
				w.ok(err)
				signature, err := intent.Join(curve, shares)
				w.ok(err)
				if !spends[0].Verify(info, signature) {
					b.Fatal("it does not verify")
				}
			}
		})
	}
}
