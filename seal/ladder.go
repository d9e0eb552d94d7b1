package seal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// do runs op and climbs the recovery ladder when the token seems lost: a new session
// with login and handles, then the whole module again.
func do[T any](ctx context.Context, p *pool, timeout time.Duration, op func(*conn) (T, error)) (T, error) {
	gen, starts := p.generation(), p.started()
	v, err := attempt(ctx, p, timeout, op)
	if !lost(err) {
		return v, err
	}
	p.forget(gen)
	if !errors.Is(err, errNoKey) {
		p.log.Warn("token call failed, trying a new session", slog.String("error", err.Error()))
	}
	if v, err = attempt(ctx, p, timeout, op); !lost(err) {
		return v, err
	}
	switch {
	case !p.alive(ctx):
		if rerr := p.restart(ctx, starts); rerr != nil {
			return v, rerr
		}
	case p.started() == starts: // alive all the time: it is this call
		return v, &TokenError{Fault: FaultCall, Op: "token works otherwise", Err: err}
	}
	return attempt(ctx, p, timeout, op)
}

// setProbe replaces the question that tells a dead token from a bad call.
func (p *pool) setProbe(f func(*conn) error) { p.mu.Lock(); defer p.mu.Unlock(); p.probe = f }

// alive asks the token something it must know.
func (p *pool) alive(ctx context.Context) bool {
	p.mu.Lock()
	probe := p.probe
	p.mu.Unlock()
	_, err := attempt(ctx, p, p.timeout, func(c *conn) (struct{}, error) { return struct{}{}, probe(c) })
	return err == nil
}

func (p *pool) generation() uint64 { p.mu.Lock(); defer p.mu.Unlock(); return p.gen }
func (p *pool) started() uint64    { p.mu.Lock(); defer p.mu.Unlock(); return p.starts }

// lost reports whether err may mean that session, login, object or token are gone.
func lost(err error) bool {
	var te *TokenError
	return errors.As(err, &te) && te.Fault == FaultToken
}

// coded turns what a token call returned into what callers of this room see.
func coded(err error, format string, args ...any) error {
	var te *TokenError
	if err == nil || !errors.As(err, &te) {
		return err
	}
	if te.Fault == FaultPIN {
		return errs.Wrap(errs.WrongPIN, err, "PIN refused by the token").
			WithHint("correct the PIN file and restart: a wrong PIN is tried once, because tokens lock")
	}
	e := errs.Wrap(errs.HSMFailed, err, format, args...)
	if te.Fault == FaultToken {
		return e.WithHint("check that the HSM is reachable; calls try again by themselves")
	}
	return e
}

// forget retires all sessions of generation gen and before.
func (p *pool) forget(gen uint64) {
	p.mu.Lock()
	var idle []*conn
	if p.gen == gen {
		p.gen++
		idle, p.idle = p.idle, nil
	}
	p.mu.Unlock()
	if len(idle) > 0 { // closing may hang: in a worker that owns the sessions
		c := &call{pool: p, counted: true}
		p.mu.Lock()
		p.hung++
		p.mu.Unlock()
		go func() {
			for _, s := range idle {
				_ = s.Close()
			}
			c.finish()
		}()
	}
}

// restart stops and starts the module, when no call runs or hangs. Of several callers
// who saw the token fail after the same number of starts, one does it.
func (p *pool) restart(ctx context.Context, starts uint64) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	select {
	case p.restarts <- struct{}{}:
	case <-ctx.Done():
		return p.contextErr(ctx)
	}
	p.mu.Lock()
	done, wait, last := p.starts > starts, time.Now().Before(p.retryAt), p.lastErr
	p.mu.Unlock()
	switch {
	case done: // somebody else did it meanwhile
		<-p.restarts
		return nil
	case wait && last != nil:
		<-p.restarts
		return last
	}
	return p.alone(ctx, p.reload, func() { <-p.restarts })
}

// alone runs f in a worker while no other call runs or hangs. The worker owns the pool
// until f returns, however long the caller waits; then it calls after.
func (p *pool) alone(ctx context.Context, f func() error, after func()) error {
	release, err := p.exclusive(ctx)
	if err != nil {
		after()
		return err
	}
	result := make(chan error, 1)
	go func() {
		err := f()
		release()
		after()
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return p.contextErr(ctx)
	}
}

func (p *pool) reload() error {
	_ = p.token.Stop()
	err := p.start()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen++
	p.idle = nil // died with the module
	p.lastErr = err
	p.retryAt = time.Now().Add(retryAfter)
	if err != nil {
		p.log.Error("token is lost, trying again at the next call", slog.String("error", err.Error()))
	} else {
		p.starts++
		p.log.Info("token is back after a full restart of its module")
	}
	return err
}

// start starts the token and checks that it is the one we know.
func (p *pool) start() error {
	if err := p.token.Start(); err != nil {
		return err
	}
	info, err := p.token.Info()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serial != "" && info.Serial != p.serial {
		return errs.New(errs.HSMFailed, "token %q has serial %s, was %s: another token answers to its label", info.Label, info.Serial, p.serial)
	}
	p.serial = info.Serial
	return nil
}

// exclusive waits until no call runs or hangs and keeps others out until release.
func (p *pool) exclusive(ctx context.Context) (release func(), err error) {
	n := 0
	release = func() {
		for ; n > 0; n-- {
			<-p.slots
		}
	}
	for ; n < p.sessions; n++ {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			release()
			return nil, p.contextErr(ctx)
		}
	}
	for {
		p.mu.Lock()
		hung, unhung := p.hung, p.unhung
		p.mu.Unlock()
		if hung == 0 {
			return release, nil
		}
		select {
		case <-unhung:
		case <-ctx.Done():
			release()
			return nil, p.contextErr(ctx)
		}
	}
}

// close drains the pool and stops the token. The pool stays exclusive for good.
func (p *pool) close(ctx context.Context) error {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	p.mu.Unlock()
	if already {
		return nil
	}
	close(p.closing)
	if _, err := p.exclusive(ctx); err != nil {
		return errs.Wrap(errs.HSMTimeout, err, "token calls still run: its module stays loaded until the process ends")
	}
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		for _, c := range idle {
			_ = c.Close()
		}
		done <- p.token.Stop()
	}()
	select {
	case err := <-done:
		return coded(err, "stopping the token")
	case <-ctx.Done():
		return errs.New(errs.HSMTimeout, "the token's module does not stop")
	}
}
