package rpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const signer, admin = command.RoleSigner, command.RoleAdmin

// TestSignAtEveryNode: the leader serves, the others forward, the answer is the same.
func TestSignAtEveryNode(t *testing.T) {
	c := start(t, 4)
	k := c.Principal("acme", signer)
	c.State.PutKey(acmeKey)
	for node := range c.Nodes {
		cmd := signed(t, c, k, &command.RequestSignature{Key: acmeKey.ID, Kind: command.KindMessage, Payload: []byte("m")})
		var header metadata.MD
		v := vaultOf(t, c, k, node)
		reply, err := v.Sign(within(t), &tetradv1.SignRequest{Command: cmd.Encode(), Wait: true}, grpc.Header(&header))
		if err != nil {
			t.Fatalf("node %d: %v", node+1, err)
		}
		if len(reply.Request.Results) != 2 || reply.Request.State != tetradv1.RequestState_REQUEST_STATE_COMPLETE {
			t.Errorf("node %d answered %v", node+1, reply.Request)
		}
		if hint := strings.Join(header.Get("tetrad-leader"), ","); (node != 0) != (hint == "1") {
			t.Errorf("node %d hints at leader %q", node+1, hint)
		}
		got, err := v.GetRequest(within(t), &tetradv1.GetRequestRequest{RequestId: reply.Request.Id})
		if err != nil || string(got.Request.CommandId) != string(cmd.ID[:]) {
			t.Errorf("node %d: request is %v, %v", node+1, got, err)
		}
		if _, err := v.Await(within(t), &tetradv1.AwaitRequest{RequestId: reply.Request.Id}); err != nil {
			t.Errorf("await: %v", err)
		}
	}
	if n := c.Nodes[0].Submits.Load(); n != 4 {
		t.Errorf("the leader saw %d commands, want 4", n)
	}
}

func TestSubmitJudgesItsCaller(t *testing.T) {
	c := start(t, 2)
	a, b := c.Principal("", admin), c.Principal("", admin)
	ctx := within(t)
	mine := signed(t, c, a, &command.CreateTenant{Name: "x"})
	reply, err := vaultOf(t, c, a, 1).Submit(ctx, &tetradv1.SubmitRequest{Command: mine.Encode()})
	if err != nil || reply.Outcome.CodeName != "ok" {
		t.Fatalf("own command: %v, %v", reply, err)
	}
	_, err = vaultOf(t, c, b, 0).Submit(ctx, &tetradv1.SubmitRequest{Command: mine.Encode()})
	want(t, err, errs.Denied)
	if err := mine.Sign(ctx, c.ID, b); err != nil {
		t.Fatal(err)
	}
	if _, err = vaultOf(t, c, b, 0).Submit(ctx, &tetradv1.SubmitRequest{Command: mine.Encode()}); err != nil {
		t.Errorf("command signed second: %v", err)
	}
	_, err = vaultOf(t, c, a, 0).Submit(ctx, &tetradv1.SubmitRequest{Command: signed(t, c, a, &command.Tick{}).Encode()})
	want(t, err, errs.Denied)
	_, err = vaultOf(t, c, a, 0).Submit(ctx, &tetradv1.SubmitRequest{Command: []byte("nonsense")})
	want(t, err, errs.Malformed)
	_, err = vaultOf(t, c, a, 0).Sign(ctx, &tetradv1.SignRequest{Command: signed(t, c, a, &command.CreateTenant{Name: "y"}).Encode()})
	want(t, err, errs.Invalid)
	forged := signed(t, c, a, &command.CreateTenant{Name: "z"})
	forged.Signatures[0].Sig[0] ^= 1
	reply, err = vaultOf(t, c, a, 1).Submit(ctx, &tetradv1.SubmitRequest{Command: forged.Encode()})
	if err != nil || errs.Code(reply.Outcome.Code) != errs.Unauthenticated {
		t.Errorf("forged command: %v, %v", reply, err)
	}
}

