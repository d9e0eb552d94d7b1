//go:build liar

package liar_test

import (
	"context"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// did turns what the liar got out of others into harm.
func did(what string) func(*world) {
	return func(w *world) {
		if liar.Done(what) > 0 {
			w.saw("%s", what)
		}
	}
}

var lies = []lie{
	{name: "mute-leader", tries: "leads with heartbeats and sends no entry", lower: ds(liar.Willing)},
	{name: "ignored-requests", tries: "refuses what clients ask for, and commits all else", lower: ds(liar.Willing)},
	{name: "false-commit", tries: "calls an entry committed that one region alone has", lower: ds(liar.CommitCap, liar.Applying), silent: true},
	{name: "one-region-only", tries: "shows an entry to one region and falls silent", silent: true, bare: "an entry that one region holds counts for nothing: nothing is asked of it"},
	{name: "rival-entries", tries: "shows rivals to two regions and hands leadership to one of them", bare: "with the liar voting on, an election has a way out without the rule; the next row needs it"},
	{name: "equivocation-silence", tries: "shows rivals to two regions and falls silent", lower: ds(liar.Rivals), silent: true, convicts: true},
	{name: "rivals-certified", tries: "certifies rivals by forged acks, one for each of two regions", lower: ds(liar.Signatures)},
	{name: "forged-certificate", tries: "certifies by forged acks what one region alone has", lower: ds(liar.Signatures), silent: true},
	{name: "two-of-one-region", tries: "certifies by one region's ack three times", lower: ds(liar.Quorums), silent: true},
	{name: "unsigned-entry", tries: "sends entries nobody can hold against it", lower: ds(liar.Signatures)},
	{name: "rewritten-entry", tries: "replaces an entry it sent before, in the same term", lower: ds(liar.Truncation), watch: rewritten, convicts: true},
	{name: "membership-remove", tries: "takes a region out of the quorum", lower: ds(liar.Membership)},
	{name: "membership-add", tries: "brings a server of its own in", lower: ds(liar.Membership)},
	{name: "stamp-forward", tries: "moves time an hour ahead", lower: ds(liar.Stamps)},
	{name: "stamp-backward", tries: "holds time back an hour", lower: ds(liar.Stamps), watch: standingClock},
	{name: "stamp-idle-forward", tries: "moves time ahead after days in which nothing happened", lower: ds(liar.Stamps), before: idle, early: true},
	{name: "stamp-idle-backward", tries: "goes on where time stood before days of nothing", lower: ds(liar.Stamps), before: idle, early: true, watch: standingClock},
	{name: "poison-bytes", tries: "commits an entry that does not open", lower: ds(liar.Opening)},
	{name: "poison-body", tries: "commits an entry that opens and is none", lower: ds(liar.Opening)},
	{name: "forged-snapshot", tries: "installs a state of its own, vouched for by forged signatures", lower: ds(liar.SnapshotProof), watch: dusk, prompt: true},
	{name: "swapped-snapshot", tries: "installs another state than the one vouched for", lower: ds(liar.SnapshotState), marks: 8, watch: dusk, prompt: true},
	{name: "starved-region", tries: "keeps the log, and the others' words of it, from one region", lower: ds(liar.Fetch), stay: 20 * time.Second, prompt: true},
	{name: "shunned-region", tries: "sends nothing at all to one region", bare: "who hears no leader says that it is not ready, and another pair is drawn; with fetching it is ready as well", stay: 20 * time.Second, prompt: true},
	{name: "attest-other", tries: "has another region vouch for a state it does not have", lower: ds(liar.Attesting), marks: 8, watch: did("attest-other: signed")},
	{name: "term-answer", tries: "answers every append with a higher term", lower: ds(liar.Terms), follower: true},
	{name: "term-vote", tries: "asks for votes in terms nothing justifies", lower: ds(liar.Terms), follower: true},
	{name: "unproven-leader", tries: "leads by votes nobody gave", lower: ds(liar.LeaderProofs), follower: true, watch: did("unproven-leader: followed")},
	{name: "forged-transfer", tries: "has others stand for election in the leader's name", lower: ds(liar.Transfers, liar.Terms), follower: true},
	{name: "ack-forged", tries: "acks with a signature that is none", lower: ds(liar.Signatures), follower: true},
	{name: "ack-another", tries: "acks in another region's name", lower: ds(liar.Acks, liar.Signatures), follower: true},
	{name: "ack-earlier-boot", tries: "acks with the session of an earlier boot", lower: ds(liar.AckBoots), follower: true, before: reboot},
	{name: "ack-lineage", tries: "acks for another lineage", bare: "acks of different tuples never add up, whoever admits them", follower: true},
	{name: "ack-index", tries: "acks another index than it stored", bare: "acks of different tuples never add up, whoever admits them", follower: true},
	{name: "ack-replayed", tries: "sends one ack again and again", bare: "an ack is true for ever: who repeats it says nothing new", follower: true},
	{name: "rival-acks", tries: "acks two hashes for one place", bare: "acks of different tuples never add up, whoever admits them", follower: true},
	{name: "false-accusation", tries: "has an honest region fenced by altered evidence", lower: ds(liar.Accusations), follower: true},
	{name: "undrawn", tries: "has regions sign that were not drawn", lower: ds(liar.Drawn)},
	{name: "forged-value", tries: "steers the pair by a value of its own", lower: ds(liar.Draws)},
	{name: "grind-partials", tries: "learns draws before it proposes them, to choose among ids", lower: ds(liar.Partials), watch: did("grind-partials: foreseen")},
	{name: "no-reason", tries: "has another pair drawn for no reason", lower: ds(liar.Reasons), watch: did("no-reason: opened")},
	{name: "lone-attempt", tries: "has another pair drawn on its own word", lower: ds(liar.Reasons), watch: did("lone-attempt: opened")},
	{name: "health-by-one", tries: "takes a region out of the draws on its own word", lower: ds(liar.Health), watch: did("health-by-one: believed")},
	{name: "bad-partial", tries: "spoils draws by a partial that is none", lower: ds(liar.PartialProofs), follower: true},
	{name: "wrong-signature", tries: "answers with a signature that is none", lower: ds(liar.Answers), follower: true},
	{name: "own-signature", tries: "files its own signature spoiled, beside its partner's", lower: ds(liar.Filed)},
	{name: "other-digest", tries: "has its HSM sign what nobody asked for, and answers with it", lower: ds(liar.Answers), follower: true},
	{name: "other-payload", tries: "changes what a client asked to have signed", lower: ds(liar.Commands), starves: true},
	{name: "false-complaint", tries: "has the leader deposed by complaints", lower: ds(liar.Complaints), follower: true},
	{name: "stolen-admin", tries: "uses one administrator's key alone", lower: ds(liar.DualControl), during: stolen},
	{name: "forged-second", tries: "forges the second administrator's signature", lower: ds(liar.Commands), during: stolen},
	{name: "foreign-key", tries: "registers another region's key as its own", lower: ds(liar.Attestations), during: anotherKey},
	{name: "foreign-session", tries: "registers another region's session as its own", lower: ds(liar.Sessions, liar.Possession), watch: did("foreign-session: registered")},
	{name: "foreign-session-first", tries: "registers a starting region's session before it does", lower: ds(liar.Possession), stay: 20 * time.Second, during: rebootVictim, after: unregistered},
	{name: "freeze-unproposed", tries: "acknowledges a freeze it never commits", lower: ds(liar.Words), during: freezeThroughLiar},
	{name: "path-unproposed", tries: "acknowledges a freeze of a key's child that it never commits", lower: ds(liar.Words), joint: true, during: freezeChildThroughLiar},
	{name: "freeze-starved", tries: "has a region sign that it kept from hearing of a freeze", lower: ds(liar.Leases), hides: ds(liar.Fetch), stay: 40 * time.Second, during: freezeOnceHeld, watch: did("freeze-starved: signed")},
	{name: "refund-released", tries: "gets back the charges of signatures it has, on false and forged words", lower: ds(liar.Refunds), before: limitedKey(2, time.Hour), during: askBeyond},
	{name: "window-early", tries: "moves time ahead to where a limit has room again", lower: ds(liar.Stamps), before: usedUp, during: askEarly},
	{name: "limit-alone", tries: "raises a limit by one administrator's key alone", lower: ds(liar.DualControl), before: limitedKey(2, time.Hour), during: raiseAlone},
	{name: "completion-hidden", tries: "releases a signature and keeps it out of the log", lower: ds(liar.Statements), stay: 70 * time.Second, during: collude},
	{name: "other-dealing", tries: "reveals another dealing than it committed to", bare: "behind the hash stand the proof of possession and the polynomial itself, all in the arithmetic of vault/frost", follower: true, joint: true, during: refreshed(2)},
	{name: "wrong-value", tries: "deals one holder what does not open", bare: "a holder that has not all values has no share to finish with", follower: true, joint: true, stay: 100 * time.Second, during: refreshed(2)},
	{name: "finish-withheld", tries: "deals and never finishes", bare: "a sharing all have not finished is not used: the key goes on with the one it has", follower: true, joint: true, stay: 30 * time.Second, during: begun, after: refreshedAfter},
	{name: "two-finishes", tries: "finishes with other shares than all others", lower: ds(liar.Agreement), follower: true, first: true, joint: true, stay: 30 * time.Second, during: begun, after: agreed},
	{name: "lone-accusation", tries: "has honest dealers left out on its own word", lower: ds(liar.Accusers), follower: true, joint: true, stay: 40 * time.Second, during: refreshed(2), watch: framed},
	{name: "soft-wrap", tries: "has shares sealed to a key that lies outside its HSM", lower: ds(liar.Wrapping), follower: true, joint: true, stay: 30 * time.Second, during: begun, watch: hardWraps},
	{name: "ceremony-starved", tries: "keeps one region's messages out of a ceremony", bare: "a ceremony of all holders waits for each: the key goes on with the sharing it has, and under another leader the next one ends", joint: true, stay: 30 * time.Second, during: begun, after: refreshedAfter},
	{name: "nonces-twice", tries: "offers nonces that it has offered before", lower: ds(liar.Serials), follower: true, joint: true, stay: 40 * time.Second},
	{name: "wrong-share", tries: "answers with a share that is none", lower: ds(liar.Answers), follower: true, joint: true},
	{name: "own-share", tries: "files its own share spoiled, beside its partner's", lower: ds(liar.Filed), joint: true},
	{name: "old-share", tries: "answers under the number of a sharing that is over", lower: ds(liar.Answers), follower: true, joint: true},
	{name: "import-accused", tries: "says that the importer dealt it something wrong", bare: "without a holder's share there is no key either: one word is enough, and names who said it", follower: true, joint: true, before: importing, during: accusedImport, after: broughtAfter},
	{name: "import-other-key", tries: "finishes an import with a public key of its own", lower: ds(liar.SameKey, liar.Agreement), follower: true, first: true, joint: true, before: importing, during: bringsOther},
	{name: "refresh-other-key", tries: "finishes a refresh with a public key of its own", lower: ds(liar.SameKey, liar.Agreement), follower: true, first: true, joint: true, during: refreshesOther},
	{name: "import-replayed", tries: "proposes once more the command that allowed imports, after they were forbidden", lower: ds(liar.Once), during: forbidsAgain},
	{name: "schedule-held", tries: "keeps the clock still, so that a refresh by schedule never falls due", lower: ds(liar.Willing), joint: true, idle: true, before: scheduled, during: held},
	{name: "wrap-kept", tries: "says nothing of wrapping keys that are to be destroyed", bare: "nobody waits for it but the epoch, under its name: the key lies under the next one", follower: true, joint: true, stay: 61 * time.Second, during: keptWrap, after: droppedAfter},
	{name: "beacon-wrong-value", tries: "deals one holder of the beacon key what does not open", bare: "a holder that has not all values has no share to finish with; the three others are just enough to deal", follower: true, joint: true, stay: 100 * time.Second, during: beaconAllTheSame},
	{name: "beacon-old-share", tries: "draws with the share of the beacon key that was refreshed away", lower: ds(liar.PartialProofs), follower: true, before: beaconRefreshed},
	{name: "beacon-mixed", tries: "asks with a value made of partials of two epochs", lower: ds(liar.Draws), before: beaconRefreshed},
}

func ds(d ...liar.Defence) []liar.Defence { return d }

// idle puts the vault to sleep for three days.
func idle(w *world) {
	for i := range w.Sites {
		w.Stop(i)
	}
	time.Sleep(72 * time.Hour)
	for i := range w.Sites {
		w.history.Record(chaos.Boot{Region: region(i), At: time.Now()})
	}
	w.StartAll(w.ctx)
	w.choose(false)
}

// reboot starts the liar again; the key of its last session is not forgotten.
func reboot(w *world) {
	w.clusterOf(w.liar).KeepSession()
	w.Stop(w.liar)
	if err := w.Start(w.liar); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Sites[w.liar].Node.WaitReady(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// rebootVictim starts the region the lie is about again, with a new session.
func rebootVictim(w *world) {
	i := w.honest[0]
	w.Stop(i)
	w.history.Record(chaos.Boot{Region: region(i), At: time.Now()})
	if err := w.Start(i); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Sites[i].Node.WaitReady(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
}

// unregistered looks for a region whose present session is not its own in the state.
func unregistered(w *world) {
	i := w.honest[0]
	for _, cert := range w.clusterOf(w.liar).Shown(region(i)) {
		r, _, ok := w.Sites[w.honest[1]].Node.View().RegionBySession(cert.Session.Fingerprint())
		if ok && r.ID != region(i) {
			w.saw("the session of region %d is registered as that of region %d", region(i), r.ID)
		}
	}
	if r, _ := w.Sites[w.honest[1]].Node.View().Region(region(i)); !r.Healthy {
		w.saw("region %d takes no part: it could not register its session", region(i))
	}
}

// rewritten looks for a log that was cut for an entry of its own term: raft is started
// again for that.
func rewritten(w *world) {
	if w.clusterOf(w.honest[0]).Stats().Restarts > 0 {
		w.saw("an entry was replaced in its own term")
	}
}

// dusk looks for the tenant that only the forged state has.
func dusk(w *world) {
	for _, i := range w.honest {
		if slices.Contains(w.Sites[i].Node.View().Tenants(), "dusk") {
			w.saw("region %d holds a state that nobody vouched for", region(i))
		}
	}
}

// standingClock looks for a committed clock that commands hold back for long. (Entries of
// elections carry none, and move no clock.)
func standingClock(w *world) {
	for _, i := range w.honest {
		v := w.Sites[i].Node.View()
		leaves := v.Frontier()
		if w.told.Load() == 0 || leaves.Size() <= w.size+5 || time.Since(v.Clock()) < 5*time.Second {
			w.late.Delete(i)
			continue
		}
		if since, _ := w.late.LoadOrStore(i, time.Now()); time.Since(since.(time.Time)) > 2*time.Second {
			w.saw("the committed clock of region %d stands still while commands are carried out", region(i))
		}
	}
}

// stolen signs with one administrator's key, alone or beside a forged second signature.
func stolen(w *world) {
	name := liar.Told(region(w.liar)).Name
	admin := w.ClientAt("thief", w.Lab.Admins[0], w.liar)
	defer admin.Close()
	eve := identity.GenerateEd25519()
	cmd, err := admin.Command(&command.PutPrincipal{Name: "eve", Key: eve.Public(), Roles: command.RoleAdmin})
	if err != nil {
		w.t.Fatal(err)
	}
	if name == "forged-second" {
		cmd.Signatures = append(cmd.Signatures, command.Signature{Principal: w.Lab.Admins[1].Public().Fingerprint(), Sig: make([]byte, 64)})
	}
	liar.Did(name)
	ctx, cancel := context.WithTimeout(w.ctx, callWithin)
	defer cancel()
	_, _ = admin.Submit(ctx, cmd)
	for _, i := range w.honest {
		if _, ok := w.Sites[i].Node.View().Principal(eve.Public().Fingerprint()); ok {
			w.saw("one administrator made another")
		}
	}
}

// anotherKey makes a key while the liar attests another region's as its own.
func anotherKey(w *world) {
	cmd, err := w.admin.Command(&command.CreateKey{Name: "second", Tenant: "desk", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, callWithin)
	defer cancel()
	if _, err := w.admin.CreateKey(ctx, cmd); err != nil {
		w.t.Logf("the key: %v", err)
		return // it stays pending
	}
	for _, k := range w.Sites[w.honest[0]].Node.View().Keys("") {
		seen := map[string]bool{}
		for _, a := range k.Attestations {
			if seen[string(a.PublicKey)] {
				w.saw("two regions hold one key")
			}
			seen[string(a.PublicKey)] = true
		}
	}
}

// freezeThroughLiar freezes the key by way of the liar alone, and wants no outcome of it.
func freezeThroughLiar(w *world) {
	w.brakeThroughLiar(&command.FreezeKey{Key: w.key, Reason: "theft"}, func(k *fsm.Key) bool { return k.State == fsm.KeyFrozen })
}

// freezeChildThroughLiar does the same with a child of the key.
func freezeChildThroughLiar(w *world) {
	w.brakeThroughLiar(&command.FreezePath{Key: w.key, Path: []uint32{0, 5}, Reason: "theft"}, func(k *fsm.Key) bool { return len(k.FrozenPaths) > 0 })
}

func (w *world) brakeThroughLiar(b command.Body, frozen func(*fsm.Key) bool) {
	admin := w.ClientAt("freezer", w.Lab.Admins[0], w.liar)
	defer admin.Close()
	ctx, cancel := context.WithTimeout(w.ctx, callWithin)
	defer cancel()
	cmd, err := admin.Command(b)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = admin.Submit(ctx, cmd)
	if k, ok := w.Sites[w.honest[0]].Node.View().Key(w.key); err == nil && ok && !frozen(k) {
		w.saw("a freeze was acknowledged and is in no honest state")
	}
}

// freezeOnceHeld freezes the key once the liar holds a question back, and thaws it when
// that was put.
func freezeOnceHeld(w *world) {
	for n := 0; liar.Done("freeze-starved") == 0 && n < 100; n++ {
		time.Sleep(100 * time.Millisecond)
	}
	submit := func(body command.Body) {
		cmd, err := w.admin.Command(body)
		if err == nil {
			err = cmd.Sign(w.ctx, w.Genesis.Document.Cluster, w.Lab.Admins[1])
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for n := 0; n < 10; n++ {
			ctx, cancel := context.WithTimeout(w.ctx, callWithin)
			op := chaos.Op{Client: "admin", Kind: chaos.OpSubmit, Command: cmd, Call: time.Now()}
			o, err := w.admin.Submit(ctx, cmd)
			cancel()
			op.Return, op.Err, op.Index = time.Now(), err, o.GetIndex()
			w.history.Record(op)
			if err == nil || !unsure(err) {
				return
			}
		}
	}
	submit(&command.FreezeKey{Key: w.key, Reason: "theft"})
	for n := 0; liar.Done("freeze-starved: asked") == 0 && n < 150; n++ {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(3 * time.Second)
	submit(&command.UnfreezeKey{Key: w.key, Reason: "over"})
	if w.first.Load() == 0 {
		w.thawed.Store(time.Now().UnixNano())
	}
}

// collude gets signatures by way of the liar, which then is never heard of again.
func collude(w *world) {
	c := w.ClientAt("colluder", w.service, w.liar)
	defer c.Close()
	for n := range 3 {
		cmd, err := c.Command(client.NewSignMessage(w.key, client.HashSHA256, []byte{byte(n)}, "colluder"))
		if err == nil {
			err = w.signOnce(c, cmd)
		}
		if errs.CodeOf(err) == errs.Invalid {
			w.t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second)
	w.silence()
	until := time.Now()
	time.Sleep(45 * time.Second)
	w.hidden(until)
}

// hidden wants every honest region's signature that was released until then in the log.
func (w *world) hidden(until time.Time) {
	filed := map[string]bool{}
	e, err := w.export(w.honest[0])
	if err != nil {
		w.saw("%v", err)
		return
	}
	for i := range e.Leaves {
		body, err := e.Leaves[i].Body()
		b, ok := body.(*command.Complete)
		if err != nil || !ok {
			continue
		}
		for _, raw := range b.Answers {
			if a, err := command.DecodeAnswer(raw); err == nil {
				for _, it := range a.Items {
					for _, s := range it.Signatures {
						filed[string(s)] = true
					}
				}
			}
		}
	}
	for _, o := range w.history.Until(until) {
		for _, s := range o.Signed {
			for _, sig := range s.Signatures {
				if s.Region != region(w.liar) && !filed[string(sig)] {
					w.saw("a signature of region %d was released and is in no log", s.Region)
				}
			}
		}
	}
}
