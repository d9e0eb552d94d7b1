package fsm_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// move is what a liar does in one try. It does it where it can: who deals nothing spoils
// nothing.
type move struct {
	kind   string            // spoil: a box; accuse: falsely, and deliver nothing; withhold
	victim identity.RegionID // whose box, or whom
	step   fsm.CeremonyStep  // from which on it accuses or withholds
}

// dispute plays a refresh in which one region lies and all others deliver in time.
type dispute struct {
	l     *fsmtest.Log
	id    command.KeyID
	liar  identity.RegionID
	fatal func(format string, args ...any)
}

// shared returns a vault with a key that a number of regions sign for, its refresh to some
// holders begun.
func shared(signers uint8, holders []identity.RegionID) (*fsmtest.Log, command.KeyID) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	id := l.ThresholdKey("acme", "cold", command.Ed25519, signers)
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: holders}))
	return l, id
}

func (d *dispute) key() *fsm.Key {
	k, _ := d.l.Machine.View().Key(d.id)
	return k
}

// try plays one try to its end.
func (d *dispute) try(m move) {
	c := d.key().Ceremony
	this, spoils := c.ID, m.kind == "spoil" && slices.Contains(c.Dealers, d.liar) && m.victim != d.liar
	for d.key().Ceremony.Running() && d.key().Ceremony.ID == this {
		c := d.key().Ceremony
		for _, r := range c.Missing(d.wrap(c)) {
			switch lies := r == d.liar && m.kind != "spoil" && c.Step >= m.step; {
			case c.Step == fsm.StepWrap:
				d.l.Must(d.l.OfferWrap(d.l.Region(r), c.Wrap))
			case spoils && c.Step == fsm.StepFinish && r == m.victim:
				d.accuse(c, r, d.liar)
			case lies && m.kind == "accuse" && c.Step >= fsm.StepDeal:
				d.accuse(c, r, m.victim)
			case lies:
			default:
				if o := say(d.l, r, d.id); o.Code != errs.OK {
					d.fatal("region %d at %s: %s", r, c.Step, o.Text)
				}
			}
		}
		if now := d.key().Ceremony; now.Running() && now.ID == this && now.Step == c.Step {
			later(d.l, fsm.StepTime)
		}
	}
}

func (d *dispute) wrap(c *fsm.Ceremony) *fsm.Wrap {
	e, _ := d.l.Machine.View().Wrap(c.Wrap)
	return e
}

func (d *dispute) accuse(c *fsm.Ceremony, by, whom identity.RegionID) {
	if by != whom {
		d.l.Do(d.l.By(d.l.Region(by).Session, &command.AccuseDealer{Ceremony: c.ID, Against: whom, Note: "its box does not open"}))
	}
}

// play plays all tries. While a liar is no holder, or only spoils boxes, and one region
// more than sign holds the key, it ends with the new sharing; else the liar is named, alone
// or beside the one region it disputes with.
func (d *dispute) play(moves func(try uint8) move) (live bool) {
	needed, spoilsOnly := false, true
	for d.key().Ceremony.Running() {
		c := d.key().Ceremony
		m := moves(c.ID.Try)
		spoilsOnly = spoilsOnly && m.kind == "spoil"
		needed = slices.Contains(c.Holders, d.liar)
		d.try(m)
		if c = d.key().Ceremony; c == nil {
			return true
		}
		if s := c.Suspects(); len(c.Faults) > 0 && (!slices.Contains(s, d.liar) || len(s) > 2) {
			d.fatal("suspects %v without liar %d after %+v", s, d.liar, c.Faults)
		}
	}
	if k := d.key(); !(needed && !spoilsOnly) && k.Signers < 4 {
		d.fatal("given up after try %d, faults %+v", k.Ceremony.ID.Try, k.Ceremony.Faults)
	}
	return false
}

// others returns the regions but some.
func others(but ...identity.RegionID) (out []identity.RegionID) {
	for r := identity.RegionID(1); r <= 4; r++ {
		if !slices.Contains(but, r) {
			out = append(out, r)
		}
	}
	return out
}

// TestOneLiarInARefresh: whoever lies and however, as long as others can do without it the
// ceremony is through within its tries; and where they cannot it is known who it was.
func TestOneLiarInARefresh(t *testing.T) {
	rotating := func(liar identity.RegionID, try uint8) identity.RegionID {
		o := others(liar)
		return o[int(try)%len(o)]
	}
	strategies := map[string]func(liar identity.RegionID, try uint8) move{
		"spoils one":      func(r identity.RegionID, _ uint8) move { return move{"spoil", others(r)[0], 0} },
		"spoils another":  func(r identity.RegionID, _ uint8) move { return move{"spoil", others(r)[2], 0} },
		"spoils in turn":  func(r identity.RegionID, try uint8) move { return move{"spoil", rotating(r, try), 0} },
		"accuses one":     func(r identity.RegionID, _ uint8) move { return move{"accuse", others(r)[1], fsm.StepShares} },
		"accuses in turn": func(r identity.RegionID, try uint8) move { return move{"accuse", rotating(r, try), fsm.StepShares} },
		"accuses late":    func(r identity.RegionID, _ uint8) move { return move{"accuse", others(r)[0], fsm.StepFinish} },
		"deals nothing":   func(identity.RegionID, uint8) move { return move{kind: "withhold", step: fsm.StepShares} },
		"does not finish": func(identity.RegionID, uint8) move { return move{kind: "withhold", step: fsm.StepFinish} },
		"spoils, accuses ": func(r identity.RegionID, try uint8) move {
			return move{[]string{"spoil", "accuse"}[try%2], others(r)[0], fsm.StepFinish}
		},
	}
	for name, moves := range strategies {
		for signers := uint8(2); signers <= 4; signers++ {
			for liar := identity.RegionID(1); liar <= 4; liar++ {
				for _, holders := range [][]identity.RegionID{others(), others(liar), others(liar%4 + 1)} {
					if len(holders) < int(signers) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%d of 4/%d to %v", name, signers, liar, holders), func(t *testing.T) {
						t.Parallel()
						l, id := shared(signers, holders)
						d := &dispute{l, id, liar, t.Fatalf}
						live := d.play(func(try uint8) move { return moves(liar, try) })
						if c := d.key().Ceremony; !live && (name == "spoils in turn" || name == "accuses in turn" || name == "deals nothing" || name == "does not finish") && len(c.Suspects()) != 1 {
							t.Errorf("suspects %v, faults %+v", c.Suspects(), c.Faults)
						}
					})
				}
			}
		}
	}
}

// TestOneLiarOfAnyKind: the same for whatever it does next.
func TestOneLiarOfAnyKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		region := func(what string) identity.RegionID { return identity.RegionID(rapid.IntRange(1, 4).Draw(t, what)) }
		holders, signers := others(), uint8(rapid.IntRange(2, 4).Draw(t, "signers"))
		if signers < 4 && rapid.Bool().Draw(t, "reshare") {
			holders = others(region("left out"))
		}
		l, id := shared(signers, holders)
		d := &dispute{l, id, region("liar"), t.Fatalf}
		d.play(func(uint8) move {
			return move{rapid.SampledFrom([]string{"spoil", "accuse", "withhold"}).Draw(t, "kind"), region("victim"),
				fsm.CeremonyStep(rapid.IntRange(int(fsm.StepHash), int(fsm.StepFinish)).Draw(t, "step"))}
		})
	})
}
