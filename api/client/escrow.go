package client

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
)

// What the vault shows of escrowed threshold keys.
type (
	Escrow    = tetradv1.Escrow
	EscrowBox = tetradv1.EscrowBox
)

// Escrow returns an escrow of a key with its encrypted shares; number 0 is the newest that
// can be opened. For principals of the vault.
func (c *Client) Escrow(ctx context.Context, id KeyID, number uint32) (*Escrow, []*EscrowBox, error) {
	reply := &tetradv1.GetEscrowResponse{}
	err := c.call(ctx, tetradv1.Vault_GetEscrow_FullMethodName, &tetradv1.GetEscrowRequest{KeyId: id[:], Number: number}, reply, false)
	return reply.Escrow, reply.Boxes, err
}
