package scim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/scim/filter"
)

// verbose is a PATCH of 36 operations such as Microsoft's validator sends.
func verbose(t testing.TB) []scim.PatchOp {
	t.Helper()
	text := `[{"op":"replace","path":"active","value":true},{"op":"replace","path":"userName","value":"n@example.org"},`
	for _, name := range []string{"displayName", "title", "preferredLanguage", "userType", "nickName", "locale", "timezone", "profileUrl", "externalId"} {
		text += `{"op":"replace","path":"` + name + `","value":"x"},`
	}
	for _, name := range []string{"givenName", "familyName", "formatted", "middleName", "honorificPrefix", "honorificSuffix"} {
		text += `{"op":"replace","path":"name.` + name + `","value":"x"},`
	}
	text += `{"op":"replace","path":"emails[type eq \"work\"].value","value":"x@example.org"},`
	for _, name := range []string{"formatted", "streetAddress", "locality", "region", "postalCode", "country"} {
		text += `{"op":"replace","path":"addresses[type eq \"work\"].` + name + `","value":"x"},`
	}
	for _, name := range []string{"work", "mobile", "fax", "home", "pager"} {
		text += `{"op":"replace","path":"phoneNumbers[type eq \"` + name + `\"].value","value":"1"},`
	}
	for _, name := range []string{"employeeNumber", "costCenter", "organization", "division", "department", "manager"} {
		text += `{"op":"replace","path":"` + ent + `:` + name + `","value":"7"},`
	}
	patch := ops(t, text[:len(text)-1]+`,{"op":"replace","path":"title","value":"y"}]`)
	require.Len(t, patch, 36)
	return patch
}

func TestQuirk_E48(t *testing.T) {
	t.Parallel()
	got, err := scim.UserType().Patch(u1(t), verbose(t), scim.AllLenient(), nil)
	require.NoError(t, err)
	require.Equal(t, "y", got["title"])
	require.Len(t, got["phoneNumbers"], 5)
	require.Equal(t, decodeAny(t, `[{"type":"work","formatted":"x","streetAddress":"x","locality":"x","region":"x","postalCode":"x","country":"x"}]`), got["addresses"])
}

// crowd is a group of n members, and as many others to be added.
func crowd(n int) (scim.Resource, []any) {
	members, others := make([]any, n), make([]any, n)
	for i := range n {
		members[i] = scim.Object{"value": fmt.Sprintf("member-%06d", i), "type": "User"}
		others[i] = scim.Object{"value": fmt.Sprintf("other-%06d", i)}
	}
	return scim.Resource{ID: "g1", Attributes: scim.Object{"displayName": "x", "members": members}}, others
}

// Thousands in one operation, or in one each, are linear.
func TestQuirk_K03(t *testing.T) {
	t.Parallel()
	const n = 10_000
	r, others := crowd(n)
	members, ok := r.Attributes["members"].([]any)
	require.True(t, ok)
	var singly []scim.PatchOp
	for _, m := range members[:2000] {
		singly = append(singly, scim.PatchOp{Op: "remove", Path: "members", Value: []any{m}, HasValue: true})
		o, ok := m.(scim.Object)
		require.True(t, ok)
		singly = append(singly, scim.PatchOp{Op: "remove", Path: fmt.Sprintf(`members[value eq %q]`, o["value"])})
	}
	for _, c := range []struct {
		ops  []scim.PatchOp
		left int
	}{
		{[]scim.PatchOp{{Op: "add", Path: "members", Value: others, HasValue: true}}, 2 * n},
		{[]scim.PatchOp{{Op: "remove", Path: "members", Value: members[:n-1], HasValue: true}}, 1},
		{[]scim.PatchOp{{Op: "replace", Path: "members", Value: others, HasValue: true}}, n},
		{singly, n - 2000},
	} {
		start := time.Now()
		got, err := scim.GroupType().Patch(r, c.ops, scim.AllLenient(), nil)
		require.NoError(t, err)
		require.Len(t, got["members"], c.left)
		require.NotNil(t, scim.GroupType().Diff(r.Attributes, got))
		require.Less(t, time.Since(start), 20*time.Second, "what is not linear takes minutes")
	}
	require.Len(t, r.Attributes["members"], n)
}

func BenchmarkPatch(b *testing.B) {
	user, group, l := scim.UserType(), scim.GroupType(), scim.AllLenient()
	crew, others := crowd(10_000)
	members := crew.Attributes["members"]
	for _, c := range []struct {
		name string
		rt   *scim.ResourceType
		r    scim.Resource
		ops  []scim.PatchOp
	}{
		{"1op", user, u1(b), ops(b, `[{"op":"replace","path":"active","value":false}]`)},
		{"36ops", user, u1(b), verbose(b)},
		{"addOneTo10000", group, crew, ops(b, `[{"op":"add","path":"members","value":[{"value":"x"}]}]`)},
		{"removeOneOf10000", group, crew, ops(b, `[{"op":"remove","path":"members[value eq \"member-005000\"]"}]`)},
		{"renameWith10000", group, crew, ops(b, `[{"op":"replace","value":{"displayName":"y"}}]`)},
		{"add10000", group, crew, []scim.PatchOp{{Op: "add", Path: "members", Value: others, HasValue: true}}},
		{"remove10000", group, crew, []scim.PatchOp{{Op: "remove", Path: "members", Value: members, HasValue: true}}},
		{"replace10000", group, crew, []scim.PatchOp{{Op: "replace", Path: "members", Value: others, HasValue: true}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.rt.Patch(c.r, c.ops, l, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	crew, others := crowd(10_000)
	after := scim.Object{"displayName": "x", "members": others}
	for b.Loop() {
		scim.GroupType().Diff(crew.Attributes, after)
	}
}

func BenchmarkAccept(b *testing.B) {
	rt := scim.UserType()
	body := object(b, `{"schemas":["`+core+`","`+ent+`"],"userName":"n","externalId":"e","active":true,"name":{"givenName":"N","familyName":"L"},
		"emails":[{"type":"work","primary":true,"value":"n@example.org"}],"phoneNumbers":[{"type":"work","value":"1"}],"`+ent+`":{"department":"D"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.Accept(body, nil, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShow(b *testing.B) {
	user := u1(b)
	crew, _ := crowd(10_000)
	users, groups := scim.UserType(), scim.GroupType()
	only, err := scim.ParseProjection("userName,emails.value", "", nil, nil)
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		show func()
	}{
		{"user", func() { users.Show(user, base, scim.Projection{}) }},
		{"projected", func() { users.Show(user, base, only) }},
		{"10000members", func() { groups.Show(crew, base, scim.Projection{}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.show()
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rt := scim.UserType()
	user := u1(b)
	for _, text := range []string{`userName eq "NORA.LIND@example.org"`, `emails[type eq "work" and value co "nora"]`, ent + `:department eq "Docks" and active eq true`} {
		e, err := filter.Parse(text, filter.Options{})
		require.NoError(b, err)
		fits, err := rt.Compile(e, nil, nil)
		require.NoError(b, err)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fits(user)
			}
		})
	}
}
