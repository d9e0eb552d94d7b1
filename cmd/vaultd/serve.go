package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/network"
	"github.com/tetrad-vault/tetrad/internal/node"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/internal/version"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
	"github.com/tetrad-vault/tetrad/vault"
)

// shutdownGrace bounds an orderly shutdown; systemd kills later than that
// (deploy/vaultd.service).
const shutdownGrace = 20 * time.Second

// serve runs the node until a signal or a fault it cannot go on with.
func serve(ctx context.Context, cfg *config.Config, started time.Time, stderr io.Writer) error {
	log := newLogger(cfg.Log, stderr)
	if err := harden(cfg.Mlock, log); err != nil {
		return err
	}
	// Taken before anything slow, so that a stop during a slow unseal is orderly too.
	signals, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	var heap sync.WaitGroup
	defer heap.Wait()
	defer stop()
	signal.Ignore(syscall.SIGHUP) // the configuration is read once
	heap.Go(func() { keepHeap(signals) })
	nt := newNotifier()
	log.Info("starting", slog.String("version", version.Version), slog.String("region", cfg.Region), slog.String("config", cfg.Path))
	nt.send(log, "STATUS=opening the HSM")

	registry := newRegistry()
	nc, err := nodeConfig(cfg, log, registry, started)
	if err != nil {
		return err
	}
	n, err := open(signals, nc, nt, log)
	if err != nil {
		return notStarted(signals, nc, err)
	}
	// Metrics are only for watching: they begin last and end first.
	endMetrics, err := serveMetrics(cfg.Telemetry, registry, log)
	if err != nil {
		shutdown(n, nt, log, "metrics cannot be served")
		return err
	}
	nt.send(log, "READY=1\nSTATUS=running, catching up")
	var ready sync.WaitGroup
	ready.Go(func() {
		if n.WaitReady(signals) == nil {
			nt.send(log, "STATUS=ready to sign")
		}
	})
	err = n.Wait(signals)
	reason := "asked to stop"
	if err != nil {
		reason = "a part of the node failed"
		log.Error("stopping on a fault", slog.String("error", err.Error()))
	}
	stop() // from here on a second signal ends the process at once
	ready.Wait()
	endMetrics()
	shutdown(n, nt, log, reason)
	return err
}

// sealedRetry is how often a region whose HSM did not open is tried again.
const sealedRetry = 10 * time.Second

// open starts the node. While the HSM does not open the node stays sealed, serving only
// health; it is tried again, except after a wrong PIN. Stopped while sealed, it ends with
// the reason.
func open(ctx context.Context, nc *node.Config, nt *notifier, log *slog.Logger) (*node.Node, error) {
	for {
		n, err := node.Start(ctx, *nc)
		sealed, again := node.StaysSealed(err)
		if !sealed || ctx.Err() != nil {
			return n, err
		}
		if hint := errs.HintOf(err); hint != "" {
			log.Error("sealed", slog.String("hint", hint))
		}
		nt.send(log, "READY=1\nSTATUS=sealed: "+err.Error())
		wait, cancel := ctx, context.CancelFunc(func() {})
		if again {
			wait, cancel = context.WithTimeout(ctx, sealedRetry)
		}
		served := node.ServeSealed(wait, *nc, err)
		cancel()
		if served != nil || ctx.Err() != nil {
			return nil, errors.Join(err, served)
		}
	}
}

// running is what of a node is stopped here.
type running interface{ Shutdown(ctx context.Context) }

func shutdown(n running, nt *notifier, log *slog.Logger, reason string) {
	nt.send(log, "STOPPING=1\nSTATUS=stopping: "+reason)
	log.Info("stopping", slog.String("reason", reason))
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	n.Shutdown(ctx)
	log.Info("stopped", slog.Bool("in_time", ctx.Err() == nil))
}

