package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// bareTrying is region r's try at a key of four regions; previous makes it a refresh.
func bareTrying(t *testing.T, suite *frost.Suite, r identity.RegionID, threshold int, previous *frost.PublicKey) *trying {
	t.Helper()
	four := []uint8{1, 2, 3, 4}
	id := command.CeremonyID{Key: command.KeyID{9}, Epoch: 1, Try: 1}
	terms := frost.NewKey(suite, ceremonySession(identity.ClusterID{7}, id), "test", threshold, four)
	if previous != nil {
		id.Epoch = previous.Epoch() + 1
		terms = frost.Refresh(previous, ceremonySession(identity.ClusterID{7}, id), "test", four)
	}
	return &trying{id: id, terms: terms, region: r, dealings: map[identity.RegionID]*frost.Dealing{}}
}

// exchange plays the rest of a ceremony between four tries that have joined.
func exchange(t *testing.T, all []*trying) []*frost.Result {
	t.Helper()
	for _, to := range all {
		for _, from := range all {
			h, _ := from.ceremony.Hash()
			noErr(t, to.ceremony.AddHash(uint8(from.region), h))
		}
	}
	for _, to := range all {
		for _, from := range all {
			d, err := from.ceremony.Reveal()
			noErr(t, err)
			noErr(t, to.ceremony.AddDealing(uint8(from.region), d))
		}
	}
	for _, to := range all {
		for _, from := range all {
			d, err := from.ceremony.Dealt(uint8(to.region))
			noErr(t, err)
			noErr(t, to.ceremony.AddDealt(uint8(from.region), d))
		}
	}
	var out []*frost.Result
	for _, c := range all {
		r, err := c.ceremony.Finish()
		noErr(t, err)
		out = append(out, r)
	}
	return out
}

func noErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplayGivesTheSameDealing: a seed and the terms make the dealing and every dealt value
// byte for byte again, because frost reads randomness when it begins, all of it, and never
// later: the stream ends exactly there.
func TestReplayGivesTheSameDealing(t *testing.T) {
	for _, suite := range []*frost.Suite{frost.Ed25519, frost.BIP340} {
		for threshold := 2; threshold <= 4; threshold++ {
			var old []*frost.Result
			for _, kind := range []string{"new", "refresh"} {
				var first, second []*trying
				for r := identity.RegionID(1); r <= 4; r++ {
					for _, list := range []*[]*trying{&first, &second} {
						var previous *frost.PublicKey
						var share *frost.Share
						if old != nil {
							previous, share = old[r-1].Key, old[r-1].Share
						}
						a := bareTrying(t, suite, r, threshold, previous)
						noErr(t, a.join(bytes.Repeat([]byte{byte(r)}, seedSize), share))
						*list = append(*list, a)
					}
				}
				results := exchange(t, first)
				for i, again := range exchange(t, second) {
					if again.Transcript != results[i].Transcript || !bytes.Equal(again.Share.Encode(), results[i].Share.Encode()) {
						t.Errorf("%v, %d of 4, %s: region %d came to something else from the same seed", suite, threshold, kind, i+1)
					}
				}
				old = results
			}
		}
	}
}

// TestSeedIsReadToItsEnd: what Begin reads is exactly what was expanded, and it is wiped.
func TestSeedIsReadToItsEnd(t *testing.T) {
	a := bareTrying(t, frost.Ed25519, 1, 2, nil)
	for draws, want := range map[int]bool{2: false, 3: true} {
		r, err := dealingRandom(make([]byte, seedSize), a.terms.Session, draws)
		noErr(t, err)
		if _, err = frost.Begin(r, a.terms, 1, nil); (err == nil) != want {
			t.Errorf("%d numbers: %v", draws, err)
		}
		if d := r.(*drained); want && (d.Len() != 0 || slices.Max(d.stream) != 0) {
			t.Error("the stream is not used up and wiped")
		}
	}
}

