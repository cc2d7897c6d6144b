package ldap

import (
	"cmp"
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
	// stream, if not nil, is given the entries of a walk as they come instead of page by
	// page, those of a page that is cut included. It must not ask the server.
	stream func(*ldap.Entry)
}

// request builds the library's request anew each time: it keeps the cookie of
// the last page otherwise.
func (q query) request(scope int, controls ...ldap.Control) *ldap.SearchRequest {
	return ldap.NewSearchRequest(q.base, scope, ldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, slices.Concat(q.controls, controls))
}

// search is the library's, with what it finds decoded by the session.
func (s *session) search(r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var entries []*ldap.Entry
	res, err := s.stream(r, func(e *ldap.Entry) { entries = append(entries, e) })
	if res != nil {
		res.Entries = entries
	}
	return res, err
}

// stream hands entries on as they come, and leaves none in the result.
func (s *session) stream(r *ldap.SearchRequest, take func(*ldap.Entry)) (*ldap.SearchResult, error) {
	s.entries.begin(take)
	res, err := s.conn.Search(r)
	s.entries.end()
	if res != nil {
		for _, e := range res.Entries { // those that were left to the library
			take(e)
		}
		res.Entries = nil
	}
	return res, err
}

// entry reads one entry; nil if it exists but does not match or is not shown.
func (s *session) entry(dn, filter string, attributes ...string) (*ldap.Entry, error) {
	res, err := s.search(query{base: dn, filter: filter, attributes: attributes}.request(ldap.ScopeBaseObject))
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
	// elsewhere is a reference that leads to a part of the base.
	elsewhere string
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
		var page []*ldap.Entry
		first, n := "", 0
		res, err := s.stream(q.request(scope, append(controls, s.scope()...)...), func(e *ldap.Entry) {
			if n++; n == 1 {
				first = e.DN
			}
			if q.stream != nil {
				q.stream(e)
			} else {
				page = append(page, e)
			}
		})
		if err != nil && !limited(err) {
			return st, s.cause(err)
		}
		st.pages++
		st.referrals += len(res.Referrals)
		st.elsewhere = cmp.Or(st.elsewhere, s.elsewhere(q.base, res.Referrals))
		switch {
		case n > 0 && firsts[first]:
			return st, errEndless
		case n > 0:
			firsts[first], empty = true, 0
		default:
			if empty++; empty > maxEmptyPages {
				return st, errEndless
			}
		}
		st.entries += n
		if eachErr := each(page); eachErr != nil {
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

// record copies an entry, its attributes under the names of the mapping as well. It may ask
// the server, so that it must not run while a search is under way.
func (s *session) record(e *ldap.Entry) (sources.Record, error) {
	rec, err := s.plain(e)
	if err != nil {
		return rec, err
	}
	return rec, s.rename(&rec)
}

// plain copies an entry as it came. Values that came in ranges (MS-ADTS 3.1.1.3.1.3.3)
// are fetched to their end, so that none may be among them while a search is under way.
func (s *session) plain(e *ldap.Entry) (sources.Record, error) {
	rec := sources.Record{Ref: e.DN}
	for _, a := range e.Attributes {
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
