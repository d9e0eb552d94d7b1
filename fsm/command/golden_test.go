package command_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const root = "../.."

// samples returns one command of every type, each field set.
func samples(k *fsmtest.Kit) []*command.Command {
	at := k.Start.Add(time.Minute)
	admin, session, r := k.Admins[0], k.Region(1).Session, k.Region(1)
	key := command.KeyID{1, 2, 3}
	ceremony := command.CeremonyID{Key: key, Epoch: 2, Try: 3}
	word := k.Word(2, command.Word{Kind: command.WordUnreachable, About: 3, Request: command.RequestID{4}, Attempt: 1, At: k.Start})
	return []*command.Command{
		k.Command(&command.CreateTenant{Name: "acme"}, at, admin, k.Admins[1]),
		k.Command(&command.PutPrincipal{Name: "service", Tenant: "acme", Key: k.Signer("service").Public(), Roles: command.RoleSigner}, at, admin),
		k.Command(&command.RemovePrincipal{Principal: identity.Fingerprint{7}}, at, admin),
		k.Command(&command.CreateKey{Name: "hot", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2,
			AllowBlind: true, Regions: []identity.RegionID{1, 2, 4}, Note: "a note"}, at, admin),
		k.Command(&command.RequestSignature{Key: key, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("payload"), Note: "n"}, at, admin),
		k.Command(&command.FreezeKey{Key: key, Reason: "why"}, at, admin),
		k.Command(&command.UnfreezeKey{Key: key, Reason: "why"}, at, admin),
		k.Command(&command.FreezeVault{Reason: "why"}, at, admin),
		k.Command(&command.UnfreezeVault{Reason: "why"}, at, admin),
		k.Command(&command.Configure{Settings: command.Settings{MaxSkew: 1500 * time.Millisecond, RequestMaxAge: time.Hour, MaxOpen: 9}}, at, admin),
		k.Command(&command.ReplaceMember{Region: 2, ServerID: "beta-0000beef", RaftAddr: "b:1", APIAddr: "b:2", GossipAddr: "b:3", Enrolment: []byte{1}}, at, admin),
		k.Command(&command.RetireKey{Key: key}, at, admin),
		k.Command(&command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{1, 2, 3}}, at, r.Identity),
		k.Command(&command.AttestKey{Key: key, PublicKey: []byte{2}, Possession: []byte{3}, Attributes: []byte{4}, Identity: []byte{5}}, at, session),
		k.Command(&command.ConfirmKey{Key: key, Attestations: [32]byte{8}}, at, session),
		k.Command(&command.OpenAttempt{Request: command.RequestID{4}, Attempt: 2, Words: [][]byte{word, word}}, at, session),
		k.Command(&command.Complete{Index: 7, Partials: [][]byte{{1}, {2}, {3}}, Answers: [][]byte{answer(k)}}, at, session),
		k.Command(&command.ReportHealth{Region: 3, Healthy: true, Words: [][]byte{word}}, at, session),
		k.Command(&command.Tick{}, at, session),
		k.Command(&command.QuarantineRegion{Region: 3, Quarantined: true, Evidence: [32]byte{6}, Reason: "why"}, at, admin),
		k.Command(&command.MuteRegion{Region: 3, Muted: true, Reason: "why"}, at, admin),
		k.Command(&command.LiftStop{Region: 3, Stop: command.StopID{5}, Reason: "why"}, at, admin),
		k.Command(&command.RepairRegion{Region: 3, Keep: 700, Reason: "why"}, at, admin),
		k.Command(&command.RepairClock{To: k.Start, Words: [][]byte{clockWord(k), clockWord(k)}, Reason: "why"}, at, admin),
		k.Command(&command.RegionFreeze{Key: key, Reason: "why"}, at, session),
		k.Command(&command.RefreshKey{Key: key, Holders: []identity.RegionID{1, 3, 4}, Reason: "why"}, at, admin, k.Admins[1]),
		k.Command(&command.IssueAddresses{Key: key, Paths: [][]byte{command.EncodePath([]uint32{0, 1}), command.EncodePath([]uint32{2})}, Note: "n"}, at, admin),
		k.Command(&command.OfferWrap{Epoch: 2, Public: []byte{2}, Sealed: []byte{3}, Attributes: []byte{4}, Identity: []byte{5}}, at, session),
		k.Command(&command.HashDealing{Ceremony: ceremony, Hash: [32]byte{8}, Seed: []byte{2}}, at, session),
		k.Command(&command.Deal{Ceremony: ceremony, Dealing: []byte{2, 3}}, at, session),
		k.Command(&command.DealShares{Ceremony: ceremony, Sealed: [][]byte{{1}, {2}, {3}, {4}}}, at, session),
		k.Command(&command.FinishShare{Ceremony: ceremony, Transcript: [32]byte{8}, Public: []byte{2}, Point: []byte{3}, Chain: [32]byte{9}, Share: []byte{4}}, at, session),
		k.Command(&command.AccuseDealer{Ceremony: ceremony, Against: 3, Complaint: []byte{2}, Note: "n"}, at, session),
		k.Command(&command.DropWrap{Epoch: 2}, at, session),
		k.Command(&command.OfferNonces{Curve: command.Ed25519, Commitments: []byte{2, 3}}, at, session),
		k.Command(&command.EscrowKey{Key: key, Officers: []string{"age1a", "age1b", "age1c"}, M: 2, Delay: 36 * time.Hour, Disaster: true, Reason: "why"}, at, admin, k.Admins[1]),
		k.Command(&command.CancelEscrow{Key: key, Reason: "why"}, at, admin),
		k.Command(&command.EscrowShare{Key: key, Number: 2, Epoch: 3, Box: []byte{4}}, at, session),
		k.Command(&command.Configure{Settings: command.Settings{MaxSkew: 1500 * time.Millisecond, RequestMaxAge: time.Hour, MaxOpen: 9, EscrowDelay: 24 * time.Hour}}, at, admin),
		k.Command(&command.LimitKey{Key: key, Requests: 12, Window: 24 * time.Hour}, at, admin, k.Admins[1]),
		k.Command(&command.RefundRequest{Request: command.RequestID{4}, Words: [][]byte{nothing(k)}}, at, session),
	}
}

