package client

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
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
	next     uint32
	final    bool
}

func (s *said) by(o *command.OutcomeWord) bool {
	shown := s.standing == [32]byte{} || o.Standing == s.standing
	return o.Code == s.code && o.Meta.Index == s.index && o.Key == s.key && o.Request == s.request && o.Next == s.next && shown
}

// Proof is what an answer rests on, as the client verified it.
type Proof struct {
	Certified []RegionID // who certified the entry it names; none where that is compacted
	Said      []RegionID // whose signed words say what the answer says; none where nobody was asked
}

// worded proves an answer by the words of two regions, which say under their signatures
// what it says. Every node is asked once, and one attempt's time is all it may take.
func (c *Client) worded(ctx context.Context, s *said) ([]RegionID, error) {
	if !liar.Defends(liar.Words) {
		return nil, nil
	}
	c.certain(ctx) // of two words one is honest, unless one is a replaced identity's
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Attempt)
	defer cancel()
	regions, err := c.sayers(ctx, s)
	if err == nil && len(regions) < wordsLeast && c.reconsider(ctx) {
		regions, err = c.sayers(ctx, s)
	}
	if err != nil || len(regions) >= wordsLeast {
		return regions, err
	}
	return nil, errs.New(errs.OutcomeUnknown, "the answer of entry %d is not proven: %d of %d regions say under their signatures what it says",
		s.index, len(regions), len(c.cfg.Regions)).
		WithHint("send the same command again; two regions must be up that carried it out, and if it stays so, the node that answers may be lying")
}

// sayers asks every node once and returns the regions that say what s says, as soon as they
// are enough.
func (c *Client) sayers(ctx context.Context, s *said) (regions []RegionID, err error) {
	w, err := c.newWordCheck(s.content)
	if err != nil {
		return nil, err
	}
	req := &tetradv1.AcknowledgeRequest{Author: s.author[:], CommandId: s.id[:], Nonce: w.nonce[:], Final: s.final, Enough: wordsLeast}
	for r := range c.askWords(ctx, req, false) {
		w.take(r)
		if regions = w.saying(s.by); len(regions) >= wordsLeast {
			return regions, nil
		}
	}
	return regions, nil
}

// remembered reports whether regions remember a decision, so that two of them can say it.
// What they forget binds nobody: the same bytes may still be carried out until they expire.
func remembered(cmd *Command, code errs.Code) bool {
	switch code {
	case errs.Malformed, errs.Unauthenticated, errs.Expired, errs.Throttled, errs.NeedsSecondAdmin, errs.Replayed:
		return false
	case errs.Invalid: // one that lives too long is not taken note of
		return time.Until(cmd.Expiry) <= command.MaxLifetime
	}
	return true
}

// outcome wants the proof of an outcome: a certificate of its entry, where the log still
// has one, and the words of two regions that this command stands there and was decided
// so. The certificate alone would prove any entry, the words also what is in it.
func (c *Client) outcome(ctx context.Context, cmd *Command, o *Outcome) (p Proof, err error) {
	if c.cfg.Unproven {
		return p, nil
	}
	cm, code := cmd.Commitment(), errs.Code(min(o.GetCode(), 1<<16-1))
	if len(o.GetCertified().GetCover()) > 0 || !remembered(cmd, code) {
		if err := c.proof.outcome(o); err != nil || !remembered(cmd, code) {
			return Proof{Certified: CertifiedBy(o.GetCertified())}, err
		}
		p.Certified = CertifiedBy(o.Certified)
	}
	s := &said{author: cmd.Principal, id: cmd.ID, content: cm.Hash(c.cfg.Cluster), code: code, index: o.GetIndex(), next: o.GetNext()}
	in := strict{}
	in.fixed(s.key[:], o.GetKeyId())
	in.fixed(s.request[:], o.GetRequestId())
	if in.bad {
		return p, unproven(o.GetIndex(), "it names a key or request by an id that is none")
	}
	p.Said, err = c.worded(ctx, s)
	return p, err
}

// request wants the proof of what is shown of the request id: the certificate of its draw,
// signatures prove themselves; where there is none any more, or it ended without
// signatures, two regions' words. The content of the command that opened it is cmd's, or
// with a nil cmd what two regions say.
func (c *Client) request(ctx context.Context, id RequestID, cmd *Command, r *Request) (p Proof, err error) {
	if c.cfg.Unproven {
		return p, nil
	}
	if !bytes.Equal(r.GetId(), id[:]) {
		return p, unproven(r.GetOpenedIndex(), "the answer is about another request")
	}
	if len(r.GetCertified().GetCover()) > 0 {
		if err := c.proof.request(r); err != nil {
			return p, err
		}
		if p.Certified = CertifiedBy(r.Certified); !endedEmpty(r) {
			return p, nil
		}
	}
	standing, ok := standingOf(r)
	if !ok || command.RequestIDOf(standing.Author, standing.Command) != id {
		return p, unproven(r.GetOpenedIndex(), "the answer is about another request")
	}
	s := &said{author: standing.Author, id: standing.Command, content: standing.Content, code: errs.OK, index: standing.Opened,
		request: id, standing: standing.Hash(), final: r.State != tetradv1.RequestState_REQUEST_STATE_OPEN}
	if cmd != nil {
		cm := cmd.Commitment()
		s.content = cm.Hash(c.cfg.Cluster)
	}
	p.Said, err = c.worded(ctx, s)
	return p, err
}

// endedEmpty reports whether a request is shown as over, without signatures.
func endedEmpty(r *Request) bool {
	return r.GetState() == tetradv1.RequestState_REQUEST_STATE_FAILED || r.GetState() == tetradv1.RequestState_REQUEST_STATE_EXPIRED
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
