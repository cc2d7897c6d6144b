package mattermost_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The shapes are those of Mattermost's own description of its API; secrets are in
// them as the server sends them.
func TestTarget_Leftovers(t *testing.T) {
	t.Parallel()
	const (
		stays  = "sssssssssssssssssssssssss1"
		bot    = "bbbbbbbbbbbbbbbbbbbbbbbbb1"
		off    = "bbbbbbbbbbbbbbbbbbbbbbbbb2"
		ops    = "ttttttttttttttttttttttttt1"
		old    = "ttttttttttttttttttttttttt2"
		secret = "do-not-read-me"
	)
	list := map[string]string{
		"/teams":                        `[{"id":"` + ops + `","name":"ops","delete_at":0},{"id":"` + old + `","name":"old","delete_at":5}]`,
		"/users/" + someID + "/tokens":  `[{"id":"k1","user_id":"` + someID + `","description":"deploy","is_active":true},{"id":"k2","user_id":"` + someID + `","description":"done","is_active":false}]`,
		"/users/" + otherID + "/tokens": `[]`,
		"/users/" + stays + "/tokens":   `[]`,
		"/bots": `[{"user_id":"` + bot + `","username":"deploybot","owner_id":"` + someID + `","delete_at":0},
			{"user_id":"` + off + `","username":"sleeper","owner_id":"` + someID + `","delete_at":0},
			{"user_id":"` + otherID + `","username":"made-a-bot","owner_id":"` + otherID + `","delete_at":0}]`,
		"/users/ids": "[" + user(bot, "deploybot") + "," + strings.Replace(user(off, "sleeper"), `"delete_at":0`, `"delete_at":7`, 1) + "]",
		"/hooks/incoming": `[{"id":"h2","user_id":"` + someID + `","team_id":"` + ops + `","channel_id":"c","display_name":"ci","delete_at":0},
			{"id":"h1","user_id":"` + someID + `","team_id":"` + ops + `","display_name":"gone","delete_at":9},
			{"id":"h0","user_id":"` + stays[:25] + `9","team_id":"` + ops + `","display_name":"somebody else's"}]`,
		"/hooks/outgoing": `[{"id":"o1","token":"` + secret + `","creator_id":"` + someID + `","team_id":"` + old + `","description":"words"}]`,
		"/commands":       `[{"id":"","creator_id":"","trigger":"away"},{"id":"c1","token":"` + secret + `","creator_id":"` + stays + `","team_id":"` + ops + `","trigger":"deploy","display_name":"Deploy"}]`,
		"/oauth/apps":     `[{"id":"a1","creator_id":"` + someID + `","client_secret":"` + secret + `","name":"Wiki"}]`,
	}
	var asked []string
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v4")
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		if page := r.URL.Query().Get("page"); page != "" && page != "0" && path != "/hooks/outgoing" { // that one answers every page alike
			answerJSON(w, 200, "[]")
			return
		}
		answerJSON(w, 200, list[path])
	})
	target := mattermost.NewTarget(client(t, s.URL, secret), mattermost.TargetOptions{})
	got, err := target.Leftovers(t.Context(), []string{someID, otherID})
	require.NoError(t, err)
	require.Empty(t, got.Unlisted)
	require.Equal(t, []plan.Leftover{
		{Kind: plan.LeftToken, ID: "k1", OwnerID: someID, Name: "deploy"},
		{Kind: plan.LeftBot, ID: bot, OwnerID: someID, Name: "deploybot"},
		{Kind: plan.LeftIncoming, ID: "h2", OwnerID: someID, Name: "ci", Team: "ops"},
		{Kind: plan.LeftOutgoing, ID: "o1", OwnerID: someID, Name: "words", Team: "old"},
		{Kind: plan.LeftApp, ID: "a1", OwnerID: someID, Name: "Wiki"},
	}, got.Things)
	require.NotContains(t, strings.Join(asked, "\n"), "team_id="+old, "nobody can type in a team that is archived")

	got, err = target.Leftovers(t.Context(), []string{stays})
	require.NoError(t, err)
	require.Equal(t, []plan.Leftover{{Kind: plan.LeftCommand, ID: "c1", OwnerID: stays, Name: "/deploy", Team: "ops"}}, got.Things)

	asked = nil
	got, err = target.Leftovers(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Empty(t, asked, "nobody to ask about, nothing sent")
}

func TestTarget_Leftovers_whatIsNotListed(t *testing.T) {
	t.Parallel()
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, "/api/v4") {
		case "/hooks/incoming":
			answerJSON(w, 501, `{"id":"api.incoming_webhook.disabled.app_error","status_code":501}`)
		case "/oauth/apps":
			answerJSON(w, 404, `{"id":"api.context.404.app_error","status_code":404}`)
		default:
			answerJSON(w, 200, "[]")
		}
	})
	target := mattermost.NewTarget(client(t, s.URL, "x"), mattermost.TargetOptions{})
	got, err := target.Leftovers(t.Context(), []string{someID})
	require.NoError(t, err)
	require.Empty(t, got.Things)
	require.Len(t, got.Unlisted, 2)
	require.Equal(t, plan.LeftIncoming, got.Unlisted[0].Kind)
	require.True(t, got.Unlisted[0].Off)
	require.Equal(t, plan.LeftApp, got.Unlisted[1].Kind)
	require.False(t, got.Unlisted[1].Off)
	require.Contains(t, got.Unlisted[1].Why, "/oauth/apps")
}

