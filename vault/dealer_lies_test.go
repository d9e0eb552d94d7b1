package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// wrongDealings are what a region may publish in place of its dealing.
func wrongDealings(curve command.Curve) map[string]func(d []byte) []byte {
	const head = 36 // version, suite, terms, region, count
	size := map[command.Curve]int{ed25519Curve: 32, taproot: 33}[curve]
	point := func(fill func(p []byte)) func(d []byte) []byte {
		return func(d []byte) []byte {
			clear(d[head : head+size])
			fill(d[head : head+size])
			return d
		}
	}
	out := map[string]func(d []byte) []byte{
		"longer": func(d []byte) []byte {
			d[head-1]++
			return slices.Insert(d, head, d[head:head+size]...)
		},
		"shorter": func(d []byte) []byte {
			d[head-1]--
			return slices.Delete(d, head, head+size)
		},
		"proof":         func(d []byte) []byte { d[len(d)-40] ^= 1; return d },
		"other terms":   func(d []byte) []byte { d[2] ^= 1; return d },
		"other region":  func(d []byte) []byte { d[head-2] = 3; return d },
		"no dealing":    func([]byte) []byte { return []byte("no dealing") },
		"zeroes":        point(func([]byte) {}),
		"all ones":      point(func(p []byte) { copy(p, bytes.Repeat([]byte{255}, size)) }),
		"other version": func(d []byte) []byte { d[0]++; return d },
	}
	if curve == ed25519Curve {
		out["identity"] = point(func(p []byte) { p[0] = 1 })
		out["order two"] = point(func(p []byte) { copy(p, bytes.Repeat([]byte{255}, 32)); p[0], p[31] = 0xec, 0x7f })
		out["order four"] = point(func([]byte) {})
		out["order eight"] = point(func(p []byte) {
			copy(p, []byte{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
				0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05})
		})
	}
	return out
}

// inOrder lists the names of a table, so that a sample of it is the same in every run.
func inOrder[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }

// worstDealings are in the short form whatever the sample: points that a check on the curve
// alone lets pass, and a higher threshold.
var worstDealings = []string{"identity", "order eight", "longer"}

// TestWrongDealing: what everybody sees to be wrong ends the try at once, and names who
// sent it.
func TestWrongDealing(t *testing.T) {
	i := 0
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		dealings := wrongDealings(curve)
		for _, name := range inOrder(dealings) {
			change := dealings[name]
			t.Run(curve.String()+"/"+name, func(t *testing.T) {
				if !slices.Contains(worstDealings, name) {
					sample(t, &i, 15)
				}
				simulate(t, func(t *testing.T, w *world) {
					l := w.liar(curve)
					l.hashed, l.dealing = change, change
					l.begin()
					l.reveal()
					l.convicted(fsm.StepShares)
				})
			})
		}
	}
}

// TestOtherDealingThanHashed: a valid dealing that is not the one committed to.
func TestOtherDealingThanHashed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		l := w.liar(taproot)
		l.dealing = func([]byte) []byte { return l.own(l.other) }
		l.begin()
		l.reveal()
		l.convicted(fsm.StepShares)
	})
}

// TestReplayedDealing: what was right in the try before is refused in the next.
func TestReplayedDealing(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		l := w.liar(ed25519Curve)
		l.begin()
		old := l.own(l.honest)
		l.reveal()
		l.eventually("the first try fails for want of the shares", func() bool { return len(l.faults(l.key)) > 0 })
		l.id = command.CeremonyID{}
		l.hashed = func([]byte) []byte { return old }
		l.dealing = l.hashed
		l.begin()
		l.reveal()
		l.eventually("the second try fails", func() bool { return len(l.faults(l.key)) > 1 })
		if f := l.faults(l.key)[1]; f.Region != 4 || f.Try != 2 || len(f.By) < 2 {
			t.Errorf("fault %+v", f)
		}
		l.reformed()
	})
}

