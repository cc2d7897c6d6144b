package e2e_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sambatest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

var update = flag.Bool("update", false, "write the plans of testdata/active_directory anew; then read every change")

// controller is a domain controller that a test changes: Samba's, or the played one.
type controller interface {
	Add(entries ...ldaptest.Entry)
	Modify(dn, attribute string, values ...string)
	AddValues(dn, attribute string, values ...string)
	RemoveValues(dn, attribute string, values ...string)
	Rename(dn, newDN string)
	Delete(dn string)
	Restore(dn string)
}

// lockout locks an account of a controller.
func lockout(c controller, dn string) {
	if genuine, ok := c.(*sambatest.Server); ok {
		genuine.SetPassword(dn, "secret")
		genuine.Lock(dn)
		return
	}
	c.Modify(dn, "lockoutTime", ldaptest.FileTime(time.Now()))
}

// eachController runs a test with Samba's domain controller, which takes root and is
// skipped with a reason if there is none, and with the played one.
func eachController(t *testing.T, people int, test func(t *testing.T, c controller, r reading)) {
	t.Helper()
	r := reading{kind: ldaptest.ActiveDirectory, delta: ldap.DeltaUSN, nested: "walk"}
	t.Run("samba", func(t *testing.T) {
		t.Parallel()
		srv := sambatest.Start(t, sambatest.Options{People: people})
		r := r
		r.url, r.caFile, r.user, r.pass = srv.TLSURL, srv.CAFile, sambatest.Reader, sambatest.Password
		test(t, srv, r)
	})
	t.Run("played", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: r.kind, People: people, HideDeleted: true})
		r := r
		r.url = srv.URL
		test(t, srv, r)
	})
}

// expect holds the plan of a run that reads everybody, and that of one that reads what
// changed, which is carried out, to a golden file. Both kinds of controller have the same.
func expect(t *testing.T, d *daemon.Daemon, name, rule string) {
	t.Helper()
	file := filepath.Join("testdata", "active_directory", name+".txtar")
	o := reconcile.RunOptions{Trigger: "test", RequestedBy: "test"}
	whole, err := d.Engine.Plan(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, whole.Problems)
	o.Changes = true
	changes, err := d.Engine.Sync(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, changes.Problems)
	got := &txtar.Archive{Comment: []byte(rule + "\n\n"), Files: []txtar.File{
		{Name: "what changed", Data: planText(t, changes.Plan)}, {Name: "everybody", Data: planText(t, whole.Plan)},
	}}
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, txtar.Format(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(txtar.Format(got)), "see go test -update")
}