func TestBatch(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("acme", signer)
	c.State.PutKey(acmeKey)
	good := &command.RequestSignature{Key: acmeKey.ID, Kind: command.KindMessage, Payload: []byte("m")}
	bad := &command.RequestSignature{Key: command.KeyID{99}, Kind: command.KindMessage, Payload: []byte("m")}
	cmds := [][]byte{signed(t, c, k, good).Encode(), signed(t, c, k, bad).Encode(), []byte("junk"), signed(t, c, k, good).Encode()}
	for _, wait := range []bool{true, false} {
		reply, err := vaultOf(t, c, k, 1).SignBatch(within(t), &tetradv1.SignBatchRequest{Commands: cmds, Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range reply.Items {
			if (it.Request == nil) == (it.Fault == nil) {
				t.Errorf("item %v is not one of both", it)
			}
			got = append(got, it.Fault.GetCodeName())
		}
		if strings.Join(got, ",") != ",not_found,malformed," {
			t.Errorf("faults %q", got)
		}
	}
	_, err := vaultOf(t, c, k, 0).SignBatch(within(t), &tetradv1.SignBatchRequest{})
	want(t, err, errs.TooLarge)
	_, err = vaultOf(t, c, k, 0).SignBatch(within(t), &tetradv1.SignBatchRequest{Commands: make([][]byte, 257)})
	want(t, err, errs.TooLarge)
}

func TestReadsStayWithinTheTenant(t *testing.T) {
	c := start(t, 2)
	acme, zenith, root := c.Principal("acme", signer), c.Principal("zenith", signer), c.Principal("", admin)
	c.State.PutKey(acmeKey)
	for i := range 7 {
		c.State.PutRequest(fsm.Request{ID: command.RequestID{byte(i + 1)}, Tenant: "acme", State: fsm.RequestOpen, Payload: []byte("secret")})
	}
	ctx := within(t)
	for _, x := range []struct {
		who    *identity.KeySigner
		tenant string
		rows   int
		code   errs.Code
	}{
		{acme, "", 7, errs.OK}, {acme, "acme", 7, errs.OK}, {acme, "zenith", 0, errs.Denied},
		{zenith, "", 0, errs.OK}, {zenith, "acme", 0, errs.Denied}, {root, "", 7, errs.OK}, {root, "zenith", 0, errs.OK},
	} {
		v := vaultOf(t, c, x.who, 1)
		n, token := 0, []byte(nil)
		for {
			page, err := v.ListRequests(ctx, &tetradv1.ListRequestsRequest{Tenant: x.tenant, PageSize: 3, PageToken: token})
			want(t, err, x.code)
			for _, r := range page.GetRequests() {
				if r.Payload != nil {
					t.Error("a list shows a payload")
				}
				n++
			}
			if token = page.GetNextPageToken(); len(token) == 0 {
				break
			}
		}
		if n != x.rows {
			t.Errorf("tenant %q: %d requests, want %d", x.tenant, n, x.rows)
		}
	}
	if got, err := vaultOf(t, c, acme, 1).GetRequest(ctx, &tetradv1.GetRequestRequest{RequestId: append([]byte{1}, make([]byte, 15)...)}); err != nil || string(got.Request.Payload) != "secret" {
		t.Errorf("own request: %v, %v", got, err)
	}
	_, err := vaultOf(t, c, zenith, 1).GetRequest(ctx, &tetradv1.GetRequestRequest{RequestId: append([]byte{1}, make([]byte, 15)...)})
	want(t, err, errs.NotFound)
	_, err = vaultOf(t, c, zenith, 1).GetKey(ctx, &tetradv1.GetKeyRequest{KeyId: acmeKey.ID[:]})
	want(t, err, errs.NotFound)
	_, err = vaultOf(t, c, zenith, 1).GetKey(ctx, &tetradv1.GetKeyRequest{KeyId: []byte{1, 2}})
	want(t, err, errs.Invalid)
	if k, err := vaultOf(t, c, acme, 1).GetKey(ctx, &tetradv1.GetKeyRequest{Name: "hot"}); err != nil || k.Key.Name != "hot" {
		t.Errorf("key by name: %v, %v", k, err)
	}
	if ts, err := vaultOf(t, c, acme, 1).ListTenants(ctx, &tetradv1.ListTenantsRequest{}); err != nil || strings.Join(ts.Tenants, ",") != "acme" {
		t.Errorf("tenants: %v, %v", ts, err)
	}
	if ps, err := vaultOf(t, c, acme, 0).ListPrincipals(ctx, &tetradv1.ListPrincipalsRequest{}); err != nil || len(ps.Principals) != 1 || ps.Principals[0].RoleNames[0] != "signer" {
		t.Errorf("principals: %v, %v", ps, err)
	}
	if ps, err := vaultOf(t, c, root, 0).ListPrincipals(ctx, &tetradv1.ListPrincipalsRequest{PageSize: 2}); err != nil || len(ps.Principals) != 2 || ps.NextPageToken == nil {
		t.Errorf("principals: %v, %v", ps, err)
	}
	if ks, err := vaultOf(t, c, root, 0).ListKeys(ctx, &tetradv1.ListKeysRequest{}); err != nil || len(ks.Keys) != 1 {
		t.Errorf("keys: %v, %v", ks, err)
	}
}

func TestAuditIsForTheVaultsOwn(t *testing.T) {
	c := start(t, 4)
	for i := range 1200 {
		l := auditLeaf
		l.Text = strings.Repeat("x", i%7)
		c.State.AddLeaf(l)
	}
	tenant, root := c.Principal("acme", admin), c.Principal("", command.RoleAuditor)
	ctx := within(t)
	s, err := vaultOf(t, c, tenant, 1).AuditLeaves(ctx, &tetradv1.AuditLeavesRequest{})
	if err == nil {
		_, err = s.Recv()
	}
	want(t, err, errs.Denied)
	s, err = vaultOf(t, c, root, 2).AuditLeaves(ctx, &tetradv1.AuditLeavesRequest{From: 10})
	next := uint64(10)
	for err == nil {
		var page *tetradv1.AuditLeavesResponse
		if page, err = s.Recv(); err != nil {
			break
		}
		for _, b := range page.Leaves {
			if l, derr := audit.DecodeLeaf(b); derr != nil || l.Seq != next {
				t.Fatalf("leaf %d: %v, %v", next, l, derr)
			}
			next++
		}
	}
	if next != 1200 {
		t.Errorf("read up to leaf %d: %v", next, err)
	}
	s, err = vaultOf(t, c, root, 0).AuditLeaves(ctx, &tetradv1.AuditLeavesRequest{From: 5, To: 1201})
	if err == nil {
		_, err = s.Recv()
	}
	want(t, err, errs.Invalid)
	cp, err := vaultOf(t, c, root, 3).AuditCheckpoint(ctx, &tetradv1.AuditCheckpointRequest{})
	if err != nil || cp.Size != 1200 || len(cp.Regions) != 4 {
		t.Fatalf("checkpoint %v, %v", cp, err)
	}
	dec, err := audit.DecodeCheckpoint(cp.Checkpoint)
	if err != nil || len(dec.Signatures) != 4 {
		t.Errorf("checkpoint decodes to %v, %v", dec, err)
	}
	if g, err := vaultOf(t, c, tenant, 1).Genesis(ctx, &tetradv1.GenesisRequest{}); err != nil || string(g.Genesis) != "genesis" {
		t.Errorf("genesis %v, %v", g, err)
	}
}

func TestStatus(t *testing.T) {
	c := start(t, 4)
	k, stranger := c.Principal("", admin), identity.GenerateEd25519()
	ctx := within(t)
	full, err := vaultOf(t, c, k, 2).Status(ctx, &tetradv1.StatusRequest{Digest: true})
	if err != nil || full.Region != 3 || full.Leader != 1 || full.Leading || len(full.Regions) != 4 || len(full.Digest) != 32 || full.Hsm == "" {
		t.Errorf("status %v, %v", full, err)
	}
	bare, err := vaultOf(t, c, stranger, 0).Status(ctx, &tetradv1.StatusRequest{Digest: true})
	if err != nil || bare.Region != 1 || bare.State != tetradv1.NodeState_NODE_STATE_READY || bare.Regions != nil || bare.Hsm != "" || bare.Digest != nil {
		t.Errorf("a stranger sees %v, %v", bare, err)
	}
}

func TestNotReady(t *testing.T) {
	c := start(t, 2)
	k := c.Principal("", admin)
	c.Nodes[0].SetReady(errs.New(errs.NotReady, "applied 3 of 9"))
	c.Nodes[0].Server.SetReady(false)
	cc, ctx := dial(t, c, k, 0, "client"), within(t)
	v := tetradv1.NewVaultClient(cc)
	_, err := v.ListKeys(ctx, &tetradv1.ListKeysRequest{})
	want(t, err, errs.NotReady)
	st, err := v.Status(ctx, &tetradv1.StatusRequest{})
	if err != nil || st.State != tetradv1.NodeState_NODE_STATE_NOT_READY || st.Reason != "applied 3 of 9" {
		t.Errorf("status %v, %v", st, err)
	}
	h, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: "tetrad.v1.Vault"})
	if err != nil || h.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health %v, %v", h, err)
	}
	c.Nodes[0].Server.SetReady(true)
	h, err = healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", h, err)
	}
}

