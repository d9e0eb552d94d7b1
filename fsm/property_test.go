package fsm_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// player makes random commands, sensible and not, against a log.
type player struct {
	*rapid.T
	l       *fsmtest.Log
	signers []*identity.KeySigner
	keys    []command.KeyID
	past    []*command.Command
	names   int

	enrolled []*fsmtest.Region // as they are once a command about them is carried out
}

func pick[T any](p *player, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(p.T, "pick")]
}

func (p *player) region() *fsmtest.Region {
	p.arrive()
	return pick(p, p.l.Regions)
}

// arrive makes those regions the kit's that were enrolled with another HSM.
func (p *player) arrive() {
	for _, r := range p.enrolled {
		if is := regionOf(p.l, r.ID); is.Identity.Equal(r.Identity.Public()) && p.l.Region(r.ID) != r {
			p.l.Regions[r.ID-1] = r
		}
	}
}

// reenrol is an enrolment with another HSM, mostly of a region that is away.
func (p *player) reenrol() *command.Command {
	r := p.region()
	for _, o := range p.l.Machine.View().Regions() {
		if !o.Healthy && rapid.IntRange(0, 9).Draw(p.T, "any") > 0 {
			r = p.l.Region(o.ID)
		}
	}
	b, next := p.l.Enrol(r)
	p.enrolled = append(p.enrolled, next)
	if rapid.IntRange(0, 9).Draw(p.T, "meant") == 0 {
		b.Replaces = p.region().Identity.Public().Fingerprint()
	}
	return p.admin(b)
}

func (p *player) key() command.KeyID {
	if len(p.keys) == 0 || rapid.IntRange(0, 9).Draw(p.T, "foreign key") == 0 {
		return command.KeyID{1}
	}
	return pick(p, p.keys)
}

// admin signs alone or with the other.
func (p *player) admin(b command.Body) *command.Command {
	if rapid.IntRange(0, 3).Draw(p.T, "alone") == 0 {
		return p.l.By(p.l.Admins[0], b)
	}
	return p.l.Dual(b)
}

func (p *player) name() string {
	p.names++
	return pick(p, []string{"acme", "hot", fmt.Sprint("n", p.names), "..", "Bad"})
}

func (p *player) command() *command.Command {
	l := p.l
	switch rapid.IntRange(0, 23).Draw(p.T, "command") {
	case 0:
		return p.admin(&command.CreateTenant{Name: p.name()})
	case 1:
		s := l.Signer(p.name())
		p.signers = append(p.signers, s)
		return p.admin(&command.PutPrincipal{Name: p.name(), Tenant: pick(p, []string{"acme", "", "nobody"}), Key: s.Public(),
			Roles: pick(p, []command.Role{command.RoleSigner, command.RoleAdmin, command.RoleAuditor})})
	case 2:
		return p.admin(&command.RemovePrincipal{Principal: pick(p, p.signers).Public().Fingerprint()})
	case 3:
		c := p.admin(&command.CreateKey{Name: p.name(), Tenant: "acme", Scheme: command.SchemeMultisig,
			Curve: pick(p, []command.Curve{1, 2, 3, 4}), Signers: 2, AllowBlind: rapid.Bool().Draw(p.T, "blind")})
		p.keys = append(p.keys, command.KeyIDOf(c.Principal, c.ID))
		return c
	case 4:
		return p.admin(&command.UnfreezeKey{Key: p.key()})
	case 5:
		return p.admin(&command.FreezeKey{Key: p.key(), Reason: "why"})
	case 6:
		return p.admin(pick(p, []command.Body{&command.FreezeVault{}, &command.UnfreezeVault{}}))
	case 7:
		return l.Attest(p.region(), p.key(), command.P256)
	case 8:
		id := p.key()
		b := &command.ConfirmKey{Key: id}
		if k, ok := l.Machine.View().Key(id); ok {
			b.Attestations = fsm.AttestationsHash(k)
		}
		return l.By(p.region().Session, b)
	case 9:
		return l.By(p.region().Session, &command.ReportHealth{Region: p.region().ID, Healthy: rapid.Bool().Draw(p.T, "healthy")})
	case 10:
		r := p.region()
		l.NewSession(r, l.Now)
		return l.Register(r)
	case 11:
		return p.attempt()
	case 12, 13:
		return p.complete()
	case 14:
		if len(p.past) > 0 {
			return pick(p, p.past)
		}
	case 16, 17, 18:
		return p.control()
	case 15:
		c := l.By(pick(p, p.signers), fsmtest.Digest(p.key(), [32]byte{}))
		c.Signatures[0].Sig[0] ^= 1
		return c
	}
	return l.Command(fsmtest.Digest(p.key(), [32]byte{3}), l.Now.Add(time.Duration(rapid.IntRange(-1, 700).Draw(p.T, "life"))*time.Second), pick(p, p.signers))
}

