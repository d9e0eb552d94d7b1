package main

import (
	"log/slog"
	"net"
	"os"
	"strings"
)

// notifier tells systemd how far we are (sd_notify): lines of VAR=VALUE in a datagram
// to $NOTIFY_SOCKET. Without systemd it does nothing.
type notifier struct{ addr *net.UnixAddr }

func newNotifier() *notifier {
	path := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET") // not for anything we might load
	if path == "" {
		return &notifier{}
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:] // abstract namespace
	}
	return &notifier{&net.UnixAddr{Name: path, Net: "unixgram"}}
}

// send is best effort: the node runs whether systemd listens or not.
func (n *notifier) send(log *slog.Logger, state string) {
	if n.addr == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, n.addr)
	if err == nil {
		_, err = c.Write([]byte(state))
		_ = c.Close()
	}
	if err != nil {
		log.Warn("telling systemd", slog.String("error", err.Error()))
	}
}
