package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// syncRefreshRequired is e-syncRefreshRequired (RFC 4533 2.1).
const syncRefreshRequired = 4096

// syncAnswer is what one refresh told.
type syncAnswer struct {
	cookie  []byte
	entries []*ldap.Entry
	deleted [][16]byte // UUIDs
}

// syncreplBegin gives the cookie from which later changes are told. OpenLDAP keeps it in
// the naming context (contextCSN); another server tells it at the end of a first refresh,
// in which it sends every entry once.
func (s *Source) syncreplBegin(sess *session, root rootInfo) ([]byte, error) {
	if root.kind == kindOpenLDAP {
		list, err := sess.values(root.context(s.o.BaseDN), "contextCSN")
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			slices.Sort(list)
			return []byte("rid=000,csn=" + strings.Join(list, ";")), nil
		}
	}
	a, err := s.syncrepl(sess, root, nil, false)
	if err == nil && len(a.cookie) == 0 {
		err = &oddAnswerError{"the server ended a refresh without a cookie", "use delta: timestamp"}
	}
	return a.cookie, err
}

// syncrepl asks for one refresh (RFC 4533 3.3). It must be streamed: the states of
// entries and the identifiers of deleted ones stand beside the entries, where a plain
// search does not look. A stream of the library's ends without an error when the line is
// cut or the context is over; so the end is believed only when the control came that a
// server sends with it, and the loop does nothing but gather, since a slow reader loses
// entries.
//
// What is told to be present is passed over: whoever is not among it need not be gone.
// 389 Directory Server sends no such list, and ends every refresh as if it had.
func (s *Source) syncrepl(sess *session, root rootInfo, cookie []byte, keep bool) (syncAnswer, error) {
	out := syncAnswer{cookie: cookie}
	if err := sess.ctx.Err(); err != nil {
		return out, err
	}
	c := changer{Source: s, root: root}
	q := query{base: root.context(s.o.BaseDN), filter: "(objectClass=*)", attributes: c.changedAttributes()}
	request := q.request(ldap.ScopeWholeSubtree, ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshOnly, cookie, false))
	stream := sess.conn.SearchAsync(sess.ctx, request, 1024)
	ended := false
	for stream.Next() {
		var state *ldap.ControlSyncState
		for _, control := range stream.Controls() {
			switch control := control.(type) {
			case *ldap.ControlSyncState:
				state = control
			case *ldap.ControlSyncInfo:
				out.info(control)
			case *ldap.ControlSyncDone:
				ended = true
				out.take(control.Cookie)
			}
		}
		e := stream.Entry()
		switch {
		case e == nil:
		case state != nil && state.State == ldap.SyncStateDelete:
			out.deleted = append(out.deleted, state.EntryUUID)
		case keep && (state == nil || state.State != ldap.SyncStatePresent):
			out.entries = append(out.entries, e)
		}
	}
	switch err := stream.Err(); {
	case sess.ctx.Err() != nil:
		return out, sess.ctx.Err()
	case err != nil:
		return out, err
	case !ended:
		return out, ldap.NewError(ldap.ErrorNetwork, errors.New("the refresh did not come to its end"))
	}
	return out, nil
}

func (a *syncAnswer) take(cookie []byte) {
	if len(cookie) > 0 {
		a.cookie = cookie
	}
}

// info reads a message beside the entries. Only a set of deleted entries counts.
func (a *syncAnswer) info(m *ldap.ControlSyncInfo) {
	switch {
	case m.NewCookie != nil:
		a.take(m.NewCookie.Cookie)
	case m.RefreshDelete != nil:
		a.take(m.RefreshDelete.Cookie)
	case m.RefreshPresent != nil:
		a.take(m.RefreshPresent.Cookie)
	case m.SyncIdSet != nil:
		a.take(m.SyncIdSet.Cookie)
		if m.SyncIdSet.RefreshDeletes {
			for _, id := range m.SyncIdSet.SyncUUIDs {
				a.deleted = append(a.deleted, id)
			}
		}
	}
}

// findBySyncrepl finds what the server tells has changed since the cookie.
func (c *changer) findBySyncrepl() error {
	a, err := c.syncrepl(c.sess, c.root, c.old.Cookie, true)
	switch {
	case ldap.IsErrorWithCode(err, syncRefreshRequired), ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform):
		c.full = "the server does not know any more what changed since the mark"
		return nil
	case err != nil:
		return err
	}
	c.next.Cookie = a.cookie
	for _, e := range a.entries {
		if err := c.note(e); err != nil {
			return err
		}
	}
	for _, id := range a.deleted {
		c.entries++
		if anchor := c.syncAnchor(id); anchor != "" {
			c.suspects[anchor] = true
		}
	}
	return nil
}

// syncAnchor gives the anchor of an entry that is told of by its identifier alone; ""
// if the anchor is another attribute.
func (c *changer) syncAnchor(id [16]byte) string {
	name, guid, _ := c.o.Mapper.AnchorAttribute()
	text := ""
	switch {
	case guid:
	case strings.EqualFold(name, "entryUUID"):
		text = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	case strings.EqualFold(name, "nsUniqueId"): // 389 writes the same bytes in four groups
		text = fmt.Sprintf("%x-%x-%x-%x", id[:4], id[4:8], id[8:12], id[12:])
	}
	if text == "" {
		return ""
	}
	var rec sources.Record
	rec.Add(name, text)
	anchor, err := c.o.Mapper.Anchor(rec)
	if err != nil {
		return ""
	}
	return anchor
}
