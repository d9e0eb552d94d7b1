//go:build liar

package node

import (
	"context"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// What an honest process of a test build sees of a lie that no client is shown. It is
// counted beside the script, for tests that look there.

const noticeEvery = 200 * time.Millisecond

// notice looks into the own log and configuration from when another region began to lie.
// While a defence is off it is off here too: what it would have seen is seen when the lie
// is over.
func (n *Node) notice(ctx context.Context) {
	var name string
	var base uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(noticeEvery):
		}
		if told := n.toldElsewhere(); told != "" && told != name {
			name, base = told, n.cluster.Applied()
		}
		if name != "" {
			n.noticed(name, base)
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

func (n *Node) noticed(name string, base uint64) {
	restarts := name == "foreign-session-first" // and leaves certificates of its last session
	if n.cluster.BadCertificates(base) > 0 && !restarts {
		liar.Did("seen: certificates that do not verify")
	}
	if n.cluster.Unsigned() > 0 {
		liar.Did("seen: entries that nobody signed")
	}
	if applied := n.cluster.Applied(); applied > base && applied > n.cluster.Certified().Index {
		liar.Did("seen: something applied that nothing certifies")
	}
	if slices.Contains(n.fsm.View().Tenants(), "dusk") { // a forged snapshot calls tenant desk so
		liar.Did("seen: a state nobody vouched for")
	}
	if m := len(n.cluster.Members()); m != 0 && m != 4 {
		liar.Did("seen: members nobody approved")
	}
}
