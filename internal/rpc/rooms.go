package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// Vault is the use cases, called on the leader only.
type Vault interface {
	// Submit proposes a command; a refusal is an Outcome.
	Submit(ctx context.Context, c *command.Command) (fsm.Outcome, error)
	// Sign proposes a request-signature command and waits for its result; a refusal is
	// a coded error.
	Sign(ctx context.Context, c *command.Command) (*fsm.Request, error)
	// Await waits for the result of a request.
	Await(ctx context.Context, id command.RequestID) (*fsm.Request, error)
}

// Cosigner answers the questions of other regions.
type Cosigner interface {
	HandleCoSign(ctx context.Context, from identity.RegionID, question []byte) ([]byte, error)
	HandlePartial(ctx context.Context, from identity.RegionID, meta command.Meta) ([]byte, error)
	HandleWord(ctx context.Context, from identity.RegionID, ask []byte) ([]byte, error)
}

// Reader gives the replicated state.
type Reader interface {
	// Barrier returns once everything acknowledged before the call is in Local; it
	// fails where this node does not lead.
	Barrier(ctx context.Context) error
	// Local returns this replica's state as it is.
	Local() View
}

// View is what the server reads of fsm.View.
type View interface {
	Cluster() identity.ClusterID
	ClusterName() string
	Lineage() [32]byte
	Meta() command.Meta
	Clock() time.Time
	Settings() command.Settings
	Schedule() (fsm.Schedule, bool)
	Refreshing() (after command.KeyID, ok bool)
	Unrefreshed(k *fsm.Key) (awaited bool, why error)
	Frozen() (reason string, by identity.Fingerprint, ok bool)
	FrozenPaths() []*fsm.Key
	Level() uint32
	Frontier() audit.Frontier
	Digest() [32]byte
	Region(id identity.RegionID) (*fsm.Region, bool)
	Regions() []*fsm.Region
	RegionBySession(fp identity.Fingerprint) (*fsm.Region, *identity.SessionCert, bool)
	Principal(fp identity.Fingerprint) (*fsm.Principal, bool)
	Principals() []*fsm.Principal
	Tenants() []string
	Key(id command.KeyID) (*fsm.Key, bool)
	KeyByName(tenant, name string) (*fsm.Key, bool)
	Keys(tenant string) []*fsm.Key
	Request(id command.RequestID) (*fsm.Request, bool)
	Requests(tenant string, after command.RequestID, limit int) []*fsm.Request
	OpenRequests() []*fsm.Request
	MayRead(p identity.Fingerprint, tenant string) bool
	Muted(r identity.RegionID) bool
	Wraps() []*fsm.Wrap
	Wrap(epoch uint32) (*fsm.Wrap, bool)
	NoncePool(r identity.RegionID, c command.Curve) (*fsm.NoncePool, bool)
}

// Leaves is the region's store of audit leaves.
type Leaves interface {
	Size() uint64
	Leaves(ctx context.Context, from uint64, max int) ([]audit.Leaf, error)
	// Checkpoint signs this region's own tree of size leaves; at most Size.
	Checkpoint(ctx context.Context, size uint64) (*audit.Checkpoint, error)
}

// Leader says who leads, as far as this node knows.
type Leader interface {
	Leader() (identity.RegionID, bool)
}

// Node is what only the node itself knows.
type Node interface {
	// Ready returns nil when the node may answer for current state.
	Ready() error
	// Report fills in what Status shows beside the replicated state.
	Report() Report
}

// Report is the node's own part of Status.
type Report struct {
	Sealed     bool
	RegionName string
	Started    time.Time
	HSM        string // maker, model, firmware
	HSMError   string // empty: healthy
	StoreError string // empty: audit leaves are being stored
	Seen       map[identity.RegionID]string
}

// Brakes is what a region says and does by itself: on commands, freezes and stops.
type Brakes interface {
	// OutcomeWord waits until this replica decided a command, and gives the encoded
	// command.OutcomeWord.
	OutcomeWord(ctx context.Context, q vault.Inquiry) ([]byte, error)
	// StopHere stops this region. A stop beside an error holds, but is not on disk.
	StopHere(ctx context.Context, by identity.Fingerprint, reason string) (*vault.Stop, error)
	Stopped() *vault.Stop
	// Brake freezes as this region's own command.
	Brake(ctx context.Context, key command.KeyID, reason string, path ...uint32) (*command.Command, fsm.Outcome, error)
	ClockWord(ctx context.Context) ([]byte, error)
	// RepairHere cuts this region's log on the order of two administrators.
	RepairHere(ctx context.Context, c *command.Command) error
	Idle() time.Duration
}

// Proofs is what the region holds about the log and about those who lied about it.
type Proofs interface {
	Cover(index uint64) (*chain.Cover, error)
	Evidence() []*chain.Evidence // newest first
}

// Rooms is everything the server serves. A node attaches it when the rooms exist;
// until then only health and a bare Status answer.
type Rooms struct {
	Vault    Vault
	Cosigner Cosigner
	Reader   Reader
	Leaves   Leaves
	Leader   Leader
	Covers   Covers // optional: answers go out without proofs
	Brakes   Brakes // nil: no words are given, nothing is stopped
	Proofs   Proofs // nil: nothing is proved
	Genesis  []byte // encoded, signed

	// Signatures adds up the parts of a threshold key's complete request: one signature a
	// message. Nil: such requests are shown without.
	Signatures func(r *fsm.Request) ([][]byte, error)

	// Roll is this region's encoded word (roll.Roll) on who the regions are; with a guest it
	// carries the root keyring for that region's HSM. Nil: none is given.
	Roll func(ctx context.Context, guest identity.RegionID, nonce [16]byte) ([]byte, error)

	// Brought notes a command that is forwarded to the leader; answered judges what the
	// leader says and returns what its author is told. Optional.
	Brought func(*command.Command) (answered func(context.Context, error) error)
}

// Dialer gives connections to the other regions; *Conns is one.
type Dialer interface {
	Conn(region identity.RegionID) (grpc.ClientConnInterface, error)
}

var _ View = fsm.View{}
var _ tetradv1.VaultServer = (*vaultService)(nil)
var _ tetradv1.PeerServer = (*peerService)(nil)
