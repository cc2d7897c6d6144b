package ldaptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// conn is one connection: its requests are answered one after the other.
type conn struct {
	s       *Server
	raw     net.Conn
	line    net.Conn // raw, or TLS over it
	in      *bufio.Reader
	out     *bufio.Writer
	secure  bool
	bound   *node // nil is anonymous
	cursors map[string]*cursor
	cookies int
}

// maxRequest is more than any request of a test.
const maxRequest = 1 << 20

func (s *Server) serve(raw net.Conn, secure bool) {
	c := &conn{s: s, raw: raw, cursors: map[string]*cursor{}}
	c.use(raw)
	if secure && !c.startTLS() {
		return
	}
	for {
		p, err := ber.ReadPacket(io.LimitReader(c.in, maxRequest))
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, ok := p.Children[0].Value.(int64)
		if !ok {
			return
		}
		var controls []*ber.Packet
		if len(p.Children) > 2 {
			controls = p.Children[2].Children
		}
		if !c.answer(id, p.Children[1], controls) || c.out.Flush() != nil {
			_ = c.out.Flush() // what was said before the end of the line
			return
		}
	}
}

func (c *conn) use(line net.Conn) {
	c.line, c.in, c.out = line, bufio.NewReader(line), bufio.NewWriter(line)
}

func (c *conn) startTLS() bool {
	if c.s.tls == nil {
		return false
	}
	line := tls.Server(c.raw, c.s.tls)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if line.HandshakeContext(ctx) != nil {
		return false
	}
	c.use(line)
	c.secure = true
	return true
}

// answer handles one request; false ends the connection.
func (c *conn) answer(id int64, op *ber.Packet, controls []*ber.Packet) bool {
	switch op.Tag {
	case opBindRequest:
		return c.bind(id, op)
	case opSearchRequest:
		return c.search(id, op, controls)
	case opExtendedRequest:
		return c.extended(id, op)
	case opAbandon:
		return true
	case opUnbind:
		c.s.note("unbind")
		return false
	default:
		c.send(id, result{code: codeUnwilling, text: "this directory is read-only"}.operation(op.Tag+1))
		return true
	}
}

func (c *conn) send(id int64, op *ber.Packet, controls ...*ber.Packet) {
	_, _ = c.out.Write(envelope(id, op, controls...)) // Flush tells of a broken line
}

func (c *conn) extended(id int64, op *ber.Packet) bool {
	if len(op.Children) == 0 {
		return false
	}
	switch oid := octetsOf(op.Children[0]); oid {
	case oidStartTLS:
		c.s.note("starttls")
		if c.s.tls == nil || c.secure {
			c.send(id, result{code: codeUnavailable, text: "TLS is not offered"}.operation(opExtendedResponse))
			return true
		}
		c.send(id, result{}.operation(opExtendedResponse, tagged(10, oid)))
		return c.out.Flush() == nil && c.startTLS()
	case oidWhoAmI:
		c.s.note("whoami")
		name := ""
		switch {
		case c.bound == nil:
		case c.s.Kind == ActiveDirectory:
			name = `u:AD\` + strings.Join(c.bound.stored("sAMAccountName"), "")
		default:
			name = "dn:" + c.bound.dn
		}
		c.send(id, result{}.operation(opExtendedResponse, tagged(11, name)))
		return true
	}
	c.send(id, result{code: codeProtocol, text: "unsupported extended operation"}.operation(opExtendedResponse))
	return true
}

func (c *conn) bind(id int64, op *ber.Packet) bool {
	if len(op.Children) != 3 {
		return false
	}
	name, auth := octetsOf(op.Children[1]), op.Children[2]
	c.s.note("bind " + name)
	c.bound = nil
	c.s.d.mu.Lock()
	r, who := c.s.judge(name, auth, c.secure)
	c.s.d.mu.Unlock()
	f := c.s.firingFor(atBind)
	if f != nil && f.fault.bind != nil {
		f.fault.bind(f, &r)
		f.strike()
	}
	if r.code == codeOK {
		c.bound = who
	}
	c.send(id, r.operation(opBindResponse))
	return true
}

// judge tells how a bind ends and whose it is.
func (s *Server) judge(name string, auth *ber.Packet, secure bool) (result, *node) {
	password := octetsOf(auth)
	switch {
	case auth.Tag != 0:
		return result{code: codeAuthMethod, text: "SASL is not spoken here"}, nil
	case name == "" && password == "":
		return result{}, nil
	case s.o.RequireTLS && !secure:
		return result{
			code: codeStrongerAuth,
			text: "00002028: LdapErr: DSID-0C090254, comment: The server requires binds to turn on integrity checking if SSL\\TLS are not already active on the connection, data 0, v4563",
		}, nil
	case password == "" && s.Kind == ActiveDirectory: // unauthenticated: it becomes nobody
		return result{}, nil
	case password == "":
		return result{code: codeUnwilling, text: "unauthenticated bind (DN with no password) disallowed"}, nil
	}
	n := s.d.account(name)
	if s.Kind != ActiveDirectory {
		if n == nil || n.password == "" || n.password != password {
			return result{code: codeInvalidCredentials}, nil
		}
		return result{}, n
	}
	if data := s.d.refusal(n, password); data != "" {
		return result{
			code: codeInvalidCredentials,
			text: fmt.Sprintf("80090308: LdapErr: DSID-0C09050E, comment: AcceptSecurityContext error, data %s, v4563", data),
		}, nil
	}
	return result{}, n
}

// account finds who binds: by name, and in Active Directory by the forms that
// MS-ADTS 5.1.1.1.1 lists first.
func (d *directory) account(name string) *node {
	if n := d.find(name); n != nil || d.kind != ActiveDirectory {
		return n
	}
	short := name[strings.LastIndex(name, `\`)+1:]
	i := slices.IndexFunc(d.list, func(n *node) bool {
		if n.deleted || n.rid == 0 {
			return false
		}
		account := strings.Join(n.stored("sAMAccountName"), "")
		return strings.EqualFold(strings.Join(n.stored("userPrincipalName"), ""), name) || strings.EqualFold(account+"@ad.test", name) || strings.EqualFold(account, short)
	})
	if i < 0 {
		return nil
	}
	return d.list[i]
}

// refusal gives the number Active Directory puts behind "data" (system error codes
// in hexadecimal); empty lets the account in.
func (d *directory) refusal(n *node, password string) string {
	if n == nil {
		return "525" // no such user
	}
	if at, ok := fromFileTime(strings.Join(n.stored("lockoutTime"), "")); ok && d.now().Before(at.Add(lockoutDuration)) {
		return "775"
	}
	if n.password == "" || n.password != password {
		return "52e"
	}
	if n.number("userAccountControl")&uacDisabled != 0 {
		return "533"
	}
	if at, ok := fromFileTime(strings.Join(n.stored("accountExpires"), "")); ok && d.now().After(at) {
		return "701"
	}
	if n.number("pwdLastSet") == 0 && n.number("userAccountControl")&uacNeverExpires == 0 {
		return "773"
	}
	return ""
}
