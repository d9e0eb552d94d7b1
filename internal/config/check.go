package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checker turns the raw file into a Config and notes every problem with its line.
type checker struct {
	file  string
	body  *hclsyntax.Body
	found []Problem
}

// fail notes a problem at block.attr. What is not in the file at all is HCL's to
// report, so a missing block or attribute is passed over.
func (c *checker) fail(block, attr, format string, args ...any) {
	if body, _ := c.find(block); body != nil && body.Attributes[attr] != nil {
		c.note(body.Attributes[attr].SrcRange.Start.Line, block, attr, format, args...)
	}
}

func (c *checker) note(line int, block, attr, format string, args ...any) {
	name := attr
	if block != "" {
		name = block + "." + attr
	}
	c.found = append(c.found, Problem{c.file, line, name + ": " + fmt.Sprintf(format, args...)})
}

// find returns a block's body and the line it begins at; the file's own for "". A
// block that stands twice was decoded neither time, so it counts as missing.
func (c *checker) find(block string) (body *hclsyntax.Body, line int) {
	if block == "" {
		return c.body, 1
	}
	for _, b := range c.body.Blocks {
		switch {
		case b.Type == block && body != nil:
			return nil, 0
		case b.Type == block:
			body, line = b.Body, b.DefRange().Start.Line
		}
	}
	return body, line
}

func (c *checker) config(f *file) *Config {
	path, err := filepath.Abs(c.file)
	if err != nil {
		path = c.file
	}
	cfg := &Config{Path: path, DataDir: c.path("", "data_dir", f.DataDir), Region: f.Region}
	c.name("", "region", f.Region)
	cfg.Mlock = Mlock(c.oneOf("", "mlock", f.Mlock, "try", "require", "try", "off"))
	cfg.HSM = c.hsm(&f.HSM)
	cfg.Listen = Addresses{c.address("listen", "raft", f.Listen.Raft, false),
		c.address("listen", "api", f.Listen.API, false), c.address("listen", "gossip", f.Listen.Gossip, false)}
	c.distinct(cfg.Listen)
	cfg.Advertise = c.advertise(f.Advertise, cfg.Listen)
	cfg.Raft = c.raft(f.Raft)
	cfg.Limits = c.limits(f.Limits)
	cfg.Shares = c.shares(f.Shares)
	cfg.Log = c.log(f.Log)
	if f.Telemetry != nil {
		cfg.Telemetry = c.telemetry(f.Telemetry)
	}
	return cfg
}

func (c *checker) hsm(f *fileHSM) HSM {
	h := HSM{Module: c.path("hsm", "module", f.Module), TokenLabel: f.TokenLabel, InitArgs: or(f.InitArgs, ""),
		PINCredential: or(f.PINCredential, ""), Workers: c.count("hsm", "workers", f.Workers, 2, 1, 64),
		Timeout: c.duration("hsm", "timeout", f.Timeout, 10*time.Second, 100*time.Millisecond, 5*time.Minute)}
	if f.TokenLabel == "" || len(f.TokenLabel) > maxLabel {
		c.fail("hsm", "token_label", "a token label has 1 to %d bytes", maxLabel)
	}
	if f.PINFile != nil {
		h.PINFile = c.path("hsm", "pin_file", *f.PINFile)
	}
	if strings.ContainsAny(h.PINCredential, "/\\") {
		c.fail("hsm", "pin_credential", "is a credential's name, not a path")
	}
	if (f.PINFile == nil) == (f.PINCredential == nil) {
		if body, line := c.find("hsm"); body != nil {
			c.note(line, "hsm", "pin_file", "give exactly one of pin_file and pin_credential")
		}
	}
	return h
}

func (c *checker) advertise(f *fileAdvertise, listen Addresses) Addresses {
	if f == nil {
		f = &fileAdvertise{}
	}
	one := func(attr string, v *string, listen string) string {
		if v != nil {
			return c.address("advertise", attr, *v, true)
		}
		if host, _, err := net.SplitHostPort(listen); err == nil && unspecified(host) {
			c.fail("listen", attr, "%s listens on every interface, so advertise.%s must say which address others dial", listen, attr)
		}
		return listen
	}
	return Addresses{one("raft", f.Raft, listen.Raft), one("api", f.API, listen.API), one("gossip", f.Gossip, listen.Gossip)}
}

