package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// Check tries every part of a read by itself and tells what is well and how to
// mend what is not. It reads everybody once, as a run does.
func (s *Source) Check(ctx context.Context) []identity.Finding {
	var c checks
	sess := s.checkServers(ctx, &c)
	if sess == nil {
		return c.list
	}
	defer sess.close()
	if who, err := sess.conn.WhoAmI(nil); err == nil {
		c.ok("bind", "bound as "+s.o.BindDN+", known to the server as "+sources.Printable(who.AuthzID))
	} else {
		c.ok("bind", "bound as "+s.o.BindDN)
	}
	c.ok("base", s.o.BaseDN+" can be read")
	root, err := s.checkNamesKnown(sess, &c)
	if err != nil {
		return c.list
	}
	p := s.checkKind(sess, &c)
	s.checkCanary(sess, &c)
	s.checkGroupsRead(sess, &c)
	s.checkLimits(sess, p, root.paging, root.known, &c)
	s.checkDeleted(sess, p, &c)
	s.checkChanges(sess, root, &c)
	s.checkSample(sess, p, &c)
	sess.close()
	s.checkPeople(ctx, &c)
	return c.list
}

type checks struct{ list []identity.Finding }

func (c *checks) add(level identity.Level, part, text, mend string) {
	c.list = append(c.list, identity.Finding{Part: part, Level: level, Text: text, Mend: mend})
}
func (c *checks) ok(part, text string)         { c.add(identity.LevelOK, part, text, "") }
func (c *checks) warn(part, text, mend string) { c.add(identity.LevelWarn, part, text, mend) }
func (c *checks) fail(part, text, mend string) { c.add(identity.LevelFail, part, text, mend) }

// checkServers connects to every server, so that a broken spare is found
// before it is needed, and gives the session to go on with.
func (s *Source) checkServers(ctx context.Context, c *checks) *session {
	password, err := s.password()
	if err != nil {
		c.fail("bind", "the bind password cannot be read or is empty", "check bind_password or the file it is in")
		return nil
	}
	list, err := s.servers(ctx)
	if err != nil {
		c.fail("connect", oneLine(err), "check connection_url and this machine's DNS")
		return nil
	}
	var use *session
	for _, e := range list {
		sess, err := s.open(ctx, e, password)
		var failed *connectError
		switch {
		case errors.As(err, &failed):
			c.fail(partOf(failed), e.url+": "+failed.err.Error(), failed.hint)
			if !failed.again {
				return use // a refused bind is not repeated at the next server
			}
		case err != nil:
			c.fail("connect", e.url+": "+oneLine(err), "check host and port")
		default:
			c.ok("connect", e.url+" answers")
			if sess.encrypted != nil {
				s.checkCertificate(e, *sess.encrypted, c)
			} else if e.network != "unix" {
				c.warn("tls", e.url+" is not encrypted", "use ldaps:// or connection_security: starttls")
			}
			if use == nil {
				use = sess
			} else {
				sess.close()
			}
		}
	}
	return use
}

// partOf names the part a connection failed in.
func partOf(e *connectError) string {
	switch text := e.err.Error(); {
	case strings.HasPrefix(text, "bind as"):
		return "bind"
	case strings.HasPrefix(text, "read base_dn"):
		return "base"
	case strings.Contains(text, "TLS"):
		return "tls"
	}
	return "connect"
}

func (s *Source) checkNamesKnown(sess *session, c *checks) (rootInfo, error) {
	var doubt string
	root, err := s.prepare(sess, func(d string) { doubt = d })
	switch {
	case err != nil:
		c.fail("schema", err.Error(), "correct the names in the mapping and the filters")
	case doubt != "":
		c.fail("schema", doubt, "until then nobody is deactivated for being absent")
	default:
		c.ok("schema", "the server knows every attribute that is mapped or filtered by")
	}
	return root, err
}

func (s *Source) checkCanary(sess *session, c *checks) {
	var own canaryWatch
	if s.o.Canary == "" && s.findOwn(sess, &own) == nil && own.asked {
		c.ok("canary", sources.Printable(own.own)+", the bind account, is a person whom every read must find")
		return
	}
	if s.o.Canary == "" {
		c.warn("canary", "no canary is set", "name an entry that must always be there: a read without it then proves no absence")
		return
	}
	var w canaryWatch
	err := s.findCanary(sess, &w)
	switch {
	case err != nil:
		c.fail("canary", s.sentence("look for the canary", err), "until then nobody is deactivated for being absent")
	case !w.found:
		c.fail("canary", w.verdict(s.o.Canary), "until then nobody is deactivated for being absent")
	default:
		c.ok("canary", sources.Printable(s.o.Canary)+" is there")
	}
}

func (s *Source) checkGroupsRead(sess *session, c *checks) {
	if !s.needsGroups() {
		return
	}
	for _, dn := range s.groupNames {
		e, err := sess.entry(dn, "(objectClass=*)", "1.1")
		switch {
		case err == nil && e != nil:
			c.ok("groups", sources.Printable(dn)+" is there")
		case err == nil || ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
			c.fail("groups", sources.Printable(dn)+" does not exist, or "+s.o.BindDN+" may not see it", "check the DN in the role rules")
		default:
			c.fail("groups", s.sentence("read the group "+sources.Printable(dn), err), "check the rights of "+s.o.BindDN)
		}
	}
	if g := s.readGroups(sess); g.fault != "" {
		mend := "until then no role, team or channel is given or taken away"
		if s.o.Mapper.GroupsDecide() {
			mend = "until then people are held as they are, and nobody is deactivated for being absent"
		}
		c.fail("groups", g.fault, mend)
	}
}

func (s *Source) checkPeople(ctx context.Context, c *checks) {
	snap, err := s.Snapshot(ctx, nil)
	switch {
	case err != nil:
		c.fail("people", err.Error(), "")
		return
	case !snap.Complete:
		c.fail("people", snap.Incomplete, "until it is mended nobody is deactivated for being absent")
	default:
		c.ok("people", fmt.Sprintf("%d people in %s", snap.Entries, snap.Took.Round(1e6)))
	}
	c.list = append(c.list, sources.FaultFindings(snap)...)
}
