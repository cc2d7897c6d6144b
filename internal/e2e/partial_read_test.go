package e2e_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// hide is an access rule that keeps some people from the reader.
func hide(pattern string) string {
	return `to dn.regex="` + pattern + `" by dn.exact="` + slapdtest.ReaderDN + `" none by users read`
}

func TestPartialRead(t *testing.T) {
	t.Parallel()
	const people = 300
	cases := []struct {
		name  string
		world func(*testing.T) (w *world, spoil func())
		code  int
		cause string
	}{
		{"the server limits the size of answers", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, guards: "{count: 10, percent: 1}"})
			return w, func() { slapd.Restart(slapdtest.Options{NoTLS: true, PagedTotal: 200}) }
		}, 4, "the server stopped after 200 entries"},
		{"the connection is cut in the middle of a page", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			proxy := slapdtest.NewProxy(t, slapd.URL)
			w := newWorld(t, sqliteStore(), settings{ldap: proxy.URL, guards: "{count: 10, percent: 1}"})
			return w, func() { proxy.CutAfter(120_000) }
		}, 4, "the connection was lost"},
		{"the connection is cut in the first page", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			proxy := slapdtest.NewProxy(t, slapd.URL)
			w := newWorld(t, sqliteStore(), settings{ldap: proxy.URL, guards: "{count: 10, percent: 1}", pageSize: 1000})
			return w, func() { proxy.CutAfter(120_000) }
		}, 1, "the connection was lost"},
		{"the bind account has lost its rights to the people", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, baseDN: slapdtest.BaseDN, guards: "{count: 10, percent: 1}"})
			return w, func() { slapd.Restart(slapdtest.Options{NoTLS: true, ACL: []string{hide(slapdtest.PeopleDN + "$")}}) }
		}, 4, "rights"},
		{"the server answers with success and nobody", func(t *testing.T) (*world, func()) {
			fake := slapdtest.NewFake(t, slapdtest.FakePeople(people), slapdtest.Faults{})
			w := newWorld(t, sqliteStore(), settings{ldap: fake.URL, guards: "{count: 10, percent: 1}"})
			return w, func() { fake.Set(slapdtest.Faults{Empty: true}) }
		}, 4, "nobody below"},
		{"half the tree is hidden", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, guards: "{count: 10, percent: 1}"})
			return w, func() { slapd.Restart(slapdtest.Options{NoTLS: true, ACL: []string{hide("^uid=[a-j]")}}) }
		}, 3, "shrank"},
		{"a few more than the limit are hidden", func(t *testing.T) (*world, func()) {
			slapd := slapdtest.Start(t, slapdtest.Options{Users: people, NoTLS: true})
			w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL, guards: "{count: 10, percent: 1}"})
			return w, func() { slapd.Restart(slapdtest.Options{NoTLS: true, ACL: []string{hide("^uid=[ab]")}}) }
		}, 3, "limit 10 (the larger of 10 and 1 %)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, spoil := c.world(t)
			w.mmsync("sync").exits(0)
			requireStaff(t, w, slapdtest.Roster(people))
			w.sim.ResetCalls()
			spoil()
			for range 3 {
				r := w.mmsync("sync").exits(c.code).says(c.cause)
				if testing.Verbose() {
					t.Log(sentences(r.stderr))
				}
			}
			require.Zero(t, w.off(), "nobody is switched off for an absence that proves nothing")
			require.Empty(t, w.sim.Writes())
		})
	}
}

func TestSmallLosses(t *testing.T) {
	t.Parallel()
	t.Run("what stays below the limit is carried out, until the window is used up", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(600)
		slapd := slapdtest.Start(t, slapdtest.Options{Users: len(people), NoTLS: true})
		w := newWorld(t, sqliteStore(), settings{ldap: slapd.URL})
		w.mmsync("sync").exits(0)
		remove := func(list []slapdtest.Person) {
			for _, p := range list {
				require.False(t, p.Disabled)
				slapd.Delete(p.DN)
			}
		}
		var staff []slapdtest.Person
		for _, p := range people[10:] {
			if !p.Disabled {
				staff = append(staff, p)
			}
		}
		remove(staff[:30])
		w.mmsync("sync").exits(0)
		require.Equal(t, 30, w.off())
		remove(staff[30:60])
		w.sim.ResetCalls()
		w.mmsync("sync").exits(3).says("too many deactivations from corp: 60 (30 of them were made in the last 24 h)")
		w.mmsync("sync").exits(3).says("deactivations from corp stay held, for a guard held them in run ")
		require.Empty(t, w.sim.Writes())
		require.Equal(t, 30, w.off())
		w.mmsync("sync", "--max-deactivations", "60").exits(0)
		require.Equal(t, 60, w.off())
		w.quiet()
	})
}

// sentences gives what the program itself says on stderr, without its log.
func sentences(stderr string) string {
	var out []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "mmsync: ") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}
