package cluster

import (
	"crypto/rand"
	"errors"
	mrand "math/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func someCommand(reason string) *command.Command {
	var id command.ID
	_, _ = rand.Read(id[:])
	c, err := command.New(&command.FreezeVault{Reason: reason}, identity.Fingerprint{1}, id, time.Now().Add(time.Hour), rand.Reader)
	if err != nil {
		panic(err)
	}
	c.Signatures = []command.Signature{{Principal: c.Principal, Sig: make([]byte, 64)}}
	return c
}

func anyCommand(*command.Command) error { return nil }

// consistent checks the counts of d against what it holds.
func (d *dues) consistent(t *testing.T) {
	t.Helper()
	told, open, bytes, tests := map[identity.RegionID]int{}, 0, 0, 0
	for _, q := range d.owed {
		if q.open {
			open++
			told[q.from]++
		}
		if q.test {
			tests++
		}
	}
	for _, q := range d.brought {
		bytes += q.size
	}
	for r, n := range d.told {
		if told[r] != n || n > maxShown && r != d.self {
			t.Fatalf("region %d has %d open, counted are %d, at most %d may be", r, told[r], n, maxShown)
		}
	}
	if open+len(d.brought) != len(d.owed) || bytes != d.bytes || tests != d.tests || tests > maxTests || len(d.brought) > maxBrought || bytes > maxBroughtBytes {
		t.Fatalf("%d owed, %d open, %d brought of %d bytes (%d), %d tests (%d)", len(d.owed), open, len(d.brought), bytes, d.bytes, tests, d.tests)
	}
}

// TestDuesAreBounded does whatever regions and clients may do, in random order.
func TestDuesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := mrand.New(mrand.NewSource(7))
		d := newDues(1)
		var all []*command.Command
		pick := func() *command.Command {
			if len(all) > 0 && rng.Intn(2) == 0 {
				return all[rng.Intn(len(all))]
			}
			all = append(all, someCommand("x"))
			return all[len(all)-1]
		}
		for range 20_000 {
			switch c := pick(); rng.Intn(8) {
			case 0, 1:
				if q := d.bring(c); q != nil && rng.Intn(4) == 0 {
					d.put(q)
				}
			case 2, 3:
				_ = d.show(identity.RegionID(2+rng.Intn(3)), c, func(*command.Command) error {
					if rng.Intn(4) == 0 {
						return errs.New(errs.Expired, "no")
					}
					return nil
				})
			case 4:
				d.ripe(time.Second, anyCommand)
			case 5:
				d.applied([]fsm.Input{{Entry: &command.Entry{Commands: []*command.Command{c}}}}, [][]fsm.Outcome{{{Code: errs.OK}}})
			case 6:
				d.under(uint64(rng.Intn(3)), identity.RegionID(2+rng.Intn(3)))
			case 7:
				time.Sleep(time.Duration(rng.Intn(300)) * time.Millisecond)
				if q := d.bring(c); q != nil && rng.Intn(2) == 0 {
					d.drop(q)
				}
			}
			d.consistent(t)
		}
		d.restored()
		if d.consistent(t); len(d.owed) != 0 {
			t.Errorf("%d dues outlive a restored state", len(d.owed))
		}
	})
}

// TestShownIsLookedAtSeldom: however much a region shows, few commands are judged, and one
// that is known is not judged again.
func TestShownIsLookedAtSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, looks := newDues(1), 0
		refuse := func(*command.Command) error { looks++; return errors.New("nobody's") }
		begin := time.Now()
		for range 2000 {
			_ = d.show(2, someCommand("junk"), refuse)
			time.Sleep(5 * time.Millisecond)
		}
		if most := showBurst + int(showRate*time.Since(begin).Seconds()) + 1; looks > most {
			t.Errorf("%d commands of one region judged in %s, at most %d may be", looks, time.Since(begin), most)
		}
		if err := d.show(3, someCommand("another region's"), anyCommand); err != nil {
			t.Errorf("one region's junk keeps out what another shows: %v", err)
		}
		time.Sleep(time.Minute)
		c := someCommand("good")
		looks = 0
		for range 100 {
			_ = d.show(2, c, func(*command.Command) error { looks++; return nil })
		}
		if looks != 1 {
			t.Errorf("one command was judged %d times", looks)
		}
		for range maxShown + 3 {
			_ = d.show(4, someCommand("good"), anyCommand)
		}
		if d.told[4] != maxShown {
			t.Errorf("%d commands of one region are watched, not %d", d.told[4], maxShown)
		}
	})
}

