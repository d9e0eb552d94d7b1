//go:build liar

package liar

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/internal/clock"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// ScriptEnv names the file that tells a process of a test build what to do. Each line is
//
//	lie NAME REGION VICTIM OTHER
//	off DEFENCE
//	clock AT FROM TO OVER
//
// and what is no longer there ends, but for the clock: all are milliseconds, AT of Unix
// time; see clock.Shift. What was really told is counted in a file beside it.
const ScriptEnv = "TETRAD_LIES"

// ScriptRead counts, among what was told, how often a process obeyed another script.
const ScriptRead = "script read"

func init() {
	if path := os.Getenv(ScriptEnv); path != "" {
		was := reread(path, "") // before anything asks for the time
		go follow(path, was)
	}
}

// reread obeys a script that is no longer as it was.
func reread(path, was string) string {
	text, err := os.ReadFile(path)
	if err != nil || string(text) == was {
		return was
	}
	obey(string(text))
	Did(ScriptRead)
	return string(text)
}

func follow(path, was string) {
	counted := map[string]int{}
	for {
		was = reread(path, was)
		if now := counts(); !maps.Equal(now, counted) {
			counted = now
			b, _ := json.Marshal(now)
			tell(path, b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// tell writes the counts where a reader finds all of them or the last ones.
func tell(path string, counts []byte) {
	pid := os.Getpid()
	fresh := fmt.Sprintf("%s.new.%d", path, pid)
	if os.WriteFile(fresh, counts, 0o600) == nil {
		_ = os.Rename(fresh, fmt.Sprintf("%s.%d", path, pid))
	}
}

// Keep leaves something for the next process of a region: a liar forgets nothing.
func Keep(name string, b []byte) {
	if path := os.Getenv(ScriptEnv); path != "" {
		_ = os.WriteFile(path+"."+name, b, 0o600)
	}
}

// Kept returns what an earlier process left, nil without any.
func Kept(name string) []byte {
	path := os.Getenv(ScriptEnv)
	if path == "" {
		return nil
	}
	b, _ := os.ReadFile(path + "." + name)
	return b
}

func counts() map[string]int {
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(seen)
}

func obey(script string) {
	Raise()
	mu.Lock()
	clear(told)
	mu.Unlock()
	for line := range strings.Lines(script) {
		var l Lie
		var by, victim, other, d uint8
		var at int64
		var from, to, over time.Duration
		if n, _ := fmt.Sscanf(line, "lie %s %d %d %d", &l.Name, &by, &victim, &other); n == 4 {
			l.Victim, l.Other = identity.RegionID(victim), identity.RegionID(other)
			Tell(identity.RegionID(by), l)
		} else if n, _ := fmt.Sscanf(line, "off %d", &d); n == 1 && Defence(d) < defences {
			Lower(Defence(d))
		} else if n, _ := fmt.Sscanf(line, "clock %d %d %d %d", &at, &from, &to, &over); n == 4 {
			clock.Set(clock.Shift{At: time.UnixMilli(at), From: from * time.Millisecond, To: to * time.Millisecond, Over: over * time.Millisecond})
		}
	}
}
