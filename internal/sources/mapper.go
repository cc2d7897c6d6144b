package sources

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/traits"

	"github.com/mmsync/mmsync/internal/identity"
)

// Source gives the name of the source the Mapper was compiled for.
func (m *Mapper) Source() string { return m.source }

// Attributes lists the attribute names all expressions mention, in the
// configuration's spelling, sorted without case: what to ask a directory for.
func (m *Mapper) Attributes() []string {
	var out []string
	for _, p := range m.programs {
		out = append(out, p.names...)
	}
	return compactFold(out)
}

// LookupAttributes lists the attributes by which people find a person: those
// that feed the anchor, the login id, the username and the e-mail address.
func (m *Mapper) LookupAttributes() []string {
	out := slices.Clone(m.id.names)
	if m.loginID != nil {
		out = append(out, m.loginID.names...)
	}
	for _, f := range m.fields {
		if f.attribute == identity.Username || f.attribute == identity.Email {
			out = append(out, f.prog.names...)
		}
	}
	return compactFold(out)
}

func compactFold(names []string) []string {
	slices.SortStableFunc(names, compareFold)
	return slices.CompactFunc(names, strings.EqualFold)
}

// AnchorAttribute tells which attribute is the anchor and whether the anchor
// is its GUID text. ok is false if the anchor is computed in any other way: it
// cannot be searched for then.
func (m *Mapper) AnchorAttribute() (name string, guid, ok bool) {
	if m.id.form == formOther || len(m.id.names) != 1 {
		return "", false, false
	}
	return m.id.names[0], m.id.form == formGUID, true
}

// GroupNames lists the groups that rules about roles, teams and channels and pilots name, sorted. all is true if an
// expression reads the whole list of a person's groups; then every group
// counts, not only the named ones.
func (m *Mapper) GroupNames() (names []string, all bool) {
	for _, p := range m.programs {
		all = all || p.groups
	}
	names = slices.Concat(m.groupNames, m.pilot)
	slices.Sort(names)
	return slices.Compact(names), all
}

// GroupsDecide tells whether people's groups decide about more than their roles, teams
// and channels: about who has left, a field or a login, or whom a run is about.
func (m *Mapper) GroupsDecide() bool {
	gives := func(p *program) bool {
		return slices.ContainsFunc(m.roles, func(r role) bool { return r.when == p }) ||
			slices.ContainsFunc(m.spaces, func(s membership) bool { return s.when == p })
	}
	return len(m.pilot) > 0 || slices.ContainsFunc(m.programs, func(p *program) bool { return p.groups && !gives(p) })
}

// CheckNames finds attribute names that the source does not know, against a
// schema or a header row; among, if given, are names to suggest from. A wrong
// name would otherwise read as an empty value for everybody.
func (m *Mapper) CheckNames(known func(name string) bool, among ...string) error {
	var errs []error
	for _, p := range m.programs {
		for _, n := range p.names {
			if known(n) {
				continue
			}
			line, col := p.locate(n)
			errs = append(errs, p.errorAt(line, col, "the source has no attribute "+Printable(n), didYouMean(n, among)))
		}
	}
	return errors.Join(errs...)
}

// locate finds where an attribute name first stands in the expression.
func (p *program) locate(name string) (line, col int) {
	i := strings.Index(p.at.Source, name)
	if i < 0 {
		return 1, 1
	}
	before := p.at.Source[:i]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
}

// Anchor computes the immutable id of a Record.
func (m *Mapper) Anchor(rec Record) (string, error) {
	anchor, err := m.id.evalText(m.source, &rec)
	if err != nil {
		return "", m.id.fail(err)
	}
	if anchor == "" {
		return "", errors.New(m.id.emptiness("the anchor"))
	}
	return anchor, nil
}

