package mattermost

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// validity says of a certificate that is not valid now why, and what to do; "" of one
// that was refused for another reason.
func validity(err *tls.CertificateVerificationError, now time.Time) string {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err.Err)
	switch {
	case !ok || invalid.Reason != x509.Expired || invalid.Cert == nil:
		return ""
	case now.Before(invalid.Cert.NotBefore):
		return "the server's certificate is valid from " + invalid.Cert.NotBefore.UTC().Format(time.DateTime) + " UTC on; set this machine's clock, or renew the certificate"
	}
	return "the server's certificate expired on " + invalid.Cert.NotAfter.UTC().Format(time.DateTime) + " UTC; renew it"
}
