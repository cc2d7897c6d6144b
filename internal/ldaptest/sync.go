package ldaptest

import (
	"fmt"
	"regexp"
	"strconv"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// syncAnswer is what a server says to one who synchronises (RFC 4533).
type syncAnswer struct {
	changed        []*node  // sent whole, in state add
	gone           []string // ids, in sets with refreshDeletes
	present        []string // ids, in sets without
	refreshDeletes bool     // of the end
	cookie         string   // empty is none
}

// idsPerSet is how many ids slapd puts into one Sync Id Set.
const idsPerSet = 250

// synchronise answers in the mode refreshOnly, in the way of the kind. What the two
// do was seen on slapd 2.5 and 389 Directory Server 2.3: the latter never says
// refreshDeletes at the end, so that by the letter of RFC 4533 3.3.2 everybody
// would be gone after a quiet time.
func (s *Server) synchronise(p *page, f *firing, base *node, self *replica) {
	if p.q.sync.mode != 1 {
		p.fail(codeUnwilling, "only refreshOnly is offered")
		return
	}
	from, initial, refused := s.syncFrom(p.q.sync.cookie)
	if refused != nil {
		p.done = refused
		return
	}
	a := syncAnswer{refreshDeletes: s.Kind != DS389}
	switch {
	case initial:
		a.changed = s.found(p.q, base, self)
	case from < s.d.logFrom:
		a.refreshDeletes = false
		for _, n := range s.found(p.q, base, self) {
			a.present = append(a.present, n.id)
			if n.changed > from {
				a.changed = append(a.changed, n)
			}
		}
		if len(a.changed) == len(a.present) { // a cookie from before everything
			a.present = nil
		}
	default:
		s.replay(&a, p.q, base, self, from)
	}
	if initial && p.q.sync.cookie == "" || !initial && from != s.d.seq { // none to a cookie without sense, as slapd
		a.cookie = s.syncCookie(p.q)
	}
	if f != nil && f.fault.sync != nil {
		f.fault.sync(f, s.d, &a)
	}
	s.putSync(p, f, a, self)
}

// replay reads the log: an entry that changed and does not match any more is told
// as gone, whether it ever matched or not.
func (s *Server) replay(a *syncAnswer, q request, base *node, self *replica, from int64) {
	seen := map[*node]bool{}
	for _, l := range s.d.log {
		if l.seq <= from || seen[l.n] {
			continue
		}
		seen[l.n] = true
		if !l.n.deleted && s.inScope(l.n, q, base) && s.d.evaluate(q.filter, l.n, self) == yes {
			a.changed = append(a.changed, l.n)
		} else if l.n.created <= from {
			a.gone = append(a.gone, l.n.id)
		}
	}
}

var (
	openldapCookie = regexp.MustCompile(`^rid=\d+,(?:sid=\w+,)?csn=[0-9.]+Z#([0-9a-f]{6})#`)
	ds389Cookie    = regexp.MustCompile(`^.+#.+#(\d+)$`)
)

func (s *Server) syncCookie(q request) string {
	if s.Kind == DS389 {
		return fmt.Sprintf("localhost:389#%s:%s:%x#%d", s.Kind.ReaderDN(), q.base, q.fingerprint, s.d.seq)
	}
	return "rid=000,csn=" + csn(s.d.now(), s.d.seq)
}

// syncFrom reads a cookie; initial is a reader that knows nothing yet.
func (s *Server) syncFrom(cookie string) (from int64, initial bool, refused *result) {
	if cookie == "" {
		return 0, true, nil
	}
	pattern, radix := openldapCookie, 16
	if s.Kind == DS389 {
		pattern, radix = ds389Cookie, 10
	}
	m := pattern.FindStringSubmatch(cookie)
	if m == nil {
		if s.Kind == DS389 {
			return 0, false, &result{code: codeRefreshRequired, text: "Invalid session cookie"}
		}
		return 0, true, nil // slapd reads no sense in it and begins anew
	}
	from, err := strconv.ParseInt(m[1], radix, 64)
	switch {
	case err != nil:
		return 0, true, nil
	case from > s.d.seq && s.Kind == DS389:
		return 0, false, &result{code: codeRefreshRequired, text: "Invalid session cookie"}
	case from > s.d.seq:
		return 0, false, &result{code: codeUnwilling, text: "consumer state is newer than provider!"}
	}
	return from, false, nil
}

// putSync writes the answer: who is gone or present, who changed, and the end.
func (s *Server) putSync(p *page, f *firing, a syncAnswer, self *replica) {
	idSets := func(ids []string, deletes bool) {
		for len(ids) > 0 {
			n := min(len(ids), idsPerSet)
			p.sent = append(p.sent, message{raw: envelope(p.id, idSet(ids[:n], deletes))})
			ids = ids[n:]
		}
	}
	idSets(a.gone, true)
	p.total = len(a.changed)
	w := wishesOf(s.Kind, p.q.attributes)
	for i, n := range a.changed {
		if s.o.PageSize > 0 && i >= s.o.PageSize {
			p.fail(codeSizeLimit, "")
			return
		}
		state := control(oidSyncState, sequence(enumerated(1), text(n.id)))
		if !s.put(p, f, n, i, w, self, state) {
			return
		}
	}
	idSets(a.present, false)
	value := sequence()
	if a.cookie != "" {
		value.AppendChild(text(a.cookie))
	}
	if a.refreshDeletes {
		value.AppendChild(boolean(true))
	}
	p.done.controls = append(p.done.controls, control(oidSyncDone, value))
}

// idSet is the message syncIdSet (RFC 4533 2.5).
func idSet(ids []string, deletes bool) *ber.Packet {
	list := set()
	for _, id := range ids {
		list.AppendChild(text(id))
	}
	value := group(ber.ClassContext, 3)
	if deletes {
		value.AppendChild(boolean(true))
	}
	value.AppendChild(list)
	return operation(opIntermediate, tagged(0, oidSyncInfo), tagged(1, string(value.Bytes())))
}
