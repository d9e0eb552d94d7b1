package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// step is one change of raft's configuration.
type step struct {
	what   string
	server raft.Server
}

// run makes the change only if the configuration is still the one at prev.
func (s *step) run(r *raft.Raft, prev uint64, timeout time.Duration) raft.IndexFuture {
	switch s.what {
	case "add": // of a voter: moves its address
		return r.AddNonvoter(s.server.ID, s.server.Address, prev, timeout)
	case "promote":
		return r.AddVoter(s.server.ID, s.server.Address, prev, timeout)
	}
	return r.RemoveServer(s.server.ID, prev, timeout)
}
