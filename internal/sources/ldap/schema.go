package ldap

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// rootInfo is what the server says about itself.
type rootInfo struct {
	contexts  []string
	subschema string
	paging    bool // announced
	known     bool // the root entry was readable
	kind      kind
	controls  map[string]bool // announced
	// host, service, usn and clock are Active Directory's dnsHostName, dsServiceName,
	// highestCommittedUSN and currentTime; invocation is read with a mark.
	host, service, invocation, clock string
	usn                              uint64
	defaultContext                   string // of Active Directory: its own domain
	domainScope                      bool   // can be told to give no referrals
	catalog                          bool   // of Active Directory: it is asked as a global catalog
}

const (
	// capabilityAD is LDAP_CAP_ACTIVE_DIRECTORY_OID (MS-ADTS 3.1.1.3.4.3.1).
	capabilityAD = "1.2.840.113556.1.4.800"
	// controlDomainScope is LDAP_SERVER_DOMAIN_SCOPE_OID (MS-ADTS 3.1.1.3.4.1.4).
	controlDomainScope = "1.2.840.113556.1.4.1339"
)

// root reads what the server says of itself, once.
func (s *session) root() (rootInfo, error) {
	if s.info == nil {
		r, err := s.readRoot()
		if err != nil {
			return r, err
		}
		s.info = &r
	}
	return *s.info, nil
}

// scope are the controls that keep a search from being sent elsewhere. A referral is
// never followed: that would take the password to a server nobody named.
func (s *session) scope() []ldap.Control {
	if s.info == nil || !s.info.domainScope {
		return nil
	}
	return []ldap.Control{ldap.NewControlString(controlDomainScope, true, "")}
}

func (s *session) readRoot() (rootInfo, error) {
	e, err := s.entry("", "(objectClass=*)", "namingContexts", "subschemaSubentry", "supportedControl", "supportedCapabilities", "defaultNamingContext",
		"objectClass", "vendorName", "vendorVersion", "dnsHostName", "dsServiceName", "highestCommittedUSN", "currentTime")
	if err != nil {
		var refused *ldap.Error
		if errors.As(err, &refused) && refused.ResultCode < 200 {
			return rootInfo{}, nil // a server may hide it
		}
		return rootInfo{}, err
	}
	if e == nil {
		return rootInfo{}, nil
	}
	rec, err := s.plain(e)
	if err != nil {
		return rootInfo{}, err
	}
	r := rootInfo{
		known: true, contexts: rec.Values("namingContexts"), subschema: rec.Value("subschemaSubentry"), kind: kindOf(rec), controls: map[string]bool{},
		host: rec.Value("dnsHostName"), service: rec.Value("dsServiceName"), clock: rec.Value("currentTime"),
	}
	r.usn, _ = strconv.ParseUint(rec.Value("highestCommittedUSN"), 10, 64) // zero is none
	for _, oid := range rec.Values("supportedControl") {
		r.controls[oid] = true
	}
	r.paging, r.catalog = r.controls[ldap.ControlTypePaging], s.catalog && r.kind == kindAD
	r.domainScope, r.defaultContext = r.controls[controlDomainScope], rec.Value("defaultNamingContext")
	return r, nil
}

// directory names what is read: the naming context that holds the base. It is
// the same on every replica.
func (r rootInfo) directory(base string) string { return "ldap:" + sources.DNKey(r.context(base)) }

// context gives the naming context that holds an entry, or the entry if none does.
func (r rootInfo) context(base string) string {
	best, key := base, sources.DNKey(base)
	found := false
	for _, c := range r.contexts {
		k := sources.DNKey(c)
		if (key == k || strings.HasSuffix(key, ","+k)) && (!found || len(k) > len(sources.DNKey(best))) {
			best, found = c, true
		}
	}
	return best
}

// schema holds the attribute names and OIDs a server knows, folded, each with all that its
// type has; nil if the server does not say.
type schema map[string][]string

var (
	schemaOID    = regexp.MustCompile(`^\(\s*([0-9][0-9.]*)`)
	schemaNames  = regexp.MustCompile(`\bNAME\s+(?:'([^']*)'|\(\s*((?:'[^']*'\s*)+)\))`)
	schemaQuoted = regexp.MustCompile(`'([^']*)'`)
)

// schema reads the attribute types (RFC 4512 4.1.2 and 4.2). A filter on a name
// that is not among them succeeds and finds nothing.
func (s *session) schema(r rootInfo) (schema, []string, error) {
	known, names, err := s.readSchema(r)
	if err == nil && s.others != nil {
		s.others.learn(known)
	}
	return known, names, err
}

func (s *session) readSchema(r rootInfo) (schema, []string, error) {
	if r.subschema == "" {
		return nil, nil, nil
	}
	e, err := s.entry(r.subschema, "(objectClass=subschema)", "attributeTypes")
	if err == nil && e == nil {
		e, err = s.entry(r.subschema, "(objectClass=*)", "attributeTypes")
	}
	if err != nil {
		var refused *ldap.Error
		if errors.As(err, &refused) && refused.ResultCode < 200 {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	if e == nil {
		return nil, nil, nil
	}
	rec, err := s.plain(e)
	if err != nil {
		return nil, nil, err
	}
	types := rec.Values("attributeTypes")
	known, names := make(schema, 2*len(types)), make([]string, 0, len(types))
	for _, t := range types {
		list := namesOf(t)
		names = append(names, list...)
		if m := schemaOID.FindStringSubmatch(t); m != nil {
			list = append(list, m[1])
		}
		for _, n := range list {
			known[strings.ToLower(n)] = list
		}
	}
	if len(known) == 0 {
		return nil, nil, nil
	}
	return known, names, nil
}

// namesOf gives the names in the description of an attribute type (RFC 4512 4.1.2).
func namesOf(description string) []string {
	m := schemaNames.FindStringSubmatch(description)
	switch {
	case m == nil:
		return nil
	case m[1] != "":
		return []string{m[1]}
	}
	var list []string
	for _, q := range schemaQuoted.FindAllStringSubmatch(m[2], -1) {
		list = append(list, q[1])
	}
	return list
}

// has tells a known name; options such as ;lang-de do not count.
func (k schema) has(name string) bool {
	name, _, _ = strings.Cut(name, ";")
	return len(k[strings.ToLower(name)]) > 0
}

// checkSchema compares what the configuration mentions with what the server
// knows.
func (s *Source) checkSchema(known schema, names []string) error {
	var errs []error
	if err := s.o.Mapper.CheckNames(known.has, names...); err != nil {
		errs = append(errs, err)
	}
	unknown := func(setting string, list []string) {
		for _, n := range list {
			if !known.has(n) {
				errs = append(errs, fmt.Errorf("%s names the attribute %s, which the server does not know; the filter would succeed and find nobody", setting, sources.Printable(n)))
			}
		}
	}
	unknown("user_filter", s.filterNames)
	switch s.o.Groups.Mode {
	case GroupsMemberOf:
		unknown("membership_attribute", []string{s.o.Groups.MembershipAttribute})
	case GroupsSearch:
		if s.o.Groups.Nested == NestedInChain {
			break // memberOf alone, of which that rule is made
		}
		list, _ := filterAttributes(s.o.Groups.Filter) // New has compiled it
		unknown("group_filter", with(list, s.o.Groups.MembershipAttribute))
	}
	if len(errs) > 0 {
		return fmt.Errorf("source %s does not fit the directory: %w", s.o.Name, errors.Join(errs...))
	}
	return nil
}
