package seal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// pool runs token calls: each in a goroutine of its own, with a session of its own. A
// C call cannot be interrupted, so a caller whose time is up leaves it behind; the
// goroutine closes that session whenever the call returns.
type pool struct {
	token    Token
	pin      PINSource
	timeout  time.Duration
	log      *slog.Logger
	sessions int
	probe    func(*conn) error // tells a dead token from a bad call

	slots      chan struct{} // held by callers inside; the pool is exclusive when all are held
	logins     chan struct{} // one login at a time: a wrong PIN is tried once
	restarts   chan struct{} // one restart at a time
	generating chan struct{} // one key generation at a time: labels stay unique
	closing    chan struct{} // closed by close

	mu      sync.Mutex
	idle    []*conn
	gen     uint64        // sessions of older generations are not used again
	starts  uint64        // successful restarts
	hung    int           // calls left behind by their callers
	unhung  chan struct{} // closed and replaced whenever hung falls
	badPIN  error         // once wrong, never tried again
	closed  bool
	serial  string    // of the token; another one under the same label is refused
	retryAt time.Time // restarts before that are refused
	lastErr error     // of the last restart
}

// conn is a logged-in session and the handles found through it.
type conn struct {
	Session
	gen     uint64
	objects map[string]found
}

type found struct {
	private Object
	attrs   Attributes
}

func newPool(c Config) *pool {
	p := &pool{
		token: c.Token, pin: c.PIN, timeout: c.Timeout, log: c.Logger, sessions: c.Sessions,
		slots: make(chan struct{}, c.Sessions), logins: make(chan struct{}, 1), restarts: make(chan struct{}, 1),
		generating: make(chan struct{}, 1), closing: make(chan struct{}), unhung: make(chan struct{}),
		probe: func(*conn) error { return nil },
	}
	return p
}

// attempt runs op once in a worker and waits for it, ctx, or timeout.
func attempt[T any](ctx context.Context, p *pool, timeout time.Duration, op func(*conn) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var zero T
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.acquire(ctx); err != nil {
		return zero, err
	}
	call := &call{pool: p}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = call.run(func(c *conn) (err error) { r.v, err = op(c); return err })
		done <- r
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		call.leave()
		return zero, p.contextErr(ctx)
	}
}

func (p *pool) acquire(ctx context.Context) error {
	select {
	case <-p.closing:
		return errs.New(errs.Sealed, "the HSM is closed")
	default:
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.closing:
		return errs.New(errs.Sealed, "the HSM is closed")
	case <-ctx.Done():
		return p.contextErr(ctx)
	}
}

func (p *pool) contextErr(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errs.Wrap(errs.Canceled, ctx.Err(), "token call given up")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return errs.New(errs.HSMTimeout, "the token did not answer in time (%d calls hang)", p.hung).
		WithHint("check the HSM; if calls hang for good, restart the node")
}

// call is one call under way. Its slot is given back by whoever is last to need it.
type call struct {
	pool      *pool
	abandoned bool // guarded by pool.mu
	counted   bool // as hung, slot given back already
	finished  bool
}

// leave is called by a caller whose time is up.
func (c *call) leave() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.finished {
		return
	}
	c.abandoned = true
	if p.hung < maxHung { // beyond that hung calls keep their slots, so that there is an end
		p.hung++
		c.counted = true
		<-p.slots
	}
}

// run executes op with a session, which survives only success.
func (c *call) run(op func(*conn) error) error {
	p := c.pool
	conn, err := p.take()
	if err == nil {
		err = op(conn)
	}
	p.mu.Lock()
	keep := conn != nil && err == nil && !c.abandoned && !p.closed && conn.gen == p.gen
	if keep {
		p.idle = append(p.idle, conn)
	}
	p.mu.Unlock()
	if conn != nil && !keep {
		_ = conn.Close() // it may hang as well, so before the call counts as over
	}
	c.finish()
	return err
}

func (c *call) finish() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c.finished = true
	if !c.counted {
		<-p.slots
		return
	}
	p.hung--
	close(p.unhung)
	p.unhung = make(chan struct{})
}

// take returns an idle session or opens one and logs in.
func (p *pool) take() (*conn, error) {
	p.mu.Lock()
	if p.badPIN != nil {
		defer p.mu.Unlock()
		return nil, p.badPIN
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	gen := p.gen
	p.mu.Unlock()
	s, err := p.token.Session()
	if err != nil {
		return nil, err
	}
	if err := p.login(s); err != nil {
		_ = s.Close()
		return nil, err
	}
	return &conn{Session: s, gen: gen, objects: map[string]found{}}, nil
}

func (p *pool) login(s Session) error {
	p.logins <- struct{}{}
	defer func() { <-p.logins }()
	p.mu.Lock()
	bad := p.badPIN
	p.mu.Unlock()
	if bad != nil {
		return bad
	}
	pin, err := p.pin()
	if err != nil {
		return err
	}
	defer clear(pin)
	err = s.Login(pin)
	var te *TokenError
	if errors.As(err, &te) && te.Fault == FaultPIN {
		p.mu.Lock()
		p.badPIN = err
		p.mu.Unlock()
	}
	return err
}