func (c *checker) raft(f *fileRaft) Raft {
	if f == nil {
		f = &fileRaft{}
	}
	d := func(attr string, v *string, least, most time.Duration) time.Duration {
		return c.duration("raft", attr, v, 0, least, most)
	}
	r := Raft{
		Profile:           Profile(c.oneOf("raft", "profile", f.Profile, "wan", "wan", "loopback")),
		HeartbeatTimeout:  d("heartbeat_timeout", f.HeartbeatTimeout, 5*time.Millisecond, time.Minute),
		ElectionTimeout:   d("election_timeout", f.ElectionTimeout, 5*time.Millisecond, time.Minute),
		LeaseTimeout:      d("lease_timeout", f.LeaseTimeout, 5*time.Millisecond, time.Minute),
		OneWayDelay:       d("one_way_delay", f.OneWayDelay, time.Microsecond, time.Minute),
		CommitTimeout:     d("commit_timeout", f.CommitTimeout, time.Millisecond, time.Minute),
		SnapshotInterval:  d("snapshot_interval", f.SnapshotInterval, time.Second, 24*time.Hour),
		SnapshotThreshold: uint64(c.count("raft", "snapshot_threshold", f.SnapshotThreshold, 0, 1, math.MaxInt32)),
		TrailingLogs:      uint64(c.count("raft", "trailing_logs", f.TrailingLogs, 0, 1, math.MaxInt32)),
	}
	if r.HeartbeatTimeout > 0 && r.ElectionTimeout > 0 && r.ElectionTimeout < r.HeartbeatTimeout {
		c.fail("raft", "election_timeout", "%s is shorter than heartbeat_timeout %s", r.ElectionTimeout, r.HeartbeatTimeout)
	}
	if r.HeartbeatTimeout > 0 && r.LeaseTimeout > r.HeartbeatTimeout {
		c.fail("raft", "lease_timeout", "%s is longer than heartbeat_timeout %s", r.LeaseTimeout, r.HeartbeatTimeout)
	}
	return r
}

func (c *checker) limits(f *fileLimits) Limits {
	if f == nil {
		f = &fileLimits{}
	}
	l := Limits{
		MaxConnections:           c.count("limits", "max_connections", f.MaxConnections, 1024, 8, 65536),
		MaxConnectionsPerAddress: c.count("limits", "max_connections_per_address", f.MaxConnectionsPerAddress, 512, 1, 65536),
		MaxStreams:               c.count("limits", "max_streams", f.MaxStreams, 1024, 1, 65536),
		RequestBurst:             c.count("limits", "request_burst", f.RequestBurst, 20000, 1, 1<<20),
		RequestRate:              or(f.RequestRate, 20000),
		MinFreeDisk:              c.size("limits", "min_free_disk", f.MinFreeDisk, 64<<20),
	}
	if l.RequestRate <= 0 || l.RequestRate > 1e6 {
		c.fail("limits", "request_rate", "is calls a second, above 0 and at most 1000000")
	}
	return l
}

func (c *checker) shares(f *fileShares) Shares {
	if f == nil {
		f = &fileShares{}
	}
	return Shares{Keep: c.duration("shares", "keep", f.Keep, 10*time.Minute, time.Second, 24*time.Hour),
		Most: c.count("shares", "most", f.Most, 4096, 16, 1<<20)}
}

func (c *checker) telemetry(f *fileTelemetry) Telemetry {
	t := Telemetry{Listen: c.address("telemetry", "listen", f.Listen, false), Pprof: or(f.Pprof, false)}
	host, _, _ := net.SplitHostPort(t.Listen)
	if ip := net.ParseIP(host); t.Pprof && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		c.fail("telemetry", "pprof", "profiles are served on a loopback address only, and listen is %q", t.Listen)
	}
	return t
}

