package mattermost_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The recorded patch.timezone: the server replaces the whole object by what is sent.
func TestTarget_Apply_time_zone(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			require.Empty(t, a.Timezone, "the device decides")

			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("timezone", "", "Europe/Paris")))
			require.Equal(t, "Europe/Paris", a.Timezone)
			read, err := target.Account(t.Context(), a.ID)
			require.NoError(t, err)
			require.Equal(t, "Europe/Paris", read.Timezone)

			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("timezone", "Europe/Paris", "")))
			require.Empty(t, a.Timezone, "left to the device again")

			o := create("bob")
			o.Changes = append(o.Changes, change("timezone", "", "Asia/Tokyo"))
			require.Equal(t, "Asia/Tokyo", mustApply(t, target, "", o).Timezone)
		})
	}
}
