package main

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var randomReader = rand.Reader

func random(b []byte) error {
	if _, err := io.ReadFull(randomReader, b); err != nil {
		return errs.Wrap(errs.Internal, err, "randomness")
	}
	return nil
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// dual holds the flags of commands that may need two administrators.
type dual struct {
	cosign  []string
	propose string
}

func (d *dual) flags(a *app, c *cobra.Command) *cobra.Command {
	c.Flags().StringArrayVar(&d.cosign, "cosign-key", nil, "key file of the second administrator, where one person holds both (labs)")
	c.Flags().StringVar(&d.propose, "propose-to", "", "write the signed command to this file for another administrator instead of sending it")
	c.Flags().BoolVar(&a.noAck, "no-ack", false, "do not wait until a freeze, revocation or stricter setting holds everywhere")
	c.Flags().DurationVar(&a.lifetime, "lifetime", 0, "how long the command stays valid (default 10m, proposals 12h)")
	return c
}

// send signs a command as the user and, with dual control, as others, and submits it;
// or writes it to a file for the others. done prints the outcome.
func (a *app) send(ctx context.Context, d *dual, body command.Body, done func(v *vault, cmd *command.Command, o *client.Outcome, proof client.Proof) error) error {
	if d != nil && d.propose != "" {
		return a.proposal(d, body)
	}
	return a.with(ctx, func(ctx context.Context, v *vault) error {
		cmd, err := v.Command(body)
		if err != nil {
			return err
		}
		if d != nil {
			if err := cosign(v, cmd, d.cosign); err != nil {
				return err
			}
		}
		return a.submit(ctx, v, cmd, done)
	})
}

func cosign(v *vault, cmd *command.Command, files []string) error {
	for _, f := range files {
		s, err := loadKey(f)
		if err != nil {
			return err
		}
		if err := cmd.Sign(context.Background(), v.genesis.Document.Cluster, s); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) submit(ctx context.Context, v *vault, cmd *command.Command, done func(*vault, *command.Command, *client.Outcome, client.Proof) error) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	wait := a.restricts(ctx, v, cmd)
	o, proof, err := v.SubmitProven(ctx, cmd)
	if err != nil {
		return advise(err)
	}
	if done != nil {
		return done(v, cmd, o, proof)
	}
	if !wait {
		return a.outcome(v, cmd, o, proof, nil)
	}
	ack, err := a.acknowledge(ctx, v, cmd)
	if print := a.outcome(v, cmd, o, proof, ack); print != nil {
		return print
	}
	return err
}

// advise adds what to do next where the vault left it open.
func advise(err error) error {
	if errs.HintOf(err) != "" {
		return err
	}
	hint := map[errs.Code]string{
		errs.NeedsSecondAdmin: "let another administrator sign too: --propose-to FILE, then vaultctl approve FILE",
		errs.OutcomeUnknown:   "it may have happened: look with vaultctl before trying again",
		errs.Unauthenticated:  "is this key a principal of the vault? vaultctl keygen --public FILE shows its fingerprint",
		errs.NoLeader:         "three regions must be up and reach each other: vaultctl status",
		errs.Unavailable:      "no node answers: check --address and the network",
		errs.Unacknowledged:   "run the same command again to wait on; vaultctl status shows which regions are missing",
		errs.Frozen:           "vaultctl status and vaultctl key show say who froze it and why",
	}[errs.CodeOf(err)]
	if errs.CodeOf(err) == errs.Unavailable && strings.Contains(err.Error(), "authentication handshake failed") {
		hint = "somebody answers, but not a region of this genesis: check --genesis and --address"
	}
	var e *errs.Error
	if hint == "" || !errors.As(err, &e) {
		return err
	}
	return e.WithHint("%s", hint)
}

type outcomeView struct {
	Command string `json:"command"`
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
	Index   uint64 `json:"index"`
	Key     string `json:"key,omitempty"`

	proofView

	Ack *ackView `json:"acknowledgement,omitempty"` // of what takes rights away
}

func (a *app) outcome(at *vault, cmd *command.Command, o *client.Outcome, proof client.Proof, ack *ackView) error {
	v := outcomeView{cmd.ID.String(), cmd.Type.String(), "ok", o.GetIndex(), hexOf(o.GetKeyId()), at.proof(proof), ack}
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s at index %d%s\n", v.Type, a.state(v.Outcome), v.Index, v.proofView.behind())
		if ack != nil {
			ack.write(a, w)
		}
	})
}

