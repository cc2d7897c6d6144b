package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	x, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return x
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

func compiled(t *testing.T, o schedule.Options) *schedule.Schedule {
	t.Helper()
	s, err := schedule.Compile(o)
	require.NoError(t, err)
	return s
}

func TestSchedule_Next(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		cron, zone  string
		every       time.Duration
		after       string
		want        []string
		wantNothing bool
	}{
		{"an interval ticks at its multiples, whoever asks", "", "", 15 * time.Minute, "2026-11-30T10:07:31Z", []string{"2026-11-30T10:15:00Z", "2026-11-30T10:30:00Z"}, false},
		{"a tick is after the time that is given", "*/15 * * * *", "", 0, "2026-11-30T10:15:00Z", []string{"2026-11-30T10:30:00Z"}, false},
		{"five fields in a zone", "30 2 * * *", "Europe/Berlin", 0, "2026-11-30T10:00:00Z", []string{"2026-12-01T01:30:00Z", "2026-12-02T01:30:00Z"}, false},
		{"day names and months", "0 6 * jan mon-fri", "", 0, "2026-11-30T10:00:00Z", []string{"2027-01-01T06:00:00Z", "2027-01-04T06:00:00Z"}, false},
		{"a leap day", "0 0 29 2 *", "", 0, "2026-11-30T10:00:00Z", []string{"2028-02-29T00:00:00Z"}, false},
		{"what the clock skips in spring comes at the skip, once", "*/20 2 * * *", "Europe/Berlin", 0, "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}, false},
		{"what is not skipped in spring comes when it always does", "30 3 * * *", "Europe/Berlin", 0, "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"}, false},
		{"the moment of the skip itself is one tick, not two", "30 2,3 * * *", "Europe/Berlin", 0, "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}, false},
		{"what the clock shows twice in autumn comes the first time", "30 2 * * *", "Europe/Berlin", 0, "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}, false},
		{"asked within the second time it does not come again", "30 2 * * *", "Europe/Berlin", 0, "2026-10-25T01:10:00Z", []string{"2026-10-26T01:30:00Z"}, false},
		{"asked at the end of the first time neither", "0 2 * * *", "Europe/Berlin", 0, "2026-10-25T00:59:59Z", []string{"2026-10-26T01:00:00Z"}, false},
		{"after the second time all is as always", "0 3 * * *", "Europe/Berlin", 0, "2026-10-25T00:00:00Z", []string{"2026-10-25T02:00:00Z"}, false},
		{"every half hour goes through the spring as time does", "*/30 * * * *", "Europe/Berlin", 0, "2026-03-29T00:30:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"}, false},
		{"every half hour comes in both hours of autumn", "*/30 * * * *", "Europe/Berlin", 0, "2026-10-25T00:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"}, false},
		{"a skip of half an hour", "15 2 * * *", "Australia/Lord_Howe", 0, "2026-10-03T00:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}, false},
		{"a skip at midnight", "0 0 * * *", "America/Santiago", 0, "2026-09-05T12:00:00Z", []string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}, false},
		{"a whole day that was skipped", "0 12 30 12 *", "Pacific/Apia", 0, "2011-12-29T12:00:00Z", []string{"2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := schedule.Options{Cron: c.cron, Every: c.every}
			if c.zone != "" {
				o.Zone = zone(t, c.zone)
			}
			s := compiled(t, o)
			now := at(t, c.after)
			for _, want := range c.want {
				next := s.Next(now)
				require.Equal(t, want, next.UTC().Format(time.RFC3339))
				require.True(t, s.Latest(next).Equal(next), "a tick is the latest one at its own moment")
				require.True(t, s.Next(next.Add(-time.Nanosecond)).Equal(next))
				now = next
			}
		})
	}
}

func TestSchedule_Next_always_goes_on(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"} {
		for _, text := range []string{"* * * * *", "*/7 1-3 * * *", "30 2 * * sun", "0 0 1 * *", "59 23 31 12 *"} {
			s := compiled(t, schedule.Options{Cron: text, Zone: zone(t, name)})
			now, end := at(t, "2026-01-01T00:00:00Z"), at(t, "2027-01-01T00:00:00Z")
			for steps := 0; now.Before(end) && steps < 20000; steps++ {
				next := s.Next(now)
				require.True(t, next.After(now), "%s in %s after %s gives %s", text, name, now, next)
				now = next
			}
		}
	}
}

func TestSchedule_Latest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, cron, at, want string }{
		{"within the hour", "*/15 * * * *", "2026-11-30T10:14:59Z", "2026-11-30T10:00:00Z"},
		{"weeks ago", "0 6 1 * *", "2026-11-30T10:00:00Z", "2026-11-01T06:00:00Z"},
		{"years ago", "0 0 29 2 *", "2027-11-30T10:00:00Z", "2024-02-29T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := compiled(t, schedule.Options{Cron: c.cron})
			require.Equal(t, c.want, s.Latest(at(t, c.at)).UTC().Format(time.RFC3339))
		})
	}
}

