package rpc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/api/coded"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
	"github.com/tetrad-vault/tetrad/vault"
)

// fakeBrakes says of every command that it was carried out as the region of its node.
type fakeBrakes struct {
	n       *rpctest.Node
	content [32]byte
	slow    chan struct{}
	stop    *vault.Stop
	err     error
}

func (b *fakeBrakes) OutcomeWord(ctx context.Context, q vault.Inquiry) ([]byte, error) {
	if b.slow != nil {
		<-b.slow
	}
	if b.err != nil {
		return nil, b.err
	}
	a := command.OutcomeWord{Lineage: [32]byte{7}, Meta: command.Meta{Index: 5, Term: 1}, Command: b.content, Code: errs.OK, Nonce: q.Nonce, Applied: 5, Region: b.n.Region, At: time.Now()}
	if err := a.Sign(ctx, b.n.Session.Cert.Cluster, b.n.Session); err != nil {
		return nil, err
	}
	return a.Encode(), nil
}

func (b *fakeBrakes) StopHere(_ context.Context, by identity.Fingerprint, reason string) (*vault.Stop, error) {
	b.stop = &vault.Stop{ID: command.StopID{1}, By: by, Reason: reason, At: time.Now()}
	return b.stop, b.err
}
func (b *fakeBrakes) Stopped() *vault.Stop { return b.stop }
func (b *fakeBrakes) Brake(context.Context, command.KeyID, string, ...uint32) (*command.Command, fsm.Outcome, error) {
	return nil, fsm.Outcome{}, b.err
}
func (b *fakeBrakes) ClockWord(context.Context) ([]byte, error)              { return []byte{1}, b.err }
func (b *fakeBrakes) RepairHere(_ context.Context, _ *command.Command) error { return b.err }
func (b *fakeBrakes) Idle() time.Duration                                    { return time.Second }

type fakeProofs struct{ files []*chain.Evidence }

func (p fakeProofs) Cover(uint64) (*chain.Cover, error) {
	return nil, errs.New(errs.NotFound, "no certificate")
}
func (p fakeProofs) Evidence() []*chain.Evidence { return p.files }

