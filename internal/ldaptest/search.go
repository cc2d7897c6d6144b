package ldaptest

import (
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// cursor is a paged search between two pages. Like its real siblings it keeps who
// was found, not what they held.
type cursor struct {
	fingerprint string
	list        []*node
	pos         int
	f           *firing
}

// ending is what becomes of the line behind an answer.
type ending int

const (
	open  ending = iota
	shut         // closed in good order
	reset        // closed with what was not sent yet thrown away
	hang         // left open and silent
)

// page is one answer before it is sent.
type page struct {
	id     int64
	q      request
	sent   []message
	done   *result // nil is none at all
	paged  bool    // the answer carries the paging control
	cookie string
	first  int // number of the page's first entry in the whole listing
	total  int // entries in the whole listing
	at     *cursor
	back   bool // the cookie leads to backTo
	backTo int
	tail   []byte
	end    ending
}

func (p *page) fail(code int64, text string) {
	p.done, p.paged = &result{code: code, text: text}, false
}

// search answers one search; false ends the connection.
func (c *conn) search(id int64, op *ber.Packet, controls []*ber.Packet) bool {
	q, err := decodeSearch(op, controls, c.s.Kind)
	p := &page{id: id, q: q, done: &result{}}
	if err != nil {
		p.fail(codeProtocol, err.Error())
		return c.deliver(p)
	}
	if c.s.o.NoControls {
		q.page, q.sync, q.dirSync = nil, nil, nil
		p.q = q
	}
	c.s.note(q.String())
	self := c.s.who()
	c.s.d.mu.Lock()
	f := c.fill(p, self)
	c.s.d.mu.Unlock()
	if f != nil && f.fault.page != nil {
		f.fault.page(f, p)
	}
	if p.back && p.at != nil {
		p.at.pos = p.backTo
		p.cookie = c.keep(p.at)
	}
	return c.deliver(p)
}

// fill works the answer out. It gives the fault that is to be played, if any.
func (c *conn) fill(p *page, self *replica) *firing {
	s, q := c.s, p.q
	if q.critical != "" {
		p.fail(codeCriticalUnavailable, "critical control "+q.critical+" is not supported")
		return nil
	}
	if dn, attributes, ok := s.special(q, self); ok {
		p.sent = append(p.sent, message{raw: encodeEntry(p.id, dn, attributes), entry: true})
		p.total = 1
		return s.firingFor(atBase)
	}
	if c.bound == nil {
		c.refuseAnonymous(p)
		return nil
	}
	if q.page != nil && q.page.cookie != "" {
		return c.next(p, self)
	}
	base := s.d.find(q.base)
	if base == nil || base.deleted && !q.showDeleted && base.key != dnKey(deletedDN) {
		c.refuseBase(p)
		return s.firingFor(whenOf(s.d, q))
	}
	f := s.firingFor(whenOf(s.d, q))
	if f != nil && f.fault.unpaged {
		q.page = nil
		p.q = q
	}
	switch {
	case q.sync != nil:
		s.synchronise(p, f, base, self)
	case q.dirSync != nil:
		s.dirSync(p, f, base, self)
	default:
		list := s.found(q, base, self)
		if f != nil && f.fault.list != nil {
			list = f.fault.list(f, list)
		}
		c.page(p, &cursor{fingerprint: q.fingerprint, list: list, f: f}, self)
	}
	return f
}

func (c *conn) refuseAnonymous(p *page) {
	if c.s.Kind == ActiveDirectory {
		p.fail(codeOperations, "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4563")
		return
	}
	p.fail(codeNoSuchObject, "")
}

// refuseBase tells that the base is not there; Active Directory sends those away
// who ask for what none of its naming contexts holds.
func (c *conn) refuseBase(p *page) {
	d := c.s.d
	key := d.keyOf(p.q.base)
	if d.kind == ActiveDirectory && key != "\x00" && !slices.ContainsFunc(d.contexts, func(x string) bool { return below(key, x) }) {
		p.fail(codeReferral, "0000202B: RefErr: DSID-0310082F, data 0, 1 access points")
		p.done.referrals = []string{"ldap://elsewhere.test/" + p.q.base}
		return
	}
	p.fail(codeNoSuchObject, "")
	for up := key; up != ""; {
		_, up = splitDN(up)
		if n := d.byKey[up]; n != nil && up != "" {
			p.done.matched = n.dn
			return
		}
	}
}

// found lists who is in scope and matches, in the order of creation.
func (s *Server) found(q request, base *node, self *replica) []*node {
	var out []*node
	for _, n := range s.d.list {
		if s.inScope(n, q, base) && s.d.evaluate(q.filter, n, self) == yes {
			out = append(out, n)
		}
	}
	return out
}

// inScope keeps to one naming context, as a server of several does, and to what the
// reader is shown.
func (s *Server) inScope(n *node, q request, base *node) bool {
	if n.context != base.context {
		return false
	}
	if n.deleted || n.key == dnKey(deletedDN) && s.Kind == ActiveDirectory {
		if !q.showDeleted || s.o.HideDeleted {
			return false
		}
	}
	switch q.scope {
	case scopeBase:
		return n == base
	case scopeOne:
		_, parent := splitDN(n.key)
		return parent == base.key
	}
	return below(n.key, base.key)
}

// page fills an answer from a cursor: as much as fits.
func (c *conn) page(p *page, at *cursor, self *replica) {
	s, q := c.s, p.q
	p.at, p.first, p.total = at, at.pos, len(at.list)
	limit := len(at.list) - at.pos
	stop := int64(codeOK)
	most := func(n int) {
		if n < limit {
			limit, stop = max(0, n), codeSizeLimit
		}
	}
	if q.page == nil && s.o.PageSize > 0 {
		most(s.o.PageSize)
	}
	if q.sizeLimit > 0 {
		most(int(q.sizeLimit) - at.pos)
	}
	if q.page != nil {
		if s.o.Total > 0 {
			most(s.o.Total - at.pos)
		}
		size := int(q.page.size)
		if s.o.PageSize > 0 && size > s.o.PageSize {
			if s.Kind != ActiveDirectory {
				p.fail(codeAdminLimit, "illegal pagedResults page size")
				return
			}
			size = s.o.PageSize
		}
		if size < limit {
			limit, stop = size, codeOK
		}
	}
	w := wishesOf(s.Kind, q.attributes)
	for i, n := range at.list[at.pos : at.pos+limit] {
		if !s.put(p, at.f, n, at.pos+i, w, self) {
			return
		}
	}
	at.pos += limit
	p.done.code = stop
	if stop != codeOK {
		return
	}
	p.paged = q.page != nil
	if p.paged && at.pos < len(at.list) {
		p.cookie = c.keep(at)
		return
	}
	s.continuations(p)
}

// put adds one entry to an answer, unless it is gone since it was found; false
// means that the search has failed as a whole.
func (s *Server) put(p *page, f *firing, n *node, index int, w wishes, self *replica, controls ...*ber.Packet) bool {
	if n.deleted && !p.q.showDeleted && p.q.dirSync == nil {
		return true
	}
	list, code := s.wanted(n, w, p.q.scope, self, f)
	if code != codeOK {
		p.sent = nil
		p.fail(code, "00002120: SvcErr: DSID-031401C4, problem 5012 (DIR_ERROR), data 0")
		return false
	}
	if f != nil && f.fault.entry != nil {
		list = f.fault.entry(f, f.hit(index, p.total), n, list)
	}
	if p.q.typesOnly {
		for i := range list {
			list[i].list = nil
		}
	}
	p.sent = append(p.sent, message{raw: encodeEntry(p.id, n.dn, list, controls...), entry: true})
	return true
}

// continuations are the references to what lies below the base elsewhere.
func (s *Server) continuations(p *page) {
	if p.q.scope != scopeSub || p.q.domainScope || dnKey(p.q.base) != dnKey(s.d.base) {
		return
	}
	for _, r := range s.o.Referrals {
		op := operation(opReference)
		for u := range strings.FieldsSeq(r) {
			op.AppendChild(text(u))
		}
		p.sent = append(p.sent, message{raw: envelope(p.id, op)})
	}
}

// keep stores a cursor. But for Active Directory a connection has one at most
// (as slapd does).
func (c *conn) keep(at *cursor) string {
	if c.s.Kind != ActiveDirectory {
		clear(c.cursors)
	}
	c.cookies++
	cookie := "page" + strconv.Itoa(c.cookies)
	c.cursors[cookie] = at
	return cookie
}

// next goes on with a search that was begun.
func (c *conn) next(p *page, self *replica) *firing {
	at := c.cursors[p.q.page.cookie]
	if at == nil || at.fingerprint != p.q.fingerprint {
		if c.s.Kind == ActiveDirectory { // seen with Samba
			p.fail(codeUnwilling, "00002035: paged results cookie is invalid")
		} else {
			p.fail(codeProtocol, "paged results cookie is invalid")
		}
		return nil
	}
	delete(c.cursors, p.q.page.cookie)
	if p.q.page.size == 0 { // given up
		p.paged = true
		return nil
	}
	c.page(p, at, self)
	return at.f
}

// deliver sends an answer; false ends the connection.
func (c *conn) deliver(p *page) bool {
	for _, m := range p.sent {
		if m.wait > 0 {
			if c.out.Flush() != nil || !c.pause(m.wait) {
				return false
			}
		}
		if _, err := c.out.Write(m.raw); err != nil {
			return false
		}
	}
	if p.done != nil && p.tail == nil && p.end == open {
		var controls []*ber.Packet
		if p.paged {
			controls = append(controls, control(oidPaging, sequence(integer(0), text(p.cookie))))
		}
		c.send(p.id, p.done.operation(opDone), append(controls, p.done.controls...)...)
		return true
	}
	_, _ = c.out.Write(p.tail)
	_ = c.out.Flush() // the line ends whether it arrives or not
	switch p.end {
	case hang:
		_, _ = io.Copy(io.Discard, c.line) // until the client gives up or the test ends
	case reset:
		if tcp, ok := c.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case open, shut:
	}
	return p.end == open
}

func (c *conn) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.s.stop:
		return false
	}
}
