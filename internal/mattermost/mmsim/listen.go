package mmsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// listener serves a handler on a port, once at a time.
type listener struct {
	mu     sync.Mutex
	http   *http.Server
	served chan struct{}
}

// listen serves on addr ("" is a free loopback port). ready gets the base URL
// before the first request is answered.
func (l *listener) listen(addr string, h http.Handler, ready func(url string)) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http != nil {
		return "", errors.New("mmsim: already listening")
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("mmsim: %w", err)
	}
	url := "http://" + ln.Addr().String()
	ready(url)
	// Idle connections are kept for 60 s, as the real server does.
	l.http = &http.Server{Handler: h, IdleTimeout: time.Minute, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	l.served = served
	go func(srv *http.Server) {
		defer close(served)
		_ = srv.Serve(ln) // ends with ErrServerClosed; nobody could use another error
	}(l.http)
	return url, nil
}

// close stops listening, cuts open connections and waits for the goroutine.
func (l *listener) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http == nil {
		return nil
	}
	err := l.http.Close()
	<-l.served
	l.http = nil
	return err
}