func dialHere(t *testing.T, c *rpctest.Cluster, k *identity.KeySigner, nodes ...int) *client.Client {
	t.Helper()
	cfg := client.Config{Cluster: c.ID, Lineage: [32]byte{7}, Regions: c.Pins(), Signer: k, Dial: c.Net.Host("client").Dial}
	for _, i := range nodes {
		cfg.Addresses = append(cfg.Addresses, c.Nodes[i].Addr)
	}
	cl, err := client.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func brakes(t *testing.T, c *rpctest.Cluster, content [32]byte) []*fakeBrakes {
	t.Helper()
	var all []*fakeBrakes
	for _, n := range c.Nodes {
		b := &fakeBrakes{n: n, content: content}
		n.Brakes = b
		n.Attach()
		all = append(all, b)
	}
	return all
}

// TestAcksThroughOneNode: a client that reaches one region only still gets every region's
// own signature, leader or no leader.
func TestAcksThroughOneNode(t *testing.T) {
	c := rpctest.New(4)
	t.Cleanup(c.Close)
	admin := c.Principal("", command.RoleAdmin)
	cl := dialHere(t, c, admin, 2)
	cmd, err := cl.Command(&command.FreezeVault{Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	cm := cmd.Commitment()
	brakes(t, c, cm.Hash(c.ID))
	c.Lead(0)
	c.Nodes[2].SetReady(errs.New(errs.NotReady, "no quorum"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := cl.Acknowledge(ctx, cmd, nil)
	if err != nil || a.Ground != client.GroundEveryRegion || len(a.Confirmed) != 4 {
		t.Fatalf("%+v, %v", a, err)
	}
	c.Nodes[3].Brakes = &fakeBrakes{n: c.Nodes[3], content: cm.Hash(c.ID), err: errs.New(errs.NotReady, "behind")}
	c.Nodes[3].Attach()
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	a, err = cl.Acknowledge(short, cmd, nil)
	if errs.CodeOf(err) != errs.Unacknowledged || len(a.Confirmed) != 3 || a.Missing[4] != "behind" {
		t.Fatalf("%+v, %v", a, err)
	}
}

// TestEnoughWords: who wants two words that agree does not wait for a region that hangs,
// and a liar's word is none of the two.
func TestEnoughWords(t *testing.T) {
	c := rpctest.New(4)
	t.Cleanup(c.Close)
	all := brakes(t, c, [32]byte{1})
	hang := make(chan struct{})
	all[0].slow, all[1].content = hang, [32]byte{2}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ask := &tetradv1.AcknowledgeRequest{Author: make([]byte, 32), CommandId: bytes.Repeat([]byte{1}, 16), Nonce: bytes.Repeat([]byte{2}, 16), Enough: 2}
	for i := 1; i < 4; i++ {
		began := time.Now()
		r, err := vaultOf(t, c, c.Principal("", command.RoleAdmin), i).Acknowledge(ctx, ask)
		if err != nil || time.Since(began) > 2*time.Second {
			t.Fatalf("through region %d after %s: %v", i+1, time.Since(began), err)
		}
		agree := 0
		for _, w := range r.Words {
			if o, err := command.DecodeOutcomeWord(w.Word); err == nil && o.Command == all[2].content {
				agree++
			}
		}
		if len(r.Words) != 4 || agree != 2 || len(r.Words[0].Word) != 0 || r.Words[0].Fault == nil {
			t.Fatalf("through region %d: %v", i+1, r.Words)
		}
	}
	ask.Enough = 0
	close(hang)
	r, err := vaultOf(t, c, c.Principal("", command.RoleAdmin), 2).Acknowledge(ctx, ask)
	if err != nil || len(r.Words[0].Word) == 0 {
		t.Fatalf("every region's word: %v, %v", r, err)
	}
}

// TestWhoMayAskForWords: a tenant's principals learn nothing of another tenant's commands.
func TestWhoMayAskForWords(t *testing.T) {
	c := rpctest.New(4)
	t.Cleanup(c.Close)
	brakes(t, c, [32]byte{1})
	acme, colleague := c.Principal("acme", command.RoleSigner), c.Principal("acme", command.RoleAuditor)
	gone := identity.GenerateEd25519()
	c.State.PutPrincipal(fsm.Principal{Name: "gone", Key: gone.Public(), Removed: true})
	author := acme.Public().Fingerprint()
	ask := &tetradv1.AcknowledgeRequest{Author: author[:], CommandId: bytes.Repeat([]byte{1}, 16), Nonce: bytes.Repeat([]byte{2}, 16), Enough: 2}
	for name, who := range map[string]struct {
		key  *identity.KeySigner
		want errs.Code
	}{"the author": {acme, errs.OK}, "a colleague": {colleague, errs.OK}, "an administrator": {c.Principal("", command.RoleAdmin), errs.OK},
		"another tenant": {c.Principal("zenith", command.RoleSigner), errs.Denied}, "a stranger": {identity.GenerateEd25519(), errs.Unauthenticated},
		"one that was removed": {gone, errs.Unauthenticated}} {
		_, err := vaultOf(t, c, who.key, 1).Acknowledge(within(t), ask)
		if code := errs.CodeOf(coded.FromError(err)); code != who.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := gone.Public().Fingerprint()
	ask.Author = own[:]
	if _, err := vaultOf(t, c, gone, 1).Acknowledge(within(t), ask); err != nil {
		t.Errorf("one that was removed, about its own command: %v", err)
	}
}

func TestWhoMayStop(t *testing.T) {
	c := rpctest.New(4)
	t.Cleanup(c.Close)
	all := brakes(t, c, [32]byte{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, k := range map[string]*identity.KeySigner{
		"an auditor": c.Principal("", command.RoleAuditor), "a tenant's operator": c.Principal("acme", command.RoleOperator),
		"a stranger": identity.GenerateEd25519(),
	} {
		cl := dialHere(t, c, k, 1)
		_, stop := cl.StopHere(ctx, 2, "x")
		_, word := cl.ClockWord(ctx, 2)
		_, _, brake := cl.Brake(ctx, 2, command.KeyID{}, "x")
		for what, err := range map[string]error{"stop": stop, "word": word, "brake": brake} {
			if code := errs.CodeOf(err); code != errs.Denied && code != errs.Unauthenticated {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
	if all[1].stop != nil {
		t.Fatal("stopped all the same")
	}
	operator := dialHere(t, c, c.Principal("", command.RoleOperator), 0, 1, 2, 3)
	s, err := operator.StopHere(ctx, 2, "intruder")
	if err != nil || s.Reason != "intruder" || all[1].stop == nil || all[0].stop != nil || all[2].stop != nil {
		t.Fatalf("%v, %v", s, err)
	}
	for _, n := range operator.StatusAll(ctx, false) {
		if n.Err != nil || (n.Status.LocalStop != nil) != (n.Status.Region == 2) {
			t.Errorf("%s: %+v, %v", n.Addr, n.Status.GetLocalStop(), n.Err)
		}
	}
	all[1].err = errs.New(errs.DiskFull, "no space")
	if s, err := operator.StopHere(ctx, 2, "x"); s == nil || errs.CodeOf(err) != errs.DiskFull {
		t.Errorf("a stop that is not on disk: %v, %v", s, err)
	}
	if _, err := operator.StopHere(ctx, 9, "x"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a region that is not there: %v", err)
	}
}

func TestEvidenceInParts(t *testing.T) {
	c := rpctest.New(4)
	t.Cleanup(c.Close)
	n := c.Nodes[2]
	signer, err := chain.NewSigner(n.Region, n.Session)
	if err != nil {
		t.Fatal(err)
	}
	var p fakeProofs
	for _, size := range []int{10, 1300 << 10} {
		e, err := chain.Accuse(signer, chain.Evidence{Kind: chain.RefusedEntry, Cluster: c.ID, Accused: 1, Noticed: time.Now(),
			First: bytes.Repeat([]byte{7}, size), Sessions: []*identity.SessionCert{n.Session.Cert}})
		if err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, e)
	}
	n.Proofs = p
	n.Attach()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	auditor := dialHere(t, c, c.Principal("", command.RoleAuditor), 0, 1, 2, 3)
	list, err := auditor.ListEvidence(ctx, 3)
	if err != nil || len(list) != 2 || list[1].Accused != 1 || list[1].Accuser != 3 || list[1].Kind != "refused entry" {
		t.Fatalf("%v, %v", list, err)
	}
	for i, s := range list {
		b, err := auditor.Evidence(ctx, 3, [32]byte(s.Hash))
		if err != nil || sha256.Sum256(b) != [32]byte(s.Hash) || !bytes.Equal(b, p.files[i].Encode()) {
			t.Errorf("file %d: %d bytes, %v", i, len(b), err)
		}
	}
	if _, err := auditor.Evidence(ctx, 3, [32]byte{1}); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("an unknown file: %v", err)
	}
	if list, err := auditor.ListEvidence(ctx, 1); err != nil || len(list) != 0 {
		t.Errorf("a region without any: %v, %v", list, err)
	}
	tenant := dialHere(t, c, c.Principal("acme", command.RoleAuditor), 2)
	if _, err := tenant.ListEvidence(ctx, 3); errs.CodeOf(err) != errs.Denied {
		t.Errorf("a tenant reads evidence: %v", err)
	}
	for _, s := range auditor.StatusAll(ctx, false) {
		if s.Err == nil && s.Status.Region == 3 && (len(s.Status.Evidence) != 1 || s.Status.Evidence[0].Count != 2 || s.Status.Evidence[0].Region != 1) {
			t.Errorf("counts: %v", s.Status.Evidence)
		}
	}
}
