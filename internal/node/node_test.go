package node_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// desk is a tenant with one signing service.
type desk struct {
	*client.Client
	key    *client.Key
	signer *identity.KeySigner
}

func openDesk(t *testing.T, ctx context.Context, c *nodetest.Cluster, curve command.Curve) desk {
	t.Helper()
	admin := c.Client(c.Lab.Admins[0])
	defer admin.Close()
	service := identity.GenerateEd25519()
	for _, body := range []command.Body{
		&command.CreateTenant{Name: "desk"},
		&command.PutPrincipal{Name: "hot", Tenant: "desk", Key: service.Public(), Roles: command.RoleSigner},
	} {
		o, err := c.Dual(ctx, admin, body)
		if err != nil || o.CodeName != "ok" {
			t.Fatalf("%s: %v %v", body.Type(), o, err)
		}
	}
	cmd, err := admin.Command(&command.CreateKey{Name: "main", Tenant: "desk", Scheme: command.SchemeMultisig, Curve: curve, Signers: 2})
	if err != nil {
		t.Fatal(err)
	}
	key, err := admin.CreateKey(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return desk{c.Client(service), key, service}
}

func (d desk) sign(ctx context.Context, message string) (*client.Request, error) {
	cmd, err := d.Command(client.NewSignMessage(client.KeyID(d.key.Id), client.HashSHA256, []byte(message), ""))
	if err != nil {
		return nil, err
	}
	return d.Sign(ctx, cmd)
}

func TestFourRegionsSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c := nodetest.New(t)
		defer c.Close()
		c.StartAll(ctx)
		d := openDesk(t, ctx, c, command.P256)
		defer d.Close()
		for i := range 10 {
			r, err := d.sign(ctx, fmt.Sprintf("payment %d", i))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Results) != 2 || r.Results[0].Region == r.Results[1].Region {
				t.Fatalf("results %v", r.Results)
			}
		}
	})
}
