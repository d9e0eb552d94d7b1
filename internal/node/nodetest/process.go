package nodetest

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/internal/network"
	"github.com/tetrad-vault/tetrad/seal"
)

// process is one life of a node. When it ends, what is left of its goroutines can reach
// neither network nor HSM any more; its disk handles are fenced by the disks.
type process struct{ ended atomic.Bool }

var errEnded = errors.New("this process was ended")

func (p *process) check() error {
	if p.ended.Load() {
		return errEnded
	}
	return nil
}

// fencedNetwork is a process's way to the network.
type fencedNetwork struct {
	network.Network
	life *process
}

func (f fencedNetwork) Listen(addr string) (net.Listener, error) {
	if err := f.life.check(); err != nil {
		return nil, err
	}
	return f.Network.Listen(addr)
}

func (f fencedNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	if err := f.life.check(); err != nil {
		return nil, err
	}
	c, err := f.Network.Dial(ctx, addr)
	if err == nil && f.life.ended.Load() { // it died while dialling across a cut
		_ = c.Close()
		return nil, errEnded
	}
	return c, err
}

func (f fencedNetwork) ListenPacket(addr string) (net.PacketConn, error) {
	if err := f.life.check(); err != nil {
		return nil, err
	}
	return f.Network.ListenPacket(addr)
}

// fencedToken is a process's way to the HSM.
type fencedToken struct {
	seal.Token
	life *process
}

func (f fencedToken) Session() (seal.Session, error) {
	if err := f.life.check(); err != nil {
		return nil, err
	}
	s, err := f.Token.Session()
	if err != nil {
		return nil, err
	}
	return fencedSession{s, f.life}, nil
}

type fencedSession struct {
	seal.Session
	life *process
}

func (f fencedSession) Sign(o seal.Object, kind seal.Kind, data []byte) ([]byte, error) {
	if err := f.life.check(); err != nil {
		return nil, err
	}
	return f.Session.Sign(o, kind, data)
}

func (f fencedSession) Generate(spec seal.KeySpec) (public, private seal.Object, err error) {
	if err := f.life.check(); err != nil {
		return 0, 0, err
	}
	return f.Session.Generate(spec)
}

func (f fencedSession) Destroy(o seal.Object) error {
	if err := f.life.check(); err != nil {
		return err
	}
	return f.Session.Destroy(o)
}
