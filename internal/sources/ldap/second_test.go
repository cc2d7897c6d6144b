package ldap_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// pair is a directory of two servers, the second of which lags behind, and the line to
// the first.
type pair struct {
	first, second *ldaptest.Server
	line          *slapdtest.Proxy
}

func newPair(t *testing.T, k ldaptest.Kind) pair {
	t.Helper()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 12})
	return pair{first: srv, second: srv.Behind(), line: slapdtest.NewProxy(t, srv.URL)}
}

func (p pair) source(t *testing.T, way string, change ...func(*ldap.Options)) *ldap.Source {
	t.Helper()
	return playedSource(t, p.first, way, append([]func(*ldap.Options){func(o *ldap.Options) { o.URLs = []string{p.line.URL, p.second.URL} }}, change...)...)
}

// hire makes somebody of whom the second server does not know yet.
func (p pair) hire() (anchor string) {
	come := slapdtest.Roster(100)[90]
	p.first.Add(p.first.Kind.Person(come))
	return p.first.AnchorOf(p.first.Kind.DN(come))
}

func confirmed(t *testing.T, s *ldap.Source, anchor string) identity.Presence {
	t.Helper()
	got, err := s.Confirm(t.Context(), []string{anchor})
	require.NoError(t, err)
	return got[anchor]
}

func graces(missing, scope time.Duration) func(*ldap.Options) {
	return func(o *ldap.Options) { o.MissingGrace, o.OutOfScopeGrace = missing, scope }
}

// Where two servers are named, what one of them does not have is not gone: it may lag
// behind.
func TestSource_Confirm_secondServer(t *testing.T) {
	t.Parallel()
	for _, k := range []ldaptest.Kind{ldaptest.ActiveDirectory, ldaptest.OpenLDAP} {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			t.Run("a server that lags behind is read", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				s := p.source(t, "")
				come := p.hire()
				require.Len(t, snapshot(t, s).Identities, 13)
				p.line.CutAfter(1)
				snap := snapshot(t, s)
				require.True(t, snap.Complete, snap.Incomplete)
				require.Len(t, snap.Identities, 12, "it lacks whom the first had")

				got, err := s.Confirm(t.Context(), []string{come})
				require.Equal(t, identity.PresenceUnknown, got[come])
				require.ErrorContains(t, err, "1 of them gone by the word of "+p.second.URL+" alone")
				require.ErrorContains(t, err, p.line.URL)
				require.ErrorContains(t, err, "or give missing and out_of_scope a grace time")

				p.line.CutAfter(0)
				require.Equal(t, identity.PresenceUnknown, confirmed(t, s, come), "the two disagree")
				p.second.CatchUp()
				require.Equal(t, identity.PresencePresent, confirmed(t, s, come))
			})
			t.Run("both say the same", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				s := p.source(t, "")
				gone, moved, there := p.first.AnchorOf(k.PersonDN(1)), p.first.AnchorOf(k.PersonDN(2)), p.first.AnchorOf(k.PersonDN(3))
				p.first.Delete(k.PersonDN(1))
				p.first.Modify(k.PersonDN(2), "title", "external")
				require.Equal(t, identity.PresenceUnknown, confirmed(t, s, gone), "the second has the entry still")
				require.Equal(t, identity.PresenceUnknown, confirmed(t, s, moved))
				p.second.CatchUp()
				got, err := s.Confirm(t.Context(), []string{gone, moved, there})
				require.NoError(t, err)
				require.Equal(t, map[string]identity.Presence{gone: identity.PresenceGone, moved: identity.PresenceOutOfScope, there: identity.PresencePresent}, got)
			})
			t.Run("a grace time stands in for a server that is dead", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				p.line.CutAfter(1)
				gone, moved := p.first.AnchorOf(k.PersonDN(1)), p.first.AnchorOf(k.PersonDN(2))
				p.first.Delete(k.PersonDN(1))
				p.first.Modify(k.PersonDN(2), "title", "external")
				p.second.CatchUp()
				require.Equal(t, identity.PresenceGone, confirmed(t, p.source(t, "", graces(time.Hour, time.Hour)), gone))
				s := p.source(t, "", graces(time.Hour, 0))
				require.Equal(t, identity.PresenceGone, confirmed(t, s, gone))
				got, err := s.Confirm(t.Context(), []string{gone, moved})
				require.ErrorContains(t, err, "1 of them gone by the word of")
				require.Equal(t, map[string]identity.Presence{gone: identity.PresenceGone, moved: identity.PresenceUnknown}, got)
				calls := p.line.Connections()
				require.Equal(t, identity.PresenceGone, confirmed(t, s, gone))
				require.Equal(t, calls, p.line.Connections(), "one that failed lately is not waited for")
			})
			t.Run("with a grace time they still have to agree", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				gone := p.first.AnchorOf(k.PersonDN(1))
				p.first.Delete(k.PersonDN(1))
				require.Equal(t, identity.PresenceUnknown, confirmed(t, p.source(t, "", graces(time.Hour, time.Hour)), gone))
			})
			t.Run("a server that holds nobody yet is no second", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				gone := p.first.AnchorOf(k.PersonDN(1))
				p.first.Delete(k.PersonDN(1))
				p.second.Fail(ldaptest.FaultNamed(t, "empty-success"), ldaptest.At{})
				got, err := p.source(t, "").Confirm(t.Context(), []string{gone})
				require.ErrorContains(t, err, p.second.URL)
				require.ErrorContains(t, err, "nobody matches the user filter")
				require.Equal(t, identity.PresenceUnknown, got[gone])
			})
			t.Run("many cost one more connection", func(t *testing.T) {
				t.Parallel()
				p := newPair(t, k)
				var many []string
				for i := range 250 {
					many = append(many, fmt.Sprintf("00000000-0000-0000-0000-%012d", i))
				}
				got, err := p.source(t, "").Confirm(t.Context(), many)
				require.NoError(t, err)
				for _, a := range many {
					require.Equal(t, identity.PresenceGone, got[a])
				}
				require.Equal(t, 1, p.line.Connections())
				binds := 0
				for _, c := range p.second.Calls() {
					if strings.HasPrefix(c, "bind ") {
						binds++
					}
				}
				require.Equal(t, 1, binds)
			})
		})
	}
}

