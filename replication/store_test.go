package replication_test

import (
	"bytes"
	"fmt"
	mrand "math/rand"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

func TestAppendAndRead(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	for from := uint64(0); from < 100; from += 7 { // batches cross the segments of 16
		must(t, s.Append(leaves(from, min(100, from+7))))
	}
	wantAll(t, s, 100)
	got, err := s.Leaves(ctx, 90, 50)
	must(t, err)
	if len(got) != 10 || got[9].Seq != 99 {
		t.Errorf("Leaves(90, 50) returned %d leaves", len(got))
	}
	if got, err := s.Leaves(ctx, 100, 5); err != nil || len(got) != 0 {
		t.Errorf("beyond the end: %d leaves, %v", len(got), err)
	}
	_, err = s.Leaf(100)
	wantCode(t, err, errs.NotFound)
	for _, older := range []uint64{0, 1, 31, 64, 99, 100} {
		p, err := s.Consistency(older, 100)
		must(t, err)
		big, small := tree(100), tree(older)
		must(t, audit.CheckConsistency(p, 100, big.Root(), older, small.Root()))
	}
}

func TestNothingReadableOnDisk(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	must(t, s.Append(leaves(0, 40)))
	must(t, s.Sync())
	for _, name := range disk.Names() {
		if b, _ := disk.ReadFile(name); bytes.Contains(b, []byte("reason ")) {
			t.Errorf("%s shows a field", name)
		}
	}
}

func TestReplayIsIdempotentAndAForkIsLoud(t *testing.T) {
	s := open(t, durabletest.New())
	must(t, s.Append(leaves(0, 20)))
	must(t, s.Append(leaves(3, 25)))
	wantAll(t, s, 25)

	other := leaves(10, 11)
	other[0].Code = errs.Denied
	wantCode(t, s.Append(other), errs.Corrupt)
	wantCode(t, s.Healthy(), errs.Corrupt)
	wantCode(t, s.Append(leaves(25, 26)), errs.Corrupt) // for good
}

func TestAppendOutOfOrder(t *testing.T) {
	s := open(t, durabletest.New())
	wantCode(t, s.Append(leaves(1, 2)), errs.BadState)
	must(t, s.Append(leaves(0, 2)))
	bad := []audit.Leaf{history(2), history(4)}
	wantCode(t, s.Append(bad), errs.BadState)
	if s.Size() != 2 {
		t.Errorf("%d leaves after a refused batch", s.Size())
	}
	wantCode(t, s.Healthy(), errs.BadState) // the state machine is ahead
	must(t, s.Append(leaves(2, 4)))
	must(t, s.Healthy())
	wantCode(t, s.Append(leaves(9, 10)), errs.BadState)
	must(t, s.Adopt(tree(10)))
	wantCode(t, s.Healthy(), errs.NotReady)
	must(t, s.Repair(ctx, audit.Frontier{}, []replication.Source{source{size: 10}}))
	wantAll(t, s, 10)
}

func TestReopen(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	must(t, s.Append(leaves(0, 37)))
	must(t, s.Sync())
	must(t, s.Append(leaves(37, 70)))
	t.Run("process killed: nothing is lost", func(t *testing.T) {
		wantAll(t, open(t, disk.CrashClone(mrand.New(allKept{}))), 70)
	})
	t.Run("power lost: what was synced is there, the rest is replayed", func(t *testing.T) {
		s := open(t, disk.CrashClone(nil))
		if s.Size() != 37 {
			t.Fatalf("%d leaves", s.Size())
		}
		must(t, s.Append(leaves(20, 70)))
		wantAll(t, s, 70)
	})
}

// allKept is a chance that lets every unsynced write survive whole.
type allKept struct{}

func (allKept) Int63() int64 { return 1 << 32 }
func (allKept) Seed(int64)   {}

func TestTornTailIsCut(t *testing.T) {
	for seed := range int64(60) {
		disk := durabletest.New()
		s := open(t, disk)
		must(t, s.Append(leaves(0, 21)))
		must(t, s.Sync())
		for seq := uint64(21); seq < 60; seq += 3 {
			must(t, s.Append(leaves(seq, seq+3)))
		}
		s = open(t, disk.Crash(mrand.New(mrand.NewSource(seed))))
		n := s.Size()
		if n < 21 {
			t.Fatalf("seed %d: %d leaves, 21 were synced", seed, n)
		}
		wantAll(t, s, n)
		must(t, s.Append(leaves(21, 60)))
		wantAll(t, s, 60)
	}
}

func TestWrongKeyDoesNotWipe(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	must(t, s.Append(leaves(0, 30)))
	must(t, s.Sync())
	must(t, s.Close())
	_, err := replication.Open(disk, newSealer(2), replication.Options{SegmentLeaves: 16})
	wantCode(t, err, errs.Corrupt)
	if errs.HintOf(err) == "" {
		t.Error("no hint what to do")
	}
	wantAll(t, open(t, disk), 30)
}

// Every operation on the disk fails once, in both forms; afterwards the store tells
// the truth, and Repair makes it whole.
func TestEveryFault(t *testing.T) {
	work := func(s *replication.Store) (err error) {
		for from := uint64(20); from < 60 && err == nil; from += 5 {
			if err = s.Append(leaves(from, from+5)); err == nil && from%10 == 0 {
				err = s.Sync()
			}
		}
		return err
	}
	prepare := func() (*durabletest.Disk, *replication.Store) {
		disk := durabletest.New()
		s := open(t, disk)
		must(t, s.Append(leaves(0, 20)))
		must(t, s.Sync())
		return disk, s
	}
	disk, s := prepare()
	before := disk.Count(durabletest.OpMutate | durabletest.OpOpen)
	must(t, work(s))
	total := disk.Count(durabletest.OpMutate|durabletest.OpOpen) - before
	if total < 20 {
		t.Fatalf("only %d operations to fail", total)
	}
	for _, stored := range []bool{false, true} {
		for _, cause := range []error{durabletest.ErrIO, durabletest.ErrFull} {
			for i := range total {
				t.Run(fmt.Sprintf("stored=%v/%v/op %d", stored, cause, i), func(t *testing.T) {
					disk, s := prepare()
					disk.Inject(durabletest.Rule{Op: durabletest.OpMutate | durabletest.OpOpen, After: i, Err: cause, Stored: stored})
					err := work(s)
					if err == nil {
						t.Fatal("the fault was swallowed")
					}
					if c := errs.CodeOf(err); c != errs.DiskFailed && c != errs.DiskFull {
						t.Fatalf("code %s: %v", c, err)
					}
					for seq := range s.Size() {
						if l, err := s.Leaf(seq); err == nil {
							if h := history(seq); l.Hash() != h.Hash() {
								t.Fatalf("leaf %d is another one", seq)
							}
						} else if s.Healthy() == nil {
							t.Fatalf("leaf %d: %v, yet healthy", seq, err)
						}
					}
					survive(t, s, disk)
				})
			}
		}
	}
}

// survive goes on in the same process, after its death, and after power loss.
func survive(t *testing.T, s *replication.Store, disk *durabletest.Disk) {
	t.Helper()
	for _, next := range []*replication.Store{s, open(t, disk.CrashClone(mrand.New(allKept{}))), open(t, disk.CrashClone(nil))} {
		if next != s || next.Healthy() == nil || errs.CodeOf(next.Repair(ctx, audit.Frontier{}, nil)) != errs.DiskFailed {
			if next.Size() < 20 {
				t.Fatalf("%d leaves, 20 were synced", next.Size())
			}
			must(t, next.Append(leaves(20, 60)))
			must(t, next.Repair(ctx, tree(60), []replication.Source{source{size: 60}}))
			wantAll(t, next, 60)
		}
	}
}

func TestFullDiskRecovers(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	must(t, s.Append(leaves(0, 20)))
	must(t, s.Sync())
	disk.SetCapacity(disk.Used() + 1000)
	var err error
	seq := uint64(20)
	for ; err == nil; seq += 4 {
		err = s.Append(leaves(seq, seq+4))
	}
	wantCode(t, err, errs.DiskFull)
	wantCode(t, s.Healthy(), errs.DiskFull)
	for ; seq < 2000; seq += 20 { // the state machine goes on; memory stays bounded, the tree right
		_ = s.Append(leaves(seq, seq+20))
	}
	want, have := tree(seq), s.Frontier()
	if !have.Equal(&want) {
		t.Fatal("the tree lost step with the state machine")
	}
	disk.SetCapacity(0)
	must(t, s.Append(leaves(seq, seq+5)))
	if s.Healthy() == nil {
		t.Fatal("healthy with a gap")
	}
	must(t, s.Repair(ctx, tree(seq+5), []replication.Source{source{size: seq + 5}}))
	wantAll(t, s, seq+5)
}

func TestSegmentFilesAreNumbered(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	must(t, s.Append(leaves(0, 33)))
	if names := strings.Join(disk.Names(), " "); !strings.Contains(names, "leaves/segment-00000002") {
		t.Errorf("files: %s", names)
	}
}

// Whatever happens to process, power and disk: the store never returns a wrong leaf,
// never calls itself healthy while one is missing, keeps what it synced, and ends whole.
func TestStoreProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		disk := durabletest.New()
		s := open(t, disk)
		done, synced := uint64(0), uint64(0) // what the state machine produced; what must survive
		reopen := func(next *durabletest.Disk, from uint64) {
			disk = next
			s = open(t, disk)
			if s.Size() < from {
				rt.Fatalf("%d leaves after restart, %d must have survived", s.Size(), from)
			}
			if err := s.Append(leaves(synced, done)); err != nil { // the log is replayed from the snapshot on
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "sync", "kill", "crash", "fault", "adopt", "flip", "repair"}).Draw(rt, "op") {
			case "append":
				n := rapid.Uint64Range(1, 20).Draw(rt, "n")
				_ = s.Append(leaves(done, done+n))
				done += n
			case "sync":
				if s.Sync() == nil {
					synced = done
				}
			case "kill":
				disk.Heal()
				reopen(disk.Kill(), synced)
			case "crash":
				reopen(disk.Crash(mrand.New(mrand.NewSource(rapid.Int64().Draw(rt, "seed")))), synced)
			case "fault":
				disk.Inject(durabletest.Rule{Op: durabletest.OpWrite, After: rapid.IntRange(0, 5).Draw(rt, "after"),
					Err: durabletest.ErrFull, Stored: rapid.Bool().Draw(rt, "stored")})
			case "adopt":
				disk.Heal()
				done += rapid.Uint64Range(1, 40).Draw(rt, "n")
				if err := s.Adopt(tree(done)); err != nil {
					rt.Fatal(err)
				}
				synced = done
			case "flip":
				if synced == 0 {
					break
				}
				name := rapid.SampledFrom([]string{"leaves/hashes", "leaves/segment-00000000"}).Draw(rt, "file")
				b, _ := disk.ReadFile(name)
				_ = disk.Flip(name, int64(rapid.IntRange(0, max(1, len(b))).Draw(rt, "at")))
				synced = 0 // damage may cost everything, until Repair
			case "repair":
				disk.Heal()
				if err := s.Repair(ctx, tree(done), []replication.Source{source{err: errs.New(errs.Unavailable, "away")}, source{size: done}}); err != nil {
					rt.Fatal(err)
				}
			}
			for seq := range done {
				l, err := s.Leaf(seq)
				if h := history(seq); err == nil && l.Hash() != h.Hash() {
					rt.Fatalf("leaf %d is another one", seq)
				} else if err != nil && s.Healthy() == nil {
					rt.Fatalf("leaf %d: %v, yet healthy", seq, err)
				}
			}
		}
		disk.Heal()
		if err := s.Repair(ctx, tree(done), []replication.Source{source{size: done}}); err != nil {
			rt.Fatal(err)
		}
		for range 2 { // damage that only reading shows
			_, _ = s.Check(ctx, 0, int(done))
			if err := s.Repair(ctx, tree(done), []replication.Source{source{size: done}}); err != nil {
				rt.Fatal(err)
			}
		}
		wantAll(t, s, done)
	})
}

func TestCommandSizesFit(t *testing.T) {
	s := open(t, durabletest.New())
	l := history(0)
	l.Fields = []command.Field{{Value: random(command.MaxField)}, {Value: random(command.MaxCommand - command.MaxField - 4096)}}
	c := command.Command{Format: command.Format, Fields: l.Fields}
	l.Command = c.Commitment()
	must(t, s.Append([]audit.Leaf{l}))
	got, err := s.Leaf(0)
	must(t, err)
	if got.Hash() != l.Hash() {
		t.Error("the largest leaf came back as another one")
	}
}
