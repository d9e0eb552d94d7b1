package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestFreezeOfAPath: every way to write a path becomes the one command, and an unfreezing
// one the approver reads.
func TestFreezeOfAPath(t *testing.T) {
	s := newStage(t)
	s.key(1, "btc", command.Secp256k1)
	var got []uint32
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		body, err := c.Body()
		if b, ok := body.(*command.FreezePath); err == nil && ok && b.Reason == "stolen" && b.Key == (command.KeyID{1}) {
			got = b.Path
		}
		return s.c.State.Decide(c)
	})
	for text, want := range map[string][]uint32{"m/0/5": {0, 5}, "0/5": {0, 5}, "m/1/*": {1}, "1/*": {1}, "7": {7}, "m/0/1/2/3/4/5/6/7": {0, 1, 2, 3, 4, 5, 6, 7}} {
		got = nil
		s.run(context.Background(), "freeze", "btc", "--tenant", "acme", "--path", text, "--reason", "stolen", "--no-ack")
		if !slices.Equal(got, want) {
			t.Errorf("%q became %v, want %v", text, got, want)
		}
	}
	out := s.ok("unfreeze", "btc", "--tenant", "acme", "--path", "0/5", "--reason", "found", "--propose-to", s.path("u.cmd"))
	if !strings.Contains(out, "m/0/5") || !strings.Contains(out, "unfreeze-path") {
		t.Errorf("the second administrator reads\n%s", out)
	}
	s.fails(errs.ExitUsage, "whole key", "freeze", "btc", "--tenant", "acme", "--path", "m/*", "--reason", "r")
}

// TestFrozenPathsShown: in key show and key list, in JSON, and counted in status.
func TestFrozenPathsShown(t *testing.T) {
	s := newStage(t)
	s.key(1, "btc", command.Secp256k1)
	by := identity.Fingerprint{7, 7}
	k, _ := s.c.State.Key(command.KeyID{1})
	n := *k
	n.FrozenPaths = []fsm.FrozenPath{{Path: []uint32{0, 5}, By: by, Reason: "stolen"}, {Path: []uint32{1}}}
	s.c.State.PutKey(n)
	var v signingKeyView
	s.json(&v, "key", "show", "btc", "--tenant", "acme")
	if len(v.Frozen) != 2 || v.Frozen[0] != (frozenView{"m/0/5", by.String(), "stolen"}) || v.Frozen[1].Path != "m/1" || v.State != "active" {
		t.Errorf("%+v", v.Frozen)
	}
	for _, c := range []struct{ args, want string }{
		{"key show btc --tenant acme", "m/0/5 and all below it, by "},
		{"key list", "active, 2 frozen below"},
		{"status", "children of threshold keys are frozen: 2"},
	} {
		if out := s.ok(strings.Fields(c.args)...); !strings.Contains(out, c.want) {
			t.Errorf("%s does not say %q:\n%s", c.args, c.want, out)
		}
	}
}
