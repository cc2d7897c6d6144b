package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// When an operator's word that somebody is off ends by itself.
func TestAgrees(t *testing.T) {
	t.Parallel()
	w := newWorld()
	off := &identity.Account{ID: "a1", DeleteAt: 7}
	on := &identity.Account{ID: "a1"}
	gone := plan.Absence{Complete: true, Reads: 2, Since: w.now.Add(-73 * time.Hour), Presence: identity.PresenceGone}
	with := func(change func(*plan.Absence)) plan.Absence {
		a := gone
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		desired *identity.Identity
		absence plan.Absence
		linked  *identity.Account
		unseen  bool
		agrees  bool
	}{
		"the source says active":                  {desired: &identity.Identity{Active: true}, linked: off},
		"the source says so too":                  {desired: &identity.Identity{}, linked: off, agrees: true},
		"the source says so, the account is on":   {desired: &identity.Identity{}, linked: on},
		"gone, confirmed, the grace over":         {absence: gone, linked: off, agrees: true},
		"gone, and the account is on":             {absence: gone, linked: on},
		"gone, and so is the account":             {absence: gone, agrees: true},
		"gone, and the account was not shown":     {absence: gone, unseen: true},
		"out of scope, confirmed, the grace over": {absence: with(func(a *plan.Absence) { a.Presence = identity.PresenceOutOfScope }), linked: off, agrees: true},
		"the source said delete":                  {absence: plan.Absence{Explicit: true}, linked: off, agrees: true},
		"the read was not complete":               {absence: with(func(a *plan.Absence) { a.Complete = false }), linked: off},
		"nobody confirmed it":                     {absence: with(func(a *plan.Absence) { a.Presence = identity.PresenceUnknown }), linked: off},
		"the source has him when asked":           {absence: with(func(a *plan.Absence) { a.Presence = identity.PresencePresent }), linked: off},
		"the grace is not over":                   {absence: with(func(a *plan.Absence) { a.Since = w.now.Add(-71 * time.Hour) }), linked: off},
		"missed just now":                         {absence: with(func(a *plan.Absence) { a.Since = time.Time{} }), linked: off},
		"missed by one read":                      {absence: with(func(a *plan.Absence) { a.Reads = 1 }), linked: off},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := plan.Observation{Desired: c.desired, Absence: c.absence, Linked: c.linked, Unseen: c.unseen, Now: w.now}
			require.Equal(t, c.agrees, plan.Agrees(o, w.policy))
		})
	}
}

func TestWord_Sentence(t *testing.T) {
	t.Parallel()
	w := plan.Word{ID: "id", About: "held", By: "eve\x1b[2J@host", Reason: "line\nbreak \u202e", Since: time.Unix(0, 0), Until: time.Unix(3600, 0)}
	require.Equal(t, `held by eve\x1b[2J@host since 1970-01-01 00:00 UTC until 1970-01-01 01:00 UTC, because "line\nbreak \u202e" (id)`, w.Sentence())
}
