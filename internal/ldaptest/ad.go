package ldaptest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	never       = "9223372036854775807"
	configDN    = "CN=Configuration,DC=ad,DC=test"
	schemaDN    = "CN=Schema," + configDN
	serversDN   = "CN=Servers,CN=Default-First-Site-Name,CN=Sites," + configDN
	policyDN    = "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services," + configDN
	deletedDN   = "CN=Deleted Objects,DC=ad,DC=test"
	domainUsers = 513
	// builtinUsers is S-1-5-32-545, of which Domain Users is a member.
	builtinUsers = "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x21\x02\x00\x00"
)

// How userAccountControl and its computed sibling say it (MS-ADTS 2.2.16).
const (
	uacDisabled        = 0x2
	uacLockout         = 0x10
	uacNormal          = 0x200
	uacNeverExpires    = 0x10000
	uacPasswordExpired = 0x800000
)

// lockoutDuration is the default of a domain's policy.
const lockoutDuration = 30 * time.Minute

// foundationAD gives a domain with the accounts that every domain has, and its
// configuration.
func (d *directory) foundationAD() []Entry {
	d.contexts = []string{dnKey(configDN), dnKey(d.base)}
	class := func(dn, class string) Entry { return Entry{dn, map[string][]string{"objectClass": {class}}} }
	account := func(dn, class, name, control string) Entry {
		return Entry{dn, map[string][]string{"objectClass": {class}, "sAMAccountName": {name}, "userAccountControl": {control}}}
	}
	out := []Entry{
		class(d.base, "domainDNS"),
		class("CN=Users,"+d.base, "container"),
		{deletedDN, map[string][]string{"objectClass": {"container"}, "isDeleted": {"TRUE"}}},
		{"CN=Domain Users,CN=Users," + d.base, map[string][]string{"objectClass": {"group"}, "sAMAccountName": {"Domain Users"}}},
		account("CN=Administrator,CN=Users,"+d.base, "user", "Administrator", "512"),
		account("CN=Guest,CN=Users,"+d.base, "user", "Guest", "66082"),
		account("CN=krbtgt,CN=Users,"+d.base, "user", "krbtgt", "514"),
		class("OU=Domain Controllers,"+d.base, "organizationalUnit"),
		account("CN=DC1,OU=Domain Controllers,"+d.base, "computer", "DC1$", "532480"),
		class(configDN, "configuration"),
	}
	for _, dn := range []string{serversDN, policyDN} { // with all that is above them
		var path []Entry
		for up := dn; dnKey(up) != dnKey(configDN); _, up = splitDN(up) {
			if !slices.ContainsFunc(out, func(e Entry) bool { return e.DN == up }) {
				path = append(path, class(up, "container"))
			}
		}
		slices.Reverse(path)
		out = append(out, path...)
	}
	out[len(out)-1].Attributes["lDAPAdminLimits"] = []string{"MaxPageSize=1000", "MaxValRange=1500", "MaxQueryDuration=120", "MaxResultSetSize=262144"}
	return out
}

func settingsDN(index int) string {
	return fmt.Sprintf("CN=NTDS Settings,CN=DC%d,%s", index+1, serversDN)
}

// addServer makes the objects of a domain controller: who wants to know which one
// answers reads invocationId of the dsServiceName that the root entry tells.
func (d *directory) addServer(r *replica) error {
	dn := settingsDN(r.index)
	_, server := splitDN(dn)
	err := d.add(Entry{server, map[string][]string{"objectClass": {"server"}, "dNSHostName": {dnsName(r.index)}}})
	if err != nil {
		return err
	}
	return d.add(Entry{dn, map[string][]string{"objectClass": {"nTDSDSA"}, "invocationId": {r.invocation}}})
}

// complete gives a new entry of Active Directory what its server adds.
func (d *directory) complete(n *node, seq int64) {
	n.fill(seq)
	if n.is("user") || n.is("group") {
		_, value := splitRDN(first(splitDN(n.dn)))
		if len(n.stored("sAMAccountName")) == 0 {
			n.set("sAMAccountName", seq, value)
		}
		if n.rid = d.rid; value == "Domain Users" {
			n.rid = domainUsers
		} else {
			d.rid++
		}
	}
}

// fill gives an entry what follows from its class.
func (n *node) fill(seq int64) {
	fallback := func(name string, values ...string) {
		if len(n.stored(name)) == 0 {
			n.set(name, seq, values...)
		}
	}
	classes := n.stored("objectClass")
	last := classes[len(classes)-1]
	n.set("objectClass", seq, append(superclasses(last), last)...)
	fallback("instanceType", "4")
	category := strings.ToUpper(last[:1]) + last[1:]
	switch {
	case n.is("computer"):
		fallback("sAMAccountType", "805306369")
	case n.is("user"):
		category = "Person"
		fallback("sAMAccountType", "805306368")
		fallback("userAccountControl", "512")
	case n.is("group"):
		fallback("sAMAccountType", "268435456")
		fallback("groupType", "-2147483646")
	}
	fallback("objectCategory", "CN="+category+","+schemaDN)
	if n.is("user") {
		fallback("accountExpires", never)
		fallback("pwdLastSet", FileTime(n.createdAt))
		fallback("primaryGroupID", strconv.Itoa(domainUsers))
	}
}

