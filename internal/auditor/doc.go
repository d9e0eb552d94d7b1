// Package auditor verifies the vault's history offline, from an export and the hash of
// the genesis, without trusting any region: it replays every command through the state
// machine and does the mathematics the state machine leaves to regions (draws, payloads,
// signatures). It also defines the export format. See docs/design/audit.md.
package auditor
