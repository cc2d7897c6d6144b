// Package addrtest gives tests addresses to listen on that stay free. It is support of
// tests only and knows nothing of mmsync.
package addrtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
)

// Host is a loopback address of this process. Of 127.0.0.1 the system gives a port that
// was let go to whoever asks next, and to connections that go out; here nobody asks.
// Where the system has 127.0.0.1 alone, as macOS, it is that.
func Host() string { return host() }

var host = sync.OnceValue(func() string { //nolint:gochecknoglobals // one for the process
	id := os.Getpid() // less than 2^22
	own := fmt.Sprintf("127.%d.%d.%d", 64+id>>16&63, id>>8&255, id&255)
	l, err := listen(own)
	if err != nil {
		return "127.0.0.1"
	}
	_ = l.Close()
	return own
})

var given sync.Map //nolint:gochecknoglobals // by all tests of the process

// Free gives an address of [Host] that nobody listens on, and the same to nobody else.
func Free() (string, error) {
	for {
		l, err := listen(Host())
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("let go a free port: %w", err)
		}
		if _, before := given.LoadOrStore(address, true); !before {
			return address, nil
		}
	}
}

func listen(host string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
}
