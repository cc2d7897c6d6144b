package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// keepPlaces notes where the source keeps people now: moves alone change nothing
// on the server, but an absence is later explained by its last place. It also
// notes who is in again after a leaving that only ended the sessions, so that the
// next leaving ends them again.
func (e *Engine) keepPlaces(ctx context.Context, g *gathered, s *identity.Snapshot, l *lease) error {
	var moved []identity.Link
	for i := range s.Identities {
		id := &s.Identities[i]
		k := g.links[id.Key]
		if k == nil {
			continue
		}
		in := id.Active && k.Observed != nil && k.Observed.Active()
		match := cmp.Or(id.MatchKey, k.Applied.MatchKey) // the last one there was
		if k.Ref != id.Ref || match != k.Applied.MatchKey || (in && !k.Applied.Active) {
			k.Ref, k.Applied.MatchKey, k.Applied.Active = id.Ref, match, k.Applied.Active || in
			moved = append(moved, *k)
		}
	}
	return e.putLinks(ctx, g, l, moved, "record where people of source "+s.Source+" are")
}

// judgeRead decides whether a read may prove absences, and notes it.
func (e *Engine) judgeRead(ctx context.Context, g *gathered, s *identity.Snapshot, sum *plan.SourceSummary, o RunOptions, l *lease) error {
	sum.Entries, sum.Complete, sum.Doubt, sum.Took = s.Entries, s.Complete, s.Incomplete, s.Took
	sum.Faults = len(s.Unreadable)
	for i := range s.Identities {
		// What is wrong with the entry of somebody who has left harms nobody, and
		// old directories are full of it.
		if s.Identities[i].Fault != "" && s.Identities[i].Active {
			sum.Faults++
		}
	}
	for _, p := range s.Unreadable {
		g.problems = append(g.problems, p.Ref+": "+p.Message)
	}
	if s.RolesUnknown != "" {
		g.problems = append(g.problems, "source "+s.Source+": "+s.RolesUnknown)
	}
	limits := e.o.Limits
	if o.Limits != nil {
		limits = *o.Limits
	}
	before, err := e.sizeBefore(ctx, g, sum)
	if err != nil {
		return err
	}
	if sum.Complete {
		if trip, shrunk := guard.Shrunk(s.Source, s.Entries, before, limits); shrunk {
			sum.Complete, sum.Doubt = false, fmt.Sprintf("%d entries, but %d %s", s.Entries, before.Count, before.What)
			g.trips = append(g.trips, trip)
		}
	}
	if l == nil {
		return nil
	}
	// A shrunken read must not become the measure of the next one.
	read := state.Read{Source: s.Source, At: g.now, Entries: s.Entries, Faults: sum.Faults, Complete: sum.Complete, Doubt: sum.Doubt, Took: s.Took}
	if err := e.o.Store.RecordRead(ctx, read); err != nil {
		return fmt.Errorf("record the read of source %s: %w", s.Source, err)
	}
	return nil
}

// sizeBefore says what the size of a source's read is judged by, and notes the
// last one. A week of outage or of withheld reads must not wear the measure out,
// or the crippled read would become it.
func (e *Engine) sizeBefore(ctx context.Context, g *gathered, sum *plan.SourceSummary) (guard.Measure, error) {
	for _, since := range []time.Time{g.now.Add(-7 * 24 * time.Hour), time.Unix(0, 0)} {
		reads, err := e.o.Store.Reads(ctx, sum.Name, since)
		if err != nil {
			return guard.Measure{}, fmt.Errorf("read earlier reads of source %s: %w", sum.Name, err)
		}
		reads = slices.DeleteFunc(reads, func(r state.Read) bool { return !r.Complete })
		if len(reads) == 0 {
			continue
		}
		sum.Last = reads[0].Entries // the newest comes first
		if since.Unix() == 0 {
			return guard.Measure{Count: sum.Last, What: "in the last complete read, " + reads[0].At.UTC().Format("2006-01-02")}, nil
		}
		largest := slices.MaxFunc(reads, func(a, b state.Read) int { return a.Entries - b.Entries })
		return guard.Measure{Count: largest.Entries, What: "in the largest complete read of the last 7 days"}, nil
	}
	return guard.Measure{Count: sum.Linked, What: "active accounts linked to it"}, nil
}

// missingLinks gives the owned links of a source that its read lacked, less those
// about whom that is settled. An entry that could not be read counts as the link
// that was last at its place; one that nobody was at leaves it open who is missing.
func (g *gathered) missingLinks(source string, unreadable []identity.Problem) (absent []*identity.Link, joined map[identity.Key]bool, doubt string) {
	places := map[uint64]bool{}
	for _, p := range unreadable {
		places[g.roster.place(p.Ref)] = true
	}
	joined = map[identity.Key]bool{}
	taken := map[uint64]bool{}
	missing := 0
	gone := digest(g.rules, nobody)
	from, to := g.roster.segment(source)
	for i := from; i < to; i++ {
		h := &g.roster.heads[i]
		if !h.owner && !h.present && places[h.place] {
			taken[h.place] = true // a contributor's: he is not who is missing
		}
		if !h.owner || h.present {
			continue
		}
		k := g.links[g.roster.key(i)]
		if places[h.place] {
			taken[h.place] = true
			if k != nil {
				joined[k.Key] = true
			}
			continue
		}
		missing++
		if k == nil || h.settled == gone { // off since he was last missed
			g.settled++
			continue
		}
		absent = append(absent, k)
	}
	for _, p := range unreadable {
		if !taken[g.roster.place(p.Ref)] && missing > 0 {
			return absent, joined, fmt.Sprintf("%s could not be read and belongs to nobody known: %s", p.Ref, p.Message)
		}
	}
	return absent, joined, ""
}