func TestCompile_refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    schedule.Options
		want string
	}{
		{"neither", schedule.Options{}, "either cron or every"},
		{"both", schedule.Options{Cron: "* * * * *", Every: time.Hour}, "either cron or every"},
		{"six fields", schedule.Options{Cron: "0 0 2 * * *"}, "expected exactly 5 fields"},
		{"an hour that no day has", schedule.Options{Cron: "0 24 * * *"}, "above maximum"},
		{"a day that no year has", schedule.Options{Cron: "0 0 30 2 *"}, "no year has"},
		{"a zone within", schedule.Options{Cron: "CRON_TZ=Asia/Tokyo 0 6 * * *"}, "time zone"},
		{"an interval in words of cron", schedule.Options{Cron: "@every 5m"}, "interval"},
		{"parts of seconds", schedule.Options{Every: 1500 * time.Millisecond}, "whole seconds"},
		{"an interval backwards", schedule.Options{Every: -time.Hour}, "whole seconds"},
		{"jitter as long as the interval", schedule.Options{Every: time.Minute, Jitter: time.Minute}, "jitter"},
		{"jitter backwards", schedule.Options{Cron: "@daily", Jitter: -1}, "jitter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := schedule.Compile(c.o)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, window, at, until string }{ // "" = in none
		{"over a weekend, Saturday", "Fri 17:00-Mon 06:00", "2026-11-28T12:00:00Z", "2026-11-30T06:00:00Z"},
		{"over a weekend, its first minute", "Fri 17:00-Mon 06:00", "2026-11-27T17:00:00Z", "2026-11-30T06:00:00Z"},
		{"over a weekend, the minute before", "Fri 17:00-Mon 06:00", "2026-11-27T16:59:59Z", ""},
		{"over a weekend, Monday morning", "Fri 17:00-Mon 06:00", "2026-11-30T05:59:59Z", "2026-11-30T06:00:00Z"},
		{"over a weekend, its end is not in it", "Fri 17:00-Mon 06:00", "2026-11-30T06:00:00Z", ""},
		{"hours of some days", "Mon-Fri 08:00-18:00", "2026-12-01T09:00:00Z", "2026-12-01T18:00:00Z"},
		{"hours of some days, not of another", "Mon-Fri 08:00-18:00", "2026-11-29T09:00:00Z", ""},
		{"whole days that follow each other end together", "Sat,Sun 00:00-24:00", "2026-11-28T09:00:00Z", "2026-11-30T00:00:00Z"},
		{"whole days around the end of the week", "Sat-Mon 00:00-24:00", "2026-11-30T09:00:00Z", "2026-12-01T00:00:00Z"},
		{"whole days around the end of the week, before it", "Sat-Mon 00:00-24:00", "2026-11-28T09:00:00Z", "2026-12-01T00:00:00Z"},
		{"hours over midnight, before it", "daily 22:00-06:00", "2026-11-29T23:00:00Z", "2026-11-30T06:00:00Z"},
		{"hours over midnight, behind it", "daily 22:00-06:00", "2026-11-30T05:00:00Z", "2026-11-30T06:00:00Z"},
		{"in a zone", "daily 22:00-06:00 Asia/Tokyo", "2026-11-30T13:30:00Z", "2026-11-30T21:00:00Z"},
		{"over the spring", "Sat 12:00-Sun 12:00 Europe/Berlin", "2026-03-28T20:00:00Z", "2026-03-29T10:00:00Z"},
		{"over the autumn", "Sat 12:00-Sun 12:00 Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-25T11:00:00Z"},
		{"an hour that comes twice is in it twice", "Sun 02:00-02:30 Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"},
		{"over the end of a year", "Thu 12:00-Fri 12:00", "2026-12-31T20:00:00Z", "2027-01-01T12:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, err := schedule.ParseWindow(c.window, nil)
			require.NoError(t, err)
			end, in := w.Until(at(t, c.at))
			require.Equal(t, c.until != "", in)
			if in {
				require.Equal(t, c.until, end.UTC().Format(time.RFC3339))
			}
		})
	}
	t.Run("words stand behind, and a zone of its own before them", func(t *testing.T) {
		t.Parallel()
		w, err := schedule.ParseWindow("Fri 17:00-Mon 06:00 Europe/Berlin create, deactivate", nil)
		require.NoError(t, err)
		require.Equal(t, []string{"create", "deactivate"}, w.Words)
		w, err = schedule.ParseWindow("daily 22:00-06:00", zone(t, "Asia/Tokyo"))
		require.NoError(t, err)
		require.Empty(t, w.Words)
		_, in := w.Until(at(t, "2026-11-30T13:30:00Z"))
		require.True(t, in, "the zone that is given counts")
	})
}

func TestParseWindow_refuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "names no days and hours",
		"Fri":                           "names no days and hours",
		"Fri 17:00":                     "want hours",
		"Freitag 17:00-18:00":           "want a day",
		"Fri 17-18":                     "want a time",
		"Fri 17:00-25:00":               "want a time",
		"Fri 17:00-Mon":                 "want a time",
		"Fri 17:00-17:00":               "ends when it begins",
		"Fri 17:00-Fri 17:00":           "ends when it begins",
		"daily 00:00-24:00":             "whole week",
		"Mon-Sun 12:00-11:00 nonsense":  "",
		"Fri 17:00-Mon 06:00 Mars/Base": "no time zone",
	} {
		_, err := schedule.ParseWindow(text, nil)
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
}
