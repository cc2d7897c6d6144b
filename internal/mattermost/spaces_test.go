package mattermost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// spaces uses everything that has to do with teams and channels.
func spaces(ctx context.Context, t *mattermost.Target) error {
	team, channel := plan.Space{ID: otherID}, plan.Space{ID: otherID, TeamID: otherID}
	many := map[string]plan.Space{}
	for i := range 5 {
		id := otherID[:25] + fmt.Sprint(i)
		many[fmt.Sprintf("eng/c%d", i)] = plan.Space{ID: id, TeamID: otherID}
	}
	_, lookedUp := t.Spaces(ctx, []string{"eng", "eng/dev"})
	none := func(string, identity.Membership) {}
	_, list := t.Memberships(ctx, someID, many)
	errs := []error{lookedUp, list, t.Members(ctx, "eng", team, none), t.Members(ctx, "eng/dev", channel, none)}
	for _, name := range []string{"eng", "eng/dev"} {
		for _, to := range []struct {
			from, to string
			shows    bool
		}{{"", "member", true}, {"member", "admin", true}, {"admin", "", false}} {
			_, err := t.Apply(ctx, someID, spaceOp(name, otherID, to.from, to.to), mattermost.ApplyOptions{})
			var m *mattermost.MismatchError
			if !to.shows && errors.As(err, &m) { // he is still shown to be in, by whoever answers here
				err = nil
			}
			errs = append(errs, err)
		}
	}
	_, vacant := t.Vacant(ctx, []string{"eng/dev"})
	errs = append(errs, vacant)
	for _, op := range []plan.Op{makeOp("eng", "Eng", plan.Private), makeOp("eng/dev", "Dev", plan.Public)} {
		_, err := t.Apply(ctx, "", op, mattermost.ApplyOptions{})
		if _, is := errors.AsType[*mattermost.MismatchError](err); is { // whoever answers here shows something else
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func spaceOp(name, id, from, to string) plan.Op {
	kinds := map[bool][3]plan.OpKind{
		false: {plan.JoinTeam, plan.LeaveTeam, plan.SetTeamRoles}, true: {plan.JoinChannel, plan.LeaveChannel, plan.SetChannelRoles},
	}
	_, channel := identity.TeamOf(name)
	kind := kinds[channel][2]
	if from == "" {
		kind = kinds[channel][0]
	} else if to == "" {
		kind = kinds[channel][1]
	}
	return plan.Op{Kind: kind, SpaceID: id, Changes: []plan.Change{{Field: plan.SpaceField(name), From: from, To: to}}}
}

// school is a server with a team "eng" that has a channel "dev", and its people.
type school struct {
	*mmsim.Server
	t        *testing.T
	target   *mattermost.Target
	eng, dev string
}

func newSchool(t *testing.T, p mmsim.Profile) *school {
	t.Helper()
	s := &school{Server: mmsim.New(mmsim.Options{Profile: p}), t: t}
	s.Start(t)
	s.target = mattermost.NewTarget(client(t, s.URL(), s.AdminToken()), mattermost.TargetOptions{})
	_, err := s.target.Facts(t.Context())
	require.NoError(t, err)
	s.eng = s.make("/teams", `{"name":"eng","display_name":"Eng","type":"O"}`)
	s.dev = s.make("/channels", `{"team_id":"`+s.eng+`","name":"dev","display_name":"Dev","type":"P"}`)
	return s
}

func (s *school) make(path, body string) string {
	s.t.Helper()
	got := raw(s.t, s.Server, http.MethodPost, path, body)
	require.Equal(s.t, http.StatusCreated, got.status, got.body)
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &made))
	return made.ID
}

func (s *school) apply(id string, o plan.Op) error {
	_, err := s.target.Apply(s.t.Context(), id, o, mattermost.ApplyOptions{})
	return err
}

func (s *school) in(id string) identity.Memberships {
	s.t.Helper()
	all, err := s.target.Spaces(s.t.Context(), []string{"eng", "eng/dev"})
	require.NoError(s.t, err)
	m, err := s.target.Memberships(s.t.Context(), id, all)
	require.NoError(s.t, err)
	return m
}

func TestTarget_Spaces(t *testing.T) {
	t.Parallel()
	for _, p := range []mmsim.Profile{mmsim.Profile116, mmsim.Profile538} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			s := newSchool(t, p)
			gone := s.make("/teams", `{"name":"old","display_name":"Old","type":"O"}`)
			raw(t, s.Server, http.MethodDelete, "/teams/"+gone, "")
			grp := s.make("/teams", `{"name":"grp","display_name":"Grp","type":"O","allowed_domains":"example.test, two.test"}`)
			raw(t, s.Server, http.MethodPut, "/teams/"+grp+"/patch", `{"group_constrained":true}`)
			got, err := s.target.Spaces(t.Context(), []string{"eng", "eng/dev", "eng/town-square", "old", "old/x", "grp", "none", "none/x", "eng/none"})
			require.NoError(t, err)
			require.Equal(t, s.eng, got["eng"].ID)
			require.Equal(t, 99_999, got["eng"].Room, "as many as the server allows, less its maker")
			maker, _ := s.User(s.AdminID())
			require.Equal(t, maker.Email, got["eng"].Email, "a team has its maker's")
			require.Equal(t, plan.Space{ID: s.dev, TeamID: s.eng, Room: -1}, got["eng/dev"])
			require.True(t, got["eng/town-square"].ForAll)
			require.Equal(t, plan.SpaceArchived, got["old"].Trouble)
			require.Equal(t, plan.SpaceByGroups, got["grp"].Trouble)
			require.Equal(t, []string{"example.test", "two.test"}, got["grp"].Domains)
			for _, name := range []string{"old/x", "none", "none/x", "eng/none"} {
				require.Equal(t, plan.Space{Trouble: plan.SpaceMissing, Room: -1}, got[name], name)
			}
		})
	}
}

