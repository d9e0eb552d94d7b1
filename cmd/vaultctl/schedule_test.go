package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestRefreshStatus shows the schedule, and the keys that did not come along.
func TestRefreshStatus(t *testing.T) {
	s := newStage(t)
	ed := s.key(1, "ed", command.Ed25519)
	s.key(2, "btc", command.Secp256k1)
	if out := s.ok("key", "refresh", "--status"); !strings.Contains(out, "only when asked for") {
		t.Errorf("%s", out)
	}
	if out := s.ok("status"); strings.Contains(out, "refreshed every") {
		t.Errorf("%s", out)
	}
	set := s.c.State.Settings()
	set.RefreshEvery = 30 * 24 * time.Hour
	s.c.State.Configure(set)
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sched := fsm.Schedule{Every: set.RefreshEvery, Since: since, Due: since.Add(set.RefreshEvery)}
	s.c.State.PutSchedule(sched)
	if out := s.ok("key", "refresh", "--status"); !strings.Contains(out, "none since the schedule was set") || !strings.Contains(out, "30d") {
		t.Errorf("%s", out)
	}
	s.c.State.PutKey(row(1, "ed", command.Ed25519, ed, 5))
	sched.Last = since
	sched.Index, sched.Wrap, sched.Lagging, sched.Retries, sched.Retry = 77, 5, 1, 2, since.Add(6*time.Hour)
	s.c.State.PutSchedule(sched)
	var v refreshView
	s.json(&v, "key", "refresh", "--status")
	if v.Every != "30d" || v.Index != 77 || v.Asked || v.Lagging != 1 || v.Retries != 2 || !strings.HasPrefix(v.Next, "2026-03-31T12:00:00") || !strings.HasPrefix(v.Last, "2026-03-01T12:00:00") ||
		len(v.Keys) != 1 || v.Keys[0] != (laggingView{Name: "btc", Tenant: "acme", Wrap: 1}) {
		t.Errorf("%+v", v)
	}
	for _, args := range [][]string{{"key", "refresh", "--status"}, {"status"}} {
		out := s.ok(args...)
		for _, want := range []string{"2026-03-31", "2026-03-01", "30d"} {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in\n%s", args, want, out)
			}
		}
	}
	if out := s.ok("status"); !strings.Contains(out, "1 sharings still lie under an old wrapping epoch") {
		t.Errorf("%s", out)
	}
	sched.Wrap, sched.Lagging = 0, 0
	s.c.State.PutSchedule(sched)
	if out := s.ok("status"); !strings.Contains(out, "no room for another wrapping epoch") {
		t.Errorf("%s", out)
	}
}

// TestConfigureKeepsTheRest: a command replaces all settings, so what no flag names is sent
// as it stands.
func TestConfigureKeepsTheRest(t *testing.T) {
	s := newStage(t)
	set := command.Settings{MaxSkew: 2 * time.Second, RequestMaxAge: time.Minute, MaxOpen: 10, EscrowDelay: time.Hour, RefreshEvery: 48 * time.Hour, Import: true}
	s.c.State.Configure(set)
	for _, c := range []struct {
		args []string
		want func(*command.Settings)
	}{
		{[]string{"--refresh-every", "12h"}, func(s *command.Settings) { s.RefreshEvery = 12 * time.Hour }},
		{[]string{"--refresh-every", "off"}, func(s *command.Settings) { s.RefreshEvery = 0 }},
		{[]string{"--import", "off"}, func(s *command.Settings) { s.Import = false }},
		{[]string{"--max-open", "11", "--escrow-delay", "off"}, func(s *command.Settings) { s.MaxOpen, s.EscrowDelay = 11, 0 }},
	} {
		var got command.Settings
		s.onSubmit(func(_ context.Context, cmd *command.Command) (fsm.Outcome, error) {
			body, err := cmd.Body()
			if err == nil {
				got = body.(*command.Configure).Settings
			}
			return s.c.State.Decide(cmd)
		})
		s.ok(append([]string{"configure", "--no-ack", "--cosign-key", s.path("bob.key")}, c.args...)...)
		want := set
		if c.want(&want); got != want {
			t.Errorf("%v: sent %+v, want %+v", c.args, got, want)
		}
	}
}

// TestAuditTellsOfWrongAnswers: why a further attempt was opened is told with its leaf.
func TestAuditTellsOfWrongAnswers(t *testing.T) {
	s := newStage(t)
	k := fsmtest.New()
	c := k.Command(&command.OpenAttempt{Request: command.RequestID{4}, Attempt: 2, Words: [][]byte{
		k.Word(2, command.Word{Kind: command.WordWrong, About: 3, Request: command.RequestID{4}, Attempt: 1, At: k.Start, Answer: [32]byte{0xab, 0xcd}}),
		k.Word(4, command.Word{Kind: command.WordRefused, About: 4, Request: command.RequestID{4}, Attempt: 1, At: k.Start})}}, k.Start.Add(time.Minute), k.Region(1).Session)
	s.c.State.AddLeaf(audit.Leaf{Meta: command.Meta{Index: 9}, Command: c.Commitment(), Fields: c.Fields, Code: errs.OK, Effect: (&audit.Effect{}).Encode()})
	out := s.ok("audit", "log")
	for _, want := range []string{"region 2 says that region 3 answered wrongly (answer abcd0000", "region 4 says that it refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
}

// TestAuditTellsOfTheSchedule: what no command began is told with the one it came before.
func TestAuditTellsOfTheSchedule(t *testing.T) {
	s := newStage(t)
	e := audit.Effect{Schedule: &audit.ScheduledRefresh{Wrap: 7, Retry: 2}}
	s.c.State.AddLeaf(audit.Leaf{Meta: command.Meta{Index: 9}, Command: command.Commitment{Format: command.Format, Type: command.TypeTick}, Code: errs.OK, Effect: e.Encode()})
	if out := s.ok("audit", "log"); !strings.Contains(out, "refresh of all threshold keys by schedule, under wrapping epoch 7, repetition 2") {
		t.Errorf("%s", out)
	}
}
