package command_test

import (
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestMalformedOutcomeWords: what no region says.
func TestMalformedOutcomeWords(t *testing.T) {
	k := fsmtest.New()
	for name, bend := range map[string]func(*command.OutcomeWord){
		"without a code":           func(o *command.OutcomeWord) { o.Code = 0 },
		"ahead of what it applied": func(o *command.OutcomeWord) { o.Applied = o.Meta.Index - 1 },
		"half a place":             func(o *command.OutcomeWord) { o.Meta.Term = 0 },
		"no standing":              func(o *command.OutcomeWord) { o.Standing = [32]byte{} },
		"no request":               func(o *command.OutcomeWord) { o.Request = command.RequestID{} },
		"a skew beyond all bounds": func(o *command.OutcomeWord) { o.Skew = command.MaxSkew + time.Millisecond },
	} {
		o, err := command.DecodeOutcomeWord(outcomeWord(k))
		if err != nil {
			t.Fatal(err)
		}
		bend(o)
		if _, err := command.DecodeOutcomeWord(o.Encode()); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgreement: words agree in everything that was decided; only a place that one of them
// no longer knows may differ.
func TestAgreement(t *testing.T) {
	k := fsmtest.New()
	first, err := command.DecodeOutcomeWord(outcomeWord(k))
	if err != nil {
		t.Fatal(err)
	}
	for name, bend := range map[string]func(*command.OutcomeWord){
		"lineage": func(o *command.OutcomeWord) { o.Lineage[0] ^= 1 }, "command": func(o *command.OutcomeWord) { o.Command[0] ^= 1 },
		"code": func(o *command.OutcomeWord) { o.Code = errs.Denied }, "index": func(o *command.OutcomeWord) { o.Meta = command.Meta{Index: 6} },
		"term": func(o *command.OutcomeWord) { o.Meta.Term++ }, "chain": func(o *command.OutcomeWord) { o.Meta.Chain[0] ^= 1 },
		"key": func(o *command.OutcomeWord) { o.Key[0] ^= 1 }, "request": func(o *command.OutcomeWord) { o.Request[0] ^= 1 },
		"standing": func(o *command.OutcomeWord) { o.Standing[0] ^= 1 },
	} {
		other := *first
		bend(&other)
		if first.Agrees(&other) || other.Agrees(first) {
			t.Errorf("another %s agrees", name)
		}
	}
	other := *first
	other.Region, other.Applied, other.Skew, other.At, other.Nonce = 4, 99, 0, k.Start.Add(time.Hour), [16]byte{}
	if !first.Agrees(&other) {
		t.Error("what is the region's own matters")
	}
	other.Meta = command.Meta{Index: first.Meta.Index}
	if !first.Agrees(&other) || !other.Agrees(first) {
		t.Error("a place unknown to one of them matters")
	}
}

// TestStandingBindsAll: no field of what is shown may be changed under a word.
func TestStandingBindsAll(t *testing.T) {
	k := fsmtest.New()
	first := standing(k)
	for name, bend := range map[string]func(*command.Standing){
		"id": func(s *command.Standing) { s.ID[0] ^= 1 }, "command": func(s *command.Standing) { s.Command[0] ^= 1 },
		"content": func(s *command.Standing) { s.Content[0] ^= 1 }, "author": func(s *command.Standing) { s.Author[0] ^= 1 },
		"tenant": func(s *command.Standing) { s.Tenant = "" }, "key": func(s *command.Standing) { s.Key[0] ^= 1 },
		"key version": func(s *command.Standing) { s.KeyVersion++ }, "kind": func(s *command.Standing) { s.Kind++ },
		"hash": func(s *command.Standing) { s.HashAlg++ }, "note": func(s *command.Standing) { s.Note += "m" },
		"expiry": func(s *command.Standing) { s.Expiry = s.Expiry.Add(time.Second) }, "state": func(s *command.Standing) { s.State++ },
		"number": func(s *command.Standing) { s.Attempts[0].Number++ }, "draw": func(s *command.Standing) { s.Attempts[0].Meta.Chain[0] ^= 1 },
		"stamp":    func(s *command.Standing) { s.Attempts[0].Stamp = s.Expiry },
		"eligible": func(s *command.Standing) { s.Attempts[0].Eligible = []identity.RegionID{1, 2, 3} },
		"attempts": func(s *command.Standing) { s.Attempts = nil }, "signer": func(s *command.Standing) { s.Results[0].Region = 2 },
		"signature": func(s *command.Standing) { s.Results[1].Signatures[1] = []byte{6} },
		"split":     func(s *command.Standing) { s.Results[0].Signatures = [][]byte{{1}, {2, 3}} },
		"results":   func(s *command.Standing) { s.Results = s.Results[:1] }, "value": func(s *command.Standing) { s.Value[0] ^= 1 },
		"opened": func(s *command.Standing) { s.Opened++ }, "closed": func(s *command.Standing) { s.Closed++ }, "leaf": func(s *command.Standing) { s.Leaf++ },
	} {
		other := standing(k)
		bend(&other)
		if first.Hash() == other.Hash() {
			t.Errorf("%s is not bound", name)
		}
	}
}