// proofView says what an answer rests on, by the names of the genesis.
type proofView struct {
	Certified []string `json:"certified_by,omitempty"`
	Said      []string `json:"said_by,omitempty"`
}

func (v *vault) proof(p client.Proof) (out proofView) {
	for _, r := range p.Certified {
		out.Certified = append(out.Certified, regionName(v.genesis, r))
	}
	for _, r := range p.Said {
		out.Said = append(out.Said, regionName(v.genesis, r))
	}
	return out
}

// String names who certified the entry, and who signed that the answer is true.
func (p proofView) String() string {
	var parts []string
	if len(p.Certified) > 0 {
		parts = append(parts, strings.Join(p.Certified, ", "))
	}
	if len(p.Said) > 0 {
		parts = append(parts, "said by regions "+strings.Join(p.Said, " and "))
	}
	return strings.Join(parts, "; ")
}

// behind is String as the end of a sentence.
func (p proofView) behind() string {
	switch {
	case len(p.Certified) > 0:
		return ", certified by " + p.String()
	case len(p.Said) > 0:
		return ", " + p.String()
	}
	return ""
}

const (
	blockCommand     = "TETRAD COMMAND"
	proposalLifetime = 12 * time.Hour
)

// proposal writes a command signed by one administrator for another.
func (a *app) proposal(d *dual, body command.Body) error {
	g, err := a.anchor()
	if err != nil {
		return err
	}
	s, err := a.signer()
	if err != nil {
		return err
	}
	lifetime := a.lifetime
	if lifetime == 0 {
		lifetime = proposalLifetime
	}
	cmd, err := newCommand(g, s, body, lifetime)
	if err != nil {
		return err
	}
	if err := a.save(d.propose, pem.EncodeToMemory(&pem.Block{Type: blockCommand, Bytes: cmd.Encode()}), 0o644); err != nil {
		return err
	}
	err = a.printCommand(cmd, body, d.propose)
	a.progress("next: another administrator runs vaultctl approve %s", d.propose)
	return err
}

