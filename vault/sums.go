package vault

import (
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Signatures returns the signatures of a completed request of a threshold key, one a
// message: the log holds what each drawn region contributed, and whoever reads it adds
// that up. Nil for a multisig key, whose signatures are the Results themselves.
//
// As long as the request has its payload each one is verified under the key it is for.
// Without, what is checked is that the parts are of one signature each: who filed them
// verified those of others, and Apply those of who filed them.
func Signatures(view fsm.View, req *fsm.Request) ([][]byte, error) {
	key, ok := view.Key(req.Key)
	switch {
	case !ok:
		return nil, errs.New(errs.NotFound, "key %s is not known", req.Key)
	case key.Scheme != command.SchemeThreshold:
		return nil, nil
	case req.State != fsm.RequestComplete || len(req.Results) == 0:
		return nil, errs.New(errs.BadState, "request %s is %s: it has no signatures", req.ID, req.State)
	}
	sums := make([][]byte, len(req.Results[0].Signatures))
	for i := range sums {
		shares := make([]*frost.SignatureShare, len(req.Results))
		for j, set := range req.Results {
			if len(set.Signatures) != len(sums) {
				return nil, errs.New(errs.Corrupt, "request %s: region %d filed %d parts, not %d", req.ID, set.Region, len(set.Signatures), len(sums))
			}
			var err error
			if shares[j], err = frost.DecodeSignatureShare(uint8(set.Region), set.Signatures[i]); err != nil {
				return nil, err
			}
		}
		var err error
		if sums[i], err = frost.Join(shares); err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "request %s", req.ID)
		}
	}
	return sums, verifySums(key, req, sums)
}

func verifySums(key *fsm.Key, req *fsm.Request, sums [][]byte) error {
	if len(req.Payload) == 0 {
		return nil
	}
	info := key.Info()
	spends, err := intent.Spends(req.Kind, req.HashAlg, req.Payload, req.Path, info)
	if err != nil {
		return err
	}
	if len(spends) != len(sums) {
		return errs.New(errs.Corrupt, "request %s: %d signatures on %d messages", req.ID, len(sums), len(spends))
	}
	for i := range spends {
		if !spends[i].Verify(info, sums[i]) {
			return errs.New(errs.Unverified, "request %s: signature %d does not verify", req.ID, i).
				WithHint("who filed the completion lies: keep the log as evidence")
		}
	}
	return nil
}

// Signatures is the function of that name, with a memory of what was verified here.
func (v *Vault) Signatures(req *fsm.Request) ([][]byte, error) {
	if s := v.sums.get(req); s != nil {
		return s, nil
	}
	s, err := Signatures(v.cfg.Replica.View(), req)
	if err == nil && s != nil {
		v.sums.put(req, s)
	}
	return s, err
}

// sums remembers the signatures of threshold requests, the newest ones.
type sums struct {
	mu    sync.Mutex
	known map[sumID][][]byte
	order []sumID
}

// sumID tells requests apart that had one id, one after the other.
type sumID struct {
	request command.RequestID
	value   [32]byte
}

func newSums() *sums { return &sums{known: map[sumID][][]byte{}} }

func (s *sums) get(req *fsm.Request) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known[sumID{req.ID, req.Value}])
}

func (s *sums) put(req *fsm.Request, signatures [][]byte) {
	if signatures == nil {
		return
	}
	id := sumID{req.ID, req.Value}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] == nil {
		if len(s.order) >= maxSums {
			delete(s.known, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, id)
	}
	s.known[id] = signatures
}
