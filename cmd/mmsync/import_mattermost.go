package main

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mattermostConfig is what is read of Mattermost's config.json (model.Config).
type mattermostConfig struct {
	Service struct{ SiteURL string } `json:"ServiceSettings"`
	LDAP    *ldapSettings            `json:"LdapSettings"`
	SAML    struct {
		Enable, EnableSyncWithLdap, EnableSyncWithLdapIncludeAuth bool
		IDAttribute                                               string
	} `json:"SamlSettings"`
}

// ldapSettings are Mattermost's LdapSettings (model.LdapSettings), whose spelling Id
// encoding/json matches with ours.
type ldapSettings struct {
	Enable, EnableSync, EnableAdminFilter                                    bool
	LdapServer, ConnectionSecurity, BaseDN, BindUsername, BindPassword       string
	LdapPort, SyncIntervalMinutes, QueryTimeout, MaxPageSize                 int
	UserFilter, GroupFilter, GuestFilter, AdminFilter                        string
	GroupDisplayNameAttribute, GroupIDAttribute                              string
	FirstNameAttribute, LastNameAttribute, EmailAttribute, UsernameAttribute string
	NicknameAttribute, IDAttribute, PositionAttribute, LoginIDAttribute      string
	PictureAttribute, PublicCertificateFile, PrivateKeyFile                  string
	SkipCertificateVerification                                              bool
}

// conversion collects the lines of a configuration and what they leave out.
type conversion struct {
	b     strings.Builder
	notes []string
}

func (c *conversion) line(format string, args ...any) { fmt.Fprintf(&c.b, format+"\n", args...) }

// note says something in the file, indented as given, and again on the error output.
func (c *conversion) note(indent, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.notes = append(c.notes, text)
	for _, l := range wrap(text, 90) {
		c.line("%s# %s", indent, l)
	}
}

// convert gives the configuration and what could not be carried over.
func (m mattermostConfig) convert() (text string, notes []string, err error) {
	l := m.LDAP
	for _, need := range []struct{ name, value string }{
		{"LdapServer", l.LdapServer}, {"BaseDN", l.BaseDN}, {"IdAttribute", l.IDAttribute}, {"UsernameAttribute", l.UsernameAttribute}, {"EmailAttribute", l.EmailAttribute},
	} {
		if need.value == "" {
			err = errors.Join(err, fmt.Errorf("LdapSettings.%s is empty", need.name))
		}
	}
	if err != nil {
		return "", nil, err
	}
	c := &conversion{}
	c.line("# Made of Mattermost's own LDAP settings. Read it, then: mmsync check-config, mmsync doctor,")
	c.line("# mmsync plan. docs/from-mattermost-ldap-sync.md says what to do in which order.")
	c.line("version: 1")
	c.line("")
	m.target(c)
	c.line("state:")
	c.line("  url: ${MMSYNC_STATE_URL}   # such as sqlite:/var/lib/mmsync/state.db; or url_file")
	c.line("")
	c.line("sources:")
	c.line("  - name: ldap")
	c.line("    type: ldap")
	l.connection(c)
	l.people(c)
	l.groups(c)
	l.mapping(c)
	m.login(c)
	c.line("lifecycle:")
	c.note("  ", "Mattermost's sync makes no accounts: they come with the first login. With enabled: true mmsync makes them before it, for everybody whom user_filter matches.")
	c.line("  create: {enabled: false}")
	c.line("  # Mattermost 10.2 and later let only their own sync switch accounts with login service ldap")
	c.line("  # off. Once that sync is off, set delete_endpoint: true, or leavers are only signed out.")
	c.line("  deactivate: {delete_endpoint: false}")
	if every := l.SyncIntervalMinutes; every > 0 {
		c.line("")
		c.line("schedule:")
		c.line("  runs:")
		c.line("    - {name: regular, every: %dm}   # for mmsync serve", every)
	}
	return c.b.String(), c.notes, nil
}

func (m mattermostConfig) target(c *conversion) {
	c.line("mattermost:")
	site := m.Service.SiteURL
	if site == "" {
		c.note("  ", "ServiceSettings.SiteURL is empty: put the address of the server here.")
		site = "https://chat.example.com"
	}
	c.line("  url: %s", quoted(site))
	c.line("  token: ${MMSYNC_TOKEN}   # of a bot that is a system administrator; or token_file")
	c.line("")
}

