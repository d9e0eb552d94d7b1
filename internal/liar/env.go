//go:build liar

package liar

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// ScriptEnv names the file that tells a process of a test build what to do. Each line is
//
//	lie NAME REGION VICTIM OTHER
//	off DEFENCE
//
// and what is no longer there ends. What was really told is counted in a file beside it.
const ScriptEnv = "TETRAD_LIES"

func init() {
	if path := os.Getenv(ScriptEnv); path != "" {
		go follow(path)
	}
}

func follow(path string) {
	was, counted := "", map[string]int{}
	for {
		if text, err := os.ReadFile(path); err == nil && string(text) != was {
			was = string(text)
			obey(was)
		}
		if now := counts(); !maps.Equal(now, counted) {
			counted = now
			b, _ := json.Marshal(now)
			_ = os.WriteFile(fmt.Sprintf("%s.%d", path, os.Getpid()), b, 0o600)
		}
		time.Sleep(20 * time.Millisecond)
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
		if n, _ := fmt.Sscanf(line, "lie %s %d %d %d", &l.Name, &by, &victim, &other); n == 4 {
			l.Victim, l.Other = identity.RegionID(victim), identity.RegionID(other)
			Tell(identity.RegionID(by), l)
		} else if n, _ := fmt.Sscanf(line, "off %d", &d); n == 1 && Defence(d) < defences {
			Lower(Defence(d))
		}
	}
}
