package config

import "time"

// The values of Source.Type.
const (
	TypeLDAP = "ldap"
	TypeFile = "file"
	TypeSCIM = "scim"
)

// Source is one place identities are desired in. The keys of LDAP, File and SCIM
// stand beside name and type in the file; exactly the one that Type names is
// not nil.
type Source struct {
	// Name is unique and matches [a-z][a-z0-9-]{0,31}; links are kept under it.
	Name string `yaml:"name,required"`
	Type string `yaml:"type,required"`

	LDAP *LDAP       `yaml:"-"`
	File *File       `yaml:"-"`
	SCIM *SCIMSource `yaml:"-"`

	// DisabledWhen is the expression that tells a leaver; unset means that only
	// absence does.
	DisabledWhen Expr `yaml:"disabled_when"`
	// MatchKey is the expression of a value that stays a person's when the source
	// gives him another id; unset means that there is none.
	MatchKey Expr `yaml:"match_key"`
	// SelfEditable names the attributes people may change on themselves in the
	// source. None of them may decide who somebody is or what he may do. What is
	// not written is defaultSelfEditable for LDAP, defaultSelfEditableSCIM for SCIM,
	// and nothing for a file.
	SelfEditable []Expr `yaml:"self_editable"`

	// UserAttributes give values to custom profile attributes of Mattermost, by their
	// names there.
	UserAttributes map[string]Expr `yaml:"user_attributes"`
	// PersonAttributes give people to custom profile attributes of Mattermost, by their
	// names there: each by his id or his place in the same source.
	PersonAttributes map[string]Expr `yaml:"person_attributes"`
	// Manager is the expression that gives whom a person reports to, by his id or his place
	// in the same source; he is told when the person has left. Unset means that nobody is
	// known. Nothing of it is set in Mattermost.
	Manager Expr `yaml:"manager"`

	// Picture is nil if the section is not there: no picture is touched.
	Picture *Picture `yaml:"picture"`

	// Contributes says how people of this source meet accounts that others own.
	Contributes Contributes `yaml:"contributes"`
	// HandsOverTo names the sources to which people go whom this one lacks, if they
	// have them as well; the first that has counts.
	HandsOverTo []string `yaml:"hands_over_to"`

	// Mapping is mapping.defaults with this source's own lines laid over it; for
	// SCIM, where mapping.defaults does not count, defaultMappingSCIM with them.
	Mapping Attributes `yaml:"-"`
}

// ByMatchKey is a value of Contributes.Match; ByEmail and ByUsername are the others.
const ByMatchKey = "match_key"

// Contributes says how a source's people are recognised in accounts of other sources.
type Contributes struct {
	// Match is match_key, email or username; "" leaves it to mmsync link contribute.
	Match string `yaml:"match"`
	// Only means that the source never gets accounts of its own.
	Only bool `yaml:"only"`
}

// The values of LDAP.BindMethod.
const (
	BindSimple   = "simple"
	BindExternal = "external"
)

// LDAP is a directory. The names are those of Mattermost's LdapSettings.
type LDAP struct {
	// ConnectionURL lists ldap://, ldaps:// and ldapi:// addresses, tried in order, and
	// srv:// names that DNS lists servers under. Of several, two have to say that somebody is
	// missing or out of scope; one does where no other answers and Grace of that is not 0.
	ConnectionURL []string `yaml:"connection_url,required,single"`
	// ConnectionSecurity is "", tls or starttls. It is tls if every address is
	// ldaps://, whether written or not.
	ConnectionSecurity string `yaml:"connection_security"`
	CAFile             string `yaml:"ca_file"`
	// ServerName is the name the certificate must bear; "" means the address's.
	ServerName string `yaml:"server_name"`
	// CertificatePins are sha256/BASE64 of public keys, one of which must occur in the
	// chain of the server's certificate.
	CertificatePins []string `yaml:"certificate_pins"`
	// CertificateFile and PrivateKeyFile are the client's certificate, PEM; both or neither.
	CertificateFile string `yaml:"certificate_file"`
	PrivateKeyFile  string `yaml:"private_key_file"`
	// AllowCleartext lets ldap:// without starttls leave this machine.
	AllowCleartext bool `yaml:"allow_cleartext"`
	// BindMethod is BindSimple, which needs BindUsername and BindPassword, or BindExternal,
	// which has neither.
	BindMethod   string `yaml:"bind_method"`
	BindUsername string `yaml:"bind_username"`
	BindPassword Secret `yaml:"bind_password,file"`
	BaseDN       string `yaml:"base_dn,required"`
	// UserFilter is parenthesised and balanced; its grammar is not checked here.
	UserFilter  Expr `yaml:"user_filter,required"`
	MaxPageSize int  `yaml:"max_page_size"`
	// QueryTimeout bounds one search request, not a whole read.
	QueryTimeout time.Duration `yaml:"query_timeout"`
	// FullSyncPeriod is how often runs of schedules read everybody at least; in between
	// they ask for what changed. 0 reads everybody each time.
	FullSyncPeriod time.Duration `yaml:"full_sync_period"`
	// ServerWithoutPaging reads without RFC 2696 paging.
	ServerWithoutPaging bool `yaml:"server_without_paging"`
	// Canary is the DN of an entry every complete read must contain; "" for the bind
	// account's own, where it is a person whom the read must find.
	Canary string `yaml:"canary"`
	// Delta is how the directory is asked for what changed: DeltaAuto and its like.
	Delta string `yaml:"delta"`
	// References is ReferencesDoubt, or ReferencesIgnore where nobody of the source is in
	// those parts of the base for which the server refers to another one.
	References string `yaml:"references"`
	// Groups is nil if the section is not there; no group is read then.
	Groups *Groups `yaml:"groups"`
}

// The values of LDAP.Delta.
const (
	DeltaAuto      = "auto"
	DeltaOff       = "off"
	DeltaUSN       = "usn"
	DeltaDirSync   = "dirsync"
	DeltaTimestamp = "timestamp"
	DeltaSyncrepl  = "syncrepl"
)

// The values of LDAP.References.
const (
	ReferencesDoubt  = "doubt"
	ReferencesIgnore = "ignore"
)

// The values of Groups.MembershipAttribute that stand on the person.
const (
	MemberOf = "memberOf"
	NSRole   = "nsRole"
)

// The values of Groups.Nested.
const (
	NestedOff     = "off"
	NestedWalk    = "walk"
	NestedInChain = "in_chain"
)

// Groups says how an LDAP source tells who belongs to which group.
type Groups struct {
	// MembershipAttribute is memberOf or nsRole (on the person), or member,
	// uniqueMember, memberUid or memberURL (on the group).
	MembershipAttribute string `yaml:"membership_attribute"`
	// BaseDN is where groups are searched; required unless it is on the person.
	BaseDN      string `yaml:"base_dn"`
	GroupFilter Expr   `yaml:"group_filter"`
	// Nested is how members of a group within a group are found.
	Nested string `yaml:"nested"`
}

// The values of File.Format.
const (
	FormatLDIF  = "ldif"
	FormatCSV   = "csv"
	FormatJSONL = "jsonl"
)

// File is a file of people that is replaced as a whole.
type File struct {
	Path string `yaml:"path,required"`
	// Format is taken from the extension of Path if not written.
	Format string `yaml:"format"`
	// ValueSeparator splits a CSV cell into several values; "" means it is one.
	ValueSeparator string `yaml:"value_separator"`
}