// TestWrongDealtValue: a value off the polynomial that its dealer signed convicts it by one
// holder's complaint; one it did not sign needs a second holder to say the same.
func TestWrongDealtValue(t *testing.T) {
	i := 0
	spoil := func(which ...uint8) func(to uint8, plain []byte) []byte {
		return func(to uint8, plain []byte) []byte {
			if slices.Contains(which, to) {
				plain[40] ^= 1
			}
			return plain
		}
	}
	values := map[string]func(l *liar){
		"signed, to one": func(l *liar) {
			l.forged = true
			l.boxes = func(boxes [][]byte) [][]byte { return l.rightBut(boxes, 0) }
		},
		"signed, to all":       func(l *liar) { l.forged = true },
		"not signed, to two":   func(l *liar) { l.dealt = spoil(1, 3) },
		"not signed, to all":   func(l *liar) { l.dealt = spoil(1, 2, 3, 4) },
		"of another holder":    func(l *liar) { l.boxes = func(b [][]byte) [][]byte { b[0], b[1] = b[1], b[0]; return b } },
		"no boxes":             func(l *liar) { l.boxes = func(b [][]byte) [][]byte { b[1], b[2] = []byte{1}, []byte{2}; return b } },
		"something else in it": func(l *liar) { l.dealt = func(uint8, []byte) []byte { return []byte("not a dealt value") } },
		"another's name in it": func(l *liar) { l.dealt = func(_ uint8, p []byte) []byte { p[34] = 3; return p } },
		"meant for another":    func(l *liar) { l.dealt = func(to uint8, p []byte) []byte { p[35] = to%4 + 1; return p } },
	}
	for _, name := range inOrder(values) {
		prepare := values[name]
		for _, curve := range []command.Curve{ed25519Curve, taproot} {
			t.Run(name+"/"+curve.String(), func(t *testing.T) {
				sample(t, &i, 14) // one that its dealer signed, one that it did not
				simulate(t, func(t *testing.T, w *world) {
					l := w.liar(curve)
					prepare(l)
					l.begin()
					l.reveal()
					l.share()
					l.convicted(fsm.StepFinish)
				})
			})
		}
	}
}

// TestOneBoxThatDoesNotOpen: nobody but its holder can know, so nobody else says so; the try
// ends at the deadline, and both are named.
func TestOneBoxThatDoesNotOpen(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		l := w.liar(ed25519Curve)
		l.boxes = func(b [][]byte) [][]byte { b[1] = b[0]; return b }
		l.begin()
		l.reveal()
		l.share()
		l.at(fsm.StepFinish)
		var said []fsm.Accusation
		l.eventually("region 2 says so", func() bool {
			p := l.keyRow(l.key).Ceremony.Part(2)
			said = p.Accuses
			return len(said) > 0
		})
		if said[0].Against != 4 || len(said[0].Complaint) != 0 || said[0].Note == "" || len(said) != 1 {
			t.Errorf("%+v", said)
		}
		l.eventually("the try failed", func() bool { return len(l.faults(l.key)) > 0 })
		f := l.faults(l.key)
		named := func(r identity.RegionID, by ...identity.RegionID) bool {
			return slices.ContainsFunc(f, func(f fsm.Fault) bool { return f.Region == r && slices.Equal(f.By, by) })
		}
		if !named(2) || !named(4, 2) {
			t.Errorf("faults %+v", f)
		}
		l.reformed()
	})
}

// spoils has region 4 deal one holder, by place, what nobody else can see to be wrong. last
// is the try in which it dealt.
func (w *world) spoils(victim func(try uint8) int) (last *atomic.Uint32) {
	last = new(atomic.Uint32)
	w.set(func() {
		w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
			b, ok := body.(*command.DealShares)
			if !ok || from != 4 {
				return body
			}
			last.Store(uint32(b.Ceremony.Try))
			other := *b
			other.Sealed = slices.Clone(b.Sealed)
			other.Sealed[victim(b.Ceremony.Try)] = []byte("of no use")
			return &other
		}
	})
	return last
}

// spoilt are whom a liar may spoil: one holder after the other, or the same one for ever.
var spoilt = map[string]func(try uint8) int{
	"in turn":       func(try uint8) int { return int(try) % 3 },
	"the first":     func(uint8) int { return 0 },
	"the third one": func(uint8) int { return 2 },
}

