package durabletest

import (
	"errors"
	"strings"
	"syscall"
	"time"
)

// Op is a set of disk operations.
type Op uint16

// The operations; OpMutate is all that change the disk.
const (
	OpOpen Op = 1 << iota
	OpRead
	OpWrite
	OpSync
	OpTruncate
	OpWriteFile
	OpRemove
	OpRename
	OpList

	OpMutate = OpWrite | OpSync | OpTruncate | OpWriteFile | OpRemove | OpRename
	OpAll    = OpMutate | OpOpen | OpRead | OpList
)

// String names one operation.
func (o Op) String() string {
	for i, n := range []string{"open", "read", "write", "sync", "truncate", "write-file", "remove", "rename", "list"} {
		if o == 1<<i {
			return n
		}
	}
	return "operations"
}

// ErrInjected is the cause of a fault that names no other.
var ErrInjected = errors.New("injected fault")

// Common causes.
var (
	ErrIO   error = syscall.EIO
	ErrFull error = syscall.ENOSPC
)

// Rule makes operations fail or wait. Each fault has two forms: failed and not
// stored, and (Stored) failed although the disk did it.
type Rule struct {
	Op     Op            // zero means OpMutate
	Prefix string        // of the file's name; "" is every file
	After  int           // matching operations that pass first
	Times  int           // how many then fail: 0 is one, negative is all
	Err    error         // nil with a Delay: only slow; nil without: ErrInjected
	Stored bool          // do it all the same, then report Err
	Delay  time.Duration // wait first (simulated time inside a bubble)

	seen int
}

// Inject adds a rule; rules are tried in order and the first that fires wins.
func (d *Disk) Inject(r Rule) {
	if r.Op == 0 {
		r.Op = OpMutate
	}
	if r.Err == nil && r.Delay == 0 {
		r.Err = ErrInjected
	}
	if r.Times == 0 {
		r.Times = 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, &r)
}

// Heal removes all rules.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = nil
}

// Count returns how many operations of the set were tried so far.
func (d *Disk) Count(set Op) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for op, c := range d.counts {
		if op&set != 0 {
			n += c
		}
	}
	return n
}

func (d *Disk) match(op Op, name string) (*Rule, time.Duration) {
	d.counts[op]++
	for _, r := range d.rules {
		if r.Op&op == 0 || !strings.HasPrefix(name, r.Prefix) {
			continue
		}
		r.seen++
		if i := r.seen - 1 - r.After; i >= 0 && (r.Times < 0 || i < r.Times) {
			return r, r.Delay
		}
	}
	return nil, 0
}
