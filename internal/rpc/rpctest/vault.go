package rpctest

import (
	"context"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// fakeVault decides commands by itself: requests complete at once with signatures by
// regions 1 and 3, keys are created active, everything else is OK. Ids are idempotent.
type fakeVault struct{ n *Node }

func (v fakeVault) Submit(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	v.n.Submits.Add(1)
	if hook, _ := v.n.hooks(); hook != nil {
		return hook(ctx, c)
	}
	return v.n.cluster.State.Decide(c)
}

func (v fakeVault) Sign(ctx context.Context, c *command.Command) (*fsm.Request, error) {
	if _, hook := v.n.hooks(); hook != nil {
		return hook(ctx, c)
	}
	o, err := v.Submit(ctx, c)
	if err == nil {
		err = o.Err()
	}
	if err != nil {
		return nil, err
	}
	r, _ := v.n.cluster.State.Request(o.Request)
	return r, nil
}

func (v fakeVault) Await(ctx context.Context, id command.RequestID) (*fsm.Request, error) {
	<-ctx.Done() // the fake completes requests at once: what is open stays open
	return nil, ctx.Err()
}

// Decide carries out a command on the shared state, once an id.
func (s *State) Decide(c *command.Command) (fsm.Outcome, error) {
	body, err := c.Body()
	if err != nil {
		return fsm.Outcome{}, err
	}
	cm := c.Commitment()
	if !s.signed(&cm) {
		return fsm.Outcome{Code: errs.Unauthenticated, Text: "a signature does not verify"}, nil
	}
	rid := command.RequestIDOf(c.Principal, c.ID)
	s.mu.Lock()
	o, done := s.outcomes[rid]
	if !done {
		s.index++
		o = fsm.Outcome{Code: errs.OK, Index: s.index}
	}
	s.mu.Unlock()
	if done {
		return o, nil
	}
	p, _ := s.Principal(c.Principal)
	switch b := body.(type) {
	case *command.CreateKey:
		o.Key = command.KeyIDOf(c.Principal, c.ID)
		s.PutKey(fsm.Key{ID: o.Key, Name: b.Name, Tenant: b.Tenant, Scheme: b.Scheme, Curve: b.Curve, Signers: b.Signers,
			State: fsm.KeyActive, Regions: []identity.RegionID{1, 2, 3, 4}, Asset: b.Asset})
	case *command.NextAddresses:
		k, _ := s.Key(b.Key)
		n := *k // as if there were no other branch
		o.Next = k.Next(b.Branch) + b.Count
		n.Issued, n.Given = k.Issued+uint64(b.Count), fsm.Given{Branches: []fsm.Branch{{Path: b.Branch, Next: o.Next}}}
		s.PutKey(n)
	case *command.RequestSignature:
		if k, ok := s.Key(b.Key); !ok || k.Tenant != p.Tenant {
			o = fsm.Outcome{Code: errs.NotFound, Text: "key does not exist", Index: o.Index}
			break
		}
		o.Request = rid
		at := Place(o.Index)
		drawn := fsm.Attempt{Number: 1, Meta: command.Meta{Term: at.Term, Index: at.Index, Chain: at.Hash}, Eligible: []identity.RegionID{1, 2, 3, 4}}
		s.PutRequest(fsm.Request{ID: rid, Command: c.ID, Hash: cm.Hash(s.cluster), Author: c.Principal, Tenant: p.Tenant, Key: b.Key, Kind: b.Kind,
			HashAlg: b.Hash, Note: b.Note, Expiry: c.Expiry, State: fsm.RequestComplete, Opened: o.Index, Closed: o.Index + 1, Attempts: []fsm.Attempt{drawn},
			Results: []fsm.SignatureSet{{Region: 1, Signatures: [][]byte{{1}}}, {Region: 3, Signatures: [][]byte{{3}}}}})
	}
	s.mu.Lock()
	s.outcomes[rid], s.contents[rid] = o, cm.Hash(s.cluster)
	s.mu.Unlock()
	return o, nil
}

func (s *State) signed(cm *command.Commitment) bool {
	for _, sig := range cm.Signatures {
		p, ok := s.Principal(sig.Principal)
		if !ok || !p.Key.Verify(cm.SignedBytes(s.cluster), sig.Sig) {
			return false
		}
	}
	return len(cm.Signatures) > 0
}

// fakeCosigner echoes what it is asked.
type fakeCosigner struct{}

func (fakeCosigner) HandleCoSign(_ context.Context, from identity.RegionID, q []byte) ([]byte, error) {
	return append([]byte{byte(from)}, q...), nil
}

func (fakeCosigner) HandlePartial(_ context.Context, from identity.RegionID, m command.Meta) ([]byte, error) {
	return []byte{byte(from), byte(m.Term), byte(m.Index), m.Chain[0]}, nil
}

func (fakeCosigner) HandleWord(_ context.Context, from identity.RegionID, ask []byte) ([]byte, error) {
	return append([]byte{byte(from)}, ask...), nil
}
