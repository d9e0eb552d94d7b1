package cluster

import (
	"bytes"
	"context"
	"encoding/hex"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// gossip spreads where servers can be reached and that they live. It is keyed and
// every node's statement is signed, but nothing relies on it: membership is raft's,
// identity is TLS's, and an address is only tried when the configured one fails.
type gossip struct {
	list  *memberlist.Memberlist
	trans *gossipTransport
	hints *hints
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// gossipMeta is what a node says of itself; Sig is its session key's. The session
// key itself is known from TLS connections: a whole certificate does not fit.
type gossipMeta struct {
	ServerID string
	Raft     string
	Gossip   string
	At       time.Time
	Sig      []byte
}

const maxMeta = memberlist.MetaMaxSize

func (m *gossipMeta) body(w *wire.Writer) {
	w.U8(1)
	w.String(m.ServerID)
	w.String(m.Raft)
	w.String(m.Gossip)
	w.Time(m.At)
}

func (m *gossipMeta) signedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(256)
	w.String("tetrad/gossip/v1")
	w.Fixed(cluster[:])
	m.body(w)
	return w.Bytes()
}

func (m *gossipMeta) encode() []byte {
	w := wire.NewWriter(256)
	m.body(w)
	w.Blob(m.Sig)
	return w.Bytes()
}

func decodeGossipMeta(b []byte) (m gossipMeta, err error) {
	if len(b) > maxMeta {
		return m, errs.New(errs.TooLarge, "gossip metadata of %d bytes", len(b))
	}
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("gossip metadata version %d", v)
	}
	m.ServerID, m.Raft, m.Gossip = r.String(maxServerID), r.String(maxAddr), r.String(maxAddr)
	m.At = r.Time()
	m.Sig = bytes.Clone(r.Blob(128))
	return m, r.Done()
}

// hints are the verified statements of nodes believed alive.
type hints struct {
	mu    sync.Mutex
	alive map[string]gossipMeta // by server id
}

func (h *hints) put(m gossipMeta) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.alive) < maxServers || h.alive[m.ServerID].ServerID != "" {
		h.alive[m.ServerID] = m
	}
}

func (h *hints) remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.alive, id)
}

func (h *hints) get(id string) (gossipMeta, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.alive[id]
	return m, ok
}

func startGossip(c *Cluster) (*gossip, error) {
	cfg := c.cfg.Gossip
	h := &hints{alive: map[string]gossipMeta{}}
	meta := gossipMeta{ServerID: string(c.self()), Raft: c.cfg.RaftAddr, Gossip: cfg.Addr, At: c.cfg.Now()}
	sig, err := c.cfg.Session.Sign(c.ctx, meta.signedBytes(c.cfg.Cluster))
	if err != nil {
		return nil, err
	}
	meta.Sig = sig
	trans, err := newGossipTransport(c.cfg.Network, cfg, h)
	if err != nil {
		return nil, err
	}
	d := &gossipDelegate{meta: meta.encode(), hints: h, verify: c.verifyMeta, d: c.transport.d}
	mc := memberlist.DefaultWANConfig()
	mc.Name = meta.ServerID
	mc.Transport = trans
	mc.Label = hex.EncodeToString(c.cfg.Cluster[:])
	mc.SecretKey = cfg.Key[:]
	mc.Delegate, mc.Alive, mc.Events = d, d, d
	mc.GossipInterval, mc.GossipNodes = time.Second, 2
	mc.TCPTimeout = 10 * time.Second
	mc.Logger = log.New(debugWriter{c.log}, "", 0)
	list, err := memberlist.Create(mc)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "gossip")
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &gossip{list: list, trans: trans, hints: h, stop: cancel}
	g.wg.Go(func() { g.join(ctx, cfg.Join) })
	return g, nil
}

