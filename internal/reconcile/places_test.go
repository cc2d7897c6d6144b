package reconcile_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// tree is a source whose people stand in an OU, which may be away.
type tree struct {
	reconcile.Source
	gone bool
	err  error
	asks *[]string
}

func (s tree) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	place := func(i identity.Identity) identity.Identity {
		i.Ref = "uid=" + i.Profile.Username + ",ou=Sales,dc=test"
		return i
	}
	var wrapped func(identity.Identity) bool
	if known != nil {
		wrapped = func(i identity.Identity) bool { return known(place(i)) }
	}
	snap, err := s.Source.Snapshot(ctx, wrapped)
	for i := range snap.Identities {
		snap.Identities[i] = place(snap.Identities[i])
	}
	return snap, err
}

func (s tree) Place(_ context.Context, dn string) (bool, error) {
	*s.asks = append(*s.asks, dn)
	return !s.gone, s.err
}

// Who is to approve that many leave is told when the place that they were at is gone.
func TestEngine_Places(t *testing.T) {
	t.Parallel()
	const at = `last under "ou=Sales,dc=test"`
	const gone = at + ", which no longer exists or is hidden"
	for name, c := range map[string]struct {
		source tree
		limits guard.Limits
		class  plan.Class
		says   string
		not    string
	}{
		"that is gone is told of with the leavers":            {source: tree{gone: true}, class: plan.Deactivations, says: gone},
		"that is gone is told of where the source shrank":     {source: tree{gone: true}, limits: guard.Limits{MinEntriesPercent: 80}, class: guard.SourceShrink, says: "9 of 9 were " + gone},
		"that is there is only named":                         {source: tree{}, class: plan.Deactivations, says: at, not: "no longer exists"},
		"about which nobody knows is only named":              {source: tree{gone: true, err: errors.New("away")}, class: plan.Deactivations, says: at, not: "no longer exists"},
		"that is there is only named where the source shrank": {source: tree{}, limits: guard.Limits{MinEntriesPercent: 80}, class: guard.SourceShrink, says: at, not: "no longer exists"},
	} {
		t.Run("a place "+name+", in a plan as well", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), many(10)
			var asks []string
			with := wiring{change: func(o *reconcile.Options) {
				c.source.Source, c.source.asks = o.Sources[0], &asks
				o.Sources[0] = c.source
				o.Limits.Deactivations, o.Limits.MinEntriesPercent = guard.Limit{Count: 3}, c.limits.MinEntriesPercent
			}}
			w.rest(people, with)
			require.Empty(t, asks, "while nothing trips, nobody asks")
			rep, err := w.sync(people[:1], with)
			require.NoError(t, err)
			for _, rep := range []reconcile.Report{rep, w.plan(people[:1], with)} {
				require.Equal(t, c.class, rep.Verdict.Trips[0].Class)
				require.Contains(t, rep.Verdict.Message(), c.says)
				if c.not != "" {
					require.NotContains(t, rep.Verdict.Message(), c.not)
				}
			}
			require.Equal(t, []string{"ou=Sales,dc=test", "ou=Sales,dc=test"}, asks, "once a run")
		})
	}
}
