// Package vault is the use cases: making keys, and turning a committed request into
// k signatures by the k regions the draw names.
//
// It has two sides, run by every region. The leader side (coordinator.go, round.go)
// gathers the beacon's value, asks the drawn regions, verifies what they answer and
// files the completion. The co-signer side (cosign.go) believes none of that: it looks
// at its own replica, its own share, its own clock and its own HSM, and signs only what
// it rebuilt itself from the committed payload.
//
// What the log decides is decided in fsm; the vault acts on it and proposes signed
// statements back. It knows nothing of raft, gRPC or PKCS#11: each is an interface in
// config.go, joined to the real thing by internal/node. docs/design/vault.md has a
// picture of the path of a request.
package vault
