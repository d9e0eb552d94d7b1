package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
	"github.com/tetrad-vault/tetrad/seal/pkcs11/softhsmtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vaultd": main, "slack": printSlack})
}

// founded is one region of a founded cluster, with real tokens.
type foundedRegion struct {
	dir    string
	config string // text of the configuration
	api    string // address
}

func found(t *testing.T) foundedRegion {
	t.Helper()
	labels := []string{"north", "east", "south", "west"}
	tokens, err := softhsmtest.Setup(labels...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.Close)
	module, err := pkcs11.Load(tokens.Module, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ports := freePorts(t, 3)
	lab := ceremonytest.New(t, ceremonytest.Options{
		Address: func(region, service string) string {
			if region == "north" {
				return ports[map[string]int{"raft": 0, "api": 1, "gossip": 2}[service]]
			}
			return fmt.Sprintf("%s.invalid:%d", region, map[string]int{"raft": 1, "api": 2, "gossip": 3}[service])
		},
		HSM: func(i int) ceremony.HSM {
			h, err := seal.Open(context.Background(), seal.Config{Token: module.Token(labels[i]), PIN: tokens.UserPIN()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Close(context.Background()) })
			return h
		},
		Disk: func(i int) durable.FS {
			fs, err := durable.Dir(filepath.Join(dir, labels[i]))
			if err != nil {
				t.Fatal(err)
			}
			return fs
		},
	})
	lab.Found(t)
	if err := node.Enrol(lab.Sites[0].FS); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte(softhsmtest.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	return foundedRegion{dir, fmt.Sprintf("region = \"north\"\ndata_dir = \"north\"\nhsm {\n module = %q\n token_label = \"north\"\n pin_file = \"pin\"\n}\n"+
		"listen {\n raft = %q\n api = %q\n gossip = %q\n}\nraft {\n profile = \"loopback\"\n}\n", tokens.Module, ports[0], ports[1], ports[2]), ports[1]}
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

func (f foundedRegion) write(t *testing.T, name, old, new string) string {
	t.Helper()
	p := filepath.Join(f.dir, name)
	if err := os.WriteFile(p, []byte(strings.Replace(f.config, old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// vaultd runs the program to its end.
func vaultd(args ...string) (code int, output string) {
	var out bytes.Buffer
	cmd := exec.Command("vaultd", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String()
}

// TestRunsAndStops starts a region alone, hears from it through systemd's socket, and
// stops it with SIGTERM. Without the other regions it runs, but is not ready.
func TestRunsAndStops(t *testing.T) {
	f := found(t)
	good := f.write(t, "good.hcl", "", "")
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out bytes.Buffer
	t.Setenv("NOTIFY_SOCKET", socket)
	cmd := exec.Command("vaultd", "--config", good)
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			_ = cmd.Wait()
			t.Logf("vaultd said:\n%s", out.String())
		}
	})
	expect(t, l, "READY=1")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err == nil && !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps are possible:\n%s", limits)
	}
	// A second process must not touch the same data.
	if code, text := vaultd("--config", good); code != 1 || !strings.Contains(text, "in use by another process") {
		t.Errorf("a second process: exit %d\n%s", code, text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopping: %v\n%s", err, out.String())
	}
	if text := out.String(); !strings.Contains(text, "asked to stop") || !strings.Contains(text, "in_time=true") || strings.Contains(text, softhsmtest.PIN) {
		t.Errorf("log:\n%s", text)
	}

	f.staysSealed(t, l)
	for name, c := range map[string]struct {
		file string
		code int
		text string
	}{
		"other region":   {f.write(t, "region.hcl", `region = "north"`, `region = "east"`), errs.ExitFailure, `belongs to region "north"`},
		"unfounded":      {f.write(t, "empty.hcl", `data_dir = "north"`, `data_dir = "empty"`), errs.ExitFailure, "vaultctl init"},
		"no module":      {f.write(t, "module.hcl", `libsofthsm2.so`, `libnone.so`), errs.ExitFailure, "libnone.so"},
		"invalid":        {f.write(t, "invalid.hcl", `token_label`, `token_lable`), errs.ExitFailure, "invalid.hcl:5"},
		"lease too long": {f.write(t, "lease.hcl", `profile = "loopback"`, "profile = \"loopback\"\n lease_timeout = \"499ms\""), errs.ExitFailure, "lease"},
	} {
		code, text := vaultd("--config", c.file)
		if code != c.code || !strings.Contains(text, c.text) || strings.Contains(text, "canary") {
			t.Errorf("%s: exit %d, want %d with %q\n%s", name, code, c.code, c.text, text)
		}
	}
}

// staysSealed starts the region with a wrong PIN: it is tried once, only health is
// served, and the end of the process says why.
func (f foundedRegion) staysSealed(t *testing.T, l *net.UnixConn) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "wrong-pin"), []byte("canary-5417"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("vaultd", "--config", f.write(t, "pin.hcl", `"pin"`, `"wrong-pin"`))
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	expect(t, l, "READY=1\nSTATUS=sealed")
	cc, err := grpc.NewClient("passthrough:///"+f.api, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return strangerCert(t), nil }})))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || h.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health of a sealed region: %v %v", h, err)
	}
	st, err := tetradv1.NewVaultClient(cc).Status(ctx, &tetradv1.StatusRequest{})
	if err != nil || st.State != tetradv1.NodeState_NODE_STATE_SEALED {
		t.Errorf("status of a sealed region: %v %v", st, err)
	}
	if _, err := tetradv1.NewVaultClient(cc).ListKeys(ctx, &tetradv1.ListKeysRequest{}); errs.CodeOf(coded.FromError(err)) != errs.Sealed {
		t.Errorf("a sealed region's keys: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	text := out.String()
	if code := cmd.ProcessState.ExitCode(); code != errs.ExitSealed || strings.Count(text, "code=wrong_pin") != 1 ||
		!strings.Contains(text, "correct the PIN") || strings.Contains(text, "canary") {
		t.Errorf("wrong PIN: exit %d\n%s", code, text)
	}
}

// strangerCert is a certificate nobody knows.
func strangerCert(t *testing.T) *tls.Certificate {
	c := identity.PrincipalTLS(identity.GenerateEd25519(), 0, func(identity.RegionID) []identity.PublicKey { return nil }, identity.ClusterID{})
	return &c.Certificates[0]
}

// expect reads notifications until one begins with want.
func expect(t *testing.T, l *net.UnixConn, want string) {
	t.Helper()
	buf := make([]byte, 4096)
	if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := l.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %s: %v", want, err)
		}
		if strings.HasPrefix(string(buf[:n]), want) {
			return
		}
	}
}