func disabling(t *testing.T, kind plan.LeftoverKind, id string) plan.Op {
	t.Helper()
	o, may := plan.Leftover{Kind: kind, ID: id}.Disabling(false)
	require.True(t, may)
	return o
}

func TestTarget_Apply_disable(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			ada := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test", DeleteAt: time.Now().UnixMilli()})
			bot := s.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: ada.ID})
			s.AddToken(ada.ID)
			s.AddToken(ada.ID)
			before, err := target.Leftovers(t.Context(), []string{ada.ID})
			require.NoError(t, err)
			require.Len(t, before.Things, 3)
			one, other := before.Things[0], before.Things[1]

			s.Fail(mmsim.Fault{Method: http.MethodPost, LostWrite: true, Count: 1})
			_, err = target.Apply(t.Context(), ada.ID, disabling(t, plan.LeftToken, one.ID), mattermost.ApplyOptions{})
			var m *mattermost.MismatchError
			require.ErrorAs(t, err, &m, "success without effect")
			require.Equal(t, "access_token", m.Field)

			got := mustApply(t, target, ada.ID, disabling(t, plan.LeftToken, one.ID))
			require.Equal(t, ada.ID, got.ID)
			mustApply(t, target, ada.ID, disabling(t, plan.LeftToken, one.ID)) // again, without harm
			mustApply(t, target, ada.ID, disabling(t, plan.LeftBot, bot.ID))
			after, err := target.Leftovers(t.Context(), []string{ada.ID})
			require.NoError(t, err)
			require.Equal(t, []plan.Leftover{other}, after.Things)
			u, there := s.User(bot.ID)
			require.True(t, there)
			require.False(t, u.Active())
			require.NotZero(t, u.BotDeleteAt, "the record as well as the account")
			for _, w := range s.Writes() {
				require.Equal(t, http.MethodPost, w.Method, "nothing is deleted")
			}
			mustApply(t, target, ada.ID, disabling(t, plan.LeftToken, someID)) // there is none: as it was asked to be
			mustApply(t, target, ada.ID, disabling(t, plan.LeftBot, someID))
		})
	}
}

func TestTarget_Belongings(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	off := time.Now().UnixMilli()
	ada := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test", DeleteAt: off})
	bob := s.AddUser(mmsim.User{Username: "bob", Email: "bob@example.test"})
	cyd := s.AddUser(mmsim.User{Username: "cyd", Email: "cyd@example.test"})
	bot := s.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: ada.ID})
	s.AddUser(mmsim.User{Username: "deadbot", IsBot: true, OwnerID: ada.ID, DeleteAt: off, BotDeleteAt: off})
	s.AddUser(mmsim.User{Username: "hers", IsBot: true, OwnerID: cyd.ID})
	s.AddToken(ada.ID)
	s.EnableToken(s.AddToken(ada.ID), false)
	s.AddToken(bob.ID)
	over := s.Fail(mmsim.Fault{Path: "/users/" + bob.ID + "/tokens", Status: http.StatusForbidden})
	s.ResetCalls()

	got, err := target.Belongings(t.Context(), []string{ada.ID, bob.ID, ada.ID}, true)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Len(t, got[ada.ID].Tokens, 1, "one is disabled")
	require.Equal(t, []plan.Leftover{{Kind: plan.LeftBot, ID: bot.ID, OwnerID: ada.ID, Name: "deploybot"}}, got[ada.ID].Bots)
	require.Empty(t, got[ada.ID].Hidden)
	require.Empty(t, got[bob.ID].Tokens)
	require.Equal(t, "the server answered 403 mmsim.fault.app_error", got[bob.ID].Hidden)

	s.ResetCalls()
	got, err = target.Belongings(t.Context(), []string{ada.ID}, false)
	require.NoError(t, err)
	require.Empty(t, got[ada.ID].Bots)
	for _, c := range s.Calls() {
		require.Equal(t, "/api/v4/users/"+ada.ID+"/tokens", c.Path, "nobody asked about bots")
	}

	over()
	s.ResetCalls()
	got, err = target.Belongings(t.Context(), nil, true)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Empty(t, s.Calls())

	s.Fail(mmsim.Fault{Path: "/users/*/tokens", CutBefore: true})
	_, err = target.Belongings(t.Context(), []string{ada.ID}, false)
	require.Error(t, err, "without an answer nothing is known of anybody")
}