func (c *checker) log(f *fileLog) Log {
	if f == nil {
		f = &fileLog{}
	}
	l := Log{Format: c.oneOf("log", "format", f.Format, "text", "text", "json")}
	if err := l.Level.UnmarshalText([]byte(c.oneOf("log", "level", f.Level, "info", "debug", "info", "warn", "error"))); err != nil {
		l.Level = slog.LevelInfo // oneOf has noted the problem
	}
	return l
}

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// name notes a problem unless v is a name: lower-case letters, digits and hyphens.
func (c *checker) name(block, attr, v string) {
	if !ValidName(v) {
		c.fail(block, attr, "%q is not a name: a lower-case letter, then letters, digits and hyphens, at most %d", v, maxName)
	}
}

// ValidName reports whether v can name a region: it becomes part of its server id.
func ValidName(v string) bool { return len(v) <= maxName && nameRule.MatchString(v) }

// path resolves v against the file's directory.
func (c *checker) path(block, attr, v string) string {
	if v == "" {
		c.fail(block, attr, "must not be empty")
		return ""
	}
	if filepath.IsAbs(v) {
		return filepath.Clean(v)
	}
	p, err := filepath.Abs(filepath.Join(filepath.Dir(c.file), v))
	if err != nil {
		c.fail(block, attr, "%v", err)
	}
	return p
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func (c *checker) address(block, attr, v string, dialled bool) string {
	if err := CheckAddress(v, dialled); err != nil {
		c.fail(block, attr, "%v", err)
	}
	return v
}

// CheckAddress reports what is wrong with a host:port; an address that others dial
// needs a host and a port other than 0.
func CheckAddress(v string, dialled bool) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil || len(v) > 255 {
		return fmt.Errorf("%q is not host:port", v)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q: the port must be a number from 1 to 65535", v)
	}
	if dialled && unspecified(host) {
		return fmt.Errorf("%q names no host that others could dial", v)
	}
	return nil
}

// distinct notes two services on one address; gossip shares its number with TCP too.
func (c *checker) distinct(a Addresses) {
	if a.Raft != "" && a.Raft == a.API {
		c.fail("listen", "api", "%s is raft's address already", a.API)
	}
	if a.Gossip != "" && (a.Gossip == a.Raft || a.Gossip == a.API) {
		c.fail("listen", "gossip", "%s is taken: gossip uses TCP and UDP", a.Gossip)
	}
}

func (c *checker) oneOf(block, attr string, v *string, def string, choices ...string) string {
	got := or(v, def)
	for _, ok := range choices {
		if got == ok {
			return got
		}
	}
	c.fail(block, attr, "%q is not one of %s", got, strings.Join(choices, ", "))
	return def
}

func (c *checker) count(block, attr string, v *int, def, least, most int) int {
	if v == nil {
		return def
	}
	if *v < least || *v > most {
		c.fail(block, attr, "%d is not between %d and %d", *v, least, most)
		return def
	}
	return *v
}

func (c *checker) duration(block, attr string, v *string, def, least, most time.Duration) time.Duration {
	if v == nil {
		return def
	}
	d, err := time.ParseDuration(*v)
	if err != nil {
		c.fail(block, attr, "%q is not a duration such as \"250ms\" or \"2s\"", *v)
		return def
	}
	if d < least || d > most {
		c.fail(block, attr, "%s is not between %s and %s", d, least, most)
		return def
	}
	return d
}

var units = []struct {
	suffix string
	bytes  uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

func (c *checker) size(block, attr string, v *string, def uint64) uint64 {
	if v == nil {
		return def
	}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(*v, u.suffix); ok {
			if n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20); err == nil {
				return n * u.bytes
			}
			break
		}
	}
	c.fail(block, attr, "%q is not a size such as \"512MiB\" or \"2GiB\"", *v)
	return def
}

func or[T any](v *T, def T) T {
	if v == nil {
		return def
	}
	return *v
}
