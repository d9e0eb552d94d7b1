package chaos

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// shared is a ledger with one threshold key, two sharings of it, and real nonces.
type shared struct {
	*ledger
	t        *testing.T
	key      *key
	sharings []map[uint8]*frost.Result // epochs 1 and 2
	pools    [2][3]*frost.Pool         // regions 1 and 2, and twins with the same nonces
	nonces   [3][][]byte               // by region: commitments in the order they are given
}

const bootOf = 7

// alike is randomness of which two copies of a region get the same.
type alike struct{}

func (alike) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func newShared(t *testing.T) *shared {
	before := frosttest.New(frost.Ed25519, 2, 1, 2, 3, 4)
	after := frosttest.Run(frost.Refresh(before.Public, []byte("a refresh of it all"), "test", []uint8{1, 2, 3, 4}), before.Results)
	s := &shared{t: t, sharings: []map[uint8]*frost.Result{before.Results, after}}
	s.ledger = &ledger{history: &History{Genesis: &genesis.Genesis{}}, requests: map[command.RequestID]*request{}, keys: map[command.KeyID]*key{}}
	s.key = &key{id: command.KeyID{5}, curve: command.Ed25519, signers: 2, threshold: true, sharings: map[uint32]*sharing{}}
	s.keys[s.key.id] = s.key
	for i, r := range s.sharings {
		pub := r[1].Key
		s.key.sharings[uint32(i)+1] = &sharing{public: pub.Encode(), point: pub.Compressed(), chain: before.Chain, index: uint64(10 + 100*i), stamp: at(100 * i)}
	}
	for copied := range s.pools {
		for r := uint8(1); r <= 2; r++ {
			p, err := frost.NewPool(frost.Ed25519, r, bootOf, bytes.Repeat([]byte{r}, 32))
			s.ok(err)
			made, err := p.Prepare(alike{}, 8)
			s.ok(err)
			s.pools[copied][r] = p
			for _, c := range made {
				if copied == 0 {
					s.nonces[r] = append(s.nonces[r], c.Encode())
				}
			}
		}
	}
	return s
}

func (s *shared) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0) }

// ask opens a request whose attempt the log gives nonce number n.
func (s *shared) ask(id byte, n int, index uint64, epoch uint32) *request {
	q := &request{id: command.RequestID{id}, key: s.key, spends: []intent.Spend{{Message: []byte{id, id}}}, messages: [][]byte{{id, id}}}
	q.attempts = []attempt{{meta: command.Meta{Index: index}, drawn: []identity.RegionID{1, 2}, epoch: epoch,
		nonces: map[identity.RegionID][][]byte{1: {s.nonces[1][n]}, 2: {s.nonces[2][n]}}}}
	s.requests[q.id] = q
	return q
}

// answer has region 1, or its copy, answer for a request with nonce n and a sharing's share.
func (s *shared) answer(q *request, copied, n int, epoch uint32, when time.Time) {
	s.t.Helper()
	var named []*frost.Commitment
	for r := uint8(1); r <= 2; r++ {
		c, err := frost.DecodeCommitment(r, s.nonces[r][n])
		s.ok(err)
		named = append(named, c)
	}
	mine := s.sharings[epoch-1][1]
	made, err := s.pools[copied][1].Sign(mine.Share, mine.Key, q.spends[0].Message, named)
	s.ok(err)
	a := &command.Answer{Region: 1, At: when.UTC(), Sig: []byte{1}, Items: []command.AnswerItem{{Request: q.id, Attempt: 1, Signers: []identity.RegionID{1, 2},
		Code: errs.OK, Signatures: [][]byte{made.Encode()}}}}
	s.history.Record(Answered{1, when, a.Encode()})
}

