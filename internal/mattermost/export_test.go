package mattermost

import (
	"net/http"
	"net/url"
)

// NewFence puts the table in front of any transport.
func NewFence(next http.RoundTripper, base *url.URL, readOnly bool) http.RoundTripper {
	return &fence{next: next, base: base, routes: Routes(), readOnly: readOnly}
}

// Matches tells whether a path below /api/v4 is the route's.
func Matches(r Route, path string) bool { return r.matches(path) }

// RandomPassword makes one.
func RandomPassword() string { return randomPassword() }

// LocksLDAP tells it for a server that has limits/server, or has not.
func LocksLDAP(t *Target, told bool) bool { return t.c.locksLDAP(Limits{Told: told}) }
