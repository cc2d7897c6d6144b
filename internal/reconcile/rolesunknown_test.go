package reconcile_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// ungrouped is a source that cannot read its groups.
type ungrouped struct{ reconcile.Source }

const groupGone = "could not read the group cn=admins,dc=test"

func (u ungrouped) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	s, err := u.Source.Snapshot(ctx, nil)
	for i := range s.Identities {
		id := &s.Identities[i]
		id.Roles, id.RolesUnknown = nil, groupGone
		id.Hash = "?" + id.Hash[1:]
	}
	s.RolesUnknown = identity.RolesUnknown(len(s.Identities), groupGone)
	if known != nil {
		s.Identities = slices.DeleteFunc(s.Identities, known)
	}
	return s, err
}

// While a group cannot be read people leave, are renamed and come, and nobody's roles
// change; what changed of the group meanwhile is seen once it can be read.
func TestEngine_rolesUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := few()
	people[0].Groups = []string{adminsGroup}
	people[1].Groups = []string{adminsGroup}
	w.rest(people, wiring{})
	require.Contains(t, w.roles("anna"), "system_admin")
	people = slices.Clone(people)
	people[0].Groups, people[2].Groups = nil, []string{adminsGroup}
	people[1].Left, people[3].UID = "yes", "dora"
	people = append(people, human{ID: "5", UID: "emil"})
	blind := wiring{change: func(o *reconcile.Options) { o.Sources = []reconcile.Source{ungrouped{o.Sources[0]}} }}
	rep, err := w.sync(people, blind)
	require.NoError(t, err)
	require.Contains(t, rep.Problems, "source corp: the roles, teams and channels of 5 people are not known and stay: "+groupGone)
	require.True(t, rep.Plan.Sources[0].Complete)
	require.False(t, w.active("bert"))
	require.NotContains(t, w.roles("bert"), "system_admin", "a leaver's go with him")
	require.True(t, w.active("dora"))
	require.True(t, w.active("emil"))
	require.Contains(t, w.roles("anna"), "system_admin")
	require.NotContains(t, w.roles("cora"), "system_admin")
	w.decided(people, blind)
	require.Equal(t, 1, w.decided(people, blind), "all but the leaver, who is looked at again, are settled as they are")

	require.Greater(t, w.decided(people, wiring{}), 1)
	w.decided(people, wiring{})
	require.NotContains(t, w.roles("anna"), "system_admin")
	require.Contains(t, w.roles("cora"), "system_admin")
}
