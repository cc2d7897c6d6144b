package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/peer"
)

// How long a client may take. Whoever sends slowly is cut off: providers are servers
// themselves, with good lines.
const (
	headerTimeout  = 10 * time.Second
	bodyTimeout    = 30 * time.Second // header included
	handlerTimeout = 30 * time.Second
	writeTimeout   = bodyTimeout + handlerTimeout + 15*time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// drainTimeout is what requests at work get when the program ends.
	drainTimeout = 15 * time.Second
	// certificateAge is how often the files of a certificate are looked at.
	certificateAge = 10 * time.Second
)

// Listener serves one section of a configuration that has an address: scim or admin.
type Listener struct {
	section string
	server  *http.Server
	bound   net.Listener
	drain   time.Duration
	log     *slog.Logger
}

// Listen binds the address of a configuration that has one and serves h there, over
// TLS if there is a certificate. Nothing is answered before Serve.
func Listen(ctx context.Context, c *config.SCIM, h http.Handler, log *slog.Logger) (*Listener, error) {
	bound, err := bind(ctx, "scim", c.Listen)
	if err != nil {
		return nil, err
	}
	l, err := listenOn(bound, c, h, log)
	if err != nil {
		return nil, errors.Join(err, bound.Close())
	}
	return l, nil
}

func bind(ctx context.Context, section, address string) (net.Listener, error) {
	bound, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %[1]s.listen: another program has %[2]s already; stop it (is mmsync serve running twice?), or set %[1]s.listen to another address: %[3]w", section, address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %[1]s.listen: this user may not listen on %[2]s; set %[1]s.listen to a port of 1024 or above: %[3]w", section, address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s.listen: %w", section, err)
	}
	return bound, nil
}

// listenOn is what Listen is, for an address that is bound already.
func listenOn(bound net.Listener, c *config.SCIM, h http.Handler, log *slog.Logger) (*Listener, error) {
	h = bounded(h)
	if c.TLS == nil {
		trusted, err := peer.Parse(c.TrustedProxies)
		if err != nil {
			return nil, err
		}
		h = nearby(trusted, h)
	}
	return newListener("scim", bound, c.TLS, h, log)
}

// newListener serves h on an address that is bound already, over TLS if t is not nil.
func newListener(section string, bound net.Listener, t *config.TLS, h http.Handler, log *slog.Logger) (*Listener, error) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes of strangers
	}
	if t != nil {
		pair := &certificate{section: section, cert: t.CertFile, key: t.KeyFile, log: log, now: time.Now}
		if _, err := pair.get(nil); err != nil {
			return nil, err
		}
		server.TLSConfig = &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12}
		if t.MinVersion == "1.3" {
			server.TLSConfig.MinVersion = tls.VersionTLS13
		}
	}
	return &Listener{section: section, server: server, bound: bound, drain: drainTimeout, log: log}, nil
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.bound.Addr() }

// Serve answers until ctx ends; requests at work then are finished, if they take no
// longer than the drain, and else cut off.
func (l *Listener) Serve(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	l.server.BaseContext = func(net.Listener) context.Context { return base }
	ended := make(chan error, 1)
	go func() {
		if l.server.TLSConfig != nil {
			ended <- l.server.ServeTLS(l.bound, "", "")
			return
		}
		ended <- l.server.Serve(l.bound)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s.listen: %w", l.section, err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
	defer cancel()
	err := l.server.Shutdown(drain)
	if err != nil {
		l.log.WarnContext(ctx, "requests at work were cut off, for mmsync is being stopped", "section", l.section, "after", l.drain)
		cut()
		err = l.server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve %s.listen: %w", l.section, served))
	}
	return err
}

// Close gives up an address that Serve was not called for.
func (l *Listener) Close() error { return l.bound.Close() }

// bounded ends the work on a request after handlerTimeout. The handler sees it in its
// context and answers itself: what net/http would answer is no SCIM.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// nearby answers over plain HTTP only this machine and trusted proxies. A token that
// came another way could be read on it.
func nearby(trusted peer.Proxies, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := peer.Direct(r); !at.IsLoopback() && !trusted.Trust(at) {
			w.Header().Set("Connection", "close")
			http.Error(w, "plain HTTP is for trusted proxies alone", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// certificate is a pair of files that may be replaced while the program runs.
type certificate struct {
	section   string // whose tls it is
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	stamps [2]stamp  // of the files that pair was made of
	looked time.Time // when the files were looked at
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// get gives the certificate, with the files read anew if they have changed. The two
// may be replaced one after the other: as long as they do not fit, the pair before is
// in force, and they are looked at again.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.pair != nil && now.Sub(c.looked) < certificateAge {
		return c.pair, nil
	}
	c.looked = now
	err := c.load()
	switch {
	case err == nil:
	case c.pair == nil:
		return nil, err
	default:
		c.log.Warn("the certificate on disk cannot be used, the one before stays", "error", err)
	}
	return c.pair, nil
}

func (c *certificate) load() error {
	var stamps [2]stamp
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("look at the certificate of %s.tls: %w", c.section, err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	if c.pair != nil && stamps == c.stamps {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("load the certificate of %s.tls: %w", c.section, err)
	}
	if c.pair != nil {
		c.log.Info("a new certificate is in force", "file", c.cert)
	}
	c.pair, c.stamps = &pair, stamps
	return nil
}
