package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (v *validator) schedule(s *Schedule) {
	v.timezone("schedule.timezone", s.Timezone)
	lines := map[string]int{}
	for i := range s.Runs {
		r, at := &s.Runs[i], indexPath("schedule.runs", i)
		name := at + ".name"
		switch first := lines[r.Name]; {
		case r.Name == "":
		case !sourceName.MatchString(r.Name):
			v.fault(name, "want lower-case letters, digits and -, at most 32 and a letter first, found "+v.quote(name), "when it ran last is kept under this name")
		case first > 0:
			v.fault(name, fmt.Sprintf("is the name of the schedule on line %d already", first), "when it ran last is kept under this name: every schedule needs its own")
		default:
			lines[r.Name] = v.doc.marks[name].line
		}
		if r.Timezone == "" {
			r.Timezone = s.Timezone
		} else {
			v.timezone(at+".timezone", r.Timezone)
		}
		v.ticks(at, r)
		v.scheduledSources(at+".sources", r.Sources)
		v.unique(at+".sources", r.Sources, same)
		for j, op := range r.Operations {
			v.oneOf(indexPath(at+".operations", j), op, Operations()...)
		}
		v.unique(at+".operations", r.Operations, same)
	}
	for i, b := range s.Blackout {
		if b.Text == "" && !v.doc.isBad(indexPath("schedule.blackout", i)) {
			v.fault(indexPath("schedule.blackout", i), "is empty", "write days, hours and what is not done then, such as Fri 17:00-Mon 06:00 deactivate")
		}
	}
	v.leaversGo(s)
	v.aboutAll(s)
}

// ticks checks when a schedule runs, as far as that can be seen without reading cron.
func (v *validator) ticks(at string, r *ScheduledRun) {
	bad := v.doc.isBad(at+".cron") || v.doc.isBad(at+".every")
	switch {
	case bad:
		return
	case r.Cron.Text == "" && r.Every == 0:
		v.fault(at, "says neither cron nor every", "write every: 15m, or cron: \"30 2 * * *\"")
		return
	case r.Cron.Text != "" && r.Every != 0:
		v.fault(at+".every", "is given beside cron", "keep one of the two")
		return
	case r.Every != 0 && (r.Every < time.Second || r.Every%time.Second != 0):
		v.fault(at+".every", "want whole seconds, at least 1s, found "+formatDuration(r.Every), "")
		return
	}
	if v.doc.isBad(at + ".jitter") {
		return
	}
	switch {
	case r.Every != 0 && r.Jitter >= r.Every:
		v.fault(at+".jitter", fmt.Sprintf("want less than every (%s), found %s", formatDuration(r.Every), formatDuration(r.Jitter)), "")
	default:
		v.lasts(at+".jitter", r.Jitter, 0, 24*time.Hour)
	}
}

func (v *validator) scheduledSources(at string, list []string) {
	names, known := v.sourceNames()
	if !known {
		return
	}
	for j, name := range list {
		if !slices.Contains(names, name) {
			v.fault(indexPath(at, j), "no source is named "+v.quote(indexPath(at, j)), v.sourceHint(name, names))
		}
	}
}

// leaversGo refuses schedules of which none would ever switch off the leavers of a
// source that is read. A source that is pushed has its leavers switched off by pushes.
func (v *validator) leaversGo(s *Schedule) {
	names, known := v.sourceNames()
	if len(s.Runs) == 0 || len(v.config.Lifecycle.Deactivate.On) == 0 || !known || v.doc.isBad("schedule.runs") {
		return
	}
	for i, name := range names {
		if v.config.Sources[i].SCIM != nil {
			continue
		}
		goes := slices.ContainsFunc(s.Runs, func(r ScheduledRun) bool {
			return (len(r.Sources) == 0 || slices.Contains(r.Sources, name)) && (len(r.Operations) == 0 || slices.Contains(r.Operations, OpDeactivate))
		})
		if !goes {
			v.fault("schedule.runs", "no schedule switches off who leaves source "+name, "add deactivate to the operations of one that works on "+name+", or say lifecycle: {deactivate: {on: []}}")
		}
	}
}

// aboutAll wants one schedule that works on all sources: the first approval, the limits of
// a new source and health go by runs about everybody.
func (v *validator) aboutAll(s *Schedule) {
	some := func(r ScheduledRun) bool { return len(r.Sources) > 0 }
	if len(s.Runs) > 0 && !v.doc.isBad("schedule.runs") && !slices.ContainsFunc(s.Runs, func(r ScheduledRun) bool { return !some(r) }) {
		v.fault("schedule.runs", "each works on some sources alone, and none on all of them", "leave sources out of one: limits, health and what is held go by runs about everybody")
	}
}

func (v *validator) timezone(at, name string) {
	if name == "" {
		return
	}
	if _, err := time.LoadLocation(name); err != nil || strings.EqualFold(name, "local") {
		v.fault(at, "there is no time zone "+v.quote(at), "write the name of a place, such as Europe/Berlin, or UTC")
	}
}
