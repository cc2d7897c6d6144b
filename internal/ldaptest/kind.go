package ldaptest

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// Kind is the directory product a Server plays.
type Kind int

// The kinds. Plain is a server of no name that does what RFC 4511 to 4519, 2696
// and 4530 say and tells nothing of itself.
const (
	Plain Kind = iota
	OpenLDAP
	DS389
	ActiveDirectory
)

func (k Kind) String() string {
	switch k {
	case OpenLDAP:
		return "OpenLDAP"
	case DS389:
		return "389 Directory Server"
	case ActiveDirectory:
		return "Active Directory"
	case Plain:
	}
	return "plain"
}

// BaseDN is the naming context of every Server of the kind.
func (k Kind) BaseDN() string {
	if k == ActiveDirectory {
		return "DC=ad,DC=test"
	}
	return slapdtest.BaseDN
}

// PeopleDN holds the people of Options.People.
func (k Kind) PeopleDN() string {
	if k == ActiveDirectory {
		return "OU=Staff,DC=ad,DC=test"
	}
	return slapdtest.PeopleDN
}

// GroupsDN holds their groups.
func (k Kind) GroupsDN() string {
	if k == ActiveDirectory {
		return "OU=Groups,DC=ad,DC=test"
	}
	return slapdtest.GroupsDN
}

// ReaderDN is the account that reads; its password is Password.
func (k Kind) ReaderDN() string {
	if k == ActiveDirectory {
		return "CN=reader,CN=Users,DC=ad,DC=test"
	}
	return slapdtest.ReaderDN
}

// Password is the reader's.
const Password = slapdtest.ReaderPassword

// GroupDN names a group below GroupsDN: everyone, chat-admins, and engineering,
// finance, sales, design, support.
func (k Kind) GroupDN(cn string) string {
	if k == ActiveDirectory {
		return "CN=" + EscapeRDN(cn) + "," + k.GroupsDN()
	}
	return "cn=" + EscapeRDN(cn) + "," + k.GroupsDN()
}

// PersonDN names the person number i of Options.People, from 0. A test that needs
// many takes slapdtest.Roster and DN.
func (k Kind) PersonDN(i int) string { return k.DN(slapdtest.Roster(i + 1)[i]) }

// DN names a person of slapdtest.Roster.
func (k Kind) DN(p slapdtest.Person) string {
	if k == ActiveDirectory {
		return "CN=" + EscapeRDN(p.UID) + "," + k.PeopleDN()
	}
	return p.DN
}

// Anchor is the attribute that never changes for an entry.
func (k Kind) Anchor() string {
	switch k {
	case ActiveDirectory:
		return "objectGUID"
	case DS389:
		return "nsUniqueId"
	case Plain, OpenLDAP:
	}
	return "entryUUID"
}

// Tree gives the entries that hold n people and their groups.
func (k Kind) Tree(n int) []Entry {
	people := slapdtest.Roster(n)
	out := make([]Entry, 0, n+16)
	container := func(dn string) {
		out = append(out, Entry{dn, map[string][]string{"objectClass": {"organizationalUnit"}}})
	}
	container(k.PeopleDN())
	container(k.GroupsDN())
	members := map[string][]string{}
	groups := []string{"everyone", "chat-admins", "engineering", "finance", "sales", "design", "support"}
	for _, p := range people {
		out = append(out, k.Person(p))
		for _, dn := range p.Groups {
			_, cn := splitRDN(first(splitDN(dn)))
			members[cn] = append(members[cn], k.DN(p))
		}
	}
	for _, cn := range groups {
		if len(members[cn]) > 0 {
			out = append(out, k.Group(cn, members[cn]...))
		}
	}
	return out
}

func first(a, _ string) string { return a }

// Person gives the entry of a person of slapdtest.Roster, without groups.
func (k Kind) Person(p slapdtest.Person) Entry {
	common := map[string][]string{"givenName": {p.First}, "sn": {p.Last}, "mail": {p.Mail}, "title": {p.Title}}
	if k == ActiveDirectory {
		common["objectClass"] = []string{"user"}
		common["sAMAccountName"] = []string{p.UID}
		common["userPrincipalName"] = []string{p.UID + "@ad.test"}
		common["displayName"] = []string{p.First + " " + p.Last}
		common["department"] = []string{p.Department}
		common["userAccountControl"] = []string{"512"}
		if p.Disabled {
			common["userAccountControl"] = []string{"514"}
		}
		return Entry{k.DN(p), common}
	}
	common["objectClass"] = []string{"inetOrgPerson"}
	common["entryUUID"] = []string{p.EntryUUID}
	common["uid"] = []string{p.UID}
	common["cn"] = []string{p.First + " " + p.Last}
	common["departmentNumber"] = []string{p.Department}
	common["employeeType"] = []string{"staff"}
	if p.Disabled {
		common["employeeType"] = []string{"disabled"}
	}
	return Entry{p.DN, common}
}

// Group gives the entry of a group with members: of class group in Active
// Directory, else groupOfNames.
func (k Kind) Group(cn string, members ...string) Entry {
	class := "groupOfNames"
	if k == ActiveDirectory {
		class = "group"
	}
	return Entry{k.GroupDN(cn), map[string][]string{"objectClass": {class}, "cn": {cn}, "member": members}}
}

// vendor gives the values by which products are told apart.
func (k Kind) vendor() map[string][]string {
	switch k {
	case OpenLDAP:
		return map[string][]string{"structuralObjectClass": {"OpenLDAProotDSE"}, "configContext": {"cn=config"}}
	case DS389:
		return map[string][]string{"vendorName": {"389 Project"}, "vendorVersion": {"389-Directory/2.3.1 B2022.215.1842"}}
	case Plain, ActiveDirectory:
	}
	return nil
}

func domainSID(rid uint32) string {
	sub := []uint32{21, 1111111111, 2222222222, 3333333333}
	if rid != 0 {
		sub = append(sub, rid)
	}
	out := []byte{1, byte(len(sub)), 0, 0, 0, 0, 0, 5}
	for _, v := range sub {
		out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return string(out)
}

func dnsName(dc int) string { return fmt.Sprintf("dc%d.ad.test", dc+1) }
