package ldap

import (
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// query is one search below a base.
type query struct {
	base, filter string
	attributes   []string
	pageSize     int // 0 is without paging
	controls     []ldap.Control
}

// request builds the library's request anew each time: it keeps the cookie of
// the last page otherwise.
func (q query) request(scope int, controls ...ldap.Control) *ldap.SearchRequest {
	return ldap.NewSearchRequest(q.base, scope, ldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, slices.Concat(q.controls, controls))
}

// entry reads one entry; nil if it exists but does not match or is not shown.
func (s *session) entry(dn, filter string, attributes ...string) (*ldap.Entry, error) {
	res, err := s.conn.Search(query{base: dn, filter: filter, attributes: attributes}.request(ldap.ScopeBaseObject))
	if err != nil {
		return nil, s.cause(err)
	}
	if len(res.Entries) == 0 {
		return nil, nil //nolint:nilnil // "not shown" is an answer of its own
	}
	return res.Entries[0], nil
}

// stats say how a search below a base ended.
type stats struct {
	entries   int
	pages     int
	referrals int
	// ignored: paging was asked for and an answer came without the control.
	ignored bool
}

// errEndless is a server whose paging does not come to an end.
var errEndless = &oddAnswerError{"the server's pages repeat themselves", "its paging is broken; try another max_page_size"}

// maxEmptyPages in a row are believed; a server may filter a page to nothing.
const maxEmptyPages = 100

// walk runs a search page by page and hands each page on. Every page is a
// synchronous search of its own, so that its SearchResultDone is seen: the
// library's streaming calls end without an error when the line is cut, the
// context ends or the reader is slow. An error means that the walk did not come
// to its end. Pages before it have been handed on, and so have the entries that
// came with a server's limit (codes 3, 4, 11); others of the last page are
// dropped.
func (s *session) walk(q query, each func([]*ldap.Entry) error) (stats, error) {
	return s.walkIn(ldap.ScopeWholeSubtree, q, each)
}

func (s *session) walkIn(scope int, q query, each func([]*ldap.Entry) error) (stats, error) {
	var st stats
	var cookie []byte
	firsts := map[string]bool{} // DN each page began with
	empty := 0
	for {
		var controls []ldap.Control
		if q.pageSize > 0 {
			paging := ldap.NewControlPaging(uint32(q.pageSize)) //nolint:gosec // New bounds it
			paging.SetCookie(cookie)
			controls = append(controls, paging)
		}
		if err := s.ctx.Err(); err != nil {
			return st, err
		}
		res, err := s.conn.Search(q.request(scope, append(controls, s.scope()...)...))
		if err != nil && !limited(err) {
			return st, s.cause(err)
		}
		st.pages++
		st.entries += len(res.Entries)
		st.referrals += len(res.Referrals)
		if len(res.Entries) > 0 {
			first := res.Entries[0].DN
			if firsts[first] {
				st.entries -= len(res.Entries)
				return st, errEndless
			}
			firsts[first], empty = true, 0
		} else if empty++; empty > maxEmptyPages {
			return st, errEndless
		}
		if eachErr := each(res.Entries); eachErr != nil {
			return st, eachErr
		}
		if err != nil {
			return st, s.cause(err)
		}
		if q.pageSize == 0 {
			return st, nil
		}
		answer, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok {
			st.ignored = true
			return st, nil
		}
		if cookie = answer.Cookie; len(cookie) == 0 {
			return st, nil
		}
	}
}

// limited tells a server's limit, whose entries are whole and only not all.
func limited(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded)
}

// record copies an entry. Values that came in ranges (MS-ADTS 3.1.1.3.1.3.3)
// are fetched to their end, so this must not run while a search is under way.
// The library gives every value memory of its own, so nothing of the page is
// kept alive by the copies.
func (s *session) record(e *ldap.Entry) (sources.Record, error) {
	rec := sources.Record{Ref: e.DN}
	for _, a := range e.Attributes {
		a.ByteValues = nil // the library's second copy of each value, with half a kilobyte behind it
		name, option, ranged := cutRange(a.Name)
		if !ranged {
			rec.Add(a.Name, a.Values...)
			continue
		}
		values, err := s.ranged(e.DN, name, option, a.Values)
		if err != nil {
			return rec, fmt.Errorf("read the rest of %s: %w", name, err)
		}
		rec.Add(name, values...)
	}
	return rec, nil
}
