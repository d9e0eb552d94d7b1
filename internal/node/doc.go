// Package node joins the rooms into one region's node: it opens the HSM, unseals,
// and wires state machine, leaf store, vault, raft and API together. It holds the
// glue that no room may hold, and no rule of its own: what may be signed is decided
// in fsm, who signs in vault.
//
// The same code runs in vaultd and inside the chaos suite, which hands it networks,
// disks and tokens of its own.
package node
