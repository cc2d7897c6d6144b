// Package ldap reads people from an LDAP directory: OpenLDAP, Active
// Directory, 389 and their kin. A read ends either as a complete Snapshot, with
// proof that nothing was cut off, or as an incomplete one with the reason.
//
// Groups are trusted as far as they can be: one that cannot be read, or shows no
// member although its class must have one (groupOfNames), leaves all roles as
// they are. An empty group of another class, such as Active Directory's group or
// posixGroup, cannot be told from one whose members the bind account may not
// read, and neither can a missing memberOf; against those stands the guard of
// role removals (package guard), which withholds more than a few at once.
//
// It never writes to the directory, never follows a referral, never binds
// anonymously, and keeps no connection between reads. What an entry means is
// the business of package sources.
package ldap

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/authorities"
	"github.com/mmsync/mmsync/internal/sources"
)

// The values of Options.Security.
const (
	SecurityNone     = ""
	SecurityTLS      = "tls"
	SecurityStartTLS = "starttls"
)

// The values of GroupOptions.Mode.
const (
	GroupsOff      = ""
	GroupsMemberOf = "member_of" // an attribute of people, such as memberOf
	GroupsSearch   = "search"    // the member lists of groups
)

// Options describe one directory.
type Options struct {
	Name string // of the source; empty takes the Mapper's
	// URLs are tried in order until one accepts the bind; a read that has begun stays on
	// its server, and one that failed is tried after the others for some minutes.
	// ldap://host, ldaps://host, ldapi:///path/of/socket, or srv://domain for the servers
	// that DNS lists under _ldap._tcp.domain.
	URLs     []string
	Security string // SecurityNone with an ldaps:// URL means SecurityTLS
	CAFile   string // PEM, of authorities trusted besides the system's; it may be replaced at any time
	// ServerName is the name the certificate must bear; empty takes the URL's.
	ServerName string
	// CertificatePins are sha256/BASE64 of public keys (RFC 7469, 2.4), one of which must
	// occur in the chain of the server's certificate, beside the usual check of it.
	CertificatePins []string
	// CertificateFile and PrivateKeyFile are the client's certificate in PEM, its chain
	// behind it; both or neither. They are read for every connection.
	CertificateFile, PrivateKeyFile string
	// Resolver looks up names; nil is the system's.
	Resolver *net.Resolver
	// AllowCleartext permits a password in clear to a host that is not this one.
	AllowCleartext bool
	BindMethod     string // BindSimple or BindExternal
	BindDN         string // of BindSimple, and its password
	BindPassword   func() (string, error)
	BaseDN         string
	UserFilter     string
	PageSize       int           // entries a page; 0 is 1000
	Timeout        time.Duration // for connecting and for each request; 0 is 60 s
	// WithoutPaging declares that the server cannot page and never limits a
	// result. Without it a server that ignores paging proves no absence.
	WithoutPaging bool
	// Canary is the DN of an entry, or a filter that matches one, that must be
	// there; a directory without it proves no absence. If it names a person the
	// read must have found that person too. Empty takes the bind account's own entry, if
	// it is a person whom the read must find, and asks nothing of it otherwise.
	Canary string
	// MissingGrace and OutOfScopeGrace are how long somebody whom Confirm calls gone, or
	// out of scope, is left alone after that. With 0 the word of one server is not enough
	// where several are named.
	MissingGrace, OutOfScopeGrace time.Duration

	// References says what becomes of a read in whose answer the server refers to another
	// one for a part of the base: ReferencesDoubt or ReferencesIgnore; empty is
	// ReferencesDoubt.
	References string

	Groups GroupOptions
	// Delta is how changes are asked for: DeltaAuto and its like; empty is DeltaAuto.
	Delta  string
	Mapper *sources.Mapper
	Logger *slog.Logger // nil is silent
}

// GroupOptions say where a person's groups are read.
type GroupOptions struct {
	Mode string
	// BaseDN is where groups are searched; empty takes Options.BaseDN. With
	// GroupsMemberOf only NestedWalk searches them.
	BaseDN string
	// Filter finds the groups when an expression reads all of a person's groups, and
	// with NestedWalk; otherwise role rules need only the groups they name. Empty are
	// all that have the membership attribute, with GroupsMemberOf all of a group's class.
	Filter string
	// MembershipAttribute of GroupsSearch is member, uniqueMember, memberUid or
	// memberURL, empty is member; of GroupsMemberOf it is memberOf or nsRole, empty is
	// memberOf.
	MembershipAttribute string
	// Nested says whether who is in a group that is in another is in that one as well:
	// NestedOff, NestedWalk, or NestedInChain for the groups that role rules name.
	Nested string
}

