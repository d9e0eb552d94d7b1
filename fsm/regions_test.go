package fsm_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func TestSessions(t *testing.T) {
	l := fsmtest.New().NewLog(fsm.Options{})
	r := l.Region(1)
	if g, _ := l.Machine.View().Region(1); g.Healthy || len(g.Sessions) != 0 {
		t.Fatalf("a region is healthy before its first session: %+v", g)
	}
	want(t, l, errs.Unauthenticated, l.By(r.Session, &command.Tick{}))
	res := want(t, l, errs.OK, l.Register(r))
	g, cert, ok := l.Machine.View().RegionBySession(r.Session.Public().Fingerprint())
	if !ok || g.ID != 1 || !g.Healthy || cert.Region != 1 || !res.Regions {
		t.Fatalf("after registration: %+v", g)
	}
	want(t, l, errs.OK, l.By(r.Session, &command.Tick{}))
	want(t, l, errs.Stale, l.Register(r))
	want(t, l, errs.Unverified, l.By(l.Region(2).Identity, &command.RegisterSession{Cert: r.Session.Cert.Encode()}))
	want(t, l, errs.Unauthenticated, l.By(r.Session, &command.RegisterSession{Cert: r.Session.Cert.Encode()}))
	want(t, l, errs.Malformed, l.By(r.Identity, &command.RegisterSession{Cert: []byte("cert")}))
	want(t, l, errs.Invalid, l.By(r.Identity, &command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{3, 1}}))

	old := r.Session
	l.NewSession(r, l.Now.Add(time.Hour))
	want(t, l, errs.Skewed, l.Register(r))
	for i := range fsm.MaxSessions {
		l.Now = l.Now.Add(time.Second)
		l.NewSession(r, l.Now)
		want(t, l, errs.OK, l.By(r.Identity, &command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{2}}))
		_, _, known := l.Machine.View().RegionBySession(old.Public().Fingerprint())
		if known != (i < fsm.MaxSessions-1) {
			t.Fatalf("after %d newer sessions the old one is known: %v", i+1, known)
		}
	}
	if g, _ := l.Machine.View().Region(1); len(g.Sessions) != fsm.MaxSessions || !slices.Equal(g.Curves, []command.Curve{command.P256}) {
		t.Fatalf("%+v", g)
	}
	taken, err := identity.IssueSession(t.Context(), r.Identity, l.Admins[0], identity.SessionCert{Cluster: l.Cluster(), Region: 1, ServerID: r.ServerID,
		Issued: l.Now.Add(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Invalid, l.By(r.Identity, &command.RegisterSession{Cert: taken.Encode()}))
}

// TestSeenSessionKey: a region that saw the session key of one that is starting cannot
// register it as its own first, and so keep its owner from registering it.
func TestSeenSessionKey(t *testing.T) {
	l := fsmtest.New().NewLog(fsm.Options{})
	thief, owner := l.Region(4), l.Region(1)
	stolen, err := identity.IssueSession(t.Context(), thief.Identity, onlySeen{thief.Session, owner.Session.Public()}, identity.SessionCert{Cluster: l.Cluster(), Region: 4,
		ServerID: thief.ServerID, Issued: l.Now})
	if err != nil {
		t.Fatal(err)
	}
	want(t, l, errs.Unverified, l.By(thief.Identity, &command.RegisterSession{Cert: stolen.Encode()}))
	want(t, l, errs.OK, l.Register(owner))
	if r, _, ok := l.Machine.View().RegionBySession(owner.Session.Public().Fingerprint()); !ok || r.ID != 1 {
		t.Fatalf("the session belongs to %+v", r)
	}
}

// onlySeen is a key somebody saw and signs for with their own.
type onlySeen struct {
	identity.Signer
	public identity.PublicKey
}

func (o onlySeen) Public() identity.PublicKey { return o.public }

func TestHealth(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	word := func(kind command.WordKind, by, about identity.RegionID, at time.Time) []byte {
		r, _ := l.Machine.View().Region(about)
		return l.Word(by, command.Word{Kind: kind, About: about, Request: command.HealthSpell(r.Since), At: at})
	}
	down := func(words ...[]byte) *command.Command {
		return l.By(l.Region(1).Session, &command.ReportHealth{Region: 3, Words: words})
	}
	un := command.WordUnreachable
	want(t, l, errs.Denied, down(word(un, 2, 3, l.Now)))
	want(t, l, errs.Denied, down(word(un, 2, 3, l.Now), word(un, 2, 3, l.Now)))
	want(t, l, errs.Unverified, down(word(un, 2, 3, l.Now), word(un, 3, 3, l.Now)))
	want(t, l, errs.Unverified, down(word(un, 2, 3, l.Now), word(un, 1, 4, l.Now)))
	want(t, l, errs.Unverified, down(word(un, 2, 3, l.Now), word(command.WordReachable, 1, 3, l.Now)))
	want(t, l, errs.Unverified, down(word(un, 2, 3, l.Now), word(un, 1, 3, l.Now.Add(-2*fsm.WordAge))))
	if r := want(t, l, errs.OK, down(word(un, 2, 3, l.Now), word(un, 1, 3, l.Now))); !r.Regions {
		t.Fatal("a change of health is not in the result")
	}
	id := opened(t, l, signer, key)
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 2, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	l.Must(l.By(l.Region(2).Session, &command.ReportHealth{Region: 2}))
	l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4}))
	want(t, l, errs.NoEligiblePair, l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	l.Must(l.By(l.Region(2).Session, &command.ReportHealth{Region: 2, Healthy: true}))
	opened(t, l, signer, key)
}

