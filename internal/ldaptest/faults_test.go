package ldaptest_test

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
)

// outcome is what a careful reader saw of a list of people.
type outcome struct {
	err     error
	people  map[string]string // anchor to mail
	entries int
}

var (
	errNoControl = errors.New("a page without the paging control")
	errEndless   = errors.New("the pages repeat themselves")
	errText      = errors.New("an address is no text")
	errReferred  = errors.New("somebody may be at another server")
	errAnchor    = errors.New("an anchor is missing, broken or not the only one")
)

const listed = 60

// read lists people in pages of 20 and believes only what is proven.
func read(t *testing.T, s *ldaptest.Server, url string, patience time.Duration) outcome {
	t.Helper()
	out := outcome{people: map[string]string{}}
	c, err := ldap.DialURL(url, ldap.DialWithTLSConfig(&tls.Config{InsecureSkipVerify: true})) //nolint:gosec // the server of this test
	if err != nil {
		return outcome{err: err}
	}
	defer c.Close()
	c.SetTimeout(patience)
	if err := c.Bind(s.Kind.ReaderDN(), ldaptest.Password); err != nil {
		return outcome{err: err}
	}
	seen := map[string]string{}
	paging := ldap.NewControlPaging(20)
	for range 3 * listed / 20 {
		q := request(s.Kind.PeopleDN(), ldap.ScopeSingleLevel, "(objectClass=person)", "mail", s.Kind.Anchor())
		q.Controls = []ldap.Control{paging}
		res, err := c.Search(q)
		if err != nil {
			out.err = err
			return out
		}
		if len(res.Referrals) > 0 {
			out.err = errReferred
			return out
		}
		for _, e := range res.Entries {
			out.entries++
			anchor := string(e.GetRawAttributeValue(s.Kind.Anchor()))
			if dn, taken := seen[anchor]; len(anchor) != 16 || taken && dn != e.DN {
				out.err = errAnchor
				return out
			}
			if !utf8.ValidString(e.GetAttributeValue("mail")) {
				out.err = errText
				return out
			}
			seen[anchor], out.people[anchor] = e.DN, e.GetAttributeValue("mail")
		}
		answered, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok {
			out.err = errNoControl
			return out
		}
		if len(answered.Cookie) == 0 {
			return out
		}
		paging.SetCookie(answered.Cookie)
	}
	out.err = errEndless
	return out
}

func TestFaults(t *testing.T) {
	t.Parallel()
	list := ldaptest.Faults()
	require.GreaterOrEqual(t, len(list), 50)
	seen := map[string]bool{}
	for i, f := range list {
		require.False(t, seen[f.Name], f.Name)
		seen[f.Name] = true
		require.Regexp(t, `^[a-z0-9-]+$`, f.Name)
		require.NotEmpty(t, f.Says, f.Name)
		switch f.Needs {
		case ldaptest.NeedsGroups, ldaptest.NeedsRanges, ldaptest.NeedsSync:
			continue // below
		case ldaptest.NeedsNothing, ldaptest.NeedsBind, ldaptest.NeedsPaging, ldaptest.NeedsTLS:
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: listed, NoTLS: f.Needs != ldaptest.NeedsTLS})
			url := s.URL
			if f.Needs == ldaptest.NeedsTLS {
				url = s.TLSURL
			}
			patience := time.Minute
			if f.Name == "hang" || f.Name == "wrong-message-id" { // nothing comes any more
				patience = 1500 * time.Millisecond
			}
			whole := read(t, s, url, time.Minute)
			require.NoError(t, whole.err)
			require.Len(t, whole.people, listed)
			chance := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // the same places in each run
			for range 3 {
				at := ldaptest.Anywhere(chance, 10*listed)
				s.Fail(f, at)
				got := read(t, s, url, patience)
				require.Positive(t, s.Struck(), "the fault did not show: %+v", at)
				switch {
				case f.Harmless && got.err != nil: // paging-ignored
					require.ErrorIs(t, got.err, errNoControl)
					require.Equal(t, whole.people, got.people)
				case f.Harmless:
					require.Equal(t, whole.people, got.people)
				case f.Silent:
					require.NoError(t, got.err)
					require.NotEqual(t, whole.people, got.people)
				default:
					require.Error(t, got.err)
				}
			}
			s.Heal()
			require.Equal(t, whole, read(t, s, url, time.Minute))
		})
	}
}

