package sources

import (
	"slices"
	"strings"
)

// Step is one rule of the mapping and what it gave for one Record.
type Step struct {
	// Setting is the rule's place in the configuration: username_attribute,
	// roles[0].
	Setting string
	// Expr is the rule as written; for groups the list of them.
	Expr string
	// Names are the attributes that the rule mentions.
	Names []string
	// Value is what it gave: text, or "true" and "false" for conditions.
	Value string
	// Fault says why it could not be computed; Value means nothing then.
	Fault string
	// Gives is what follows for a rule about logins, roles, teams or channels: the login
	// service, the role or the places if the rule is for the person, "" if it is not.
	Gives string
}

// Trace evaluates every rule on a Record, in the order of the configuration, and
// hides nothing that fails. Rules about logins end with the first that is for the
// person, as they do in Identity.
func (m *Mapper) Trace(rec Record) []Step {
	var out []Step
	text := func(p *program) Step {
		s := Step{Setting: p.key, Expr: p.at.Source, Names: p.names}
		v, err := p.evalText(m.source, &rec)
		if s.Value = v; err != nil {
			s.Value, s.Fault = "", p.fail(err).Error()
		}
		return s
	}
	truth := func(p *program) Step {
		s := Step{Setting: p.key, Expr: p.at.Source, Names: p.names, Value: "false"}
		v, err := p.evalTruth(m.source, &rec)
		if err != nil {
			s.Value, s.Fault = "", p.fail(err).Error()
		} else if v {
			s.Value = "true"
		}
		return s
	}
	out = append(out, text(m.id))
	if m.disabledWhen != nil {
		out = append(out, truth(m.disabledWhen))
	}
	for _, f := range m.fields {
		out = append(out, text(f.prog))
	}
	if m.manager != nil {
		out = append(out, text(m.manager))
	}
	for _, l := range m.auth {
		holds := true
		if l.when != nil {
			s := truth(l.when)
			holds = s.Value == "true"
			out = append(out, s)
			if s.Fault != "" {
				break // nor does Identity pass over it
			}
		}
		if holds {
			s := text(l.data)
			s.Gives = l.service
			out = append(out, s)
			break
		}
	}
	for _, r := range m.roles {
		out = append(out, r.trace(&rec, truth, "role "+r.name, r.name)...)
	}
	for _, r := range m.spaces {
		var gives []string
		for _, x := range r.gives {
			gives = append(gives, x.Space)
		}
		out = append(out, r.trace(&rec, truth, r.name, strings.Join(gives, ", "))...)
	}
	return out
}

// trace says of a rule about roles, teams or channels whether the person is in one of
// its groups, and whether its condition holds. The last step says what it gives.
func (w whom) trace(rec *Record, truth func(*program) Step, name, gives string) []Step {
	var out []Step
	holds := true
	if len(w.groups) > 0 {
		s := Step{Setting: "groups", Expr: strings.Join(w.names, " | "), Value: "false"}
		switch {
		case rec.GroupsFault != "":
			s.Value, s.Fault = "", rec.GroupsFault
		case slices.ContainsFunc(rec.Groups, func(g string) bool { return w.groups[DNKey(g)] }):
			s.Value = "true"
		}
		holds = s.Value == "true"
		out = append(out, s)
	}
	if w.when != nil {
		s := truth(w.when)
		holds = holds && s.Value == "true"
		out = append(out, s)
	}
	last := &out[len(out)-1]
	if holds {
		last.Gives = gives
	}
	for i := range out {
		if out[i].Setting == "groups" {
			out[i].Setting = name
		}
	}
	return out
}
