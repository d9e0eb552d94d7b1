package replication_test

import (
	"context"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

var away = source{err: errs.New(errs.Unavailable, "region is away")}

// liars are sources that serve something else than history.
var liars = map[string]func(*audit.Leaf){
	"another outcome":  func(l *audit.Leaf) { l.Code = errs.Denied },
	"another field":    func(l *audit.Leaf) { l.Fields[0].Value = []byte("forged") },
	"withheld fields":  func(l *audit.Leaf) { *l = l.Redact(func(int) bool { return false }) },
	"another number":   func(l *audit.Leaf) { l.Seq++ },
	"one leaf of many": func(l *audit.Leaf) { l.Position = uint32(l.Seq / 11) },
}

func TestGapAfterSnapshot(t *testing.T) {
	for name, lie := range liars {
		t.Run(name, func(t *testing.T) {
			disk := durabletest.New()
			s := open(t, disk)
			must(t, s.Append(leaves(0, 10)))
			must(t, s.Adopt(tree(75)))
			wantCode(t, s.Healthy(), errs.NotReady)
			must(t, s.Append(leaves(75, 90))) // the log goes on while the gap is open
			_, err := s.Leaf(40)
			wantCode(t, err, errs.NotReady)
			if _, err := s.Leaf(80); err != nil {
				t.Fatal(err)
			}
			lying := source{size: 90, bend: lie}
			if err := s.Repair(ctx, audit.Frontier{}, []replication.Source{lying}); err == nil || s.Healthy() == nil {
				t.Fatalf("a liar alone made it healthy (%v)", err)
			}
			// the gap and the doubt survive a restart; one honest source is enough
			s = open(t, disk.CrashClone(nil))
			if s.Healthy() == nil {
				t.Fatal("healthy after restart")
			}
			must(t, s.Append(leaves(75, 95)))
			must(t, s.Repair(ctx, tree(95), []replication.Source{lying, away, source{size: 60}, source{size: 95}}))
			wantAll(t, s, 95)
			wantAll(t, open(t, disk2(t, s)), 95)
		})
	}
}

// disk2 returns a fresh disk filled from s, through its own Leaves.
func disk2(t *testing.T, s *replication.Store) *durabletest.Disk {
	d := durabletest.New()
	n := open(t, d)
	must(t, n.Repair(ctx, s.Frontier(), []replication.Source{s}))
	must(t, n.Close())
	return d
}

func TestNoSource(t *testing.T) {
	s := open(t, durabletest.New())
	must(t, s.Adopt(tree(20)))
	for _, sources := range [][]replication.Source{nil, {away}, {source{size: 10}}} {
		wantCode(t, s.Repair(ctx, audit.Frontier{}, sources), errs.Unavailable)
		wantCode(t, s.Healthy(), errs.NotReady)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Repair(canceled, audit.Frontier{}, []replication.Source{source{size: 20}}); err == nil {
		t.Error("went on without its context")
	}
}

func TestAdoptAnotherHistory(t *testing.T) {
	s := open(t, durabletest.New())
	must(t, s.Append(leaves(0, 30)))
	must(t, s.Adopt(tree(30)))
	must(t, s.Adopt(tree(17)))
	var forged audit.Frontier
	for range 17 {
		forged.Append([32]byte{1})
	}
	wantCode(t, s.Adopt(forged), errs.Corrupt)
	wantCode(t, s.Healthy(), errs.Corrupt)
}

func TestDamagedLeafIsFoundAndMended(t *testing.T) {
	for name, lie := range liars {
		t.Run(name, func(t *testing.T) {
			disk := durabletest.New()
			s := open(t, disk)
			must(t, s.Append(leaves(0, 40)))
			must(t, s.Sync())
			must(t, disk.Flip("leaves/segment-00000001", 700))
			must(t, s.Healthy()) // nobody has looked yet
			_, err := s.Check(ctx, 0, 40)
			must(t, err)
			wantCode(t, s.Healthy(), errs.Corrupt)
			if st := s.Status(); st.Damaged != 1 || st.Size != 40 {
				t.Fatalf("%+v", st)
			}
			if err := s.Repair(ctx, audit.Frontier{}, []replication.Source{source{size: 40, bend: lie}}); err == nil {
				t.Fatal("a liar mended it")
			}
			must(t, s.Repair(ctx, audit.Frontier{}, []replication.Source{source{size: 40, bend: lie}, source{size: 40}}))
			wantAll(t, s, 40)
			wantAll(t, open(t, disk.CrashClone(nil)), 40)
		})
	}
}

func TestDamagedHashesAreRebuiltFromLeaves(t *testing.T) {
	for _, at := range []int64{0, 40, 100, 32 * 40, 32 * 70} {
		disk := durabletest.New()
		s := open(t, disk)
		must(t, s.Append(leaves(0, 40)))
		must(t, s.Sync())
		must(t, disk.Flip("leaves/hashes", at))
		for seq := range uint64(40) {
			_, _ = s.Leaf(seq)
			_, _ = s.Prove(seq, 40)
		}
		wantCode(t, s.Healthy(), errs.Corrupt)
		must(t, s.Repair(ctx, audit.Frontier{}, nil)) // no other region is needed
		wantAll(t, s, 40)
	}
}

func TestLostFiles(t *testing.T) {
	for _, name := range []string{"mark", "places", "hashes", "segment-00000000", "segment-00000001"} {
		for _, how := range []string{"removed", "emptied", "flipped"} {
			t.Run(name+" "+how, func(t *testing.T) {
				disk := durabletest.New()
				s := open(t, disk)
				must(t, s.Append(leaves(0, 40)))
				must(t, s.Sync())
				must(t, s.Close())
				switch how {
				case "removed":
					must(t, disk.Remove("leaves/"+name))
				case "emptied":
					f, err := disk.Open("leaves/" + name)
					must(t, err)
					must(t, f.Truncate(0))
				case "flipped":
					must(t, disk.Flip("leaves/"+name, 50))
				}
				s, err := replication.Open(disk, newSealer(1), replication.Options{SegmentLeaves: 16})
				must(t, err)
				_, _ = s.Check(ctx, 0, 40)
				must(t, s.Repair(ctx, tree(40), []replication.Source{source{size: 40}}))
				_, _ = s.Check(ctx, 0, 40)
				must(t, s.Repair(ctx, tree(40), []replication.Source{source{size: 40}}))
				wantAll(t, s, 40)
				wantAll(t, open(t, disk.CrashClone(nil)), 40)
			})
		}
	}
}

func TestManyGaps(t *testing.T) {
	disk := durabletest.New()
	s := open(t, disk)
	size := uint64(0)
	for range 100 { // more gaps than are remembered one by one
		must(t, s.Append(leaves(size, size+2)))
		size += 4
		must(t, s.Adopt(tree(size)))
	}
	s = open(t, disk.CrashClone(nil))
	if st := s.Status(); st.Missing < 200 || st.Size != size {
		t.Fatalf("%+v", st)
	}
	must(t, s.Repair(ctx, audit.Frontier{}, []replication.Source{source{size: size}}))
	wantAll(t, s, size)
}