// TestOnlyTheSameCommandIsDecided: with another payload, or another signature, it is not.
func TestOnlyTheSameCommandIsDecided(t *testing.T) {
	d, c := newDues(1), someCommand("one")
	q := d.bring(c)
	apply := func(c *command.Command) {
		d.applied([]fsm.Input{{Entry: &command.Entry{Commands: []*command.Command{c}}}}, [][]fsm.Outcome{{{Code: errs.Unauthenticated}}})
	}
	payload, signature := *c, *c
	payload.Fields = append([]command.Field(nil), c.Fields...)
	payload.Fields[0].Value = append([]byte("x"), c.Fields[0].Value...)
	signature.Signatures = []command.Signature{{Principal: c.Principal, Sig: append([]byte{1}, c.Signatures[0].Sig[1:]...)}}
	for what, altered := range map[string]*command.Command{"payload": &payload, "signature": &signature} {
		if apply(altered); q.seen {
			t.Errorf("another %s counts as a decision", what)
		}
	}
	if apply(c); !q.seen { // whatever the outcome
		t.Error("a refusal in the log is no decision")
	}
}

// TestPatience: time begins anew under another leader, and is longer where much is carried
// out or the own log lags.
func TestPatience(t *testing.T) {
	d := newDues(1)
	if err := d.show(2, someCommand("x"), anyCommand); err != nil {
		t.Fatal(err)
	}
	q := d.opened()[0]
	const turn, patience = 250 * time.Millisecond, time.Second
	turns := func(lags bool) (n int) {
		for n = 1; !d.age(q, turn, patience, lags); n++ {
		}
		return n
	}
	d.under(3, 4)
	if n := turns(false); n != 4 {
		t.Errorf("%d turns, want 4", n)
	}
	if d.under(3, 4); !d.age(q, turn, patience, false) {
		t.Error("the same leader began anew")
	}
	if d.under(4, 4); turns(true) != 16 {
		t.Error("a region that lags did not wait longer")
	}
	d.under(5, 4)
	d.decided += busyCommands
	if n := turns(false); n != 16 {
		t.Errorf("under load %d turns, want 16", n)
	}
}

// TestComplaintsCount: those of other regions about the present leader, lately, once each.
func TestComplaintsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDues(1)
		d.under(5, 4)
		for range 10 {
			d.complained(2, 5)
		}
		d.complained(4, 5) // the leader of itself
		d.complained(1, 5) // somebody in this region's name
		d.complained(3, 4) // of an earlier leader
		if n := d.complaints(time.Second); n != 1 {
			t.Errorf("%d complaints count, want 1", n)
		}
		time.Sleep(2 * time.Second)
		d.complained(3, 5)
		if n := d.complaints(time.Second); n != 1 {
			t.Errorf("%d complaints count after a while, want 1", n)
		}
		d.under(6, 2)
		if n := d.complaints(time.Second); n != 0 {
			t.Errorf("%d complaints outlive their leader", n)
		}
	})
}

// TestLeavingIsRare: where leaving a leader helps nothing, it happens ever more seldom.
func TestLeavingIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDues(1)
		for i, want := range []time.Duration{restLeast, 2 * restLeast, restMost, restMost} {
			if got := d.leave(); got != want {
				t.Errorf("rest %d is %s, want %s", i, got, want)
			}
			if time.Sleep(want - time.Millisecond); !d.rests() {
				t.Error("the rest ended early")
			}
			if time.Sleep(2 * time.Millisecond); d.rests() {
				t.Error("the rest does not end")
			}
		}
		time.Sleep(2 * restMost)
		if got := d.leave(); got != restLeast {
			t.Errorf("long after the last time the rest is %s", got)
		}
	})
}
