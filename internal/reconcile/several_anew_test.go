package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
)

// A source all of whose people added to accounts that were made anew is met like one
// that nobody is known of yet: they are found again, and no run stumbles over it.
func TestEngine_Several_madeAnew(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	s.change = func(o *reconcile.Options) { o.Policy.RecreateGone = true }
	for _, name := range []string{"anna", "bert"} {
		u, found := w.sim.UserByName(name)
		require.True(t, found)
		w.sim.RemoveUser(u.ID)
	}
	for range 6 {
		w.several(s)
	}
	require.Equal(t, "Boss", w.title("anna"))
	require.Equal(t, "Cook", w.title("bert"))
	require.False(t, w.several(s).Plan.Effective())
}
