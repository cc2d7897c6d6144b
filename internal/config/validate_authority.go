package config

import "slices"

// authority checks what several sources say about one person: who has a word about
// what, how they are recognised, and to whom people go.
func (v *validator) authority(a *Authority, list []Source) {
	names, known := v.sourceNames()
	if !known {
		return
	}
	named := func(at string, sources []string) {
		for i, s := range sources {
			if s != "" && !slices.Contains(names, s) {
				v.fault(indexPath(at, i), "no source is named "+v.quote(indexPath(at, i)), v.sourceHint(s, names))
			}
		}
		v.unique(at, sources, same)
	}
	for _, rule := range a.Attributes() {
		named("authority."+rule.Attribute, rule.Sources)
	}
	named("authority.roles", a.Roles)
	owners := 0
	for i := range list {
		s, at := &list[i], indexPath("sources", i)
		named(at+".hands_over_to", s.HandsOverTo)
		if j := slices.Index(s.HandsOverTo, s.Name); j >= 0 && s.Name != "" {
			v.fault(indexPath(at+".hands_over_to", j), "is the source itself", "name another source that has these people")
		}
		if !s.Contributes.Only {
			owners++
		}
		v.contributes(at+".contributes", s, a)
	}
	for i := range list {
		if list[i].Contributes.Only && owners == 0 {
			v.fault(indexPath("sources", i)+".contributes.only", "no source is left that accounts could belong to", "leave it out for the source that people's accounts come from")
			return
		}
	}
}

func (v *validator) contributes(at string, s *Source, a *Authority) {
	m := s.Contributes.Match
	if m == "" {
		return
	}
	if !v.oneOf(at+".match", m, ByMatchKey, ByEmail, ByUsername) {
		return
	}
	if m == ByMatchKey {
		if s.MatchKey.Text == "" {
			v.fault(at+".match", "source "+s.Name+" has no match_key", "write an expression as match_key here and at the source that owns the accounts")
		}
		return
	}
	// Whoever could choose by what he is recognised would get another's account that way.
	for _, rule := range []AttributeSources{{"username", a.Username}, {"email", a.Email}, {"roles", a.Roles}} {
		if slices.Contains(rule.Sources, s.Name) {
			v.fault(at+".match", "must be match_key: source "+s.Name+" is named in authority."+rule.Attribute+", and an equal "+m+" does not prove that it is the same person",
				"write match: match_key, or leave it out and say with mmsync link contribute who is who")
			return
		}
	}
}
