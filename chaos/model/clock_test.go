package model

import "testing"

func freeze(rules Rule) Freeze {
	return Freeze{Rules: rules, Lease: 2, Skew: 1, Wait: 4, Horizon: 10}
}

func TestFreeze(t *testing.T) {
	f := freeze(All)
	r := search[freezeState](f, Limit{Trace: true})
	t.Logf("lease %d, skew %d: %v", f.Lease, f.Skew, r)
	wantSound(t, r)
	if long {
		f = Freeze{Rules: All, Lease: 3, Skew: 2, Wait: 7, Horizon: 18}
		r = search[freezeState](f, Limit{})
		t.Logf("lease %d, skew %d: %v", f.Lease, f.Skew, r)
		wantSound(t, r)
	}
}

func TestEachFreezeRule(t *testing.T) {
	for _, rule := range []Rule{LeaseFresh, LeaseTwo, LeaseOwn, LeaseApplied, LeaseNewest, TimesRise, LeaseAgain, FreezeWait, FreezeNewest} {
		t.Run(rule.String(), func(t *testing.T) {
			r := search[freezeState](freeze(All.Without(rule)), Limit{Trace: true})
			t.Log(r)
			if r.Flaw == "" {
				t.Errorf("no flaw in %v", r)
			}
		})
	}
}

// One tick less than one lease and twice the skew is too short.
func TestFreezeWaitIsTight(t *testing.T) {
	f := freeze(All)
	f.Wait--
	r := search[freezeState](f, Limit{Trace: true})
	t.Log(r)
	if r.Flaw == "" {
		t.Error("a shorter wait does as well")
	}
}

func TestTerms(t *testing.T) {
	wantSound(t, search[termState](Terms{All, 6}, Limit{Trace: true}))
	for _, rule := range []Rule{TermJustified, TermNext} {
		t.Run(rule.String(), func(t *testing.T) {
			r := search[termState](Terms{All.Without(rule), 6}, Limit{Trace: true})
			t.Log(r)
			if r.Flaw == "" {
				t.Errorf("no flaw in %v", r)
			}
		})
	}
}
