package ldaptest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// syntax says how values of an attribute are compared.
type syntax int

const (
	folded  syntax = iota // caseIgnoreMatch
	exact                 // caseExactMatch
	number                // integerMatch
	octets                // octetStringMatch
	named                 // distinguishedNameMatch
	instant               // generalizedTimeMatch
)

// syntaxOf is a small part of RFC 4519, 2307, and Active Directory's schema; what
// is not in it is text.
func syntaxOf(name string) syntax {
	switch strings.ToLower(name) {
	case "memberuid", "homedirectory", "loginshell", "memberurl":
		return exact
	case "useraccountcontrol", "usnchanged", "usncreated", "accountexpires", "pwdlastset", "lockouttime", "primarygroupid",
		"grouptype", "samaccounttype", "uidnumber", "gidnumber", "instancetype", "msds-user-account-control-computed":
		return number
	case "objectguid", "objectsid", "jpegphoto", "thumbnailphoto", "usercertificate", "invocationid", "tokengroups", "parentguid":
		return octets
	case "member", "memberof", "manager", "uniquemember", "owner", "seealso", "distinguishedname", "entrydn", "lastknownparent":
		return named
	case "modifytimestamp", "createtimestamp", "whenchanged", "whencreated", "pwdaccountlockedtime":
		return instant
	}
	return folded
}

// linked tells the attributes that name entries and follow them in Active
// Directory.
func linked(name string) bool {
	switch strings.ToLower(name) {
	case "member", "manager":
		return true
	}
	return false
}

// operational tells the attributes that are sent only if asked for by name or by +.
// Active Directory sends most of them with *, and constructed ones by name alone.
func (d *directory) operational(name string) bool {
	if d.kind == ActiveDirectory {
		switch strings.ToLower(name) {
		case "tokengroups", "msds-user-account-control-computed", "modifytimestamp", "createtimestamp", "parentguid", "canonicalname", "msds-lastknownrdn":
			return true
		}
		return false
	}
	switch strings.ToLower(name) {
	case "entryuuid", "entrycsn", "entrydn", "modifytimestamp", "createtimestamp", "structuralobjectclass", "memberof", "nsuniqueid",
		"nsaccountlock", "pwdaccountlockedtime", "hassubordinates", "entryid", "parentid":
		return true
	}
	return false
}

// commonAttributes are known to every kind, whether an entry has them or not.
func commonAttributes() []string {
	return []string{
		"objectClass", "cn", "sn", "givenName", "displayName", "uid", "mail", "title", "department", "departmentNumber", "employeeNumber", "employeeType",
		"telephoneNumber", "mobile", "preferredLanguage", "description", "ou", "o", "dc", "manager", "member", "memberOf", "uniqueMember", "memberUid",
		"memberURL", "owner", "seeAlso", "uidNumber", "gidNumber", "loginShell", "jpegPhoto", "modifyTimestamp", "createTimestamp",
	}
}

func (k Kind) attributes() []string {
	switch k {
	case ActiveDirectory:
		return []string{
			"objectGUID", "objectSid", "objectCategory", "sAMAccountName", "sAMAccountType", "userPrincipalName", "userAccountControl", "accountExpires",
			"pwdLastSet", "lockoutTime", "primaryGroupID", "groupType", "whenCreated", "whenChanged", "uSNCreated", "uSNChanged", "distinguishedName",
			"name", "instanceType", "isDeleted", "lastKnownParent", "msDS-LastKnownRDN", "isRecycled", "tokenGroups", "parentGUID",
			"msDS-User-Account-Control-Computed", "thumbnailPhoto", "proxyAddresses", "employeeID", "company", "invocationId", "lDAPAdminLimits",
		}
	case DS389:
		return []string{"nsUniqueId", "entryid", "parentid", "entryDN", "nsAccountLock", "nsRole", "nsRoleDN", "numSubordinates", "hasSubordinates"}
	case OpenLDAP:
		return []string{"entryUUID", "entryCSN", "entryDN", "structuralObjectClass", "hasSubordinates", "pwdAccountLockedTime"}
	case Plain:
	}
	return []string{"entryUUID", "entryDN"}
}