func nothing(k *fsmtest.Kit) []byte {
	opened := command.Meta{Index: 7, Term: 2, Chain: [32]byte{3}}
	return k.Word(3, command.Word{Kind: command.WordNothing, About: 3, Request: command.NothingOf(command.RequestID{4}, 1, opened), Attempt: 1, At: k.Start})
}

func clockWord(k *fsmtest.Kit) []byte {
	return k.ClockWord(2, command.ClockWord{Clock: k.Start.Add(time.Hour), At: k.Start})
}

func outcomeWord(k *fsmtest.Kit) []byte {
	s := standing(k)
	return k.OutcomeWord(2, command.OutcomeWord{Meta: command.Meta{Index: 7, Term: 2, Chain: [32]byte{3}}, Command: [32]byte{4}, Code: errs.OK,
		Nonce: [16]byte{5}, Request: s.ID, Standing: s.Hash(), Applied: 9, Skew: 2 * time.Second, At: k.Start})
}

// placeless is a word on a refusal, of a region that no longer knows the whole place.
func placeless(k *fsmtest.Kit) []byte {
	return k.OutcomeWord(3, command.OutcomeWord{Meta: command.Meta{Index: 7}, Command: [32]byte{4}, Code: errs.NotFound, Applied: 7, At: k.Start})
}

// standing is a request with every field set.
func standing(k *fsmtest.Kit) command.Standing {
	return command.Standing{ID: command.RequestID{6}, Command: command.ID{7}, Content: [32]byte{4}, Author: identity.Fingerprint{8}, Tenant: "acme",
		Key: command.KeyID{9}, KeyVersion: 1, Kind: command.KindMessage, HashAlg: command.HashSHA256, Note: "n", Expiry: k.Start.Add(time.Minute), State: 2,
		Attempts: []command.StandingAttempt{{Number: 1, Meta: command.Meta{Index: 7, Term: 2, Chain: [32]byte{3}}, Stamp: k.Start, Eligible: []identity.RegionID{1, 2, 4}}},
		Results:  []command.StandingResult{{Region: 4, Signatures: [][]byte{{1, 2}, {3}}}, {Region: 1, Signatures: [][]byte{{4}, {5}}}},
		Value:    [32]byte{10}, Opened: 7, Closed: 11, Leaf: 12}
}

