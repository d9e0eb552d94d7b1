package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// ackView is an acknowledgement as it is shown: who confirmed under its own signature,
// and which of the two grounds it rests on.
type ackView struct {
	Acknowledged bool              `json:"acknowledged"`
	Ground       string            `json:"ground"`
	Index        uint64            `json:"index"`
	Confirmed    []string          `json:"confirmed"`
	Missing      map[string]string `json:"missing,omitempty"`
	Refused      []string          `json:"refused,omitempty"`
	Certified    uint64            `json:"certified_index,omitempty"`
	Newest       string            `json:"newest_signature,omitempty"`
	Wait         string            `json:"lease_left,omitempty"`
}

func viewAck(v *vault, a *client.Acknowledgement) *ackView {
	out := &ackView{Acknowledged: a.Ground != client.GroundNone, Ground: a.Ground.String(), Index: a.Index, Confirmed: []string{},
		Missing: map[string]string{}, Refused: a.Refused, Certified: a.Certified}
	for _, r := range a.Confirmed {
		out.Confirmed = append(out.Confirmed, regionName(v.genesis, r))
	}
	for r, why := range a.Missing {
		out.Missing[regionName(v.genesis, r)] = why
	}
	if a.Certified != 0 {
		out.Newest = a.Newest.UTC().Format(time.RFC3339Nano)
	}
	if a.Wait > 0 {
		out.Wait = a.Wait.Round(time.Millisecond).String()
	}
	return out
}

func (k *ackView) write(a *app, w io.Writer) {
	switch k.Ground {
	case client.GroundEveryRegion.String():
		fmt.Fprintf(w, "%s: every region confirmed it: %s\n", a.paint(green, "acknowledged"), strings.Join(k.Confirmed, ", "))
	case client.GroundLease.String():
		fmt.Fprintf(w, "%s: certified at index %d, and every older lease has run out; confirmed by %s\n",
			a.paint(green, "acknowledged"), k.Certified, strings.Join(k.Confirmed, ", "))
	default:
		fmt.Fprintf(w, "%s; confirmed by %s\n", a.paint(red, "not acknowledged"), orNone(k.Confirmed))
	}
	for _, name := range sortedKeys(k.Missing) {
		fmt.Fprintf(w, "  no word of %s: %s\n", name, k.Missing[name])
	}
	for _, why := range k.Refused {
		fmt.Fprintf(w, "  %s %s\n", a.paint(yellow, "refused:"), why)
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// acknowledge waits until nothing can be signed against cmd any more, telling who
// confirmed as it comes. What it learnt comes back beside an error too.
func (a *app) acknowledge(ctx context.Context, v *vault, cmd *command.Command) (*ackView, error) {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	seen, waits := 0, false
	got, err := v.Acknowledge(ctx, cmd, func(k *client.Acknowledgement) {
		if n := len(k.Confirmed); n != seen {
			a.progress("confirmed by %d of %d regions", n, len(v.genesis.Document.Regions))
			seen = n
		}
		if k.Certified != 0 && k.Ground == client.GroundNone && !waits {
			a.progress("certified at index %d (newest signature %s), waiting %s for the lease to run out", k.Certified,
				k.Newest.UTC().Format(time.RFC3339Nano), k.Wait.Round(time.Millisecond))
			waits = true
		}
	})
	if got == nil {
		return nil, err
	}
	return viewAck(v, got), err
}

// restricts reports whether a command takes rights away, so that its sender waits until
// that holds everywhere. A principal that is put may gain or lose them.
func (a *app) restricts(ctx context.Context, v *vault, cmd *command.Command) bool {
	if a.noAck || !cmd.Type.Restricts() {
		return false
	}
	body, err := cmd.Body()
	if q, ok := body.(*command.QuarantineRegion); ok {
		return q.Quarantined
	}
	put, ok := body.(*command.PutPrincipal)
	if err != nil || !ok {
		return true
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	id := put.Key.Fingerprint()
	for p, err := range v.Principals(ctx, put.Tenant) {
		if err != nil {
			return true
		}
		if identity.Fingerprint(p.Id) == id && len(p.Id) == len(id) {
			return command.Role(p.Roles)&^put.Roles != 0
		}
	}
	return false
}