// TestOneSeedServesOneTry: under the terms of another try, key, region or vault the same
// seed gives other numbers.
func TestOneSeedServesOneTry(t *testing.T) {
	seed := make([]byte, seedSize)
	id := command.CeremonyID{Key: command.KeyID{1}, Epoch: 1, Try: 1}
	sessions := [][]byte{ceremonySession(identity.ClusterID{1}, id), ceremonySession(identity.ClusterID{2}, id)}
	for _, other := range []command.CeremonyID{{Key: command.KeyID{2}, Epoch: 1, Try: 1}, {Key: id.Key, Epoch: 2, Try: 1}, {Key: id.Key, Epoch: 1, Try: 2}} {
		sessions = append(sessions, ceremonySession(identity.ClusterID{1}, other))
	}
	seen := map[string]bool{}
	for _, s := range sessions {
		r, err := dealingRandom(seed, s, 3)
		noErr(t, err)
		for range 3 {
			var b [frostDraw]byte
			_, err := io.ReadFull(r, b[:])
			noErr(t, err)
			if seen[string(b[:])] {
				t.Error("two tries share a number")
			}
			seen[string(b[:])] = true
		}
	}
}

// TestComplaintIsJudgedByTheDealing: a holder's evidence convicts the dealer in the eyes of
// another, who says so in a word of its own: the evidence is the complainer's alone.
func TestComplaintIsJudgedByTheDealing(t *testing.T) {
	same := bytes.Repeat([]byte{7}, frostDraw) // one constant, two polynomials
	dealer, liar := bareTrying(t, frost.BIP340, 1, 2, nil), bareTrying(t, frost.BIP340, 1, 2, nil)
	var err error
	dealer.ceremony, err = frost.Begin(io.MultiReader(bytes.NewReader(same), rand.Reader), dealer.terms, 1, nil)
	noErr(t, err)
	liar.ceremony, err = frost.Begin(io.MultiReader(bytes.NewReader(same), rand.Reader), liar.terms, 1, nil)
	noErr(t, err)
	all := []*trying{dealer}
	for r := identity.RegionID(2); r <= 4; r++ {
		a := bareTrying(t, frost.BIP340, r, 2, nil)
		noErr(t, a.join(bytes.Repeat([]byte{byte(r)}, seedSize), nil))
		all = append(all, a)
	}
	c := &fsm.Ceremony{Step: fsm.StepFinish, Dealers: []identity.RegionID{1, 2, 3, 4}, Holders: []identity.RegionID{1, 2, 3, 4}}
	for _, a := range all {
		hash, _ := a.ceremony.Hash()
		c.Parts = append(c.Parts, fsm.Part{Region: a.region, Hashed: true, Hash: hash})
	}
	for i, a := range append(all, liar) {
		for _, p := range c.Parts {
			if a != liar || p.Region != 1 {
				noErr(t, a.ceremony.AddHash(uint8(p.Region), p.Hash))
			}
		}
		d, err := a.ceremony.Reveal()
		noErr(t, err)
		if i < 4 {
			c.Parts[i].Dealing = d.Encode()
		}
	}
	for _, a := range all {
		noErr(t, a.hear(c))
	}
	for r := uint8(2); r <= 4; r++ {
		d, err := frost.DecodeDealing(r, c.Parts[r-1].Dealing)
		noErr(t, err)
		noErr(t, liar.ceremony.AddDealing(r, d))
	}
	wrong, err := liar.ceremony.Dealt(3)
	noErr(t, err)
	victim, judge := all[2], all[3]
	noErr(t, victim.take(1, wrong.Encode()))
	if len(victim.faults) != 1 || victim.faults[0].against != 1 || len(victim.faults[0].complaint) == 0 {
		t.Fatalf("%+v", victim.faults)
	}
	c.Parts[2].Accuses = []fsm.Accusation{{Against: 1, Complaint: victim.faults[0].complaint}}
	judge.judge(c)
	if len(judge.faults) != 1 || judge.faults[0].against != 1 || len(judge.faults[0].complaint) != 0 {
		t.Fatalf("%+v", judge.faults)
	}
	body := judge.accusation(c).(*command.AccuseDealer)
	if body.Against != 1 || len(body.Complaint) != 0 || body.Note == "" {
		t.Errorf("%+v", body)
	}
	c.Parts[3].Accuses = []fsm.Accusation{{Against: 1}}
	if again := judge.accusation(c); again != nil {
		t.Errorf("said again: %+v", again)
	}
	c.Parts[2].Accuses[0].Against = 2 // with evidence against another
	innocent := all[1]
	innocent.judge(c)
	if len(innocent.faults) != 1 || innocent.faults[0].against != 3 {
		t.Errorf("%+v", innocent.faults)
	}
}