// Identity maps one Record. The error is set only if the anchor cannot be
// computed; any other fault goes to Identity.Fault after Active was decided.
func (m *Mapper) Identity(rec Record) (identity.Identity, error) {
	anchor, err := m.Anchor(rec)
	if err != nil {
		return identity.Identity{}, err
	}
	id := identity.Identity{Key: identity.Key{Source: m.source, Anchor: anchor}, Ref: cleanRef(rec.Ref), Active: !rec.Left, Deleted: rec.Deleted, Owned: m.owned}
	var faults []string
	if m.disabledWhen != nil && !rec.Left {
		left, err := m.disabledWhen.evalTruth(m.source, &rec)
		if err != nil { // who may have left counts as present, and is held by the fault
			faults = append(faults, m.disabledWhen.fail(err).Error())
		}
		id.Active = err != nil || !left
	}
	for _, f := range m.fields {
		v, err := f.prog.evalText(m.source, &rec)
		switch {
		case err != nil:
			faults = append(faults, f.prog.fail(err).Error())
		case v == "" && m.addsOnly && (f.attribute == identity.Username || f.attribute == identity.Email):
			id.Owned = id.Owned.Without(identity.AttributesOf(f.attribute)) // there is nothing to add
		case v == "" && (f.attribute == identity.Username || f.attribute == identity.Email):
			faults = append(faults, f.prog.emptiness(string(f.attribute)))
		default:
			id.Profile = id.Profile.With(f.attribute, v)
		}
	}
	var noTexts, nobody []string
	id.Custom, noTexts = m.customOf(m.custom, &rec)
	id.People, nobody = m.customOf(m.people, &rec)
	faults = slices.Concat(faults, noTexts, nobody)
	id.Manager, faults = m.textOf(m.manager, &rec, faults)
	id.MatchKey, faults = m.textOf(m.matchKey, &rec, faults)
	auth, err := m.authOf(&rec)
	if err != nil {
		faults = append(faults, err.Error())
	}
	id.Auth = auth
	var more []string
	id.Roles, id.Memberships, id.RolesUnknown, more = m.given(&rec)
	faults = append(faults, more...)
	if len(faults) > 0 {
		id.Profile, id.Auth, id.Roles, id.Memberships, id.MatchKey = identity.Profile{}, identity.Auth{}, nil, nil, ""
		id.Custom, id.People, id.Manager, id.RolesUnknown = nil, nil, "", ""
		id.Fault = strings.Join(slices.Compact(faults), "; ")
	}
	if id.Fault == "" && id.Active {
		id.Picture = m.pictureOf(&rec)
	}
	id.Hash = digest(id)
	id.Pilot = slices.ContainsFunc(m.pilot, func(g string) bool {
		return rec.GroupsFault == "" && slices.ContainsFunc(rec.Groups, func(r string) bool { return DNKey(r) == DNKey(g) })
	})
	if id.Fault != "" && rec.Ref != "" { // after the hash: a move is no change
		id.Fault += " (" + Printable(rec.Ref) + ")"
	}
	return id, nil
}

// textOf gives the value of a rule that need not be there, and adds its fault to others.
func (m *Mapper) textOf(p *program, rec *Record, faults []string) (string, []string) {
	if p == nil {
		return "", faults
	}
	v, err := p.evalText(m.source, rec)
	if err != nil {
		return "", append(faults, p.fail(err).Error())
	}
	return v, faults
}

// customOf gives the values of custom profile attributes; nil if there is none.
func (m *Mapper) customOf(rules []custom, rec *Record) (values map[string]string, faults []string) {
	for _, x := range rules {
		v, err := x.prog.evalText(m.source, rec)
		if err != nil {
			faults = append(faults, x.prog.fail(err).Error())
			continue
		}
		if values == nil {
			values = make(map[string]string, len(rules))
		}
		values[x.name] = v
	}
	return values, faults
}

// authOf gives the login of the first rule that is for the person; the zero
// Auth if none is. A rule that cannot be judged is not passed over: the next one
// could give somebody another login than is meant for him.
func (m *Mapper) authOf(rec *Record) (identity.Auth, error) {
	for _, l := range m.auth {
		if l.when != nil {
			ok, err := l.when.evalTruth(m.source, rec)
			if err != nil {
				return identity.Auth{}, l.when.fail(err)
			}
			if !ok {
				continue
			}
		}
		v, err := l.data.evalText(m.source, rec)
		switch {
		case err != nil:
			return identity.Auth{}, l.data.fail(err)
		case v == "":
			return identity.Auth{}, errors.New(l.data.emptiness("login data"))
		}
		return identity.Auth{Service: l.service, Data: v}, nil
	}
	return identity.Auth{}, nil
}

