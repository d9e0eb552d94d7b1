package rpc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
)

func forPrincipal(ctx context.Context, fps ...string) context.Context {
	md := metadata.MD{}
	md.Set("tetrad-principal-bin", fps...)
	return metadata.NewOutgoingContext(ctx, md)
}

// TestUnknownAndRemovedPrincipals are refused at the leader and elsewhere alike.
func TestUnknownAndRemovedPrincipals(t *testing.T) {
	c := start(t, 2)
	stranger, gone := identity.GenerateEd25519(), c.Principal("", admin)
	p, _ := c.State.Principal(gone.Public().Fingerprint())
	removed := *p
	removed.Removed = true
	c.State.PutPrincipal(removed)
	for node := range c.Nodes {
		for _, k := range []*identity.KeySigner{stranger, gone} {
			_, err := vaultOf(t, c, k, node).ListKeys(within(t), &tetradv1.ListKeysRequest{})
			want(t, err, errs.Unauthenticated)
			cmd := signed(t, c, k, &command.CreateTenant{Name: "x"})
			_, err = vaultOf(t, c, k, node).Submit(within(t), &tetradv1.SubmitRequest{Command: cmd.Encode()})
			want(t, err, errs.Unauthenticated)
		}
	}
	if n := c.Nodes[0].Submits.Load(); n != 0 {
		t.Errorf("%d commands came through", n)
	}
}

// TestOnlyRegionsNamePrincipals: a principal cannot speak for another, a region can,
// and malformed names are refused.
func TestOnlyRegionsNamePrincipals(t *testing.T) {
	c := start(t, 2)
	a, b := c.Principal("acme", signer), c.Principal("zenith", signer)
	fp := a.Public().Fingerprint()
	_, err := vaultOf(t, c, b, 0).ListKeys(forPrincipal(within(t), string(fp[:])), &tetradv1.ListKeysRequest{})
	want(t, err, errs.Denied)

	cc, err := c.Nodes[1].Conns.Conn(1)
	if err != nil {
		t.Fatal(err)
	}
	region := tetradv1.NewVaultClient(cc)
	_, err = region.ListKeys(forPrincipal(within(t), string(fp[:])), &tetradv1.ListKeysRequest{Tenant: "acme"})
	want(t, err, errs.OK)
	_, err = region.ListKeys(within(t), &tetradv1.ListKeysRequest{})
	want(t, err, errs.Denied)
	for _, bad := range [][]string{{"short"}, {string(fp[:]), string(fp[:])}, {string(make([]byte, 32))}} {
		_, err = region.ListKeys(forPrincipal(within(t), bad...), &tetradv1.ListKeysRequest{})
		want(t, err, errs.Malformed)
	}
	c.State.Quarantine(2)
	_, err = region.ListKeys(forPrincipal(within(t), string(fp[:])), &tetradv1.ListKeysRequest{})
	want(t, err, errs.NotReady)
}

func TestOneHopOnly(t *testing.T) {
	c := start(t, 3)
	k := c.Principal("acme", signer)
	c.Nodes[1].Believe(3) // and the third believes in the second: a loop
	c.Nodes[2].Believe(2)
	ctx := within(t)
	_, err := vaultOf(t, c, k, 1).ListKeys(ctx, &tetradv1.ListKeysRequest{})
	want(t, err, errs.NotLeader)
	s, err := vaultOf(t, c, k, 1).FollowRequests(ctx, &tetradv1.FollowRequestsRequest{})
	if err == nil {
		_, err = s.Recv()
	}
	want(t, err, errs.NotLeader)
	c.Lead(0)
	_, err = vaultOf(t, c, k, 0).ListKeys(ctx, &tetradv1.ListKeysRequest{})
	want(t, err, errs.NoLeader)
}

// TestLostLeader: a change that broke on its way is unknown, one that cannot leave is
// unavailable, and a read is only unavailable.
func TestLostLeader(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("", admin)
	entered := make(chan struct{}, 2)
	c.Nodes[0].OnSubmit(func(ctx context.Context, _ *command.Command) (fsm.Outcome, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return fsm.Outcome{}, ctx.Err()
	})
	v := vaultOf(t, c, k, 1)
	done := make(chan error, 1)
	req := &tetradv1.SubmitRequest{Command: signed(t, c, k, &command.CreateTenant{Name: "x"}).Encode()}
	go func() {
		_, err := v.Submit(within(t), req)
		done <- err
	}()
	<-entered
	c.Net.ResetLink("region-1", "region-2")
	want(t, <-done, errs.OutcomeUnknown)

	c.Net.Cut("region-1", "region-2")
	c.Net.ResetLink("region-1", "region-2")
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := v.ListKeys(short, &tetradv1.ListKeysRequest{})
	if code := errs.CodeOf(coded.FromError(err)); code != errs.DeadlineExceeded && code != errs.Unavailable {
		t.Errorf("read across a cut: %v", err)
	}
	c.Net.HealAll()
	if _, err := v.ListKeys(within(t), &tetradv1.ListKeysRequest{}); err != nil && errs.CodeOf(coded.FromError(err)) != errs.Unavailable {
		t.Errorf("read after the cut: %v", err)
	}
}