// connection writes how the server is reached.
func (l *ldapSettings) connection(c *conversion) {
	scheme, usual := "ldap", 389
	switch strings.ToUpper(l.ConnectionSecurity) {
	case "TLS":
		scheme, usual = "ldaps", 636
	case "", "STARTTLS":
	default:
		c.note("    ", "ConnectionSecurity %q is unknown to mmsync.", l.ConnectionSecurity)
	}
	address := l.LdapServer
	if strings.Contains(address, ":") && net.ParseIP(address) != nil {
		address = "[" + address + "]"
	}
	if l.LdapPort != 0 && l.LdapPort != usual {
		address += ":" + strconv.Itoa(l.LdapPort)
	}
	c.line("    connection_url: %s", quoted(scheme+"://"+address))
	local := l.LdapServer == "localhost" || net.ParseIP(l.LdapServer).IsLoopback()
	switch {
	case strings.EqualFold(l.ConnectionSecurity, "STARTTLS"):
		c.line("    connection_security: starttls")
	case scheme == "ldap" && !local:
		c.note("    ", "Mattermost sends its password to the directory unencrypted. mmsync does that only with allow_cleartext: true; better is ldaps://, or connection_security: starttls.")
	}
	if l.SkipCertificateVerification {
		c.note("    ", "SkipCertificateVerification is true: Mattermost believes any certificate. mmsync does not: name the authority in ca_file.")
	}
	if scheme == "ldaps" || l.ConnectionSecurity != "" {
		c.line("    # ca_file: /etc/mmsync/ldap-ca.pem   # if the system does not trust its authority")
	}
	if l.PublicCertificateFile != "" || l.PrivateKeyFile != "" {
		c.note("    ", "Mattermost shows the directory a client certificate (%s, %s): copy both files to where mmsync can read them, and name them here.", l.PublicCertificateFile, l.PrivateKeyFile)
		c.line("    # certificate_file: /etc/mmsync/ldap-client.pem")
		c.line("    # private_key_file: /etc/mmsync/ldap-client-key.pem")
	}
	if l.BindUsername == "" {
		c.note("    ", "BindUsername is empty, so that Mattermost reads anonymously. mmsync does not: give it an account.")
	}
	c.line("    bind_username: %s", quoted(l.BindUsername))
	if l.BindPassword != "" {
		c.note("    ", "The bind password is not copied: give it in MMSYNC_BIND_PASSWORD, or in a file by bind_password_file.")
	}
	c.line("    bind_password: ${MMSYNC_BIND_PASSWORD}")
}

// people writes where they are and how they are read.
func (l *ldapSettings) people(c *conversion) {
	c.line("    base_dn: %s", quoted(l.BaseDN))
	filter := l.UserFilter
	switch {
	case filter == "":
		filter = "(&(" + l.UsernameAttribute + "=*)(" + l.EmailAttribute + "=*))"
		c.note("    ", "UserFilter is empty: this takes everybody who has a username and an e-mail.")
	case !strings.HasPrefix(filter, "("):
		filter = "(" + filter + ")"
	}
	c.line("    user_filter: %s", quoted(filter))
	if strings.Contains(strings.ReplaceAll(filter, " ", ""), "!(userAccountControl:1.2.840.113556.1.4.803:=2)") {
		c.note("    ", "user_filter leaves out people who are disabled, so that mmsync sees them as gone and waits lifecycle.deactivate.grace.out_of_scope. To tell the two apart, take that condition out and set disabled_when.")
	}
	if strings.EqualFold(l.IDAttribute, "objectGUID") {
		c.line("    # disabled_when: bit(attr.userAccountControl, 2)   # who is disabled is switched off at once")
	}
	switch {
	case l.MaxPageSize == 0:
		c.note("    ", "MaxPageSize is 0, so that Mattermost reads without pages and takes a list that the server cuts for whole. mmsync reads pages of 1000.")
	case l.MaxPageSize > 10_000:
		c.note("    ", "MaxPageSize %d is more than mmsync's largest, 10000.", l.MaxPageSize)
		c.line("    max_page_size: 10000")
	default:
		c.line("    max_page_size: %d", l.MaxPageSize)
	}
	if l.QueryTimeout > 0 {
		c.line("    query_timeout: %ds", l.QueryTimeout)
	}
}