func TestReflectionIsForKnownCallers(t *testing.T) {
	c := start(t, 1)
	ask := func(k *identity.KeySigner) error {
		s, err := reflectionpb.NewServerReflectionClient(dial(t, c, k, 0, "client")).ServerReflectionInfo(within(t))
		if err != nil {
			return err
		}
		if err := s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv says why
			return err
		}
		r, err := s.Recv()
		if err == nil && len(r.GetListServicesResponse().GetService()) < 3 {
			t.Errorf("services %v", r)
		}
		return err
	}
	want(t, ask(c.Principal("acme", signer)), errs.OK)
	want(t, ask(identity.GenerateEd25519()), errs.Unauthenticated)
}

func TestPanicIsInternal(t *testing.T) {
	c := start(t, 1)
	k := c.Principal("acme", signer)
	c.Nodes[0].OnSign(func(context.Context, *command.Command) (*fsm.Request, error) { panic("payload") })
	cmd := signed(t, c, k, &command.RequestSignature{Kind: command.KindMessage, Payload: []byte("m")})
	v := vaultOf(t, c, k, 0)
	_, err := v.Sign(within(t), &tetradv1.SignRequest{Command: cmd.Encode(), Wait: true})
	want(t, err, errs.Internal)
	if strings.Contains(err.Error(), "payload") {
		t.Errorf("the panic's value travelled: %v", err)
	}
	b, err := v.SignBatch(within(t), &tetradv1.SignBatchRequest{Commands: [][]byte{cmd.Encode()}, Wait: true})
	if err != nil || errs.Code(b.Items[0].Fault.GetCode()) != errs.Internal {
		t.Errorf("batch: %v, %v", b, err)
	}
}