// FileTime writes a time as accountExpires, pwdLastSet and lockoutTime hold it:
// units of 100 ns since 1601 (MS-DTYP 2.3.3).
func FileTime(t time.Time) string {
	return strconv.FormatInt((t.Unix()+11644473600)*10_000_000+int64(t.Nanosecond()/100), 10)
}

func fromFileTime(s string) (time.Time, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v == 0 || s == never {
		return time.Time{}, false
	}
	return time.Unix(v/10_000_000-11644473600, v%10_000_000*100), true
}

func (n *node) number(name string) int64 {
	v, err := strconv.ParseInt(strings.Join(n.stored(name), ""), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// computedControl is msDS-User-Account-Control-Computed (MS-ADTS 3.1.1.4.5.17): a
// lockout that is not over, and a password that has to be changed.
func (d *directory) computedControl(n *node) string {
	v := int64(0)
	if at, ok := fromFileTime(strings.Join(n.stored("lockoutTime"), "")); ok && d.now().Before(at.Add(lockoutDuration)) {
		v |= uacLockout
	}
	if n.number("pwdLastSet") == 0 && n.number("userAccountControl")&uacNeverExpires == 0 {
		v |= uacPasswordExpired
	}
	return strconv.FormatInt(v, 10)
}

// tokenGroups gives the SIDs of all groups an entry is in, by way of others too,
// and of its primary group (MS-ADTS 3.1.1.4.5.19).
func (d *directory) tokenGroups(n *node) []string {
	out := []string{domainSID(domainUsers), builtinUsers}
	if p := n.number("primaryGroupID"); p != 0 {
		out[0] = domainSID(uint32(p)) //nolint:gosec // a relative id has 32 bits
	}
	for _, g := range d.closure(n.key) {
		out = append(out, domainSID(g.rid))
	}
	return out
}

// closure gives all groups above an entry; a circle is walked once.
func (d *directory) closure(key string) []*node {
	var out []*node
	seen := map[*node]bool{}
	for queue := slices.Clone(d.groupsOf(key)); len(queue) > 0; queue = queue[1:] {
		g := queue[0]
		if seen[g] {
			continue
		}
		seen[g] = true
		out = append(out, g)
		queue = append(queue, d.groupsOf(g.key)...)
	}
	return out
}

// bury turns an entry into a tombstone (MS-ADTS 3.1.1.5.5): another name below
// Deleted Objects, no links, and without the recycle bin only what is needed to
// recognise it.
func (d *directory) bury(n *node) {
	seq := d.tick()
	rdn, parent := splitDN(n.dn)
	name, value := splitRDN(rdn)
	d.relink(n.key, "")
	delete(d.byKey, n.key)
	for key, a := range n.attrs {
		if linked(key) || !d.recycle && !kept(key) {
			n.attrs[key] = &attribute{a.name, nil, seq}
		}
	}
	mangled := value + "\nDEL:" + GUIDText(n.id)
	n.set(name, seq, mangled)
	n.set("isDeleted", seq, "TRUE")
	n.set("lastKnownParent", seq, parent)
	n.lastName = value
	if d.recycle {
		n.set("msDS-LastKnownRDN", seq, value)
	} else {
		n.set("isRecycled", seq, "TRUE")
	}
	n.dn = name + "=" + EscapeRDN(value) + `\0ADEL:` + GUIDText(n.id) + "," + deletedDN
	n.key = dnKey(n.dn)
	d.byKey[n.key] = n
	n.deleted, n.changed, n.renamed, n.changedAt = true, seq, seq, d.now()
	d.log = append(d.log, logged{seq: seq, n: n, gone: true})
}

// kept tells what a tombstone keeps without the recycle bin.
func kept(key string) bool {
	switch key {
	case "objectclass", "cn", "samaccountname", "useraccountcontrol", "instancetype", "grouptype":
		return true
	}
	return false
}

// revive undoes bury, but for links and what a tombstone was stripped of (MS-ADTS
// 3.1.1.5.3.7).
func (d *directory) revive(n *node) error {
	parent := strings.Join(n.stored("lastKnownParent"), "")
	value := n.lastName
	name, _ := splitRDN(first(splitDN(n.dn)))
	back := name + "=" + EscapeRDN(value) + "," + parent
	switch {
	case d.find(parent) == nil:
		return fmt.Errorf("%s has no entry above it", back)
	case d.find(back) != nil:
		return fmt.Errorf("%s is there again", back)
	}
	seq := d.tick()
	delete(d.byKey, n.key)
	for _, key := range []string{"isDeleted", "isRecycled", "msDS-LastKnownRDN"} {
		n.set(key, seq)
	}
	n.set(name, seq, value)
	n.dn, n.key = back, dnKey(back)
	n.deleted = false
	n.changed, n.renamed, n.changedAt = seq, seq, d.now()
	d.byKey[n.key] = n
	n.fill(seq)
	d.log = append(d.log, logged{seq: seq, n: n})
	return nil
}
