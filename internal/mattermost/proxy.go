package mattermost

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// proxySource is a proxy whose address, with its password, may change while mmsync
// runs.
type proxySource struct {
	read func() (string, error)

	mu   sync.Mutex
	last *url.URL
}

func (p *proxySource) get(*http.Request) (*url.URL, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := p.read()
	if err != nil {
		err = fmt.Errorf("mattermost proxy: %w", err)
	}
	var u *url.URL
	if err == nil {
		u, err = parseProxy(text)
	}
	switch {
	case err == nil:
		p.last = u
	case p.last == nil:
		return nil, err
	}
	return p.last, nil
}

// parseProxy shows nothing of what it was given: it may hold a password.
func parseProxy(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("mattermost proxy: not a URL like http://proxy.example.com:3128")
	}
	return u, nil
}
