package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// week is how many minutes a week has.
const week = 7 * 24 * 60

// Window is a part of every week, in which some things are not done.
type Window struct {
	// Text is how it was written.
	Text string
	// Words are what stands behind the times, in their order; none means everything
	// that the reader takes it to mean.
	Words []string

	zone  *time.Location
	spans []span // in order, none touching another, but for the last and the first
}

// span is from one minute of the week to another, from Monday 0:00 on. The end is not
// in it, and may lie in the next week.
type span struct{ from, to int }

// ParseWindow reads a window: "Fri 17:00-Mon 06:00", or hours of some days,
// "Mon-Fri 08:00-18:00", "Sat,Sun 00:00-24:00", "daily 22:00-06:00", where hours that
// end before they begin end on the next day. Behind them may stand a time zone, as in
// Europe/Berlin, and words, separated by blanks or commas. zone is the one that counts
// if there is none; nil is UTC.
func ParseWindow(text string, zone *time.Location) (Window, error) {
	w := Window{Text: text, zone: zone}
	if w.zone == nil {
		w.zone = time.UTC
	}
	parts := strings.Fields(text)
	var rest []string
	var err error
	switch {
	case len(parts) >= 3 && strings.Contains(parts[1], "-") && !strings.Contains(parts[0], "-") && !hours(parts[1]): // Fri 17:00-Mon 06:00
		w.spans, err = stretch(parts[0], parts[1], parts[2])
		rest = parts[3:]
	case len(parts) >= 2:
		w.spans, err = repeated(parts[0], parts[1])
		rest = parts[2:]
	default:
		err = fmt.Errorf("%q names no days and hours", text)
	}
	if err != nil {
		return Window{}, err
	}
	if w.spans = merged(w.spans); len(w.spans) == 1 && w.spans[0].to-w.spans[0].from >= week {
		return Window{}, fmt.Errorf("%q is the whole week and would never end", text)
	}
	if len(rest) > 0 && (strings.Contains(rest[0], "/") || rest[0] == "UTC") {
		if w.zone, err = time.LoadLocation(rest[0]); err != nil {
			return Window{}, fmt.Errorf("there is no time zone %q", rest[0])
		}
		rest = rest[1:]
	}
	w.Words = strings.FieldsFunc(strings.Join(rest, " "), func(r rune) bool { return r == ' ' || r == ',' })
	return w, nil
}

// hours tells 08:00-18:00 from 17:00-Mon.
func hours(text string) bool {
	_, to, _ := strings.Cut(text, "-")
	return to != "" && to[0] >= '0' && to[0] <= '9'
}

func stretch(day, middle, last string) ([]span, error) {
	first, until, _ := strings.Cut(middle, "-")
	from, err := moment(day, first)
	if err != nil {
		return nil, err
	}
	to, err := moment(until, last)
	if err != nil {
		return nil, err
	}
	switch {
	case from == to:
		return nil, fmt.Errorf("it ends when it begins, on %s %s", day, first)
	case to < from:
		to += week
	}
	return []span{{from, to}}, nil
}

func moment(day, clock string) (int, error) {
	d, err := weekday(day)
	if err != nil {
		return 0, err
	}
	m, err := minutes(clock)
	return d*24*60 + m, err
}

func repeated(days, clock string) ([]span, error) {
	list, err := weekdays(days)
	if err != nil {
		return nil, err
	}
	first, last, found := strings.Cut(clock, "-")
	if !found {
		return nil, fmt.Errorf("want hours such as 08:00-18:00, found %q", clock)
	}
	from, err := minutes(first)
	if err != nil {
		return nil, err
	}
	to, err := minutes(last)
	if err != nil {
		return nil, err
	}
	switch {
	case from == to:
		return nil, fmt.Errorf("it ends when it begins, at %s; a whole day is 00:00-24:00", first)
	case to < from:
		to += 24 * 60
	}
	out := make([]span, len(list))
	for i, d := range list {
		out[i] = span{d*24*60 + from, d*24*60 + to}
	}
	return out, nil
}

// weekdays reads Mon-Fri, Sat,Sun or daily.
func weekdays(text string) ([]int, error) {
	if text == "daily" {
		return []int{0, 1, 2, 3, 4, 5, 6}, nil
	}
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, found := strings.Cut(part, "-")
		from, err := weekday(first)
		if err != nil {
			return nil, err
		}
		to := from
		if found {
			if to, err = weekday(last); err != nil {
				return nil, err
			}
		}
		for d := from; ; d = (d + 1) % 7 {
			out = append(out, d)
			if d == to {
				break
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func weekday(text string) (int, error) {
	names := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	if i := slices.Index(names, strings.ToLower(text)); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("want a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun), found %q", text)
}

// minutes reads 17:00; 24:00 is the end of the day.
func minutes(text string) (int, error) {
	h, m, found := strings.Cut(text, ":")
	hour, err := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if !found || err != nil || err2 != nil || len(h) > 2 || len(m) != 2 || hour < 0 || minute < 0 || minute > 59 || hour*60+minute > 24*60 {
		return 0, fmt.Errorf("want a time from 00:00 to 24:00, found %q", text)
	}
	return hour*60 + minute, nil
}

// merged joins spans that touch, so that each end is one at which something ends.
func merged(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	// Sunday night goes on on Monday.
	for len(out) > 1 && out[len(out)-1].to >= out[0].from+week {
		out[len(out)-1].to = max(out[len(out)-1].to, out[0].to+week)
		out = out[1:]
	}
	return out
}

// Until gives the end of the window a time is in; in is false if it is in none. The
// clock on the wall counts: an hour that it shows twice is in the window twice.
func (w Window) Until(at time.Time) (end time.Time, in bool) {
	local := at.In(w.zone)
	now := (int(local.Weekday())+6)%7*24*60 + local.Hour()*60 + local.Minute()
	for _, s := range w.spans {
		for _, shift := range []int{0, week} {
			if now+shift < s.from || now+shift >= s.to {
				continue
			}
			days, left := (s.to-shift)/(24*60), (s.to-shift)%(24*60)
			day := local.Day() + days - now/(24*60)
			end = time.Date(local.Year(), local.Month(), day, left/60, left%60, 0, 0, w.zone)
			for !end.After(at) { // the second time around
				end = end.Add(time.Hour)
			}
			return end, true
		}
	}
	return time.Time{}, false
}
