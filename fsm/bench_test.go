package fsm_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// BenchmarkApply measures one signature's share of Apply: its request and its part of a
// completion, in entries of the given size, signature checks left out.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 32} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkApply(b, size) })
	}
}

func benchmarkApply(b *testing.B, size int) {
	trust := func(identity.PublicKey, []byte, []byte) bool { return true }
	l, signer, key := fsmtest.New().Ready(fsm.Options{Verify: trust})
	payload := make([]byte, 600)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += size {
		b.StopTimer()
		l.Now = l.Now.Add(10 * time.Millisecond)
		commands := make([]*command.Command, size)
		ids := make([]command.RequestID, size)
		for i := range commands {
			commands[i] = l.By(signer, &command.RequestSignature{Key: key, Kind: command.KindMessage,
				Hash: command.HashSHA256, Payload: payload})
			ids[i] = command.RequestIDOf(signer.Public().Fingerprint(), commands[i].ID)
		}
		requests := l.Input(commands...)
		l.Inputs = nil
		b.StartTimer()
		l.Machine.Apply([]fsm.Input{requests})
		b.StopTimer()
		completion := l.Input(l.Completion(l.Region(1), [32]byte{1}, []identity.RegionID{1, 2}, ids...))
		l.Inputs = nil
		b.StartTimer()
		if n := len(l.Machine.Apply([]fsm.Input{completion})[0].Completed); n != size {
			b.Fatalf("%d of %d completed", n, size)
		}
	}
}

// BenchmarkApplyThreshold measures one signature's share of Apply for a threshold key, in
// entries of 32: its request, its part of a completion, and of what fills the pools.
func BenchmarkApplyThreshold(b *testing.B) {
	trust := func(identity.PublicKey, []byte, []byte) bool { return true }
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{Verify: trust})
	const n = 32
	var inputs []fsm.Input
	for len(inputs) < 3*(b.N/n+1) {
		var offers, requests []*command.Command
		for _, r := range l.Regions {
			offers = append(offers, l.OfferNonces(r, command.Ed25519, n))
		}
		for range n {
			requests = append(requests, l.By(signer, fsmtest.Message(id, "pay")))
		}
		filled := l.Input(offers...)
		l.Machine.Apply([]fsm.Input{filled})
		opened := l.Input(requests...)
		closed := l.Input(l.Shares(l.Region(1), [32]byte{1}, ids(2, 3), l.Machine.Apply([]fsm.Input{opened})[0].Opened...))
		if r := l.Machine.Apply([]fsm.Input{closed})[0]; len(r.Completed) != n {
			b.Fatal(r.Outcomes)
		}
		inputs = append(inputs, filled, opened, closed)
	}
	m, err := fsm.New(l.Genesis, fsm.Options{Verify: trust})
	if err != nil {
		b.Fatal(err)
	}
	m.Apply(l.Inputs[:len(l.Inputs)-len(inputs)])
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		m.Apply(inputs[:3])
		inputs = inputs[3:]
	}
}

// BenchmarkThresholdKeys says what a threshold key costs in memory and in a snapshot, and
// what the digest of a state with full pools costs. Boxes are as long as real ones.
func BenchmarkThresholdKeys(b *testing.B) {
	const keys = 500
	trust := func(identity.PublicKey, []byte, []byte) bool { return true }
	l, _, _ := fsmtest.New().Ready(fsm.Options{Verify: trust})
	l.Life = time.Minute
	before := heap()
	for i := range keys {
		id := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: fmt.Sprint("k", i), Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2})).Key
		for k, _ := l.Machine.View().Key(id); k.Ceremony.Running(); k, _ = l.Machine.View().Key(id) {
			for _, r := range k.Ceremony.Missing(nil) {
				switch said := l.Said(l.Region(r), id).(type) {
				case nil:
					l.Must(l.OfferWrap(l.Region(r), k.Ceremony.Wrap))
				case *command.FinishShare:
					said.Share, said.Public = make([]byte, 1200), make([]byte, 180)
					l.Must(l.By(l.Region(r).Session, said))
				default:
					l.Must(l.By(l.Region(r).Session, said))
				}
			}
		}
		l.Now, l.Inputs = l.Now.Add(time.Second), nil // and the commands are forgotten
	}
	for range 40 {
		l.Now = l.Now.Add(fsm.Retention)
		l.Apply(l.By(l.Region(1).Session, &command.Tick{}))
	}
	l.Inputs = nil
	each := (heap() - before) / keys
	for range fsm.MaxPool / command.MaxOffer {
		l.FillPools(command.Secp256k1, command.MaxOffer)
		l.FillPools(command.Ed25519, command.MaxOffer)
	}
	b.ResetTimer()
	for range b.N {
		l.Machine.View().Digest()
	}
	b.ReportMetric(float64(each), "B/key")
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB/all")
	runtime.KeepAlive(l)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
