package slapdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// WriteCertificates makes an authority and a certificate for localhost, 127.0.0.1, further
// addresses and *.example.test in a directory: ca.pem, server.pem, server.key; client.pem and client.key
// for ClientSubject; and stranger.pem, an authority that signed nothing.
func WriteCertificates(dir string, more ...net.IP) error {
	ca, caKey, err := authority("mmsync test authority")
	if err != nil {
		return err
	}
	stranger, _, err := authority("stranger")
	if err != nil {
		return err
	}
	for _, leaf := range []struct {
		name string
		cert x509.Certificate
	}{
		{"server", x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
			DNSNames: []string{"localhost", "*.example.test"}, IPAddresses: append(more, net.IPv4(127, 0, 0, 1)),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}},
		{"client", x509.Certificate{
			SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "mmsync-client"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}},
	} {
		if err := sign(filepath.Join(dir, leaf.name), &leaf.cert, ca, caKey); err != nil {
			return err
		}
	}
	for name, cert := range map[string]*x509.Certificate{"ca.pem": ca, "stranger.pem": stranger} {
		if err := writePEM(filepath.Join(dir, name), "CERTIFICATE", cert.Raw); err != nil {
			return err
		}
	}
	return nil
}

// sign writes a certificate and its key to path with .pem and .key behind it.
func sign(path string, template, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter, template.KeyUsage = now.Add(-time.Hour), now.Add(24*time.Hour), x509.KeyUsageDigitalSignature
	leaf, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(path+".pem", "CERTIFICATE", leaf); err != nil {
		return err
	}
	return writePEM(path+".key", "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func authority(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// StrangerCAFile names the certificate of an authority that did not sign the
// server's.
func (s *Server) StrangerCAFile() string { return filepath.Join(s.dir, "stranger.pem") }

// ClientSubject is the DN slapd knows the client's certificate by.
const ClientSubject = "cn=mmsync-client"

// ClientPair names the client's certificate and its key.
func (s *Server) ClientPair() (cert, key string) {
	return filepath.Join(s.dir, "client.pem"), filepath.Join(s.dir, "client.key")
}
