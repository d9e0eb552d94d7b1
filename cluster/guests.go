package cluster

import (
	"net"
	"sync"
)

// guests are connections that wait for something they may never do. There is always
// room for one more: the oldest of the address that has most of them goes, so that
// whoever opens many shuts out itself.
type guests struct {
	max  int
	mu   sync.Mutex
	list []guest // oldest first
	shut bool
}

type guest struct {
	net.Conn
	host string
}

func newGuests(most int) *guests { return &guests{max: most} }

// add takes a connection in and may close another.
func (g *guests) add(c net.Conn) {
	g.mu.Lock()
	g.list = append(g.list, guest{c, hostOf(c.RemoteAddr())})
	var out net.Conn
	switch {
	case g.shut:
		out = c
	case len(g.list) > g.max:
		out = g.evict()
	}
	g.mu.Unlock()
	if out != nil {
		_ = out.Close()
	}
}

func (g *guests) evict() net.Conn {
	of, most := map[string]int{}, 0
	for _, e := range g.list {
		of[e.host]++
		most = max(most, of[e.host])
	}
	for i, e := range g.list {
		if of[e.host] == most {
			g.list = append(g.list[:i], g.list[i+1:]...)
			return e.Conn
		}
	}
	return nil
}

func (g *guests) remove(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, e := range g.list {
		if e.Conn == c {
			g.list = append(g.list[:i], g.list[i+1:]...)
			return
		}
	}
}

// close closes all, and who comes later.
func (g *guests) close() {
	g.mu.Lock()
	all := g.list
	g.list, g.shut = nil, true
	g.mu.Unlock()
	for _, e := range all {
		_ = e.Close()
	}
}

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
