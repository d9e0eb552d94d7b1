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

// key finds the private key with label, once per session.
func (c *conn) key(label string) (found, error) {
	if f, ok := c.objects[label]; ok {
		return f, nil
	}
	o, err := c.one(label, true)
	if err != nil {
		return found{}, err
	}
	attrs, err := c.Attributes(o)
	if err != nil {
		return found{}, err
	}
	if len(c.objects) >= maxHandles {
		clear(c.objects)
	}
	f := found{o, attrs}
	c.objects[label] = f
	return f, nil
}

// errNoKey climbs the ladder, because a lost token also finds nothing.
var errNoKey = errors.New("no such key in the token")

func (c *conn) one(label string, private bool) (Object, error) {
	objects, err := c.Find(label, private)
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, &TokenError{Fault: FaultToken, Op: "find " + label, Err: errNoKey}
	case len(objects) > 1:
		return 0, errs.New(errs.Corrupt, "token holds %d keys labelled %q", len(objects), label).
			WithHint("remove the copy that was never attested")
	}
	return objects[0], nil
}