// TestCeremonyStringsAreFixed: what every version must write alike.
func TestCeremonyStringsAreFixed(t *testing.T) {
	var cluster identity.ClusterID
	copy(cluster[:], "0123456789abcdef")
	id := command.CeremonyID{Epoch: 2, Try: 3}
	copy(id.Key[:], "fedcba9876543210")
	stream, err := dealingRandom(bytes.Repeat([]byte{5}, seedSize), ceremonySession(cluster, id), 1)
	noErr(t, err)
	random, err := io.ReadAll(stream)
	noErr(t, err)
	key := &fsm.Key{ID: id.Key, Curve: command.Secp256k1, Signers: 2}
	for what, got := range map[string][2]string{
		"session": {hex.EncodeToString(ceremonySession(cluster, id)), goldenSession},
		"random":  {hex.EncodeToString(random), goldenRandom},
		"seed":    {hex.EncodeToString(seedInfo(cluster, id, 4)), goldenSeedInfo},
		"dealt":   {hex.EncodeToString(dealtInfo(cluster, id, 4, 1)), goldenDealtInfo},
		"purpose": {ceremonyPurpose(key), goldenPurpose},
		"beacon":  {ceremonyPurpose(&fsm.Key{ID: command.BeaconKey, Curve: command.Ristretto255, Signers: 3}), goldenBeacon},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", what, got[0], got[1])
		}
	}
}

// The session is a hash over the domain, cluster, key, epoch and try; the infos show what
// they are made of.
const (
	goldenSession = "0ce190e0e4c03a174d52eda11a99f86b0ac4a0791c6b654a3251e23b22c40b50"
	goldenRandom  = "f15dd22ba7868f1253ceca8c04528ab93c61dc3ce0251310ff50f25f9ebf3d18" +
		"1153795ce0db90ba08601aaa861e9eca6d5d0734a6d852d12af0543aee2c84c8"
	goldenSeedInfo = "00000017" + "7465747261642f636572656d6f6e792f736565642f7631" + // tetrad/ceremony/seed/v1
		"30313233343536373839616263646566" + "66656463626139383736353433323130" + "00000002" + "03" + "04"
	goldenDealtInfo = "00000018" + "7465747261642f636572656d6f6e792f6465616c742f7631" + // tetrad/ceremony/dealt/v1
		"30313233343536373839616263646566" + "66656463626139383736353433323130" + "00000002" + "03" + "04" + "01"
	goldenBeacon  = "tetrad threshold key 74657472616420626561636f6e207631 ristretto255 3"
	goldenPurpose = "tetrad threshold key 66656463626139383736353433323130 secp256k1 2"
)

func TestNoteText(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", strings.Repeat("ä", 200): strings.Repeat("ä", 128), "a\nb": "see the messages of the ceremony"} {
		if got := noteText(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
	if got := noteText("a" + strings.Repeat("ä", 200)); got != "a"+strings.Repeat("ä", 127) {
		t.Errorf("cut to %d bytes", len(got))
	}
}

// TestNotices: each key is queued once, one at a time is worked on, and news that came
// meanwhile is not lost.
func TestNotices(t *testing.T) {
	n := newNotices()
	a, b := command.KeyID{1}, command.KeyID{2}
	n.add([]command.KeyID{a, b, a})
	if id, ok := n.take(); !ok || id != a {
		t.Fatal("first is not first")
	}
	n.add([]command.KeyID{a, a})
	if id, ok := n.take(); !ok || id != b {
		t.Fatal("a key that is worked on was handed out again")
	}
	if _, ok := n.take(); ok {
		t.Fatal("more than was added")
	}
	n.release(b)
	n.release(a)
	if id, ok := n.take(); !ok || id != a {
		t.Fatal("news of a key being worked on was lost")
	}
	n.release(a)
	if _, ok := n.take(); ok || len(n.state) != 0 {
		t.Fatal("something is left")
	}
}