// groups tells what mmsync does by group what Mattermost does by filter.
func (l *ldapSettings) groups(c *conversion) {
	if l.EnableAdminFilter && l.AdminFilter != "" {
		c.note("    ", "AdminFilter %s made system administrators. mmsync leaves the roles of all accounts as they are until the section roles names groups that give them.", l.AdminFilter)
	}
	if l.GuestFilter != "" {
		c.note("    ", "GuestFilter %s made guests. mmsync makes none, and leaves guests guests, until the section guests says who is to be one.", l.GuestFilter)
	}
	if l.GroupFilter != "" || l.GroupIDAttribute != "" && l.GroupDisplayNameAttribute != "" {
		c.note("    ", "Mattermost's groups of LDAP (GroupFilter, and teams and channels by them) are not carried over; memberships.rules puts people into teams and channels by groups, without a licence.")
	}
	if l.PictureAttribute != "" {
		c.note("    ", "PictureAttribute: Mattermost sets these pictures when people log in, and takes none from mmsync for accounts that log in by ldap. Once it does not any more, picture does it.")
		c.line("    # picture: {attribute: %s}", attribute(l.PictureAttribute))
	}
	c.line("")
}

func (l *ldapSettings) mapping(c *conversion) {
	c.line("mapping:")
	c.line("  defaults:")
	anchor := attribute(l.IDAttribute)
	if strings.EqualFold(l.IDAttribute, "objectGUID") {
		anchor += ".guid()"
	}
	c.line("    id_attribute: %s", expression(anchor))
	if l.LoginIDAttribute != "" {
		c.line("    login_id_attribute: %s", expression(attribute(l.LoginIDAttribute)))
	}
	c.line("    username_attribute: %s", expression("lower("+attribute(l.UsernameAttribute)+")"))
	c.line("    email_attribute: %s", expression("lower("+attribute(l.EmailAttribute)+")"))
	for _, f := range []struct{ key, name string }{
		{"first_name_attribute", l.FirstNameAttribute},
		{"last_name_attribute", l.LastNameAttribute},
		{"nickname_attribute", l.NicknameAttribute},
		{"position_attribute", l.PositionAttribute},
	} {
		if f.name != "" { // Mattermost leaves the field to people then
			c.line("    %s: %s", f.key, expression(attribute(f.name)))
		}
	}
	c.line("")
}

// login writes by which login data accounts are recognised: what Mattermost has stored.
func (m mattermostConfig) login(c *conversion) {
	l := m.LDAP
	data := attribute(l.IDAttribute)
	if strings.EqualFold(l.IDAttribute, "objectGUID") {
		data += ".mm_guid()" // stored as a backslash and two digits a byte
	}
	c.line("auth:")
	c.line("  policy:")
	if m.SAML.Enable && m.SAML.EnableSyncWithLdap {
		if m.SAML.IDAttribute == "" && !m.SAML.EnableSyncWithLdapIncludeAuth {
			data = "lower(" + attribute(l.EmailAttribute) + ")"
		}
		c.note("    ", "SAML takes its profiles from LDAP (EnableSyncWithLdap), so that accounts are looked for by login service saml. Those that log in by ldap are not recognised by this rule.")
		c.line("    - {source: ldap, service: saml, data: %s}", expression(data))
		c.line("")
		return
	}
	if !l.Enable {
		c.note("    ", "LdapSettings.Enable is false: nobody logs in by ldap at the moment.")
	}
	c.line("    - {source: ldap, service: ldap, data: %s}", expression(data))
	c.line("")
}

var plainAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// attribute gives the expression for a value; names with a hyphen need brackets.
func attribute(name string) string {
	if plainAttribute.MatchString(name) {
		return "attr." + name
	}
	return "attr[" + strconv.Quote(name) + "]"
}

var plainExpression = regexp.MustCompile(`^[A-Za-z0-9_.()]+$`)

func expression(s string) string {
	if plainExpression.MatchString(s) {
		return s
	}
	return quoted(s)
}

// quoted gives a value as YAML, in which ${ does not begin a variable.
func quoted(s string) string {
	s = strings.ReplaceAll(s, "${", "$${")
	if slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(s)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// wrap breaks a text at blanks into lines of about n characters, without control
// characters, so that nothing of it can end a comment.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(safe(text)) {
		if line != "" && len(line)+1+len(word) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
