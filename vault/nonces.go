package vault

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"io"
	"log/slog"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// nonces are this region's nonces of this boot, one pool a curve, in memory only. What
// may be used is what the committed state lists or an open attempt names: who restarts
// begins with nothing, and what the session before offered is void.
type nonces struct {
	stats  *counters
	stocks map[command.Curve]*stock
}

// thresholdCurves are those threshold keys are on.
var thresholdCurves = []command.Curve{command.Secp256k1, command.Ed25519}

func newNonces(cfg *Config, a *author, stats *counters, b *beacon) *nonces {
	n := &nonces{stats: stats, stocks: map[command.Curve]*stock{}}
	for _, curve := range thresholdCurves {
		n.stocks[curve] = &stock{cfg: cfg, author: a, stats: stats, beacon: b, curve: curve, target: cfg.Nonces, wake: newBell()}
	}
	return n
}

// open makes the pool, once.
func (s *stock) open(ctx context.Context) error {
	if err := s.cfg.Replica.Ready(); err != nil {
		return err
	}
	hedge, err := s.hedge(ctx)
	if err != nil {
		return err
	}
	defer clear(hedge)
	s.boot = s.bootAfter(s.cfg.Replica.View())
	pool, err := frost.NewPool(suiteFor(s.curve), uint8(s.cfg.Region), s.boot, hedge)
	if err == nil {
		s.pool.Store(pool)
	}
	return err
}

// bootAfter numbers this boot: higher than all from which the state knows offers of this
// region, since it takes nothing older. Sessions of a region are issued in order, so that
// its time of issue is; unless the region was replaced after its clock had run ahead.
func (s *stock) bootAfter(view fsm.View) uint64 {
	issued := uint64(s.cfg.Session.Cert.Issued.UnixMilli())
	p, ok := view.NoncePool(s.cfg.Region, s.curve)
	if !ok || p.Boot < issued || p.Session == s.cfg.Session.Public().Fingerprint() {
		return issued
	}
	return p.Boot + 1
}

// hedge is a secret of this region, boot and curve: nonces stay secret even if the source of
// randomness is weak. It comes from the region's share of the beacon key, at an input that
// no entry of the log gives. A region without a share has randomness alone.
func (s *stock) hedge(ctx context.Context) ([]byte, error) {
	w := wire.NewWriter(128)
	w.String("tetrad/nonce-hedge/v1")
	w.Fixed(s.cfg.Session.Cert.Boot[:])
	w.U64(uint64(s.cfg.Session.Cert.Issued.UnixMilli()))
	w.U8(uint8(s.curve))
	secret, err := s.beacon.secret(ctx, w.Bytes())
	if errs.CodeOf(err) == errs.Denied {
		s.cfg.Logger.Warn("nonces hang on randomness alone: this region holds no share of the beacon key", slog.String("curve", s.curve.String()))
		_, err = io.ReadFull(s.cfg.Random, secret[:])
	}
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(append(w.Bytes(), secret[:]...))
	clear(secret[:])
	return sum[:], nil
}

// run keeps the pools filled until ctx ends, and wipes them then.
func (n *nonces) run(ctx context.Context) {
	var parts sync.WaitGroup
	for _, s := range n.stocks {
		parts.Go(func() { s.run(ctx) })
	}
	parts.Wait()
	for _, s := range n.stocks {
		if p := s.pool.Load(); p != nil {
			p.Close()
		}
	}
}

// applied hears what an entry did; it never waits.
func (n *nonces) applied(view fsm.View, r *fsm.Result) {
	for _, id := range r.Keys {
		if k, ok := view.Key(id); ok && n.stocks[k.Curve] != nil {
			n.stocks[k.Curve].wants(k)
		}
	}
	away := turnedAway(r)
	n.stats.turnedAway.Add(away)
	starved := away > 0
	for _, s := range n.stocks {
		if starved {
			s.starved.Store(true)
		}
		if starved || r.Nonces || r.Regions {
			s.signal()
		}
	}
}

// turnedAway counts the commands of an entry that found too few regions. One refused for
// good that is sent again has the index of its first time.
func turnedAway(r *fsm.Result) (n uint64) {
	for _, o := range r.Outcomes {
		if o.Code == errs.NoEligiblePair && o.Index == r.Meta.Index {
			n++
		}
	}
	return n
}

// read parses a commitment that an attempt names; this region's own comes from its pool
// while its nonce is there.
func (n *nonces) read(curve command.Curve, b []byte) (*frost.Commitment, error) {
	if s := n.stocks[curve]; s != nil {
		if p := s.pool.Load(); p != nil {
			return p.Read(b)
		}
		return frost.KnownCommitment(b)
	}
	return nil, errs.New(errs.Invalid, "no threshold key is on %s", curve)
}

// sign uses up this region's nonce of a part and makes its share of the signature. The
// error is errs.Replayed when the nonce is not here, or not any more.
func (n *nonces) sign(curve command.Curve, share *frost.Share, p *part) ([]byte, error) {
	s := n.stocks[curve]
	if s == nil {
		return nil, errs.New(errs.Invalid, "no threshold key is on %s", curve)
	}
	pool := s.pool.Load()
	if pool == nil {
		return nil, errs.New(errs.Replayed, "this region has no nonces of this boot yet")
	}
	out, err := pool.Sign(share, p.key, p.message, p.commitments)
	if err != nil {
		return nil, err
	}
	return out.Encode(), nil
}

// serialOf reads the serial of an encoded commitment of this boot; false for any other.
func (s *stock) serialOf(b []byte) (uint32, bool) {
	const head = 15 // format, suite, region, boot and serial, as frost writes them
	if len(b) < head || binary.BigEndian.Uint64(b[3:]) != s.boot {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[11:]), true
}
