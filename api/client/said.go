package client

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// said is what a node's answer says of one command, as regions' words have to say it too.
type said struct {
	author   Fingerprint
	id       command.ID
	content  [32]byte
	code     errs.Code
	index    uint64
	key      KeyID
	request  RequestID
	standing [32]byte // zero: nothing is shown of the request but its id
	final    bool
}

func (s *said) by(o *command.OutcomeWord) bool {
	shown := s.standing == [32]byte{} || o.Standing == s.standing
	return o.Code == s.code && o.Meta.Index == s.index && o.Key == s.key && o.Request == s.request && shown
}

// worded proves an answer of which no certificate is left, by the words of two regions:
// nodes remember what they decided for longer than the log that certified it. Every node
// is asked once, and one attempt's time is all it may take.
func (c *Client) worded(ctx context.Context, s *said) error {
	w, err := c.newWordCheck(s.content)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Attempt)
	defer cancel()
	req := &tetradv1.AcknowledgeRequest{Author: s.author[:], CommandId: s.id[:], Nonce: w.nonce[:], Final: s.final, Enough: wordsLeast}
	var regions []RegionID
	for r := range c.askWords(ctx, req, false) {
		w.take(r)
		if regions = w.saying(s.by); len(regions) >= wordsLeast {
			return nil
		}
	}
	return errs.New(errs.OutcomeUnknown, "entry %d is not proven to be certified: no certificate is at hand, and %d of %d regions say under their signatures what the answer says",
		s.index, len(regions), len(c.cfg.Regions)).
		WithHint("send the same command again; two regions must be up that carried it out")
}

// outcome wants the proof of an outcome: the certificate of its entry or, where the node
// has none any more, two regions' words.
func (c *Client) outcome(ctx context.Context, cmd *Command, o *Outcome) error {
	err := c.proof.outcome(o)
	if err == nil || o == nil || len(o.GetCertified().GetCover()) > 0 {
		return err
	}
	cm := cmd.Commitment()
	s := &said{author: cmd.Principal, id: cmd.ID, content: cm.Hash(c.cfg.Cluster), code: errs.Code(min(o.Code, 1<<16-1)), index: o.Index}
	in := strict{}
	in.fixed(s.key[:], o.KeyId)
	in.fixed(s.request[:], o.RequestId)
	if in.bad {
		return unproven(o.Index, "it names a key or request by an id that is none")
	}
	return c.worded(ctx, s)
}

// request wants the proof of what is shown of the request id, like outcome. The content
// of the command that opened it is cmd's, or with a nil cmd what two regions say.
func (c *Client) request(ctx context.Context, id RequestID, cmd *Command, r *Request) error {
	if c.cfg.Unproven {
		return nil
	}
	if !bytes.Equal(r.GetId(), id[:]) {
		return unproven(r.GetOpenedIndex(), "the answer is about another request")
	}
	err := c.proof.request(r)
	if err == nil || len(r.GetCertified().GetCover()) > 0 {
		return err
	}
	standing, ok := standingOf(r)
	if !ok || command.RequestIDOf(standing.Author, standing.Command) != id {
		return unproven(r.GetOpenedIndex(), "the answer is about another request")
	}
	s := &said{author: standing.Author, id: standing.Command, content: standing.Content, code: errs.OK, index: standing.Opened,
		request: id, standing: standing.Hash(), final: r.State != tetradv1.RequestState_REQUEST_STATE_OPEN}
	if cmd != nil {
		cm := cmd.Commitment()
		s.content = cm.Hash(c.cfg.Cluster)
	}
	return c.worded(ctx, s)
}

// strict reads what an answer shows. What has no canonical form fits no word.
type strict struct{ bad bool }

// fixed takes src, or nothing for a zero value, into dst.
func (s *strict) fixed(dst, src []byte) {
	s.bad = s.bad || len(src) != 0 && len(src) != len(dst)
	copy(dst, src)
}

func (s *strict) u8(v uint32) uint8 {
	s.bad = s.bad || v > 1<<8-1
	return uint8(v)
}

func (s *strict) time(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	at := t.AsTime()
	s.bad = s.bad || !t.IsValid() || !at.Equal(at.Truncate(time.Millisecond))
	return at
}

// standingOf returns what an answer shows of a request, in the form that words name.
func standingOf(r *Request) (out *command.Standing, ok bool) {
	in := strict{bad: len(r.Payload) > 0}
	out = &command.Standing{Tenant: r.Tenant, KeyVersion: r.KeyVersion, Kind: command.Kind(in.u8(uint32(r.Kind))), HashAlg: command.Hash(in.u8(uint32(r.Hash))),
		Note: r.Note, Expiry: in.time(r.Expiry), State: in.u8(uint32(r.State)), Opened: r.OpenedIndex, Closed: r.ClosedIndex, Leaf: r.Leaf}
	in.fixed(out.ID[:], r.Id)
	in.fixed(out.Command[:], r.CommandId)
	in.fixed(out.Content[:], r.ContentHash)
	in.fixed(out.Author[:], r.Author)
	in.fixed(out.Key[:], r.KeyId)
	in.fixed(out.Value[:], r.Value)
	if r.State == tetradv1.RequestState_REQUEST_STATE_COMPLETE {
		out.Closed = 0 // signatures are handed out before
	}
	for _, a := range r.Attempts {
		n := command.StandingAttempt{Number: in.u8(a.GetNumber()), Meta: command.Meta{Index: a.GetIndex(), Term: a.GetTerm()}, Stamp: in.time(a.GetStamp())}
		in.fixed(n.Meta.Chain[:], a.GetChain())
		for _, e := range a.GetEligible() {
			n.Eligible = append(n.Eligible, RegionID(in.u8(e)))
		}
		out.Attempts = append(out.Attempts, n)
	}
	for _, s := range r.Results {
		out.Results = append(out.Results, command.StandingResult{Region: RegionID(in.u8(s.GetRegion())), Signatures: s.GetSignatures()})
	}
	return out, !in.bad
}
