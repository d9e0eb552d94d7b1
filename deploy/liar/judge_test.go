//go:build liar

package liar_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/auditor"

	"github.com/tetrad-vault/tetrad/api/client"
)

// What is looked at while a lie is told and afterwards.

// gains are what a liar counts when others did what they must not, and honest processes
// when they see what must not be.
var gains = regexp.MustCompile(`^seen: |^(forged-value|beacon-mixed|freeze-starved|attest-other): signed$|: (foreseen|opened|believed|registered|followed|refunded|stored|signed without being drawn)$`)

// watch looks every now and then until ctx ends.
func (w *world) watch(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.look()
		if w.lie.watch != nil {
			w.lie.watch(w)
		}
	}
}

func (w *world) look() {
	for name, n := range w.counts() {
		if n > 0 && gains.MatchString(name) {
			w.saw("%s", name)
		}
	}
	for _, i := range w.honest {
		if term := w.metric(i, "term"); term > float64(w.term+25) {
			w.saw("the terms run away")
		}
		if n := w.metric(i, "convicted_regions"); n > 1 {
			w.saw("more than one region is convicted")
		}
	}
}

// metric reads one figure of a region, 0 when it tells none.
func (w *world) metric(region int, name string) float64 {
	v, _ := w.Regions[region].Metric(context.Background(), name)
	return v
}

// agree waits until the honest regions stand at one index, and compares them.
func (w *world) agree() error {
	last := "nothing"
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		nodes, err := w.nodes("--digest", "--all")
		if err != nil || len(nodes) != 4 {
			last = fmt.Sprint(err)
			continue
		}
		last = fmt.Sprintf("%+v", nodes)
		a := nodes[w.honest[0]]
		level, same := true, a.Digest != ""
		for _, i := range w.honest {
			n := nodes[i]
			level = level && n.Applied == a.Applied && n.State == "ready"
			same = same && n.Digest == a.Digest && n.Root == a.Root && n.Chain == a.Chain
		}
		if level && !same {
			return fmt.Errorf("honest regions differ at one index: %s", last)
		}
		if level {
			return w.timely(nodes)
		}
	}
	return fmt.Errorf("the honest regions do not come level: %s", last)
}

// timely wants the committed clock near that of the machine.
func (w *world) timely(nodes []node) error {
	for _, i := range w.honest {
		if off := nodes[i].Clock.Sub(w.now()); off > time.Minute || off < -2*time.Minute {
			return fmt.Errorf("the committed clock of region %s is %s off", nodes[i].Region, off.Round(time.Second))
		}
	}
	return nil
}

// patience is how long what must come is waited for; for harm nobody waits long.
func (w *world) patience() time.Duration {
	if w.lowered {
		return 5 * time.Second
	}
	return patience
}

// audited exports the audit log of an honest region, has it verified offline, and looks
// for every answer. An answer leaves before its completion is committed.
func (w *world) audited() error {
	for end := time.Now().Add(w.patience()); ; time.Sleep(time.Second) {
		if err := w.auditOnce(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (w *world) auditOnce() error {
	completed := map[client.RequestID]int{}
	err := w.leaves(func(l *audit.Leaf) error {
		e, err := audit.DecodeEffect(l.Effect)
		if err != nil {
			return err
		}
		for _, id := range e.Completed {
			completed[id]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := w.Vaultctl(w.t.Context(), []string{"TETRAD_GENESIS=" + w.Genesis()}, "audit", "verify", w.Path("audit.export")); err != nil {
		_, said, _ := strings.Cut(err.Error(), "vaultctl: ")
		return errors.New(said)
	}
	for _, id := range w.given {
		if completed[id] != 1 {
			return fmt.Errorf("request %s was answered, and completed %d times in the audit log", id, completed[id])
		}
	}
	return nil
}

// leaves exports the audit log of an honest region and shows each leaf.
func (w *world) leaves(show func(*audit.Leaf) error) error {
	export := w.Path("audit.export")
	env := append(w.As(lab.Admins[0]), "TETRAD_ADDRESS="+strings.Join(w.addresses(), ","))
	if _, err := w.Vaultctl(w.t.Context(), env, "audit", "export", "--out", export); err != nil {
		return err
	}
	f, err := os.Open(export)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := auditor.NewReader(f)
	if err != nil {
		return err
	}
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = show(l)
		}
		if err != nil {
			return err
		}
	}
}

var trouble = regexp.MustCompile(`(?m)^panic:|^fatal error:|^goroutine \d+ \[|DATA RACE`)

// crashed looks for honest processes that ended.
func (w *world) crashed() {
	for _, i := range w.honest {
		r := w.Regions[i]
		if gone, err := r.Exited(); gone {
			w.saw("region %s ended: %v", r.Name, err)
		}
		if at := trouble.FindString(r.Said()); at != "" {
			w.saw("region %s crashed: %s", r.Name, at)
		}
	}
}

// evidence counts the files that honest regions keep against the liar.
func (w *world) evidence() (n int) {
	for _, i := range w.honest {
		files, _ := filepath.Glob(filepath.Join(w.Regions[i].Dir, "data", "evidence", fmt.Sprintf("region%d-*", w.liar+1)))
		n += len(files)
	}
	return n
}