func TestCommandLine(t *testing.T) {
	example := filepath.Join("..", "..", "deploy", "vaultd.example.hcl")
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{nil, errs.ExitUsage, "no configuration given"},
		{[]string{"--frobnicate"}, errs.ExitUsage, "unknown flag"},
		{[]string{"frobnicate"}, errs.ExitUsage, "unknown command"},
		{[]string{"--config", "none.hcl"}, errs.ExitFailure, "none.hcl"},
		{[]string{"check"}, errs.ExitUsage, "no configuration given"},
		{[]string{"check", "--config", example}, errs.ExitOK, `region "frankfurt" is valid`},
		{[]string{"version"}, errs.ExitOK, "vaultd "},
		{[]string{"--help"}, errs.ExitOK, "--config"},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.text) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s", c.args, code, c.code, c.text, out.String())
		}
	}
}

func TestTiming(t *testing.T) {
	wan, err := timing(config.Raft{Profile: config.ProfileWAN})
	if err != nil || wan != cluster.WAN() {
		t.Errorf("wan: %+v, %v", wan, err)
	}
	got, err := timing(config.Raft{Profile: config.ProfileLoopback, HeartbeatTimeout: 2 * time.Second, ElectionTimeout: 3 * time.Second, SnapshotThreshold: 7, OneWayDelay: time.Millisecond})
	want := cluster.Loopback()
	want.Heartbeat, want.Election, want.SnapshotThreshold, want.Delay = 2*time.Second, 3*time.Second, 7, time.Millisecond
	if err != nil || got != want {
		t.Errorf("overrides: %+v, %v", got, err)
	}
	if _, err := timing(config.Raft{Profile: config.ProfileLoopback, LeaseTimeout: time.Second}); err == nil {
		t.Error("a lease longer than the heartbeat was accepted")
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(config.Log{Level: slog.LevelWarn, Format: "json"}, &b)
	log.Info("quiet")
	log.Warn("loud")
	if s := b.String(); strings.Contains(s, "quiet") || !strings.Contains(s, `"msg":"loud"`) {
		t.Errorf("log: %s", s)
	}
}

func TestNotifyWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var b bytes.Buffer
	newNotifier().send(slog.New(slog.NewTextHandler(&b, nil)), "READY=1")
	t.Setenv("NOTIFY_SOCKET", "@tetrad-test-nobody-listens")
	n := newNotifier()
	if os.Getenv("NOTIFY_SOCKET") != "" {
		t.Error("the socket's name stays in the environment")
	}
	if b.Len() > 0 {
		t.Errorf("log: %s", b.String())
	}
	n.send(slog.New(slog.NewTextHandler(&b, nil)), "READY=1")
	if !strings.Contains(b.String(), "telling systemd") {
		t.Error("a failure was not logged")
	}
}
