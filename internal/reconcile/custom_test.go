package reconcile_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// customWrites counts the calls that set user attributes.
func (w *world) customWrites() (n int) {
	for _, c := range w.sim.Writes() {
		if strings.HasSuffix(c.Path, "/custom_profile_attributes") {
			n++
		}
	}
	return n
}

func TestEngine_user_attributes(t *testing.T) {
	t.Parallel()
	named := wiring{change: func(o *reconcile.Options) { o.Policy.Custom = []string{"Department"} }}
	t.Run("they are set once, and again only when the source's change", func(t *testing.T) {
		t.Parallel()
		w := newWorldOf(t, mmsim.Options{CustomFields: []mmsim.CustomField{{ID: department, Name: "Department", Type: "text"}}})
		ann, bob := human{ID: "1", UID: "ann", Dept: "IT"}, human{ID: "2", UID: "bob"}
		w.settle([]human{ann, bob}, named)
		require.Equal(t, 1, w.customWrites(), "and nothing for whom there is nothing")
		require.Equal(t, "IT", w.sim.Custom(w.user("ann").ID)[department])
		w.settle([]human{ann, bob}, named)
		require.Equal(t, 1, w.customWrites(), "not each night")
		ann.Dept = "Sales"
		w.settle([]human{ann, bob}, named)
		require.Equal(t, "Sales", w.sim.Custom(w.user("ann").ID)[department])
		ann.Dept = ""
		w.settle([]human{ann, bob}, named)
		require.Empty(t, w.sim.Custom(w.user("ann").ID)[department])
		require.Equal(t, 3, w.customWrites())
	})
	t.Run("a refusal keeps nothing else back", func(t *testing.T) {
		t.Parallel()
		w := newWorldOf(t, mmsim.Options{CustomFields: []mmsim.CustomField{{ID: department, Name: "Department", Type: "text"}}})
		stop := w.sim.Fail(mmsim.Fault{Method: "PATCH", Status: http.StatusBadRequest, ErrorID: "app.custom_profile_attributes.validate_value.app_error"})
		rep, err := w.sync([]human{{ID: "1", UID: "ann", Dept: "IT", Photo: photo(1)}}, named)
		stop()
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 2, rep.Counts.Done)
		require.Equal(t, 1, w.uploads())
	})
	t.Run("without a licence that is said once, and nothing is tried", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.custom = true
		rep, err := w.sync([]human{{ID: "1", UID: "ann", Dept: "IT"}}, named)
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, []string{"user attributes are not set, because this server has no licence for them; they take Enterprise"}, rep.Plan.Warnings)
		require.Zero(t, w.customWrites())
	})
}