// join asks the configured addresses until all answer once, then now and again.
func (g *gossip) join(ctx context.Context, addrs []string) {
	var keys []string
	for _, a := range addrs {
		keys = append(keys, g.trans.key(a))
	}
	wait := time.Second
	for ctx.Err() == nil {
		if g.list.NumMembers() < len(addrs) {
			_, _ = g.list.Join(keys) // who does not answer now may later
		}
		sleep(ctx, wait, nil)
		wait = min(2*wait, time.Minute)
	}
}

func (g *gossip) close() {
	g.stop()
	g.trans.interrupt()
	g.wg.Wait()
	_ = g.list.Shutdown()
	g.trans.wg.Wait()
}

// verifyMeta checks a statement against the session keys seen in TLS handshakes.
func (c *Cluster) verifyMeta(name string, b []byte) (gossipMeta, error) {
	m, err := decodeGossipMeta(b)
	if err != nil {
		return m, err
	}
	if m.ServerID != name || c.transport.d.regionOf(raft.ServerID(name)) == 0 {
		return m, errs.New(errs.Unauthenticated, "gossip of %q names server %q", name, m.ServerID)
	}
	for _, cert := range c.transport.d.roster.all() {
		if cert.ServerID == name && cert.Session.Verify(m.signedBytes(c.cfg.Cluster), m.Sig) {
			return m, nil
		}
	}
	return m, errs.New(errs.Unauthenticated, "gossip of %s is not signed by its session", name)
}

// Hints returns gossip's view: raft address by server id of the servers believed alive.
func (c *Cluster) Hints() map[string]string {
	out := map[string]string{}
	g := c.gossip.Load()
	if g == nil {
		return out
	}
	g.hints.mu.Lock()
	defer g.hints.mu.Unlock()
	for id, m := range g.hints.alive {
		out[id] = m.Raft
	}
	return out
}

func (c *Cluster) hint(id raft.ServerID) string {
	g := c.gossip.Load()
	if g == nil {
		return ""
	}
	m, _ := g.hints.get(string(id))
	return m.Raft
}

// gossipDelegate hands memberlist the own statement and judges those of others. The
// only state it exchanges are session certificates, which prove themselves.
type gossipDelegate struct {
	meta   []byte
	hints  *hints
	d      *dialer
	verify func(name string, meta []byte) (gossipMeta, error)
}

func (d *gossipDelegate) NodeMeta(limit int) []byte       { return d.meta[:min(limit, len(d.meta))] }
func (d *gossipDelegate) NotifyMsg([]byte)                {}
func (d *gossipDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *gossipDelegate) LocalState(bool) []byte {
	certs := d.d.roster.current()
	w := wire.NewWriter(512)
	w.U8(uint8(len(certs)))
	for _, c := range certs {
		w.Blob(c.Encode())
	}
	return w.Bytes()
}
func (d *gossipDelegate) MergeRemoteState(b []byte, _ bool) {
	for _, cert := range decodeSessions(b) {
		d.d.roster.add(cert)
	}
}
func (d *gossipDelegate) NotifyJoin(n *memberlist.Node)   { d.learn(n) }
func (d *gossipDelegate) NotifyUpdate(n *memberlist.Node) { d.learn(n) }
func (d *gossipDelegate) NotifyLeave(n *memberlist.Node)  { d.hints.remove(n.Name) }
func (d *gossipDelegate) NotifyAlive(n *memberlist.Node) error {
	_, err := d.verify(n.Name, n.Meta)
	return err
}

func decodeSessions(b []byte) (certs []*identity.SessionCert) {
	r := wire.NewReader(b)
	n := int(r.U8())
	for i := 0; i < n && i < 2*maxServers && r.Err() == nil; i++ {
		if c, err := identity.DecodeSessionCert(r.Blob(2048)); err == nil {
			certs = append(certs, c)
		}
	}
	return certs
}

func (d *gossipDelegate) learn(n *memberlist.Node) {
	if m, err := d.verify(n.Name, n.Meta); err == nil {
		d.hints.put(m)
	}
}

// debugWriter carries memberlist's lines into slog.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug("gossip: " + strings.TrimSpace(string(b)))
	return len(b), nil
}
