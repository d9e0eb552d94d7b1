package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

const minimal = `data_dir = "data"
region = "one"
hsm {
  module = "/lib/module.so"
  token_label = "one"
  pin_file = "pin"
}
listen {
  raft = "127.0.0.1:7201"
  api = "127.0.0.1:7202"
  gossip = "127.0.0.1:7203"
}
`

func TestDefaults(t *testing.T) {
	cfg, err := Parse("/etc/tetrad/vaultd.hcl", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	addr := Addresses{"127.0.0.1:7201", "127.0.0.1:7202", "127.0.0.1:7203"}
	want := Config{Path: "/etc/tetrad/vaultd.hcl", DataDir: "/etc/tetrad/data", Region: "one", Mlock: MlockTry,
		HSM:    HSM{Module: "/lib/module.so", TokenLabel: "one", PINFile: "/etc/tetrad/pin", Workers: 2, Timeout: 10 * time.Second},
		Listen: addr, Advertise: addr, Raft: Raft{Profile: ProfileWAN},
		Limits: Limits{1024, 512, 1024, 20000, 20000, 64 << 20}, Shares: Shares{10 * time.Minute, 4096}, Log: Log{slog.LevelInfo, "text"}}
	if *cfg != want {
		t.Errorf("got  %+v\nwant %+v", *cfg, want)
	}
}

func TestExampleFile(t *testing.T) {
	cfg, err := Load(filepath.Join("..", "..", "deploy", "vaultd.example.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Advertise.API != "frankfurt.vault.example:7202" || cfg.Mlock != MlockRequire || cfg.HSM.PINCredential != "hsm-pin" {
		t.Errorf("example reads as %+v", *cfg)
	}
}

// TestOverrides changes one thing each and reads it back.
func TestOverrides(t *testing.T) {
	cfg, err := Parse("f.hcl", []byte(minimal+`
mlock = "off"
advertise { api = "[2001:db8::1]:7202" }
raft {
  profile = "loopback"
  heartbeat_timeout = "50ms"
  election_timeout = "60ms"
  lease_timeout = "40ms"
  snapshot_threshold = 100
}
limits { min_free_disk = "2GiB" }
shares {
  keep = "90s"
  most = 10000
}
log { level = "debug" }
telemetry {
  listen = "127.0.0.1:9720"
  pprof = true
}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := []any{cfg.Mlock, cfg.Advertise.API, cfg.Advertise.Raft, cfg.Raft.Profile, cfg.Raft.HeartbeatTimeout,
		cfg.Raft.SnapshotThreshold, cfg.Limits.MinFreeDisk, cfg.Shares, cfg.Log.Level, cfg.Telemetry}
	want := []any{MlockOff, "[2001:db8::1]:7202", "127.0.0.1:7201", ProfileLoopback, 50 * time.Millisecond,
		uint64(100), uint64(2 << 30), Shares{90 * time.Second, 10000}, slog.LevelDebug, Telemetry{"127.0.0.1:9720", true}}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// TestProblems replaces one line of the minimal file (or appends) and names the
// line and words that must be reported, and how many problems in all.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"unknown attribute":    {"", "colour = \"red\"\n", []string{`f.hcl:13: Unsupported argument: An argument named "colour"`}},
		"unknown block":        {"", "colours {}\n", []string{`f.hcl:13: Unsupported block type`}},
		"unknown in block":     {"", "log { colour = 1 }\n", []string{`f.hcl:13: Unsupported argument`}},
		"syntax":               {"region = \"one\"", "region = \"one", []string{"f.hcl:2:"}},
		"missing region":       {"region = \"one\"\n", "", []string{`argument "region" is required`}},
		"missing block":        {"hsm {", "hsn {", []string{"Missing hsm block", "f.hcl:3: Unsupported block type"}},
		"block twice":          {"", "listen {\n raft=\"a:1\"\n api=\"a:2\"\n gossip=\"a:3\"\n}\n", []string{"Duplicate listen block"}},
		"wrong type":           {`raft = "127.0.0.1:7201"`, `raft = ["a"]`, []string{"f.hcl:9: Unsuitable value type"}},
		"variable":             {`region = "one"`, `region = var.name`, []string{"f.hcl:2: Variables not allowed"}},
		"name":                 {`region = "one"`, `region = "One Region"`, []string{`f.hcl:2: region: "One Region" is not a name`}},
		"pin in the file":      {`pin_file = "pin"`, `pin = "1234"`, []string{"f.hcl:6: the PIN does not belong in this file", "f.hcl:3: hsm.pin_file: give exactly one"}},
		"two PIN sources":      {`pin_file = "pin"`, "pin_file = \"pin\"\npin_credential = \"c\"", []string{"f.hcl:3: hsm.pin_file: give exactly one"}},
		"credential path":      {`pin_file = "pin"`, `pin_credential = "a/b"`, []string{"f.hcl:6: hsm.pin_credential"}},
		"address":              {`127.0.0.1:7201`, `127.0.0.1`, []string{`f.hcl:9: listen.raft: "127.0.0.1" is not host:port`}},
		"port":                 {`127.0.0.1:7201`, `127.0.0.1:0`, []string{`the port must be a number from 1 to 65535`}},
		"same address":         {`127.0.0.1:7202`, `127.0.0.1:7201`, []string{`f.hcl:10: listen.api`}},
		"nothing to advertise": {`127.0.0.1:7202`, `0.0.0.0:7202`, []string{`f.hcl:10: listen.api: 0.0.0.0:7202 listens on every interface`}},
		"advertise anything":   {"", "advertise { raft = \":7201\" }\n", []string{`names no host that others could dial`}},
		"mlock":                {"", "mlock = \"yes\"\n", []string{`f.hcl:13: mlock: "yes" is not one of require, try, off`}},
		"duration":             {"", "raft { commit_timeout = \"fast\" }\n", []string{`"fast" is not a duration`}},
		"duration range":       {"", "raft { commit_timeout = \"2h\" }\n", []string{`2h0m0s is not between`}},
		"election too short":   {"", "raft {\n heartbeat_timeout = \"1s\"\n election_timeout = \"500ms\"\n}\n", []string{`f.hcl:15: raft.election_timeout`}},
		"lease too long":       {"", "raft {\n heartbeat_timeout = \"1s\"\n lease_timeout = \"2s\"\n}\n", []string{`f.hcl:15: raft.lease_timeout`}},
		"workers":              {"", "", nil},
		"size":                 {"", "limits { min_free_disk = \"lots\" }\n", []string{`"lots" is not a size`}},
		"huge size":            {"", "limits { min_free_disk = \"99999999999TiB\" }\n", []string{`is not a size`}},
		"rate":                 {"", "limits { request_rate = 0 }\n", []string{`limits.request_rate`}},
		"count":                {"", "limits { max_connections = 1 }\n", []string{`1 is not between 8 and 65536`}},
		"shares kept":          {"", "shares { keep = \"1ms\" }\n", []string{`f.hcl:13: shares.keep: 1ms is not between 1s and 24h0m0s`}},
		"shares at once":       {"", "shares { most = 0 }\n", []string{`shares.most: 0 is not between 16 and 1048576`}},
		"level":                {"", "log { level = \"loud\" }\n", []string{`"loud" is not one of debug`}},
		"profiles to anybody":  {"", "telemetry {\n listen = \":9720\"\n pprof = true\n}\n", []string{`f.hcl:15: telemetry.pprof: profiles are served on a loopback address only`}},
		"several at once": {"", "mlock = \"yes\"\nlog {\n level = \"loud\"\n colour = 1\n}\n",
			[]string{"f.hcl:13: mlock", "f.hcl:15: log.level", "f.hcl:16: Unsupported argument"}},
	} {
		t.Run(name, func(t *testing.T) {
			src := minimal + c.new
			if c.old != "" {
				src = strings.Replace(minimal, c.old, c.new, 1)
			}
			_, err := Parse("f.hcl", []byte(src))
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var ps Problems
			if !errors.As(err, &ps) || errs.CodeOf(err) != errs.Invalid {
				t.Fatalf("got %v, want Invalid problems", err)
			}
			if len(ps) != len(c.want) {
				t.Errorf("%d problems, want %d:\n%v", len(ps), len(c.want), ps)
			}
			for _, w := range c.want {
				if !strings.Contains(ps.Error(), w) {
					t.Errorf("no %q in:\n%v", w, ps)
				}
			}
		})
	}
}

func TestPINIsNeverEchoed(t *testing.T) {
	for _, line := range []string{`pin = "canary-5417"`, `pin_file = ["canary-5417"]`, `pin_file = canary-5417`, `pin = 5417 + canary5417`} {
		_, err := Parse("f.hcl", []byte(strings.Replace(minimal, `pin_file = "pin"`, line, 1)))
		if err == nil || strings.Contains(err.Error(), "5417") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.hcl")); errs.CodeOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("missing file: %v", err)
	}
	big := filepath.Join(dir, "big.hcl")
	if err := os.WriteFile(big, make([]byte, maxFile+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("big file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("hsm {}"))
	f.Add([]byte("a = \"${b}\""))
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, err := Parse("f.hcl", src)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		if cfg != nil && (!ValidName(cfg.Region) || CheckAddress(cfg.Advertise.API, true) != nil) {
			t.Fatalf("accepted %+v", cfg)
		}
	})
}
