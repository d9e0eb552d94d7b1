package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// watchdog times every write to raft's disk. raft's leader goes on heartbeating
// while its disk hangs, so that nobody else is elected: after SlowWrite it fences
// outgoing messages, after HungWrite, or at any error, it ends the node. A running
// write is never abandoned: nobody could know whether it happened.
type watchdog struct {
	slow, hung time.Duration
	fence      func(bool)
	fatal      func(error)
}

func (w *watchdog) run(what string, write func() error) error {
	var mu sync.Mutex
	var done, fenced bool
	slow := time.AfterFunc(w.slow, func() {
		mu.Lock()
		defer mu.Unlock()
		if fenced = !done; fenced {
			w.fence(true)
		}
	})
	// The end of the wait has a timer of its own: a process that was paused during a write
	// wakes up with its timers run out, and its write done a moment later.
	var last *time.Timer
	hung := time.AfterFunc(w.hung-w.slow, func() {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return
		}
		last = time.AfterFunc(w.slow, func() {
			w.fatal(errs.New(errs.DiskFailed, "%s hangs for %s", what, w.hung).WithHint("check the disk of the data directory"))
		})
	})
	err := write()
	slow.Stop()
	hung.Stop()
	mu.Lock()
	defer mu.Unlock()
	if last != nil {
		last.Stop()
	}
	if done = true; err != nil {
		w.fatal(errs.Wrap(diskCode(err), err, "%s", what).WithHint("%s", errs.HintOf(durableCoded(err))))
	}
	if fenced {
		w.fence(false)
	}
	return err
}

func diskCode(err error) errs.Code {
	if c := errs.CodeOf(err); c != errs.Internal {
		return c
	}
	return errs.CodeOf(durableCoded(err))
}

// watchedLog is a log store whose writes the watchdog times.
type watchedLog struct {
	raft.LogStore
	dog *watchdog
}

func (s *watchedLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *watchedLog) StoreLogs(logs []*raft.Log) error {
	return s.dog.run("writing the log", func() error { return s.LogStore.StoreLogs(logs) })
}

func (s *watchedLog) DeleteRange(lo, hi uint64) error {
	return s.dog.run("deleting from the log", func() error { return s.LogStore.DeleteRange(lo, hi) })
}
