package lab_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// elsewhere dials from another address of this machine than everyone else: what it is
// refused is not refused to them.
var elsewhere = net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

func (r ports) all() []string { return []string{r.Raft, r.API, r.Gossip, r.Metrics} }

type ports struct{ *lab.Region }

// stranger makes a certificate nobody knows.
func stranger(t *testing.T) tls.Certificate {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}
}

// TestGarbage throws at every port what does not belong there; the region goes on.
func TestGarbage(t *testing.T) {
	w := take(t)
	r := ports{w.leader(t)}
	l := w.load(t, 2)
	l.goesOn(5)
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	for _, addr := range r.all() {
		for _, bytes := range [][]byte{noise, noise[:1], []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), append([]byte{22, 3, 3, 0x40, 0}, noise...)} {
			conn, err := elsewhere.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = conn.Write(bytes)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}
	udp, err := net.Dial("udp", r.Gossip)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for i := range 200 {
		_, _ = udp.Write(noise[i : 1+i*7])
	}
	l.goesOn(10)
	l.stop()
	if gone, err := r.Exited(); gone {
		t.Errorf("the region ended: %v", err)
	}
}

// TestStrangers offers TLS the regions must not accept, and calls of nobody they know.
func TestStrangers(t *testing.T) {
	w := take(t)
	r := w.leader(t)
	cert := stranger(t)
	base := func() *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
	}
	for _, c := range []struct {
		name string
		addr string
		tls  func(*tls.Config)
	}{
		{"TLS 1.2", r.API, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"a classical curve", r.API, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }},
		{"no certificate", r.API, func(c *tls.Config) { c.Certificates = nil }},
		{"a stranger at the raft port", r.Raft, func(c *tls.Config) { c.NextProtos = nil }},
		{"a stranger who speaks raft", r.Raft, func(c *tls.Config) { c.NextProtos = []string{"tetrad-raft/1"} }},
		{"TLS 1.2 at the raft port", r.Raft, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := base()
			c.tls(cfg)
			conn, err := tls.DialWithDialer(&elsewhere, "tcp", c.addr, cfg)
			if err != nil {
				return
			}
			defer conn.Close()
			// In TLS 1.3 the client learns with its first read that it was refused.
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = conn.Write([]byte("hello"))
			if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
				t.Errorf("was served")
			}
		})
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		cfg := base()
		cfg.NextProtos = []string{"http/1.1"}
		conn, err := tls.DialWithDialer(&elsewhere, "tcp", r.API, cfg)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			t.Errorf("HTTP/1.1 was answered: %s", resp.Status)
		}
	})
	t.Run("unknown principal", func(t *testing.T) {
		vault := tetradv1.NewVaultClient(w.raw(t, r, base()))
		_, err := vault.ListKeys(t.Context(), &tetradv1.ListKeysRequest{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("reading: %v", err)
		}
		_, err = vault.Sign(t.Context(), &tetradv1.SignRequest{Command: []byte("nonsense")})
		if c := status.Code(err); c != codes.Unauthenticated && c != codes.InvalidArgument {
			t.Errorf("signing: %v", err)
		}
		_, err = tetradv1.NewPeerClient(w.raw(t, r, base())).Leaves(t.Context(), &tetradv1.LeavesRequest{})
		if c := status.Code(err); c != codes.Unauthenticated && c != codes.PermissionDenied {
			t.Errorf("speaking as a region: %v", err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		vault := tetradv1.NewVaultClient(w.raw(t, r, base()))
		_, err := vault.Sign(t.Context(), &tetradv1.SignRequest{Command: make([]byte, 8<<20)})
		if c := status.Code(err); c != codes.ResourceExhausted && c != codes.Unauthenticated && c != codes.Unavailable {
			t.Errorf("8 MiB: %v", err)
		}
	})
	w.signs(t, 3)
}

func (w *world) raw(t *testing.T, r *lab.Region, cfg *tls.Config) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+r.API, grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// TestIdleConnections holds more idle connections to every port than they take: regions
// and clients elsewhere are served, and a region can still come back.
func TestIdleConnections(t *testing.T) {
	w := take(t)
	r := ports{w.leader(t)}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for _, addr := range r.all() {
		for range 800 {
			conn, err := elsewhere.Dial("tcp", addr)
			if err != nil {
				break // refused: that is fine too
			}
			held = append(held, conn)
		}
	}
	c, err := w.client(service, r.API)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 5 {
		if _, err := w.insist(t.Context(), c, fast, fmt.Sprint("beside the idle ", i)); err != nil {
			t.Fatal(err)
		}
	}
	other := w.Regions[0]
	if other == r.Region {
		other = w.Regions[1]
	}
	other.Kill()
	if err := w.Start(other); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := w.ready(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a region came back only after %s", took)
	}
	if gone, err := r.Exited(); gone {
		t.Errorf("the region ended: %v", err)
	}
}

// TestRaftPortsHeld keeps every raft port busy with strangers' connections while the
// leader dies: its successor must still reach the others.
func TestRaftPortsHeld(t *testing.T) {
	w := take(t)
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer func() { cancel(); flood.Wait() }()
	for _, r := range w.Regions {
		for range 100 {
			flood.Go(func() {
				for ctx.Err() == nil {
					conn, err := elsewhere.DialContext(ctx, "tcp", r.Raft)
					if err == nil { // held until the region has enough of it
						stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
						_, _ = conn.Read(make([]byte, 1))
						stop()
						_ = conn.Close()
					}
					select {
					case <-ctx.Done():
					case <-time.After(200 * time.Millisecond):
					}
				}
			})
		}
	}
	l := w.load(t, 2)
	l.goesOn(10)
	leader := w.leader(t)
	leader.Kill()
	l.goesOn(10)
	if err := w.Start(leader); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	w.same(t, l.stop())
}

// TestSecrets looks where secrets must not be: environment, command line, logs and files
// of the regions, core dumps.
func TestSecrets(t *testing.T) {
	w := take(t)
	w.signs(t, 2)
	secrets := []string{lab.PIN, tenant, service, note, wallet, fast}
	for _, r := range w.Regions {
		proc := fmt.Sprintf("/proc/%d/", r.PID())
		for _, name := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(proc + name)
			if err != nil {
				t.Fatal(err)
			}
			shows(t, proc+name, b, secrets)
		}
		limits, err := os.ReadFile(proc + "limits")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
			t.Errorf("region %s may dump core:\n%s", r.Name, limits)
		}
		err = filepath.WalkDir(r.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || path == filepath.Join(r.Dir, "pin") {
				return err
			}
			b, err := os.ReadFile(path)
			shows(t, path, b, secrets)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		b, err := r.MetricsPage(ctx)
		cancel()
		if err != nil || len(b) == 0 {
			t.Errorf("metrics of region %s: %v", r.Name, err)
		}
		shows(t, "metrics of "+r.Name, b, secrets)
	}
}

func shows(t *testing.T, where string, b []byte, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(string(b), s) {
			t.Errorf("%s holds %q", where, s)
		}
	}
}
