package scim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/scim/filter"
)

func compiled(t *testing.T, rt *scim.ResourceType, text string, l scim.Lenient, noted scim.Noted) (func(scim.Resource) bool, error) {
	t.Helper()
	e, err := filter.Parse(text, filter.Options{Lenient: func(q string) bool {
		if l[scim.Quirk(q)] && noted != nil {
			noted(scim.Quirk(q))
		}
		return l[scim.Quirk(q)]
	}})
	require.NoError(t, err, text)
	return rt.Compile(e, l, noted)
}

// finds compares what a filter says of a resource; with quirks it is refused strictly.
func finds(t *testing.T, rt *scim.ResourceType, r scim.Resource, text string, want bool, quirks ...scim.Quirk) {
	t.Helper()
	var used tally
	fits, err := compiled(t, rt, text, scim.AllLenient(), used.note)
	require.NoError(t, err, text)
	require.Equal(t, want, fits(r), text)
	require.ElementsMatch(t, quirks, used, text)
	if len(quirks) == 0 {
		_, err := compiled(t, rt, text, nil, nil)
		require.NoError(t, err, text)
	}
}

func TestQuirk_E02(t *testing.T) {
	t.Parallel()
	finds(t, scim.UserType(), u1(t), `userName eq "NORA.LIND@EXAMPLE.ORG"`, true)
}

func TestQuirk_E03(t *testing.T) {
	t.Parallel()
	finds(t, scim.UserType(), u1(t), `externalId eq "ext-nora"`, true)
	finds(t, scim.UserType(), u1(t), `externalId eq "EXT-NORA"`, false)
}

func TestQuirk_E04(t *testing.T) {
	t.Parallel()
	finds(t, scim.UserType(), u1(t), `emails[type eq "work"].value eq "nora.lind@example.org"`, true, scim.Quirk(filter.ValuePathSub))
	finds(t, scim.UserType(), u1(t), `Emails[Type eq "work"].Value eq "nora.lind@example.org"`, true, scim.Quirk(filter.ValuePathSub))
	finds(t, scim.UserType(), u1(t), `emails[type eq "home"].value eq "nora.lind@example.org"`, false, scim.Quirk(filter.ValuePathSub))
}

func TestQuirk_E05(t *testing.T) {
	t.Parallel()
	finds(t, scim.UserType(), u1(t), `externalId eq "ext-nora" and userName eq "nora.lind@example.org"`, true)
}

func TestQuirk_E07(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"`+ent+`":{"manager":{"value":"u2"}}}`)
	finds(t, scim.UserType(), r, `id eq "u1" and manager eq "u2"`, true, scim.QuirkExtensionWithoutURN)
	finds(t, scim.UserType(), r, `id eq "u1" and manager eq "u3"`, false, scim.QuirkExtensionWithoutURN)
	finds(t, scim.UserType(), r, ent+`:manager eq "u2"`, true)
	finds(t, scim.GroupType(), g1(t), `id eq "g1" and members eq "u1"`, true)
	finds(t, scim.GroupType(), g1(t), `id eq "g1" and members eq "u3"`, false)
	_, err := compiled(t, scim.UserType(), `manager eq "u2"`, nil, nil)
	refused(t, err, scim.InvalidFilter)
}

func TestQuirk_E13(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"userName":"o'brien+ops@example.org","displayName":"A \"B\" \\ C"}`)
	finds(t, scim.UserType(), r, `userName eq "o'brien+ops@example.org"`, true)
	finds(t, scim.UserType(), r, `displayName eq "A \"B\" \\ C"`, true)
}

func TestQuirk_P05(t *testing.T) {
	t.Parallel()
	finds(t, scim.UserType(), u1(t), `name.FamilyName eq Lind and (emails.Value co example.com or emails.Value co example.org)`, true,
		scim.Quirk(filter.BareWord), scim.Quirk(filter.BareWord), scim.Quirk(filter.BareWord))
}

