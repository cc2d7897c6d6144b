package sources

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/mmsync/mmsync/internal/identity"
)

// Expr is the text of one expression and where it stands in the
// configuration, 1-based; Line or Col 0 is unknown.
type Expr struct {
	Source string
	// File is the configuration's name for faults that are found when nobody
	// knows the file any more, such as an attribute that the source does not have.
	File      string
	Line, Col int
	// Key is the setting's full name for messages; empty takes the plain one,
	// such as username_attribute.
	Key string
}

func (x Expr) empty() bool { return strings.TrimSpace(x.Source) == "" }

// Rules say how one source's entries become identities. An empty expression
// means that the source does not own the field; ID, Username and Email are
// required.
type Rules struct {
	ID, LoginID, Username, Email, FirstName, LastName, Nickname, Position, Locale Expr
	// MatchKey gives a value that stays the person's when he comes back under
	// another ID, such as an employee number.
	MatchKey Expr
	// DisabledWhen is true for a person who has left. It is evaluated first and
	// apart, so that no other fault of the entry withholds a leaver.
	DisabledWhen Expr
	// Auth are tried in order; whom none is for, the source says nothing about
	// the login of.
	Auth  []AuthRule
	Roles []RoleRule
	// SelfEditable are attributes people may change on themselves. None may
	// feed ID, MatchKey, a login rule, a role rule or what people are matched by.
	SelfEditable []Expr
	// Assumed says that SelfEditable was not written, but is what is usual.
	Assumed bool
	// MatchedBy are the fields by which people are matched to accounts that exist.
	MatchedBy []identity.Attribute
}

// AuthRule says by which service people log in, and what it knows them by.
type AuthRule struct {
	Service string // ldap, saml, openid and so on
	When    Expr   // boolean; empty means everybody
	Data    Expr
}

// RoleRule grants a system role. With both Groups and When given, both must hold.
type RoleRule struct {
	Role   string
	Groups []string // stable ids or DNs, never display names; one suffices
	When   Expr     // boolean
}

// CompileOptions are what an expression may depend on beyond its entry.
type CompileOptions struct {
	// Now is the clock of timePast and fileTimePast; nil is time.Now.
	Now func() time.Time
	// Pilot are the groups (stable ids or DNs) whose people are marked as such.
	Pilot []string
}

// Mapper maps Records of one source. It is safe for use by many goroutines.
type Mapper struct {
	source       string
	engine       *engine
	id, loginID  *program
	matchKey     *program
	fields       []field
	disabledWhen *program
	auth         []login
	pilot        []string
	roles        []role
	groupNames   []string // as written in role rules
	owned        identity.Attributes
	programs     []*program // all of them, in the order of Rules
}

type field struct {
	attribute identity.Attribute
	prog      *program
}

type login struct {
	service    string
	when, data *program
}

type role struct {
	name   string
	names  []string        // its groups as written
	groups map[string]bool // by DNKey
	when   *program
}

// Compile checks the rules of a source and makes its Mapper. All faults are
// given at once, as errors.Join of *ExprError.
func Compile(source string, r Rules, o CompileOptions) (*Mapper, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	eng, err := newEngine(source, o.Now)
	if err != nil {
		return nil, err
	}
	c := &compiler{Mapper: &Mapper{source: source, engine: eng, pilot: o.Pilot}}
	c.id = c.need("id_attribute", r.ID)
	c.loginID = c.add("login_id_attribute", r.LoginID, cel.StringType)
	for _, f := range []struct {
		attribute identity.Attribute
		key       string
		expr      Expr
		required  bool
	}{
		{identity.Username, "username_attribute", r.Username, true},
		{identity.Email, "email_attribute", r.Email, true},
		{identity.FirstName, "first_name_attribute", r.FirstName, false},
		{identity.LastName, "last_name_attribute", r.LastName, false},
		{identity.Nickname, "nickname_attribute", r.Nickname, false},
		{identity.Position, "position_attribute", r.Position, false},
		{identity.Locale, "locale", r.Locale, false},
	} {
		p := c.add(f.key, f.expr, cel.StringType)
		if p == nil && f.required {
			p = c.need(f.key, f.expr)
		}
		if p != nil {
			c.fields = append(c.fields, field{f.attribute, p})
			c.owned = c.owned.With(f.attribute)
		}
	}
	c.matchKey = c.add("match_key", r.MatchKey, cel.StringType)
	if c.disabledWhen = c.add("disabled_when", r.DisabledWhen, cel.BoolType); c.disabledWhen != nil {
		c.errs = append(c.errs, c.disabledWhen.refuseLockout()...)
	}
	for i, rule := range r.Auth {
		c.login(fmt.Sprintf("auth[%d]", i), rule)
	}
	for i, rule := range r.Roles {
		c.role(fmt.Sprintf("roles[%d]", i), rule)
	}
	c.selfEditable(r)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.Mapper, nil
}

