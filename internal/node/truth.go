//go:build !liar

package node

import (
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/vault"
)

// The places where a region of a test build lies (lies.go, tag liar). Here they change
// nothing.

func (n *Node) lie(cfg vault.Config) vault.Config { return cfg }

func (n *Node) beacon() cluster.Beacon { return n.vault }

func (n *Node) cosigner() rpc.Cosigner { return n.vault }
