package main

import (
	"flag"
	"fmt"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// directory is the LDAP server of a script.
type directory struct {
	real *slapdtest.Server
	fake *slapdtest.Fake
}

// setLDAP tells the script how to reach its directory.
func setLDAP(ts *testscript.TestScript, url string) {
	ts.Setenv("LDAP_URL", url)
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
	w.slapd.real = slapdtest.Start(w.tb, o)
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