// TestReshareFromALiar: the three others take over from a region that spoils boxes, after
// the first try: whom its victim accuses is left out.
func TestReshareFromALiar(t *testing.T) {
	for signers := uint8(2); signers <= 3; signers++ {
		for name, victim := range spoilt {
			t.Run(fmt.Sprint(name, signers), func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					first := w.threshold(ed25519Curve, signers)
					last := w.spoils(victim)
					w.refresh(first.ID, 1, 2, 3)
					k := w.live(first.ID, 2)
					if last.Load() != 1 || !bytes.Equal(k.Point, first.Point) {
						t.Errorf("it dealt until try %d, want 1; key %x", last.Load(), k.Point)
					}
					w.neverMixed(4)
				})
			})
		}
	}
}

// TestBeaconFromALiar: the same of the beacon, which three deal; and while the liar stays a
// holder.
func TestBeaconFromALiar(t *testing.T) {
	for name, victim := range spoilt {
		for _, holders := range [][]identity.RegionID{{1, 2, 3}, everyone} {
			t.Run(fmt.Sprint(name, holders), func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					last := w.spoils(victim)
					w.refresh(command.BeaconKey, holders...)
					if k := w.live(command.BeaconKey, 1); last.Load() != 1 || len(k.Sharing.Shares) != len(holders) {
						t.Errorf("it dealt until try %d, want 1; %d shares", last.Load(), len(k.Sharing.Shares))
					}
					w.neverMixed(4)
				})
			})
		}
	}
}

// TestFalseComplaint: who complains of what is right, was never signed, or is no complaint,
// convicts itself.
func TestFalseComplaint(t *testing.T) {
	i := 0
	complaints := map[string]func(l *liar) (against identity.RegionID, complaint []byte){
		"of a right value": func(l *liar) (identity.RegionID, []byte) { return 1, l.complaint(1, nil) },
		"of a value never signed": func(l *liar) (identity.RegionID, []byte) {
			return 1, l.complaint(1, func(plain []byte) { plain[40] ^= 1 })
		},
		"of another than it accuses": func(l *liar) (identity.RegionID, []byte) { return 2, l.complaint(1, nil) },
		"of nothing":                 func(l *liar) (identity.RegionID, []byte) { return 1, []byte("nothing") },
	}
	for _, name := range inOrder(complaints) {
		complaint := complaints[name]
		t.Run(name, func(t *testing.T) {
			sample(t, &i, 4)
			simulate(t, func(t *testing.T, w *world) {
				l := w.liar(taproot)
				l.begin()
				l.reveal()
				l.share()
				l.at(fsm.StepFinish)
				against, c := complaint(l)
				l.say(&command.AccuseDealer{Ceremony: l.id, Against: against, Complaint: c, Note: "lies"})
				l.convicted(fsm.StepFinish)
			})
		})
	}
}

// TestBareAccusation: one region's word without anything to see ends nothing.
func TestBareAccusation(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		l := w.liar(ed25519Curve)
		l.begin()
		l.reveal()
		l.share()
		l.at(fsm.StepFinish)
		l.say(&command.AccuseDealer{Ceremony: l.id, Against: 1, Note: "I do not like it"})
		l.eventually("the try failed", func() bool { return len(l.faults(l.key)) > 0 })
		if f := l.faults(l.key)[0]; f.Region != 4 || len(f.By) != 0 {
			t.Errorf("fault %+v", f)
		}
		l.reformed()
	})
}

// TestDifferingFinish: a holder that says something else than all others at the end is to
// blame, whatever it is, and nothing goes live.
func TestDifferingFinish(t *testing.T) {
	i := 0
	finishes := map[string]func(b *command.FinishShare){
		"transcript": func(b *command.FinishShare) { b.Transcript[0] ^= 1 },
		"public":     func(b *command.FinishShare) { b.Public[20] ^= 1 },
		"point":      func(b *command.FinishShare) { b.Point[5] ^= 1 },
		"chain":      func(b *command.FinishShare) { b.Chain[5] ^= 1 },
	}
	for _, name := range inOrder(finishes) {
		change := finishes[name]
		t.Run(name, func(t *testing.T) {
			sample(t, &i, 3)
			simulate(t, func(t *testing.T, w *world) {
				w.set(func() {
					w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
						if b, ok := body.(*command.FinishShare); ok && from == 4 && b.Ceremony.Try == 1 {
							other := *b
							other.Public, other.Point = bytes.Clone(b.Public), bytes.Clone(b.Point)
							change(&other)
							return &other
						}
						if b, ok := body.(*command.HashDealing); ok && b.Ceremony.Try == 2 && from == 4 {
							return nil // so that the fault stays to be seen
						}
						return body
					}
				})
				id := w.newThreshold(taproot, 2)
				w.eventually("the try failed", func() bool { return len(w.faults(id)) > 0 })
				if f := w.faults(id)[0]; f.Region != 4 || !slices.Equal(f.By, []identity.RegionID{1, 2, 3}) {
					t.Errorf("fault %+v", f)
				}
				w.set(func() { w.rewrite = nil })
				w.live(id, 1)
				w.neverMixed(4)
			})
		})
	}
}

