package ceremony_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestPlan(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	p := l.Plan
	if p.Name != "lab" || len(p.Regions) != 4 || p.Regions[2].Name != "south" || p.Regions[2].ID != 3 ||
		p.Settings != ceremony.DefaultSettings() || p.Officers.Threshold != 2 {
		t.Errorf("plan reads as %+v", p)
	}
	// Layout does not matter, content does.
	spaced, err := ceremony.ParsePlan("p", []byte("# a comment\n"+strings.ReplaceAll(l.PlanText, " = ", "  =  ")))
	if err != nil || spaced.Hash() != p.Hash() {
		t.Errorf("layout changes the hash: %v", err)
	}
	skewed, err := ceremony.ParsePlan("p", []byte(l.PlanText+"settings {\n max_skew = \"500ms\"\n}\n"))
	if err != nil || skewed.Settings.MaxSkew != 500*time.Millisecond || skewed.Hash() == p.Hash() {
		t.Errorf("settings: %+v, %v", skewed, err)
	}
}

func TestPlanRefused(t *testing.T) {
	text := ceremonytest.New(t, ceremonytest.Options{}).PlanText
	for name, c := range map[string]struct{ old, new, want string }{
		"no id":              {`id = "000102030405060708090a0b0c0d0e0f"`, `id = ""`, "want 32 hex digits"},
		"zero id":            {`000102030405060708090a0b0c0d0e0f`, `00000000000000000000000000000000`, "want 32 hex digits"},
		"time":               {`2026-01-31T12:00:00Z`, `yesterday`, "is not a time"},
		"cluster name":       {`cluster = "lab"`, `cluster = "My Lab"`, "is not a name"},
		"region name":        {`region "east"`, `region "East"`, "not a name"},
		"region twice":       {`region "east"`, `region "north"`, "region block 1 has it already"},
		"address twice":      {`east.test:7201`, `north.test:7201`, `has it already`},
		"address":            {`east.test:7201`, `east.test`, "is not host:port"},
		"any address":        {`east.test:7201`, `0.0.0.0:7201`, "no host that others could dial"},
		"administrator key":  {`key = "ed25519:`, `key = "ed448:`, "algorithm"},
		"one administrator":  {`administrator "admin-2"`, `administrator "admin-1"`, `"admin-1" has it already`},
		"threshold 1":        {`threshold = 2`, `threshold = 1`, "want 2 to"},
		"threshold too high": {`threshold = 2`, `threshold = 4`, "want 2 to"},
		"recipient":          {`"age1`, `"wage1`, "is not an age recipient"},
		"unknown":            {`threshold = 2`, "threshold = 2\n  colour = 1", "Unsupported argument"},
		"syntax":             {`threshold = 2`, "threshold = ", "plan.hcl:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ceremony.ParsePlan("plan.hcl", []byte(strings.Replace(text, c.old, c.new, 1)))
			if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "plan.hcl") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	cut := text[:strings.Index(text, `region "west"`)] + text[strings.Index(text, "administrator"):]
	if _, err := ceremony.ParsePlan("p", []byte(cut)); err == nil || !strings.Contains(err.Error(), "exactly 4") {
		t.Errorf("three regions: %v", err)
	}
	if _, err := ceremony.ParsePlan("p", make([]byte, 1<<20)); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("a huge plan: %v", err)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte("cluster = \"lab\""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ceremony.ParsePlan("p", b); (p == nil) == (err == nil) {
			t.Fatalf("plan %v with error %v", p, err)
		}
	})
}
