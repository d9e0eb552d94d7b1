package replication_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

// One goroutine appends, one syncs, one repairs a gap, others read and prove: nobody
// ever sees a wrong leaf.
func TestTogether(t *testing.T) {
	s := open(t, durabletest.New())
	must(t, s.Adopt(tree(200)))
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(200); seq < 600; seq += 2 {
			if err := s.Append(leaves(seq, seq+2)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		if err := s.Repair(ctx, audit.Frontier{}, []replication.Source{source{size: 200}}); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := range uint64(2000) {
				l, err := s.Leaf(i * 37 % 600)
				if err != nil {
					if c := errs.CodeOf(err); c != errs.NotFound && c != errs.NotReady {
						t.Error(err)
					}
					continue
				}
				if h := history(l.Seq); l.Hash() != h.Hash() {
					t.Errorf("leaf %d is another one", l.Seq)
				}
				if _, err := s.Prove(l.Seq, l.Seq+1); err != nil && errs.CodeOf(err) != errs.NotReady {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantAll(t, s, 600)
}

// A disk that hangs holds up the writer only: health, size and other leaves answer.
func TestHungDiskHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := durabletest.New()
		s := open(t, disk)
		must(t, s.Append(leaves(0, 20)))
		disk.Inject(durabletest.Rule{Op: durabletest.OpWrite, Delay: time.Minute})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Append(leaves(20, 25)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { // waits for the writer, in a way the bubble understands
			if err := s.Append(leaves(0, 25)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		must(t, s.Healthy())
		if s.Size() != 20 {
			t.Errorf("%d leaves while the write hangs", s.Size())
		}
		if _, err := s.Leaf(7); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("readers waited %s", d)
		}
		wg.Wait()
		if d := time.Since(start); d != time.Minute {
			t.Errorf("the write took %s", d)
		}
		wantAll(t, s, 25)
	})
}

// A slow sync does not hold up appends, and vouches only for what came before it.
func TestAppendDuringSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := durabletest.New()
		s := open(t, disk)
		must(t, s.Append(leaves(0, 20)))
		disk.Inject(durabletest.Rule{Op: durabletest.OpSync, Delay: time.Minute, Times: -1})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		must(t, s.Append(leaves(20, 50))) // over two ends of a segment
		if d := time.Since(start); d != 0 {
			t.Errorf("the append waited %s", d)
		}
		wg.Wait()
		disk.Heal()
		after := open(t, disk.CrashClone(nil))
		if after.Size() < 20 {
			t.Errorf("%d leaves after power loss, 20 were synced", after.Size())
		}
		must(t, after.Append(leaves(0, 50)))
		wantAll(t, after, 50)
		must(t, s.Sync())
		wantAll(t, open(t, disk.CrashClone(nil)), 50)
	})
}
