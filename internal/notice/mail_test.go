package notice

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// smtpd is a mail server for one message at a time, in the words of RFC 5321.
type smtpd struct {
	l     net.Listener
	tls   *tls.Config
	plain bool // offers no STARTTLS
	addr  string
	wg    sync.WaitGroup

	mu    sync.Mutex
	login string
	from  string
	to    []string
	data  string
	calls []string
}

func startSMTP(t *testing.T, secure func(*smtpd)) (s *smtpd, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	s = &smtpd{tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}} //nolint:gosec // a test's own
	if secure != nil {
		secure(s)
	}
	if s.addr == "" {
		s.addr = "127.0.0.1:0"
	}
	if s.l, err = net.Listen("tcp", s.addr); err != nil && s.addr != "127.0.0.1:0" {
		t.Skipf("this machine has no %s: %v", s.addr, err)
	}
	require.NoError(t, err)
	s.wg.Go(func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.talk(c)
		}
	})
	t.Cleanup(func() {
		_ = s.l.Close()
		s.wg.Wait()
	})
	return s, roots
}

func (s *smtpd) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = c.Write([]byte(line + "\r\n")) }
	say("220 test ESMTP")
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		s.mu.Lock()
		s.calls = append(s.calls, verb)
		switch strings.ToUpper(verb) {
		case "EHLO":
			if secure || s.plain {
				say("250-test\r\n250 AUTH PLAIN LOGIN")
			} else {
				say("250-test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go on")
			up := tls.Server(c, s.tls)
			c, r, secure = up, bufio.NewReader(up), true
		case "AUTH":
			_, b64, _ := strings.Cut(rest, " ")
			text, _ := base64.StdEncoding.DecodeString(b64)
			s.login = string(text)
			say("235 welcome")
		case "MAIL":
			s.from = rest
			say("250 ok")
		case "RCPT":
			if strings.Contains(rest, "refused@") {
				say("550 no such mailbox")
			} else {
				s.to = append(s.to, rest)
				say("250 ok")
			}
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				text, err := r.ReadString('\n')
				if err != nil || text == ".\r\n" {
					break
				}
				b.WriteString(text)
			}
			s.data = b.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			s.mu.Unlock()
			return
		default:
			say("250 ok")
		}
		s.mu.Unlock()
	}
}

func TestMail_Send(t *testing.T) {
	t.Parallel()
	s, roots := startSMTP(t, nil)
	m, err := NewMail(MailOptions{
		Server: s.l.Addr().String(), Security: MailStartTLS, Username: "mmsync", Password: value("s3cret"), From: "mmsync <mmsync@example.com>",
		To: []string{"ops@example.com", "it@example.com"}, Roots: func() (*x509.CertPool, error) { return roots, nil },
	})
	require.NoError(t, err)
	n := sample()
	n.Text = "Quelle “corp” wartet.\r\nBcc: evil@example.com"
	require.NoError(t, m.Send(t.Context(), n))
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, "\x00mmsync\x00s3cret", s.login)
	require.Contains(t, s.from, "<mmsync@example.com>")
	require.Len(t, s.to, 2)
	msg, err := mail.ReadMessage(strings.NewReader(s.data))
	require.NoError(t, err)
	require.Equal(t, "[mmsync] warn: approval_needed", msg.Header.Get("Subject"))
	require.Equal(t, "auto-generated", msg.Header.Get("Auto-Submitted"))
	require.Empty(t, msg.Header.Get("Bcc"))
	require.NotEmpty(t, msg.Header.Get("Message-Id"))
	require.Contains(t, s.data, "mmsync plan")
	require.NotContains(t, s.data, "k.lee")
}

func TestMail_security(t *testing.T) {
	t.Parallel()
	t.Run("without STARTTLS nothing is said", func(t *testing.T) {
		t.Parallel()
		s, roots := startSMTP(t, func(s *smtpd) { s.plain = true })
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailStartTLS, Username: "u", Password: value("s3cret"), From: "a@example.com", To: []string{"b@example.com"}, Roots: func() (*x509.CertPool, error) { return roots, nil }})
		require.NoError(t, err)
		err = m.Send(t.Context(), sample())
		require.ErrorContains(t, err, "STARTTLS")
		require.NotContains(t, err.Error(), "s3cret")
		s.mu.Lock()
		defer s.mu.Unlock()
		require.NotContains(t, s.calls, "AUTH")
		require.NotContains(t, s.calls, "MAIL")
	})
	t.Run("an authority that is not trusted", func(t *testing.T) {
		t.Parallel()
		s, _ := startSMTP(t, nil)
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailStartTLS, From: "a@example.com", To: []string{"b@example.com"}})
		require.NoError(t, err)
		require.ErrorContains(t, m.Send(t.Context(), sample()), "certificate")
	})
	t.Run("none, for a server on this machine", func(t *testing.T) {
		t.Parallel()
		s, _ := startSMTP(t, func(s *smtpd) { s.plain = true })
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailPlain, From: "a@example.com", To: []string{"b@example.com"}})
		require.NoError(t, err)
		require.NoError(t, m.Send(t.Context(), sample()))
	})
	t.Run("a receiver that is refused is an error", func(t *testing.T) {
		t.Parallel()
		s, _ := startSMTP(t, func(s *smtpd) { s.plain = true })
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailPlain, From: "a@example.com", To: []string{"refused@example.com"}})
		require.NoError(t, err)
		require.ErrorContains(t, m.Send(t.Context(), sample()), "550")
	})
	t.Run("by IPv6", func(t *testing.T) {
		t.Parallel()
		s, roots := startSMTP(t, func(s *smtpd) { s.addr = "[::1]:0" })
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailStartTLS, Username: "u", Password: value("s3cret"), From: "a@example.com", To: []string{"b@example.com"}, Roots: func() (*x509.CertPool, error) { return roots, nil }})
		require.NoError(t, err)
		require.NoError(t, m.Send(t.Context(), sample()))
	})
	t.Run("no password is sent in the clear", func(t *testing.T) {
		t.Parallel()
		s, _ := startSMTP(t, func(s *smtpd) { s.plain = true })
		m, err := NewMail(MailOptions{Server: s.l.Addr().String(), Security: MailPlain, Username: "u", Password: value("s3cret"), From: "a@example.com", To: []string{"b@example.com"}})
		require.NoError(t, err)
		require.Error(t, m.Send(t.Context(), sample()))
		s.mu.Lock()
		defer s.mu.Unlock()
		require.NotContains(t, s.calls, "AUTH")
	})
	_, err := NewMail(MailOptions{Server: "example.com"})
	require.Error(t, err)
}