func TestFaults_groups(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 25, ValueRange: 10})
	c, group := dial(t, s), s.Kind.GroupDN("everyone")
	s.Fail(ldaptest.FaultNamed(t, "group-empty"), ldaptest.At{})
	require.NotContains(t, strings.Join(names(one(t, c, group, "member")), " "), "range")
	s.Fail(ldaptest.FaultNamed(t, "group-half"), ldaptest.At{})
	require.Len(t, one(t, c, group, "member").GetAttributeValues("member;range=0-9"), 5)

	s.Fail(ldaptest.FaultNamed(t, "range-changes"), ldaptest.At{})
	before := one(t, c, group, "uSNChanged", "member")
	got := before.GetAttributeValues("member;range=0-9")
	got = append(got, one(t, c, group, "member;range=10-*").GetAttributeValues("member;range=10-19")...)
	got = append(got, one(t, c, group, "member;range=20-*").GetAttributeValues("member;range=20-*")...)
	require.Len(t, got, 25)
	distinct := map[string]bool{}
	for _, v := range got {
		distinct[v] = true
	}
	require.Len(t, distinct, 24, "one came twice, so that another did not come")
	require.NotEqual(t, before.GetAttributeValue("uSNChanged"), one(t, c, group, "uSNChanged").GetAttributeValue("uSNChanged"), "which is how it can be seen")

	s.Fail(ldaptest.FaultNamed(t, "range-lost"), ldaptest.At{})
	require.Empty(t, names(one(t, c, group, "member;range=10-*")))
	s.Fail(ldaptest.FaultNamed(t, "range-ends-early"), ldaptest.At{})
	require.Len(t, one(t, c, group, "member;range=10-*").GetAttributeValues("member;range=10-*"), 1)
	s.Fail(ldaptest.FaultNamed(t, "range-endless"), ldaptest.At{})
	require.Len(t, one(t, c, group, "member;range=500-*").GetAttributeValues("member;range=500-509"), 10)
	require.Positive(t, s.Struck())
}

func TestFaults_sync(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 10})
	c, base := dial(t, s), s.Kind.PeopleDN()
	cookie := poll(t, c, base, "(uid=*)", nil).cookie
	s.Modify(s.Kind.PersonDN(0), "title", "New")
	s.Fail(ldaptest.FaultNamed(t, "sync-deletes-living"), ldaptest.At{})
	require.Len(t, poll(t, c, base, "(uid=*)", cookie).gone, 10)
	s.Fail(ldaptest.FaultNamed(t, "sync-names-nobody"), ldaptest.At{})
	got := poll(t, c, base, "(uid=*)", cookie)
	require.Empty(t, append(got.changed, got.present...))
	require.False(t, got.refreshDeletes)
	s.Fail(ldaptest.FaultNamed(t, "sync-refresh-required"), ldaptest.At{})
	require.Equal(t, 4096, poll(t, c, base, "(uid=*)", cookie).code)
	s.LoseSessionLog()
	s.Fail(ldaptest.FaultNamed(t, "sync-present-short"), ldaptest.At{})
	require.Len(t, poll(t, c, base, "(uid=*)", cookie).present, 5)
	require.Positive(t, s.Struck())
}

// A fault shows where the test says, and nowhere else.
func TestAt(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: listed})
	guid := s.Values(s.Kind.PersonDN(3), "objectGUID")[0]
	lookup := func() error {
		_, err := dial(t, s).Search(request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectGUID="+escape(guid)+")", "mail"))
		return err
	}
	s.Fail(ldaptest.FaultNamed(t, "size-limit"), ldaptest.At{Listing: 2, Entry: 33})
	require.NoError(t, read(t, s, s.URL, time.Minute).err)
	got := read(t, s, s.URL, time.Minute)
	require.Equal(t, ldap.LDAPResultSizeLimitExceeded, code(t, got.err))
	require.Equal(t, 20, got.entries, "the page before; the entries of this one come with the error")
	require.NoError(t, read(t, s, s.URL, time.Minute).err)
	require.NoError(t, lookup())
	require.Equal(t, 1, s.Struck())
	s.Fail(ldaptest.FaultNamed(t, "busy"), ldaptest.At{Lookups: true})
	require.Equal(t, ldap.LDAPResultBusy, code(t, lookup()))
	s.Fail(ldaptest.FaultNamed(t, "busy"), ldaptest.At{Anchors: true})
	require.Equal(t, ldap.LDAPResultBusy, code(t, lookup()))
	one(t, dial(t, s), s.Kind.PersonDN(3), "mail")
	s.Fail(ldaptest.FaultNamed(t, "missing-subtree"), ldaptest.At{Below: s.Kind.PeopleDN()})
	require.Empty(t, read(t, s, s.URL, time.Minute).people)
	s.Fail(ldaptest.FaultNamed(t, "attribute-missing"), ldaptest.At{Attribute: "objectGUID"})
	require.ErrorIs(t, read(t, s, s.URL, time.Minute).err, errAnchor)
}
