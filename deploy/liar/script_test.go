//go:build liar

package liar_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How four processes are told what to do, and tell what they did.

// script says what is told from now on. A clock that was moved stays so.
func (w *world) script(text string) {
	name := w.Path("script")
	w.text = text
	if err := os.WriteFile(name+".new", []byte(w.clock+text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		w.t.Fatal(err)
	}
}

const (
	readWithin = 300 * time.Millisecond // all regions read a new script
	hurry      = 10                     // times as fast time passes while somebody signs: what is under way must not look old
)

// pass lets time pass in all four regions alike, while they work.
func (w *world) pass(d time.Duration) { w.shift(d, d/hurry, w.text) }

// sleep lets days pass at once in a vault that nobody asks for anything, and goes on with
// another script at the same moment.
func (w *world) sleep(d time.Duration, text string) { w.shift(d, 0, text) }

func (w *world) shift(d, over time.Duration, text string) {
	at := time.Now().Add(readWithin)
	w.mu.Lock()
	from := w.ahead
	w.ahead += d
	w.mu.Unlock()
	w.clock = fmt.Sprintf("clock %d %d %d %d\n", at.UnixMilli(), from.Milliseconds(), (from + d).Milliseconds(), over.Milliseconds())
	w.script(text)
	time.Sleep(time.Until(at.Add(over)))
}

// now is the time by the vault's clocks.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// done returns how often a lie was told.
func (w *world) done(name string) int { return w.counts()[name] }

func (w *world) counts() map[string]int {
	files, _ := filepath.Glob(w.Path("script") + ".[0-9]*")
	all := map[string]int{}
	for _, f := range files {
		var counts map[string]int
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &counts) == nil {
			for name, n := range counts {
				all[name] += n
			}
		}
	}
	return all
}

// begin has the liar lie; where that is to be shown, once what stands in its way is off.
func (w *world) begin() {
	var off strings.Builder
	if w.lowered {
		for _, d := range w.lie.lower {
			fmt.Fprintf(&off, "off %d\n", d)
		}
		w.script(off.String())
		time.Sleep(readWithin)
	}
	lie := fmt.Sprintf("lie %s %d %d %d\n", w.lie.name, w.liar+1, w.honest[0]+1, w.honest[1]+1)
	if w.lie.idle > 0 {
		w.sleep(w.lie.idle, lie+off.String())
		w.countAnew()
		return
	}
	w.countAnew()
	w.script(lie + off.String())
}
