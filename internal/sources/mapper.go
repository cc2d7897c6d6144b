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

// GroupNames lists the groups that role rules and pilots name, sorted. all is true if an
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
	id := identity.Identity{Key: identity.Key{Source: m.source, Anchor: anchor}, Ref: cleanRef(rec.Ref), Active: !rec.Left, Owned: m.owned}
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
		case v == "" && (f.attribute == identity.Username || f.attribute == identity.Email):
			faults = append(faults, f.prog.emptiness(string(f.attribute)))
		default:
			id.Profile = id.Profile.With(f.attribute, v)
		}
	}
	if m.matchKey != nil {
		if id.MatchKey, err = m.matchKey.evalText(m.source, &rec); err != nil {
			faults = append(faults, m.matchKey.fail(err).Error())
		}
	}
	auth, err := m.authOf(&rec)
	if err != nil {
		faults = append(faults, err.Error())
	}
	id.Auth = auth
	var roleFaults []string
	id.Roles, roleFaults = m.rolesOf(&rec)
	faults = append(faults, roleFaults...)
	if len(faults) > 0 {
		id.Profile, id.Auth, id.Roles, id.MatchKey = identity.Profile{}, identity.Auth{}, nil, ""
		id.Fault = strings.Join(slices.Compact(faults), "; ")
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

func (m *Mapper) rolesOf(rec *Record) (identity.Roles, []string) {
	if len(m.roles) == 0 {
		return nil, nil
	}
	var names, faults []string
	var keys []string
	if len(m.groupNames) > 0 {
		if rec.GroupsFault != "" {
			return nil, []string{rec.GroupsFault}
		}
		keys = make([]string, len(rec.Groups))
		for i, g := range rec.Groups {
			keys[i] = DNKey(g)
		}
	}
	for _, r := range m.roles {
		if len(r.groups) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return r.groups[k] }) {
			continue
		}
		if r.when != nil {
			ok, err := r.when.evalTruth(m.source, rec)
			if err != nil {
				faults = append(faults, r.when.fail(err).Error())
				continue
			}
			if !ok {
				continue
			}
		}
		names = append(names, r.name)
	}
	if len(names) == 0 {
		return nil, faults
	}
	return identity.NewRoles(names...), faults
}

// fail words an evaluation error as a fault of the entry.
func (p *program) fail(err error) error {
	if g, ok := errors.AsType[*groupsError](err); ok {
		return g
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
