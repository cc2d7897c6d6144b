package mattermost_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// A membership is read from a replica of the server's database, which may be behind.
func TestTarget_Apply_behind_a_replica(t *testing.T) {
	t.Parallel()
	for _, p := range []mmsim.Profile{mmsim.Profile116, mmsim.Profile538} {
		s := newSchool(t, p)
		s.target = mattermost.NewTarget(client(t, s.URL(), s.AdminToken()), mattermost.TargetOptions{SettleFor: time.Minute})
		ann := s.AddUser(mmsim.User{Username: "ann"}).ID
		cancel := s.Fail(mmsim.Fault{Regexp: regexp.MustCompile("/members"), MemberLag: 300 * time.Millisecond})
		for range 2 { // the second time the replica still has the rows of the first
			require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "", "member")))
			require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "member", "admin")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "", "member")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "member", "admin")))
			require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "admin", "")))
			require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "admin", "")))
		}
		require.NoError(t, s.apply(ann, spaceOp("eng", s.eng, "", "member")))
		require.NoError(t, s.apply(ann, spaceOp("eng/dev", s.dev, "", "member")))
		cancel()
		require.Equal(t, identity.Memberships{{Space: "eng", ID: s.eng}, {Space: "eng/dev", ID: s.dev}}, s.in(ann))
		bob := s.AddUser(mmsim.User{Username: "bob"}).ID
		began := time.Now()
		require.ErrorContains(t, s.apply(bob, spaceOp("eng/dev", s.dev, "", "member")), "takes only people who are in its team")
		require.Less(t, time.Since(began), 10*time.Second, "whom mmsync has not put into the team nobody waits for")
	}
}

// The list of a channel's people has no order, and rows move while it is read.
func TestTarget_Members_that_move(t *testing.T) {
	t.Parallel()
	s := newSchool(t, mmsim.Profile116)
	want := map[string]bool{s.AdminID(): true}
	for i := range 450 {
		id := s.AddUser(mmsim.User{Username: fmt.Sprintf("p%03d", i)}).ID
		want[id] = true
		for _, path := range []string{"/teams/" + s.eng, "/channels/" + s.dev} {
			got := raw(t, s.Server, http.MethodPost, path+"/members", `{"team_id":"`+s.eng+`","user_id":"`+id+`"}`)
			require.Equal(t, http.StatusCreated, got.status)
		}
	}
	s.Fail(mmsim.Fault{Path: "/channels/*/members", RowsMove: true})
	who := map[string]bool{}
	require.NoError(t, s.target.Members(t.Context(), "eng/dev", plan.Space{ID: s.dev, TeamID: s.eng}, func(id string, m identity.Membership) {
		require.False(t, who[id], "each is passed on once")
		who[id] = true
	}))
	require.Equal(t, want, who)
}
