package rpc_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/race"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

func TestMain(m *testing.M) {
	race.OneProcessor()
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, n int, opts ...rpctest.Option) *rpctest.Cluster {
	t.Helper()
	c := rpctest.New(n, opts...)
	t.Cleanup(c.Close)
	return c
}

func limits(l rpc.Limits) rpctest.Option { return func(c *rpc.Config) { c.Limits = l } }

// dial connects a key to one node, from a host of its own.
func dial(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner, node int, host string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+c.Nodes[node].Addr,
		grpc.WithTransportCredentials(credentials.NewTLS(c.PrincipalTLS(k))),
		grpc.WithContextDialer(c.Net.Host(host).Dial),
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
			Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: 0.1, MaxDelay: 100 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func vaultOf(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner, node int) tetradv1.VaultClient {
	return tetradv1.NewVaultClient(dial(t, c, k, node, "client"))
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func signed(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner, body command.Body) *command.Command {
	t.Helper()
	var id command.ID
	_, _ = rand.Read(id[:])
	cmd, err := command.New(body, k.Public().Fingerprint(), id, time.Now().Add(time.Minute), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Sign(t.Context(), c.ID, k); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func want(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if got := errs.CodeOf(coded.FromError(err)); got != code {
		t.Errorf("error is %s (%v), want %s", got, err, code)
	}
}

var acmeKey = fsm.Key{ID: command.KeyID{1}, Name: "hot", Tenant: "acme", Curve: command.P256, Signers: 2, State: fsm.KeyActive}
