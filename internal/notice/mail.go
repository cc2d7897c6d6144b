package notice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// MailSecurity is how the way to a mail server is protected.
type MailSecurity string

// The kinds of MailSecurity.
const (
	MailStartTLS MailSecurity = "starttls" // the connection becomes TLS before anything is said; without it nothing is sent
	MailTLS      MailSecurity = "tls"      // from its first byte
	MailPlain    MailSecurity = "none"     // for a server on this machine, or a network that is trusted
)

// MailOptions say how notices are mailed.
type MailOptions struct {
	Server   string // host:port
	Security MailSecurity
	// Username and Password log in; "" does not.
	Username string
	Password func() (string, error)
	From     string
	To       []string
	// Roots gives the authorities that are trusted, before each connection; nil, and a nil
	// pool, are for the system's.
	Roots func() (*x509.CertPool, error)
}

// Mail sends messages of plain text by SMTP.
type Mail struct {
	o    MailOptions
	host string
	port int
}

// NewMail makes a Mail; it fails if Server is not host:port.
func NewMail(o MailOptions) (*Mail, error) {
	host, port, err := net.SplitHostPort(o.Server)
	if err != nil {
		return nil, fmt.Errorf("read the address of the mail server: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("read the port of the mail server: %w", err)
	}
	return &Mail{o: o, host: host, port: n}, nil
}

// Send implements Sink.
func (m *Mail) Send(ctx context.Context, n Notice) error {
	msg := mail.NewMsg()
	if err := msg.From(m.o.From); err != nil {
		return fmt.Errorf("read the sender's address: %w", err)
	}
	if err := msg.To(m.o.To...); err != nil {
		return fmt.Errorf("read the receivers' addresses: %w", err)
	}
	msg.Subject(n.Subject())
	msg.SetDateWithValue(n.At)
	msg.SetMessageID()
	// RFC 3834: nothing answers this by itself.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, n.Body())
	client, err := m.client()
	if err != nil {
		return err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("mail the notice by %s: %w", m.o.Server, err)
	}
	return nil
}

func (m *Mail) client() (*mail.Client, error) {
	roots, err := authoritiesOf(m.o.Roots)
	if err != nil {
		return nil, err
	}
	options := []mail.Option{
		mail.WithPort(m.port), mail.WithTimeout(sendWithin / 2), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{ServerName: m.host, RootCAs: roots, MinVersion: tls.VersionTLS12}),
	}
	switch m.o.Security {
	case MailTLS:
		options = append(options, mail.WithSSL())
	case MailPlain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.o.Username != "" {
		password, err := m.o.Password()
		if err != nil {
			return nil, fmt.Errorf("read the mail server's password: %w", err)
		}
		// What the server offers is looked for, and a password is never sent in the clear.
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.o.Username), mail.WithPassword(password))
	}
	host := m.host
	if strings.Contains(host, ":") { // the library puts the port behind it as it is
		host = "[" + host + "]"
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the way to mail server %s: %w", m.o.Server, err)
	}
	return client, nil
}