// planText is a plan without what each run has another of.
func planText(t testing.TB, p plan.Plan) []byte {
	t.Helper()
	p.Target.URL = ""
	for i := range p.Sources {
		p.Sources[i].Took = 0
	}
	p.Decisions = slices.SortedFunc(slices.Values(p.Decisions), func(a, b plan.Decision) int { return cmp.Compare(a.Username, b.Username) }) // not by random anchors
	var b bytes.Buffer
	require.NoError(t, plan.Render(&b, p, plan.Style{}))
	text := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`).ReplaceAll(b.Bytes(), []byte("TIME"))
	return regexp.MustCompile(`Plan \w{4}-\w{4}`).ReplaceAll(text, []byte("Plan DIGEST"))
}

// TestActiveDirectory is what happens to people in a domain, one after the other, and
// the plan that follows from each.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	eachController(t, 12, func(t *testing.T, c controller, r reading) {
		k := r.kind
		away := "OU=Away," + k.BaseDN()
		c.Add(ldaptest.Entry{DN: away, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
		_, d := newDirectoryWorld(t, r)
		carryOut := func() {
			t.Helper()
			_, err := synced(t, d, false)
			require.NoError(t, err)
		}
		carryOut()
		carryOut() // looks once more at those whom it made
		for _, step := range []struct {
			name, rule string
			do         func()
		}{
			{"quiet", "Nothing has changed.", func() {}},
			{"disabled", "Somebody is disabled (userAccountControl 514): he leaves.", func() { c.Modify(k.PersonDN(2), "userAccountControl", "514") }},
			{"expired", "An account has expired: he leaves.", func() {
				c.Modify(k.PersonDN(3), "accountExpires", ldaptest.FileTime(time.Now().Add(-time.Hour)))
			}},
			{"locked", "Somebody locked himself out by wrong passwords: he stays.", func() { lockout(c, k.PersonDN(4)) }},
			{"renamed", "Somebody got another name everywhere: it is the same account.", func() {
				c.Modify(k.PersonDN(5), "sAMAccountName", "married.name")
				c.Modify(k.PersonDN(5), "mail", "married.name@example.test")
				c.Modify(k.PersonDN(5), "sn", "Name")
				c.Rename(k.PersonDN(5), "CN=married.name,"+k.PeopleDN())
			}},
			{"moved", "Somebody was moved out of the base: he leaves.", func() {
				rdn, _, _ := strings.Cut(k.PersonDN(6), ",")
				c.Rename(k.PersonDN(6), rdn+","+away)
			}},
			{"deleted", "Somebody was deleted, and the bind account may not see Deleted Objects: only a run that reads everybody finds him missing.", func() { c.Delete(k.PersonDN(7)) }},
			{"restored", "His tombstone was restored, without the address that it had lost: the filter does not match him, and he stays off.", func() { c.Restore(k.PersonDN(7)) }},
			{"restored_whole", "He has his address again: it is the same account.", func() {
				for _, e := range k.Tree(8) {
					if e.DN == k.PersonDN(7) {
						for _, name := range []string{"mail", "givenName", "sn", "title"} {
							c.Modify(e.DN, name, e.Attributes[name]...)
						}
						c.Modify(e.DN, "sAMAccountName", e.Attributes["sAMAccountName"]...)
					}
				}
			}},
			{"nested_cycle", "A group in a group in a group that is in the first one: whoever is in one is in all.", func() {
				c.Add(k.Group("inner", k.PersonDN(8)), k.Group("outer", k.GroupDN("inner")))
				c.AddValues(k.GroupDN("inner"), "member", k.GroupDN("chat-admins"))
				c.AddValues(k.GroupDN("chat-admins"), "member", k.GroupDN("outer"))
			}},
			{"nested_gone", "He was taken out of the innermost one.", func() { c.RemoveValues(k.GroupDN("inner"), "member", k.PersonDN(8)) }},
		} {
			step.do()
			expect(t, d, step.name, step.rule)
			carryOut() // of whom the changes did not tell
		}
	})
}

// TestActiveDirectory_largeGroup has a group with 2,001 members, of whom three are in the
// base. Samba sends them all at once; the played controller sends 1,500, as Active
// Directory does, and the rest when it is asked for (MS-ADTS 3.1.1.3.1.3.3).
func TestActiveDirectory_largeGroup(t *testing.T) {
	t.Parallel()
	const people = 2_001
	eachController(t, people, func(t *testing.T, c controller, r reading) {
		k := r.kind
		r.base, r.membership, r.admins = "OU=Few,"+k.BaseDN(), "member", k.GroupDN("large")
		c.Add(ldaptest.Entry{DN: r.base, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}}, k.Group("large"))
		all := slapdtest.Roster(people)
		for _, i := range []int{0, 1_499, 1_500, 2_000} {
			rdn, _, _ := strings.Cut(k.DN(all[i]), ",")
			c.Rename(k.DN(all[i]), rdn+","+r.base)
		}
		_, d := newDirectoryWorld(t, r)
		_, err := synced(t, d, false)
		require.NoError(t, err)
		_, err = synced(t, d, false)
		require.NoError(t, err)
		var members []string
		for i, p := range all {
			rdn, parent, _ := strings.Cut(k.DN(p), ",")
			switch i {
			case 1_499: // he is not in it
				members = append(members, k.ReaderDN())
				continue
			case 0, 1_500, 2_000:
				parent = r.base
			}
			members = append(members, rdn+","+parent)
		}
		c.Modify(k.GroupDN("large"), "member", members...)
		expect(t, d, "large_group", fmt.Sprintf("A group got %d members, three of whom are in the base, the last of them beyond the 1,500 that come at once.", people))
	})
}

// TestActiveDirectory_otherController is an address that leads to another domain
// controller between two runs, whose numbers of changes say nothing about the first
// one's. Samba's would take a second domain controller, so the played one does it.
func TestActiveDirectory_otherController(t *testing.T) {
	t.Parallel()
	k := ldaptest.ActiveDirectory
	srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 12})
	other := srv.Replica()
	_, d := newDirectoryWorld(t, reading{kind: k, url: srv.URL, delta: ldap.DeltaUSN})
	for range 2 {
		_, err := synced(t, d, false)
		require.NoError(t, err)
	}
	srv.Modify(k.PersonDN(2), "title", "Chief")
	srv.Delete(k.PersonDN(3))
	expect(t, d, "same_controller", "The same domain controller is asked for what changed.")
	srv.Modify(k.PersonDN(6), "title", "Chief")
	srv.Delete(k.PersonDN(7))
	srv.BecomeLike(other)
	expect(t, d, "other_controller", "Another domain controller answers (its invocationId is another one): everybody is read at once, and nothing that happened meanwhile is overlooked.")
	srv.Modify(k.PersonDN(4), "title", "Chief")
	expect(t, d, "other_controller_again", "From then on it is asked for what changed by its own numbers.")
	srv.RestoreBackup()
	srv.Modify(k.PersonDN(5), "title", "Chief")
	expect(t, d, "restored_controller", "A domain controller that was restored from a backup has another invocationId too.")
}