func answer(k *fsmtest.Kit) []byte {
	return k.Answer(command.Answer{Region: 1, Index: 7, Value: [32]byte{9}, At: k.Start, Items: []command.AnswerItem{
		{Request: command.RequestID{4}, Attempt: 1, Signers: []identity.RegionID{3, 1}, Code: errs.OK, Signatures: [][]byte{{1, 2}, {3}}},
		{Request: command.RequestID{5}, Attempt: 2, Signers: []identity.RegionID{1, 2}, Code: errs.Frozen, Text: "frozen"}}})
}

// certified returns the commands that carry what older ones do not: proofs, a path.
func certified(k *fsmtest.Kit) []*command.Command {
	at, session := k.Start.Add(time.Minute), k.Region(1).Session
	word := k.Word(2, command.Word{Kind: command.WordUnreachable, About: 3, Request: command.RequestID{4}, Attempt: 1, At: k.Start})
	return []*command.Command{
		k.Command(&command.OpenAttempt{Request: command.RequestID{4}, Attempt: 2, Words: [][]byte{word}, Partials: [][]byte{{1}, {2}, {3}}}, at, session),
		k.Command(&command.Complete{Index: 7, Partials: [][]byte{{1}, {2}, {3}}, Answers: [][]byte{answer(k)}, Cover: []byte{4, 5}}, at, session),
		k.Command(&command.RequestSignature{Key: command.KeyID{1}, Kind: command.KindMessage, Payload: []byte("payload"), Note: "n", Path: []uint32{0, 1<<31 - 1}}, at, k.Admins[0]),
	}
}

// TestProofFields: what older commands lack is not there, and never there but empty.
func TestProofFields(t *testing.T) {
	k := fsmtest.New()
	old := samples(k)
	for _, c := range append(old[15:17], old[4]) {
		body, err := c.Body()
		if err != nil {
			t.Fatalf("%s of before the field: %v", c.Type, err)
		}
		switch b := body.(type) {
		case *command.OpenAttempt:
			if b.Partials != nil {
				t.Error("partials out of nothing")
			}
		case *command.Complete:
			if b.Cover != nil {
				t.Error("a cover out of nothing")
			}
		case *command.RequestSignature:
			if b.Path != nil {
				t.Error("a path out of nothing")
			}
		}
		c.Fields = append(c.Fields, command.Field{})
		if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s with an empty proof: %v", c.Type, err)
		}
	}
	for _, c := range certified(k) {
		body, err := c.Body()
		if err != nil {
			t.Fatal(err)
		}
		switch b := body.(type) {
		case *command.OpenAttempt:
			if len(b.Partials) != 3 {
				t.Errorf("%d partials", len(b.Partials))
			}
		case *command.Complete:
			if !bytes.Equal(b.Cover, []byte{4, 5}) {
				t.Errorf("cover %x", b.Cover)
			}
		case *command.RequestSignature:
			if len(b.Path) != 2 || b.Path[1] != 1<<31-1 {
				t.Errorf("path %v", b.Path)
			}
		}
		c.Fields[3].Value = make([]byte, command.MaxField+1)
		if _, err := c.Body(); errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s with a huge proof: %v", c.Type, err)
		}
	}
}

// ofPaths returns the commands that freeze children of a key.
func ofPaths(k *fsmtest.Kit) []*command.Command {
	at, key, admin := k.Start.Add(time.Minute), command.KeyID{1, 2, 3}, k.Admins[0]
	return []*command.Command{
		k.Command(&command.FreezePath{Key: key, Path: []uint32{0, 5}, Reason: "why"}, at, admin),
		k.Command(&command.UnfreezePath{Key: key, Path: []uint32{1<<31 - 1}, Reason: "why"}, at, admin, k.Admins[1]),
		k.Command(&command.RegionFreezePath{Key: key, Path: []uint32{1, 2, 3, 4, 5, 6, 7, 8}, Reason: "why"}, at, k.Region(1).Session),
	}
}

