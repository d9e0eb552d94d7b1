package node

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// StaysSealed reports whether Start failed because the HSM did not open: the node then
// serves nothing but health until it does (ServeSealed). A wrong PIN is not a thing to
// try again: some tokens lock after a few.
func StaysSealed(err error) (sealed, tryAgain bool) {
	switch errs.CodeOf(err) {
	case errs.WrongPIN:
		return true, false
	case errs.HSMFailed, errs.HSMTimeout:
		return true, true
	}
	return false, false
}

// ServeSealed answers health and a bare status on the API address until ctx ends. The
// key it shows is made for the occasion: without its HSM a region cannot prove who it
// is, and clients that pin it will say so.
func ServeSealed(ctx context.Context, cfg Config, cause error) error {
	in, err := ceremony.Load(cfg.FS)
	if err != nil {
		return err
	}
	key := identity.GenerateEd25519()
	stranger := &identity.Session{KeySigner: key}
	none := func(identity.RegionID) []identity.PublicKey { return nil }
	server, err := rpc.New(rpc.Config{Region: in.Region, Limits: cfg.Limits, Logger: cfg.Logger,
		TLS: identity.ServerTLS(stranger, none, in.Genesis.Document.Cluster, true), Dialer: rpc.NewConns(noConns(cfg)),
		Node: sealedStatus{cfg.Started, in.Genesis.Document.Regions[in.Region-1].Name, cause}})
	if err != nil {
		return err
	}
	listener, err := cfg.Network.Listen(cfg.Listen.API)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "listening on %s", cfg.Listen.API)
	}
	cfg.Logger.Error("sealed: only health is served", slog.String("code", errs.CodeOf(cause).String()), slog.Any("error", cause))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	server.Shutdown(stop)
	if err == nil {
		err = <-served
	}
	return err
}

func noConns(cfg Config) rpc.ConnsConfig {
	return rpc.ConnsConfig{
		TLS:     func(identity.RegionID) *tls.Config { return nil },
		Address: func(identity.RegionID) (string, bool) { return "", false },
		Dial:    func(ctx context.Context, addr string) (net.Conn, error) { return cfg.Network.Dial(ctx, addr) },
	}
}

type sealedStatus struct {
	started time.Time
	name    string
	cause   error
}

func (s sealedStatus) Ready() error {
	return errs.New(errs.Sealed, "region %s is sealed: its HSM did not open (%s)", s.name, errs.CodeOf(s.cause))
}

func (s sealedStatus) Report() rpc.Report {
	return rpc.Report{Sealed: true, RegionName: s.name, Started: s.started, HSMError: errs.CodeOf(s.cause).String()}
}
