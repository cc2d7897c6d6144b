package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// WebhookOptions say where notices are posted to.
type WebhookOptions struct {
	// URL gives the address each time; it may hold a secret, so no error shows it.
	URL func() (string, error)
	// Secret gives the key of the signature; nil signs nothing.
	Secret func() (string, error)
	// Roots gives the authorities that are trusted, before each connection; nil, and a nil
	// pool, are for the system's.
	Roots func() (*x509.CertPool, error)
	// AllowHTTP permits plain http beyond this machine.
	AllowHTTP bool
	UserAgent string
}

// The headers of a signed request. The signature is sha256= and the hex of
// HMAC-SHA256 over the timestamp, a full stop and the body; the timestamp is in seconds,
// so that a receiver can refuse what is old.
const (
	HeaderTimestamp = "X-Mmsync-Timestamp"
	HeaderSignature = "X-Mmsync-Signature"
)

// Webhook posts JSON. Its text is what incoming webhooks of Slack and Mattermost show;
// the other keys are for programs.
type Webhook struct {
	o WebhookOptions
}

// NewWebhook makes a Webhook. It follows no redirect.
func NewWebhook(o WebhookOptions) *Webhook { return &Webhook{o: o} }

// client makes what sends one notice: they are rare.
func (w *Webhook) client() (*http.Client, error) {
	roots, err := authoritiesOf(w.o.Roots)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, nil
}

// authoritiesOf asks for the authorities that are trusted now.
func authoritiesOf(roots func() (*x509.CertPool, error)) (*x509.CertPool, error) {
	if roots == nil {
		return nil, nil //nolint:nilnil // nil is what stands for the system's
	}
	return roots()
}

// payload is what is posted. Keys are added within a major format version, never
// changed.
type payload struct {
	FormatVersion string    `json:"format_version"`
	Text          string    `json:"text"`
	State         string    `json:"state"` // lasts, over or test
	Kind          Kind      `json:"kind"`
	Key           string    `json:"key"`
	Severity      Severity  `json:"severity"`
	Cause         string    `json:"cause"`
	Next          string    `json:"next,omitempty"`
	Command       string    `json:"command,omitempty"`
	Link          string    `json:"link,omitempty"`
	Count         int       `json:"count,omitempty"`
	At            time.Time `json:"at"`
}

// Send implements Sink. Any answer of 2xx counts as taken.
func (w *Webhook) Send(ctx context.Context, n Notice) error {
	n.People = nil // nobody knows where it goes on to
	p := payload{
		FormatVersion: "1.0", Text: n.Chat(), State: "lasts", Kind: n.Kind, Key: visible(n.Key), Severity: n.Severity, Cause: visible(n.Text),
		Next: visible(n.Next), Command: visible(n.Command), Link: n.Link, Count: n.Count, At: n.At.UTC().Truncate(time.Second),
	}
	switch {
	case n.Kind == Test:
		p.State = "test"
	case n.Over:
		p.State, p.Next, p.Command = "over", "", ""
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the notice: %w", err)
	}
	req, err := w.request(ctx, body)
	if err != nil {
		return err
	}
	client, err := w.client()
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post the notice to the webhook: %w", bare(err))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // best effort
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("the webhook answered %d, a redirect, which is not followed; write the address that answers itself as url", resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("the webhook answered %d to the notice; see whether its address is still good, and its own log", resp.StatusCode)
	}
	return nil
}

func (w *Webhook) request(ctx context.Context, body []byte) (*http.Request, error) {
	target, err := w.o.URL()
	if err != nil {
		return nil, fmt.Errorf("read the webhook's address: %w", err)
	}
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the webhook's address is not one that begins with https://")
	}
	if u.Scheme == "http" && !w.o.AllowHTTP && !loopback(u.Hostname()) {
		return nil, errors.New("the webhook's address begins with http://, so that anybody on the way could read it; write https://, or allow_http: true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the webhook's address cannot be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.o.UserAgent)
	if w.o.Secret == nil {
		return req, nil
	}
	secret, err := w.o.Secret()
	if err != nil {
		return nil, fmt.Errorf("read the webhook's secret: %w", err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set(HeaderTimestamp, at)
	req.Header.Set(HeaderSignature, "sha256="+Signature(secret, at, body))
	return req, nil
}

// Signature gives the hex of the signature of a body that was posted at a timestamp.
func Signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// bare takes the address out of an error of net/http.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
