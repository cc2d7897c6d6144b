package ldap_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// playedSource reads a played server in one way.
func playedSource(t testing.TB, srv *ldaptest.Server, way string, change ...func(*ldap.Options)) *ldap.Source {
	t.Helper()
	k := srv.Kind
	return newSource(t, srv.URL, append([]func(*ldap.Options){func(o *ldap.Options) {
		r := rules()
		if k == ldaptest.ActiveDirectory {
			r.ID, r.Username = x("attr.objectGUID.guid()"), x("lower(attr.sAMAccountName)")
			r.DisabledWhen = x("bit(attr.userAccountControl, 2) || fileTimePast(attr.accountExpires)")
		} else {
			r.ID = x("attr." + k.Anchor())
		}
		r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{k.GroupDN("chat-admins")}}}
		m, err := sources.Compile("corp", r, sources.CompileOptions{})
		require.NoError(t, err)
		o.Mapper, o.Delta, o.BaseDN, o.BindDN = m, way, k.PeopleDN(), k.ReaderDN()
		o.UserFilter = "(&(givenName=*)(!(title=external)))"
		o.Groups = ldap.GroupOptions{Mode: ldap.GroupsSearch, BaseDN: k.GroupsDN()}
		if k == ldaptest.ActiveDirectory {
			o.Groups.Mode = ldap.GroupsMemberOf
		}
	}}, change...)...)
}

func adWays(t *testing.T, o ldaptest.Options, f func(t *testing.T, srv *ldaptest.Server, way string)) {
	t.Helper()
	o.Kind = ldaptest.ActiveDirectory
	for _, way := range []string{ldap.DeltaUSN, ldap.DeltaDirSync} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			f(t, ldaptest.Start(t, o), way)
		})
	}
}

func TestSource_Changes_activeDirectory(t *testing.T) {
	t.Parallel()
	adWays(t, ldaptest.Options{People: 12, RecycleBin: true}, func(t *testing.T, srv *ldaptest.Server, way string) {
		people, k := slapdtest.Roster(12), srv.Kind
		s := playedSource(t, srv, way)
		m := markOf(t, s)
		d := changes(t, s, m)
		require.Empty(t, d.Identities)
		require.Empty(t, d.Gone)

		gone, moved := srv.AnchorOf(k.PersonDN(1)), srv.AnchorOf(k.PersonDN(2))
		srv.Modify(k.PersonDN(0), "title", "Chief")
		srv.Delete(k.PersonDN(1))
		srv.Rename(k.PersonDN(2), "CN=away,CN=Users,"+k.BaseDN())
		srv.Rename(k.PersonDN(3), "CN=other,"+k.PeopleDN())
		d = changes(t, s, d.Mark)
		require.Equal(t, []string{people[0].UID, people[3].UID}, told(d))
		require.Equal(t, slices.Sorted(slices.Values([]string{gone, moved})), d.Gone)

		srv.Restore(k.PersonDN(1))
		srv.Rename("CN=away,CN=Users,"+k.BaseDN(), k.PersonDN(2))
		d = changes(t, s, d.Mark)
		require.Equal(t, slices.Sorted(slices.Values([]string{people[1].UID, people[2].UID})), told(d))
		require.Empty(t, d.Gone)

		srv.RemoveValues(k.GroupDN("chat-admins"), "member", k.PersonDN(0))
		srv.AddValues(k.GroupDN("chat-admins"), "member", k.PersonDN(6))
		d = changes(t, s, d.Mark)
		require.Subset(t, told(d), []string{people[0].UID, people[6].UID}, "neither entry was changed")
		require.Empty(t, d.Gone)
	})
}

func TestSource_Changes_expired(t *testing.T) {
	t.Parallel()
	adWays(t, ldaptest.Options{People: 4}, func(t *testing.T, srv *ldaptest.Server, way string) {
		s := playedSource(t, srv, way)
		var soon time.Time
		var m string
		for wait := 1500 * time.Millisecond; ; wait *= 2 { // until both reads were in time
			soon = time.Now().Add(wait)
			srv.Modify(srv.Kind.PersonDN(1), "accountExpires", ldaptest.FileTime(soon))
			m = markOf(t, s)
			before := changes(t, s, m).Identities
			if time.Now().Before(soon) {
				require.Empty(t, before)
				break
			}
		}
		time.Sleep(time.Until(soon) + 10*time.Millisecond)
		d := changes(t, s, m) // nothing in the directory has changed
		require.Len(t, d.Identities, 1)
		require.False(t, d.Identities[0].Active)
		require.Empty(t, changes(t, s, d.Mark).Identities)
	})
}

