package cluster

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// maxConvictions bounds the incarnations kept of one region, which can name as many as it
// likes in what it certifies.
const maxConvictions = 256

// convictions are the regions that their own signatures convict, by the incarnation that
// signed. When two administrators replaced a region's server the new one starts clean: it
// answers for what it signed, not for what the one before it may still bring up. A region
// whose server was never replaced answers for all that its identity certified, whatever
// incarnation it calls itself. Guarded by the book's mu.
type convictions struct {
	founders map[identity.RegionID]string              // server ids of the genesis
	present  func(identity.RegionID) string            // the server id approved now
	by       map[identity.RegionID]map[string]struct{} // who signed all exhibits alone; "": more than one
	noted    map[identity.RegionID]uint64              // term of this region when it was told last
}

func newConvictions() convictions {
	return convictions{founders: map[identity.RegionID]string{}, present: func(identity.RegionID) string { return "" },
		by: map[identity.RegionID]map[string]struct{}{}, noted: map[identity.RegionID]uint64{}}
}

// approvedServer is a region's server as the state has it, before it has any as the
// genesis does.
func (c *Cluster) approvedServer(region identity.RegionID) string {
	if c.cfg.Approved != nil {
		for _, m := range c.cfg.Approved() {
			if m.Region == region {
				return m.ServerID
			}
		}
	}
	return c.book.founders[region]
}

// convict notes what a region's own signatures convict it of. If its present server
// answers for that, it is not heard in the current term, and nobody here votes for it
// again. Otherwise it is not heard in the term it is about, unless that was the doing of a
// server that was replaced since.
func (b *book) convict(f *chain.Finding) {
	if f.Replaced {
		return // a file for people: the identity that signed it is nobody's now
	}
	server, now, present := "", b.record().Term, b.present(f.Accused)
	if len(f.Servers) == 1 {
		server = f.Servers[0]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[f.Accused] == nil {
		b.by[f.Accused] = map[string]struct{}{}
	}
	if len(b.by[f.Accused]) < maxConvictions || server == present {
		b.by[f.Accused][server] = struct{}{}
	}
	b.noted[f.Accused] = now
	if replaced := server != present && server == b.founders[f.Accused]; f.Term == now && !replaced {
		b.fences[f.Accused] = max(b.fences[f.Accused], now)
	}
}

// acquit forgets what a region was convicted of, and its fences: it has another identity
// now, and the evidence is to be judged again.
func (b *book) acquit(regions []identity.RegionID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range regions {
		delete(b.by, r)
		delete(b.noted, r)
		delete(b.fences, r)
	}
}

// guilty reports whether a region's present server is convicted.
func (b *book) guilty(region identity.RegionID) bool {
	present := b.present(region)
	b.mu.Lock()
	defer b.mu.Unlock()
	_, itself := b.by[region][present]
	return itself || len(b.by[region]) > 0 && present == b.founders[region]
}

// convicts returns the regions whose present servers are convicted, ascending.
func (b *book) convicts() (out []identity.RegionID) {
	b.mu.Lock()
	for r := range b.by {
		out = append(out, r)
	}
	b.mu.Unlock()
	out = slices.DeleteFunc(out, func(r identity.RegionID) bool { return !b.guilty(r) })
	slices.Sort(out)
	return out
}

// distrusted returns who gets no vote in term.
func (b *book) distrusted(term uint64) []identity.RegionID {
	out := b.convicts()
	b.mu.Lock()
	defer b.mu.Unlock()
	for r, t := range b.fences {
		if t == term && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for r, until := range b.passed {
		if time.Now().Before(until) && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
