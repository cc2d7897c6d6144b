package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func heldItem(n int, run string) state.HeldItem {
	return state.HeldItem{Key: key(n), Run: run, Ops: deactivation(n).Ops[:1]}
}

// keep begins a run that changes what is held.
func keep(t *testing.T, s state.Store, l state.Lease, id string, c state.SightingChanges) {
	t.Helper()
	require.NoError(t, s.BeginRun(t.Context(), l, run(id, l), plan.Plan{Decisions: []plan.Decision{deactivation(9)}}, c))
}

func listHeld(t *testing.T, s state.Store) []state.HeldItem {
	t.Helper()
	got, err := s.Held(t.Context())
	require.NoError(t, err)
	return got
}

func held(t *testing.T, s state.Store) {
	l := acquire(t, s)
	require.Empty(t, listHeld(t, s))
	keep(t, s, l, "01a", state.SightingChanges{Held: []state.HeldItem{heldItem(2, "01a"), heldItem(1, "01a")}})
	require.Equal(t, []state.HeldItem{heldItem(1, "01a"), heldItem(2, "01a")}, listHeld(t, s))
	of, err := s.Held(t.Context(), key(2), key(7))
	require.NoError(t, err)
	require.Equal(t, []state.HeldItem{heldItem(2, "01a")}, of)
	_, err = s.Held(t.Context(), identity.Key{Source: "\x00", Anchor: "a"})
	require.ErrorIs(t, err, state.ErrInvalid)
	keep(t, s, l, "01b", state.SightingChanges{})
	require.Len(t, listHeld(t, s), 2, "a run that says nothing releases nobody")
	keep(t, s, l, "01c", state.SightingChanges{Released: []identity.Key{key(1), key(7)}})
	require.Equal(t, []state.HeldItem{heldItem(2, "01a")}, listHeld(t, s))

	for what, c := range map[string]state.SightingChanges{
		"held and released": {Held: []state.HeldItem{heldItem(3, "01d")}, Released: []identity.Key{key(3)}},
		"held twice":        {Held: []state.HeldItem{heldItem(3, "01d"), heldItem(3, "01d")}},
		"a run with NUL":    {Held: []state.HeldItem{heldItem(3, "\x00")}},
		"nobody":            {Released: []identity.Key{{}}},
	} {
		err := s.BeginRun(t.Context(), l, run("01d", l), plan.Plan{}, c)
		require.ErrorIs(t, err, state.ErrInvalid, what)
	}
	require.Len(t, listHeld(t, s), 1)
}

func heldSince(t *testing.T, s state.Store) {
	l := acquire(t, s)
	keep(t, s, l, "01a", state.SightingChanges{Held: []state.HeldItem{heldItem(1, "01a"), heldItem(2, "01a")}})
	other := heldItem(2, "01b")
	other.Ops = append(other.Ops, plan.Op{Kind: plan.SetRoles, Changes: []plan.Change{{Field: plan.FieldRoles, From: "a b", To: "b"}}})
	keep(t, s, l, "01b", state.SightingChanges{Held: []state.HeldItem{heldItem(1, "01b"), other}})
	require.Equal(t, []state.HeldItem{heldItem(1, "01a"), other}, listHeld(t, s))
}

func heldMoves(t *testing.T, s state.Store) {
	l := acquire(t, s)
	require.NoError(t, s.PutLinks(t.Context(), l, linksOf(1, 4)))
	keep(t, s, l, "01a", state.SightingChanges{Held: []state.HeldItem{heldItem(1, "01a"), heldItem(2, "01a"), heldItem(3, "01a"), heldItem(7, "01a")}})
	p := plan.Plan{Decisions: []plan.Decision{deactivation(1), deactivation(2), deactivation(3), deactivation(4)}}
	require.NoError(t, s.BeginRun(t.Context(), l, run("01b", l), p, state.SightingChanges{}))
	move := func(decision int, to *identity.Key) {
		t.Helper()
		o := outcome(ref("01b", decision, 0), state.OpDone)
		o.Unlink = true
		if to != nil {
			k := link(decision + 1)
			k.Key, o.Link = *to, &k
		}
		require.NoError(t, s.RecordOp(t.Context(), l, o))
	}
	heir, same, other := key(7), key(2), key(8)
	move(0, &heir)
	moved := heldItem(1, "01a")
	moved.Key = heir
	require.Equal(t, []state.HeldItem{heldItem(2, "01a"), heldItem(3, "01a"), moved}, listHeld(t, s), "instead of what was held of the heir")
	move(1, &same)
	require.Len(t, listHeld(t, s), 3, "nobody goes anywhere")
	move(2, nil)
	require.Equal(t, []state.HeldItem{heldItem(2, "01a"), moved}, listHeld(t, s), "whose link goes")
	move(3, &other)
	require.Len(t, listHeld(t, s), 2, "of whom nothing was held")
}
