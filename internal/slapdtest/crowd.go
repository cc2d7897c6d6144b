package slapdtest

import (
	"fmt"
	"strings"
)

// CrowdGroups is how many groups Crowd makes for so many people.
func CrowdGroups(people int) int { return max(people/20, 20) }

// Crowd gives the LDIF of n people, u0 and so on with the given entryUUIDs, and of a
// twentieth as many groups, g0 and so on: ten of them have every fifth of the people,
// the others 20 of them each. Of every ten groups the first holds the others, and the
// last of them the first. CrowdAdmins has u7 alone.
func Crowd(n int, entryUUID func(int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "dn: uid=u%d,%s\nobjectClass: inetOrgPerson\nentryUUID: %s\nuid: u%d\ncn: u%d\ngivenName: Given\nsn: Name%d\nmail: u%d@example.test\nemployeeType: staff\n\n",
			i, PeopleDN, entryUUID(i), i, i, i, i)
	}
	groups := CrowdGroups(n)
	group := func(g int) string { return GroupDN(fmt.Sprintf("g%d", g)) }
	for g := range groups {
		members, step := 20, 31
		if g < 10 {
			members, step = n/5, 1
		}
		fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\ncn: g%d\n", group(g), g)
		for m := range members {
			fmt.Fprintf(&b, "member: uid=u%d,%s\n", (g*977+m*step)%n, PeopleDN)
		}
		switch g % 10 {
		case 0:
			for in := g + 1; in < min(g+10, groups); in++ {
				fmt.Fprintf(&b, "member: %s\n", group(in))
			}
		case 9:
			fmt.Fprintf(&b, "member: %s\n", group(g-9))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\ncn: chat-admins\nmember: uid=u7,%s\n", CrowdAdmins, PeopleDN)
	return b.String()
}

// CrowdAdmins is the group of Crowd with one person in it.
const CrowdAdmins = "cn=chat-admins," + GroupsDN
