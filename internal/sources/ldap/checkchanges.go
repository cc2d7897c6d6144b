package ldap

import (
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// checkChanges tells how changes are asked for, and what of them is not seen.
func (s *Source) checkChanges(sess *session, root rootInfo, c *checks) {
	const part = "changes"
	way, why := s.way(root)
	switch {
	case s.o.Delta == DeltaOff:
		c.ok(part, "changes are not asked for; every run reads everybody")
		return
	case why != "" && (s.o.Delta == DeltaAuto || s.o.Delta == ""):
		c.warn(part, "changes are not asked for, so that every run reads everybody: "+why, "set delta: off if that is as it should be")
		return
	case why != "":
		c.fail(part, "changes cannot be asked for, so that every run reads everybody: "+why, "correct delta")
		return
	}
	w := changer{Source: s, sess: sess, root: root, old: mark{Way: way}}
	blind, err := w.witness()
	if err == nil && way == DeltaUSN {
		_, err = sess.invocation(root)
	}
	switch {
	case err != nil:
		c.fail(part, s.sentence("ask for changes by "+way, err), "until then every run reads everybody")
		return
	case blind != "":
		c.fail(part, blind, "until then every run reads everybody")
		return
	}
	switch way {
	case DeltaUSN, DeltaDirSync:
		c.ok(part, "asked for by "+way)
		s.checkDeleted(sess, root, c)
	case DeltaTimestamp:
		c.ok(part, "asked for by timestamp; only a full read sees who was deleted")
	default:
		c.ok(part, "asked for by "+way)
	}
}

// checkDeleted looks for any deleted entry, since a server shows none to those without
// the right and says nothing of it.
func (s *Source) checkDeleted(sess *session, root rootInfo, c *checks) {
	const part, mend = "changes", "let it list and read the contents of CN=Deleted Objects (docs/ldap-deltas.md); until then a full read finds who was deleted"
	q := query{base: root.context(s.o.BaseDN), filter: "(isDeleted=TRUE)", attributes: []string{"1.1"}}
	request := q.request(ldap.ScopeWholeSubtree, ldap.NewControlString(oidShowDeleted, true, ""))
	request.SizeLimit = 2 // the container is marked as deleted itself
	res, err := sess.conn.Search(request)
	switch {
	case err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		c.warn(part, s.sentence("look for deleted entries", sess.cause(err)), mend)
	case len(res.Entries) < 2:
		c.warn(part, fmt.Sprintf("%s sees no deleted entry, so that there is none or it may not", s.o.BindDN), mend)
	default:
		c.ok(part, "deleted entries are seen")
	}
}
