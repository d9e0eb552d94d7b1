//go:build liar

package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/vault"
)

// How a region lies in the vault: it stands between its own honest rooms and the others.

func (n *Node) tells(name string) bool {
	_, is := liar.Tells(n.region(), name)
	return is
}

// Cluster is the node's part in the log, for tests that look at it.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

func (n *Node) lie(cfg vault.Config) vault.Config {
	hoard.Store(n.session.Cert.Session.Fingerprint(), cfg.Share)
	cfg.Peers = falsePeers{cfg.Peers, n}
	cfg.Proposer = falseProposer{cfg.Proposer, n}
	return cfg
}

// falsePeers asks others what it should not.
type falsePeers struct {
	vault.Peers
	n *Node
}

func (p falsePeers) CoSign(ctx context.Context, region identity.RegionID, raw []byte) ([]byte, error) {
	told := liar.Told(p.n.region())
	q, err := vault.DecodeQuestion(raw)
	if err != nil {
		return nil, err
	}
	switch told.Name {
	case "undrawn":
		p.askAll(told.Name, q)
	case "forged-value":
		forged := *q
		_, _ = rand.Read(forged.Value[:])
		p.askAll(told.Name, &forged)
	case "beacon-mixed":
		if mixed, ok := p.n.mixed(q); ok {
			p.askAll(told.Name, mixed)
		}
	case "freeze-starved":
		if region == told.Victim && liar.Done(told.Name) == 0 {
			p.n.work.Go(func() { p.late(told, q) })
			return nil, errs.New(errs.Unavailable, "kept for later")
		}
	}
	return p.Peers.CoSign(ctx, region, raw)
}

// askAll puts a question to every other region.
func (p falsePeers) askAll(name string, q *vault.Question) {
	liar.Did(name)
	for _, r := range p.n.fsm.View().Regions() {
		if r.ID == p.n.region() {
			continue
		}
		p.n.work.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if raw, err := p.Peers.CoSign(ctx, r.ID, q.Encode()); err == nil {
				if a, err := command.DecodeAnswer(raw); err == nil && len(a.Items) > 0 && a.Items[0].Code == errs.OK {
					liar.Did(name + ": signed")
					if !slices.Contains(a.Items[0].Signers, r.ID) {
						liar.Did(name + ": signed without being drawn")
					}
				}
			}
		})
	}
}