// missed observes the links whose Key the source no longer lists: since when,
// how often, and what the source says when asked directly. first is where the
// observations of the people it does list begin; those who are disabled wait
// for their grace in the same way.
func (e *Engine) missed(ctx context.Context, g *gathered, v *view, src Source, sum plan.SourceSummary, first int, absent []*identity.Link, joined map[identity.Key]bool) error {
	known, err := e.o.Store.Sightings(ctx, src.Name())
	if err != nil {
		return fmt.Errorf("read who is missing from source %s: %w", src.Name(), err)
	}
	seen := g.seenAgain(known, first, joined)
	for i := first; i < len(g.observations); i++ {
		ob := &g.observations[i]
		s := seen[ob.Key]
		switch {
		case !ob.Desired.Active && ob.Linked != nil && ob.Linked.Active() && e.o.Policy.Grace.Disabled > 0:
			seen := e.sight(g, s, ob.Key)
			ob.Absence.Since, ob.Absence.Reads = seen.Since, seen.Reads
		case s != nil:
			g.sightings.Seen = append(g.sightings.Seen, ob.Key)
		}
	}
	var ask []string
	first = len(g.observations)
	for _, k := range absent {
		ob := plan.Observation{Key: k.Key, Link: k, Voices: g.voicesOf(k)}
		v.attach(&ob)
		ob.Absence = plan.Absence{Complete: sum.Complete, Doubt: sum.Doubt}
		if s := seen[k.Key]; s != nil {
			ob.Absence.Since, ob.Absence.Reads = s.Since, s.Reads
		}
		if sum.Complete {
			s := e.sight(g, seen[k.Key], k.Key)
			ob.Absence.Since, ob.Absence.Reads = s.Since, s.Reads
			if e.due(s, g.now) && !ob.Unseen && e.canLose(g, &ob) {
				ask = append(ask, k.Key.Anchor)
			}
		}
		g.observations = append(g.observations, ob)
	}
	if len(ask) == 0 {
		return nil
	}
	slices.Sort(ask)
	answers, err := src.Confirm(ctx, ask)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		g.problems = append(g.problems, fmt.Sprintf("source %s could not be asked about %d missing people: %v", src.Name(), len(ask), err))
	}
	for i := first; i < len(g.observations); i++ {
		ob := &g.observations[i]
		ob.Absence.Presence = answers[ob.Key.Anchor]
		if ob.Absence.Presence == identity.PresencePresent {
			g.sightings.Seen = append(g.sightings.Seen, ob.Key)
			g.sightings.Missed = slices.DeleteFunc(g.sightings.Missed, func(s state.Sighting) bool { return s.Key == ob.Key })
		}
	}
	return nil
}

// seenAgain gives what is known of who is being missed, by Key, and notes those of
// them who are there and need no deciding: unreadable, or as they were before they
// were missed. first is where the observations of their source begin.
func (g *gathered) seenAgain(known []state.Sighting, first int, joined map[identity.Key]bool) map[identity.Key]*state.Sighting {
	observed := map[identity.Key]bool{}
	for i := first; i < len(g.observations); i++ {
		observed[g.observations[i].Key] = true
	}
	seen := make(map[identity.Key]*state.Sighting, len(known))
	for i := range known {
		k := known[i].Key
		seen[k] = &known[i]
		at := g.roster.find(k)
		settled := at >= 0 && g.roster.heads[at].present && !observed[k]
		if joined[k] || settled {
			g.sightings.Seen = append(g.sightings.Seen, k)
		}
	}
	return seen
}

// anotherLook is how far apart two looks at somebody are to count as two.
const anotherLook = 10 * time.Minute

// sight counts one more complete read that lacked the Key. Reads closer than
// ten minutes to the last counted one are the same observation.
func (e *Engine) sight(g *gathered, s *state.Sighting, k identity.Key) state.Sighting {
	next := state.Sighting{Key: k, Since: g.now, Reads: 1, LastRead: g.now}
	switch {
	case s == nil:
	case g.jumped: // a grace must not end by a clock that was set: one more read counts
		next.Since = s.Since
	default:
		next = *s
		if g.now.Sub(s.LastRead) < anotherLook {
			return next
		}
		next.Reads++
		next.LastRead = g.now
	}
	g.sightings.Missed = append(g.sightings.Missed, next)
	return next
}

// canLose tells whether anything could be done about somebody if he proves to be gone.
// An account that is gone as well is forgotten on the same proof.
func (e *Engine) canLose(g *gathered, ob *plan.Observation) bool {
	return ob.Linked == nil || ob.Linked.Active() || e.hasRights(ob.Key.Source, ob.Linked.Roles) || g.stops.off(ob.Key) || e.tidies(g, ob) || g.asksAgain(ob)
}

// due tells whether a missing person could be switched off by now, whichever
// grace applies, so that it is worth asking the source.
func (e *Engine) due(s state.Sighting, now time.Time) bool {
	grace := min(e.o.Policy.Grace.Missing, e.o.Policy.Grace.OutOfScope)
	return !now.Before(s.Since.Add(grace))
}