func TestTarget_Memberships(t *testing.T) {
	t.Parallel()
	for _, p := range []mmsim.Profile{mmsim.Profile116, mmsim.Profile538} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			s := newSchool(t, p)
			ann, bob := s.AddUser(mmsim.User{Username: "ann"}).ID, s.AddUser(mmsim.User{Username: "bob"}).ID
			join, lead := spaceOp("eng", s.eng, "", "member"), spaceOp("eng", s.eng, "member", "admin")
			require.NoError(t, s.apply(ann, join))
			require.NoError(t, s.apply(ann, join), "whoever is in stays in")
			require.NoError(t, s.apply(ann, lead))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "", "member")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "member", "admin")))
			require.NoError(t, s.apply(bob, join))
			require.Equal(t, identity.Memberships{{Space: "eng", ID: s.eng, Admin: true}, {Space: "eng/dev", ID: s.dev, Admin: true}}, s.in(ann))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "admin", "member")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "member", "")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "member", "")), "whoever is out stays out")
			require.Equal(t, identity.Memberships{{Space: "eng", ID: s.eng, Admin: true}}, s.in(ann))

			who := map[string]identity.Membership{}
			require.NoError(t, s.target.Members(t.Context(), "eng", plan.Space{ID: s.eng}, func(id string, m identity.Membership) { who[id] = m }))
			require.Equal(t, map[string]identity.Membership{
				ann: {Space: "eng", ID: s.eng, Admin: true}, bob: {Space: "eng", ID: s.eng}, s.AdminID(): {Space: "eng", ID: s.eng, Admin: true},
			}, who)

			require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "admin", "")))
			require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "admin", "")))
			require.Empty(t, s.in(ann), "the row of a membership that ended is none")
		})
	}
}