// groupClasses are the groups whose own memberOf is read.
const groupClasses = "(|(objectClass=group)(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfURLs)(objectClass=posixGroup))"

// Source reads one directory. It is safe for use by many goroutines; each call
// has its own connection.
type Source struct {
	o           Options
	urls        []endpoint
	trusted     *authorities.File
	log         *slog.Logger
	filterNames []string // attributes of the user filter
	attributes  []string // to ask people for
	groupNames  []string // DNs that role rules name
	allGroups   bool
	pins        []pin
	own         *ownCertificate // nil without one
	unwell      failures
	reached     reached
	others      otherNames
}

// maxMessage bounds one message of the server, in bytes: the library's own
// bound of 2 GiB would let a broken server take all memory.
const maxMessage = 64 << 20

// The library's bound is a package variable read by its reader goroutines, so
// it is set before any of them can run.
func init() { ber.MaxPacketLengthBytes = maxMessage } //nolint:gochecknoinits // see above

// New checks the options without connecting.
func New(o Options) (*Source, error) {
	if o.Mapper == nil {
		return nil, errors.New("ldap source: no mapping given")
	}
	if o.Name == "" {
		o.Name = o.Mapper.Source()
	}
	if o.PageSize == 0 {
		o.PageSize = 1000
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Groups.BaseDN == "" {
		o.Groups.BaseDN = o.BaseDN
	}
	if o.Groups.MembershipAttribute == "" {
		if o.Groups.MembershipAttribute = "member"; o.Groups.Mode == GroupsMemberOf {
			o.Groups.MembershipAttribute = "memberOf"
		}
	}
	if o.Groups.Filter == "" {
		if o.Groups.Filter = "(" + o.Groups.MembershipAttribute + "=*)"; o.Groups.Mode == GroupsMemberOf {
			o.Groups.Filter = groupClasses
		}
	}
	s := &Source{o: o, log: o.Logger, trusted: authorities.In(o.CAFile)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.groupNames, s.allGroups = o.Mapper.GroupNames()
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("source %s: "+format, append([]any{o.Name}, args...)...))
	}
	if o.Name != o.Mapper.Source() {
		fault("the mapping was made for source %s", o.Mapper.Source())
	}
	s.checkURLs(fault)
	s.checkCertificates(fault)
	s.checkBind(fault)
	s.checkNames(fault)
	s.checkGroups(fault)
	if !slices.Contains([]string{"", DeltaAuto, DeltaOff, DeltaUSN, DeltaDirSync, DeltaTimestamp, DeltaSyncrepl}, o.Delta) {
		fault("delta %q is unknown; it is auto, off, usn, dirsync, timestamp or syncrepl", o.Delta)
	}
	if !slices.Contains([]string{"", ReferencesDoubt, ReferencesIgnore}, o.References) {
		fault("references %q is unknown; it is doubt or ignore", o.References)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s.attributes = o.Mapper.Attributes()
	s.others.mapped = s.attributes
	switch {
	case o.Groups.Mode == GroupsMemberOf:
		s.attributes = with(s.attributes, o.Groups.MembershipAttribute)
	case o.Groups.Mode == GroupsSearch && o.Groups.MembershipAttribute == "memberUid":
		s.attributes = with(s.attributes, "uid")
	}
	return s, nil
}

// Name gives the source's name.
func (s *Source) Name() string { return s.o.Name }

type faultFunc func(format string, args ...any)

func (s *Source) checkNames(fault faultFunc) {
	o := s.o
	if dn, err := ldap.ParseDN(o.BaseDN); err != nil || len(dn.RDNs) == 0 {
		fault("base_dn %q is not a DN, such as dc=example,dc=com", o.BaseDN)
	}
	if o.UserFilter == "" {
		fault("user_filter is missing; for example (objectClass=inetOrgPerson), or (&(objectCategory=person)(objectClass=user)) in Active Directory")
	} else if names, err := filterAttributes(o.UserFilter); err != nil {
		fault("user_filter %s: %w", sources.Printable(o.UserFilter), err)
	} else {
		s.filterNames = names
	}
	if strings.HasPrefix(o.Canary, "(") {
		if _, err := filterAttributes(o.Canary); err != nil {
			fault("canary %s: %w", sources.Printable(o.Canary), err)
		}
	} else if dn, err := ldap.ParseDN(o.Canary); err != nil || o.Canary != "" && len(dn.RDNs) == 0 {
		fault("canary %q is neither a DN nor a filter in brackets", o.Canary)
	}
	if o.PageSize < 1 || o.PageSize > 100_000 {
		fault("max_page_size %d is not between 1 and 100000", o.PageSize)
	}
}

func (s *Source) checkGroups(fault faultFunc) {
	g := s.o.Groups
	needed := len(s.groupNames) > 0 || s.allGroups
	switch g.Mode {
	case GroupsOff:
		if needed {
			fault("the mapping reads groups, but nothing says where they are; add groups with membership_attribute: memberOf, or member")
		}
	case GroupsMemberOf:
		if !slices.Contains([]string{"memberOf", "nsRole"}, g.MembershipAttribute) {
			fault("membership_attribute %q is not one of people; it is memberOf or nsRole", g.MembershipAttribute)
		}
	case GroupsSearch:
		if !slices.Contains([]string{"member", "uniqueMember", "memberUid", memberURL}, g.MembershipAttribute) {
			fault("membership_attribute %q is unknown; it is member, uniqueMember, memberUid or memberURL", g.MembershipAttribute)
		}
	default:
		fault("groups: the mode %q is unknown; it is empty, member_of or search", g.Mode)
	}
	if g.Mode != GroupsOff {
		if _, err := filterAttributes(g.Filter); err != nil {
			fault("group_filter %s: %w", sources.Printable(g.Filter), err)
		}
		if _, err := ldap.ParseDN(g.BaseDN); err != nil {
			fault("groups.base_dn %q is not a DN", g.BaseDN)
		}
		s.checkNested(fault)
	}
	for _, name := range s.groupNames {
		if dn, err := ldap.ParseDN(name); err != nil || len(dn.RDNs) == 0 {
			fault("the role rules name the group %q, which is not a DN; a display name can be given to any group", name)
		}
	}
}

func (s *Source) checkNested(fault faultFunc) {
	g := s.o.Groups
	switch {
	case g.Nested == NestedOff:
	case g.Nested != NestedWalk && g.Nested != NestedInChain:
		fault("groups.nested %q is unknown; it is off, walk or in_chain", g.Nested)
	case g.MembershipAttribute == "memberUid":
		fault("groups.nested does not go with memberUid, which names people and never groups; remove it")
	case g.MembershipAttribute == "nsRole":
		fault("groups.nested does not go with nsRole, which holds the roles within roles already; remove it")
	case g.Nested == NestedInChain && !slices.Contains([]string{"member", "memberOf"}, g.MembershipAttribute):
		fault("groups.nested: in_chain is a rule of Active Directory for member and memberOf, not %s; use walk", g.MembershipAttribute)
	case g.Nested == NestedInChain && s.allGroups:
		fault("groups.nested: in_chain tells who is in a group that a role rule names, but an expression reads all groups; use walk")
	}
}

// needsGroups tells whether the groups of people change what becomes of them.
func (s *Source) needsGroups() bool { return len(s.groupNames) > 0 || s.allGroups }

// with adds a name to a sorted list unless it is there in any case.
func with(names []string, name string) []string {
	if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return names
	}
	return append(slices.Clone(names), name)
}

// filterAttributes lists the attribute names of a filter (RFC 4515).
func filterAttributes(filter string) ([]string, error) {
	p, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, fmt.Errorf("not a filter: %w", err)
	}
	var names []string
	var walk func(*ber.Packet)
	walk = func(p *ber.Packet) {
		switch p.Tag {
		case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
			for _, c := range p.Children {
				walk(c)
			}
		case ldap.FilterPresent:
			names = with(names, p.Data.String())
		case ldap.FilterExtensibleMatch:
			for _, c := range p.Children {
				if c.Tag == ldap.MatchingRuleAssertionType {
					names = with(names, c.Data.String())
				}
			}
		default:
			if len(p.Children) > 0 {
				names = with(names, p.Children[0].Data.String())
			}
		}
	}
	walk(p)
	slices.Sort(names)
	return names, nil
}
