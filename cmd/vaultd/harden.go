package main

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// harden keeps the process's memory to itself: no core dumps, no debugger, no swap.
func harden(mode config.Mlock, log *slog.Logger) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return errs.Wrap(errs.Internal, err, "forbidding core dumps")
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return errs.Wrap(errs.Internal, err, "forbidding dumps and debuggers")
	}
	if mode == config.MlockOff {
		return nil
	}
	err := lockMemory()
	if err == nil {
		return nil
	}
	if mode == config.MlockRequire {
		return errs.Wrap(errs.Denied, err, "memory cannot be locked").
			WithHint(`set LimitMEMLOCK=infinity in the unit, or mlock = "try" where there is no swap`)
	}
	log.Warn("memory is not locked: keys could reach the swap space", slog.String("error", err.Error()))
	return nil
}

// lockMemory keeps pages out of swap as they are first used; locking them before would
// make the whole address space resident. It is not tried under a limit: later
// allocations would then fail and end the process.
func lockMemory() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return err
	}
	if lim.Cur != unix.RLIM_INFINITY && lim.Max == unix.RLIM_INFINITY {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
			return err
		}
	}
	if lim.Cur != unix.RLIM_INFINITY && !mayLock() {
		return errs.New(errs.Denied, "RLIMIT_MEMLOCK is %d bytes", lim.Cur)
	}
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}

// mayLock reports whether the process holds CAP_IPC_LOCK, which no limit binds.
func mayLock() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0
}
