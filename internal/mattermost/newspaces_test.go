package mattermost_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func makeOp(name, title, who string) plan.Op {
	kind := plan.MakeTeam
	if _, channel := identity.TeamOf(name); channel {
		kind = plan.MakeChannel
	}
	return plan.Op{Kind: kind, Changes: []plan.Change{{Field: plan.Field("new:" + name), To: who}, {Field: plan.FieldTitle, To: title}}}
}

func TestTarget_Apply_makesTeamsAndChannels(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]mmsim.Profile{"11.6": mmsim.Options{}.Profile, "5.38": mmsim.Profile538} {
		t.Run("as asked, and gives their ids/"+name, func(t *testing.T) {
			t.Parallel()
			s := newSchool(t, p)
			for name, op := range map[string]plan.Op{
				"ops":        makeOp("ops", "Operations", plan.Private),
				"eng/secret": makeOp("eng/secret", "Secret", plan.Private),
				"eng/open":   makeOp("eng/open", "Open", plan.Public),
			} {
				made, err := s.target.Apply(t.Context(), "", op, mattermost.ApplyOptions{})
				require.NoError(t, err, name)
				found, err := s.target.Spaces(t.Context(), []string{name})
				require.NoError(t, err)
				require.Equal(t, found[name].ID, made.ID, name)
				path := "/teams/" + made.ID
				if strings.Contains(name, "/") {
					path = "/channels/" + made.ID
				}
				shown := raw(t, s.Server, http.MethodGet, path, "").body
				require.Contains(t, shown, `"type":"`+map[string]string{"ops": "I", "eng/secret": "P", "eng/open": "O"}[name]+`"`)
				require.Contains(t, shown, `"display_name":"`+op.Changes[1].To+`"`)
			}
		})
		t.Run("says in a sentence why it does not/"+name, func(t *testing.T) {
			t.Parallel()
			s := newSchool(t, p)
			old := s.make("/teams", `{"name":"old","display_name":"Old","type":"O"}`)
			require.Equal(t, http.StatusOK, raw(t, s.Server, http.MethodDelete, "/teams/"+old, "").status)
			require.Equal(t, http.StatusOK, raw(t, s.Server, http.MethodDelete, "/channels/"+s.dev, "").status)
			for name, want := range map[string]string{
				"old":       "its name is taken, by one that is archived",
				"eng":       "its name is taken",
				"eng/dev":   "its name is taken, by one that is archived",
				"old/x":     "its team is not there, or is archived",
				"nowhere/x": "its team is not there, or is archived",
				"admin":     "the server allows no such name",
			} {
				err := s.apply("", makeOp(name, "X", plan.Private))
				var e *mattermost.SpaceError
				require.ErrorAs(t, err, &e, name)
				why, all := e.SpaceTrouble()
				require.Contains(t, why, want, name)
				require.False(t, all)
			}
			require.Error(t, s.apply("", makeOp("eng/", "X", plan.Private)))
			require.Error(t, s.apply("", plan.Op{Kind: plan.MakeTeam}))
		})
	}
	t.Run("a private one that is archived, or is there, is no vacant name", func(t *testing.T) {
		t.Parallel()
		s := newSchool(t, mmsim.Options{}.Profile)
		require.Equal(t, http.StatusOK, raw(t, s.Server, http.MethodDelete, "/channels/"+s.dev, "").status)
		found, err := s.target.Spaces(t.Context(), []string{"eng/dev"})
		require.NoError(t, err)
		require.Equal(t, plan.SpaceMissing, found["eng/dev"].Trouble, "without being asked the server does not tell")
		vacant, err := s.target.Vacant(t.Context(), []string{"eng/dev", "eng/new", "eng/town-square"})
		require.NoError(t, err)
		require.Equal(t, map[string]bool{"eng/new": true}, vacant)
		_, err = s.target.Vacant(t.Context(), []string{"eng"})
		require.Error(t, err)
	})
}
