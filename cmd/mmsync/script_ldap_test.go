package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// directory is the LDAP server of a script.
type directory struct {
	real *slapdtest.Server
	fake *slapdtest.Fake
	ad   *ldaptest.Server
	n    int // people of Roster in the directory
}

// setLDAP tells the script how to reach its directory.
func setLDAP(ts *testscript.TestScript, url string) {
	ts.Setenv("LDAP_URL", url)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "ldap://"))
	ts.Setenv("LDAP_PORT", port)
	ts.Setenv("LDAP_BASE", slapdtest.BaseDN)
	ts.Setenv("LDAP_USER", slapdtest.ReaderDN)
	ts.Setenv("LDAP_PASSWORD", slapdtest.ReaderPassword)
	ts.Setenv("LDAP_CANARY", slapdtest.ReaderDN)
}

// cmdSlapd: slapd [-users N] [-total N] starts a real directory server with N
// people, of which a read gets at most -total, and sets LDAP_URL, LDAP_BASE,
// LDAP_USER and LDAP_PASSWORD. Where slapd is not installed the script is
// skipped, or fails if MMSYNC_TEST_REQUIRE names it.
func cmdSlapd(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("slapd", flag.ContinueOnError)
	users := f.Int("users", 10, "")
	total := f.Int("total", 0, "")
	if neg || f.Parse(args) != nil || f.NArg() > 0 {
		ts.Fatalf("usage: slapd [-users N] [-total N]")
	}
	w := here(ts)
	o := slapdtest.Options{Users: *users, PagedTotal: *total}
	if w.slapd.real != nil {
		w.slapd.real.Restart(o)
		return
	}
	w.slapd.real, w.slapd.n = slapdtest.Start(w.tb, o), *users
	setLDAP(ts, w.slapd.real.URL)
}

// cmdLDAPDelete: ldap-delete UID removes a person from the directory.
func cmdLDAPDelete(ts *testscript.TestScript, neg bool, args []string) {
	s := here(ts).slapd.real
	if neg || len(args) != 1 || s == nil {
		ts.Fatalf("usage: ldap-delete UID, after slapd")
	}
	s.Delete("uid=" + args[0] + "," + slapdtest.PeopleDN)
}

// cmdLDAPAdd: ldap-add UID ATTR=VALUE... gives somebody an entry in the directory, and sets
// ENTRY_UUID to its anchor; cn is the UID unless it is given.
func cmdLDAPAdd(ts *testscript.TestScript, neg bool, args []string) {
	s := here(ts).slapd.real
	if neg || len(args) < 2 || s == nil {
		ts.Fatalf("usage: ldap-add UID ATTR=VALUE..., after slapd")
	}
	attributes := map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {args[0]}, "cn": {args[0]}}
	for _, arg := range args[1:] {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("ldap-add: %q is not ATTR=VALUE", arg)
		}
		attributes[name] = []string{value}
	}
	dn := "uid=" + args[0] + "," + slapdtest.PeopleDN
	s.Add(dn, attributes)
	ts.Setenv("ENTRY_UUID", s.EntryUUID(dn))
}

// cmdLDAPSet: ldap-set UID ATTR=VALUE... changes a person's entry, ldap-set UID -to UID2
// its name, and ldap-set -group CN [UID...] who is in a group.
func cmdLDAPSet(ts *testscript.TestScript, neg bool, args []string) {
	s := here(ts).slapd.real
	switch {
	case neg || len(args) < 2 || s == nil:
		ts.Fatalf("usage: ldap-set UID ATTR=VALUE... | UID -to UID2 | -group CN [UID...], after slapd")
	case args[0] == "-group":
		members := []string{slapdtest.ReaderDN}
		for _, uid := range args[2:] {
			members = append(members, "uid="+uid+","+slapdtest.PeopleDN)
		}
		s.Modify(slapdtest.GroupDN(args[1]), "member", members...)
	case args[1] == "-to" && len(args) == 3:
		s.ModifyDN("uid="+args[0]+","+slapdtest.PeopleDN, "uid="+args[2], "")
	default:
		for _, arg := range args[1:] {
			name, value, ok := strings.Cut(arg, "=")
			if !ok {
				ts.Fatalf("ldap-set: %q is not ATTR=VALUE", arg)
			}
			s.Modify("uid="+args[0]+","+slapdtest.PeopleDN, name, value)
		}
	}
}

