// Package replication keeps what Raft does not carry. Its Store is a region's copy
// of the audit log: every leaf Apply produced, sealed on disk, addressable by its
// sequence number, provable against the replicated tree, and repaired from other
// regions when the disk lost or damaged something.
//
// The store trusts nobody: its own disk by AEAD and hash, other regions by the tree
// whose right edge comes from the region's own state machine. It decides nothing
// about commands; fsm/audit defines what a leaf is. See docs/design/replication.md.
package replication
