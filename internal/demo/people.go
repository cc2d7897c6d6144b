// Package demo invents a company: people, groups and what happens to them, as
// LDIF that the file source reads. It serves `mmsync demo` and benchmarks.
//
// It starts nothing and knows nothing of Mattermost; nobody in it exists.
package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Person is one invented employee.
type Person struct {
	UUID       string // entryUUID
	UID        string
	GivenName  string
	Surname    string
	Mail       string
	Title      string
	Department string
	Admin      bool // in the group chat-admins
	Left       bool // employeeType: disabled
}

const base = "dc=meadow,dc=example"

// AdminGroup is the DN of the group whose members administer the chat.
const AdminGroup = "cn=chat-admins,ou=groups," + base

func departments() []string {
	return []string{
		"Accounting", "Catering", "Design", "Engineering", "Facilities", "Legal",
		"Logistics", "Marketing", "Research", "Sales", "Support",
	}
}

func titles() []string {
	return []string{"Specialist", "Engineer", "Coordinator", "Analyst", "Planner", "Assistant", "Consultant"}
}

func givenNames() []string {
	return []string{
		"Ada", "Bruno", "Carla", "Dario", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Katja", "Luis", "Mira",
		"Nils", "Olga", "Pavel", "Quirin", "Rosa", "Selma", "Timo", "Ursula", "Vera", "Wanda", "Xenia", "Yusuf", "Zoë", "Jürgen", "Åsa", "Chloé",
	}
}

func surnames() []string {
	return []string{
		"Albrecht", "Bianchi", "Castell", "Dvorak", "Eriksen", "Fontaine", "Greenfield", "Haddad", "Ivanova", "Jansen", "Kowalski",
		"Lindqvist", "Moreau", "Novak", "Okafor", "Petrov", "Quaas", "Rossi", "Schäfer", "Tanaka", "Ueda", "Varga", "Weiß", "Ximenez", "Yilmaz", "Zeller", "Brontë",
	}
}

// People invents n employees, always the same ones. The first two administer
// the chat.
func People(n int) []Person {
	out := make([]Person, 0, n)
	seen := map[string]int{}
	g, s, d, t := givenNames(), surnames(), departments(), titles()
	for i := range n {
		p := Person{GivenName: g[i%len(g)], Surname: s[(i*7+i/len(g))%len(s)], Department: d[i%len(d)], Title: t[(i/3)%len(t)], Admin: i < 2}
		p.UID = ascii(p.GivenName) + "." + ascii(p.Surname)
		seen[p.UID]++
		if k := seen[p.UID]; k > 1 {
			p.UID += fmt.Sprint(k)
		}
		p.Mail = p.UID + "@meadow.example"
		p.UUID = uuid(p.UID)
		out = append(out, p)
	}
	return out
}

// uuid derives an id from a name, so that the same people have the same ids in
// every run.
func uuid(name string) string {
	h := sha256.Sum256([]byte(name))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // version 8, RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func ascii(s string) string {
	r := strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "ë", "e", "å", "a")
	return r.Replace(strings.ToLower(s))
}

// Groups gives the DNs of a person's groups: everyone, the department, and
// chat-admins for those who administer.
func (p Person) Groups() []string {
	out := []string{"cn=everyone,ou=groups," + base, "cn=" + strings.ToLower(p.Department) + ",ou=groups," + base}
	if p.Admin {
		out = append(out, AdminGroup)
	}
	return out
}

// DN is where the person stands in the directory.
func (p Person) DN() string { return "uid=" + p.UID + ",ou=people," + base }

// LDIF writes the directory (RFC 2849).
func LDIF(people []Person) []byte {
	var b bytes.Buffer
	b.WriteString("version: 1\n\n")
	for _, p := range people {
		line(&b, "dn", p.DN())
		line(&b, "objectClass", "inetOrgPerson")
		line(&b, "entryUUID", p.UUID)
		line(&b, "uid", p.UID)
		line(&b, "givenName", p.GivenName)
		line(&b, "sn", p.Surname)
		line(&b, "cn", p.GivenName+" "+p.Surname)
		line(&b, "mail", p.Mail)
		line(&b, "title", p.Title)
		line(&b, "departmentNumber", p.Department)
		if p.Left {
			line(&b, "employeeType", "disabled")
		}
		for _, g := range p.Groups() {
			line(&b, "memberOf", g)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// line writes one attribute, in base64 where the value is not plain ASCII.
func line(b *bytes.Buffer, name, value string) {
	for _, r := range value {
		if r < 0x20 || r > 0x7e {
			fmt.Fprintf(b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
			return
		}
	}
	fmt.Fprintf(b, "%s: %s\n", name, value)
}
