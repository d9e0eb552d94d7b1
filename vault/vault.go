package vault

import (
	"context"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Vault is one region's part in the use cases: coordinator while it leads, co-signer
// always.
type Vault struct {
	cfg Config
}

// New checks the configuration and reads back the answers already given.
func New(cfg Config) (*Vault, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Vault{cfg: cfg}, nil
}

// Run does the region's work until ctx ends; it returns when all of it has stopped.
func (v *Vault) Run(ctx context.Context) error { return errTodo }

// Applied hears what every Apply did, in order, on every region. It never blocks.
func (v *Vault) Applied(results []fsm.Result) {}

// SetLeader says whether this region leads now.
func (v *Vault) SetLeader(leads bool) {}

// Evaluate returns the region's partial for an entry it has on disk. It implements the
// cluster's beacon together with Deliver.
func (v *Vault) Evaluate(meta command.Meta) ([]byte, error) { return nil, errTodo }

// Deliver hands the leader a partial that came with an append reply. It never blocks.
func (v *Vault) Deliver(from identity.RegionID, meta command.Meta, partial []byte) {}

// Sign proposes a RequestSignature and waits for its verified signatures; it returns as
// soon as they are here, before the completion is committed.
func (v *Vault) Sign(ctx context.Context, c *command.Command) (*fsm.Request, error) {
	return nil, errTodo
}

// Result is what became of one command of a batch.
type Result struct {
	Request *fsm.Request
	Err     error
}

// SignBatch is Sign for many commands at once, with a result for each.
func (v *Vault) SignBatch(ctx context.Context, cs []*command.Command) []Result { return nil }

// Submit proposes any other command.
func (v *Vault) Submit(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	return fsm.Outcome{}, errTodo
}

// Await waits until a request is final.
func (v *Vault) Await(ctx context.Context, id command.RequestID) (*fsm.Request, error) {
	return nil, errTodo
}

// HandleCoSign answers a leader's Question with an encoded command.Answer.
func (v *Vault) HandleCoSign(ctx context.Context, from identity.RegionID, question []byte) ([]byte, error) {
	return nil, errTodo
}

// HandlePartial returns the region's partial for an applied entry that opened draws.
func (v *Vault) HandlePartial(ctx context.Context, from identity.RegionID, meta command.Meta) ([]byte, error) {
	return nil, errTodo
}

// HandleWord answers an Ask with the region's signed words.
func (v *Vault) HandleWord(ctx context.Context, from identity.RegionID, ask []byte) ([]byte, error) {
	return nil, errTodo
}

var errTodo = errs.New(errs.Internal, "vault: not yet implemented")
