package cluster

import "github.com/hashicorp/raft"

type gossip struct{}

func startGossip(c *Cluster) (*gossip, error) { return &gossip{}, nil }

func (g *gossip) close() {}

// Hints returns gossip's view: address by server id of the regions believed alive.
func (c *Cluster) Hints() map[string]string { return nil }

func (c *Cluster) hint(raft.ServerID) string { return "" }
