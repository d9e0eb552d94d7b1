package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func (a *app) auditCmd() *cobra.Command {
	return a.group("audit", "The audit log: read, export, verify", "", a.auditLog(), a.auditExport(), a.auditVerify())
}

type leafView struct {
	Seq       uint64 `json:"seq"`
	Index     uint64 `json:"index"`
	Time      string `json:"time"`
	Command   string `json:"command"`
	Type      string `json:"type"`
	Outcome   string `json:"outcome"`
	Text      string `json:"text,omitempty"`
	Began     string `json:"began,omitempty"` // by time alone, before the command
	Words     string `json:"words,omitempty"` // of regions, on which a further attempt was opened; each is what that region says
	Given     string `json:"given,omitempty"` // addresses that the vault chose
	Principal string `json:"principal"`
	Signers   int    `json:"signatures"`
	Hash      string `json:"leaf_hash"`
}

func viewLeaf(l *audit.Leaf) leafView {
	h := l.Hash()
	v := leafView{Seq: l.Seq, Index: l.Meta.Index, Time: stamp(l.Stamp), Command: l.Command.ID.String(), Type: l.Command.Type.String(),
		Outcome: l.Code.String(), Text: l.Text, Principal: l.Command.Principal.String(), Signers: len(l.Command.Signatures), Hash: hexOf(h[:])}
	if l.Seq == 0 {
		v.Type = "genesis"
	}
	e, err := audit.DecodeEffect(l.Effect)
	if err == nil && e.Given != nil {
		v.Given = givenText(e.Given)
	}
	if err == nil && e.Schedule != nil {
		v.Began = fmt.Sprintf("refresh of all threshold keys by schedule, under wrapping epoch %d", e.Schedule.Wrap)
		if e.Schedule.Retry > 0 {
			v.Began += fmt.Sprintf(", repetition %d", e.Schedule.Retry)
		}
	}
	if l.Command.Type == command.TypeOpenAttempt {
		v.Words = wordsText(l)
	}
	return v
}

// wordsText says on whose words a further attempt was opened; empty where they are withheld.
func wordsText(l *audit.Leaf) string {
	body, err := l.Body()
	b, ok := body.(*command.OpenAttempt)
	if err != nil || !ok {
		return ""
	}
	var texts []string
	for _, raw := range b.Words {
		w, err := command.DecodeWord(raw)
		if err != nil {
			continue
		}
		about := "it"
		if w.By != w.About {
			about = fmt.Sprintf("region %d", w.About)
		}
		s := fmt.Sprintf("region %d says that %s %s", w.By, about, map[command.WordKind]string{command.WordRefused: "refused",
			command.WordUnreachable: "cannot be reached", command.WordWrong: fmt.Sprintf("answered wrongly (answer %x)", w.Answer)}[w.Kind])
		texts = append(texts, s)
	}
	return strings.Join(texts, "; ")
}

func givenText(g *audit.GivenAddresses) string {
	branch := command.PathText(g.Branch)
	s := fmt.Sprintf("key %s: %s/%d", g.Key, branch, g.First)
	if g.Count > 1 {
		s += fmt.Sprintf(" to %s/%d", branch, g.First+g.Count-1)
	}
	return s
}

