package daemon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// The engine asks a directory for what changed if it finds that it can be asked.
var _ reconcile.Incremental = (*ldap.Source)(nil)

const two = `version: 1
mattermost: {url: "https://chat.example.com", token: stub}
state: {url: "sqlite:/var/lib/mmsync/state.db"}
sources:
  - {name: hr, type: file, path: hr.csv}
  - {name: guests, type: file, path: guests.csv}
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
`

func configOf(t *testing.T, more string) *config.Config {
	t.Helper()
	c, err := config.Parse("config.yaml", []byte(two+more), nil)
	require.NoError(t, err)
	return c
}

// Each source gets its own rules, in the order of the file.
func TestMapper_loginRules(t *testing.T) {
	t.Parallel()
	c := configOf(t, `auth:
  policy:
    - {source: hr, when: 'attr.kind == "staff"', service: saml, data: attr.mail}
    - {source: guests, service: openid, data: attr.login}
    - {source: hr, service: ldap, data: attr.login}
`)
	var rec sources.Record
	for name, value := range map[string]string{"id": "1", "login": "ada", "mail": "ada@example.test", "kind": "staff"} {
		rec.Add(name, value)
	}
	logins := func(i int, rec sources.Record) string {
		m, err := mapper(c, i)
		require.NoError(t, err)
		id, err := m.Identity(rec)
		require.NoError(t, err)
		require.Empty(t, id.Fault)
		return id.Auth.Service + " " + id.Auth.Data
	}
	require.Equal(t, "saml ada@example.test", logins(0, rec))
	require.Equal(t, "openid ada", logins(1, rec))
	var other sources.Record
	for name, value := range map[string]string{"id": "1", "login": "ada", "mail": "ada@example.test", "kind": "temp"} {
		other.Add(name, value)
	}
	require.Equal(t, "ldap ada", logins(0, other))

	_, err := mapper(configOf(t, "auth: {policy: [{source: guests, service: saml, data: lower(attr.mail}]}\n"), 1)
	require.ErrorContains(t, err, "config.yaml:8:70: auth.policy[0].data: a ) is missing here")
}

func TestPolicy_followsTheConfiguration(t *testing.T) {
	t.Parallel()
	p := policy(configOf(t, ""))
	require.False(t, p.ChangeAuth)
	require.True(t, p.RevokeOnAuth)
	require.False(t, p.RecreateGone)
	require.False(t, p.DeleteEndpoint)
	for text, want := range map[string]func(*plan.Policy){
		"auth: {migrate_existing: {enabled: true}}":               func(p *plan.Policy) { p.ChangeAuth = true },
		"auth: {migrate_existing: {revoke_sessions: false}}":      func(p *plan.Policy) { p.RevokeOnAuth = false },
		"lifecycle: {on_gone: recreate}":                          func(p *plan.Policy) { p.RecreateGone = true },
		"lifecycle: {on_gone: ask}":                               func(*plan.Policy) {},
		"lifecycle: {deactivate: {delete_endpoint: true}}":        func(p *plan.Policy) { p.DeleteEndpoint = true },
		"lifecycle: {deactivate: {on: [missing]}}":                func(p *plan.Policy) { p.Deactivate = plan.Triggers{Missing: true} },
		"guards: {protect: {usernames: [svc-*], never_below: 2}}": func(p *plan.Policy) { p.ReservedNames, p.NeverBelow = []string{"svc-*"}, 2 },
	} {
		wanted := p
		want(&wanted)
		require.Equal(t, wanted, policy(configOf(t, text+"\n")), text)
	}
}

func TestPolicy_rolesAndGuests(t *testing.T) {
	t.Parallel()
	c := configOf(t, "")
	require.Empty(t, policy(c).Roles)
	require.Equal(t, mattermost.TargetOptions{}, targetOptions(c))
	name := c.Sources[0].Name
	c = configOf(t, strings.ReplaceAll(`roles:
  - {role: system_admin, source: S, when: "true", demote_when_lost: ask}
  - {role: system_manager, source: S, when: "true", demote_when_lost: false, grant: allow}
guests:
  - {source: S, when: attr.kind == "external", when_lost: promote}
`, "S", name))
	require.Equal(t, []plan.RoleAuthority{{
		Source: name, Managed: identity.NewRoles("system_admin", "system_manager"), Granted: identity.NewRoles("system_manager"),
		Kept: identity.NewRoles("system_manager"), Asked: identity.NewRoles("system_admin"), Guests: true, Guest: plan.LostTake,
	}}, policy(c).Roles)
	require.Equal(t, mattermost.TargetOptions{Guests: true, Delegated: true}, targetOptions(c))
	for word, want := range map[string]plan.Lost{"ask": plan.LostAsk, "keep": plan.LostKeep} {
		c = configOf(t, fmt.Sprintf("guests: [{source: %s, when: 'true', when_lost: %s}]\n", name, word))
		require.Equal(t, []plan.RoleAuthority{{Source: name, Guests: true, Guest: want}}, policy(c).Roles)
	}
}

func TestLimits_followTheConfiguration(t *testing.T) {
	t.Parallel()
	l := limits(configOf(t, ""))
	require.Equal(t, guard.Limit{Count: 5, MinimumPopulation: 20}, l.Recreations)
	l = limits(configOf(t, "guards: {max_recreations: {percent: 2.5, minimum_population: 7}}\n"))
	require.Equal(t, guard.Limit{Percent: 2.5, MinimumPopulation: 7}, l.Recreations)
	require.Equal(t, guard.Limit{Count: 5, MinimumPopulation: 20}, l.RoleRemovals)
	require.False(t, l.Stop)
	require.True(t, limits(configOf(t, "guards: {on_trip: stop}\n")).Stop)
	for key, of := range map[string]func(guard.Limits) guard.Limit{
		"deactivations": func(l guard.Limits) guard.Limit { return l.Deactivations },
		"role_removals": func(l guard.Limits) guard.Limit { return l.RoleRemovals },
		"admin_grants":  func(l guard.Limits) guard.Limit { return l.AdminGrants },
		"renames":       func(l guard.Limits) guard.Limit { return l.Renames },
		"email_changes": func(l guard.Limits) guard.Limit { return l.EmailChanges },
		"auth_changes":  func(l guard.Limits) guard.Limit { return l.AuthChanges },
		"creates":       func(l guard.Limits) guard.Limit { return l.Creates },
		"updates":       func(l guard.Limits) guard.Limit { return l.Updates },

		"space_creations": func(l guard.Limits) guard.Limit { return l.SpaceCreations },
	} {
		require.Equal(t, guard.Limit{Count: 71, MinimumPopulation: 20}, of(limits(configOf(t, "guards: {max_"+key+": {count: 71}}\n"))), key)
	}
}

func TestNewSpaces_followTheConfiguration(t *testing.T) {
	t.Parallel()
	c := configOf(t, "")
	require.False(t, newSpaces(c).Make)
	require.False(t, policy(c).RestoreOnReturn)
	name := c.Sources[0].Name
	c = configOf(t, fmt.Sprintf(`memberships:
  missing_targets: create
  new_targets: [{target: eng, display_name: Engineering}, {target: eng/dev, public: true}]
  rules: [{source: %s, team: eng, channels: [dev, ops], when: 'true'}]
lifecycle: {reactivate: {memberships: restore}}
`, name))
	n := newSpaces(c)
	require.True(t, n.Make)
	require.Equal(t, "Engineering", n.Titles["eng"])
	require.Equal(t, map[string]bool{"eng": false, "eng/dev": true}, n.Public)
	require.True(t, policy(c).RestoreOnReturn)
}
