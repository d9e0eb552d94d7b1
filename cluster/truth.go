//go:build !liar

package cluster

import (
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// The places where a region of a test build lies (lies.go, tag liar). Here they do
// nothing: an ordinary build has no lie in it.

type falseOutcome struct {
	fsm.Outcome
	err error
}

func (c *Cluster) lie() {}

func (c *Cluster) clings() bool { return false }

func (c *Cluster) falseOutcome(*command.Command) (o falseOutcome, is bool) { return o, false }

func (c *Cluster) falseEntry(e *command.Entry) *command.Entry { return e }

func (c *Cluster) falseBytes(b []byte) []byte { return b }