// compiler gathers the faults while a Mapper is put together.
type compiler struct {
	*Mapper
	errs []error
}

func (c *compiler) fault(key string, at Expr, msg, hint string) {
	if at.Key != "" {
		key = at.Key
	}
	c.errs = append(c.errs, &ExprError{Key: key, File: at.File, Line: at.Line, Col: at.Col, Msg: msg, Hint: hint})
}

func (c *compiler) add(key string, x Expr, want *cel.Type) *program {
	if x.empty() {
		return nil
	}
	p, errs := c.engine.compile(key, x, want)
	c.errs = append(c.errs, errs...)
	c.programs = append(c.programs, p)
	return p
}

func (c *compiler) need(key string, x Expr) *program {
	if x.empty() {
		c.fault(key, x, "is missing", "name the attribute that holds it, as in attr.uid")
		return nil
	}
	return c.add(key, x, cel.StringType)
}

func (c *compiler) login(key string, rule AuthRule) {
	if rule.Service == "" {
		c.fault(key+".service", rule.Data, "is missing", "name the login service, such as saml")
	}
	if rule.Data.empty() {
		c.fault(key+".data", rule.Data, "is missing", "name the attribute by which "+rule.Service+" knows the person")
	}
	c.auth = append(c.auth, login{
		service: rule.Service,
		when:    c.add(key+".when", rule.When, cel.BoolType),
		data:    c.add(key+".data", rule.Data, cel.StringType),
	})
}

func (c *compiler) role(key string, rule RoleRule) {
	out := role{name: rule.Role, groups: map[string]bool{}}
	if rule.Role == "" {
		c.fault(key+".role", rule.When, "is missing", "name a system role, such as system_admin")
	}
	if len(rule.Groups) == 0 && rule.When.empty() {
		c.fault(key, rule.When, "has neither groups nor when", "say who gets "+rule.Role)
	}
	for _, g := range rule.Groups {
		if strings.TrimSpace(g) == "" {
			c.fault(key+".groups", rule.When, "has an empty name", "give the DN or stable id of a group")
			continue
		}
		out.groups[DNKey(g)], out.names = true, append(out.names, g)
		c.groupNames = append(c.groupNames, g)
	}
	out.when = c.add(key+".when", rule.When, cel.BoolType)
	c.roles = append(c.roles, out)
}

// selfEditable refuses rules by which people could choose who they are or what
// they may do.
func (c *compiler) selfEditable(r Rules) {
	for _, x := range r.SelfEditable {
		name := strings.TrimSpace(x.Source)
		for _, root := range []string{rootAttr, rootAttrs, rootRow} {
			name = strings.TrimPrefix(name, root+".")
		}
		why, hint := "which people may change on themselves (self_editable)", "use an attribute that only administrators can write"
		if r.Assumed {
			why = "which many directories let people change on themselves"
			hint += "; if yours lets nobody, write self_editable with what people may change there, [] if nothing"
		}
		memberOf := strings.EqualFold(name, "memberOf")
		check := func(p *program, what string) {
			if p == nil {
				return
			}
			if slices.ContainsFunc(p.names, func(n string) bool { return strings.EqualFold(n, name) }) || memberOf && p.groups {
				c.errs = append(c.errs, p.errorAt(1, 1, what+" comes from "+Printable(name)+", "+why, hint))
			}
		}
		check(c.id, "the anchor")
		check(c.matchKey, "the match key")
		for _, l := range c.auth {
			check(l.when, "the choice of the login")
			check(l.data, "the login identity")
		}
		for _, f := range c.fields {
			if slices.Contains(r.MatchedBy, f.attribute) {
				check(f.prog, "the "+string(f.attribute)+", by which people are matched to accounts,")
			}
		}
		for _, role := range c.roles {
			check(role.when, "the role "+role.name)
			if len(role.groups) > 0 && memberOf {
				c.fault("self_editable", x, "the role "+role.name+" comes from groups, and people may change memberOf on themselves",
					"use groups that only administrators can write")
			}
		}
	}
}
