package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// machine describes where the figures come from.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	softhsm, _ := exec.Command("softhsm2-util", "--version").Output()
	return fmt.Sprintf("%s\n%s, %d cores; Linux %s; %s; SoftHSM %s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"),
		model, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version(), strings.TrimSpace(string(softhsm)))
}

// processorTime is what the machine's processors have done since it started.
type processorTime struct{ busy, all time.Duration }

const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux

func processors() (p processorTime) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || i > 8 { // the name; guests are in user time already
			continue
		}
		p.all += time.Duration(n) * tick
		if i != 4 && i != 5 { // idle, waiting for a disk
			p.busy += time.Duration(n) * tick
		}
	}
	return p
}

// others is the share of the machine that was busy since before with what is not ours.
func (p processorTime) others(before processorTime, ours time.Duration) float64 {
	all := p.all - before.all
	if all <= 0 {
		return 0
	}
	return max(0, float64(p.busy-before.busy-ours)/float64(all))
}

// cpu is what each region has used.
func cpu(l *lab.Lab) []time.Duration {
	out := make([]time.Duration, len(l.Regions))
	for i, r := range l.Regions {
		if u, err := r.Usage(); err == nil {
			out[i] = u.CPU
		}
	}
	return out
}

func sum(all []time.Duration) (total time.Duration) {
	for _, d := range all {
		total += d
	}
	return total
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
