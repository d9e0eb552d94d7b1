//go:build liar

package liar_test

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// refreshBeacon renews the shares of the beacon key, from when on the genesis's are of no
// use, and reports whether that came to an end.
func (w *world) refreshBeacon(within time.Duration) bool {
	w.dual(&command.RefreshKey{Key: command.BeaconKey, Reason: "a liar about"})
	founded := func(s *nodetest.Site) bool { return s.Node.View().BeaconKey().Sharing.Founded() }
	for end := time.Now().Add(within); slices.ContainsFunc(w.Sites, founded); time.Sleep(time.Second) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func beaconRefreshed(w *world) {
	if !w.refreshBeacon(2 * time.Minute) {
		w.t.Fatal("the beacon key is not refreshed")
	}
}

// beaconAllTheSame wants the beacon key to be refreshed within the tries there are, and the
// liar to be blamed.
func beaconAllTheSame(w *world) {
	blamed := make(chan bool, 1)
	go func() { blamed <- w.beaconBlames() }()
	if !w.refreshBeacon(130 * time.Second) {
		w.saw("the refresh of the beacon key does not end")
	}
	if !<-blamed {
		w.t.Error("nobody blames the liar")
	}
}

// beaconBlames looks, until the refresh is over, for a fault of the liar's. The last try may
// be over within a few round trips, and with it what the tries before it found.
func (w *world) beaconBlames() (named bool) {
	for end := time.Now().Add(130 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		k := w.view().BeaconKey()
		if k.Ceremony != nil {
			for _, f := range k.Ceremony.Faults {
				named = named || f.Region == region(w.liar)
			}
		}
		if !k.Sharing.Founded() {
			break
		}
	}
	return named
}
