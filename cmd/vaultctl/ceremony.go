package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var stepNames = map[tetradv1.CeremonyStep]string{1: "wrap", 2: "hash", 3: "deal", 4: "shares", 5: "finish", 6: "failed"}

// stepWork says what a step waits for.
var stepWork = map[tetradv1.CeremonyStep]string{
	1: "wrapping keys in the HSMs", 2: "commitments to what is dealt", 3: "what was committed to",
	4: "sealed values for the others", 5: "everything verified, shares sealed"}

type faultView struct {
	Try    uint32   `json:"try"`
	Step   string   `json:"step"`
	Region string   `json:"region,omitempty"`
	By     []string `json:"by,omitempty"` // none: time ran out
	Note   string   `json:"note,omitempty"`
}

// String says it in one line.
func (f faultView) String() string {
	who, why := f.Region, "was not there in time"
	if who == "" {
		who = "nobody can tell who"
	}
	if len(f.By) > 0 {
		why = "accused by " + strings.Join(f.By, ", ")
	}
	if f.Note != "" {
		why += ": " + f.Note
	}
	return fmt.Sprintf("try %d, step %s: %s, %s", f.Try, f.Step, who, why)
}

type ceremonyView struct {
	Epoch    uint32      `json:"epoch"`
	Try      uint32      `json:"try"`
	Step     string      `json:"step"`
	Deadline string      `json:"deadline,omitempty"`
	Wrap     uint32      `json:"wrap_epoch"`
	Dealers  []string    `json:"dealers"`
	Holders  []string    `json:"holders"`
	Missing  []string    `json:"missing"`
	Faults   []faultView `json:"faults"`
	Suspects []string    `json:"suspects"`
	Author   string      `json:"author,omitempty"`
}

func (v *vault) names(ids []uint32) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, regionName(v.genesis, identity.RegionID(id)))
	}
	return out
}

func (v *vault) viewCeremony(c *client.Ceremony) *ceremonyView {
	if c == nil {
		return nil
	}
	out := &ceremonyView{Epoch: c.Epoch, Try: c.Try, Step: stepNames[c.Step], Deadline: iso(c.Deadline), Wrap: c.WrapEpoch, Author: hexOf(c.Author),
		Dealers: v.names(c.Dealers), Holders: v.names(c.Holders), Missing: v.names(c.Missing), Faults: []faultView{}, Suspects: v.names(c.Suspects)}
	for _, f := range c.Faults {
		fv := faultView{Try: f.Try, Step: stepNames[f.Step], By: v.names(f.By), Note: f.Note}
		if f.Region != 0 {
			fv.Region = regionName(v.genesis, identity.RegionID(f.Region))
		}
		out.Faults = append(out.Faults, fv)
	}
	return out
}

// line says where the ceremony stands.
func (c *ceremonyView) line() string {
	if c.Step == "failed" {
		return fmt.Sprintf("failed after try %d", c.Try)
	}
	s := fmt.Sprintf("try %d, step %s", c.Try, c.Step)
	if len(c.Missing) > 0 {
		s += ", waiting for " + strings.Join(c.Missing, ", ")
	}
	return s
}

// suspected says whom the faults point at; empty if at nobody. Two of them dispute, and
// nobody else can tell which of them lies.
func (c *ceremonyView) suspected() string {
	return strings.Join(c.Suspects, " or ")
}

// mark is what a key was before the ceremony that is waited for.
type mark struct {
	epoch, failed, try uint32
	ofAll              bool // a refresh of all begins it, or passes the key by
}

func markOf(k *client.Key) (m mark) {
	m.epoch = k.GetSharing().GetEpoch()
	if c := k.GetCeremony(); c.GetStep() == tetradv1.CeremonyStep_CEREMONY_STEP_FAILED {
		m.failed, m.try = c.Epoch, c.Try
	}
	return m
}

// failed reports whether the key's ceremony failed since.
func (m mark) failedSince(k *client.Key) bool {
	now := markOf(k)
	return now.failed != 0 && (now.failed != m.failed || now.try != m.try)
}

// awaitSharing shows how a sharing is made until it is live, or says who is to blame.
func (a *app) awaitSharing(ctx context.Context, v *vault, id command.KeyID, before mark) (*client.Key, error) {
	shown, faults := "", 0
	for k, err := range v.WatchKey(ctx, id, func(*client.Key) bool { return true }) {
		if err != nil {
			return nil, advise(err)
		}
		c := v.viewCeremony(k.Ceremony)
		switch {
		case before.failedSince(k):
			return k, v.spoilt(k, c)
		case k.State == tetradv1.KeyState_KEY_STATE_RETIRED && k.Outside && k.Sharing == nil:
			return k, errs.New(errs.BadState, "key %s: %s", k.Name, k.Reason)
		case k.State == tetradv1.KeyState_KEY_STATE_RETIRED:
			return k, errs.New(errs.BadState, "key %s was retired meanwhile", k.Name)
		case k.GetSharing().GetEpoch() > before.epoch:
			a.progress("key %s: epoch %d is live, held by %s", k.Name, k.Sharing.Epoch, strings.Join(v.names(k.Sharing.Holders), ", "))
			return k, nil
		case c != nil && c.Step != "failed":
		case before.ofAll && !k.RefreshAwaited:
			return k, passedBy(k)
		default: // not begun
			continue
		}
		for ; faults < len(c.Faults); faults++ {
			a.progress("key %s: failed, %s", k.Name, c.Faults[faults])
		}
		if line := c.line(); line != shown {
			a.progress("key %s: %s (%s)", k.Name, line, stepWork[k.Ceremony.Step])
			shown = line
		}
	}
	return nil, errs.New(errs.Internal, "key %s: watching ended", id)
}

// passedBy says why a refresh of all left a key as it was.
func passedBy(k *client.Key) error {
	why := "nothing is in the way of it any more"
	if k.RefreshHindrance != "" {
		why = k.RefreshHindrance
	}
	return errs.New(errs.BadState, "key %s was passed by and lies under epoch %d as before: %s", k.Name, k.GetSharing().GetEpoch(), why).
		WithHint("when that is mended: vaultctl key refresh %s; or let other regions hold it: vaultctl key reshare", k.Name)
}

// spoilt says why a key was not made.
func (v *vault) spoilt(k *client.Key, c *ceremonyView) error {
	var why []string
	for _, f := range c.Faults {
		why = append(why, f.String())
	}
	what := "goes on under epoch " + itoa(uint64(k.GetSharing().GetEpoch()))
	again := "vaultctl key refresh " + k.Name
	if command.Scheme(k.Scheme) == command.SchemeBeacon {
		again = "vaultctl beacon refresh"
	}
	hint := again + " tries again; vaultctl status and the blamed region's log tell more"
	if s := c.suspected(); s != "" {
		hint = "it was " + s + ", if only one region is at fault; " + hint
	}
	if k.Sharing == nil {
		what = "was not made"
	}
	return errs.New(errs.BadState, "key %s %s: the ceremony failed: %s", k.Name, what, strings.Join(why, "; ")).WithHint("%s", hint)
}
