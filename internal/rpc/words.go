package rpc

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// Acknowledge gives this region's word on a command and asks the others for theirs. The
// caller verifies everything, and trusts no node: what is looked at here only decides
// when to answer.
func (v *vaultService) Acknowledge(ctx context.Context, req *tetradv1.AcknowledgeRequest) (*tetradv1.AcknowledgeResponse, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	q, err := readInquiry(req.Author, req.CommandId, req.Nonce)
	if err != nil {
		return nil, err
	}
	q.Final = req.Final
	view := rooms.Reader.Local()
	if err := mayAsk(view, callerOf(ctx).principal, q.Author); err != nil {
		return nil, err
	}
	g := v.gather(ctx, rooms, q, int(req.Enough))
	out := &tetradv1.AcknowledgeResponse{Words: g.words}
	for _, r := range view.Regions() {
		for i := range r.Sessions {
			out.Sessions = append(out.Sessions, r.Sessions[i].Encode())
		}
	}
	if best, _ := g.most(); best != nil && rooms.Proofs != nil {
		if cover, err := rooms.Proofs.Cover(best.Meta.Index); err == nil {
			out.Cover = cover.Encode()
		}
	}
	return out, nil
}

func readInquiry(author, cmd, nonce []byte) (q vault.Inquiry, err error) {
	if err = id(q.Author[:], author, "author", false); err == nil {
		err = id(q.Command[:], cmd, "command_id", false)
	}
	if err == nil {
		err = id(q.Nonce[:], nonce, "nonce", false)
	}
	return q, err
}

// mayAsk keeps a tenant's principals to their own tenant's commands, and to those of
// regions. One that this replica does not know yet has nothing here to be asked about.
func mayAsk(view View, caller, author identity.Fingerprint) error {
	p, err := principal(view, caller)
	if err != nil && caller == author {
		return nil // of one that was removed
	}
	if err != nil {
		return err
	}
	if a, ok := view.Principal(author); ok && p.Tenant != "" && a.Tenant != p.Tenant {
		return errs.New(errs.Denied, "principal %s may not ask about commands of %s", caller.Short(), author.Short())
	}
	return nil
}

// gathered is the regions' words on one command. Those in good are signed by sessions
// this replica knows, and answer the question.
type gathered struct {
	words []*tetradv1.RegionWord // one for every region
	good  []*command.OutcomeWord
}

// most returns a word that most others agree with, and with how many it agrees, itself
// included; nil without any.
func (g *gathered) most() (best *command.OutcomeWord, agree int) {
	for _, w := range g.good {
		n := 0
		for _, o := range g.good {
			if w.Agrees(o) {
				n++
			}
		}
		if n > agree || n == agree && w.Placed() && !best.Placed() {
			best, agree = w, n
		}
	}
	return best, agree
}

// gather asks all regions at once, until each has answered, enough of them agree (where
// enough is not 0), or ackWait is over.
func (v *vaultService) gather(ctx context.Context, rooms *Rooms, q vault.Inquiry, enough int) *gathered {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	view := rooms.Reader.Local()
	regions, g := view.Regions(), &gathered{}
	replies := make(chan *tetradv1.RegionWord, len(regions)) // those that come too late are left in it
	for _, r := range regions {
		g.words = append(g.words, &tetradv1.RegionWord{Region: uint32(r.ID), Fault: showFault(errs.New(errs.Unavailable, "region %d was not waited for", r.ID))})
		go func() { replies <- v.server.askWord(ctx, rooms, r.ID, q) }()
	}
	for range regions {
		w := <-replies
		for i := range g.words {
			if g.words[i].Region == w.Region {
				g.words[i] = w
			}
		}
		if o := countedWord(view, w, q); o != nil {
			g.good = append(g.good, o)
		}
		if _, agree := g.most(); enough > 0 && agree >= enough {
			break
		}
	}
	return g
}

// countedWord returns a word that the caller will find good too, unless the region has
// started again meanwhile.
func countedWord(view View, w *tetradv1.RegionWord, q vault.Inquiry) *command.OutcomeWord {
	o, err := command.DecodeOutcomeWord(w.Word)
	if err != nil {
		return nil
	}
	r, cert, ok := view.RegionBySession(o.Session)
	if !ok || r.ID != o.Region || uint32(r.ID) != w.Region || o.Nonce != q.Nonce || o.Verify(view.Cluster(), cert.Session) != nil {
		return nil
	}
	return o
}

func (s *Server) askWord(ctx context.Context, rooms *Rooms, region identity.RegionID, q vault.Inquiry) (out *tetradv1.RegionWord) {
	var err error
	out = &tetradv1.RegionWord{Region: uint32(region)}
	defer func() {
		if err != nil {
			out.Fault = showFault(err)
		}
	}()
	defer s.recovered(tetradv1.Vault_Acknowledge_FullMethodName, &err)
	reply, err := s.word(ctx, rooms, region, q)
	if err == nil {
		out.Word, out.Session = reply.Word, reply.Session
	}
	return out
}

// word is one region's word: this one's own, or another's over the Peer service.
func (s *Server) word(ctx context.Context, rooms *Rooms, region identity.RegionID, q vault.Inquiry) (*tetradv1.OutcomeWordResponse, error) {
	if region != s.cfg.Region {
		if s.cfg.Dialer == nil {
			return nil, errs.New(errs.Unavailable, "region %d is not reached from here", region)
		}
		return NewPeers(s.cfg.Dialer).OutcomeWord(ctx, region, q)
	}
	if rooms.Brakes == nil || s.cfg.Session == nil {
		return nil, errs.New(errs.NotReady, "region %d gives no words", s.cfg.Region)
	}
	w, err := rooms.Brakes.OutcomeWord(ctx, q)
	if err != nil {
		return nil, err
	}
	return &tetradv1.OutcomeWordResponse{Word: w, Session: s.cfg.Session.Encode()}, nil
}

// OutcomeWord gives another region this one's word, for a caller of its own.
func (p *peerService) OutcomeWord(ctx context.Context, req *tetradv1.OutcomeWordRequest) (*tetradv1.OutcomeWordResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	q, err := readInquiry(req.Author, req.CommandId, req.Nonce)
	if err != nil {
		return nil, err
	}
	q.Final = req.Final
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return p.server.word(ctx, rooms, p.server.cfg.Region, q)
}

// OutcomeWord asks a region for its word on a command.
func (p *Peers) OutcomeWord(ctx context.Context, region identity.RegionID, q vault.Inquiry) (*tetradv1.OutcomeWordResponse, error) {
	reply := &tetradv1.OutcomeWordResponse{}
	req := &tetradv1.OutcomeWordRequest{Author: q.Author[:], CommandId: q.Command[:], Nonce: q.Nonce[:], Final: q.Final}
	return reply, p.call(ctx, region, tetradv1.Peer_OutcomeWord_FullMethodName, req, reply, false)
}
