// Package cluster orders commands: hashicorp/raft behind a transport, stores and
// rules of our own. It owns the mTLS transport, the chain hash over the log, the
// sealed entries and snapshots, the proposer, read barriers, membership and the
// gossip of address hints. It decides nothing about keys or policy: committed
// entries go to a Machine, and only what the Machine approved becomes a member.
//
// raft orders and survives crashes, it is not Byzantine, and version 1.8.0 has
// faults of its own; every measure against one is named in docs/design/cluster.md
// and has a test that fails without it.
package cluster