// control is what administrators decide about regions and the clock, or a region's brake.
func (p *player) control() *command.Command {
	l, r, on := p.l, p.region(), rapid.Bool().Draw(p.T, "on")
	clock := l.Machine.View().Clock()
	to := clock.Add(-time.Duration(rapid.IntRange(-5, 900).Draw(p.T, "back")) * time.Second)
	word := func(by identity.RegionID) []byte { return l.ClockWord(by, command.ClockWord{Clock: clock, At: to}) }
	switch rapid.IntRange(0, 9).Draw(p.T, "control") {
	case 8, 9:
		return p.reenrol()
	case 0:
		return p.admin(&command.QuarantineRegion{Region: r.ID, Quarantined: on})
	case 1:
		return p.admin(&command.MuteRegion{Region: r.ID, Muted: on})
	case 2:
		return p.admin(&command.LiftStop{Region: r.ID, Stop: command.StopID{byte(p.names)}})
	case 3:
		return p.admin(&command.RepairRegion{Region: r.ID, Keep: uint64(p.names)})
	case 4:
		return l.By(r.Session, &command.RegionFreeze{Key: pick(p, []command.KeyID{{}, p.key()})})
	case 5:
		return p.admin(&command.LimitKey{Key: p.key(), Requests: uint32(p.names % 3), Window: time.Duration(p.names%3) * time.Minute})
	case 6:
		return p.refund()
	}
	body := &command.RepairClock{To: to, Words: [][]byte{word(1), word(2)}}
	return l.Command(body, to.Add(time.Minute), l.Admins[0], l.Admins[1])
}

// refund asks for a charge back, on words that may be too few.
func (p *player) refund() *command.Command {
	all := p.l.Machine.View().Requests("", command.RequestID{}, 50)
	if len(all) == 0 {
		return refund(p.l, 1, command.RequestID{1})
	}
	q := pick(p, all)
	return refund(p.l, p.region().ID, q.ID, nothings(p.l, q.ID, pick(p, [][]identity.RegionID{{1, 2, 3, 4}, {1, 2, 3}})...)...)
}

func (p *player) open() *fsm.Request {
	open := p.l.Machine.View().OpenRequests()
	if len(open) == 0 {
		return &fsm.Request{Attempts: []fsm.Attempt{{Number: 1}}}
	}
	return pick(p, open)
}

func (p *player) attempt() *command.Command {
	q, about := p.open(), p.region().ID
	last := q.Attempts[len(q.Attempts)-1].Number
	w := command.Word{Kind: command.WordRefused, About: about, Request: q.ID, Attempt: last, At: p.l.Now}
	return p.l.By(p.region().Session, &command.OpenAttempt{Request: q.ID, Attempt: last + 1, Words: [][]byte{p.l.Word(about, w)}})
}

// other is mostly a region that did not sign: signatures here are fake, and what an author
// signed itself is verified.
func (p *player) other(signers []identity.RegionID) *fsmtest.Region {
	r := p.region()
	for range p.l.Regions {
		if !slices.Contains(signers, r.ID) || rapid.IntRange(0, 9).Draw(p.T, "drawn author") == 0 {
			break
		}
		r = p.region()
	}
	return r
}

func (p *player) complete() *command.Command {
	var ids []command.RequestID
	if open := p.l.Machine.View().OpenRequests(); len(open) > 0 {
		at := open[0].Open().Meta.Index
		for _, q := range open {
			if q.Open().Meta.Index == at {
				ids = append(ids, q.ID)
			}
		}
	}
	pair := pick(p, [][]identity.RegionID{{1, 2}, {4, 3}, {2, 3}, {1, 1}, {1}})
	return p.l.Completion(p.other(pair), [32]byte{7}, pair, ids...)
}

