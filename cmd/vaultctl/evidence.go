package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const maxEvidenceFile = 8 << 20

// evidenceView is an accusation; what stands below Kept is known only once the file was
// judged.
type evidenceView struct {
	Hash    string   `json:"hash"`
	Kind    string   `json:"kind"`
	Accused string   `json:"accused"`
	Accuser string   `json:"accuser"`
	Noticed string   `json:"noticed"`
	Size    uint64   `json:"size"`
	Kept    []string `json:"kept_by,omitempty"`
	Servers []string `json:"servers,omitempty"` // of the accused, that signed it

	Replaced bool `json:"replaced,omitempty"` // the region has another server now

	File     string `json:"file,omitempty"`
	Verdict  string `json:"verdict,omitempty"`
	Finding  string `json:"finding,omitempty"`
	Term     uint64 `json:"term,omitempty"`
	Index    uint64 `json:"index,omitempty"`
	hash     [32]byte
	accused  identity.RegionID
	evidence []byte
}

// The verdicts on a file that shows something.
const (
	convicts = "convicts: the accused's own signatures contradict each other"
	accuses  = "accuses: what the accused signed supports it; people must judge"
)

func (a *app) evidenceCmd() *cobra.Command {
	list := a.leaf("list", "List the accusations the regions keep", `
Every region is asked. What is listed are claims: show and verify judge them.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			all, err := a.accusations(ctx, v)
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) {
				t := &table{head: []string{"HASH", "ACCUSED", "KIND", "ACCUSER", "NOTICED", "KEPT BY"}}
				for _, e := range all {
					t.add(e.Hash[:16], e.Accused, e.Kind, e.Accuser, readable(e.Noticed), strings.Join(e.Kept, ","))
				}
				a.table(w, t)
			})
		})
	})
	show := a.leaf("show HASH", "Fetch one accusation and judge it here", "HASH may be cut to its first digits.", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			return a.fetched(ctx, args[0], func(e *evidenceView) error { return a.printEvidence([]*evidenceView{e}) })
		})
	save := a.leaf("save HASH FILE", "Fetch one accusation into a file", `
The file stands for itself: with the genesis anybody can judge it, without a network.`, cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			return a.fetched(ctx, args[0], func(e *evidenceView) error {
				if err := a.save(args[1], e.evidence, 0o644); err != nil {
					return err
				}
				e.File = args[1]
				return a.printEvidence([]*evidenceView{e})
			})
		})
	var welcome []string
	verify := a.leaf("verify FILE...", "Judge files of evidence, offline", `
Needs the genesis and no connection. Nobody is convicted on another region's word: only
what the accused signed itself counts. Exits with 7 if a file shows nothing. About a
region that was enrolled with another HSM, --welcome says which identity it has since.`, cobra.MinimumNArgs(1),
		func(_ context.Context, args []string) error {
			var all []*evidenceView
			for _, f := range args {
				e, err := a.judgeFile(f, welcome...)
				if err != nil {
					return err
				}
				all = append(all, e)
			}
			return a.printEvidence(all)
		})
	verify.Flags().StringArrayVar(&welcome, "welcome", nil, "file of living regions' welcomes (vaultctl region welcome); may be repeated")
	return a.group("evidence", "Accusations against regions", "", list, show, save, verify)
}

func (a *app) printEvidence(all []*evidenceView) error {
	return a.print(all, func(w io.Writer) {
		for i, e := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			a.pairs(w, "file", e.File, "hash", e.Hash, "kind", e.Kind, "accused", e.Accused, "as server", e.server(), "accuser", e.Accuser,
				"noticed", readable(e.Noticed), "verdict", e.Verdict, "finding", e.Finding)
		}
	})
}

// server names the incarnation that is accused.
func (e *evidenceView) server() string {
	s := strings.Join(e.Servers, ", ")
	if e.Replaced {
		s += " (replaced since: what follows for the region is over)"
	}
	return s
}

// accusations asks every region, newest first; a region that is not reached is named.
func (a *app) accusations(ctx context.Context, v *vault) ([]*evidenceView, error) {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	by := map[string]*evidenceView{}
	all, reached := []*evidenceView{}, 0
	for _, r := range v.genesis.Document.Regions {
		list, err := v.ListEvidence(ctx, r.ID)
		if err != nil {
			a.progress("%s: %v", r.Name, err)
			continue
		}
		reached++
		for _, s := range list {
			e := by[string(s.Hash)]
			if e == nil {
				e = viewSummary(v.genesis, s)
				by[string(s.Hash)] = e
				all = append(all, e)
			}
			e.Kept = append(e.Kept, r.Name)
		}
	}
	if reached == 0 {
		return nil, errs.New(errs.Unavailable, "no region was reached")
	}
	slices.SortStableFunc(all, func(x, y *evidenceView) int { return strings.Compare(y.Noticed, x.Noticed) })
	return all, nil
}

func viewSummary(g *genesis.Genesis, s *client.EvidenceSummary) *evidenceView {
	e := &evidenceView{Hash: hexOf(s.Hash), Kind: s.Kind, Accused: regionName(g, identity.RegionID(s.Accused)),
		Accuser: regionName(g, identity.RegionID(s.Accuser)), Noticed: iso(s.Noticed), Size: s.Size, Servers: s.Servers, Replaced: s.Replaced}
	copy(e.hash[:], s.Hash)
	return e
}

// fetched finds an accusation by the first digits of its hash, fetches its bytes from
// whoever keeps it, and judges them.
func (a *app) fetched(ctx context.Context, prefix string, do func(*evidenceView) error) error {
	return a.with(ctx, func(ctx context.Context, v *vault) error {
		all, err := a.accusations(ctx, v)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(e *evidenceView) bool { return !strings.HasPrefix(e.Hash, strings.ToLower(prefix)) })
		if len(all) != 1 {
			return errs.New(errs.NotFound, "%d accusations begin with %q", len(all), prefix).WithHint("vaultctl region evidence list shows them")
		}
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		for _, name := range all[0].Kept {
			id, err := regionID(v.genesis, name)
			if err != nil {
				return err
			}
			b, err := v.Evidence(ctx, id, all[0].hash)
			if err != nil {
				a.progress("%s: %v", name, err)
				continue
			}
			if err := v.askIdentities(ctx); err != nil {
				return advise(err)
			}
			e, err := judged(v.genesis, b, v.identities)
			if err != nil {
				return err
			}
			e.Kept, e.Replaced = all[0].Kept, all[0].Replaced
			return do(e)
		}
		return errs.New(errs.Unavailable, "no region sent the file")
	})
}

func (a *app) judgeFile(name string, welcome ...string) (*evidenceView, error) {
	g, err := a.anchor()
	if err != nil {
		return nil, err
	}
	files, err := ceremony.ReadFiles(welcome...)
	if err != nil {
		return nil, err
	}
	heard, err := ceremony.Hear(&g.Document, files.Welcomes, nil)
	if err != nil {
		return nil, err
	}
	b, err := a.input(name, maxEvidenceFile)
	if err != nil {
		return nil, err
	}
	e, err := judged(g, b, heard.Pins)
	if err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "%s", name)
	}
	e.File = name
	return e, nil
}

// judged judges a file by the identity keys of the genesis, and those that regions have now.
func judged(g *genesis.Genesis, b []byte, now map[identity.RegionID]identity.PublicKey) (*evidenceView, error) {
	pins := map[client.RegionID][]client.PublicKey{}
	for _, r := range g.Document.Regions {
		pins[r.ID] = []client.PublicKey{r.Identity}
		if k, ok := now[r.ID]; ok && !k.Equal(r.Identity) {
			pins[r.ID] = append(pins[r.ID], k)
		}
	}
	e, f, err := client.JudgeEvidence(b, g.Document.Cluster, g.Document.Hash(), pins)
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(b)
	out := &evidenceView{Hash: hex.EncodeToString(h[:]), Kind: f.Kind.String(), Accused: regionName(g, f.Accused), Accuser: regionName(g, f.Accuser),
		Noticed: e.Noticed.UTC().Format(time.RFC3339Nano), Size: uint64(len(b)), Verdict: accuses, Finding: f.Text, Term: f.Term, Index: f.Index, Servers: f.Servers,
		hash: h, accused: f.Accused, evidence: b}
	if f.Convicts {
		out.Verdict = convicts
	}
	return out, nil
}