func TestQuirk_P06(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`meta.Created gt "2026-03-01T01:59:59.1234567-07:00"`: true,
		`meta.created gt "2026-03-01T02:00:00-07:00"`:         false,
		`meta.lastModified ge "2026-03-02T09:00:00Z"`:         true,
		`meta.lastModified eq "2026-03-02T10:00:00+01:00"`:    true,
	} {
		finds(t, scim.UserType(), u1(t), text, want)
	}
}

func TestQuirk_X15(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`emails co "nora"`: true, `emails co "bob"`: false, `userName pr`: true, `title pr`: false, `name pr`: true, `meta pr`: true,
		`not (userName eq "x")`: true, ent + `:department eq "Docks"`: true, ent + `:department eq "docks" and userName sw "nora"`: true,
		core + `:userName eq "nora.lind@example.org"`: true, core + `:name.familyName eq "lind"`: true,
		`emails[type eq "work" and primary eq true]`: true, `emails[primary eq false]`: false, `emails.primary eq true`: true,
		`schemas eq "` + ent + `"`: true, `schemas co "enterprise"`: true, `id eq "u1"`: true, `id eq "U1"`: false, `id pr`: true,
		`meta.resourceType eq "User"`: true, `meta.version eq "W/\"1\""`: true, `meta.location co "Users"`: false, `active eq true`: true, `title eq null`: true,
		ent + `:manager pr`: false,
	} {
		finds(t, scim.UserType(), u1(t), text, want)
	}
	for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
		for _, text := range []string{`userName gt 5`, `active gt true`, `active co "x"`, `meta.created gt "soon"`, `userName[value eq "x"]`} {
			_, err := compiled(t, scim.UserType(), text, l, nil)
			refused(t, err, scim.InvalidFilter)
		}
	}
	for _, text := range []string{`unknownAttr eq "x"`, `name.nick eq "x"`, `emails[kind eq "x"]`, `urn:x:y:z eq "x"`, ent + `:badge eq "x"`, ent + ` eq "x"`, `name eq "x"`} {
		finds(t, scim.UserType(), u1(t), text, false, scim.QuirkUnknownInFilter)
		_, err := compiled(t, scim.UserType(), text, nil, nil)
		refused(t, err, scim.InvalidFilter)
	}
	all, err := scim.UserType().Compile(nil, nil, nil)
	require.NoError(t, err)
	require.True(t, all(u1(t)))
}

func TestQuirk_X16(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	for _, text := range []string{`password eq "s"`, `password pr`, `not (password sw "s")`, core + `:password pr`, `urn:acme:User:secret pr`, `urn:acme:User:log[hidden eq "x"]`, `urn:acme:User:log.hidden pr`} {
		_, err := compiled(t, rt, text, scim.AllLenient(), nil)
		require.Equal(t, http.StatusForbidden, refusal(t, err, scim.SensitiveErr).Status)
		require.NotContains(t, err.Error(), `"s"`)
	}
}

func TestCompile_kinds(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	r := having(t, u1(t), `{"urn:acme:User":{"floor":7,"share":1.5,"since":"2026-01-01T00:00:00Z","tags":["a","B"],"key":"QQ==","log":[{"level":1},{"level":5,"at":"2026-01-01T00:00:00Z"}]}}`)
	for text, want := range map[string]bool{
		`floor gt 6`: true, `floor eq 7.0`: true, `floor lt 7`: false, `share eq 1.50`: true, `since lt "2026-06-01T00:00:00Z"`: true,
		`tags eq "b"`: true, `tags co "c"`: false, `key eq "QQ=="`: true, `log.level ge 5`: true, `log[level eq 5 and at pr]`: true, `log[level eq 1 and at pr]`: false,
	} {
		finds(t, rt, r, `urn:acme:User:`+text, want)
	}
}