// One domain controller under two addresses is not two.
func TestSource_Confirm_sameServerTwice(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 3})
	twin := srv.Replica()
	twin.BecomeLike(srv)
	third := srv.Behind()
	gone := srv.AnchorOf(srv.Kind.PersonDN(1))
	srv.Delete(srv.Kind.PersonDN(1))
	s := playedSource(t, srv, "", func(o *ldap.Options) { o.URLs = []string{srv.URL, twin.URL, third.URL} })
	require.Equal(t, identity.PresenceUnknown, confirmed(t, s, gone), "the third has not heard of it")
	s = playedSource(t, srv, "", func(o *ldap.Options) { o.URLs = []string{srv.URL, twin.URL} })
	require.Equal(t, identity.PresenceGone, confirmed(t, s, gone), "there is one server")
}

// Runs of changes that change over to a server that lags behind, and back, overlook
// nothing, and call nobody gone who is there.
func TestSource_Changes_serverBehind(t *testing.T) {
	t.Parallel()
	for way, k := range map[string]ldaptest.Kind{
		ldap.DeltaUSN: ldaptest.ActiveDirectory, ldap.DeltaDirSync: ldaptest.ActiveDirectory,
		ldap.DeltaTimestamp: ldaptest.OpenLDAP, ldap.DeltaSyncrepl: ldaptest.OpenLDAP,
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, k)
			s := p.source(t, way)
			m := markOf(t, s)
			var people []string // who is there all the time
			for i := range 12 {
				people = append(people, p.first.AnchorOf(k.PersonDN(i)))
			}
			// next asks for what changed, and reads everybody where that is asked for.
			next := func() (seen []string) {
				d := changes(t, s, m)
				ids, gone := d.Identities, d.Gone
				if m = d.Mark; d.Full != "" {
					snap := snapshot(t, s)
					require.True(t, snap.Complete, snap.Incomplete)
					ids, gone, m = snap.Identities, nil, snap.Mark
				}
				got, _ := s.Confirm(t.Context(), people)
				for _, a := range people {
					require.NotContains(t, []identity.Presence{identity.PresenceGone, identity.PresenceOutOfScope}, got[a])
					require.NotContains(t, gone, a)
				}
				for _, id := range ids {
					seen = append(seen, id.Key.Anchor+" "+id.Profile.Position)
				}
				return seen
			}
			people = append(people, p.hire())
			p.first.Modify(k.PersonDN(1), "title", "First")
			require.Contains(t, next(), p.first.AnchorOf(k.PersonDN(1))+" First")

			p.first.Modify(k.PersonDN(2), "title", "Second")
			p.line.CutAfter(1)
			next()

			p.line.CutAfter(0)
			p.first.Modify(k.PersonDN(3), "title", "Third")
			p.second.CatchUp()
			seen := next()
			require.Contains(t, seen, p.first.AnchorOf(k.PersonDN(2))+" Second")
			require.Contains(t, seen, p.first.AnchorOf(k.PersonDN(3))+" Third")

			p.first.Modify(k.PersonDN(4), "title", "Fourth")
			p.second.Fail(ldaptest.FaultNamed(t, "bind-busy"), ldaptest.At{})
			require.Contains(t, next(), p.first.AnchorOf(k.PersonDN(4))+" Fourth")
			p.second.Heal()
			p.second.CatchUp()
			require.Equal(t, identity.PresencePresent, confirmed(t, s, people[12]))
		})
	}
}
