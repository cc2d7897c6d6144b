package mattermost_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func withCustom(t *testing.T, o mmsim.Options) (*mmsim.Server, *mattermost.Target) {
	t.Helper()
	s, plain := simulated(t, o)
	return s, mattermost.NewTarget(plain.Client(), mattermost.TargetOptions{Custom: true})
}

func customFields() []mmsim.CustomField {
	return []mmsim.CustomField{
		{ID: strings.Repeat("d", 26), Name: "Department", Type: "text"},
		{ID: strings.Repeat("c", 26), Name: "Cost centre", Type: "text"},
		{ID: strings.Repeat("l", 26), Name: "Office", Type: "text", LDAP: "l"},
		{ID: strings.Repeat("s", 26), Name: "Site", Type: "text", SAML: "s"},
		{ID: strings.Repeat("m", 26), Name: "Manager", Type: "user"},
		{ID: strings.Repeat("z", 26), Name: "Size", Type: "select"},
	}
}

func TestTarget_Facts_user_attributes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o   mmsim.Options
		off string
	}{
		"no licence": {mmsim.Options{}, "no licence for them"},
		"5.38":       {mmsim.Options{Profile: mmsim.Profile538}, "lets nobody set those of others"},
	} {
		_, target := withCustom(t, c.o)
		f, err := target.Facts(t.Context())
		require.NoError(t, err, name)
		require.Contains(t, f.CustomOff, c.off, name)
		require.Empty(t, f.CustomFields, name)
	}
	s, unasked := simulated(t, mmsim.Options{CustomFields: customFields()})
	_, err := unasked.Facts(t.Context())
	require.NoError(t, err)
	for _, c := range s.Calls() {
		require.NotContains(t, c.Path, "custom_profile", "nobody gives any, so nobody asks")
	}
	_, target := withCustom(t, mmsim.Options{CustomFields: customFields()})
	f, err := target.Facts(t.Context())
	require.NoError(t, err)
	require.Empty(t, f.CustomOff)
	require.Equal(t, map[string]string{
		"Department": "", "Cost centre": "", "Office": "Mattermost takes it from its own LDAP sync", "Site": "Mattermost takes it from SAML",
		"Manager": `it is of type "user", which person_attributes sets`, "Size": `it is of type "select", and only texts are set`,
	}, f.CustomFields)
	require.Equal(t, map[string]string{
		"Department": `it is of type "text", and a person is set in one of type "user"`, "Cost centre": `it is of type "text", and a person is set in one of type "user"`,
		"Office": "Mattermost takes it from its own LDAP sync", "Site": "Mattermost takes it from SAML",
		"Manager": "", "Size": `it is of type "select", and a person is set in one of type "user"`,
	}, f.CustomPeople)
}

func TestTarget_Apply_user_attributes(t *testing.T) {
	t.Parallel()
	s, target := withCustom(t, mmsim.Options{CustomFields: customFields()})
	a := mustApply(t, target, "", create("ada"))
	set := op(plan.SetCustom, change("user_attribute/Department", "", "IT"), change("user_attribute/Cost centre", "", "4711"))
	_, err := target.Apply(t.Context(), a.ID, set, mattermost.ApplyOptions{})
	require.True(t, mattermost.IsRefused(err), "whoever sets them has asked which there are: %v", err)
	_, err = target.Facts(t.Context())
	require.NoError(t, err)
	mustApply(t, target, a.ID, set)
	require.Equal(t, map[string]string{strings.Repeat("d", 26): "IT", strings.Repeat("c", 26): "4711"}, s.Custom(a.ID))
	mustApply(t, target, a.ID, op(plan.SetCustom, change("user_attribute/Department", "IT", "")))
	require.Equal(t, map[string]string{strings.Repeat("d", 26): "", strings.Repeat("c", 26): "4711"}, s.Custom(a.ID), "the others stay")
	boss := mustApply(t, target, "", create("bess"))
	mustApply(t, target, a.ID, op(plan.SetCustom, change("user_attribute/Manager", "", boss.ID)))
	require.Equal(t, boss.ID, s.Custom(a.ID)[strings.Repeat("m", 26)])
	_, err = target.Apply(t.Context(), a.ID, op(plan.SetCustom, change("user_attribute/Manager", boss.ID, "cn=bess")), mattermost.ApplyOptions{})
	require.True(t, mattermost.IsRefused(err), "only the id of an account is one: %v", err)
	mustApply(t, target, a.ID, op(plan.SetCustom, change("user_attribute/Manager", boss.ID, "")))
	require.Empty(t, s.Custom(a.ID)[strings.Repeat("m", 26)])
	for _, name := range []string{"Office", "nonsense"} {
		_, err := target.Apply(t.Context(), a.ID, op(plan.SetCustom, change("user_attribute/"+name, "", "x")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%s: %v", name, err)
	}
}

func TestCanonical_user_attributes(t *testing.T) {
	t.Parallel()
	i := identity.Identity{Custom: map[string]string{"a": " x\x00 ", "b": strings.Repeat("ü", 40), "c": ""}}
	got := mattermost.Canonical(i)
	require.Equal(t, map[string]string{"a": "x", "b": strings.Repeat("ü", 32), "c": ""}, got.Custom)
	require.Equal(t, " x\x00 ", i.Custom["a"], "the source's own is not changed")
	require.Equal(t, got, mattermost.Canonical(got))
}
