package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/version"
)

type nodeView struct {
	Region     string `json:"region"`
	Address    string `json:"address"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Role       string `json:"role,omitempty"`
	Term       uint64 `json:"term,omitempty"`
	Applied    uint64 `json:"applied_index,omitempty"`
	AuditSize  uint64 `json:"audit_size,omitempty"`
	AuditSaved uint64 `json:"audit_stored,omitempty"`
	Open       uint64 `json:"open_requests,omitempty"`
	Digest     string `json:"digest,omitempty"`
	Chain      string `json:"chain,omitempty"`
	AuditRoot  string `json:"audit_root,omitempty"`
	ServerID   string `json:"server_id,omitempty"`
	Boot       string `json:"boot,omitempty"`
	Started    string `json:"started,omitempty"`
	Clock      string `json:"clock,omitempty"`
	HSM        string `json:"hsm,omitempty"`
	HSMError   string `json:"hsm_error,omitempty"`
	StoreError string `json:"store_error,omitempty"`
	Version    string `json:"version,omitempty"`
	Frozen     bool   `json:"frozen,omitempty"`
	FrozenWhy  string `json:"frozen_reason,omitempty"`
	Children   uint32 `json:"frozen_paths,omitempty"` // children of threshold keys that are frozen
	Idle       string `json:"idle,omitempty"`         // since an entry was applied

	Stop     *stopView     `json:"local_stop,omitempty"`
	Evidence []accusedView `json:"evidence,omitempty"`
	Out      []string      `json:"quarantined,omitempty"` // regions, as this node's state has it
	Refresh  *refreshView  `json:"refresh,omitempty"`     // of threshold keys by schedule
}

// accusedView counts what a region holds against another.
type accusedView struct {
	Region string `json:"region"`
	Kind   string `json:"kind"`
	Count  uint32 `json:"count"`

	Replaced bool `json:"replaced,omitempty"` // it is about a server that was replaced since
}

// who names the accused; a server that was replaced is no alarm any more.
func (e accusedView) who(a *app) string {
	if e.Replaced {
		return "a server of " + e.Region + " that was replaced since"
	}
	return a.paint(red, e.Region)
}

var stateNames = map[tetradv1.NodeState]string{tetradv1.NodeState_NODE_STATE_SEALED: "sealed",
	tetradv1.NodeState_NODE_STATE_NOT_READY: "not ready", tetradv1.NodeState_NODE_STATE_READY: "ready"}

func viewNode(v *vault, n client.NodeStatus) nodeView {
	out := nodeView{Address: n.Addr, State: "unreachable"}
	for _, r := range v.genesis.Document.Regions {
		if r.APIAddr == n.Addr {
			out.Region = r.Name
		}
	}
	if n.Err != nil {
		out.Reason = n.Err.Error()
		if errs.CodeOf(n.Err) == errs.Sealed {
			out.State = "sealed"
		}
		return out
	}
	s := n.Status
	out.Region = regionName(v.genesis, identity.RegionID(s.Region))
	out.State, out.Reason, out.Version = stateNames[s.State], s.Reason, s.Version
	out.Term, out.Applied, out.AuditSize, out.AuditSaved, out.Open = s.Term, s.AppliedIndex, s.AuditSize, s.AuditStored, s.OpenRequests
	out.ServerID, out.Boot, out.Started, out.Clock = s.ServerId, hexOf(s.Boot), iso(s.Started), iso(s.Clock)
	out.Digest, out.Chain, out.AuditRoot = hexOf(s.Digest), hexOf(s.Chain), hexOf(s.AuditRoot)
	out.HSM, out.HSMError, out.StoreError = s.Hsm, s.HsmError, s.StoreError
	out.Frozen, out.FrozenWhy, out.Children = s.Frozen, s.FrozenReason, s.FrozenPaths
	if s.Idle != nil {
		out.Idle = s.Idle.AsDuration().Round(time.Second).String()
	}
	out.Refresh = viewRefresh(s)
	if s.LocalStop != nil {
		out.Stop = viewStop(out.Region, s.LocalStop)
	}
	for _, c := range s.Evidence {
		out.Evidence = append(out.Evidence, accusedView{regionName(v.genesis, identity.RegionID(c.Region)), c.Kind, c.Count, c.Replaced})
	}
	for _, r := range s.Regions {
		if r.Status == "quarantined" {
			out.Out = append(out.Out, r.Name)
		}
	}
	out.Role = "follower"
	if s.Leading {
		out.Role = "leader"
	}
	return out
}

func (a *app) statusCmd() *cobra.Command {
	var digest, strict bool
	c := a.leaf("status", "Show every node: state, leader, log, audit, HSM", `
Ask every node how it is. Exits with 4 when no node leads or none can be reached. With
--digest each node also hashes its replicated state: nodes at one index must agree.`, noArgs,
		func(ctx context.Context, _ []string) error {
			return a.with(ctx, func(ctx context.Context, v *vault) error {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				nodes := v.all(ctx, digest)
				if err := a.printStatus(v, nodes, digest); err != nil {
					return err
				}
				return judge(nodes, strict)
			})
		})
	c.Flags().BoolVar(&digest, "digest", false, "also compare digests of the replicated state")
	c.Flags().BoolVar(&strict, "all", false, "exit with 4 unless every node is ready")
	return c
}

func (v *vault) all(ctx context.Context, digest bool) []nodeView {
	var out []nodeView
	for _, n := range v.StatusAll(ctx, digest) {
		out = append(out, viewNode(v, n))
	}
	return out
}

func (a *app) printStatus(v *vault, nodes []nodeView, digest bool) error {
	h := v.genesis.Document.Hash()
	view := map[string]any{"cluster": v.genesis.Document.Name, "genesis": hexOf(h[:]), "nodes": nodes}
	return a.print(view, func(w io.Writer) {
		a.pairs(w, "cluster", v.genesis.Document.Name, "genesis", hexOf(h[:]))
		fmt.Fprintln(w)
		t := &table{head: []string{"REGION", "STATE", "ROLE", "TERM", "APPLIED", "AUDIT", "OPEN", "VERSION", "HSM"}}
		if digest {
			t.head = append(t.head, "DIGEST")
		}
		for _, n := range nodes {
			row := []string{n.Region, n.State, n.Role, blank(n.Term), blank(n.Applied), blank(n.AuditSize), blank(n.Open), n.Version, n.HSM}
			if n.State == "ready" && n.AuditSaved < n.AuditSize {
				row[5] = fmt.Sprintf("%d/%d", n.AuditSaved, n.AuditSize)
			}
			if digest {
				row = append(row, n.Digest[:min(16, len(n.Digest))])
			}
			t.add(row...)
		}
		a.table(w, t)
		for _, n := range nodes {
			for _, told := range [][2]string{{n.State, n.Reason}, {"hsm", n.HSMError}, {"audit store", n.StoreError}} {
				if told[1] != "" {
					fmt.Fprintf(w, "%s: %s: %s\n", n.Region, a.state(told[0]), told[1])
				}
			}
		}
		a.alarms(w, nodes)
		if r := newestRefresh(nodes); r != nil {
			fmt.Fprintln(w, "threshold keys: "+r.line(a))
		}
		for _, n := range nodes {
			if n.Frozen {
				fmt.Fprintf(w, "%s: %s\n", a.paint(red, "the vault is frozen"), n.FrozenWhy)
				break
			}
		}
		if i := slices.IndexFunc(nodes, func(n nodeView) bool { return n.Children > 0 }); i >= 0 {
			fmt.Fprintf(w, "%s: %d; vaultctl key list names the keys, key show the paths\n", a.paint(red, "children of threshold keys are frozen"), nodes[i].Children)
		}
	})
}

// alarms shows what only one region knows, and what regions hold against each other.
func (a *app) alarms(w io.Writer, nodes []nodeView) {
	told := map[string]bool{}
	for _, n := range nodes {
		for _, name := range n.Out {
			if !told[name] {
				fmt.Fprintf(w, "%s: in %s\n", name, a.paint(red, "quarantine"))
				told[name] = true
			}
		}
		if n.Stop != nil {
			fmt.Fprintf(w, "%s: %s since %s (stop %s): %s\n", n.Region, a.paint(red, stoppedHere), readable(n.Stop.At), n.Stop.Stop, n.Stop.Reason)
		}
		for _, e := range n.Evidence {
			fmt.Fprintf(w, "%s: holds evidence against %s: %s (%d); see vaultctl region evidence\n", n.Region, e.who(a), e.Kind, e.Count)
		}
	}
}

func readable(iso string) string {
	t, err := time.Parse(time.RFC3339Nano, iso)
	if err != nil {
		return iso
	}
	return stamp(t)
}

func blank(n uint64) string {
	if n == 0 {
		return ""
	}
	return itoa(n)
}

func judge(nodes []nodeView, strict bool) error {
	leaders, ready := 0, 0
	for _, n := range nodes {
		if n.Role == "leader" {
			leaders++
		}
		if n.State == "ready" {
			ready++
		}
	}
	switch {
	case ready == 0 || leaders == 0:
		return errs.New(errs.NoLeader, "%d of %d nodes are ready, %d lead", ready, len(nodes), leaders).
			WithHint("three regions must be up, unsealed and reach each other; each vaultd's log says what it waits for")
	case strict && ready < len(nodes):
		return errs.New(errs.NotReady, "%d of %d nodes are ready", ready, len(nodes))
	}
	return nil
}

func (a *app) unsealCmd() *cobra.Command {
	status := a.leaf("status", "Show which regions have opened their HSM", `
Exits with 3 if any node is sealed or cannot be reached.`, noArgs,
		func(ctx context.Context, _ []string) error {
			return a.with(ctx, func(ctx context.Context, v *vault) error {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				nodes := v.all(ctx, false)
				sealed := 0
				t := &table{head: []string{"REGION", "UNSEALED", "SINCE", "BOOT", "HSM", "REASON"}}
				for i := range nodes {
					n := &nodes[i]
					open := n.State == "ready" || n.State == "not ready"
					if !open {
						sealed++
					}
					t.add(n.Region, yesNo(open), readable(n.Started), n.Boot[:min(8, len(n.Boot))], n.HSM, n.Reason)
				}
				if err := a.print(nodes, func(w io.Writer) { a.table(w, t) }); err != nil {
					return err
				}
				if sealed > 0 {
					return errs.New(errs.Sealed, "%d of %d nodes are sealed or cannot be reached", sealed, len(nodes)).
						WithHint("a region opens itself when vaultd starts: look at its log there")
				}
				return nil
			})
		})
	return a.group("unseal", "Unsealing: regions open themselves at start", "", status)
}

type regionView struct {
	ID       uint32   `json:"id"`
	Name     string   `json:"name"`
	Status   string   `json:"status"`
	Healthy  bool     `json:"healthy"`
	Muted    bool     `json:"muted"`
	ServerID string   `json:"server_id"`
	Raft     string   `json:"raft"`
	API      string   `json:"api"`
	Gossip   string   `json:"gossip"`
	HSM      string   `json:"hsm"`
	Curves   []string `json:"curves"`
	Identity string   `json:"identity"`
	Former   []string `json:"former_identities,omitempty"` // of HSMs it had before
	Session  string   `json:"session,omitempty"`
	Boot     string   `json:"boot,omitempty"`
	Seen     string   `json:"seen,omitempty"`
	Since    uint64   `json:"since_index,omitempty"`
}

func viewRegion(r *tetradv1.Region) regionView {
	v := regionView{ID: r.Id, Name: r.Name, Status: r.Status, Healthy: r.Healthy, Muted: r.Muted, ServerID: r.ServerId, Raft: r.RaftAddr, API: r.ApiAddr,
		Gossip: r.GossipAddr, HSM: r.Hsm, Session: hexOf(r.Session), Boot: hexOf(r.Boot), Seen: r.Seen, Since: r.Since, Curves: []string{}}
	for _, c := range r.Curves {
		v.Curves = append(v.Curves, command.Curve(c).String())
	}
	for _, fp := range r.Former {
		v.Former = append(v.Former, hexOf(fp))
	}
	if k, err := identity.DecodePublicKey(r.Identity); err == nil {
		v.Identity = k.Fingerprint().String()
	}
	return v
}

func (a *app) regionCmd() *cobra.Command {
	list := a.leaf("list", "List the regions", "", noArgs, func(ctx context.Context, _ []string) error {
		return a.regions(ctx, "", func(rs []regionView) error {
			return a.print(rs, func(w io.Writer) {
				t := &table{head: []string{"ID", "NAME", "STATUS", "HEALTHY", "MUTED", "SEEN", "SERVER ID", "API", "CURVES", "HSM"}}
				for _, r := range rs {
					t.add(itoa(uint64(r.ID)), r.Name, r.Status, yesNo(r.Healthy), yesNo(r.Muted), r.Seen, r.ServerID, r.API, strings.Join(r.Curves, ","), r.HSM)
				}
				a.table(w, t)
			})
		})
	})
	show := a.leaf("show REGION", "Show one region", "", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.regions(ctx, args[0], func(rs []regionView) error {
			r := rs[0]
			return a.print(r, func(w io.Writer) {
				a.pairs(w, "name", r.Name, "id", itoa(uint64(r.ID)), "status", r.Status, "healthy", yesNo(r.Healthy), "muted", yesNo(r.Muted), "server id", r.ServerID,
					"raft", r.Raft, "api", r.API, "gossip", r.Gossip, "hsm", r.HSM, "curves", strings.Join(r.Curves, ", "),
					"identity", r.Identity, "identities before", strings.Join(r.Former, ", "), "session", r.Session, "boot", r.Boot, "seen", r.Seen)
			})
		})
	})
	return a.group("region", "Members of the cluster", "", list, show, a.regionReplace(), a.regionWelcome(),
		a.regionStop(), a.regionLiftStop(), a.regionFreeze(), a.regionMute(), a.regionUnmute(), a.regionQuarantine(), a.regionRelease(),
		a.regionRepair(), a.evidenceCmd())
}

func (a *app) regions(ctx context.Context, only string, do func([]regionView) error) error {
	return a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		s, err := v.Status(ctx)
		if err != nil {
			return advise(err)
		}
		var out []regionView
		for _, r := range s.Regions {
			if only == "" || r.Name == only || itoa(uint64(r.Id)) == only {
				out = append(out, viewRegion(r))
			}
		}
		if only != "" && len(out) == 0 {
			return errs.New(errs.NotFound, "no region %q", only).WithHint("vaultctl region list shows them")
		}
		return do(out)
	})
}

func (a *app) versionCmd() *cobra.Command {
	return a.leaf("version", "Print the version", "", noArgs, func(context.Context, []string) error {
		return a.print(map[string]string{"version": version.Version}, func(w io.Writer) { fmt.Fprintf(w, "vaultctl %s\n", version.Version) })
	})
}
