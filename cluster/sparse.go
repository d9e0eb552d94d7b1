package cluster

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// note writes a line that a region can bring about as often as it likes: a few of each
// kind and region, the rest is counted. It goes by the region, which TLS proved, not by
// the name of its server, of which it can certify any number.
func (c *Cluster) note(level slog.Level, region identity.RegionID, msg string, attrs ...slog.Attr) {
	if more, ok := c.sparse.allow(fmt.Sprintf("%s %d", msg, region)); ok {
		c.log.LogAttrs(c.ctx, level, msg, append(append(more, slog.Int("region", int(region))), attrs...)...)
	}
}

// sparse lets a few lines of each kind through and counts the rest: what goes wrong
// with a peer that is down, or at the will of strangers, goes wrong many times a second.
type sparse struct {
	mu    sync.Mutex
	kinds map[string]*sparseKind
}

type sparseKind struct {
	since   time.Time
	lines   int
	dropped int
}

const (
	sparseEvery = 30 * time.Second
	sparseLines = 4   // of one kind in that time
	sparseKinds = 256 // more share one
)

func newSparse() *sparse { return &sparse{kinds: map[string]*sparseKind{}} }

// allow reports whether a line of this kind is written, with what the first line after
// a silence says about the lines before.
func (s *sparse) allow(kind string) (attrs []slog.Attr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[kind]
	if k == nil {
		if len(s.kinds) >= sparseKinds {
			kind = ""
		}
		if k = s.kinds[kind]; k == nil {
			k = &sparseKind{}
			s.kinds[kind] = k
		}
	}
	now := time.Now()
	if now.Sub(k.since) >= sparseEvery {
		if k.dropped > 0 {
			attrs = []slog.Attr{slog.Int("unwritten", k.dropped)}
		}
		*k = sparseKind{since: now}
	}
	if k.lines >= sparseLines {
		k.dropped++
		return nil, false
	}
	k.lines++
	return attrs, true
}
