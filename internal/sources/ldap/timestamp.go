package ldap

import (
	"time"

	"github.com/go-ldap/ldap/v3"
)

// overlap is how far a search by modifyTimestamp reaches back behind its mark: for
// servers of one directory whose clocks differ, and for what one of them was still
// passing on to another when the mark was taken.
const overlap = 5 * time.Minute

// unknownOffset stands for a clock of which nothing is known yet.
const unknownOffset = -100 * 365 * 24 * time.Hour

// tellTime takes the server's own clock where it shows one, and else what is known of it
// by then. OpenLDAP and 389 Directory Server have it in their monitor, which few let
// others read; OpenLDAP's contextCSN at least tells when it changed last.
func (m *opening) tellTime(sess *session, before time.Duration) error {
	clock := m.root.clock
	for _, at := range []struct {
		kind     kind
		dn, name string
	}{{kindOpenLDAP, "cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"}, {kind389, "cn=monitor", "currentTime"}} {
		if m.root.kind == at.kind {
			list, err := sess.values(at.dn, at.name)
			if err != nil {
				return err
			}
			clock = append(list, clock)[0]
		}
	}
	if t := later(time.Time{}, clock); !t.IsZero() {
		m.clockOK = true
		m.Offset = min(0, time.Until(t)-time.Second) // its fraction was cut off
		return nil
	}
	m.Offset = before
	if m.root.kind != kindOpenLDAP {
		return nil
	}
	list, err := sess.values(m.root.context(m.s.o.BaseDN), "contextCSN")
	for _, csn := range list {
		if len(csn) > len(stampLayout) {
			m.latest = later(m.latest, csn[:len(stampLayout)]+"Z")
		}
	}
	return err
}

// values reads an attribute of an entry that need not be there or be shown.
func (s *session) values(dn, name string) ([]string, error) {
	e, err := s.entry(dn, "(objectClass=*)", name)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultReferral) || err == nil && e == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e.GetEqualFoldAttributeValues(name), nil
}

// learn sets the server's clock by the latest stamp that a read showed until now: when an
// entry was stamped the clock showed that, and it has gone on since as fast as this
// machine's. So the mark never runs ahead of a server whose clock is slow, and all the
// less so of one whose clock is fast, since Offset is not above zero. The price is that
// what was written just before the first read is read once more until overlap is over.
func (m *opening) learn(now time.Time) {
	if m.clockOK || m.latest.IsZero() {
		return
	}
	m.Offset = min(0, max(m.Offset, m.latest.Sub(now)))
}

// since is from where on stamps count.
func (m mark) since() time.Time { return m.At.Add(m.Offset - overlap) }

// findByTimestamp finds what the directory has stamped since the mark. It shows no
// deletion and nothing that left the part of the directory that can be seen.
func (c *changer) findByTimestamp() error {
	return c.walkChanged("(modifyTimestamp>=" + c.old.since().UTC().Format(stampLayout) + "Z)")
}