func TestSource_Changes_domainControllers(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*ldaptest.Server, *ldaptest.Server) {
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5})
		return srv, srv.Replica()
	}
	t.Run("the one that gave the mark is asked first", func(t *testing.T) {
		t.Parallel()
		first, second := start(t)
		m := markOf(t, playedSource(t, second, ldap.DeltaUSN))
		s := playedSource(t, first, ldap.DeltaUSN, func(o *ldap.Options) { o.URLs = []string{first.URL, second.URL} })
		d := changes(t, s, m)
		require.Empty(t, d.Full)
		require.Empty(t, d.Identities)
	})
	t.Run("another one", func(t *testing.T) {
		t.Parallel()
		first, second := start(t)
		s := playedSource(t, first, ldap.DeltaUSN)
		m := markOf(t, s)
		first.Modify(first.Kind.PersonDN(0), "title", "Chief")
		first.BecomeLike(second)
		require.Contains(t, changes(t, s, m).Full, "the mark is of dc1.ad.test, and dc2.ad.test answers")
	})
	t.Run("DirSync goes on at another one", func(t *testing.T) {
		t.Parallel()
		first, second := start(t)
		s := playedSource(t, first, ldap.DeltaDirSync)
		m := markOf(t, s)
		first.Modify(first.Kind.PersonDN(0), "title", "Chief")
		first.BecomeLike(second)
		d := changes(t, s, m)
		require.Empty(t, d.Full)
		require.Equal(t, []string{slapdtest.Roster(1)[0].UID}, told(d))
	})
	t.Run("restored from a backup", func(t *testing.T) {
		t.Parallel()
		first, _ := start(t)
		s := playedSource(t, first, ldap.DeltaUSN)
		m := markOf(t, s)
		first.RestoreBackup()
		require.Contains(t, changes(t, s, m).Full, "or its database is another one")
	})
	t.Run("set back with all it is", func(t *testing.T) {
		t.Parallel()
		first, _ := start(t)
		s := playedSource(t, first, ldap.DeltaUSN)
		m := altered(t, markOf(t, s), "usn", 99_999_999)
		require.Contains(t, changes(t, s, m).Full, "counts its changes from before the mark")
	})
}

// altered changes one field of a mark.
func altered(t *testing.T, mark, field string, value any) string {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(mark), &m))
	m[field] = value
	out, err := json.Marshal(m)
	require.NoError(t, err)
	return string(out)
}

func TestSource_Changes_marks(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5})
	s := playedSource(t, srv, ldap.DeltaUSN)
	m := markOf(t, s)
	require.NotContains(t, m, ldaptest.Password)
	for name, c := range map[string]struct{ mark, want string }{
		"no mark":    {"nonsense", "the mark cannot be read"},
		"version":    {altered(t, m, "v", 99), "the mark cannot be read"},
		"way":        {altered(t, m, "way", ldap.DeltaDirSync), "another way of asking"},
		"dirsync":    {altered(t, markOf(t, playedSource(t, srv, ldap.DeltaDirSync)), "way", ldap.DeltaUSN), "other ones than when the mark was made"},
		"the cookie": {altered(t, markOf(t, playedSource(t, srv, ldap.DeltaDirSync)), "cookie", []byte("x")), "another way of asking"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, changes(t, s, c.mark).Full, c.want)
		})
	}
	t.Run("a dead cookie", func(t *testing.T) {
		t.Parallel()
		s := playedSource(t, srv, ldap.DeltaDirSync)
		require.Contains(t, changes(t, s, altered(t, markOf(t, s), "cookie", []byte("x"))).Full, "does not take the DirSync cookie")
	})
	t.Run("another scope", func(t *testing.T) {
		t.Parallel()
		for _, change := range []func(*ldap.Options){
			func(o *ldap.Options) { o.UserFilter = "(givenName=*)" },
			func(o *ldap.Options) { o.BaseDN = srv.Kind.BaseDN() },
			func(o *ldap.Options) { o.Groups = ldap.GroupOptions{Mode: ldap.GroupsSearch} },
		} {
			require.Contains(t, changes(t, playedSource(t, srv, ldap.DeltaUSN, change), m).Full, "other ones than when the mark was made")
		}
	})
	t.Run("an error gives no mark", func(t *testing.T) {
		t.Parallel()
		broken := playedSource(t, srv, ldap.DeltaUSN, func(o *ldap.Options) { o.URLs = []string{closedPort(t)} })
		d, err := broken.Changes(t.Context(), m)
		require.Error(t, err)
		require.Equal(t, identity.Delta{}, d)
	})
}

