package vault

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/clock"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Proposer puts a signed command into the log, through the leader wherever it is, and
// returns what Apply decided. errs.OutcomeUnknown: ask again with the same command.
type Proposer interface {
	Propose(ctx context.Context, c *command.Command) (fsm.Outcome, error)
}

// Replica is the region's own copy of the committed state.
type Replica interface {
	View() fsm.View
	WaitApplied(ctx context.Context, index uint64) error
	// Ready is nil only when the replica is past its durable high-water mark and a barrier.
	Ready() error
	// Lease is nil while nothing certified a lease ago or earlier can have passed this
	// replica by (docs/design/certificates.md). It may come and go from call to call.
	Lease() error
}

// Covers proves that entries of the log are certified. The proof is for whoever reads the
// audit; nothing here looks into it. errs.NotFound while, or since, there is none.
type Covers interface {
	Cover(index uint64) ([]byte, error)
}

// Token is the region's HSM. Sign returns 64 bytes r||s with low s over a 32-byte
// digest, or an Ed25519 signature over the message. Generate is idempotent per label.
type Token interface {
	Generate(ctx context.Context, label string, curve uint8) (pub, attributes []byte, err error)
	Sign(ctx context.Context, label string, curve uint8, message []byte) ([]byte, error)
	Health(ctx context.Context) error
}

// Wraps are the region's wrapping keys by epoch, to which its shares of threshold keys are
// sealed (docs/design/threshold.md). Each hangs on a key in the HSM that exists for its
// epoch only. Others seal to the public half with box.Seal.
type Wraps interface {
	// CreateWrap makes the key in the HSM, or finds it, and a fresh pair under it. What
	// counts is the pair that was committed.
	CreateWrap(ctx context.Context, epoch uint32) (public, sealed, attributes []byte, err error)
	// OpenWrap opens the committed pair by one call of the HSM. errs.NotFound: the key is
	// not in the HSM.
	OpenWrap(ctx context.Context, epoch uint32, sealed []byte) (*box.Key, error)
	// DropWrap destroys the key in the HSM and makes sure that it is gone; again is fine.
	DropWrap(ctx context.Context, epoch uint32) error
}

// Escrow encrypts a region's share of the sharing of an epoch (frost.Share, stored form) as
// a key's escrow says; the result is what the region files.
type Escrow func(view fsm.View, key *fsm.Key, e *fsm.Escrow, epoch uint32, share []byte) ([]byte, error)

// Peers reaches other regions over mutually authenticated connections; the far end is
// their HandleCoSign, HandlePartial and HandleWord. Coded errors pass through, so
// that errs.Unavailable means the region was not reached.
type Peers interface {
	CoSign(ctx context.Context, region identity.RegionID, question []byte) ([]byte, error)
	Partial(ctx context.Context, region identity.RegionID, meta command.Meta) ([]byte, error)
	Word(ctx context.Context, region identity.RegionID, ask []byte) ([]byte, error)
}

// Leaves is the region's store of audit leaves: no leaf, no signature.
type Leaves interface{ Healthy() error }

