package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var requestStates = map[tetradv1.RequestState]string{1: "open", 2: "complete", 3: "failed", 4: "expired"}

type attemptView struct {
	Number   uint32   `json:"number"`
	Index    uint64   `json:"index"`
	Eligible []string `json:"eligible"`
}

type requestView struct {
	ID       string          `json:"id"`
	State    string          `json:"state"`
	Tenant   string          `json:"tenant"`
	Key      string          `json:"key"`
	Kind     string          `json:"kind"`
	Hash     string          `json:"hash"`
	Note     string          `json:"note,omitempty"`
	Author   string          `json:"author"`
	Expiry   string          `json:"expiry"`
	Attempts []attemptView   `json:"attempts"`
	Path     string          `json:"path,omitempty"` // of a threshold key's child
	Results  []signatureView `json:"signed_by"`
	One      []string        `json:"signatures,omitempty"` // of a threshold key
	Value    string          `json:"beacon_value,omitempty"`
	Opened   uint64          `json:"opened_index"`
	Closed   uint64          `json:"closed_index,omitempty"`
	Leaf     uint64          `json:"audit_leaf"`

	proofView
}

func (v *vault) viewRequest(r *client.Request, proof client.Proof) requestView {
	out := requestView{ID: hexOf(r.Id), State: requestStates[r.State], Tenant: r.Tenant, Key: hexOf(r.KeyId), Kind: command.Kind(r.Kind).String(),
		Hash: command.Hash(r.Hash).String(), Note: r.Note, Author: hexOf(r.Author), Expiry: iso(r.Expiry), Value: hexOf(r.Value),
		Opened: r.OpenedIndex, Closed: r.ClosedIndex, Leaf: r.Leaf, Attempts: []attemptView{}, Results: []signatureView{}, proofView: v.proof(proof)}
	if len(r.Path) > 0 {
		out.Path = command.PathText(r.Path)
	}
	for _, sig := range r.Signatures {
		out.One = append(out.One, hexOf(sig))
	}
	for _, at := range r.Attempts {
		av := attemptView{at.Number, at.Index, []string{}}
		for _, e := range at.Eligible {
			av.Eligible = append(av.Eligible, regionName(v.genesis, identity.RegionID(e)))
		}
		out.Attempts = append(out.Attempts, av)
	}
	for _, res := range r.Results {
		sv := signatureView{Region: regionName(v.genesis, identity.RegionID(res.Region))}
		if len(r.Signatures) == 0 {
			for _, sig := range res.Signatures {
				sv.Signatures = append(sv.Signatures, hexOf(sig))
			}
		}
		out.Results = append(out.Results, sv)
	}
	return out
}

func (r requestView) pair() string {
	var names []string
	for _, s := range r.Results {
		names = append(names, s.Region)
	}
	return strings.Join(names, "+")
}

func (a *app) printRequest(v *vault, r *client.Request, proof client.Proof) error {
	q := v.viewRequest(r, proof)
	return a.print(q, func(w io.Writer) {
		a.pairs(w, "request", q.ID, "state", q.State, "tenant", q.Tenant, "key", q.Key, "path", q.Path, "kind", q.Kind, "hash", q.Hash, "note", q.Note,
			"author", q.Author, "valid until", q.Expiry, "attempts", fmt.Sprint(len(q.Attempts)), "signed by", q.pair(), "beacon value", q.Value,
			"audit leaf", itoa(q.Leaf), "certified by", q.proofView.String())
		if len(q.One) > 0 {
			fmt.Fprintln(w)
			t := &table{head: []string{"SIGNATURE"}}
			for _, sig := range q.One {
				t.add(sig)
			}
			a.table(w, t)
		} else if len(q.Results) > 0 {
			fmt.Fprintln(w)
			t := &table{head: []string{"REGION", "SIGNATURE"}}
			for _, s := range q.Results {
				for _, sig := range s.Signatures {
					t.add(s.Region, sig)
				}
			}
			a.table(w, t)
		}
	})
}

func requestID(s string) (command.RequestID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(command.RequestID{}) {
		return command.RequestID{}, usagef("%q is not a request id of 32 hex digits", s)
	}
	return command.RequestID(b), nil
}

func (a *app) requestCmd() *cobra.Command {
	var tenant string
	var wait bool
	show := a.leaf("show ID", "Show a request and its signatures", "", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := requestID(args[0])
		if err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			if !wait { // the word of the node that answers
				r, err := v.Request(ctx, id)
				if err != nil {
					return advise(err)
				}
				return a.printRequest(v, r, client.Proof{})
			}
			r, proof, err := v.AwaitProven(ctx, id)
			if err != nil {
				return advise(err)
			}
			return a.printRequest(v, r, proof)
		})
	})
	show.Flags().BoolVar(&wait, "wait", false, "until it is final")
	list := a.leaf("list", "List requests", "", noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			out := []requestView{}
			for r, err := range v.Requests(ctx, tenant) {
				if err != nil {
					return advise(err)
				}
				out = append(out, v.viewRequest(r, client.Proof{}))
			}
			return a.print(out, func(w io.Writer) {
				t := &table{head: []string{"REQUEST", "STATE", "TENANT", "KIND", "SIGNED BY", "ATTEMPTS", "LEAF", "KEY", "NOTE"}}
				for _, r := range out {
					t.add(r.ID, r.State, r.Tenant, r.Kind, r.pair(), fmt.Sprint(len(r.Attempts)), itoa(r.Leaf), r.Key[:8], r.Note)
				}
				a.table(w, t)
			})
		})
	})
	follow := a.leaf("follow", "Show requests as they change, until interrupted", `
With --output json one object a line.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			for r, err := range v.FollowRequests(ctx, tenant) {
				if err != nil {
					if ctx.Err() != nil {
						return nil // interrupted: that is how following ends
					}
					return advise(err)
				}
				if r == nil {
					a.progress("following requests")
					continue
				}
				q := v.viewRequest(r, client.Proof{})
				if err := a.line(q, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %-8s  %-8s  %s  %s\n", q.ID, a.state(q.State), q.Kind, q.pair(), q.Note)
				}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	for _, c := range []*cobra.Command{list, follow} {
		c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	}
	return a.group("request", "Signature requests", "", show, list, follow)
}
