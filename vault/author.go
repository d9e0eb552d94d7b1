package vault

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// author writes the region's own commands into the log.
type author struct{ cfg *Config }

// statement signs body as a command of the region, by its session key or, for
// RegisterSession, its identity key.
func (a *author) statement(ctx context.Context, s identity.Signer, body command.Body) (*command.Command, error) {
	var id command.ID
	if _, err := io.ReadFull(a.cfg.Random, id[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "drawing a command id")
	}
	expiry := a.cfg.Clock.Now().Add(statementLife)
	c, err := command.New(body, s.Public().Fingerprint(), id, expiry, a.cfg.Random)
	if err != nil {
		return nil, err
	}
	return c, c.Sign(ctx, a.cfg.Replica.View().Cluster(), s)
}

// file proposes body until its fate is known or ctx ends. Trying again is safe: it is
// the same command with the same id, so it is carried out once.
func (a *author) file(ctx context.Context, s identity.Signer, body command.Body) (fsm.Outcome, error) {
	c, err := a.statement(ctx, s, body)
	if err != nil {
		return fsm.Outcome{}, err
	}
	for pause := a.cfg.Timing.Retry; ; pause = min(2*pause, a.cfg.Timing.RetryMost) {
		out, err := a.propose(ctx, c)
		if err == nil || !passing(err) || !sleep(ctx, pause) {
			return out, err
		}
	}
}

// complete files what co-signers answered, with the proof that the entry they answered
// about is certified. What left must reach the log even without one: the audit then says
// that it is missing.
func (a *author) complete(ctx context.Context, c *command.Complete) (fsm.Outcome, error) {
	if c.Cover == nil {
		c.Cover = a.cover(ctx, c.Index)
	}
	return a.file(ctx, a.cfg.Session, c)
}

func (a *author) cover(ctx context.Context, index uint64) []byte {
	if a.cfg.Covers == nil {
		return nil
	}
	for end := time.Now().Add(a.cfg.Timing.Cover); ; {
		cover, err := a.cfg.Covers.Cover(index)
		if err == nil && len(cover) <= command.MaxCover {
			return cover
		}
		if !time.Now().Before(end) || !sleep(ctx, coverPause) {
			a.cfg.Logger.Warn("no proof that an entry is certified", slog.Uint64("index", index), slog.Any("error", err))
			return nil
		}
	}
}

// coverNow is the proof of an entry if it is at hand; nil without.
func (a *author) coverNow(index uint64) []byte {
	if a.cfg.Covers == nil {
		return nil
	}
	cover, err := a.cfg.Covers.Cover(index)
	if err != nil || len(cover) > command.MaxCover {
		return nil
	}
	return cover
}

func (a *author) propose(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timing.Propose)
	defer cancel()
	return a.cfg.Proposer.Propose(ctx, c)
}

// passing reports whether an error says nothing about the command itself, so that
// proposing it once more is right.
func passing(err error) bool {
	switch errs.CodeOf(err) {
	case errs.OutcomeUnknown, errs.NotLeader, errs.NoLeader, errs.NotReady, errs.Unavailable,
		errs.Throttled, errs.Canceled, errs.DeadlineExceeded:
		return true
	}
	return false
}

// sleep waits for d and reports whether ctx still stands.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