// cmdFakeLDAP: fakeldap [-users N] [-cut PAGE] [-bind CODE] [-stop N,CODE] [-twin] [-bare]
// starts a directory that misbehaves, or makes the one that runs misbehave in
// another way. -twin repeats the last person's anchor in another entry, -bare
// adds an entry without anchor and one without e-mail.
func cmdFakeLDAP(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("fakeldap", flag.ContinueOnError)
	users := f.Int("users", 10, "")
	var faults slapdtest.Faults
	f.IntVar(&faults.CutOnPage, "cut", 0, "")
	f.IntVar(&faults.BindCode, "bind", 0, "")
	f.BoolVar(&faults.Empty, "empty", false, "")
	stop := f.String("stop", "", "")
	twin := f.Bool("twin", false, "")
	bare := f.Bool("bare", false, "")
	if neg || f.Parse(args) != nil || f.NArg() > 0 {
		ts.Fatalf("usage: fakeldap [-users N] [-cut PAGE] [-bind CODE] [-stop N,CODE] [-empty] [-twin] [-bare]")
	}
	if *stop != "" {
		_, err := fmt.Sscanf(*stop, "%d,%d", &faults.StopAfter, &faults.StopCode)
		ts.Check(err)
	}
	w := here(ts)
	if w.slapd.fake != nil {
		w.slapd.fake.Set(faults)
		return
	}
	entries := slapdtest.FakePeople(*users)
	if *twin {
		e := entries[len(entries)-1]
		entries = append(entries, slapdtest.Entry{DN: "uid=twin," + slapdtest.PeopleDN, Attributes: e.Attributes})
	}
	if *bare {
		entries = append(entries,
			slapdtest.Entry{DN: "uid=no.anchor," + slapdtest.PeopleDN, Attributes: map[string][]string{
				"objectClass": {"inetOrgPerson"}, "uid": {"no.anchor"}, "mail": {"no.anchor@example.test"}, "sn": {"Anchor"},
			}},
			slapdtest.Entry{DN: "uid=no.mail," + slapdtest.PeopleDN, Attributes: map[string][]string{
				"objectClass": {"inetOrgPerson"}, "entryUUID": {"11111111-2222-4333-8444-555555555555"}, "uid": {"no.mail"}, "sn": {"Mail"},
			}})
	}
	w.slapd.fake = slapdtest.NewFake(w.tb, entries, faults)
	setLDAP(ts, w.slapd.fake.URL)
}

// cmdFakeAD: fakead [-users N] starts an Active Directory with N people, and sets what
// slapd does.
func cmdFakeAD(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("fakead", flag.ContinueOnError)
	users := f.Int("users", 10, "")
	if neg || f.Parse(args) != nil || f.NArg() > 0 {
		ts.Fatalf("usage: fakead [-users N]")
	}
	w := here(ts)
	w.slapd.ad, w.slapd.n = ldaptest.Start(w.tb, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: *users}), *users
	setLDAP(ts, w.slapd.ad.URL)
	ts.Setenv("LDAP_BASE", ldaptest.ActiveDirectory.BaseDN())
	ts.Setenv("LDAP_USER", ldaptest.ActiveDirectory.ReaderDN())
	ts.Setenv("LDAP_CANARY", ldaptest.ActiveDirectory.ReaderDN())
}

// cmdSynced: mm-synced gives everybody of the directory but the last the account that
// Mattermost's own LDAP sync would have made: those Active Directory has disabled are
// off, and the second is a guest.
func cmdSynced(ts *testscript.TestScript, neg bool, args []string) {
	w := here(ts)
	if neg || len(args) > 0 || w.slapd.n == 0 {
		ts.Fatalf("usage: mm-synced, after slapd or fakead")
	}
	sim := w.server(ts, "").sim
	for i, p := range slapdtest.Roster(w.slapd.n)[:w.slapd.n-1] {
		u := mmsim.User{Username: p.UID, Email: p.Mail, FirstName: p.First, LastName: p.Last, Position: p.Title, AuthService: "ldap", AuthData: p.EntryUUID}
		if w.slapd.ad != nil {
			u.AuthData = ""
			for _, b := range []byte(w.slapd.ad.Values(ldaptest.ActiveDirectory.DN(p), "objectGUID")[0]) {
				u.AuthData += fmt.Sprintf(`\%02x`, b)
			}
			if p.Disabled {
				u.DeleteAt = time.Now().UnixMilli()
			}
		}
		if i == 1 {
			u.Roles = "system_guest"
		}
		sim.AddUser(u)
	}
}

// cmdFill: fill FILE replaces $NAME in a file.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fill FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}
