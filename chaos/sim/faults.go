package sim

import (
	"math/rand"
	"strings"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// Fault names a kind of fault.
type Fault string

// Faults of the network. One is in force at a time.
const (
	CutOne     Fault = "cut-one"     // three against one
	CutLeader  Fault = "cut-leader"  // the same, against whoever leads
	CutHalf    Fault = "cut-half"    // two against two
	CutOneWay  Fault = "cut-one-way" // one is not heard, but hears
	Deafen     Fault = "deafen"      // one does not hear, but is heard
	CutRing    Fault = "cut-ring"    // each reaches two neighbours only
	CutBridge  Fault = "cut-bridge"  // two halves that only one site joins
	SlowLinks  Fault = "slow-links"  // to and from one site
	ResetLinks Fault = "reset-links" // connections break, new ones can be made
	Pause      Fault = "pause"       // a site stands still: neither network nor disk moves
)

// Faults of a site. One is in force at a time.
const (
	Kill        Fault = "kill"          // SIGKILL; back when the fault ends
	KillLeader  Fault = "kill-leader"   //
	PowerOff    Fault = "power-off"     // unsynced writes are lost
	KillAll     Fault = "kill-all"      //
	PowerOffAll Fault = "power-off-all" //
	Restart     Fault = "restart"       // orderly
	HSMFails    Fault = "hsm-fails"     // every call
	HSMHangs    Fault = "hsm-hangs"     //
	HSMGone     Fault = "hsm-gone"      // pulled out and put back
	DiskFull    Fault = "disk-full"     //
	DiskSlow    Fault = "disk-slow"     //
	LeafFails   Fault = "leaf-fails"    // the leaf store's writes fail
	LeafDamage  Fault = "leaf-damage"   // a bit of a stored leaf flips
)

var networkFaults = []Fault{CutOne, CutLeader, CutLeader, CutHalf, CutOneWay, Deafen, CutRing, CutBridge, SlowLinks, ResetLinks, Pause, Pause}

var siteFaults = []Fault{Kill, KillLeader, KillLeader, PowerOff, PowerOff, KillAll, PowerOffAll, Restart, HSMFails, HSMHangs, HSMGone,
	DiskFull, DiskSlow, LeafFails, LeafDamage}

// begin starts a fault and returns what ends it.
func (w *World) begin(e *Event) (end func()) {
	hosts, first := w.hosts(), e.Sites[0]
	heal := func() { w.Net.HealAll() }
	switch e.Fault {
	case CutLeader, KillLeader:
		first = w.leader()
	}
	switch e.Fault {
	case CutOne, CutLeader:
		return w.isolate(first)
	case CutHalf:
		w.cut(e.Sites[:2], e.Sites[2:])
		return heal
	case CutOneWay, Deafen:
		for _, other := range e.Sites[1:] {
			from, to := hosts[first], hosts[other]
			if e.Fault == Deafen {
				from, to = to, from
			}
			w.Net.CutOneWay(from, to)
		}
		return heal
	case CutRing:
		w.cut(e.Sites[:1], e.Sites[2:3])
		w.cut(e.Sites[1:2], e.Sites[3:])
		return heal
	case CutBridge:
		w.cut(e.Sites[1:2], e.Sites[2:])
		return heal
	case SlowLinks:
		return w.slow(first, e.Sites[1:])
	case ResetLinks:
		for _, other := range e.Sites[1:] {
			w.Net.ResetLink(hosts[first], hosts[other])
		}
		return func() {}
	case Pause:
		return w.pause(first)
	}
	return w.beginAtSite(e, first)
}

func (w *World) beginAtSite(e *Event, site int) (end func()) {
	device, disk := w.Sites[site].Device, w.disk(site)
	switch e.Fault {
	case Kill, KillLeader:
		return w.down(orderKill, site)
	case PowerOff:
		return w.down(orderPowerOff, site)
	case KillAll:
		return w.down(orderKill, e.Sites...)
	case PowerOffAll:
		return w.down(orderPowerOff, e.Sites...)
	case Restart:
		return w.down(orderStop, site)
	case HSMFails:
		device.Fail(func(sealtest.Op) error { return &seal.TokenError{Fault: seal.FaultToken, Op: "any", Err: syscall.EIO} })
		return func() { device.Fail(nil) }
	case HSMHangs:
		return device.Hang()
	case HSMGone:
		device.Vanish()
		return device.Return
	case DiskFull:
		disk.SetCapacity(disk.Used() + 100)
		return func() { w.disk(site).SetCapacity(0) }
	case DiskSlow:
		return w.slowDisk(site, 300*time.Millisecond)
	case LeafFails:
		disk.Inject(durabletest.Rule{Prefix: "leaves/", Times: -1, Err: durabletest.ErrIO})
		return func() { w.disk(site).Heal() }
	case LeafDamage:
		w.damage(site, int64(e.At))
	}
	return func() {}
}

// disk returns the site's present disk: a crash since the fault began has replaced it.
func (w *World) disk(site int) *durabletest.Disk {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Sites[site].Disk
}

func (w *World) raft(site int) *clustertest.Store {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Sites[site].Raft
}

func (w *World) cut(a, b []int) {
	hosts := w.hosts()
	for _, x := range a {
		for _, y := range b {
			w.Net.Cut(hosts[x], hosts[y])
		}
	}
}

func (w *World) isolate(site int) (end func()) {
	hosts := w.hosts()
	from := time.Now()
	w.Net.Isolate(hosts[site], hosts...)
	return func() {
		w.History.Record(chaos.Isolation{Region: region(site), From: from, To: time.Now()})
		w.Net.HealAll()
	}
}

func (w *World) slow(site int, others []int) (end func()) {
	hosts := w.hosts()
	set := func(d time.Duration) {
		for _, o := range others {
			w.Net.SetLinkLatency(hosts[site], hosts[o], d)
			w.Net.SetLinkLatency(hosts[o], hosts[site], d)
		}
	}
	set(10 * w.plan.Latency)
	return func() { set(w.plan.Latency) }
}

// pause is as near to SIGSTOP as one process can come to another in the same process.
func (w *World) pause(site int) (end func()) {
	heal := w.isolate(site)
	wake := w.slowDisk(site, time.Hour)
	return func() { wake(); heal() }
}

// slowDisk delays every write of a site by d, or until the returned function is called.
func (w *World) slowDisk(site int, d time.Duration) (end func()) {
	ended := make(chan struct{})
	raft := w.raft(site)
	raft.SetHook(func(string) error {
		select {
		case <-ended:
		case <-time.After(d):
		}
		return nil
	})
	return func() { close(ended); raft.SetHook(nil) }
}

// damage flips a bit somewhere in the stored audit leaves.
func (w *World) damage(site int, seed int64) {
	disk, rng := w.disk(site), rand.New(rand.NewSource(seed))
	for _, name := range disk.Names() {
		if !strings.HasPrefix(name, "leaves/segment-") {
			continue
		}
		if b, err := disk.ReadFile(name); err == nil && len(b) > 0 {
			_ = disk.Flip(name, rng.Int63n(int64(len(b))))
		}
	}
}

// down takes sites down until the fault ends.
func (w *World) down(o order, which ...int) (end func()) {
	for _, i := range which {
		w.keepers[i].orders <- o
	}
	return func() {
		for _, i := range which {
			w.keepers[i].orders <- orderUp
		}
	}
}