func TestPeerServiceIsForMembers(t *testing.T) {
	c := start(t, 3)
	k := c.Principal("", command.RoleAll)
	ctx := within(t)
	_, err := tetradv1.NewPeerClient(dial(t, c, k, 0, "client")).CoSign(ctx, &tetradv1.CoSignRequest{})
	want(t, err, errs.Denied)
	peers := rpc.NewPeers(c.Nodes[1].Conns)
	if b, err := peers.CoSign(ctx, 3, []byte("q")); err != nil || string(b) != "\x02q" {
		t.Errorf("co-sign: %q, %v", b, err)
	}
	if b, err := peers.Word(ctx, 1, []byte("w")); err != nil || string(b) != "\x02w" {
		t.Errorf("word: %q, %v", b, err)
	}
	if b, err := peers.Partial(ctx, 1, command.Meta{Term: 4, Index: 5, Chain: [32]byte{6}}); err != nil || string(b) != "\x02\x04\x05\x06" {
		t.Errorf("partial: %q, %v", b, err)
	}
	cmd := signed(t, c, k, &command.CreateTenant{Name: "x"})
	if o, err := peers.Propose(ctx, 1, cmd); err != nil || o.Code != errs.OK || o.Index == 0 {
		t.Errorf("propose: %v, %v", o, err)
	}
	_, err = peers.Propose(ctx, 3, cmd)
	want(t, err, errs.NotLeader)
	_, err = peers.CoSign(ctx, 9, nil)
	want(t, err, errs.Unavailable)
	c.State.Quarantine(2)
	_, err = peers.CoSign(ctx, 3, []byte("q"))
	want(t, err, errs.NotReady)
}

// TestOldIncarnationIsRefused though its session certificate still verifies.
func TestOldIncarnationIsRefused(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("acme", signer)
	c.State.Replace(2, "region-2-11111111")
	_, err := rpc.NewPeers(c.Nodes[1].Conns).CoSign(within(t), 1, nil)
	want(t, err, errs.Denied)
	_, err = vaultOf(t, c, k, 1).ListKeys(within(t), &tetradv1.ListKeysRequest{})
	want(t, err, errs.Denied)
}

// TestOldIdentityIsRefused on a connection that it made in time, as the very server that
// goes on with another HSM.
func TestOldIdentityIsRefused(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("acme", signer)
	peers := rpc.NewPeers(c.Nodes[1].Conns)
	if _, err := peers.CoSign(within(t), 1, nil); err != nil {
		t.Fatal(err)
	}
	c.State.Reenrol(2, identity.GenerateEd25519().Public())
	_, err := peers.CoSign(within(t), 1, nil)
	want(t, err, errs.Denied)
	_, err = vaultOf(t, c, k, 1).ListKeys(within(t), &tetradv1.ListKeysRequest{})
	want(t, err, errs.Denied)
}

func TestLeavesBetweenRegions(t *testing.T) {
	c := start(t, 2)
	for range 600 {
		c.State.AddLeaf(auditLeaf)
	}
	src := rpc.LeafSource{Peers: rpc.NewPeers(c.Nodes[1].Conns), Region: 1}
	var at uint64
	for at < 600 {
		page, err := src.Leaves(within(t), at, 1000)
		if err != nil || len(page) == 0 {
			t.Fatalf("at %d: %d leaves, %v", at, len(page), err)
		}
		for _, l := range page {
			if l.Seq != at {
				t.Fatalf("leaf %d where %d was due", l.Seq, at)
			}
			at++
		}
	}
	if page, err := src.Leaves(within(t), 600, 10); err != nil || len(page) != 0 {
		t.Errorf("behind the end: %v, %v", page, err)
	}
}

// TestWrongTLS: a region vouched for by another key and a principal without a
// certificate do not get through the handshake.
func TestWrongTLS(t *testing.T) {
	c := start(t, 1)
	other := rpctest.New(1)
	defer other.Close()
	imposter := other.Nodes[0].Session
	for name, tc := range map[string]*tls.Config{
		"imposter": identity.ClientTLS(imposter, 1, func(r identity.RegionID) []identity.PublicKey { return c.Pins()[r] }, c.ID),
		"no certificate": func() *tls.Config {
			tc := c.PrincipalTLS(identity.GenerateEd25519())
			tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
			return tc
		}(),
	} {
		cc, err := grpc.NewClient("passthrough:///"+c.Nodes[0].Addr, grpc.WithContextDialer(c.Net.Host("x").Dial),
			grpc.WithTransportCredentials(credentials.NewTLS(tc)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = tetradv1.NewVaultClient(cc).Status(within(t), &tetradv1.StatusRequest{})
		if err == nil || coded.Travelled(err) {
			t.Errorf("%s: status answered %v", name, err)
		}
		_ = cc.Close()
	}
}

func TestBeforeAttach(t *testing.T) {
	c := rpctest.New(1)
	defer c.Close()
	s, err := rpc.New(rpc.Config{Region: 2, TLS: identity.ServerTLS(c.Nodes[0].Session, nil, c.ID, true), Node: c.Nodes[0]})
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Net.Host("bare").Listen("bare:1")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///bare:1", grpc.WithContextDialer(c.Net.Host("x").Dial),
		grpc.WithTransportCredentials(credentials.NewTLS(c.PrincipalTLS(c.Principal("", admin)))))
	if err != nil {
		t.Fatal(err)
	}
	v := tetradv1.NewVaultClient(cc)
	st, err := v.Status(within(t), &tetradv1.StatusRequest{})
	if err != nil || st.State != tetradv1.NodeState_NODE_STATE_NOT_READY {
		t.Errorf("status %v, %v", st, err)
	}
	_, err = v.ListKeys(within(t), &tetradv1.ListKeysRequest{})
	want(t, err, errs.NotReady)
	_ = cc.Close()
	s.Shutdown(within(t))
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := rpc.New(rpc.Config{}); !errors.As(err, new(*errs.Error)) {
		t.Errorf("empty configuration: %v", err)
	}
}
