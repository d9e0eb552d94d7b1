package fsm_test

import (
	"fmt"
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
