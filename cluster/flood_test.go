package cluster_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/race"
)

// Strangers who open connections and say nothing do not keep regions out, even from
// many addresses, and do not fill the log.
func TestStrangersKeepNobodyOut(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(writer(func(b []byte) { mu.Lock(); defer mu.Unlock(); out.Write(b) }), nil))
	o := clustertest.Options{Logger: func(string) *slog.Logger { return logger }}
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.List[0].Start()
		for i := range 300 {
			host := []string{"evil", "bad", "worse"}[i%3]
			c, err := a.Net.Host(host).Dial(t.Context(), a.List[0].Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			time.Sleep(time.Millisecond) // the backlog is short
		}
		start := time.Now()
		if err := knock(t, a); err != nil || time.Since(start) > time.Second {
			t.Errorf("a region was kept out for %s: %v", time.Since(start), err)
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(out.String(), "connection refused"); n == 0 || n > 20 {
		t.Errorf("%d lines about strangers", n)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// A region that lost power several times left connections behind; it is heard all the
// same.
func TestDeadConnectionsMakeRoom(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.List[0].Start()
		for i := range 40 {
			if err := knock(t, a); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
	})
}

// knock opens a connection of region 2 to region 1, leaves it open, and says whether it
// is served.
func knock(t *testing.T, a *clustertest.Nodes) error {
	conf := identity.ClientTLS(a.List[1].Session(), 1, a.Pins, a.ID)
	conf.NextProtos = []string{"tetrad-raft/1"}
	raw, err := a.Net.Host(a.List[1].Name).Dial(t.Context(), a.List[0].Addr)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = raw.Close() })
	c := tls.Client(raw, conf)
	if err := c.HandshakeContext(t.Context()); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("dropped: %w", err)
	}
	return nil
}

// What raft says of a peer that is down, many times a second, is written now and then.
func TestDeadPeerDoesNotFillTheLog(t *testing.T) {
	race.Without(t)
	var mu sync.Mutex
	lines := 0
	logger := slog.New(slog.NewTextHandler(writer(func([]byte) { mu.Lock(); defer mu.Unlock(); lines++ }), nil))
	o := clustertest.Options{Logger: func(string) *slog.Logger { return logger }}
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Followers(a.Leader())[0].Kill()
		mu.Lock()
		lines = 0
		mu.Unlock()
		time.Sleep(4 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if lines > 10*2*4 {
			t.Errorf("%d lines in four minutes", lines)
		}
	})
}