func TestSource_Changes_rights(t *testing.T) {
	t.Parallel()
	t.Run("deleted entries are hidden", func(t *testing.T) {
		t.Parallel()
		adWays(t, ldaptest.Options{People: 5, HideDeleted: true}, func(t *testing.T, srv *ldaptest.Server, way string) {
			s := playedSource(t, srv, way)
			m := markOf(t, s)
			srv.Delete(srv.Kind.PersonDN(0))
			d := changes(t, s, m)
			require.Empty(t, d.Gone)
			require.Empty(t, d.Full)
			require.Contains(t, fmt.Sprint(s.Check(t.Context())), "is not shown to")
		})
	})
	t.Run("CN=Deleted Objects,DC=ad,DC=test can be read", func(t *testing.T) {
		t.Parallel()
		adWays(t, ldaptest.Options{People: 5}, func(t *testing.T, srv *ldaptest.Server, way string) {
			srv.Delete(srv.Kind.PersonDN(0))
			require.Contains(t, fmt.Sprint(playedSource(t, srv, way).Check(t.Context())), "CN=Deleted Objects,DC=ad,DC=test can be read")
		})
	})
	t.Run("uSNChanged is hidden", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5, HideUSN: true})
		s := playedSource(t, srv, ldap.DeltaUSN)
		m := markOf(t, s)
		srv.Modify(srv.Kind.PersonDN(0), "title", "Chief")
		require.Contains(t, changes(t, s, m).Full, "nobody can be found by uSNChanged")
		require.Contains(t, fmt.Sprint(s.Check(t.Context())), "nobody can be found by uSNChanged")
	})
	t.Run("unknown server", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{People: 5})
		s := playedSource(t, srv, "")
		require.Empty(t, snapshot(t, s).Mark)
		require.Contains(t, fmt.Sprint(s.Check(t.Context())), "the server does not say what it is")
	})
	t.Run("a way of another server", func(t *testing.T) {
		t.Parallel()
		srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 5})
		s := playedSource(t, srv, ldap.DeltaUSN)
		require.Empty(t, snapshot(t, s).Mark)
		require.Contains(t, fmt.Sprint(s.Check(t.Context())), "is of Active Directory, which this server is not")
	})
}

// 389 Directory Server ends a quiet refresh in the way that by RFC 4533 3.3.2 means that
// whoever was not named is gone, and it never names anybody.
func TestSource_Changes_refreshDeletes(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.DS389, People: 12})
	s := playedSource(t, srv, ldap.DeltaSyncrepl)
	m := markOf(t, s)
	d := changes(t, s, m)
	require.Empty(t, d.Gone)
	require.Empty(t, d.Identities)
	gone := srv.AnchorOf(srv.Kind.PersonDN(3))
	srv.Delete(srv.Kind.PersonDN(3))
	require.Equal(t, []string{gone}, changes(t, s, d.Mark).Gone)
	require.Contains(t, changes(t, s, altered(t, m, "cookie", []byte("garbage"))).Full, "does not know any more")
}