func (a *app) approveCmd() *cobra.Command {
	var yes bool
	var to string
	c := a.leaf("approve FILE", "Sign and send a command another administrator proposed", `
Show what a command proposed with --propose-to would do, sign it with your key and
send it. Without --yes you are asked; look at what it says.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			cmd, body, err := a.readProposal(args[0])
			if err != nil {
				return err
			}
			return a.with(ctx, func(ctx context.Context, v *vault) error {
				if err := checkProposal(v, cmd); err != nil {
					return err
				}
				if err := a.checkArrival(ctx, v, body); err != nil {
					return err
				}
				if err := a.confirm(cmd, body, yes); err != nil {
					return err
				}
				if err := v.AddSignature(cmd); err != nil {
					return err
				}
				if to != "" {
					return a.save(to, pem.EncodeToMemory(&pem.Block{Type: blockCommand, Bytes: cmd.Encode()}), 0o644)
				}
				return a.submit(ctx, v, cmd, nil)
			})
		})
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking")
	c.Flags().StringVar(&to, "to", "", "write the command with your signature to this file instead of sending it")
	return c
}

func (a *app) readProposal(name string) (*command.Command, command.Body, error) {
	b, err := a.input(name, 2*command.MaxCommand)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != blockCommand {
		return nil, nil, errs.New(errs.Malformed, "%s holds no proposed command", name).WithHint("--propose-to writes such files")
	}
	cmd, err := command.Decode(block.Bytes)
	if err != nil {
		return nil, nil, errs.Wrap(errs.CodeOf(err), err, "%s", name)
	}
	body, err := cmd.Body()
	return cmd, body, err
}

// checkProposal makes sure that the first signature is the author's and for this vault.
func checkProposal(v *vault, cmd *command.Command) error {
	if !cmd.Expiry.After(time.Now()) {
		return errs.New(errs.Expired, "the command expired at %s", stamp(cmd.Expiry)).WithHint("its author must propose it again")
	}
	for _, a := range v.genesis.Document.Administrators {
		if a.Key.Fingerprint() != cmd.Principal || len(cmd.Signatures) == 0 {
			continue
		}
		cm := cmd.Commitment()
		if !a.Key.Verify(cm.SignedBytes(v.genesis.Document.Cluster), cmd.Signatures[0].Sig) {
			return errs.New(errs.Unverified, "the signature of administrator %q does not fit the command: it was altered, or is for another vault", a.Name)
		}
	}
	return nil // of later administrators the vault itself judges
}

// confirm shows a command and asks.
func (a *app) confirm(cmd *command.Command, body command.Body, yes bool) error {
	var b strings.Builder
	a.pairs(&b, describe(cmd, body)...)
	if a.output == "table" || !yes {
		fmt.Fprint(a.stderr, b.String())
	}
	if yes {
		return nil
	}
	fmt.Fprint(a.stderr, "Sign this? Type yes: ")
	var answer string
	_, _ = fmt.Fscanln(a.stdin, &answer)
	if answer != "yes" {
		return errs.New(errs.Canceled, "not signed").WithHint("answer yes, or pass --yes in scripts")
	}
	return nil
}

func (a *app) printCommand(cmd *command.Command, body command.Body, file string) error {
	kv := append([]string{"file", file}, describe(cmd, body)...)
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[strings.ReplaceAll(kv[i], " ", "_")] = kv[i+1]
	}
	return a.print(m, func(w io.Writer) { a.pairs(w, kv...) })
}

// describe says in names and values what a command does.
func describe(cmd *command.Command, body command.Body) []string {
	kv := []string{"command", cmd.ID.String(), "type", cmd.Type.String(), "author", cmd.Principal.String(),
		"signatures", strconv.Itoa(len(cmd.Signatures)), "valid until", stamp(cmd.Expiry)}
	add := func(more ...string) { kv = append(kv, more...) }
	switch b := body.(type) {
	case *command.CreateTenant:
		add("tenant", b.Name)
	case *command.PutPrincipal:
		add("name", b.Name, "tenant", vaultItself(b.Tenant), "key", b.Key.Text(), "fingerprint", b.Key.Fingerprint().String(), "roles", b.Roles.String())
	case *command.RemovePrincipal:
		add("principal", b.Principal.String())
	case *command.CreateKey:
		add("name", b.Name, "tenant", b.Tenant, "scheme", b.Scheme.String(), "curve", b.Curve.String(), "signers", strconv.Itoa(int(b.Signers)),
			"blind signing", yesNo(b.AllowBlind), "regions", fmt.Sprint(b.Regions), "note", b.Note)
		if b.Fallback != nil {
			add("fallback", fallbackText((*intent.Fallback)(b.Fallback)), "warning", "these keys spend its outputs without the vault")
		}
		add(assetPairs(b.Asset)...)
	case *command.ImportKey:
		add("name", b.Name, "tenant", b.Tenant, "curve", b.Curve.String(), "public key", hexOf(b.Point), "chain code", hexOf(b.Chain[:]), "signers", strconv.Itoa(int(b.Signers)),
			"blind signing", yesNo(b.AllowBlind), "regions", fmt.Sprint(b.Regions), "wrapping epoch", itoa(uint64(b.Wrap)), "note", b.Note)
		if b.Fallback != nil {
			add("fallback", fallbackText((*intent.Fallback)(b.Fallback)))
		}
		add(assetPairs(b.Asset)...)
		add("warning", "the whole key was known outside: whoever still has it signs without the vault, for ever")
	case *command.FreezeKey:
		add("key", b.Key.String(), "reason", b.Reason)
	case *command.UnfreezeKey:
		add("key", b.Key.String(), "reason", b.Reason)
	case *command.FreezePath:
		add("key", b.Key.String(), "path", command.PathText(b.Path), "reason", b.Reason)
	case *command.UnfreezePath:
		add("key", b.Key.String(), "path", command.PathText(b.Path), "reason", b.Reason)
	case *command.FreezeVault:
		add("reason", b.Reason)
	case *command.UnfreezeVault:
		add("reason", b.Reason)
	case *command.Configure:
		s := b.Settings
		add("max skew", s.MaxSkew.String(), "request max age", s.RequestMaxAge.String(), "max open", itoa(uint64(s.MaxOpen)), "escrow of keys", escrowText(s.EscrowDelay),
			"refresh of threshold keys every", periodText(s.RefreshEvery), "import of whole keys", importText(s.Import))
	case *command.ReplaceMember:
		add("region", itoa(uint64(b.Region)), "server id", b.ServerID, "raft", b.RaftAddr, "api", b.APIAddr, "gossip", b.GossipAddr)
	case *command.Reenrol:
		add("region", itoa(uint64(b.Region)), "new identity", b.Identity.Fingerprint().String(), "replaces identity", b.Replaces.String(), "new hsm", b.HSM,
			"server id", b.ServerID, "raft", b.RaftAddr, "api", b.APIAddr, "gossip", b.GossipAddr,
			"warning", "what the old HSM held is lost for ever; compare the new identity with the region's operator by telephone")
	case *command.RetireKey:
		add("key", b.Key.String())
	case *command.LimitKey:
		add("key", b.Key.String(), "limit", limitText(uint64(b.Requests), b.Window))
	case *command.RefreshKey:
		key := b.Key.String()
		if b.Key == (command.KeyID{}) {
			key = "(every threshold key)"
		} else if b.Key == command.BeaconKey {
			key = "(the beacon key)"
		}
		add("key", key, "holders", holdersText(b.Holders), "reason", b.Reason)
	case *command.EscrowKey:
		add("key", b.Key.String(), "quorum", fmt.Sprintf("%d of %d officers", b.M, len(b.Officers)), "without any region", yesNo(b.Disaster),
			"delay", b.Delay.String(), "reason", b.Reason)
		for i, o := range b.Officers {
			add(fmt.Sprintf("officer %d", i+1), o)
		}
	case *command.CancelEscrow:
		add("key", b.Key.String(), "reason", b.Reason)
	case *command.IssueAddresses:
		add("key", b.Key.String(), "addresses", strconv.Itoa(len(b.Paths)), "again", yesNo(b.Again), "note", b.Note)
	case *command.NextAddresses:
		add("key", b.Key.String(), "addresses", itoa(uint64(b.Count)), "next of branch", command.PathText(b.Branch), "note", b.Note)
	case *command.QuarantineRegion:
		add("region", itoa(uint64(b.Region)), "quarantined", yesNo(b.Quarantined), "evidence", hexOf(b.Evidence[:]), "reason", b.Reason)
	case *command.MuteRegion:
		add("region", itoa(uint64(b.Region)), "muted", yesNo(b.Muted), "reason", b.Reason)
	case *command.LiftStop:
		add("region", itoa(uint64(b.Region)), "stop", hexOf(b.Stop[:]), "reason", b.Reason)
	case *command.RepairRegion:
		add("region", itoa(uint64(b.Region)), "keep up to index", itoa(b.Keep), "reason", b.Reason)
	case *command.RaiseLevel:
		add("level", itoa(uint64(b.Level)), "reason", b.Reason, "warning", "older releases stop; this is never taken back")
	case *command.RepairClock:
		add("set the clock to", stamp(b.To), "words of regions", strconv.Itoa(len(b.Words)), "reason", b.Reason)
	}
	return kv
}

func escrowText(d time.Duration) string {
	if d == 0 {
		return "impossible"
	}
	return "ALLOWED, after at least " + d.String()
}

func importText(allowed bool) string {
	if !allowed {
		return "impossible"
	}
	return "ALLOWED"
}

func holdersText(holders []identity.RegionID) string {
	if len(holders) == 0 {
		return "(as before)"
	}
	return fmt.Sprint(holders)
}

func vaultItself(tenant string) string {
	if tenant == "" {
		return "(the vault itself)"
	}
	return tenant
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