// history plays a random game and returns its log and what the first machine made of it.
func history(t *rapid.T, v *fsm.Verifier) (*fsmtest.Log, []fsm.Result) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{Verify: v.Verify})
	p := &player{T: t, l: l, signers: []*identity.KeySigner{signer, l.Admins[1]}, keys: []command.KeyID{key}}
	replay, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
	if err != nil {
		t.Fatal(err)
	}
	results := replay.Apply(l.Inputs)
	for range rapid.IntRange(1, 25).Draw(t, "entries") {
		l.Now = l.Now.Add(time.Duration(rapid.SampledFrom([]int{-2, 0, 1, 1, 20, 300, 300, 90000}).Draw(t, "seconds")) * time.Second)
		var commands []*command.Command
		for range rapid.IntRange(0, 6).Draw(t, "commands") {
			commands = append(commands, p.command())
		}
		p.past = append(p.past, commands...)
		results = append(results, l.Apply(commands...))
	}
	return l, results
}

// TestReplicasAgree plays random histories and applies them again in other batches, with
// snapshots, restores and repeated entries in between: same outcomes, leaves, digest.
func TestReplicasAgree(t *testing.T) {
	fewerHistories(t)
	v := fsm.NewVerifier(1 << 14)
	rapid.Check(t, func(t *rapid.T) {
		l, want := history(t, v)
		m, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
		if err != nil {
			t.Fatal(err)
		}
		var got []fsm.Result
		for rest := l.Inputs; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			got = append(got, m.Apply(rest[:n])...)
			if rapid.Bool().Draw(t, "again") {
				for _, r := range m.Apply(rest[:n]) {
					if len(r.Leaves) != 0 || len(r.Opened) != 0 {
						t.Fatal("an entry was applied twice")
					}
				}
			}
			if rapid.Bool().Draw(t, "restore") {
				m = restored(t, l, m, v)
			}
			rest = rest[n:]
		}
		compare(t, l, m, want, got)
	})
}

func restored(t *rapid.T, l *fsmtest.Log, m *fsm.Machine, v *fsm.Verifier) *fsm.Machine {
	var buf bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	n, err := fsm.New(l.Genesis, fsm.Options{Verify: v.Verify})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	return n
}

func compare(t *rapid.T, l *fsmtest.Log, m *fsm.Machine, want, got []fsm.Result) {
	a, b := l.Machine.View(), m.View()
	if a.Digest() != b.Digest() {
		t.Fatal("state digests differ")
	}
	fa, fb := a.Frontier(), b.Frontier()
	if fa.Root() != fb.Root() {
		t.Fatal("audit roots differ")
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatal("results differ")
	}
	var f audit.Frontier
	g := m.GenesisLeaf()
	f.Append(g.Hash())
	for _, r := range got {
		if len(r.Leaves) != len(r.Outcomes) {
			t.Fatalf("%d leaves for %d commands", len(r.Leaves), len(r.Outcomes))
		}
		for i := range r.Leaves {
			if r.Leaves[i].Seq != f.Size() {
				t.Fatal("leaves are not numbered in order")
			}
			f.Append(r.Leaves[i].Hash())
		}
	}
	if f.Root() != fb.Root() {
		t.Fatal("the leaves do not make the audit root")
	}
	once(t, got)
}

// once checks DESIGN's first invariant as far as Apply goes: a request ends once.
func once(t *rapid.T, results []fsm.Result) {
	ended := map[command.RequestID]bool{}
	opened := map[command.RequestID]bool{}
	for _, r := range results {
		for _, id := range r.Opened {
			opened[id] = true
			if ended[id] {
				t.Fatalf("request %s opened after its end", id)
			}
		}
		for _, list := range [][]command.RequestID{r.Completed, r.Failed, r.Expired} {
			for _, id := range list {
				if ended[id] || !opened[id] {
					t.Fatalf("request %s ended twice or was never opened", id)
				}
				ended[id] = true
			}
		}
	}
}