// ofLevels returns the commands about what releases understand.
func ofLevels(k *fsmtest.Kit) []*command.Command {
	at, r := k.Start.Add(time.Minute), k.Region(1)
	return []*command.Command{
		k.Command(&command.RaiseLevel{Level: 3, Reason: "why"}, at, k.Admins[0], k.Admins[1]),
		k.Command(&command.RegisterSession{Cert: r.Session.Cert.Encode(), Curves: []byte{1, 3}, Level: 4}, at, r.Identity),
	}
}

func everyType(k *fsmtest.Kit) []*command.Command {
	return slices.Concat(samples(k), ofPaths(k), ofLevels(k), outside(k), ofAddresses(k), ofReenrolment(k))
}

// TestLevelIsNamed: level 0 has one encoding, which is none.
func TestLevelIsNamed(t *testing.T) {
	cs := ofLevels(fsmtest.New())
	raise, session := cs[0], cs[1]
	raise.Fields[0].Value, session.Fields[2].Value = make([]byte, 4), make([]byte, 4)
	for _, c := range cs {
		if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s to level 0: %v", c.Type, err)
		}
	}
	session.Fields = session.Fields[:2]
	if body, err := session.Body(); err != nil || body.(*command.RegisterSession).Level != 0 {
		t.Errorf("a session of before levels: %v", err)
	}
}

// TestLevels: a type of a later level is known, and this release announces that level.
func TestLevels(t *testing.T) {
	for ty := command.Type(0); ty < 500; ty++ {
		if l := ty.Level(); l > command.Level || l > 0 && !ty.Known() {
			t.Errorf("type %s is of level %d, this release of level %d", ty, l, command.Level)
		}
	}
}

// TestPathIsNamed: a freeze of a path without one would be taken for one of the key.
func TestPathIsNamed(t *testing.T) {
	for _, c := range ofPaths(fsmtest.New()) {
		if body, err := c.Body(); err != nil || body.Type() != c.Type || c.Type == command.TypeUnfreezePath == c.Type.Restricts() {
			t.Errorf("%s: %v", c.Type, err)
		}
		for name, path := range map[string][]byte{"none": {}, "hardened": {0x80, 0, 0, 0}, "half an index": {0, 0}, "too deep": make([]byte, 36)} {
			c.Fields[1].Value = path
			if _, err := c.Body(); err == nil {
				t.Errorf("%s: path: %s, and it is read", c.Type, name)
			}
		}
	}
}