// RFC 7644 section 3.4.2.3.
func TestSortKey(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	low := having(t, u1(t), `{"userName":"Anna","active":false,"emails":[{"value":"z"},{"value":"a","primary":true}],"urn:acme:User":{"floor":7,"since":"2026-01-01T01:00:00+01:00"},"`+ent+`":{"manager":{"value":"a"}}}`)
	high := having(t, u1(t), `{"userName":"BERT","active":true,"emails":[{"value":"B"},{"value":"a"}],"urn:acme:User":{"floor":12,"since":"2026-01-01T00:00:01Z"},"`+ent+`":{"manager":{"value":"b"}}}`)
	low.ID, high.ID = "a", "b"
	high.Created = low.Created.Add(1)
	none := scim.Resource{ID: "c", Created: high.Created.Add(1)}
	for _, by := range []string{
		"userName", "USERNAME", "active", "emails", "emails.value", core + ":userName", "urn:acme:User:floor", "floor", "urn:acme:User:since",
		"id", "meta.created", "manager", ent + ":manager.value",
	} {
		for _, descending := range []bool{false, true} {
			order, err := rt.SortKey(by, descending)
			require.NoError(t, err, by)
			sign := 1
			if descending {
				sign = -1
			}
			require.Equal(t, -sign, order(low, high), by)
			require.Equal(t, sign, order(high, low), by)
			require.Zero(t, order(low, low), by)
			require.Zero(t, order(none, none), by)
			require.Equal(t, -sign, order(high, none), by)
			require.Equal(t, sign, order(none, low), by)
		}
	}
	for _, by := range []string{"", "nothing", "name", "name.nothing", ent, "a b", "addresses"} {
		_, err := rt.SortKey(by, false)
		refused(t, err, scim.InvalidValue)
	}
	for _, by := range []string{"password", "urn:acme:User:log.hidden"} {
		_, err := rt.SortKey(by, false)
		require.Equal(t, http.StatusForbidden, refusal(t, err, scim.SensitiveErr).Status)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before := u1(t).Attributes
	require.Nil(t, scim.UserType().Diff(before, object(t, encode(t, before))))
	after := object(t, with(t, u1(t), `{"title":"Pilot","externalId":null,"active":false,
		"emails":[{"type":"work","value":"new@example.org"},{"type":"home","value":"nora.lind@example.org"}],
		"roles":[{"display":"x"}],"`+ent+`":{"department":"Yard","employeeNumber":"4711","manager":{"value":"u2"}}}`))
	require.Equal(t, []scim.Changed{
		{Attr: "active"},
		{Attr: "emails", Added: []any{object(t, `{"type":"work","value":"new@example.org"}`)}},
		{Attr: "externalId"},
		{Attr: "roles", Added: []any{object(t, `{"display":"x"}`)}},
		{Attr: "title"},
		{Attr: ent + ":department"},
		{Attr: ent + ":manager"},
	}, scim.UserType().Diff(before, after))
	require.Equal(t, []scim.Changed{{Attr: "emails"}}, scim.UserType().Diff(before, object(t, with(t, u1(t), `{"emails":[{"type":"home","primary":true,"value":"nora.lind@example.org"}]}`))))
	require.Equal(t, []scim.Changed{{Attr: "members", Added: []any{object(t, `{"value":"u3"}`)}, Removed: []any{object(t, `{"value":"u1"}`)}}},
		scim.GroupType().Diff(g1(t).Attributes, object(t, `{"displayName":"Harbour Crew","externalId":"ext-g1","members":[{"value":"u2"},{"value":"u3"}]}`)))
	require.Equal(t, []scim.Changed{{Attr: "members", Removed: []any{object(t, `{"value":"u1"}`), object(t, `{"value":"u2"}`)}}},
		scim.GroupType().Diff(g1(t).Attributes, object(t, `{"displayName":"Harbour Crew","externalId":"ext-g1"}`)))
}
