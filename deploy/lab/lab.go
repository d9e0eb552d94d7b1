// Package lab sets up four regions on one machine the way operators would on four:
// a SoftHSM token with its own configuration for each, the founding ceremony through
// vaultctl, one vaultd process a region. The demo and the benchmarks run in it.
package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// RegionNames are the lab's regions, in order of region id.
var RegionNames = []string{"us", "ch", "sg", "hk"}

// Lab is one set of four regions below one directory.
type Lab struct {
	Dir     string
	Bin     string // folder of vaultd and vaultctl
	Regions []*Region
	Env     []string // added to the environment of every vaultd
	log     *os.File // what the tools print
}

// Region is one region's site: its token, files and process.
type Region struct {
	Name    string
	Dir     string
	Raft    string
	API     string
	Gossip  string
	Metrics string // with profiles: nothing here is secret
	process *process
	logFrom int64 // where the log of the running process begins
}

// New lays out four sites below dir: directories, PINs, tokens, free ports, vaultd
// configurations. Nothing runs yet.
func New(ctx context.Context, dir, bin string) (*Lab, error) {
	logFile, err := os.OpenFile(filepath.Join(dir, "tools.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Bin: bin, log: logFile}
	ports, err := freePorts(4 * len(RegionNames))
	if err != nil {
		return nil, err
	}
	for i, name := range RegionNames {
		r := &Region{Name: name, Dir: filepath.Join(dir, name),
			Raft: addr(ports[4*i]), API: addr(ports[4*i+1]), Gossip: addr(ports[4*i+2]), Metrics: addr(ports[4*i+3])}
		if err := l.site(ctx, r); err != nil {
			return nil, fmt.Errorf("setting up region %s: %w", name, err)
		}
		l.Regions = append(l.Regions, r)
	}
	return l, nil
}

// Close closes what the lab itself holds open; processes are not touched.
func (l *Lab) Close() { _ = l.log.Close() }

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Ports are taken from below the range that Linux gives to outgoing connections: founding
// takes seconds, in which one of those could sit down on a port that nobody listens on yet.
const (
	portsFrom = 10_000
	portsTo   = 32_000
)

var given sync.Map // ports of all labs of this process

// freePorts finds n ports that are free for TCP and UDP now and given to no other lab.
func freePorts(n int) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries > portsTo-portsFrom {
			return nil, fmt.Errorf("no %d free ports between %d and %d", n, portsFrom, portsTo)
		}
		port := portsFrom + rand.IntN(portsTo-portsFrom)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", addr(port))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr(port))
		if err == nil {
			_ = u.Close()
			ports = append(ports, port)
		}
		_ = l.Close()
	}
	return ports, nil
}

// PIN of every token; it guards nothing but this lab's throw-away keys.
const PIN = "86420973"

func (l *Lab) site(ctx context.Context, r *Region) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	files := map[string]string{
		"softhsm2.conf": "directories.tokendir = " + r.Tokens() + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
		"pin":           PIN + "\n",
		"vaultd.hcl":    r.config(),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return l.Token(ctx, r)
}

// Token makes an empty token for a region. What was there before should be out of its way:
// the region knows its token by the label.
func (l *Lab) Token(ctx context.Context, r *Region) error {
	if err := os.MkdirAll(r.Tokens(), 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "softhsm2-util", "--init-token", "--free", "--label", "tetrad-"+r.Name, "--so-pin", PIN, "--pin", PIN)
	cmd.Env = r.Env()
	cmd.Stdout, cmd.Stderr = l.log, l.log
	return cmd.Run()
}

// Module returns the SoftHSM2 module of this machine.
func Module() string {
	found, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	for _, p := range append(found, "/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so") {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return "libsofthsm2.so"
}

func (r *Region) config() string {
	return fmt.Sprintf(`region   = %q
data_dir = %q
mlock    = "try"

hsm {
  module      = %q
  token_label = %q
  pin_file    = %q
}

listen {
  raft   = %q
  api    = %q
  gossip = %q
}

raft {
  profile = "loopback"
}

log {
  level = "info"
}

telemetry {
  listen = %q
  pprof  = true
}
`, r.Name, filepath.Join(r.Dir, "data"), Module(), "tetrad-"+r.Name, filepath.Join(r.Dir, "pin"), r.Raft, r.API, r.Gossip, r.Metrics)
}

// Config returns the region's configuration file.
func (r *Region) Config() string { return filepath.Join(r.Dir, "vaultd.hcl") }

// Tokens returns where the region's HSM keeps what it holds.
func (r *Region) Tokens() string { return filepath.Join(r.Dir, "tokens") }

// Log returns the file vaultd's output goes to.
func (r *Region) Log() string { return filepath.Join(r.Dir, "vaultd.log") }

// Env is the environment of a process at this site.
func (r *Region) Env() []string {
	return append(os.Environ(), "SOFTHSM2_CONF="+filepath.Join(r.Dir, "softhsm2.conf"))
}

// Vaultctl runs vaultctl with env added and returns its standard output. The error
// carries what it said on standard error.
func (l *Lab) Vaultctl(ctx context.Context, env []string, args ...string) (string, error) {
	var out, errOut strings.Builder
	cmd := exec.CommandContext(ctx, filepath.Join(l.Bin, "vaultctl"), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_, _ = fmt.Fprintf(l.log, "%s $ vaultctl %s\n", time.Now().Format(time.TimeOnly), strings.Join(args, " "))
	err := cmd.Run()
	_, _ = fmt.Fprint(l.log, out.String(), errOut.String())
	if err != nil {
		return out.String(), fmt.Errorf("vaultctl %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}