func TestVectors(t *testing.T) {
	k := fsmtest.New()
	var paths []fsmtest.Vector
	for _, c := range ofPaths(fsmtest.New()) {
		cm := c.Commitment()
		paths = append(paths, fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:]))
	}
	fsmtest.Golden(t, root, "command-paths", paths)
	var levels []fsmtest.Vector
	for _, c := range ofLevels(fsmtest.New()) {
		cm := c.Commitment()
		levels = append(levels, fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:]))
	}
	fsmtest.Golden(t, root, "command-level", levels)
	var proven []fsmtest.Vector
	for _, c := range append(certified(fsmtest.New()), withFallback(fsmtest.New())) {
		cm := c.Commitment()
		proven = append(proven, fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:]))
	}
	fsmtest.Golden(t, root, "command-certified", proven)
	var commands, statements []fsmtest.Vector
	cs := samples(k)
	for _, c := range cs {
		cm := c.Commitment()
		h, req, key := cm.Hash(k.Cluster()), command.RequestIDOf(c.Principal, c.ID), command.KeyIDOf(c.Principal, c.ID)
		commands = append(commands, fsmtest.NewVector(c.Type.String(), c.Encode(), "root", cm.Root[:], "commitment", cm.Encode(),
			"signed", cm.SignedBytes(k.Cluster()), "hash", h[:], "request_id", req[:], "key_id", key[:]))
	}
	fsmtest.Golden(t, root, "command", commands)

	e := &command.Entry{Stamp: k.Start, Commands: cs[:3]}
	fsmtest.Golden(t, root, "entry", []fsmtest.Vector{fsmtest.NewVector("three commands", e.Encode()),
		fsmtest.NewVector("empty", (&command.Entry{Stamp: k.Start}).Encode())})

	a, err := command.DecodeAnswer(answer(k))
	if err != nil {
		t.Fatal(err)
	}
	raw := k.Word(2, command.Word{Kind: command.WordUnreachable, About: 3, Request: command.RequestID{4}, Attempt: 1, At: k.Start})
	w, err := command.DecodeWord(raw)
	if err != nil {
		t.Fatal(err)
	}
	cluster, key := k.Cluster(), command.KeyID{1, 2, 3}
	outcome, err := command.DecodeOutcomeWord(outcomeWord(k))
	if err != nil {
		t.Fatal(err)
	}
	hour, err := command.DecodeClockWord(clockWord(k))
	if err != nil {
		t.Fatal(err)
	}
	statements = append(statements, fsmtest.NewVector("answer", a.Encode(), "signed", a.SignedBytes(cluster)),
		fsmtest.NewVector("word", raw, "signed", w.SignedBytes(cluster)),
		fsmtest.NewVector("possession", command.PossessionBytes(cluster, key, 2)),
		fsmtest.NewVector("attestation", command.AttestationBytes(cluster, key, 2, []byte{1}, []byte{2})),
		fsmtest.NewVector("wrapping key", command.WrapBytes(cluster, 2, 3, []byte{1}, []byte{2}, []byte{4})),
		fsmtest.NewVector("outcome word", outcome.Encode(), "signed", outcome.SignedBytes(cluster), "standing", outcome.Standing[:]),
		fsmtest.NewVector("outcome word without place", placeless(k)),
		fsmtest.NewVector("clock word", hour.Encode(), "signed", hour.SignedBytes(cluster)))
	fsmtest.Golden(t, root, "statement", statements)
	wrong, hash := wrongWord(k), a.Hash()
	w, err = command.DecodeWord(wrong)
	if err != nil {
		t.Fatal(err)
	}
	fsmtest.Golden(t, root, "word-wrong", []fsmtest.Vector{fsmtest.NewVector("answered wrongly", wrong, "signed", w.SignedBytes(cluster), "answer", hash[:])})
}

// wrongWord is a word on a wrong answer.
func wrongWord(k *fsmtest.Kit) []byte {
	a, err := command.DecodeAnswer(answer(k))
	if err != nil {
		panic(err)
	}
	return k.Word(2, command.Word{Kind: command.WordWrong, About: 1, Request: command.RequestID{4}, Attempt: 1, At: k.Start, Answer: a.Hash()})
}

// TestWordForms: a word names an answer exactly when its kind is about one.
func TestWordForms(t *testing.T) {
	k := fsmtest.New()
	wrong, old := wrongWord(k), k.Word(2, command.Word{Kind: command.WordUnreachable, About: 3, Request: command.RequestID{4}, Attempt: 1, At: k.Start})
	if w, err := command.DecodeWord(wrong); err != nil || w.Answer == [32]byte{} || wrong[0] != 2 || old[0] != 1 || w.Kind.String() != "answered wrongly" {
		t.Errorf("%+v, %v", w, err)
	}
	for name, b := range map[string][]byte{"kind 5 in version 1": append([]byte{1}, wrong[1:]...), "kind 2 in version 2": append([]byte{2}, old[1:]...),
		"version 3": append([]byte{3}, wrong[1:]...)} {
		if _, err := command.DecodeWord(b); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVectorsRead: every stored vector decodes and encodes to the same bytes.
func TestVectorsRead(t *testing.T) {
	for _, file := range []string{"command", "command-certified"} {
		for name, b := range fsmtest.Vectors(t, root, file) {
			c, err := command.Decode(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := c.Body(); err != nil || c.Type.String() != name || !bytes.Equal(c.Encode(), b) {
				t.Fatalf("%s is not itself again: %v", name, err)
			}
		}
	}
	for name, b := range fsmtest.Vectors(t, root, "entry") {
		if e, err := command.DecodeEntry(b); err != nil || !bytes.Equal(e.Encode(), b) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