// groupKeys gives the groups of an entry in the form that rules compare, and the
// fault of an entry whose groups are not known.
func (m *Mapper) groupKeys(rec *Record) (keys []string, fault string) {
	if len(m.groupNames) == 0 {
		return nil, ""
	}
	if rec.GroupsFault != "" {
		return nil, rec.GroupsFault
	}
	keys = make([]string, len(rec.Groups))
	for i, g := range rec.Groups {
		keys[i] = DNKey(g)
	}
	return keys, ""
}

// holds tells whether a rule is for an entry with these groups.
func (w *whom) holds(source string, rec *Record, keys []string) (bool, error) {
	if len(w.groups) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return w.groups[k] }) {
		return false, nil
	}
	if w.when == nil {
		return true, nil
	}
	ok, err := w.when.evalTruth(source, rec)
	if err != nil {
		return false, w.when.fail(err)
	}
	return ok, nil
}

// given evaluates the rules about roles, teams and channels. unknown says why what they
// give is not known: one group that cannot be read makes all of it so.
func (m *Mapper) given(rec *Record) (roles identity.Roles, in identity.Memberships, unknown string, faults []string) {
	if len(m.roles)+len(m.spaces) == 0 {
		return nil, nil, "", nil
	}
	keys, unknown := m.groupKeys(rec)
	gives := func(w *whom) bool {
		ok, err := w.holds(m.source, rec, keys)
		if g, is := errors.AsType[*groupsError](err); is {
			unknown = g.fault
		} else if err != nil {
			faults = append(faults, err.Error())
		}
		return ok
	}
	var names []string
	for i := range m.roles {
		if gives(&m.roles[i].whom) {
			names = append(names, m.roles[i].name)
		}
	}
	for i := range m.spaces {
		if gives(&m.spaces[i].whom) {
			in = append(in, m.spaces[i].gives...)
		}
	}
	if unknown != "" {
		return nil, nil, unknown, faults
	}
	if len(names) > 0 {
		roles = identity.NewRoles(names...)
	}
	if len(in) > 0 {
		in = identity.NewMemberships(in...)
	}
	return roles, in, "", faults
}

// fail words an evaluation error as a fault of the entry.
func (p *program) fail(err error) error {
	if g, ok := errors.AsType[*groupsError](err); ok {
		return g
	}
	if u, ok := errors.AsType[*unknownError](err); ok {
		return fmt.Errorf("%s cannot be computed: %w", p.key, u)
	}
	return fmt.Errorf("%s cannot be computed: %s", p.key, withoutValues(err.Error()))
}

// emptiness words an empty result, naming the attribute to fill.
func (p *program) emptiness(what string) string {
	switch len(p.names) {
	case 0:
		return what + " is empty: " + p.key + " gives nothing"
	case 1:
		if p.form != formOther {
			return what + " is empty: " + p.names[0] + " has no value"
		}
	}
	return what + " is empty: " + p.key + " gives nothing from " + strings.Join(p.names, ", ")
}

// Eval evaluates any expression on a Record and renders the result: text as it
// is, lists one value a line.
func (m *Mapper) Eval(expr string, rec Record) (string, error) {
	p, errs := m.engine.compile("expression", Expr{Source: expr}, nil)
	if len(errs) > 0 {
		return "", errors.Join(errs...)
	}
	v, err := p.evalAny(m.source, &rec)
	if err != nil {
		return "", err
	}
	if list, ok := v.(traits.Lister); ok {
		var lines []string
		for it := list.Iterator(); it.HasNext() == types.True; {
			lines = append(lines, fmt.Sprint(it.Next().Value()))
		}
		return strings.Join(lines, "\n"), nil
	}
	return fmt.Sprint(v.Value()), nil
}

// NamesIn lists the attributes an expression mentions, for reading them before
// Eval.
func (m *Mapper) NamesIn(expr string) ([]string, error) {
	p, errs := m.engine.compile("expression", Expr{Source: expr}, nil)
	return p.names, errors.Join(errs...)
}
