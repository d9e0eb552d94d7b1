package vault_test

import (
	"context"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// abandoned commits a request while nobody leads, and returns its row.
func (w *world) abandoned(c *command.Command) *fsm.Request {
	w.t.Helper()
	if w.leading() != nil {
		w.lead(0)
	}
	w.apply(c)
	req, ok := w.nodes[1].View().Request(command.RequestIDOf(c.Principal, c.ID))
	if !ok || req.Open() == nil {
		w.t.Fatal("request is not open")
	}
	return req
}

// apply commits one command that must succeed, whoever leads.
func (w *world) apply(c *command.Command) {
	w.t.Helper()
	p := proposal{c, make(chan fsm.Outcome, 1)}
	w.commit([]proposal{p})
	if out := <-p.reply; out.Err() != nil {
		w.t.Fatalf("%s: %s: %s", c.Type, out.Code, out.Text)
	}
}

// question is what an honest leader would ask about a request, and who is drawn.
func (w *world) question(req *fsm.Request) (*vault.Question, []identity.RegionID) {
	w.t.Helper()
	a := req.Open()
	input := draw.Input(w.nodes[1].View().Lineage(), a.Meta.Term, a.Meta.Index, a.Meta.Chain)
	shares, pub := dealt()
	q := &vault.Question{Meta: a.Meta, Items: []vault.Item{{Request: req.ID, Attempt: a.Number}}}
	var ps []draw.Partial
	for _, s := range shares[:3] {
		p, err := s.Evaluate(draw.At(input))
		w.ok(err)
		ps = append(ps, p)
		q.Partials = append(q.Partials, p.Encode())
	}
	var err error
	q.Value, err = pub.Combine(draw.At(input), ps)
	w.ok(err)
	return q, w.drawn(req, q.Value)
}

func (w *world) drawn(req *fsm.Request, value [32]byte) (out []identity.RegionID) {
	a := req.Open()
	k, _ := w.nodes[1].View().Key(req.Key)
	var eligible []uint8
	for _, r := range a.Eligible {
		eligible = append(eligible, uint8(r))
	}
	for _, r := range draw.Permutation(value, req.ID, a.Number, eligible)[:k.Signers] {
		out = append(out, identity.RegionID(r))
	}
	return out
}

// ask puts a question to a region as another region would.
func (n *node) ask(q *vault.Question) (*command.Answer, error) {
	raw, err := n.vault.HandleCoSign(context.Background(), n.id%4+1, q.Encode())
	if err != nil {
		return nil, err
	}
	return command.DecodeAnswer(raw)
}

// drawing commits requests while nobody leads until one draws the region, and returns it
// with who is drawn, that region last.
func (w *world) drawing(k *fsm.Key, region identity.RegionID) (*fsm.Request, []identity.RegionID) {
	w.t.Helper()
	for i := range 64 {
		req := w.abandoned(w.request(k, "draw "+string(rune('A'+i))))
		_, drawn := w.question(req)
		if drawn[1] == region {
			return req, drawn
		}
	}
	w.t.Fatal("64 draws without that region")
	return nil, nil
}