// knows tells whether the schema has an attribute: a filter on another one is
// undefined, and so is its negation (RFC 4511 4.5.1.7).
func (d *directory) knows(name string) bool { return d.known[strings.ToLower(name)] != "" }

func (d *directory) learn(names ...string) {
	for _, n := range names {
		if key := strings.ToLower(n); d.known[key] == "" {
			d.known[key] = n
		}
	}
}

// secondNames are the other names and the OIDs of attributes (RFC 4519, RFC 4524), by the
// first one, which OpenLDAP answers in whichever was asked for (seen with slapd 2.5).
// Active Directory has one name for each.
func secondNames() map[string][]string {
	return map[string][]string{
		"cn": {"commonName", "2.5.4.3"}, "sn": {"surname", "2.5.4.4"}, "givenName": {"gn", "2.5.4.42"},
		"uid": {"userid", "0.9.2342.19200300.100.1.1"}, "mail": {"rfc822Mailbox", "0.9.2342.19200300.100.1.3"},
	}
}

// firstName gives the name under which an attribute is kept.
func (k Kind) firstName(name string) string {
	if k != OpenLDAP {
		return name
	}
	for first, others := range secondNames() {
		if slices.ContainsFunc(others, func(o string) bool { return strings.EqualFold(o, name) }) {
			return first
		}
	}
	return name
}

// attributeTypes writes the schema (RFC 4512 4.1.2).
func (d *directory) attributeTypes() []string {
	rules := map[syntax]string{
		folded: "caseIgnoreMatch", exact: "caseExactMatch", number: "integerMatch", octets: "octetStringMatch",
		named: "distinguishedNameMatch", instant: "generalizedTimeMatch",
	}
	var out []string
	for i, key := range slices.Sorted(maps.Keys(d.known)) {
		oid, name := fmt.Sprintf("1.3.6.1.4.1.32473.1.%d", i+1), "'"+d.known[key]+"'"
		if others := secondNames()[d.known[key]]; d.kind == OpenLDAP && len(others) > 0 {
			oid, name = others[1], "( "+name+" '"+others[0]+"' )"
		}
		out = append(out, fmt.Sprintf("( %s NAME %s EQUALITY %s )", oid, name, rules[syntaxOf(key)]))
	}
	return out
}

// superclasses of those classes that have some (RFC 4519, 2798).
func superclasses(class string) []string {
	switch strings.ToLower(class) {
	case "inetorgperson":
		return []string{"organizationalPerson", "person", "top"}
	case "user":
		return []string{"top", "person", "organizationalPerson"}
	case "computer":
		return []string{"top", "person", "organizationalPerson", "user"}
	case "organizationalperson":
		return []string{"person", "top"}
	case "top":
		return nil
	}
	return []string{"top"}
}

// compare orders two values; ok is false if one is not of the syntax.
func (s syntax) compare(a, b string) (order int, ok bool) {
	switch s {
	case exact, octets:
		return strings.Compare(a, b), true
	case number:
		x, err1 := strconv.ParseInt(a, 10, 64)
		y, err2 := strconv.ParseInt(b, 10, 64)
		if err1 != nil || err2 != nil {
			return 0, false
		}
		return cmp.Compare(x, y), true
	case named:
		return strings.Compare(dnKey(a), dnKey(b)), true
	case instant:
		return strings.Compare(timeKey(a), timeKey(b)), true
	case folded:
	}
	squeeze := func(v string) string { return strings.ToLower(strings.Join(strings.Fields(v), " ")) }
	return strings.Compare(squeeze(a), squeeze(b)), true
}

// timeKey drops an empty fraction: 20260101000000.0Z is 20260101000000Z.
func timeKey(v string) string { return strings.TrimSuffix(strings.TrimSuffix(v, "Z"), ".0") }