// TestSharings: each thing that must not be is found, and nothing else is.
func TestSharings(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s *shared)
		want string
	}{
		"honest": {func(s *shared) {
			s.answer(s.ask(1, 0, 11, 1), 0, 0, 1, at(1))
			s.answer(s.ask(2, 1, 12, 1), 0, 1, 1, at(2))
			s.answer(s.ask(3, 2, 111, 2), 0, 2, 2, at(101))
		}, ""},
		"a copy gives the same": {func(s *shared) {
			q := s.ask(1, 0, 11, 1)
			s.answer(q, 0, 0, 1, at(1))
			s.answer(q, 1, 0, 1, at(2))
		}, ""},
		"one nonce, two messages": {func(s *shared) {
			s.answer(s.ask(1, 0, 11, 1), 0, 0, 1, at(1))
			s.answer(s.ask(2, 1, 12, 1), 1, 0, 1, at(2)) // the copy uses the first nonce again
		}, "is not the one its nonce is for"},
		"the log gives a nonce twice": {func(s *shared) {
			s.answer(s.ask(1, 0, 11, 1), 0, 0, 1, at(1))
			s.answer(s.ask(2, 0, 12, 1), 1, 0, 1, at(2))
		}, "gave one nonce of region"},
		"sharings mixed": {func(s *shared) {
			s.answer(s.ask(1, 0, 111, 2), 0, 0, 1, at(101))
		}, "it is of sharing 1, the attempt of sharing 2"},
		"a new attempt of an old sharing": {func(s *shared) {
			s.answer(s.ask(1, 0, 111, 1), 0, 0, 1, at(101))
		}, "although 2 was live"},
		"in the last minute": {func(s *shared) {
			s.answer(s.ask(1, 0, 109, 1), 0, 0, 1, at(158))
		}, ""},
		"after the last minute": {func(s *shared) {
			s.answer(s.ask(1, 0, 109, 1), 0, 0, 1, at(167))
		}, "after its time was over"},
		"a wrapping key, before it is destroyed": {func(s *shared) { s.opened(at(160)) }, ""},
		"a wrapping key, destroyed":              {func(s *shared) { s.opened(at(163)) }, "after it said that it had destroyed it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShared(t)
			for i := range 20 { // entries every ten seconds
				s.leaves = append(s.leaves, audit.Leaf{Meta: command.Meta{Index: uint64(i * 10)}, Stamp: at(i * 10)})
				s.history.Record(Applied{Region: 2, At: at(i*10 + 1), Meta: command.Meta{Index: uint64(i * 10)}})
			}
			c.do(s)
			s.collect()
			f := &findings{}
			nonces(s.ledger, f)
			outlived(s.ledger, f)
			if got := len(f.list) > 0; got != (c.want != "") || got && !strings.Contains(f.list[0].Text, c.want) {
				t.Errorf("found %v, want %q", f.list, c.want)
			}
		})
	}
}

// opened has region 1 use its wrapping key of epoch 1, which it calls destroyed in entry 160.
func (s *shared) opened(when time.Time) {
	s.drops = append(s.drops, drop{1, 1, 160})
	s.history.Record(Opened{1, when, seal.EpochLabel(s.history.Genesis.Document.Cluster, 1)})
}

// TestSums: what a client gets is verified by code that knows nothing of shares.
func TestSums(t *testing.T) {
	s := newShared(t)
	q := s.ask(1, 0, 11, 1)
	var named []*frost.Commitment
	var parts []*frost.SignatureShare
	for r := uint8(1); r <= 2; r++ {
		c, err := frost.DecodeCommitment(r, s.nonces[r][0])
		s.ok(err)
		named = append(named, c)
	}
	for r := uint8(1); r <= 2; r++ {
		mine := s.sharings[0][r]
		p, err := s.pools[0][r].Sign(mine.Share, mine.Key, q.spends[0].Message, named)
		s.ok(err)
		parts = append(parts, p)
	}
	sum, err := s.sharings[0][1].Key.Aggregate(q.spends[0].Message, named, parts)
	s.ok(err)
	for _, c := range []struct {
		sums [][]byte
		fine bool
	}{{[][]byte{sum}, true}, {nil, false}, {[][]byte{append(bytes.Clone(sum[:63]), sum[63]^1)}, false}} {
		f := &findings{}
		if s.sums(&Op{Sums: c.sums}, q, f); (len(f.list) == 0) != c.fine {
			t.Errorf("%x: %v", c.sums, f.list)
		}
	}
}
