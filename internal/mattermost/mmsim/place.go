package mmsim

// Place tells, past all faults, whether an account is in a team or channel, and as its
// administrator; open is false if there is no such place or it is archived.
func (s *Server) Place(space, account string) (in, admin, open bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var m *member
	if t := s.db.teams[space]; t != nil {
		m, open = t.members[account], t.deleteAt == 0
	} else if c := s.db.channels[space]; c != nil {
		m, open = c.members[account], c.deleteAt == 0
	}
	if m == nil || m.deleteAt != 0 {
		return false, false, open
	}
	return true, m.admin, open
}
