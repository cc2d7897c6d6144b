package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Effective gives the configuration as YAML with every default filled in and
// every variable replaced. Secrets read <secret>; the names of their files are
// shown. What was not written and has no default is left out.
func (c *Config) Effective() ([]byte, error) {
	return encode(reflect.ValueOf(*c))
}

// policy is what decides which changes are made, as opposed to how servers are
// reached and how much may be done at a time.
type policy struct {
	Sources   []sourcePolicy `yaml:"sources"`
	UserOwned []string       `yaml:"user_owned"`
	Reported  []string       `yaml:"reported"`
	Auth      Auth           `yaml:"auth"`
	Matching  []Match        `yaml:"matching"`
	Lifecycle Lifecycle      `yaml:"lifecycle"`
	Roles     []RoleRule     `yaml:"roles"`
	Guests    []GuestRule    `yaml:"guests"`
	Protect   Protect        `yaml:"protect"`
	Domains   []string       `yaml:"email_domains"`
	// Authority is nil if nothing is said about it, so that the digest of a
	// configuration without it is what it was.
	Authority *Authority `yaml:"authority"`
}

type sourcePolicy struct {
	Name           string     `yaml:"name"`
	Type           string     `yaml:"type"`
	BaseDN         string     `yaml:"base_dn"`
	UserFilter     Expr       `yaml:"user_filter"`
	Groups         *Groups    `yaml:"groups"`
	Path           string     `yaml:"path"`
	Format         string     `yaml:"format"`
	ValueSeparator string     `yaml:"value_separator"`
	DisabledWhen   Expr       `yaml:"disabled_when"`
	MatchKey       Expr       `yaml:"match_key"`
	Several        *several   `yaml:"several"`
	SelfEditable   []Expr     `yaml:"self_editable"`
	Mapping        Attributes `yaml:"mapping"`
	Picture        *Picture   `yaml:"picture"`

	UserAttributes   map[string]Expr `yaml:"user_attributes"`
	PersonAttributes map[string]Expr `yaml:"person_attributes"`
	Manager          Expr            `yaml:"manager"`
}

// several is what a source has to do with other sources' accounts; nil if nothing, so
// that the digest of a configuration without it is what it was.
type several struct {
	Contributes Contributes `yaml:"contributes"`
	HandsOverTo []string    `yaml:"hands_over_to"`
}

func severalOf(s *Source) *several {
	if s.Contributes == (Contributes{}) && len(s.HandsOverTo) == 0 {
		return nil
	}
	return &several{s.Contributes, s.HandsOverTo}
}

