// Package network is the seam below TLS: production dials and listens on the
// operating system, the chaos suite hands every node a network of its own.
package network

import (
	"context"
	"net"
)

// Network opens the sockets of one node.
type Network interface {
	Listen(addr string) (net.Listener, error)                // stream
	Dial(ctx context.Context, addr string) (net.Conn, error) // stream
	ListenPacket(addr string) (net.PacketConn, error)
}

// OS is the operating system's network: TCP and UDP.
type OS struct{}

// Listen listens on TCP.
func (OS) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// Dial dials TCP.
func (OS) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// ListenPacket listens on UDP.
func (OS) ListenPacket(addr string) (net.PacketConn, error) { return net.ListenPacket("udp", addr) }
