package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

// Two of the four regions sign a message. The vault here lives in memory and only
// pretends to sign; nothing else differs from a real one.
func Example_sign() {
	vault := rpctest.New(4)
	defer vault.Close()
	vault.State.PutKey(hot)
	me := vault.Principal("acme", command.RoleSigner) // its key was registered by administrators

	c, err := client.Dial(client.Config{
		Addresses: vault.Addresses(),           // any of them will do
		Cluster:   vault.ID,                    // from the genesis document,
		Regions:   vault.Pins(),                // compared out of band
		Lineage:   vault.State.Lineage(),       // its hash
		Signer:    me,                          // an Ed25519 or P-256 key
		Dial:      vault.Net.Host("shop").Dial, // leave out: TCP
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	key, err := c.KeyByName(ctx, "", "hot")
	if err != nil {
		fmt.Println(err)
		return
	}
	cmd, err := c.Command(client.NewSignMessage(client.KeyID(key.Id), client.HashSHA256, []byte("pay 5 to Bob"), "invoice 7"))
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := c.Sign(ctx, cmd)
	for client.CodeOf(err) == client.OutcomeUnknown && ctx.Err() == nil {
		request, err = c.Sign(ctx, cmd) // the same bytes: never a second signature
	}
	if err != nil {
		fmt.Println(client.CodeOf(err), err, client.HintOf(err))
		return
	}
	fmt.Println(request.Note, "is", request.State)
	for _, s := range request.Results {
		fmt.Println("region", s.Region, "signed", len(s.Signatures), "message")
	}
	// Output:
	// invoice 7 is REQUEST_STATE_COMPLETE
	// region 1 signed 1 message
	// region 3 signed 1 message
}