// Digest gives the SHA-256, in hex, of what decides which changes are made:
// whom the sources select, mapping, logins, matching, lifecycle, roles, guests,
// memberships and protection. Where a value stands in the file, how servers are reached, when
// they are looked at again and the limits of guards do not change it.
func (c *Config) Digest() (string, error) {
	p := policy{
		UserOwned: c.Mapping.UserOwned, Reported: c.Mapping.OnDrift.Reported(), Auth: c.Auth, Matching: c.Matching, Lifecycle: c.Lifecycle,
		Roles: slices.Clone(c.Roles), Guests: c.Guests, Protect: c.Guards.Protect, Domains: c.Guards.EmailDomains,
	}
	if a := c.Authority; len(a.Attributes())+len(a.Roles) > 0 {
		p.Authority = &a
	}
	p.Lifecycle.Deactivate.LookAgain = 0
	p.Lifecycle.PermanentDelete = PermanentDelete{} // no run goes by it
	for i := range p.Roles {                        // as what was there before this could be said
		if p.Roles[i].DemoteWhenLost == DemoteTrue {
			p.Roles[i].DemoteWhenLost = ""
		}
	}
	for _, s := range c.Sources {
		out := sourcePolicy{Name: s.Name, Type: s.Type, DisabledWhen: s.DisabledWhen, MatchKey: s.MatchKey, SelfEditable: s.SelfEditable, Mapping: s.Mapping, Several: severalOf(&s), Picture: s.Picture, UserAttributes: s.UserAttributes, PersonAttributes: s.PersonAttributes, Manager: s.Manager}
		if l := s.LDAP; l != nil {
			out.BaseDN, out.UserFilter, out.Groups = l.BaseDN, l.UserFilter, l.Groups
		}
		if f := s.File; f != nil {
			out.Path, out.Format, out.ValueSeparator = f.Path, f.Format, f.ValueSeparator
		}
		p.Sources = append(p.Sources, out)
	}
	data, err := encode(reflect.ValueOf(p))
	if err != nil {
		return "", err
	}
	if len(c.Memberships.Rules) > 0 { // a file without them stays what it was
		more, err := encode(reflect.ValueOf(struct {
			Memberships Memberships `yaml:"memberships"`
		}{c.Memberships}))
		if err != nil {
			return "", err
		}
		data = append(data, more...)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func encode(v reflect.Value) ([]byte, error) {
	data, err := yaml.Dump(node(v), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return data, nil
}

// node gives the YAML of a value, nil for one that is not set.
func node(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case Expr:
		if x.Line == 0 && x.Text == "" {
			return nil
		}
		return scalarNode("!!str", x.Text)
	case time.Duration:
		return scalarNode("!!str", formatDuration(x))
	case Size:
		return scalarNode("!!str", x.String())
	case PermanentDelete:
		if x == (PermanentDelete{}) { // left out
			return nil
		}
	case Adopt:
		if x == AdoptTrue {
			return scalarNode("!!bool", string(x))
		}
	case DemoteWhenLost:
		if x == DemoteTrue || x == DemoteFalse {
			return scalarNode("!!bool", string(x))
		}
	case Source:
		targets := []reflect.Value{v}
		for _, p := range []reflect.Value{reflect.ValueOf(x.LDAP), reflect.ValueOf(x.File), reflect.ValueOf(x.SCIM)} {
			if !p.IsNil() {
				targets = append(targets, p.Elem())
			}
		}
		return sectionNode(targets...)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return node(v.Elem())
	case reflect.Struct:
		return sectionNode(v)
	case reflect.Slice:
		return listNode(v)
	case reflect.Map:
		out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), byString) {
			add(out, k.String(), node(v.MapIndex(k)))
		}
		return nonEmpty(out)
	case reflect.Bool:
		return scalarNode("!!bool", strconv.FormatBool(v.Bool()))
	case reflect.Int:
		return scalarNode("!!int", strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		return scalarNode("!!float", strconv.FormatFloat(v.Float(), 'f', -1, 64))
	}
	if v.String() == "" {
		return nil
	}
	return scalarNode("!!str", v.String())
}

func sectionNode(targets ...reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(targets...) {
		secret, ok := reflect.TypeAssert[Secret](f.value)
		switch {
		case !ok:
			add(out, f.key, node(f.value))
		case secret.File() != "":
			add(out, f.key+"_file", scalarNode("!!str", secret.File()))
		case secret.IsSet():
			add(out, f.key, scalarNode("!!str", secret.String()))
		}
	}
	return nonEmpty(out)
}

// listNode keeps the difference between a list that was not written and one
// that was written empty.
func listNode(v reflect.Value) *yaml.Node {
	if v.IsNil() {
		return nil
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range v.Len() {
		item := node(v.Index(i))
		if item == nil {
			item = scalarNode("!!str", "")
		}
		out.Content = append(out.Content, item)
	}
	return out
}

func scalarNode(tag, value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
	if value == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func add(section *yaml.Node, key string, value *yaml.Node) {
	if value != nil {
		section.Content = append(section.Content, scalarNode("!!str", key), value)
	}
}

func nonEmpty(section *yaml.Node) *yaml.Node {
	if len(section.Content) == 0 {
		return nil
	}
	return section
}

func byString(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }
