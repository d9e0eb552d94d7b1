package main

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the kernel may wake a thread that sleeps for a time, so that it
// wakes once for several reasons. Linux's own 50 us has the runtime's monitor thread nap
// far more often than anything here needs: a sixth of the processor's time at light load.
// Nothing here depends on a timer being right to a millisecond.
const timerSlack = 1_000_000 // ns

// relax gives every thread the slack. It is the thread's own and inherited, and some run
// before main: hence the same program once more, in the same process, before it has read
// anything. Where that is impossible all stays as it was.
func relax() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack() >= timerSlack { // a service manager's, or this call's the first time
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) == nil && slack() >= timerSlack {
		if program, err := os.Executable(); err == nil { // by its name, which ps shows
			_ = syscall.Exec(program, os.Args, os.Environ())
		}
	}
}

// slack is this thread's, in nanoseconds.
func slack() int {
	n, _, errno := unix.RawSyscall(unix.SYS_PRCTL, uintptr(unix.PR_GET_TIMERSLACK), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}
