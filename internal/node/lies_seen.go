//go:build liar

package node

import (
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What an honest process of a test build sees of a lie that no client is shown. It is
// counted beside the script, for tests that look there.

const noticeEvery = 300 * time.Millisecond

// notice looks into the own log and configuration while another region lies.
func (n *Node) notice(ctx context.Context) {
	var name string
	var base uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(noticeEvery):
		}
		told := n.toldElsewhere()
		if told != name {
			name, base = told, n.cluster.Applied()
		}
		if name != "" {
			n.noticed(base)
		}
	}
}

// toldElsewhere returns the lie that another region is told.
func (n *Node) toldElsewhere() string {
	for r := identity.RegionID(1); r <= 4; r++ {
		if l := liar.Told(r); r != n.region() && l.Name != "" {
			return l.Name
		}
	}
	return ""
}

func (n *Node) noticed(base uint64) {
	if n.cluster.BadCertificates(base) > 0 {
		liar.Did("seen: certificates that do not verify")
	}
	if n.cluster.Unsigned() > 0 {
		liar.Did("seen: entries that nobody signed")
	}
	if m := len(n.cluster.Members()); m != 0 && m != 4 {
		liar.Did("seen: members nobody approved")
	}
}
