package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one running vaultd. done is closed when it has been reaped.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start runs the region's vaultd. It returns as soon as the process exists.
func (l *Lab) Start(r *Region) error {
	out, err := os.OpenFile(r.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if r.logFrom, err = out.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(l.Bin, "vaultd"), "--config", r.Config())
	cmd.Env = append(r.Env(), l.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C meant for us is handed on in order
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting vaultd of region %s: %w", r.Name, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() { defer close(p.done); p.err = cmd.Wait() }()
	r.process = p
	return os.WriteFile(filepath.Join(r.Dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// Kill ends the region's process at once, as a crash would, and waits until it is gone.
func (r *Region) Kill() {
	if r.process != nil {
		_ = r.process.cmd.Process.Kill()
		<-r.process.done
	}
}

// Stop asks the process to shut down in order, and kills it after the grace time.
func (r *Region) Stop(grace time.Duration) error {
	p := r.process
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("region %s did not stop within %s; see %s", r.Name, grace, r.Log())
	}
}

// Exited reports whether the process ended by itself, and how.
func (r *Region) Exited() (bool, error) {
	if r.process == nil {
		return true, nil
	}
	select {
	case <-r.process.done:
		return true, r.process.err
	default:
		return false, nil
	}
}

// PID returns the process id, 0 when none was started.
func (r *Region) PID() int {
	if r.process == nil {
		return 0
	}
	return r.process.cmd.Process.Pid
}

// Usage is what a process has used so far.
type Usage struct {
	CPU time.Duration // user and system
	RSS int64         // resident bytes
	// Mapped is what of RSS are pages of files, of the log above all: the kernel takes them
	// back when it wants them.
	Mapped int64
}

// Usage reads the process's figures from /proc.
func (r *Region) Usage() (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.PID()))
	if err != nil {
		return Usage{}, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.PID()))
	if err != nil {
		return Usage{}, err
	}
	mapped, _ := strconv.ParseInt(strings.Fields(string(statm))[2], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	page := int64(os.Getpagesize())
	return Usage{CPU: time.Duration(user+system) * tick, RSS: pages * page, Mapped: mapped * page}, nil
}

// StopLeft ends the regions of a lab whose own program is gone, by their pid files, and
// returns how many it stopped. A pid that is no longer that region's is left alone.
func StopLeft(dir string, grace time.Duration) (stopped int, err error) {
	pids, err := filepath.Glob(filepath.Join(dir, "*", "pid"))
	if err != nil {
		return 0, err
	}
	var left []int
	for _, name := range pids {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		pid, err := strconv.Atoi(string(text))
		if err != nil || !runs(pid, filepath.Join(filepath.Dir(name), "vaultd.hcl")) {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		left = append(left, pid)
	}
	deadline := time.Now().Add(grace)
	for _, pid := range left {
		for syscall.Kill(pid, 0) == nil {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
			time.Sleep(20 * time.Millisecond) // a process that is not our child has no event to wait for
		}
	}
	return len(left), nil
}

// runs reports whether pid is a vaultd with this configuration.
func runs(pid int, config string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), config)
}

// Signal sends a signal to the region's process.
func (r *Region) Signal(s syscall.Signal) {
	if r.process != nil {
		_ = r.process.cmd.Process.Signal(s)
	}
}

// Wait waits until the process has ended and returns its exit status; -1 after a signal.
func (r *Region) Wait(ctx context.Context) (int, error) {
	select {
	case <-r.process.done:
		return r.process.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("region %s still runs: %w; see %s", r.Name, ctx.Err(), r.Log())
	}
}

// Said returns what the running or last process has logged.
func (r *Region) Said() string {
	text, err := os.ReadFile(r.Log())
	if err != nil || int64(len(text)) < r.logFrom {
		return ""
	}
	return string(text[r.logFrom:])
}
