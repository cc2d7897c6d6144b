package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestEngine_Explain(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	people = append(people, human{ID: "9", UID: "zoe", Left: "yes"})
	w.rest(people, wiring{})
	explain := func(t *testing.T, query string) (reconcile.Explanation, error) {
		t.Helper()
		s := w.store()
		defer s.Close()
		return w.engine(s, people, wiring{}).Explain(t.Context(), query)
	}
	anna, _ := w.sim.UserByName("anna")
	require.True(t, w.settled()["1"])
	for _, query := range []string{"anna", "anna@example.test", "1", "corp/1", anna.ID, "people.jsonl:1"} {
		t.Run("finds a settled person by "+query, func(t *testing.T) {
			t.Parallel()
			x, err := explain(t, query)
			require.NoError(t, err)
			require.Equal(t, identity.Key{Source: "corp", Anchor: "1"}, x.Key)
			require.NotNil(t, x.Desired)
			require.NotNil(t, x.Link)
			require.NotNil(t, x.Account)
			require.Equal(t, plan.NoOp, x.Decision.Action)
			require.False(t, x.Unmanaged)
		})
	}
	for _, query := range []string{"zoe", "zoe@example.test", "9", "corp/9"} {
		t.Run("finds by "+query+" who has left and never had an account", func(t *testing.T) {
			t.Parallel()
			x, err := explain(t, query)
			require.NoError(t, err)
			require.Equal(t, "9", x.Key.Anchor)
			require.NotNil(t, x.Desired)
			require.Nil(t, x.Link)
			require.Nil(t, x.Account)
			require.Equal(t, plan.NotActiveYet, x.Decision.Reason)
		})
	}
	t.Run("says of somebody else that nobody is known so", func(t *testing.T) {
		t.Parallel()
		_, err := explain(t, "nobody.at.all")
		require.ErrorAs(t, err, new(reconcile.UnknownPersonError))
	})
}