func (a *app) auditLog() *cobra.Command {
	var from, to uint64
	var follow bool
	var last uint64
	c := a.leaf("log", "Print leaves of the audit log", `
One line a command, as it was judged; with --output json one object a line. What is
printed is what the nodes say: vaultctl audit verify checks it.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			if last > 0 {
				short, cancel := a.deadline(ctx)
				cp, err := v.AuditCheckpoint(short)
				cancel()
				if err != nil {
					return advise(err)
				}
				from = cp.Size - min(last, cp.Size)
			}
			seq := v.AuditLeaves(ctx, from, to)
			if follow {
				seq = v.FollowAudit(ctx, from)
			}
			for l, err := range seq {
				if err != nil {
					if follow && ctx.Err() != nil {
						return nil
					}
					return advise(err)
				}
				leaf, err := audit.DecodeLeaf(l.Bytes)
				if err != nil {
					return errs.Wrap(errs.Corrupt, err, "audit leaf %d", l.Seq)
				}
				q := viewLeaf(leaf)
				if err := a.line(q, func(w io.Writer) {
					fmt.Fprintf(w, "%7d  %s  %-18s  %-18s  %s  %s\n", q.Seq, q.Time, q.Type, a.state(q.Outcome), q.Principal[:8], strings.Join(strings.Fields(q.Text+" "+q.Began+" "+q.Words+" "+q.Given), " "))
				}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	f := c.Flags()
	f.Uint64Var(&from, "from", 0, "first leaf")
	f.Uint64Var(&to, "to", 0, "leaf to stop before (default: the end)")
	f.Uint64Var(&last, "last", 0, "only so many from the end")
	f.BoolVarP(&follow, "follow", "f", false, "go on with every new leaf until interrupted")
	return c
}

func (a *app) auditExport() *cobra.Command {
	var out string
	c := a.leaf("export --out FILE", "Export the whole audit log for an auditor", `
Write all leaves and a checkpoint signed by the regions into one file, which vaultctl
audit verify checks without any connection.`, noArgs, func(ctx context.Context, _ []string) error {
		if err := need("out", out); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error { return a.export(ctx, v, out) })
	})
	c.Flags().StringVar(&out, "out", "", "file to write")
	return c
}

func (a *app) export(ctx context.Context, v *vault, out string) error {
	short, cancel := a.deadline(ctx)
	answer, err := v.AuditCheckpoint(short)
	cancel()
	if err != nil {
		return advise(err)
	}
	cp, err := audit.DecodeCheckpoint(answer.Signed)
	if err != nil {
		return errs.Wrap(errs.Corrupt, err, "the vault's checkpoint")
	}
	f, err := os.CreateTemp(dirOf(out), ".vaultctl-*")
	if err != nil {
		return durable.Coded(err, "writing %s", out)
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	w, err := auditor.NewWriter(f, v.genesis.Encode())
	if err != nil {
		return durable.Coded(err, "writing %s", out)
	}
	if err := a.exportLeaves(ctx, v, w, cp); err != nil {
		return err
	}
	if err := w.Close(cp); err != nil {
		return err
	}
	for _, step := range []func() error{func() error { return f.Chmod(0o644) }, f.Sync, f.Close, func() error { return os.Rename(f.Name(), out) }} {
		if err := step(); err != nil {
			return durable.Coded(err, "writing %s", out)
		}
	}
	m := map[string]any{"file": out, "leaves": cp.Size, "root": hexOf(cp.Root[:]), "signatures": len(cp.Signatures)}
	err = a.print(m, func(w io.Writer) {
		a.pairs(w, "file", out, "leaves", itoa(cp.Size), "root", hexOf(cp.Root[:]), "signed by", fmt.Sprintf("%d regions", len(cp.Signatures)))
	})
	a.progress("next: vaultctl audit verify %s, anywhere", out)
	return err
}

const progressEvery = 50_000 // leaves

// exportLeaves goes on behind the last leaf when a stream breaks off.
func (a *app) exportLeaves(ctx context.Context, v *vault, w *auditor.Writer, cp *audit.Checkpoint) error {
	next, broken := uint64(0), 0
	for next < cp.Size {
		begun := next
		for l, err := range v.AuditLeaves(ctx, next, cp.Size) {
			if err != nil {
				if broken++; broken > 3 || ctx.Err() != nil {
					return advise(err)
				}
				break
			}
			leaf, err := audit.DecodeLeaf(l.Bytes)
			if err != nil {
				return errs.Wrap(errs.Corrupt, err, "audit leaf %d", l.Seq)
			}
			if err := w.Leaf(leaf); err != nil {
				return err
			}
			if next++; next%progressEvery == 0 {
				a.progress("%d of %d leaves", next, cp.Size)
			}
		}
		if next == begun && broken == 0 {
			return errs.New(errs.Unavailable, "the vault sent %d of %d leaves", next, cp.Size).WithHint("try again: a region may be repairing its leaf store")
		}
	}
	return nil
}

func (a *app) auditVerify() *cobra.Command {
	var hash string
	var signatures int
	var partial bool
	var known []string
	c := a.leaf("verify EXPORT --genesis FILE", "Verify an export offline, trusting no node", `
Replay every command and check every signature, role, draw, beacon proof and released
signature against the genesis you trust: your genesis.json, or --genesis-hash HASH as it
was compared at the founding. Exits with 7 if anything is wrong.`, cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			trust, err := a.trust(hash, signatures, partial, known)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return durable.Coded(err, "export %s", args[0])
			}
			defer f.Close()
			report, err := auditor.Verify(f, trust)
			if err != nil && errs.CodeOf(err) != errs.Unverified {
				return unreadable(args[0], err)
			}
			if perr := a.printReport(report); perr != nil {
				return perr
			}
			return err
		})
	f := c.Flags()
	f.StringVar(&hash, "genesis-hash", "", "trust the genesis with this hash instead of a file")
	f.IntVar(&signatures, "signatures", 3, "how many regions must have signed the checkpoint")
	f.StringArrayVar(&known, "known", nil, "checkpoint file seen before; it must be part of this history")
	f.BoolVar(&partial, "partial", false, "accept withheld fields: then only the tree is verified from there on")
	return c
}

// unreadable tells a damaged export, which proves nothing, from a medium that fails.
// There is no verdict then, so no report either.
func unreadable(file string, err error) error {
	switch errs.CodeOf(err) {
	case errs.DiskFailed, errs.Internal, errs.Canceled:
		return err
	}
	return errs.Wrap(errs.Unverified, err, "export %s cannot be verified", file).WithHint("%s", errs.HintOf(err))
}

func (a *app) trust(hash string, signatures int, partial bool, known []string) (t auditor.TrustAnchor, err error) {
	t.Signatures, t.Partial = signatures, partial
	if hash != "" {
		if t.Genesis, err = ceremony.ParseHash(hash); err != nil {
			return t, usageError{err}
		}
	} else {
		g, err := a.anchor()
		if err != nil {
			return t, err
		}
		t.Genesis = g.Document.Hash()
	}
	for _, name := range known {
		b, err := a.input(name, 1<<20)
		if err != nil {
			return t, err
		}
		cp, err := audit.DecodeCheckpoint(b)
		if err != nil {
			return t, errs.Wrap(errs.Malformed, err, "checkpoint %s", name)
		}
		t.Known = append(t.Known, *cp)
	}
	return t, nil
}

func (a *app) printReport(r *auditor.Report) error {
	if r == nil {
		return nil
	}
	return a.print(r, func(w io.Writer) {
		verdict := a.paint(green, "verified")
		if len(r.Findings) > 0 {
			verdict = a.paint(red, "NOT verified")
		}
		a.pairs(w, "audit log", verdict, "cluster", r.Name, "genesis", r.Genesis, "leaves", itoa(r.Leaves), "root", r.Root,
			"from", stamp(r.First), "to", stamp(r.Last), "checkpoint by", strings.Join(r.SignedBy, ", "),
			"requests", fmt.Sprintf("%d (%d complete, %d failed, %d expired, %d open)", r.Requests, r.Completed, r.Failed, r.Expired, r.Open),
			"released", releasedText(r), "draws", fmt.Sprintf("%d (%d attempts were not drawn)", r.Draws, r.Undrawn),
			"certified", certifiedEntries(r), "commands", counts(r.Commands), "outcomes", counts(r.Outcomes))
		for _, b := range r.Beacon {
			if b.Epoch > 0 {
				fmt.Fprintf(w, "beacon epoch %d: since entry %d, held by regions %v\n", b.Epoch, b.Since, b.Holders)
			}
		}
		for _, s := range r.Selections {
			var sets []string
			for _, d := range s.Sets {
				sets = append(sets, fmt.Sprintf("%v %d", d.Regions, d.Count))
			}
			fmt.Fprintf(w, "draws of %d from %v: %s (p = %.3f)\n", s.Signers, s.Eligible, strings.Join(sets, ", "), s.P)
		}
		for _, f := range r.Findings {
			fmt.Fprintln(w, a.paint(red, f.String()))
		}
		if r.More > 0 {
			fmt.Fprintf(w, "and %d more findings\n", r.More)
		}
	})
}

func certifiedEntries(r *auditor.Report) string {
	s := fmt.Sprintf("%d entries", r.Certified)
	if r.Older > 0 {
		s += fmt.Sprintf(", %d proofs not there (older format)", r.Older)
	}
	return s
}

func releasedText(r *auditor.Report) string {
	s := fmt.Sprintf("%d signatures", r.Released)
	if r.Summed > 0 {
		s = fmt.Sprintf("%d signatures and parts, %d of threshold keys added up from theirs", r.Released, r.Summed)
	}
	return s
}

func counts(m map[string]uint64) string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s %d  ", n, m[n])
	}
	return strings.TrimSpace(b.String())
}
