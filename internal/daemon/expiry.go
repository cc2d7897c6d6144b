package daemon

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/config"
)

// Expiry is something that ends, or ended, by itself.
type Expiry struct {
	What string // in words
	At   time.Time
	Next string // what to do
}

// Expiring lists what ends within 30 days of now, or ended in the last 30: tokens of
// those who push, and certificates of listeners. The first to end comes first.
func Expiring(ctx context.Context, c *config.Config, s Store, now time.Time) ([]Expiry, error) {
	list, err := s.Tokens(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var out []Expiry
	add := func(e Expiry) {
		if left := e.At.Sub(now); left < tokenSoon && left > -tokenSoon {
			out = append(out, e)
		}
	}
	for _, t := range list {
		if t.RevokedAt.IsZero() && !t.ExpiresAt.IsZero() {
			add(Expiry{"token " + t.Name + " of source " + t.Source, t.ExpiresAt, "mmsync token rotate " + t.Name + " --source " + t.Source})
		}
	}
	for section, t := range map[string]*config.TLS{"admin": c.Admin.TLS, "scim": c.SCIM.TLS} {
		if t == nil {
			continue
		}
		at, err := certificateEnds(t.CertFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of %s.tls: %w", section, err)
		}
		add(Expiry{"certificate of " + section + ".tls", at, "replace " + t.CertFile + " and its key; they are read again by themselves"})
	}
	slices.SortFunc(out, func(a, b Expiry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.What, b.What)) })
	return out, nil
}

// certificateEnds gives the end of the first certificate of a file, which is the
// listener's own.
func certificateEnds(name string) (time.Time, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return time.Time{}, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, fmt.Errorf("file %s: %w", name, err)
		}
		return cert.NotAfter.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("file %s holds no certificate", name)
}
