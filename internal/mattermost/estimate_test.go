package mattermost_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// people makes n decisions with the same ops.
func people(n int, action plan.Action, ops ...plan.Op) []plan.Decision {
	out := make([]plan.Decision, n)
	for i := range out {
		out[i] = plan.Decision{Key: identity.Key{Source: "s", Anchor: string(rune('a' + i))}, Action: action, Ops: ops}
	}
	return out
}

func TestTarget_Estimate(t *testing.T) {
	t.Parallel()
	var (
		off      = op(plan.SetActive, change("active", "true", "false"))
		on       = op(plan.SetActive, change("active", "false", "true"))
		deleted  = byDelete()
		patch    = op(plan.PatchProfile, change("nickname", "", "x"))
		roles    = op(plan.SetRoles, change("roles", "system_user", "system_admin system_user"))
		login    = op(plan.SetAuth, change("auth_service", "", "saml"), change("auth_data", "", "x"))
		half     = op(plan.SetAuth, change("auth_data", "a", "b"))
		password = op(plan.CreateAccount, change("username", "", "x"), change("email", "", "x@example.test"))
	)
	// By hand, on 11.6: the bucket at 50/s holds 50, so that its third takes
	// (50/3)/50 = 0.333 s to fill; at 1000/s it holds 50 as well: 0.0167 s.
	for name, c := range map[string]struct {
		rate      float64
		inFlight  int
		profile   mmsim.Profile
		decisions []plan.Decision
		want      float64 // seconds
	}{
		"nothing to do":                             {50, 4, mmsim.Profile116, nil, 0},
		"links are no calls":                        {50, 4, mmsim.Profile116, people(9, plan.Adopt, op(plan.LinkAccount)), 0},
		"the rate: look, call, read back":           {50, 4, mmsim.Profile116, people(300, plan.Deactivate, off), 900/50.0 + 1/3.0},
		"by delete, whose token it is besides":      {50, 4, mmsim.Profile116, people(300, plan.Deactivate, deleted), 1200/50.0 + 1/3.0},
		"two reads each before 11.0":                {50, 4, mmsim.Profile538, people(300, plan.Deactivate, off), 1500/50.0 + 1/3.0},
		"a patch is one call":                       {50, 4, mmsim.Profile116, people(1000, plan.Update, patch), 1000/50.0 + 1/3.0},
		"and a look once the plan is a minute old":  {50, 4, mmsim.Profile116, people(3000, plan.Update, patch), 6000/50.0 + 1/3.0},
		"a creation is one call":                    {50, 4, mmsim.Profile116, people(1000, plan.Create, create("x")), 1000/50.0 + 1/3.0},
		"and roles are three":                       {50, 4, mmsim.Profile116, people(1000, plan.Create, create("x"), roles), 4000/50.0 + 1/3.0},
		"half a login is read first":                {50, 4, mmsim.Profile116, people(100, plan.Update, half), 400/50.0 + 1/3.0},
		"passwords: 15.9 a second with four":        {50, 4, mmsim.Profile116, people(1000, plan.Create, password), 1000/15.9 + 1/3.0},
		"passwords: 8.3 a second alone":             {50, 1, mmsim.Profile116, people(100, plan.Create, password), 100/8.3 + 1/3.0},
		"one password has no use for four":          {50, 4, mmsim.Profile116, people(1, plan.Create, password), 1/8.3 + 1/3.0},
		"sixteen at a time are no faster":           {50, 16, mmsim.Profile116, people(1000, plan.Create, password), 1000/15.9 + 1/3.0},
		"a fast rate: the server is what is slow":   {1000, 4, mmsim.Profile116, people(800, plan.Deactivate, off), 800/336.0 + 1600/2806.0 + 50.0/3/1000},
		"alone it is slower":                        {1000, 1, mmsim.Profile116, people(800, plan.Deactivate, off), 800/143.0 + 1600/1090.0 + 50.0/3/1000},
		"two are twice as fast as one":              {1000, 2, mmsim.Profile116, people(800, plan.Reactivate, on), 800/476.0 + 1600/2180.0 + 50.0/3/1000},
		"logins are moved fast, the rate holds":     {1000, 4, mmsim.Profile116, people(800, plan.Update, login), 2400/1000.0 + 50.0/3/1000},
		"a slow rate has a small bucket, held once": {3, 4, mmsim.Profile116, people(1, plan.Deactivate, off), 3/3.0 + 1/3.0},
		"phases follow one another": {
			50, 4, mmsim.Profile116,
			append(people(100, plan.Deactivate, off), people(318, plan.Create, password)...), 300/50.0 + 318/15.9 + 1/3.0,
		},
		"what is kept from a leaver who is held counts": {
			50, 4, mmsim.Profile116, people(100, plan.Hold, op(plan.RevokeSessions, change("active", "true", "false"))), 300/50.0 + 1/3.0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{Profile: c.profile})
			cl := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.RatePerSecond, o.MaxInFlight = c.rate, c.inFlight })
			target := mattermost.NewTarget(cl, mattermost.TargetOptions{})
			require.NoError(t, target.Healthy(t.Context())) // the version is known from here on
			got := target.Estimate(plan.Plan{Decisions: c.decisions})
			require.InDelta(t, c.want, got.Seconds(), 1e-6)
		})
	}
	t.Run("the server's own rate counts", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 2, MaxBurst: 5}})
		for range 6 {
			_, err := target.Account(within(t, time.Minute), s.AdminID())
			require.NoError(t, err)
		}
		got := target.Estimate(plan.Plan{Decisions: people(10, plan.Update, patch)})
		require.Greater(t, got, 4*time.Second)
	})
}