// playedOps are the changes that are made to a played server.
func (w *world) playedOps(srv *ldaptest.Server) []func() string {
	k := srv.Kind
	away := strings.Replace(k.PeopleDN(), strings.SplitN(k.PeopleDN(), ",", 2)[0], "OU=Away", 1)
	dn := func(name, parent string) string {
		return strings.SplitN(k.PersonDN(0), "=", 2)[0] + "=" + name + "," + parent
	}
	anyone := func(string, string) bool { return true }
	buried := map[string]string{}
	return []func() string{
		func() string {
			w.n++
			p := slapdtest.Person{UID: fmt.Sprintf("new%d", w.n), First: "New", Last: "One", Mail: fmt.Sprintf("new%d@example.test", w.n)}
			p.DN = dn(p.UID, k.PeopleDN())
			srv.Add(k.Person(p))
			w.place[p.UID] = p.DN
			return "add " + p.UID
		},
		func() string {
			uid, at := w.pick(anyone)
			w.n++
			srv.Modify(at, "title", []string{"external", fmt.Sprint("Title ", w.n)}[w.rnd.IntN(2)])
			return "modify " + uid
		},
		func() string {
			uid, at := w.pick(anyone)
			w.n++
			to := []string{k.PeopleDN(), away}[w.rnd.IntN(2)]
			next := dn(fmt.Sprint("moved", w.n), to)
			srv.Rename(at, next)
			w.place[uid] = next
			return "move " + uid + " to " + next
		},
		func() string {
			uid, at := w.pick(anyone)
			srv.Delete(at)
			delete(w.place, uid)
			buried[uid] = at
			return "delete " + uid
		},
		func() string {
			for _, uid := range slices.Sorted(maps.Keys(buried)) {
				at := buried[uid]
				if k != ldaptest.ActiveDirectory || strings.Contains(at, "OU=inner,") { // which may be elsewhere by now
					continue
				}
				srv.Restore(at)
				w.place[uid] = at
				delete(buried, uid)
				return "restore " + uid
			}
			return ""
		},
		func() string {
			uid, at := w.pick(anyone)
			group := k.GroupDN("chat-admins")
			in := slices.ContainsFunc(srv.Values(group, "member"), func(m string) bool { return strings.EqualFold(m, at) })
			if in {
				srv.RemoveValues(group, "member", at)
			} else {
				srv.AddValues(group, "member", at)
			}
			return fmt.Sprintf("%s in the group: %v", uid, !in)
		},
		func() string {
			from, to := "OU=inner,"+k.PeopleDN(), "OU=inner,"+away
			if uid, _ := w.pick(below(to)); uid != "" {
				from, to = to, from
			} else if uid, _ := w.pick(below(from)); uid == "" {
				return ""
			}
			srv.Rename(from, to)
			for uid, at := range w.place {
				if rest, ok := strings.CutSuffix(at, ","+from); ok {
					w.place[uid] = rest + "," + to
				}
			}
			return "move " + from + " to " + to
		},
	}
}

// Here nothing is unseen: these ways tell of everything that was done, or that they do
// not know.
func TestSource_Changes_propertyPlayed(t *testing.T) {
	t.Parallel()
	const users, rounds = 30, 25
	for _, c := range []struct {
		kind ldaptest.Kind
		way  string
	}{{ldaptest.ActiveDirectory, ldap.DeltaUSN}, {ldaptest.ActiveDirectory, ldap.DeltaDirSync}, {ldaptest.DS389, ldap.DeltaSyncrepl}, {ldaptest.OpenLDAP, ldap.DeltaSyncrepl}} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(c.kind, " ", c.way, " ", seed), func(t *testing.T) {
				t.Parallel()
				srv := ldaptest.Start(t, ldaptest.Options{RecycleBin: true, Kind: c.kind, People: users})
				other := srv.Replica()
				k := srv.Kind
				w := &world{rnd: rand.New(rand.NewPCG(seed, 11)), place: map[string]string{}} //nolint:gosec // repeatable
				away := strings.Replace(k.PeopleDN(), strings.SplitN(k.PeopleDN(), ",", 2)[0], "OU=Away", 1)
				for _, at := range []string{away, "OU=inner," + k.PeopleDN()} {
					srv.Add(ldaptest.Entry{DN: at, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
				}
				for i, p := range slapdtest.Roster(users) {
					w.place[p.UID] = k.DN(p)
					if i%5 == 0 {
						w.place[p.UID] = strings.SplitN(k.DN(p), ",", 2)[0] + ",OU=inner," + k.PeopleDN()
						srv.Rename(k.DN(p), w.place[p.UID])
					}
				}
				b := believe(t, playedSource(t, srv, c.way))
				ops := w.playedOps(srv)
				switches := 0
				for range rounds {
					var did []string
					for range 1 + w.rnd.IntN(3) {
						if word := ops[w.rnd.IntN(len(ops))](); word != "" {
							did = append(did, word)
						}
					}
					if c.kind == ldaptest.ActiveDirectory && w.rnd.IntN(10) == 0 {
						srv.BecomeLike(other)
						switches++
						did = append(did, "another domain controller")
					}
					b.hear(strings.Join(did, ", "), nil)
				}
				require.LessOrEqual(t, b.fulls, 1+switches)
				require.GreaterOrEqual(t, b.deltas, rounds-switches)
			})
		}
	}
}
