// Package rpc is Tetrad's front door: the gRPC servers of one node, and the
// connections by which regions call each other.
//
// A call passes, in this order: limits on connections, rate and size; the TLS
// identity of its caller; readiness of the node; and then it is served here or, when
// another region leads, forwarded there once. Rights beyond "is a principal" are
// checked where the state is current, on the leader. Only coded errors leave.
//
// The package holds no business rule: what it serves stands behind the small
// interfaces in rooms.go, which internal/node joins to the rooms that implement them.
// See docs/design/rpc.md.
package rpc