// Sealer encrypts what the region keeps for itself on disk.
type Sealer interface {
	Seal(plaintext, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}

// Timing is how long things may take. Zero fields take the value of DefaultTiming.
type Timing struct {
	Partial   time.Duration // wait for partials on append replies before asking for them
	Question  time.Duration // an answer to a co-sign question
	Lease     time.Duration // wait for a lease before a co-signer says "not now"
	HSM       time.Duration // the HSM's part of it
	PerItem   time.Duration // allowed on top for each signature asked for
	Late      time.Duration // wait for the last region before filing what is done
	Probe     time.Duration // another region's reach for a silent one
	Propose   time.Duration // one proposal of our own
	Cover     time.Duration // wait for the proof that goes into a completion
	Retry     time.Duration // first pause before something is tried again; doubles
	RetryMost time.Duration
	Statement time.Duration // a completion to appear before a co-signer files its own statement
	KeyStep   time.Duration // one step of making a key, in the HSM and in the log
	Health    time.Duration // between checks of HSM and leaf store
	Tick      time.Duration // silence after which the leader moves the FSM clock
}

// DefaultTiming suits regions up to 250 ms apart.
func DefaultTiming() Timing {
	return Timing{
		Partial: 20 * time.Millisecond, Question: 2 * time.Second, Lease: 300 * time.Millisecond, HSM: 1500 * time.Millisecond, PerItem: 20 * time.Millisecond,
		Late: 100 * time.Millisecond, Probe: time.Second, Propose: 5 * time.Second, Cover: 2 * time.Second,
		Retry: 100 * time.Millisecond, RetryMost: 5 * time.Second,
		Statement: 10 * time.Second, KeyStep: 20 * time.Second, Health: 5 * time.Second, Tick: 30 * time.Second,
	}
}

// answer is how long a question about n signatures may take in all.
func (t Timing) answer(n int) time.Duration { return t.Question + time.Duration(n)*t.PerItem }

// Still is how long the committed clock may stand: whoever leads commits an entry after Tick.
func (t Timing) Still() time.Duration { return t.withDefaults().Tick * 3 / 2 }

func (t Timing) withDefaults() Timing {
	d := DefaultTiming()
	for _, f := range []struct{ have, want *time.Duration }{
		{&t.Partial, &d.Partial}, {&t.Question, &d.Question}, {&t.Lease, &d.Lease}, {&t.HSM, &d.HSM}, {&t.PerItem, &d.PerItem}, {&t.Late, &d.Late},
		{&t.Probe, &d.Probe}, {&t.Propose, &d.Propose}, {&t.Cover, &d.Cover}, {&t.Retry, &d.Retry}, {&t.RetryMost, &d.RetryMost},
		{&t.Statement, &d.Statement}, {&t.KeyStep, &d.KeyStep}, {&t.Health, &d.Health}, {&t.Tick, &d.Tick},
	} {
		if *f.have == 0 {
			*f.have = *f.want
		}
	}
	return t
}

// Config is everything a Vault needs; all fields without "optional" must be set.
type Config struct {
	Region   identity.RegionID
	Identity identity.Signer // the identity key in the HSM
	Session  *identity.Session
	Curves   []command.Curve // what the HSM signs with now, ascending
	Level    uint32          // of commands this release understands, announced with the session
	Share    draw.Share      // of the beacon key, dealt at the genesis; empty if the region has none (any more)

	Proposer Proposer
	Replica  Replica
	Token    Token
	Wraps    Wraps
	Peers    Peers
	Leaves   Leaves
	FS       durable.FS // answers already given, below "answers/"
	Sealer   Sealer
	Covers   Covers // optional, completions are filed without proofs
	Escrow   Escrow // optional, this region escrows nothing whatever the vault decides

	// Verify checks signatures of sessions; optional, the key's own. A memory shared with
	// admission spares each node one of two checks of the same statement.
	Verify func(pub identity.PublicKey, msg, sig []byte) bool

	// Attributes judges what a region read back of a new key; optional, none refused.
	Attributes func(attributes []byte) error

	HSMWorkers int     // signatures in the HSM at once; optional, 2
	Nonces     int     // commitments a pool holds when nothing is asked of it; optional, 128
	Shares     Keeping // of threshold keys, in memory; optional
	Timing     Timing
	Clock      clock.Clock
	Random     io.Reader    // optional, crypto/rand
	Logger     *slog.Logger // optional, discards

	stop *overlay
}

func (c *Config) validate() error {
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"Region", c.Region == 0}, {"Identity", c.Identity == nil}, {"Session", c.Session == nil},
		{"Share", c.Share.Region != 0 && c.Share.Region != uint8(c.Region)}, {"Proposer", c.Proposer == nil}, {"Replica", c.Replica == nil},
		{"Token", c.Token == nil}, {"Wraps", c.Wraps == nil}, {"Peers", c.Peers == nil}, {"Leaves", c.Leaves == nil},
		{"FS", c.FS == nil}, {"Sealer", c.Sealer == nil},
	} {
		if f.missing {
			return errs.New(errs.Invalid, "vault configuration of region %d: %s is missing or of another region", c.Region, f.name)
		}
	}
	if c.Nonces <= 0 {
		c.Nonces = leastNonces
	}
	if c.HSMWorkers <= 0 {
		c.HSMWorkers = defaultHSMWorkers
	}
	if c.Shares.Keep <= 0 {
		c.Shares.Keep = defaultKeep
	}
	if c.Shares.Most <= 0 {
		c.Shares.Most = defaultShares
	}
	c.Timing = c.Timing.withDefaults()
	if c.Attributes == nil {
		c.Attributes = func([]byte) error { return nil }
	}
	if c.Verify == nil {
		c.Verify = identity.PublicKey.Verify
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
