package schedule

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A clock that is set back cannot be played from outside: time in a bubble only goes on.
func TestScheduler_clockSetBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		back time.Duration // how far the clock was ahead until now
		want time.Duration // from now on until the next tick
	}{
		"by hours: what is due every hour is not waited for until the old hour comes again": {5 * time.Hour, time.Hour},
		"by less than anybody would set it":                                                 {500 * time.Millisecond, 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hourly, err := Compile(Options{Every: time.Hour})
				require.NoError(t, err)
				s := New([]Job{{Name: "hourly", Schedule: hourly}})
				now := time.Now().Round(0)
				s.seen = now.Add(c.back)
				j := s.jobs[0]
				j.asked, j.tried = true, s.seen
				j.tick, j.at = now.Add(6*time.Hour), now.Add(6*time.Hour)
				require.True(t, s.sleep(t.Context(), time.Millisecond))
				require.Equal(t, c.want, j.at.Sub(now).Round(time.Minute))
			})
		})
	}
}
