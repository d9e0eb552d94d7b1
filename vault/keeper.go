package vault

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// keeper keeps the committed state true about this region: its session is registered,
// and it counts as healthy exactly while its HSM and leaf store work. While it leads it
// also moves the FSM clock when nothing else does.
type keeper struct {
	cfg     *Config
	author  *author
	answers *answers
	filing  *statements
	wake    bell                  // capacity 1
	ill     atomic.Pointer[error] // of the last check
	well    time.Time             // when it last said that it is well; used by run only
	applied atomic.Int64          // time of the last applied entry, Unix nanoseconds
}

// fit returns what the last check found; nil while all is in order.
func (k *keeper) fit() error {
	if err := k.cfg.halted(); err != nil {
		return err
	}
	if err := k.cfg.Leaves.Healthy(); err != nil {
		return err
	}
	if p := k.ill.Load(); p != nil {
		return *p
	}
	return nil
}

func (k *keeper) signal() {
	k.wake.ring()
}

func (k *keeper) run(ctx context.Context) {
	pause := k.cfg.Timing.Retry
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	woken := false
	for {
		next := k.cfg.Timing.Health
		switch err := k.tend(ctx, woken); errs.CodeOf(err) {
		case errs.OK:
			pause = k.cfg.Timing.Retry
		case errs.NotReady, errs.Sealed:
			next = k.cfg.Timing.Retry // soon over, and cheap to ask
		default:
			k.cfg.Logger.Warn("region does not stand as it should", slog.Any("error", err))
			next, pause = pause, min(2*pause, k.cfg.Timing.Health)
		}
		k.answers.prune(k.cfg.Clock.Now())
		k.filing.file(ctx)
		alarm.Reset(next)
		select {
		case <-alarm.C:
			woken = false
		case <-k.wake:
			woken = true
		case <-ctx.Done():
			return
		}
	}
}

// tend checks the HSM and makes the committed state agree with what it finds. A region
// others reported ill says at once that it is well, but only once in the time between
// two checks: one that comes and goes must not fill the log.
func (k *keeper) tend(ctx context.Context, woken bool) error {
	if err := k.cfg.Replica.Ready(); err != nil {
		return err
	}
	k.answers.knows(k.cfg.Replica.View().Meta().Index)
	k.check(ctx)
	view := k.cfg.Replica.View()
	row, ok := view.Region(k.cfg.Region)
	if !ok {
		return errs.New(errs.NotFound, "region %d is not a member", k.cfg.Region)
	}
	_, _, registered := view.RegionBySession(k.cfg.Session.Public().Fingerprint())
	ill := k.fit()
	switch {
	case ill != nil && registered && row.Healthy:
		return k.reportSelf(ctx, false)
	case ill != nil:
		return ill
	case !registered:
		return k.register(ctx)
	case !row.Healthy && (!woken || time.Since(k.well) >= k.cfg.Timing.Health):
		k.well = time.Now()
		return k.reportSelf(ctx, true)
	}
	return nil
}

func (k *keeper) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timing.HSM)
	defer cancel()
	err := k.cfg.Token.Health(ctx)
	if was := k.ill.Load() != nil; was != (err != nil) {
		k.cfg.Logger.Warn("state of the HSM changed", slog.Bool("works", err == nil), slog.Any("error", err))
	}
	if err == nil {
		k.ill.Store(nil)
		return
	}
	k.ill.Store(&err)
}

// register announces the session of this unseal, by the identity key in the HSM.
func (k *keeper) register(ctx context.Context) error {
	curves := make([]byte, len(k.cfg.Curves))
	for i, c := range k.cfg.Curves {
		curves[i] = byte(c)
	}
	out, err := k.author.file(ctx, k.cfg.Identity, &command.RegisterSession{Cert: k.cfg.Session.Cert.Encode(), Curves: curves, Level: k.cfg.Level})
	if err != nil {
		return err
	}
	return out.Err()
}

func (k *keeper) reportSelf(ctx context.Context, healthy bool) error {
	out, err := k.author.file(ctx, k.cfg.Session, &command.ReportHealth{Region: k.cfg.Region, Healthy: healthy})
	if err != nil {
		return err
	}
	return out.Err()
}

func (k *keeper) stalled(ctx context.Context, idle time.Duration) {
	k.cfg.Logger.Error("the committed clock stands still: whoever leads commits nothing", slog.Duration("for", idle.Round(time.Second)))
	c, err := k.author.statement(ctx, k.cfg.Session, &command.Tick{})
	if err == nil {
		_, err = k.author.propose(ctx, c)
	}
	if err != nil {
		k.cfg.Logger.Error("own clock entry not committed", slog.Any("error", err))
	}
}

// tick commits the time when nothing else was committed for a while. A region that does
// not lead and sees the clock stand for twice that long says so, and offers the leader a
// clock entry of its own: who leads must not hold time still unnoticed.
func (k *keeper) tick(ctx context.Context, c *coordinator) {
	for {
		idle := time.Since(time.Unix(0, k.applied.Load()))
		if wait := k.cfg.Timing.Tick - idle; wait > 0 {
			if !sleep(ctx, wait) {
				return
			}
			continue
		}
		if term, leads := c.leading(); leads {
			if _, err := k.author.file(term, k.cfg.Session, &command.Tick{}); err != nil {
				k.cfg.Logger.Debug("clock entry not committed", slog.Any("error", err))
			}
		} else if idle > 2*k.cfg.Timing.Tick {
			k.stalled(ctx, idle)
		}
		if !sleep(ctx, k.cfg.Timing.Health) { // a follower that hears nothing looks again
			return
		}
	}
}
