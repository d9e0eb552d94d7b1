package replication_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

// sized makes a leaf about as large as a signature request's.
func sized(seq uint64, payload []byte) audit.Leaf {
	l := history(seq)
	l.Fields = []command.Field{{Value: payload[:16]}, {Value: []byte{2}}, {Value: []byte{0}}, {Value: payload[16:]}, {}}
	c := command.Command{Format: command.Format, Type: command.TypeRequestSignature, Fields: l.Fields, Signatures: l.Command.Signatures}
	l.Command = c.Commitment()
	return l
}

// BenchmarkAppend is the price of a leaf at several sizes of the store: it must stay flat.
func BenchmarkAppend(b *testing.B) {
	payload := random(200)
	for _, batch := range []int{1, 32} {
		for _, start := range []uint64{10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("batch=%d/leaves=%d", batch, start), func(b *testing.B) {
				s := benchStore(b)
				if _, err := s.Leaf(0); errs.CodeOf(err) != errs.NotFound {
					b.Fatal(err)
				}
				chunk := make([]audit.Leaf, batch)
				l := sized(0, payload)
				fill := func() {
					size := s.Size()
					for i := range chunk {
						chunk[i] = l
						chunk[i].Seq = size + uint64(i)
					}
					if err := s.Append(chunk); err != nil {
						b.Fatal(err)
					}
				}
				for s.Size() < start {
					fill()
				}
				must(b, s.Sync())
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.ResetTimer()
				used := cpu(b)
				for range b.N {
					fill()
				}
				b.StopTimer()
				used = cpu(b) - used
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/leaf")
				b.ReportMetric(float64(used)/float64(b.N*batch), "cpu-ns/leaf") // what a busy disk or machine does not change
				b.ReportMetric(float64(after.HeapAlloc)/1024, "heap-KiB")
			})
		}
	}
}

// cpu is what the process has used of the processors.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen is the price of a restart with an unsynced tail.
func BenchmarkOpen(b *testing.B) {
	root := b.TempDir()
	fs, err := durable.Dir(root)
	must(b, err)
	s, err := replication.Open(fs, newSealer(1), replication.Options{})
	must(b, err)
	payload := random(200)
	for size := uint64(0); size < 110_000; size += 100 {
		var batch []audit.Leaf
		for i := range uint64(100) {
			batch = append(batch, sized(size+i, payload))
		}
		must(b, s.Append(batch))
		if size == 99_900 {
			must(b, s.Sync())
		}
	}
	must(b, s.Close())
	for b.Loop() {
		s, err := replication.Open(fs, newSealer(1), replication.Options{})
		must(b, err)
		if s.Size() != 110_000 {
			b.Fatal(s.Size())
		}
		must(b, s.Close())
	}
}

func benchStore(b *testing.B) *replication.Store {
	fs, err := durable.Dir(b.TempDir())
	must(b, err)
	s, err := replication.Open(fs, newSealer(1), replication.Options{})
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

func BenchmarkProve(b *testing.B) {
	s := benchStore(b)
	payload := random(200)
	for seq := range uint64(100_000) {
		must(b, s.Append([]audit.Leaf{sized(seq, payload)}))
	}
	for i := 0; b.Loop(); i++ {
		_, err := s.Prove(uint64(i)*7919%100_000, 100_000)
		must(b, err)
	}
}

// BenchmarkCheck is what the background pays each second: 64 leaves read and proved, while
// the tree has grown since.
func BenchmarkCheck(b *testing.B) {
	s := benchStore(b)
	chunk := make([]audit.Leaf, 32)
	l := sized(0, random(200))
	for s.Size() < 100_000 {
		size := s.Size()
		for i := range chunk {
			chunk[i] = l
			chunk[i].Seq = size + uint64(i)
		}
		must(b, s.Append(chunk))
	}
	must(b, s.Sync())
	b.ResetTimer()
	used := cpu(b)
	at := uint64(0)
	for range b.N {
		var err error
		if at, err = s.Check(b.Context(), at, 64); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
}