// TestHealthWordsAreUsedUp: a leader that kept two true words on a region takes it out no
// second time with them, and brings none back.
func TestHealthWordsAreUsedUp(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	words := func(kind command.WordKind) (out [][]byte) {
		r, _ := l.Machine.View().Region(3)
		for _, by := range []identity.RegionID{1, 2} {
			out = append(out, l.Word(by, command.Word{Kind: kind, About: 3, Request: command.HealthSpell(r.Since), At: l.Now}))
		}
		return out
	}
	by1 := func(healthy bool, words [][]byte) *command.Command {
		return l.By(l.Region(1).Session, &command.ReportHealth{Region: 3, Healthy: healthy, Words: words})
	}
	away, there := words(command.WordUnreachable), words(command.WordReachable)
	want(t, l, errs.OK, by1(false, away))
	want(t, l, errs.Unverified, by1(true, there))
	l.Must(l.By(l.Region(3).Session, &command.ReportHealth{Region: 3, Healthy: true}))
	want(t, l, errs.Unverified, by1(false, away))
	want(t, l, errs.OK, by1(false, words(command.WordUnreachable)))
	want(t, l, errs.OK, by1(true, words(command.WordReachable)))
	old := words(command.WordUnreachable)
	l.NewSession(l.Region(3), l.Now.Add(time.Millisecond))
	l.Must(l.Register(l.Region(3)))
	want(t, l, errs.Unverified, by1(false, old))
}

// TestHealthCountsForLaterEntries: who leads decides what stands in an entry and in what
// order; what is said of health in it does not touch the draws it opens.
func TestHealthCountsForLaterEntries(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	health := func(region identity.RegionID, healthy bool) *command.Command {
		return l.By(l.Region(region).Session, &command.ReportHealth{Region: region, Healthy: healthy})
	}
	ask := func(n byte) (*command.Command, func() []identity.RegionID) {
		c := l.By(signer, fsmtest.Digest(key, [32]byte{n}))
		return c, func() []identity.RegionID {
			q, ok := l.Machine.View().Request(command.RequestIDOf(c.Principal, c.ID))
			if !ok {
				t.Fatal("the request was refused")
			}
			return q.Open().Eligible
		}
	}
	before, amongBefore := ask(1)
	after, amongAfter := ask(2)
	l.Apply(before, health(1, false), after)
	if a, b := amongBefore(), amongAfter(); !slices.Equal(a, b) || len(b) != 4 {
		t.Errorf("drawn among %v before, %v after the report of one entry", a, b)
	}
	back, amongBack := ask(3)
	l.Apply(health(1, true), back)
	if ids := amongBack(); slices.Contains(ids, 1) {
		t.Errorf("drawn among %v: region 1 came back in this entry", ids)
	}
	next, amongNext := ask(4)
	l.Must(next)
	if ids := amongNext(); len(ids) != 4 {
		t.Errorf("drawn among %v in the entry after", ids)
	}
}

func TestReplaceMember(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	r := l.Region(2)
	body := &command.ReplaceMember{Region: 2, ServerID: r.ServerID, RaftAddr: "b:1", APIAddr: "b:2", GossipAddr: "b:3"}
	l.Must(l.Dual(body))
	if g, _ := l.Machine.View().Region(2); g.RaftAddr != "b:1" || !g.Healthy || len(g.Sessions) != 1 {
		t.Fatalf("after a move: %+v", g)
	}
	bad := *body
	bad.APIAddr = "no port"
	want(t, l, errs.Invalid, l.Dual(&bad))
	old := r.Session
	body.ServerID = "beta-0000beef"
	l.Must(l.Dual(body))
	want(t, l, errs.Unauthenticated, l.By(old, &command.Tick{}))
	l.NewSession(r, l.Now.Add(time.Second))
	want(t, l, errs.Stale, l.Register(r)) // still says the old incarnation
	id := opened(t, l, signer, key)
	if q, _ := l.Machine.View().Request(id); !slices.Equal(q.Open().Eligible, ids(1, 3, 4)) {
		t.Fatalf("drawn among %v", q.Open().Eligible)
	}
	r.ServerID = body.ServerID
	l.NewSession(r, l.Now.Add(time.Second))
	want(t, l, errs.OK, l.Register(r))
	if g, _ := l.Machine.View().Region(2); !g.Healthy || g.ServerID != "beta-0000beef" {
		t.Fatalf("%+v", g)
	}
}
