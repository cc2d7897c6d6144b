package statetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// Older is a store with a database of an earlier schema.
type Older struct {
	Store interface {
		state.Store
		Ready(ctx context.Context) error
		Migrate(ctx context.Context) ([]string, error)
	}
	// Write runs one statement, with $1 for the first argument.
	Write func(t testing.TB, statement string, args ...any)
	// Time gives what a column of times takes.
	Time func(time.Time) any
}

// RunUpgrade runs what proves that an upgrade loses nothing. Open gives a store
// whose database was migrated up to the given schema.
func RunUpgrade(t *testing.T, open func(t testing.TB, schema int64) Older) {
	t.Helper()
	t.Run("Upgrade/links of schema 1 have heads", func(t *testing.T) {
		t.Parallel()
		upgradeLinks(t, open(t, 1))
	})
	t.Run("Upgrade/an empty store of schema 1", func(t *testing.T) {
		t.Parallel()
		o := open(t, 1)
		_, err := o.Store.Migrate(t.Context())
		require.NoError(t, err)
		require.Empty(t, allHeads(t, o.Store))
		put(t, o.Store, link(1))
		require.Equal(t, headsOf(link(1)), allHeads(t, o.Store))
	})
}

const insertLinkOfSchema1 = `
insert into links (source, anchor, account_id, part, origin, ref, applied, observed,
    deactivated_at, written_at, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

func upgradeLinks(t *testing.T, o Older) {
	const (
		active   = `{"id":"a","username":"u","email":"e@example.org","roles":["system_user"],"auth":{},"create_at":1,"update_at":2}`
		inactive = `{"id":"a","username":"delete_at\":0","email":"e","roles":null,"auth":{},"create_at":1,"update_at":2,"delete_at":1700000000999,"bot":true}`
		zero     = `{"id":"a","username":"u","email":"e","roles":[],"auth":{},"create_at":1,"update_at":2,"delete_at":0}`
	)
	var want []identity.Link
	for i, observed := range []any{inactive, active, nil, zero} {
		l := link(i)
		l.Observed, l.Recheck, l.Undone = nil, time.Time{}, 0
		if i == 2 {
			l.Part, l.Written = identity.Contributor, time.Time{}
		}
		applied, err := state.Encode(&l.Applied)
		require.NoError(t, err)
		if text, seen := observed.(string); seen {
			l.Observed, err = state.DecodeAccount([]byte(text))
			require.NoError(t, err)
		}
		var written any
		if !l.Written.IsZero() {
			written = o.Time(l.Written)
		}
		o.Write(t, insertLinkOfSchema1, l.Key.Source, l.Key.Anchor, l.AccountID, string(l.Part), string(l.Origin), l.Ref,
			applied, observed, l.DeactivatedAt, written, o.Time(l.CreatedAt), o.Time(l.UpdatedAt))
		want = append(want, l)
	}
	require.ErrorIs(t, o.Store.Ready(t.Context()), state.ErrSchema)
	require.ErrorIs(t, o.Store.Heads(t.Context(), func(state.LinkHead) error { return nil }), state.ErrSchema)

	_, err := o.Store.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, o.Store.Ready(t.Context()))
	require.Equal(t, want, allLinks(t, o.Store))
	require.Equal(t, headsOf(want...), allHeads(t, o.Store))
	require.Equal(t, []bool{false, true, false, true}, flags(allHeads(t, o.Store), func(h state.LinkHead) bool { return h.Active }))

	settle(t, o.Store, mark(0, 7), mark(2, 7))
	require.Equal(t, []state.Digest{digest(7), {}, digest(7), {}}, settled(t, o.Store))
	put(t, o.Store, linksOf(0, 4)...)
	require.Equal(t, linksOf(0, 4), allLinks(t, o.Store))
	require.Equal(t, headsOf(linksOf(0, 4)...), allHeads(t, o.Store))
}
