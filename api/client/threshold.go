package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// What the vault shows of threshold keys.
type (
	Sharing   = tetradv1.Sharing
	Ceremony  = tetradv1.Ceremony
	Fallback  = tetradv1.Fallback
	WrapEpoch = tetradv1.WrapEpoch
	NoncePool = tetradv1.NoncePool
)

const (
	watchPause = 100 * time.Millisecond
	watchStill = 2 * time.Minute // several times what a step of a ceremony may take
)

// NewSignSolana asks for the signature of a Solana message, legacy or version 0, by the
// child of a threshold key at a path; the child must be one of its signers.
func NewSignSolana(key KeyID, message []byte, note string, path ...uint32) *command.RequestSignature {
	return &command.RequestSignature{Key: key, Kind: command.KindSolana, Payload: message, Note: note, Path: path}
}

// WatchKey yields a key as it is, and again whenever it changed, until the loop is left.
// It ends with an error when the context ends, when the key cannot be read, or, where
// moving says that a change is due, when none came for two minutes.
func (c *Client) WatchKey(ctx context.Context, id KeyID, moving func(*Key) bool) iter.Seq2[*Key, error] {
	return func(yield func(*Key, error) bool) {
		var last *Key
		changed := time.Now()
		t := time.NewTicker(watchPause)
		defer t.Stop()
		for {
			k, err := c.Key(ctx, id)
			if err != nil {
				yield(nil, err)
				return
			}
			if !proto.Equal(k, last) {
				if last, changed = k, time.Now(); !yield(k, nil) {
					return
				}
			}
			if moving(k) && time.Since(changed) > watchStill {
				yield(nil, errs.New(errs.DeadlineExceeded, "nothing happened to key %s for %s", id, watchStill).
					WithHint("is a quorum of regions up? vaultctl status shows it; what was begun goes on by itself"))
				return
			}
			select {
			case <-ctx.Done():
				yield(nil, errs.New(errs.DeadlineExceeded, "key %s is not yet what was waited for", id).
					WithHint("what was begun goes on by itself: vaultctl key show"))
				return
			case <-t.C:
			}
		}
	}
}

// Wraps lists the epochs of wrapping keys. For principals of the vault.
func (c *Client) Wraps(ctx context.Context) ([]*WrapEpoch, error) {
	reply := &tetradv1.ListWrapsResponse{}
	err := c.call(ctx, tetradv1.Vault_ListWraps_FullMethodName, &tetradv1.ListWrapsRequest{}, reply, false)
	return reply.Wraps, err
}

// WrapKeys lists the same with every region's key and what its identity key signed of it;
// the caller verifies that. For principals of the vault.
func (c *Client) WrapKeys(ctx context.Context) ([]*WrapEpoch, error) {
	reply := &tetradv1.ListWrapsResponse{}
	err := c.call(ctx, tetradv1.Vault_ListWraps_FullMethodName, &tetradv1.ListWrapsRequest{Keys: true}, reply, false)
	return reply.Wraps, err
}

// NoncePools lists the pools of nonce commitments, one for each region and curve. For
// principals of the vault.
func (c *Client) NoncePools(ctx context.Context) ([]*NoncePool, error) {
	reply := &tetradv1.ListNoncesResponse{}
	err := c.call(ctx, tetradv1.Vault_ListNonces_FullMethodName, &tetradv1.ListNoncesRequest{}, reply, false)
	return reply.Pools, err
}

// Issue sends a command that asks for the next addresses of a branch, and returns the paths
// that the vault chose. If it returns OutcomeUnknown, call it again with the same command: the
// same paths come back, and nobody else gets them.
func (c *Client) Issue(ctx context.Context, cmd *Command) ([][]uint32, error) {
	o, err := c.Submit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return Issued(cmd, o)
}

// Issued returns the paths that a command gave out, by its outcome.
func Issued(cmd *Command, o *Outcome) (paths [][]uint32, err error) {
	body, err := cmd.Body()
	if err != nil {
		return nil, err
	}
	switch b := body.(type) {
	case *command.NextAddresses:
		paths = b.Given(o.GetNext())
	case *command.IssueAddresses:
		for _, p := range b.Paths {
			path, err := command.DecodePath(p)
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil, errs.New(errs.Malformed, "the outcome of command %s names no addresses: next index %d", cmd.ID, o.GetNext())
	}
	return paths, nil
}
