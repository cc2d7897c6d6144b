// Package schedule says when something is to be done, and has it done: schedules
// by cron expression or interval, weekly windows in which some things are not done,
// and a scheduler that does one thing at a time.
//
// It keeps nothing and knows nothing of what is done: when a schedule was served last
// it is told, and what is not done in a window is a matter of who asks.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Options say when a Schedule ticks: by Cron or by Every, one of the two.
type Options struct {
	// Cron has five fields: minute, hour, day of month, month, day of week; or is one
	// of @hourly, @daily, @weekly, @monthly, @yearly.
	Cron string
	// Every counts from the zero time on, so that all who have the same one tick at
	// the same moments; at least 1 s, in whole seconds.
	Every time.Duration
	// Zone is where the clock hangs that Cron goes by; nil is UTC.
	Zone *time.Location
	// Jitter is how much later than its tick a run begins at most, by chance. It is
	// less than Every.
	Jitter time.Duration
}

// Schedule is when something is to be done. It is a value without a clock of its own
// and safe for concurrent use.
type Schedule struct {
	every  time.Duration
	spec   *cron.SpecSchedule // by the clock on the wall, as if that were UTC
	hourly bool               // whatever the hour: time passes, and not the clock's hand
	zone   *time.Location
	jitter time.Duration
}

// Compile checks options and makes a Schedule of them.
func Compile(o Options) (*Schedule, error) {
	s := &Schedule{every: o.Every, zone: o.Zone, jitter: o.Jitter}
	if s.zone == nil {
		s.zone = time.UTC
	}
	switch {
	case (o.Cron == "") == (o.Every == 0):
		return nil, errors.New("want either cron or every")
	case o.Every != 0 && (o.Every < time.Second || o.Every%time.Second != 0):
		return nil, fmt.Errorf("want an interval of whole seconds, found %s", o.Every)
	case o.Jitter < 0 || (o.Every != 0 && o.Jitter >= o.Every):
		return nil, fmt.Errorf("want a jitter that is shorter than the interval %s, found %s", o.Every, o.Jitter)
	case o.Every != 0:
		return s, nil
	}
	if err := s.parse(o.Cron); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Schedule) parse(text string) error {
	if strings.Contains(text, "TZ=") {
		return errors.New("the time zone does not belong into the expression")
	}
	if strings.HasPrefix(text, "@every") {
		return errors.New("an interval is no cron expression")
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return fmt.Errorf("read the cron expression: %w", err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return fmt.Errorf("%q is not a cron expression of five fields", text)
	}
	spec.Location = time.UTC
	const star = 1 << 63 // how the parser notes that any hour will do
	s.spec, s.hourly = spec, spec.Hour&star != 0
	if spec.Next(time.Unix(0, 0).UTC()).IsZero() {
		return fmt.Errorf("%q names a day that no year has", text)
	}
	return nil
}

// Jitter is how much later than its tick a run begins at most.
func (s *Schedule) Jitter() time.Duration { return s.jitter }

// Next gives the first tick after a time, without jitter.
//
// A cron expression goes by the clock on the wall. Of an hour that the clock skips in
// spring, all ticks fall together at the moment of the skip; of an hour that it shows
// twice in autumn, they come the first time only. An expression for every hour ticks
// as time passes: not at all in the first case, in both hours in the second.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		return after.UTC().Truncate(s.every).Add(s.every)
	}
	// From one change of the clock to the next the wall is a fixed distance from UTC.
	from := after
	for in := after; ; {
		start, end := in.In(s.zone).ZoneBounds()
		offset := offsetOf(in, s.zone)
		if before := offsetOf(start.Add(-time.Second), s.zone); !start.IsZero() && !s.hourly && before > offset {
			from = later(from, start.Add(before-offset-time.Second)) // what comes before was there the first time
		}
		wall := s.spec.Next(from.UTC().Add(offset))
		if wall.IsZero() {
			return wall
		}
		if at := wall.Add(-offset); end.IsZero() || at.Before(end) {
			return at.In(s.zone)
		}
		skipped, last := end.UTC().Add(offset), end.UTC().Add(offsetOf(end, s.zone))
		if !s.hourly && skipped.Before(last) && s.spec.Next(skipped.Add(-time.Second)).Before(last) {
			return end.In(s.zone)
		}
		in, from = end, end.Add(-time.Second)
	}
}

// Latest gives the last tick at or before a time; the zero time if five years had
// none.
func (s *Schedule) Latest(at time.Time) time.Time {
	if s.every > 0 {
		return at.UTC().Truncate(s.every)
	}
	const day = 24 * time.Hour
	for _, back := range []time.Duration{time.Hour, day, 8 * day, 32 * day, 367 * day, 5 * 366 * day} {
		tick := s.Next(at.Add(-back))
		if tick.IsZero() || tick.After(at) {
			continue
		}
		for {
			next := s.Next(tick)
			if next.IsZero() || next.After(at) {
				return tick
			}
			tick = next
		}
	}
	return time.Time{}
}

func offsetOf(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
