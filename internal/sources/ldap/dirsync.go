package ldap

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// dirSyncObjectSecurity lets an account without the right to replicate the directory use
// DirSync: it sees what it may read (LDAP_DIRSYNC_OBJECT_SECURITY, MS-ADTS 3.1.1.3.4.1.3).
const dirSyncObjectSecurity = 0x1

// dirSyncBytes asks for answers of about that size; the server may send less.
const dirSyncBytes = 1 << 20

// maxDirSync bounds the requests of one walk.
const maxDirSync = 100_000

// dirSyncBegin walks the naming context once for the cookie at its end. The server gives
// a cookie for nothing less, and it is good for this list of attributes.
func (s *Source) dirSyncBegin(sess *session, root rootInfo) ([]byte, error) {
	return s.dirSync(sess, root, nil, func(*ldap.Entry) {})
}

// dirSyncAttributes are what a change must be of in order to be told. The last three
// tell moves and renames, and members those of groups.
func (s *Source) dirSyncAttributes() []string {
	out := slices.Clone(s.attributes)
	for _, n := range append(slices.Clone(s.filterNames), "objectGUID", "member", "name", "parentGUID", "isDeleted") {
		out = with(out, n)
	}
	return slices.DeleteFunc(out, func(n string) bool { return strings.EqualFold(n, "memberOf") }) // a back link, which never changes by itself
}

// dirSync walks what changed since a cookie, and gives the next one. Every answer is a
// synchronous search of its own; one with flags has more behind it.
func (s *Source) dirSync(sess *session, root rootInfo, cookie []byte, each func(*ldap.Entry)) ([]byte, error) {
	for range maxDirSync {
		if err := sess.ctx.Err(); err != nil {
			return nil, err
		}
		q := query{base: root.context(s.o.BaseDN), filter: "(objectClass=*)", attributes: s.dirSyncAttributes()}
		res, err := sess.search(q.request(ldap.ScopeWholeSubtree, ldap.NewRequestControlDirSync(dirSyncObjectSecurity, dirSyncBytes, cookie)))
		if err != nil {
			return nil, sess.cause(err)
		}
		for _, e := range res.Entries {
			each(e)
		}
		answer, ok := ldap.FindControl(res.Controls, ldap.ControlTypeDirSync).(*ldap.ControlDirSync)
		if !ok || len(answer.Cookie) == 0 {
			return nil, &oddAnswerError{"the server answered without a DirSync cookie", "use delta: usn"}
		}
		cookie = answer.Cookie
		if answer.Flags == 0 {
			return cookie, nil
		}
	}
	return nil, &oddAnswerError{"the answers of DirSync do not end", "use delta: usn"}
}

// findByDirSync finds what DirSync tells has changed. Its entries hold no more than the
// attributes that did, so each is read again for what it is.
func (c *changer) findByDirSync() error {
	guids, gone := map[string]bool{}, map[string]bool{}
	var err error
	c.next.Cookie, err = c.dirSync(c.sess, c.root, c.old.Cookie, func(e *ldap.Entry) {
		var rec sources.Record
		for _, a := range e.Attributes {
			name, _, _ := strings.Cut(a.Name, ";range=")
			rec.Add(name, a.Values...)
			c.groupSeen = c.groupSeen || strings.EqualFold(name, "member")
		}
		c.entries++
		guid := rec.Value("objectGUID")
		switch {
		case guid == "":
		case strings.EqualFold(rec.Value("isDeleted"), "TRUE"):
			gone[guid] = true
		default:
			guids[guid] = true
		}
	})
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultUnavailableCriticalExtension, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultProtocolError, ldap.LDAPResultOperationsError) && c.sess.ctx.Err() == nil {
		c.full = "the server does not take the DirSync cookie any more"
		return nil
	}
	if err != nil {
		return err
	}
	return c.noteGUIDs(guids, gone)
}

// noteGUIDs looks at changed entries by their objectGUID.
func (c *changer) noteGUIDs(guids, gone map[string]bool) error {
	if c.anchorIsGUID() {
		for guid := range gone {
			var rec sources.Record
			rec.Add("objectGUID", guid)
			if anchor, err := c.o.Mapper.Anchor(rec); err == nil {
				c.suspects[anchor] = true
			}
		}
	}
	for list := range slices.Chunk(slices.Sorted(maps.Keys(guids)), confirmBatch) {
		var either strings.Builder
		for _, guid := range list {
			either.WriteString("(objectGUID=" + escapeBytes(guid) + ")")
		}
		res, err := c.sess.search(query{base: c.root.context(c.o.BaseDN), filter: "(|" + either.String() + ")", attributes: c.changedAttributes()}.request(ldap.ScopeWholeSubtree))
		if err != nil {
			return c.sess.cause(err)
		}
		for _, e := range res.Entries {
			if err := c.note(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// escapeBytes makes a filter value of arbitrary bytes (RFC 4515).
func escapeBytes(value string) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 3*len(value))
	for i := range len(value) {
		out = append(out, '\\', hex[value[i]>>4], hex[value[i]&15])
	}
	return string(out)
}
