package ldap

// checkChanges tells how changes are asked for, and what of them is not seen.
func (s *Source) checkChanges(sess *session, root rootInfo, c *checks) {
	const part = "changes"
	way, why := s.way(root)
	switch {
	case s.o.Delta == DeltaOff:
		c.ok(part, "changes are not asked for; every run reads everybody")
		return
	case why != "" && (s.o.Delta == DeltaAuto || s.o.Delta == ""):
		c.warn(part, "changes are not asked for, so that every run reads everybody: "+why, "set delta: off if that is as it should be")
		return
	case why != "":
		c.fail(part, "changes cannot be asked for, so that every run reads everybody: "+why, "correct delta")
		return
	}
	w := changer{Source: s, sess: sess, root: root, old: mark{Way: way}}
	blind, err := w.witness()
	if err == nil && way == DeltaUSN {
		_, err = sess.invocation(root)
	}
	switch {
	case err != nil:
		c.fail(part, s.sentence("ask for changes by "+way, err), "until then every run reads everybody")
		return
	case blind != "":
		c.fail(part, blind, "until then every run reads everybody")
		return
	}
	switch way {
	case DeltaTimestamp:
		c.ok(part, "asked for by timestamp; only a full read sees who was deleted")
	default:
		c.ok(part, "asked for by "+way)
	}
}