func TestTarget_Apply_what_the_server_does_not_let_in(t *testing.T) {
	t.Parallel()
	s := newSchool(t, mmsim.Profile116)
	ann := s.AddUser(mmsim.User{Username: "ann"}).ID
	off := s.AddUser(mmsim.User{Username: "off", DeleteAt: 1}).ID
	ext := s.make("/teams", `{"name":"ext","display_name":"Ext","type":"O","allowed_domains":"other.test"}`)
	grp := s.make("/teams", `{"name":"grp","display_name":"Grp","type":"O"}`)
	raw(t, s.Server, http.MethodPut, "/teams/"+grp+"/patch", `{"group_constrained":true}`)
	require.NoError(t, s.apply(off, spaceOp("eng", s.eng, "", "member")))
	square, err := s.target.Spaces(t.Context(), []string{"eng/town-square"})
	require.NoError(t, err)
	for _, tc := range []struct {
		who, why string
		op       plan.Op
		all      bool
	}{
		{ann, "gone is not there any more", spaceOp("gone", someID, "", "member"), true},
		{ann, "eng/gone is not there any more", spaceOp("eng/gone", someID, "", "member"), true},
		{ann, "eng/dev takes only people who are in its team", spaceOp("eng/dev", s.dev, "", "member"), false},
		{off, "eng/dev takes nobody whose account is off", spaceOp("eng/dev", s.dev, "", "member"), false},
		{ann, "ext does not take the domain of this e-mail", spaceOp("ext", ext, "", "member"), false},
		{ann, "grp is managed by groups of Mattermost's own by now", spaceOp("grp", grp, "", "member"), true},
		{ann, "grp is managed by groups of Mattermost's own by now", spaceOp("grp", grp, "member", ""), true},
		{off, "eng/town-square is for everybody in its team", spaceOp("eng/town-square", square["eng/town-square"].ID, "member", ""), true},
	} {
		var e *mattermost.SpaceError
		require.ErrorAs(t, s.apply(tc.who, tc.op), &e, tc.why)
		why, all := e.SpaceTrouble()
		require.Equal(t, tc.why, why)
		require.Equal(t, tc.all, all, tc.why)
	}
	grouped := s.make("/channels", `{"team_id":"`+s.eng+`","name":"grouped","display_name":"Grouped","type":"P"}`)
	require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "", "member")))
	require.NoError(t, s.apply(ann, spaceOp("eng/grouped", grouped, "", "member")))
	raw(t, s.Server, http.MethodPut, "/channels/"+grouped+"/patch", `{"group_constrained":true}`)
	var constrained *mattermost.SpaceError
	require.ErrorAs(t, s.apply(ann, spaceOp("eng/grouped", grouped, "member", "")), &constrained)
	require.True(t, constrained.All)
	require.ErrorAs(t, s.apply(ann, spaceOp("eng/dev", s.dev, "member", "admin")), &constrained)
	require.Equal(t, "does not have this person any more", constrained.Why)
	for status, id := range map[int]string{
		http.StatusBadRequest: "api.channel.add_user.to.channel.rejected_by_plugin", http.StatusForbidden: "api.team.add_member.policy.app_error",
	} {
		cancel := s.Fail(mmsim.Fault{Path: "/channels/*/members", Status: status, ErrorID: id})
		var veto *mattermost.SpaceError
		require.ErrorAs(t, s.apply(ann, spaceOp("eng/dev", s.dev, "", "member")), &veto, id)
		require.False(t, veto.All)
		require.Contains(t, veto.Why, id)
		cancel()
	}
	for status, id := range map[int]string{ // no word about the channel
		http.StatusForbidden: "api.context.permissions.app_error", http.StatusInternalServerError: "app.x.app_error", http.StatusNotFound: "app.user.missing_account.const",
	} {
		cancel := s.Fail(mmsim.Fault{Path: "/channels/*/members", Status: status, ErrorID: id})
		var no *mattermost.SpaceError
		require.NotErrorAs(t, s.apply(ann, spaceOp("eng/dev", s.dev, "", "member")), &no, id)
		cancel()
	}
	require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "member", "")))
	s.Restart(map[string]string{"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "1"})
	var e *mattermost.SpaceError
	require.ErrorAs(t, s.apply(ann, spaceOp("eng", s.eng, "", "member")), &e)
	require.Equal(t, "is full", e.Why)

	require.Error(t, s.apply(ann, plan.Op{Kind: plan.JoinTeam, Changes: []plan.Change{{Field: "team:eng", To: "member"}}}), "no id")
	require.Error(t, s.apply(ann, plan.Op{Kind: plan.JoinTeam, SpaceID: s.eng, Changes: []plan.Change{{Field: "roles", To: "member"}}}), "no space")
}
