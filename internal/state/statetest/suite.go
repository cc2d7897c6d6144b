// Package statetest is the contract of state.Store as tests: what holds for
// every store, whatever database is below. Both stores run it, always.
//
// It is not a test of a database, nor a place for what only one store does.
package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

// Factory gives a migrated store on an empty database of its own, and closes it
// when the test ends.
type Factory func(t testing.TB) state.Store

// Pair gives two stores on one new database, as two processes have.
type Pair func(t testing.TB) (a, b state.Store)

// Run runs every test, each against a store of its own and beside the others.
func Run(t *testing.T, open Factory) {
	t.Helper()
	leases(t, open)
	links(t, open)
	owners(t, open)
	heads(t, open)
	settles(t, open)
	runs(t, open)
	journal(t, open)
	outcomes(t, open)
	reads(t, open)
	readMarks(t, open)
	index(t, open)
	verdicts(t, open)
	refused(t, open)
	stops(t, open)
	audits(t, open)
	pushes(t, open)
	groups(t, open)
	dues(t, open)
	tokens(t, open)
	tells(t, open)
	prunes(t, open)
	texts(t, open)
	concurrency(t, open)
	sizes(t, open)
	pushedSizes(t, open)
}

// RunPair runs what takes two stores on one database.
func RunPair(t *testing.T, open Pair) {
	t.Helper()
	pairs(t, open)
}

func (open Factory) test(t *testing.T, name string, f func(t *testing.T, s state.Store)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		f(t, open(t))
	})
}

// at gives a time of day that is not on a second, so that lost digits show.
func at(minutes int) time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

const (
	leaseName = "reconcile"
	longTTL   = time.Hour
)

// acquire takes the lease for longer than any test runs.
func acquire(t testing.TB, s state.Store) state.Lease {
	t.Helper()
	l, err := s.AcquireLease(t.Context(), leaseName, "host:1:abc", longTTL)
	require.NoError(t, err)
	return l
}

// succeed lets another holder take the lease over and gives the lost one.
func succeed(t testing.TB, s state.Store) (lost, current state.Lease) {
	t.Helper()
	lost = acquire(t, s)
	require.NoError(t, s.ReleaseLease(t.Context(), lost))
	current, err := s.AcquireLease(t.Context(), leaseName, "other:2:def", longTTL)
	require.NoError(t, err)
	return lost, current
}
