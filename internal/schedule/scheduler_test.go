package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/schedule"
)

// diary is what a scheduler did, and when. The clock of a bubble begins at midnight,
// 2000-01-01 UTC.
type diary struct{ lines []string }

func (d *diary) job(t *testing.T, name string, o schedule.Options, done time.Time, takes time.Duration) schedule.Job {
	t.Helper()
	return schedule.Job{
		Name: name, Schedule: compiled(t, o),
		Done: func(context.Context) (time.Time, error) { return done, nil },
		Run: func(ctx context.Context, tick, _ time.Time) {
			d.lines = append(d.lines, fmt.Sprintf("%s %s for %s", time.Now().UTC().Format("15:04:05"), name, tick.UTC().Format("2 15:04:05")))
			select {
			case <-time.After(takes):
			case <-ctx.Done():
			}
		},
	}
}

func (d *diary) after(t *testing.T, long time.Duration, jobs ...schedule.Job) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	require.NoError(t, schedule.New(jobs).Run(ctx))
}

func TestScheduler(t *testing.T) {
	t.Parallel()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	every := func(d time.Duration) schedule.Options { return schedule.Options{Every: d} }
	t.Run("what was never done begins with its next tick", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var d diary
			d.after(t, 31*time.Minute, d.job(t, "a", every(15*time.Minute), time.Time{}, 0))
			require.Equal(t, []string{"00:15:00 a for 1 00:15:00", "00:30:00 a for 1 00:30:00"}, d.lines)
		})
	})
	t.Run("ticks that were missed are done once, at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(7 * time.Minute)
			var d diary
			d.after(t, 10*time.Minute, d.job(t, "a", every(15*time.Minute), start.Add(-24*time.Hour), 0))
			require.Equal(t, []string{"00:07:00 a for 1 00:00:00", "00:15:00 a for 1 00:15:00"}, d.lines)
		})
	})
	t.Run("a tick that was done is not done again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(7 * time.Minute)
			var d diary
			d.after(t, 5*time.Minute, d.job(t, "a", every(15*time.Minute), start, 0))
			require.Empty(t, d.lines)
		})
	})
	t.Run("nothing overlaps, and a tick that fell into a long run is made up for once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var d diary
			d.after(t, 46*time.Minute, d.job(t, "a", every(10*time.Minute), time.Time{}, 35*time.Minute), d.job(t, "b", every(20*time.Minute), time.Time{}, 0))
			require.Equal(t, []string{"00:10:00 a for 1 00:10:00", "00:45:00 b for 1 00:40:00", "00:45:00 a for 1 00:40:00"}, d.lines)
		})
	})
	t.Run("of two that are due together the first goes first", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var d diary
			d.after(t, 11*time.Minute, d.job(t, "b", every(10*time.Minute), time.Time{}, time.Second), d.job(t, "a", every(10*time.Minute), time.Time{}, time.Second))
			require.Equal(t, []string{"00:10:00 b for 1 00:10:00", "00:10:01 a for 1 00:10:00"}, d.lines)
		})
	})
	t.Run("jitter is later than the tick, and less than it may be", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var offsets []time.Duration
			j := schedule.Job{
				Schedule: compiled(t, schedule.Options{Every: time.Hour, Jitter: 10 * time.Minute}),
				Done:     func(context.Context) (time.Time, error) { return time.Time{}, nil },
				Run:      func(_ context.Context, tick, _ time.Time) { offsets = append(offsets, time.Since(tick)) },
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Hour)
			defer cancel()
			require.NoError(t, schedule.New([]schedule.Job{j}).Run(ctx))
			require.GreaterOrEqual(t, len(offsets), 49)
			different := map[time.Duration]bool{}
			for _, o := range offsets {
				require.GreaterOrEqual(t, o, time.Duration(0))
				require.Less(t, o, 10*time.Minute)
				different[o] = true
			}
			require.Greater(t, len(different), 40)
		})
	})
	t.Run("the spring night has its run, and the autumn night has one", func(t *testing.T) {
		t.Parallel()
		berlin := zone(t, "Europe/Berlin")
		synctest.Test(t, func(t *testing.T) {
			var d diary
			d.after(t, 366*24*time.Hour, d.job(t, "n", schedule.Options{Cron: "30 2 * * sun", Zone: berlin}, time.Time{}, 0))
			require.Len(t, d.lines, 53, "Sundays of 2000")
			require.Contains(t, d.lines, "01:00:00 n for 26 01:00:00", "the clock went from 2:00 to 3:00 on 26 March")
			require.Contains(t, d.lines, "00:30:00 n for 29 00:30:00", "on 29 October the first 2:30 counts")
			require.NotContains(t, d.lines, "01:30:00 n for 29 01:30:00")
		})
	})
	t.Run("it asks again when it could not learn what was done", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var d diary
			j := d.job(t, "a", every(15*time.Minute), time.Time{}, 0)
			asked := 0
			j.Done = func(context.Context) (time.Time, error) {
				if asked++; asked < 3 {
					return time.Time{}, errors.New("the store is away")
				}
				return start.Add(-time.Hour), nil
			}
			d.after(t, time.Minute, j)
			require.Equal(t, []string{"00:00:20 a for 1 00:00:00"}, d.lines)
		})
	})
	t.Run("the end waits for the job at work", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ended := false
			j := schedule.Job{
				Schedule: compiled(t, every(time.Minute)),
				Done:     func(context.Context) (time.Time, error) { return time.Time{}, nil },
				Run: func(ctx context.Context, _, _ time.Time) {
					<-ctx.Done()
					time.Sleep(5 * time.Second)
					ended = true
				},
			}
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			require.NoError(t, schedule.New([]schedule.Job{j}).Run(ctx))
			require.True(t, ended)
		})
	})
	t.Run("without jobs it waits", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			(&diary{}).after(t, time.Hour)
			require.Equal(t, time.Hour, time.Since(begun))
		})
	})
}
