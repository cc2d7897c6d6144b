package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mmsync/mmsync/internal/config"
)

// listener serves HTTP on one address.
type listener struct {
	net.Listener
	server *http.Server
}

func listen(c *config.Config, l net.Listener, h http.Handler, _ *slog.Logger) (*listener, error) {
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", c.SCIM.Listen); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	return &listener{l, &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}}, nil
}

func (l *listener) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = l.server.Shutdown(c)
	})
	defer stop()
	if err := l.server.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