// late asks only after the key was frozen and the freeze acknowledged, a region that was
// kept from hearing of it.
func (p falsePeers) late(told liar.Lie, q *vault.Question) {
	time.Sleep(30 * time.Millisecond) // the attempt arrives there, and its end does not
	liar.Did(told.Name)
	for range 100 {
		if k := p.n.fsm.View().Keys(""); len(k) > 0 && k[0].State == fsm.KeyFrozen {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(7 * time.Second)
	q.Known = q.Meta.Index
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	liar.Did(told.Name + ": asked")
	if raw, err := p.Peers.CoSign(ctx, told.Victim, q.Encode()); err == nil {
		if a, err := command.DecodeAnswer(raw); err == nil && len(a.Items) > 0 && a.Items[0].Code == errs.OK {
			liar.Did(told.Name + ": signed")
		}
	}
}

// falseProposer says of itself what is not so.
type falseProposer struct {
	vault.Proposer
	n *Node
}

func (p falseProposer) Propose(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	if p.n.tells("refund-released") && p.n.completesCharged(c) {
		liar.Did("refund-released: kept")
		return fsm.Outcome{}, errs.New(errs.Unavailable, "not now")
	}
	if p.n.tells("own-signature") || p.n.tells("own-share") {
		c = p.n.spoilOwn(ctx, c)
	}
	if told := liar.Told(p.n.region()); sharingLies[told.Name] && c.Principal == p.n.session.Public().Fingerprint() {
		return p.n.falseSharing(ctx, told, p.Proposer, c)
	}
	if !p.n.tells("foreign-key") || c.Type != command.TypeAttestKey || c.Principal != p.n.session.Public().Fingerprint() {
		return p.Proposer.Propose(ctx, c)
	}
	body, err := c.Body()
	if err != nil {
		return fsm.Outcome{}, err
	}
	b := body.(*command.AttestKey)
	key, ok := p.n.fsm.View().Key(b.Key)
	if !ok || len(key.Attestations) == 0 {
		return fsm.Outcome{}, errs.New(errs.Unavailable, "nothing to copy yet")
	}
	other := key.Attestations[0]
	b.PublicKey, b.Possession = other.PublicKey, other.Possession
	cluster := p.n.genesis.Document.Cluster
	if b.Identity, err = p.n.hsm.Identity().Sign(ctx, command.AttestationBytes(cluster, b.Key, p.n.region(), b.PublicKey, b.Attributes)); err != nil {
		return fsm.Outcome{}, err
	}
	liar.Did("foreign-key")
	own, err := p.n.command(ctx, b)
	if err != nil {
		return fsm.Outcome{}, err
	}
	return p.Proposer.Propose(ctx, own)
}

// spoilOwn alters what this region signed itself in a completion that it files.
func (n *Node) spoilOwn(ctx context.Context, c *command.Command) *command.Command {
	body, err := c.Body()
	b, ok := body.(*command.Complete)
	if err != nil || !ok {
		return c
	}
	for i, raw := range b.Answers {
		a, err := command.DecodeAnswer(raw)
		if err != nil || a.Region != n.region() || len(b.Answers) < 2 {
			continue
		}
		for _, it := range a.Items {
			for _, s := range it.Signatures {
				s[len(s)-20] ^= 1
			}
		}
		if a.Sign(ctx, n.genesis.Document.Cluster, n.session) == nil {
			b.Answers[i] = a.Encode()
			if spoiled, err := n.command(ctx, b); err == nil {
				liar.Did(liar.Told(n.region()).Name)
				c = spoiled
			}
		}
	}
	return c
}

// command is a command of this region.
func (n *Node) command(ctx context.Context, body command.Body) (*command.Command, error) {
	return n.commandBy(ctx, n.session, body)
}

func (n *Node) commandBy(ctx context.Context, s identity.Signer, body command.Body) (*command.Command, error) {
	var id command.ID
	_, _ = rand.Read(id[:])
	c, err := command.New(body, s.Public().Fingerprint(), id, n.cfg.Clock.Now().Add(time.Minute), rand.Reader)
	if err != nil {
		return nil, err
	}
	return c, c.Sign(ctx, n.genesis.Document.Cluster, s)
}

// beacon gives partials that are none.
func (n *Node) beacon() cluster.Beacon { return falseBeacon{n.vault, n} }

type falseBeacon struct {
	cluster.Beacon
	n *Node
}

func (b falseBeacon) Evaluate(m command.Meta) ([]byte, error) {
	if p := b.n.formerPartial(m); p != nil {
		return p, nil
	}
	p, err := b.Beacon.Evaluate(m)
	if err == nil && b.n.tells("bad-partial") {
		other := m
		other.Index++
		liar.Did("bad-partial")
		return b.Beacon.Evaluate(other) // of another entry: well formed, and wrong
	}
	return p, err
}

// cosigner answers what it should not. From here on the node is told lies of its own.
func (n *Node) cosigner() rpc.Cosigner {
	ctx, end := context.WithCancel(context.Background())
	honest := n.cancel
	n.cancel = func() { end(); honest() }
	n.work.Go(func() { n.misbehave(ctx) })
	n.work.Go(func() { n.notice(ctx) })
	return falseCosigner{n.vault, n}
}

type falseCosigner struct {
	rpc.Cosigner
	n *Node
}

func (f falseCosigner) HandleCoSign(ctx context.Context, from identity.RegionID, question []byte) ([]byte, error) {
	raw, err := f.Cosigner.HandleCoSign(ctx, from, question)
	told := liar.Told(f.n.region())
	if err != nil || told.Name != "wrong-signature" && told.Name != "other-digest" && told.Name != "wrong-share" && told.Name != "old-share" {
		return raw, err
	}
	a, err := command.DecodeAnswer(raw)
	if err != nil {
		return nil, err
	}
	for i := range a.Items {
		for j := range a.Items[i].Signatures {
			if err := f.falsify(ctx, told.Name, &a.Items[i], j); err != nil {
				return nil, err
			}
		}
	}
	err = a.Sign(ctx, f.n.genesis.Document.Cluster, f.n.session)
	return a.Encode(), err
}

func (f falseCosigner) falsify(ctx context.Context, name string, it *command.AnswerItem, j int) (err error) {
	liar.Did(name)
	switch name {
	case "wrong-signature":
		_, _ = rand.Read(it.Signatures[j])
		return nil
	case "wrong-share":
		it.Signatures[j][len(it.Signatures[j])-1] ^= 1
		return nil
	case "old-share":
		it.Signatures[j][6]-- // the last byte of the sharing's number
		return nil
	}
	req, ok := f.n.fsm.View().Request(it.Request)
	if !ok {
		return nil
	}
	key, _ := f.n.fsm.View().Key(req.Key)
	cluster := f.n.genesis.Document.Cluster
	digest := sha256.Sum256([]byte("everything to the liar"))
	it.Signatures[j], err = f.n.hsm.Sign(ctx, labelOf(cluster, key.ID), uint8(key.Curve), digest[:])
	return err
}

func (n *Node) misbehave(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		if deed, ok := deeds[liar.Told(n.region()).Name]; ok {
			deed(n, ctx, liar.Told(n.region()))
		}
	}
}

var deeds = map[string]func(*Node, context.Context, liar.Lie){
	"grind-partials":        (*Node).grind,
	"lone-attempt":          (*Node).reopen,
	"no-reason":             (*Node).reopen,
	"health-by-one":         (*Node).slander,
	"refund-released":       (*Node).refundReleased,
	"foreign-session":       (*Node).takeSession,
	"foreign-session-first": (*Node).takeSessionFirst,
}

// grind asks for partials of entries that stand in no log, to know their draws before one
// of them is proposed.
func (n *Node) grind(ctx context.Context, told liar.Lie) {
	m := n.fsm.View().Meta()
	m.Index++
	_, _ = rand.Read(m.Chain[:])
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	got := 1
	for _, r := range n.fsm.View().Regions() {
		if r.ID == n.region() {
			continue
		}
		liar.Did(told.Name)
		if p, err := n.peers.Partial(ctx, r.ID, m); err == nil && len(p) > 0 {
			got++
		}
	}
	if got >= 3 {
		liar.Did(told.Name + ": foreseen")
	}
}

// reopen opens another attempt of every open request, for no reason or on its own word.
func (n *Node) reopen(ctx context.Context, told liar.Lie) {
	view := n.fsm.View()
	for _, q := range view.OpenRequests() {
		a := q.Open()
		if a == nil || a.Number > 1 {
			continue
		}
		b := &command.OpenAttempt{Request: q.ID, Attempt: a.Number + 1}
		for _, r := range a.Eligible {
			if told.Name == "lone-attempt" && r != n.region() {
				w := &command.Word{Kind: command.WordUnreachable, About: r, Request: q.ID, Attempt: a.Number, By: n.region(), At: n.cfg.Clock.Now().Truncate(time.Millisecond)}
				if w.Sign(ctx, view.Cluster(), n.session) == nil {
					b.Words = append(b.Words, w.Encode())
				}
			}
		}
		if c, err := n.command(ctx, b); err == nil {
			liar.Did(told.Name)
			if o, err := n.cluster.Propose(ctx, c); err == nil && o.Code == errs.OK {
				liar.Did(told.Name + ": opened")
			}
		}
	}
}

// slander calls the victim ill on its own word.
func (n *Node) slander(ctx context.Context, told liar.Lie) {
	view := n.fsm.View()
	row, ok := view.Region(told.Victim)
	if !ok || !row.Healthy {
		return
	}
	w := &command.Word{Kind: command.WordUnreachable, About: told.Victim, Request: command.HealthSpell(row.Since), By: n.region(), At: n.cfg.Clock.Now().Truncate(time.Millisecond)}
	if w.Sign(ctx, view.Cluster(), n.session) != nil {
		return
	}
	c, err := n.command(ctx, &command.ReportHealth{Region: told.Victim, Words: [][]byte{w.Encode(), w.Encode()}})
	if err != nil {
		return
	}
	liar.Did(told.Name)
	if o, err := (proposer{n}).Propose(ctx, c); err == nil && o.Code == errs.OK {
		liar.Did(told.Name + ": believed")
	}
}

// takeSession registers another region's session key as its own.
func (n *Node) takeSession(ctx context.Context, told liar.Lie) {
	if row, ok := n.fsm.View().Region(told.Victim); ok && len(row.Sessions) > 0 {
		n.claim(ctx, told, row.Sessions[0].Session)
	}
}

// takeSessionFirst does so with the key of a region that is starting, before it has
// registered it itself.
func (n *Node) takeSessionFirst(ctx context.Context, told liar.Lie) {
	for end := time.Now().Add(time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		for _, cert := range n.cluster.Shown(told.Victim) {
			if _, _, known := n.fsm.View().RegionBySession(cert.Session.Fingerprint()); !known && cert.Issued.After(n.session.Cert.Issued) {
				n.claim(ctx, told, cert.Session)
			}
		}
	}
}

// onlySeen is a key the liar saw, and signs for with its own.
type onlySeen struct {
	identity.Signer
	public identity.PublicKey
}

func (o onlySeen) Public() identity.PublicKey { return o.public }

// claim registers a session key that is not this region's.
func (n *Node) claim(ctx context.Context, told liar.Lie, key identity.PublicKey) {
	cert := *n.session.Cert
	cert.Issued = n.cfg.Clock.Now()
	_, _ = rand.Read(cert.Boot[:])
	signed, err := identity.IssueSession(ctx, n.hsm.Identity(), onlySeen{n.session, key}, cert)
	if err != nil {
		return
	}
	curves := make([]byte, len(n.curves))
	for i, c := range n.curves {
		curves[i] = byte(c)
	}
	c, err := n.commandBy(ctx, n.hsm.Identity(), &command.RegisterSession{Cert: signed.Encode(), Curves: curves, Level: command.Level})
	if err != nil {
		return
	}
	liar.Did(told.Name)
	if o, err := (proposer{n}).Propose(ctx, c); err == nil && o.Code == errs.OK {
		liar.Did(told.Name + ": registered")
	}
}

// completesCharged reports whether a command would complete a request of a limited key.
func (n *Node) completesCharged(c *command.Command) bool {
	body, err := c.Body()
	b, ok := body.(*command.Complete)
	if err != nil || !ok || len(b.Answers) < 2 {
		return false
	}
	a, err := command.DecodeAnswer(b.Answers[0])
	if err != nil {
		return false
	}
	for _, it := range a.Items {
		if q, ok := n.fsm.View().Request(it.Request); ok && q.Charge != fsm.ChargeNone {
			return true
		}
	}
	return false
}

// refundReleased asks for the charges of requests back whose signatures it has, kept out of
// the log until they expired: on its own false word beside forged ones of the others.
func (n *Node) refundReleased(ctx context.Context, told liar.Lie) {
	view := n.fsm.View()
	for _, q := range view.Requests("", command.RequestID{}, 1000) {
		if !q.Refundable() {
			continue
		}
		b := &command.RefundRequest{Request: q.ID}
		for _, r := range view.Regions() {
			b.Words = append(b.Words, n.falseNothings(ctx, view, q, r)...)
		}
		c, err := n.command(ctx, b)
		if err != nil {
			continue
		}
		liar.Did(told.Name)
		if o, err := (proposer{n}).Propose(ctx, c); err == nil && o.Code == errs.OK {
			liar.Did(told.Name + ": refunded")
		}
	}
}

// falseNothings are words of a region that it released nothing for a request; others'
// bear random signatures.
func (n *Node) falseNothings(ctx context.Context, view fsm.View, q *fsm.Request, r *fsm.Region) (words [][]byte) {
	for i := range q.Attempts {
		a := &q.Attempts[i]
		w := &command.Word{Kind: command.WordNothing, About: r.ID, By: r.ID, Attempt: a.Number, Request: command.NothingOf(q.ID, a.Number, a.Meta),
			At: n.cfg.Clock.Now().Truncate(time.Millisecond)}
		if w.Sign(ctx, view.Cluster(), n.session) != nil {
			continue
		}
		if r.ID != n.region() && len(r.Sessions) > 0 {
			w.Session = r.Sessions[0].Session.Fingerprint()
			_, _ = rand.Read(w.Sig)
		}
		words = append(words, w.Encode())
	}
	return words
}

// labelOf names a key in the HSM as the vault does.
func labelOf(cluster identity.ClusterID, id command.KeyID) string {
	return hex.EncodeToString(cluster[:4]) + "-" + id.String()
}