// notStarted closes what the node would have closed. A stop asked for meanwhile is
// no failure.
func notStarted(signals context.Context, nc *node.Config, err error) error {
	if nc.Stores.Close != nil {
		_ = nc.Stores.Close()
	}
	if sealed, _ := node.StaysSealed(err); sealed {
		return err
	}
	if signals.Err() != nil && (errors.Is(err, context.Canceled) || errs.CodeOf(err) == errs.Canceled) {
		return nil
	}
	return err
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// nodeConfig opens what the node runs on: data directory, raft stores, HSM module.
func nodeConfig(cfg *config.Config, log *slog.Logger, registry *prometheus.Registry, started time.Time) (*node.Config, error) {
	fs, err := durable.Dir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if err := founded(cfg, fs); err != nil {
		return nil, err
	}
	periods, err := timing(cfg.Raft)
	if err != nil {
		return nil, err
	}
	token, err := hsm(cfg.HSM, log)
	if err != nil {
		return nil, err
	}
	stores, err := cluster.OpenBolt(filepath.Join(cfg.DataDir, "raft"))
	if err != nil {
		return nil, err
	}
	return &node.Config{FS: fs, Stores: stores, HSM: token, Network: network.OS{},
		Listen: node.Addresses{Raft: cfg.Listen.Raft, API: cfg.Listen.API, Gossip: cfg.Listen.Gossip},
		Timing: periods, MinFree: cfg.Limits.MinFreeDisk, Shares: vault.Keeping{Keep: cfg.Shares.Keep, Most: cfg.Shares.Most},
		Limits: rpc.Limits{Connections: cfg.Limits.MaxConnections, ConnectionsPerAddress: cfg.Limits.MaxConnectionsPerAddress,
			Streams: cfg.Limits.MaxStreams, Rate: cfg.Limits.RequestRate, Burst: cfg.Limits.RequestBurst},
		Metrics: registry, Logger: log, Started: started}, nil
}

// founded compares the configuration with what the ceremony installed, before anything
// is created in a wrong directory.
func founded(cfg *config.Config, fs durable.FS) error {
	in, err := ceremony.Load(fs)
	if err != nil {
		return err
	}
	if name := in.Genesis.Document.Regions[in.Region-1].Name; name != cfg.Region {
		return errs.New(errs.Invalid, "%s says region %q, but %s belongs to region %q", cfg.Path, cfg.Region, cfg.DataDir, name).
			WithHint("one of region and data_dir is another region's")
	}
	return nil
}

func hsm(c config.HSM, log *slog.Logger) (seal.Config, error) {
	module, err := pkcs11.Load(c.Module, c.InitArgs)
	if err != nil {
		return seal.Config{}, err
	}
	pin := seal.PINFile(c.PINFile)
	if c.PINCredential != "" {
		pin = seal.PINCredential(c.PINCredential)
	}
	return seal.Config{Token: module.Token(c.TokenLabel), PIN: pin, Sessions: c.Workers, Timeout: c.Timeout, Logger: log}, nil
}

// timing is the profile with its overrides, checked as a whole.
func timing(c config.Raft) (cluster.Timing, error) {
	t := cluster.WAN()
	if c.Profile == config.ProfileLoopback {
		t = cluster.Loopback()
	}
	override(&t.Heartbeat, c.HeartbeatTimeout)
	override(&t.Election, c.ElectionTimeout)
	override(&t.Lease, c.LeaseTimeout)
	override(&t.Commit, c.CommitTimeout)
	override(&t.Delay, c.OneWayDelay)
	override(&t.SnapshotInterval, c.SnapshotInterval)
	override(&t.SnapshotThreshold, c.SnapshotThreshold)
	override(&t.TrailingLogs, c.TrailingLogs)
	return t, t.Check()
}

func override[T comparable](to *T, v T) {
	var unset T
	if v != unset {
		*to = v
	}
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// serveMetrics serves /metrics and, if asked for, profiles; the function it returns ends
// that and waits.
func serveMetrics(t config.Telemetry, registry *prometheus.Registry, log *slog.Logger) (end func(), err error) {
	if t.Listen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", t.Listen)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "listening for metrics on %s", t.Listen)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if t.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("metrics ended", slog.String("error", err.Error()))
		}
	}()
	return func() { _ = srv.Close(); <-done }, nil
}
