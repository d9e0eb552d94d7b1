// Package ceremonytest founds clusters in memory: four sites with software HSMs and
// disks of their own, two administrators and three officers. For the ceremony's own
// tests, and for every test that needs a founded cluster to start from.
package ceremonytest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// Names of the regions.
var names = [ceremony.Regions]string{"north", "east", "south", "west"}

// Options of a lab. The zero value is fine.
type Options struct {
	Address func(region, service string) string // default: names below .test
	Devices []*sealtest.Device                  // default: one of each kind of token
	HSM     func(region int) ceremony.HSM       // instead of devices: real tokens
	Disk    func(region int) durable.FS         // default: durabletest
	Created time.Time                           // of the plan; default: a day in 2026
}

// Lab is everything and everyone a founding needs.
type Lab struct {
	PlanText string
	Plan     *ceremony.Plan
	Sites    [ceremony.Regions]*Site
	Admins   [2]*identity.KeySigner
	Officers [3]*age.X25519Identity
}

// Site is one region's.
type Site struct {
	*ceremony.Site
	Device *sealtest.Device
	Disk   durable.FS
}

// New prepares a founding; nothing has been enrolled yet. HSMs are closed at the end
// of the test.
func New(tb testing.TB, o Options) *Lab {
	tb.Helper()
	l := &Lab{}
	l.people(tb)
	l.PlanText = l.plan(o)
	var err error
	if l.Plan, err = ceremony.ParsePlan("plan.hcl", []byte(l.PlanText)); err != nil {
		tb.Fatal(err)
	}
	for i := range l.Sites {
		var dev *sealtest.Device
		var hsm ceremony.HSM
		switch {
		case o.HSM != nil:
			hsm = o.HSM(i)
		case i < len(o.Devices):
			dev = o.Devices[i]
		default:
			dev = sealtest.New(sealtest.Options{Seed: uint64(i + 1), Hashes: hashes(i)})
		}
		if hsm == nil {
			hsm = OpenHSM(tb, dev)
		}
		var disk durable.FS = durabletest.New()
		if o.Disk != nil {
			disk = o.Disk(i)
		}
		l.Sites[i] = &Site{Site: &ceremony.Site{Plan: l.Plan, Region: l.Plan.Regions[i], HSM: hsm, FS: disk}, Device: dev, Disk: disk}
	}
	return l
}

// hashes makes two of the four HSMs know only SHA-1, as some do.
func hashes(i int) []seal.Hash {
	if i%2 == 0 {
		return []seal.Hash{seal.SHA1}
	}
	return []seal.Hash{seal.SHA1, seal.SHA256}
}

// OpenHSM opens a device until the test ends.
func OpenHSM(tb testing.TB, d *sealtest.Device) *seal.HSM {
	tb.Helper()
	h, err := d.OpenHSM(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close(context.Background()) })
	return h
}

func (l *Lab) people(tb testing.TB) {
	tb.Helper()
	for i := range l.Admins {
		l.Admins[i] = identity.GenerateEd25519()
	}
	for i := range l.Officers {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			tb.Fatal(err)
		}
		l.Officers[i] = id
	}
}

func (l *Lab) plan(o Options) string {
	addr := o.Address
	if addr == nil {
		ports := map[string]int{"raft": 7201, "api": 7202, "gossip": 7203}
		addr = func(region, service string) string { return fmt.Sprintf("%s.test:%d", region, ports[service]) }
	}
	if o.Created.IsZero() {
		o.Created = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster = \"lab\"\nid = \"000102030405060708090a0b0c0d0e0f\"\ncreated = %q\n", o.Created.UTC().Format(time.RFC3339))
	for _, n := range names {
		fmt.Fprintf(&b, "region %q {\n  raft = %q\n  api = %q\n  gossip = %q\n}\n", n, addr(n, "raft"), addr(n, "api"), addr(n, "gossip"))
	}
	for i, a := range l.Admins {
		fmt.Fprintf(&b, "administrator \"admin-%d\" {\n  key = %q\n}\n", i+1, a.Public().Text())
	}
	b.WriteString("officers {\n  threshold = 2\n  recipients = [\n")
	for _, id := range l.Officers {
		fmt.Fprintf(&b, "    %q,\n", id.Recipient().String())
	}
	b.WriteString("  ]\n}\n")
	return b.String()
}

// Enrol is round 1 at all sites.
func (l *Lab) Enrol(tb testing.TB) []*ceremony.Enrolment {
	tb.Helper()
	return each(tb, l, func(s *Site) (*ceremony.Enrolment, error) { return s.Enrol(context.Background()) })
}

// Contribute is round 2 at all sites.
func (l *Lab) Contribute(tb testing.TB, es []*ceremony.Enrolment) []*ceremony.Contribution {
	tb.Helper()
	return each(tb, l, func(s *Site) (*ceremony.Contribution, error) { return s.Contribute(context.Background(), es) })
}

// Sign is round 3 at all sites and by all administrators.
func (l *Lab) Sign(tb testing.TB, es []*ceremony.Enrolment, cs []*ceremony.Contribution) []*ceremony.Approval {
	tb.Helper()
	out := each(tb, l, func(s *Site) (*ceremony.Approval, error) { return s.Sign(context.Background(), es, cs) })
	for _, a := range l.Admins {
		approval, err := l.Plan.Approve(context.Background(), out[:1], out[0].Document.Hash(), a)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, approval)
	}
	return out
}

func each[T any](tb testing.TB, l *Lab, do func(*Site) (T, error)) []T {
	tb.Helper()
	var out []T
	for _, s := range l.Sites {
		v, err := do(s)
		if err != nil {
			tb.Fatalf("region %s: %v", s.Region.Name, err)
		}
		out = append(out, v)
	}
	return out
}

// ProveOfficers deals at the first site, proves by all officers and checks.
func (l *Lab) ProveOfficers(tb testing.TB, es []*ceremony.Enrolment, cs []*ceremony.Contribution, a *ceremony.Approval) *ceremony.OfficersProved {
	tb.Helper()
	ctx := context.Background()
	shares, err := l.Sites[0].DealOfficers(ctx, es, cs)
	if err != nil {
		tb.Fatal(err)
	}
	var proofs []*ceremony.OfficerProof
	for i, s := range shares {
		p, err := ceremony.ProveShare(s, a, a.Document.Hash(), l.Officers[i])
		if err != nil {
			tb.Fatal(err)
		}
		proofs = append(proofs, p)
	}
	proved, err := l.Sites[0].CheckOfficers(ctx, es, cs, proofs)
	if err != nil {
		tb.Fatal(err)
	}
	return proved
}

// Found holds the whole ceremony and installs every site.
func (l *Lab) Found(tb testing.TB) *ceremony.Founding {
	tb.Helper()
	es := l.Enrol(tb)
	cs := l.Contribute(tb, es)
	as := l.Sign(tb, es, cs)
	f, err := l.Plan.Finish(&ceremony.Files{Enrolments: es, Contributions: cs, Approvals: as,
		Officers: []*ceremony.OfficersProved{l.ProveOfficers(tb, es, cs, as[0])}})
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range l.Sites {
		if _, err := s.Install(context.Background(), f, false); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}
