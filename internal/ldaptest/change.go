package ldaptest

import (
	"fmt"
	"slices"
	"strings"
)

// change runs one change of the tree; it ends the test if it cannot be made.
func (s *Server) change(what string, f func(*directory) error) {
	s.t.Helper()
	s.d.mu.Lock()
	err := f(s.d)
	s.d.mu.Unlock()
	if err != nil {
		s.t.Fatalf("ldaptest: %s: %v", what, err)
	}
}

// Add makes entries; what is above one has to be there.
func (s *Server) Add(entries ...Entry) {
	s.t.Helper()
	for _, e := range entries {
		s.change("add "+e.DN, func(d *directory) error { return d.add(e) })
	}
}

func (d *directory) must(dn string) (*node, error) {
	n := d.find(dn)
	if n == nil {
		return nil, fmt.Errorf("there is no %s", dn)
	}
	return n, nil
}

// Modify sets an attribute to the given values; none removes it.
func (s *Server) Modify(dn, attribute string, values ...string) {
	s.t.Helper()
	s.change("modify "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err == nil {
			d.modify(n, attribute, values...)
		}
		return err
	})
}

// AddValues adds values to an attribute.
func (s *Server) AddValues(dn, attribute string, values ...string) {
	s.t.Helper()
	s.change("modify "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err == nil {
			d.modify(n, attribute, append(slices.Clone(n.stored(attribute)), values...)...)
		}
		return err
	})
}

// RemoveValues takes values from an attribute.
func (s *Server) RemoveValues(dn, attribute string, values ...string) {
	s.t.Helper()
	s.change("modify "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err != nil {
			return err
		}
		syntax := syntaxOf(attribute)
		d.modify(n, attribute, slices.DeleteFunc(slices.Clone(n.stored(attribute)), func(v string) bool {
			return slices.ContainsFunc(values, func(w string) bool { order, ok := syntax.compare(v, w); return ok && order == 0 })
		})...)
		return nil
	})
}

// Rename gives an entry another name or place, with those below it. In Active
// Directory the groups it is in follow; elsewhere they keep the old name.
func (s *Server) Rename(dn, newDN string) {
	s.t.Helper()
	s.change("rename "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err != nil {
			return err
		}
		return d.rename(n, newDN)
	})
}

// Delete removes an entry that has none below it. In Active Directory a tombstone
// stays.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.change("delete "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err != nil {
			return err
		}
		return d.remove(n)
	})
}

// Restore brings a deleted entry of Active Directory back to where it was, without
// its groups, and without the recycle bin without most attributes. Its old name finds
// it.
func (s *Server) Restore(dn string) {
	s.t.Helper()
	rdn, parent := splitDN(dn)
	_, value := splitRDN(rdn)
	s.change("restore "+dn, func(d *directory) error {
		for _, n := range slices.Backward(d.list) {
			if n.deleted && n.lastName == value && dnKey(strings.Join(n.stored("lastKnownParent"), "")) == dnKey(parent) {
				return d.revive(n)
			}
		}
		_, err := d.must(dn)
		return err
	})
}

// AnchorOf gives an entry's anchor as text: objectGUID as Microsoft writes it,
// entryUUID, or nsUniqueId.
func (s *Server) AnchorOf(dn string) string {
	s.t.Helper()
	var out string
	s.change("read "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err != nil {
			return err
		}
		out = d.anchorText(n)
		return nil
	})
	return out
}

func (d *directory) anchorText(n *node) string {
	switch d.kind {
	case ActiveDirectory:
		return GUIDText(n.id)
	case DS389:
		return uniqueIDText(n.id)
	case Plain, OpenLDAP:
	}
	return uuidText(n.id)
}

// Values gives what an entry shows of an attribute, as this server sees it.
func (s *Server) Values(dn, attribute string) []string {
	s.t.Helper()
	var out []string
	self := s.who()
	s.change("read "+dn, func(d *directory) error {
		n, err := d.must(dn)
		if err == nil {
			out = slices.Clone(d.values(n, attribute, self))
		}
		return err
	})
	return out
}

// LoseSessionLog forgets what happened to single entries, as a restart of slapd
// does: who synchronises by RFC 4533 is told who is there instead of who is gone.
func (s *Server) LoseSessionLog() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.logFrom = s.d.seq
}
