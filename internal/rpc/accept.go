package rpc

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// connLimiter caps open connections, over all and from one address, and how fast one
// address opens them, since each costs a handshake. Nobody waits in a queue, which would
// only hide a flood: at a cap a connection goes whose key nobody knows (yet), the oldest of
// the address that has most of them. Some places are for regions alone, or a crowd of
// clients would stop the signing it waits for.
type connLimiter struct {
	limits  Limits
	metrics *metrics
	rates   *addressRates
	mu      sync.Mutex
	total   int
	from    map[string]int
	strange []*limitedConn // oldest first
}

func newConnLimiter(l Limits, m *metrics) *connLimiter {
	return &connLimiter{limits: l, metrics: m, rates: newAddressRates(l.ConnectionRate, l.ConnectionsPerAddress), from: map[string]int{}}
}

func (c *connLimiter) wrap(l net.Listener) net.Listener { return &limitedListener{l, c} }

// take lets a connection in, nil if there is no room.
func (c *connLimiter) take(raw net.Conn) *limitedConn {
	addr := hostOf(raw.RemoteAddr())
	if !c.rates.allow(addr, time.Now()) {
		return nil
	}
	lc := &limitedConn{Conn: raw, limiter: c, addr: addr}
	c.mu.Lock()
	var out *limitedConn
	full := false
	switch {
	case c.from[addr] >= c.limits.ConnectionsPerAddress:
		out = c.stranger(addr)
		full = out == nil
	case c.total >= c.limits.Connections+regionPlaces:
		out = c.stranger("")
		full = out == nil
	}
	if !full {
		c.strange = append(c.strange, lc)
		c.total++
		c.from[addr]++
		c.metrics.conns.Set(float64(c.total))
	}
	c.mu.Unlock()
	if out != nil {
		c.refuse(out)
	}
	if full {
		return nil
	}
	return lc
}

// stranger finds who goes; the lock is held.
func (c *connLimiter) stranger(addr string) *limitedConn {
	of, most := map[string]int{}, 0
	for _, lc := range c.strange {
		of[lc.addr]++
		most = max(most, of[lc.addr])
	}
	for _, lc := range c.strange {
		if lc.addr == addr || addr == "" && of[lc.addr] == most {
			return lc
		}
	}
	return nil
}

func (c *connLimiter) refuse(raw net.Conn) {
	c.metrics.refused.WithLabelValues("connections").Inc()
	_ = raw.Close()
}

// identified tells who is at the other end, once the handshake says so.
func (c *connLimiter) identified(lc *limitedConn, region, known bool) error {
	c.mu.Lock()
	if region || known {
		c.forget(lc)
	}
	var out *limitedConn
	if !region && c.total > c.limits.Connections {
		if out = c.stranger(""); out == nil {
			out = lc
		}
	}
	c.mu.Unlock()
	if out != nil {
		c.refuse(out)
	}
	if out == lc {
		return errs.New(errs.Throttled, "%d connections are open", c.limits.Connections)
	}
	return nil
}

func (c *connLimiter) forget(lc *limitedConn) {
	if i := slices.Index(c.strange, lc); i >= 0 {
		c.strange = slices.Delete(c.strange, i, i+1)
	}
}

func (c *connLimiter) release(lc *limitedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(lc)
	c.total--
	if c.from[lc.addr]--; c.from[lc.addr] == 0 {
		delete(c.from, lc.addr)
	}
	c.metrics.conns.Set(float64(c.total))
}

type limitedListener struct {
	net.Listener
	limiter *connLimiter
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if lc := l.limiter.take(conn); lc != nil {
			return lc, nil
		}
		l.limiter.refuse(conn)
	}
}

type limitedConn struct {
	net.Conn
	limiter *connLimiter
	addr    string
	once    sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.limiter.release(c) })
	return err
}

// hostOf is the address without its port; a network without ports is taken whole.
func hostOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// rateLimiter grants calls by remote address before anything of them is read.
type rateLimiter struct {
	metrics *metrics
	known   func(auth) bool
	rates   *addressRates
	strange *rate.Limiter // all callers together that no principal is known for
}

func newRateLimiter(l Limits, m *metrics, known func(auth) bool) *rateLimiter {
	return &rateLimiter{metrics: m, known: known, rates: newAddressRates(l.Rate, l.Burst),
		strange: rate.NewLimiter(strangerRate, strangerBurst)}
}

// tap runs on the connection's reading goroutine and must not wait. Regions bring the
// calls of many callers and are bounded by their number and by streams.
func (r *rateLimiter) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, coded.ToStatus(errs.New(errs.Internal, "a call without a peer"))
	}
	a, err := authOf(p)
	if err != nil {
		return nil, coded.ToStatus(err)
	}
	if a.peer.Region() != 0 {
		return ctx, nil
	}
	now := time.Now()
	if !r.rates.allow(hostOf(p.Addr), now) {
		return nil, r.refuse("rate", "too many calls from this address")
	}
	if !r.known(a) && !r.strange.AllowN(now, 1) {
		return nil, r.refuse("strangers", "too many calls from unknown principals")
	}
	return ctx, nil
}

func (r *rateLimiter) refuse(reason, text string) error {
	r.metrics.refused.WithLabelValues(reason).Inc()
	return coded.ToStatus(errs.New(errs.Throttled, "%s", text).WithHint("wait a moment and try again"))
}

// addressRates is a token bucket for each of a bounded number of addresses.
type addressRates struct {
	rate  rate.Limit
	burst int
	mu    sync.Mutex
	from  map[string]*rate.Limiter
}

func newAddressRates(perSecond float64, burst int) *addressRates {
	return &addressRates{rate: rate.Limit(perSecond), burst: burst, from: map[string]*rate.Limiter{}}
}

func (a *addressRates) allow(addr string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.from[addr]
	if !ok {
		if len(a.from) >= addressesMax {
			a.evict(now)
		}
		l = rate.NewLimiter(a.rate, a.burst)
		a.from[addr] = l
	}
	return l.AllowN(now, 1)
}

// evict forgets addresses that have their whole burst again and, if those are few, any
// others, which at worst get a fresh burst. It makes room for many at once, so that a
// flood of addresses does not pay for a walk over all with each call.
func (a *addressRates) evict(now time.Time) {
	for addr, l := range a.from {
		if l.TokensAt(now) >= float64(a.burst) {
			delete(a.from, addr)
		}
	}
	for addr := range a.from {
		if len(a.from) <= addressesMax*7/8 {
			return
		}
		delete(a.from, addr)
	}
}
