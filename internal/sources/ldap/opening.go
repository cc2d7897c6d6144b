package ldap

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/sources"
)

// opening is the mark of a read that is under way: what has to be known before its first
// search, and what it learns on the way.
type opening struct {
	mark
	s       *Source
	root    rootInfo
	ok      bool // there will be a mark
	latest  time.Time
	clockOK bool // the server shows its clock
}

// beginMark takes a mark before the read it belongs to begins. A server that cannot be
// asked for changes, or does not answer what that needs, gives none; the read is no worse
// for it.
func (s *Source) beginMark(sess *session, root rootInfo) *opening {
	m := &opening{s: s, root: root}
	way, why := s.way(root)
	if why == "" {
		why = m.begin(sess, way)
	}
	if m.ok = why == ""; !m.ok {
		level := slog.LevelInfo
		if s.o.Delta == DeltaOff {
			level = slog.LevelDebug
		}
		s.log.Log(sess.ctx, level, "changes cannot be asked for", "source", s.o.Name, "reason", why)
	}
	return m
}

func (m *opening) begin(sess *session, way string) (why string) {
	m.mark = mark{Version: markVersion, Way: way, Scope: m.s.scope(way), Server: sess.url, At: time.Now().UTC()}
	var err error
	switch way {
	case DeltaUSN:
		m.root.invocation, err = sess.invocation(m.root)
		m.Host, m.Invocation, m.USN = m.root.host, m.root.invocation, m.root.usn
	case DeltaTimestamp:
		err = m.tellTime(sess, unknownOffset)
	case DeltaDirSync:
		m.Cookie, err = m.s.dirSyncBegin(sess, m.root)
	case DeltaSyncrepl:
		m.Cookie, err = m.s.syncreplBegin(sess, m.root)
	}
	if err != nil {
		return m.s.sentence("take a mark for changes by "+way, err)
	}
	return ""
}

// invocation reads the identity of a domain controller's database, which is a new one
// after it was restored from a backup (MS-ADTS 3.1.1.1.3).
func (s *session) invocation(root rootInfo) (string, error) {
	e, err := s.entry(root.service, "(objectClass=*)", "invocationId")
	if err != nil {
		return "", err
	}
	id := ""
	if e != nil {
		id = e.GetEqualFoldAttributeValue("invocationId")
	}
	if id == "" {
		return "", &oddAnswerError{"invocationId of " + sources.Printable(root.service) + " is not shown", "let the bind account read it, as authenticated users may by default"}
	}
	return fmt.Sprintf("%x", id), nil
}

// watch notes who is in the groups that decide, before people are read: a change in
// between is then seen by the next delta.
func (m *opening) watch(sess *session, g *groups) {
	if !m.ok || g.fault != "" {
		m.ok = false
		return
	}
	list, err := m.s.watch(sess, g)
	if err != nil {
		m.ok = false
		m.s.log.WarnContext(sess.ctx, "changes cannot be asked for", "source", m.s.o.Name, "reason", m.s.sentence("read who is in the groups", err))
	}
	m.Groups = list
}

// stamp is the attribute to read of everybody for the sake of the mark, if any.
func (m *opening) stamp() string {
	if m.ok && m.Way == DeltaTimestamp && !m.clockOK {
		return "modifyTimestamp"
	}
	return ""
}

func (m *opening) saw(rec sources.Record) {
	if name := m.stamp(); name != "" {
		m.latest = later(m.latest, rec.Value(name))
	}
}

// seal ends a read that saw everything.
func (m *opening) seal() string {
	if !m.ok {
		return ""
	}
	if m.Way == DeltaTimestamp {
		m.learn(time.Now())
	}
	return m.String()
}

// later gives the later of a time and a generalized time (RFC 4517 3.3.13) in UTC, whose
// fraction does not count.
func later(t time.Time, text string) time.Time {
	if len(text) < len(stampLayout) || !strings.HasSuffix(text, "Z") {
		return t
	}
	if u, err := time.Parse(stampLayout, text[:len(stampLayout)]); err == nil && u.After(t) {
		return u
	}
	return t
}

const stampLayout = "20060102150405"
