// Package fetch gets a picture from an address that somebody else wrote down: in a
// directory, or in what an identity provider pushed. Whoever can write it must not be
// able to make mmsync ask for anything else.
//
// So only https and only named hosts are asked; the address behind a name is checked
// when it is dialled, and must be a public one; no redirect is followed, no proxy asked,
// no cookie kept; and an answer that is too large, too slow or no picture is dropped.
// It decodes nothing.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say what may be asked for.
type Options struct {
	// Hosts are the names that may be asked, each with a port behind a colon where that
	// is not 443.
	Hosts []string
	// Private lets the addresses behind the names be private or this machine's own.
	// Link-local ones, where clouds keep their secrets, never are asked.
	Private bool
	// MaxBytes is how large an answer may be.
	MaxBytes int64
	// Timeout bounds one picture; 0 is 15 s.
	Timeout time.Duration
	// Roots are the authorities that are trusted; nil is the system's.
	Roots *x509.CertPool
}

// Fetcher gets pictures. It is safe for use by many goroutines.
type Fetcher struct {
	o    Options
	http *http.Client
}

// New makes a Fetcher.
func New(o Options) *Fetcher {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	dialer := &net.Dialer{Timeout: o.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		return dialable(address, o.Private)
	}}
	return &Fetcher{o: o, http: &http.Client{
		Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2: true, DisableCompression: true,
		},
	}}
}

// Close ends connections that are kept for the next picture.
func (f *Fetcher) Close() { f.http.CloseIdleConnections() }

// errAddress is wrapped by the error of a dial that was not made.
var errAddress = errors.New("is not a public one")

// Picture gets what is at an address. The error names the host and no more of the
// address, which may hold a secret.
func (f *Fetcher) Picture(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("only https addresses without a login are fetched")
	}
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	if !slices.ContainsFunc(f.o.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return nil, fmt.Errorf("host %s is not in picture.fetch_hosts", strconv.Quote(host))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the address cannot be asked for")
	}
	req.Header.Set("Accept", "image/jpeg, image/png, image/gif")
	req.Header.Set("User-Agent", "mmsync")
	resp, err := f.http.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // the outer one shows the address
		}
		return nil, fmt.Errorf("host %s was not reached: %w", strconv.Quote(host), err)
	}
	defer resp.Body.Close()
	data, err := f.read(resp)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", strconv.Quote(host), err)
	}
	return data, nil
}

func (f *Fetcher) read(resp *http.Response) ([]byte, error) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // "" is none of those below
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, fmt.Errorf("it answers with a redirect (%d), which is not followed", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers with %d", resp.StatusCode)
	case kind != "image/jpeg" && kind != "image/png" && kind != "image/gif":
		return nil, errors.New("what it gives is not called a JPEG, PNG or GIF")
	case resp.ContentLength > f.o.MaxBytes:
		return nil, f.tooLarge()
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, f.o.MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer broke off: %w", err)
	case int64(len(data)) > f.o.MaxBytes:
		return nil, f.tooLarge()
	}
	return data, nil
}

func (f *Fetcher) tooLarge() error {
	return fmt.Errorf("it has more bytes than the %d that picture.max_size allows", f.o.MaxBytes)
}

// dialable refuses an address, of whatever name, before anything is sent to it.
func dialable(address string, private bool) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("its address %w", errAddress)
	}
	a := at.Addr().Unmap().WithZone("")
	own := a.IsPrivate() || a.IsLoopback() || slices.ContainsFunc(reserved(), func(p netip.Prefix) bool { return p.Contains(a) })
	never := a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || !a.IsValid()
	if never || own && !private {
		return fmt.Errorf("its address %s %w", a, errAddress)
	}
	return nil
}

// reserved are networks that are not the public internet and that no method of
// netip.Addr tells: RFC 6598, 5737, 2544, 6890 and 1112, and the forms of IPv6 that carry
// an address of IPv4 (RFC 6052, 3056, 4380).
func reserved() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}
