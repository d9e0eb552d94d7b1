// Package client is the Go client of a Tetrad vault.
//
// A client holds the key of one principal and the public keys of the regions it
// trusts; it needs no certificate authority. It speaks to any of the nodes, moves on
// when one is down or not ready, and sends a command again with the same id until the
// deadline of the context, which is safe: an id is decided once. What it cannot learn
// in time it reports as OutcomeUnknown, never as a failure.
//
//	c, err := client.Dial(client.Config{
//		Addresses: []string{"vault-1:7443", "vault-2:7443", "vault-3:7443", "vault-4:7443"},
//		Cluster:   cluster,           // both from the genesis document,
//		Regions:   regionIdentities,  // compared out of band
//		Lineage:   genesisHash,
//		Signer:    signer,
//	})
//	if err != nil { ... }
//	defer c.Close()
//
//	cmd, err := c.Command(client.NewSignMessage(keyID, client.HashSHA256, message, "invoice 7"))
//	request, err := c.Sign(ctx, cmd)   // keep cmd: sending it again asks for the same result
//
// What a node answers is not believed: an outcome, or a request with its signatures, comes
// with the proof that three regions have its entry on disk, verified against the identity
// keys above. Without it the outcome is unknown. Only what a node refuses at the door, and
// the fault of an item in a batch, is that node's word alone.
//
// Errors are *client.Error; client.CodeOf tells what happened.
package client