// TestRefreshWithALiar: a region that spoils a refresh is left out of the dealers of the next
// try, and gets its new share all the same.
func TestRefreshWithALiar(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		id := w.threshold(taproot, 2).ID
		w.set(func() {
			w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
				if b, ok := body.(*command.Deal); ok && from == 4 {
					other := *b
					other.Dealing = bytes.Clone(b.Dealing)
					other.Dealing[len(other.Dealing)-40] ^= 1
					return &other
				}
				return body
			}
		})
		w.refresh(id)
		k := w.live(id, 2)
		dealings := map[identity.RegionID]int{}
		for from, list := range filed[*command.HashDealing](w) {
			for _, b := range list {
				if b.Ceremony.Epoch == 2 {
					dealings[from] = max(dealings[from], int(b.Ceremony.Try))
				}
			}
		}
		if dealings[4] != 1 || dealings[1] != 2 || dealings[2] != 2 || dealings[3] != 2 {
			t.Errorf("last tries dealt in: %v", dealings)
		}
		if len(k.Sharing.Shares) != 4 {
			t.Errorf("%d holders", len(k.Sharing.Shares))
		}
		w.neverMixed(4)
	})
}

// TestUnfitWrappingKey: nothing is sealed to a key that could outlive its epoch outside the
// HSM, or that is none; all say whose it is, and the key goes on with the sharing it has.
func TestUnfitWrappingKey(t *testing.T) {
	i := 0
	const worst = "can leave its HSM" // in the short form whatever the sample
	offers := map[string]func(b *command.OfferWrap){
		worst:            func(b *command.OfferWrap) { b.Attributes = []byte("extractable") },
		"no key":         func(b *command.OfferWrap) { b.Public = []byte("none") },
		"another length": func(b *command.OfferWrap) { b.Public = append(bytes.Clone(b.Public), 0) },
		"low order": func(b *command.OfferWrap) {
			b.Public = bytes.Clone(b.Public)
			clear(b.Public[len(b.Public)-32:]) // the half of X25519
		},
	}
	for _, name := range inOrder(offers) {
		change := offers[name]
		t.Run(name, func(t *testing.T) {
			if name != worst {
				sample(t, &i, 3)
			}
			simulate(t, func(t *testing.T, w *world) { w.unfit(change) })
		})
	}
}

func (w *world) unfit(change func(b *command.OfferWrap)) {
	id := w.threshold(ed25519Curve, 2).ID
	w.refresh(id, 1, 2, 3)
	w.live(id, 2)
	w.passes(2 * time.Minute)
	w.offersOther(4, change)
	w.refresh(id, everyone...)
	w.eventually("given up", func() bool {
		c := w.keyRow(id).Ceremony
		return c != nil && c.Step == fsm.StepFailed
	})
	for _, f := range w.faults(id) {
		if f.Region != 4 || f.Step != fsm.StepShares || len(f.By) < 2 {
			w.t.Errorf("fault %+v", f)
		}
	}
	for _, list := range filed[*command.DealShares](w) {
		for _, b := range list {
			if b.Ceremony.Epoch == 3 {
				w.t.Error("something was sealed to it")
			}
		}
	}
	w.live(id, 2)
}

// offersOther has a region offer another wrapping key than its HSM made, signed by itself.
func (w *world) offersOther(region identity.RegionID, change func(b *command.OfferWrap)) {
	w.set(func() {
		w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
			b, ok := body.(*command.OfferWrap)
			if !ok || from != region {
				return body
			}
			other := *b
			change(&other)
			sig, err := w.kit.Region(region).Identity.Sign(context.Background(),
				command.WrapBytes(w.kit.Cluster(), region, b.Epoch, other.Public, other.Sealed, other.Attributes))
			w.ok(err)
			other.Identity = sig
			return &other
		}
	})
}
