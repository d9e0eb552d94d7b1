// Package tetradv1 is the generated code of Tetrad's gRPC API: the Vault service for
// clients and the Peer service between regions. Nothing here is hashed or signed:
// canonical bytes travel inside the messages as bytes. docs/api.md is the reference.
package tetradv1
