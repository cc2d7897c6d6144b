package mattermost_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
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
