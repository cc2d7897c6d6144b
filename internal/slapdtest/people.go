package slapdtest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Person is one invented person of the directory.
type Person struct {
	UID, DN, EntryUUID string
	First, Last        string
	Mail, Title        string
	Department         string
	Disabled           bool     // employeeType: disabled
	Groups             []string // DNs
}

// Roster invents n people, always the same ones: ASCII logins, some names with
// umlauts, every 25th disabled, all in the group everyone, each in the group of
// a department, and the first two in chat-admins.
func Roster(n int) []Person {
	taken := map[string]int{}
	out := make([]Person, n)
	for i := range out {
		first, last := firstNames[i%len(firstNames)], lastNames[(i/len(firstNames)+i)%len(lastNames)]
		uid := ascii(first) + "." + ascii(last)
		if taken[uid]++; taken[uid] > 1 {
			uid += fmt.Sprint(taken[uid])
		}
		p := Person{
			UID: uid, DN: "uid=" + uid + "," + PeopleDN, EntryUUID: uuidOf(uid), First: first, Last: last,
			Mail: uid + "@example.test", Title: titles[i%len(titles)], Department: departments[i%len(departments)],
			Disabled: i%25 == 24, Groups: []string{GroupDN("everyone"), GroupDN(departments[i%len(departments)])},
		}
		if i < 2 {
			p.Groups = append(p.Groups, GroupDN("chat-admins"))
		}
		out[i] = p
	}
	return out
}

// GroupDN gives the DN of one of the tree's groups.
func GroupDN(cn string) string { return "cn=" + cn + "," + GroupsDN }

// People gives the LDIF of the whole tree with the first n of Roster, as a
// file source reads it too: it holds entryUUID and memberOf.
func People(n int) string { return Tree(Roster(n)) }

// Tree gives the LDIF of the base, the reader, the given people and their
// groups.
func Tree(people []Person) string {
	var b strings.Builder
	b.WriteString("dn: " + BaseDN + "\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n")
	b.WriteString("dn: " + PeopleDN + "\nobjectClass: organizationalUnit\nou: people\n\n")
	b.WriteString("dn: " + GroupsDN + "\nobjectClass: organizationalUnit\nou: groups\n\n")
	b.WriteString("dn: " + ReaderDN + "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: " + ReaderPassword + "\n")
	members := map[string][]string{}
	var groups []string
	for _, p := range people {
		b.WriteString("\n" + p.LDIF())
		for _, g := range p.Groups {
			if members[g] == nil {
				groups = append(groups, g)
			}
			members[g] = append(members[g], p.DN)
		}
	}
	slices.Sort(groups)
	for _, g := range groups {
		cn := strings.TrimPrefix(strings.TrimSuffix(g, ","+GroupsDN), "cn=")
		b.WriteString("\ndn: " + g + "\nobjectClass: groupOfNames\ncn: " + cn + "\n")
		for _, m := range members[g] {
			b.WriteString("member: " + m + "\n")
		}
	}
	return b.String()
}

// LDIF gives the person's entry.
func (p Person) LDIF() string {
	var b strings.Builder
	put := func(name, value string) {
		if strings.ContainsFunc(value, func(r rune) bool { return r > 126 }) {
			fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
			return
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	put("dn", p.DN)
	put("objectClass", "inetOrgPerson")
	put("entryUUID", p.EntryUUID)
	put("uid", p.UID)
	put("cn", p.First+" "+p.Last)
	put("givenName", p.First)
	put("sn", p.Last)
	put("mail", p.Mail)
	put("title", p.Title)
	put("departmentNumber", p.Department)
	kind := "staff"
	if p.Disabled {
		kind = "disabled"
	}
	put("employeeType", kind)
	for _, g := range p.Groups {
		put("memberOf", g)
	}
	return b.String()
}

// uuidOf makes a stable UUID from a name.
func uuidOf(name string) string {
	h := sha256.Sum256([]byte(name))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func ascii(s string) string {
	return strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "å", "a", "ø", "o", "ł", "l", "ñ", "n", "ó", "o", "á", "a", "ı", "i", "'", "").Replace(strings.ToLower(s))
}

var (
	firstNames = []string{
		"Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Henrik", "Ida", "Jörg", "Katrin", "Lukas", "Mia", "Niklas", "Olga", "Paul", "Renée",
		"Sören", "Tanja", "Ulf", "Vera", "Walter", "Xenia", "Yusuf", "Zoe", "Amir", "Bianca", "Carlos", "Dörte", "Elif", "Frank", "Gül", "Hannah",
	}
	lastNames = []string{
		"Schmidt", "Müller", "Weber", "Fischer", "Groß", "Okafor", "Sørensen", "Nowak", "Rossi", "Dubois", "Kowalski", "O'Brien", "Peña", "Lindqvist", "Åkesson",
		"Bauer", "Vogel", "Schäfer", "Klein", "Wójcik", "Haas", "König", "Meyer", "Brandt", "Yılmaz", "Costa", "Novák", "Petrov", "Singh", "Tanaka", "Nguyen",
	}
	titles      = []string{"Engineer", "Accountant", "Buyer", "Designer", "Team Lead", "Analyst", "Assistant"}
	departments = []string{"engineering", "finance", "sales", "design", "support"}
)
