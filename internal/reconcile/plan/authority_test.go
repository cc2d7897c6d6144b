package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Values are few, so that sources often agree and often have none.
var someValue = rapid.SampledFrom([]string{"", "", "a", "b"})

func someProfile(t *rapid.T, label string) (p identity.Profile, owned identity.Attributes) {
	for _, a := range identity.AllAttributes() {
		if rapid.Bool().Draw(t, label+" owns "+string(a)) {
			p, owned = p.With(a, someValue.Draw(t, label+" "+string(a))), owned.With(a)
		}
	}
	return p, owned
}

func someVoices(t *rapid.T) []plan.Voice {
	var out []plan.Voice
	for _, source := range []string{"hr", "okta", "badge"} {
		if !rapid.Bool().Draw(t, source) {
			continue
		}
		v := plan.Voice{Key: identity.Key{Source: source, Anchor: "1"}}
		v.Standing = rapid.SampledFrom([]plan.Standing{plan.Speaks, plan.Speaks, plan.Gone, plan.Unknown}).Draw(t, source+" is")
		if v.Standing != plan.Unknown {
			v.Profile, v.Owned = someProfile(t, source)
		}
		out = append(out, v)
	}
	return out
}

func someAuthority(t *rapid.T) plan.Policy {
	p := newWorld().policy
	for _, a := range identity.AllAttributes() {
		list := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ad", "hr", "okta", "badge"}), 0, 4, rapid.ID).Draw(t, "authority of "+string(a))
		if len(list) > 0 {
			p.Authority = append(p.Authority, plan.Authority{Attribute: a, Sources: list})
		}
	}
	return p
}

// TestMerge holds what several sources want together to what is promised of it.
func TestMerge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, voices := someAuthority(t), someVoices(t)
		owner := identity.Identity{Key: identity.Key{Source: "ad", Anchor: "1"}, Active: true, Hash: "h"}
		owner.Profile, owner.Owned = someProfile(t, "owner")
		before := owner
		got, awards := plan.Merge(&owner, voices, p)
		require.Equal(t, before, owner, "what is merged is left alone")

		judged := map[identity.Attribute]plan.Award{}
		for _, w := range awards {
			judged[w.Attribute] = w
			require.NotEmpty(t, w.Why)
			for _, l := range w.Lost {
				require.NotEmpty(t, l.Why)
				require.NotEqual(t, w.Source, l.Source)
			}
		}
		for _, a := range identity.AllAttributes() {
			w, shared := judged[a]
			switch {
			case !shared || w.Source == "ad":
				require.Equal(t, owner.Owned.Has(a), got.Owned.Has(a))
				require.Equal(t, owner.Profile.Value(a), got.Profile.Value(a))
				continue
			case w.Source == "":
				require.False(t, got.Owned.Has(a), "nobody's is nobody's to change")
				continue
			}
			at := slices.IndexFunc(voices, func(v plan.Voice) bool { return v.Key.Source == w.Source })
			require.Equal(t, plan.Speaks, voices[at].Standing, "%s: only who has the person counts", a)
			require.Equal(t, voices[at].Profile.Value(a), got.Profile.Value(a))
			require.True(t, got.Owned.Has(a))
			if a == identity.Username || a == identity.Email {
				require.NotEmpty(t, w.Value, "a source without one gives way")
			}
		}
		require.Equal(t, owner.Active, got.Active, "only the owner says who is in")
		require.Equal(t, owner.Auth, got.Auth)
		require.Equal(t, owner.Roles, got.Roles)

		// That a source could not be read changes nothing of what it said.
		stale := slices.Clone(voices)
		for i := range stale {
			stale[i].Stale = "away"
		}
		again, _ := plan.Merge(&owner, stale, p)
		require.Equal(t, got, again)
		slices.Reverse(stale)
		again, _ = plan.Merge(&owner, stale, p)
		require.Equal(t, got, again, "in whatever order they are heard")
		// What is merged already stays so.
		again, _ = plan.Merge(got, voices, p)
		require.Equal(t, got.Profile, again.Profile)
		require.Equal(t, got.Owned, again.Owned)
		// Two who are wanted otherwise are never taken for unchanged.
		voices = someVoices(t)
		if other, _ := plan.Merge(&owner, voices, p); other.Hash == got.Hash {
			require.Equal(t, got.Profile, other.Profile)
			require.Equal(t, got.Owned, other.Owned)
		}
	})
}

// Nobody is switched off for being missing from the owner's source while any other
// source is not known to lack him.
func TestBuild_nobodyElseHasHim(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.accounts["root"] = &identity.Account{ID: "root", Profile: identity.Profile{Username: "root"}, Roles: identity.NewRoles(identity.RoleAdmin, identity.RoleUser)}
		a := &identity.Account{ID: "a1", Profile: identity.Profile{Username: "ann", Email: "ann@x"}, Roles: identity.NewRoles(identity.RoleUser)}
		w.accounts["a1"] = a
		if rapid.Bool().Draw(t, "hands over") {
			w.policy.HandsOver = []plan.HandsOver{{Source: "ad", To: []string{"okta", "hr"}}}
		}
		k := identity.Key{Source: "ad", Anchor: "1"}
		w.links[k] = &identity.Link{Key: k, AccountID: "a1", Part: identity.Owner, Applied: identity.Applied{Active: true}}
		w.absence[k] = plan.Absence{Complete: true, Reads: 2, Since: w.now.Add(-200 * time.Hour), Presence: identity.PresenceGone}
		obs := w.observe()
		for i := range obs {
			if obs[i].Key == k {
				obs[i].Voices = someVoices(t)
				for n := range obs[i].Voices {
					if rapid.Bool().Draw(t, "stale") {
						obs[i].Voices[n].Stale = "away"
					}
				}
				left := !slices.ContainsFunc(obs[i].Voices, func(v plan.Voice) bool { return v.Standing != plan.Gone })
				p := plan.Build(obs, w.policy)
				require.Equal(t, left, p.Count(plan.Deactivate) == 1, "%+v", p.Decisions)
				for _, d := range p.Decisions {
					if d.Reason != plan.HandedOver {
						continue
					}
					to, _ := d.Ops[0].To(plan.FieldKey)
					heir, _ := identity.ParseKey(to)
					at := slices.IndexFunc(obs[i].Voices, func(v plan.Voice) bool { return v.Key == heir })
					require.Equal(t, plan.Speaks, obs[i].Voices[at].Standing)
					require.Empty(t, obs[i].Voices[at].Stale, "only to a source that was just read")
				}
			}
		}
	})
}
