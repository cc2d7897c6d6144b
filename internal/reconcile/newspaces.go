package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Teams and channels that rules name and the server lacks. A run that makes some is
// followed by another one, which knows their ids and puts people into them.

// NewSpaces says what becomes of teams and channels that rules name and the server
// lacks: they are reported, and nobody is put into them, or made.
type NewSpaces struct {
	Make bool
	// Titles are what people see of those that are made, by space; the name where there
	// is none.
	Titles map[string]string
	// Public are the channels that everybody in the team finds; others are private.
	Public map[string]bool
}

// madeSpaces are the Options of a run that made teams or channels: people go into them in
// the next one, which belongs to the same beginning if it was the first.
const madeSpaces = `{"made":true}`

// madeWithTeam are the channels that the server makes together with a team.
func madeWithTeam(channel string) bool { return channel == "town-square" || channel == "off-topic" }

// unmade marks in the facts which teams and channels are to be made: those of which the
// server says that there is none, archived ones included, and channels of such a team.
// If that cannot be found out none is made, and the problem says so.
func (e *Engine) unmade(ctx context.Context, f *plan.Facts) (problem []string, err error) {
	if !e.o.NewSpaces.Make || len(f.Spaces) == 0 {
		return nil, nil
	}
	known := maps.Clone(f.Spaces)
	var look []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		s := known[name]
		if s.Trouble != plan.SpaceMissing || s.ID != "" {
			continue
		}
		team, channel := identity.TeamOf(name)
		if !channel {
			known[name] = e.making(name, s, false)
			continue
		}
		switch of := known[team]; {
		case of.Trouble == plan.SpaceUnmade:
			_, short, _ := strings.Cut(name, "/")
			known[name] = e.making(name, s, madeWithTeam(short))
		case of.Trouble == "" && of.ID != "":
			look = append(look, name)
		}
	}
	if len(look) > 0 {
		vacant, err := e.o.Target.Vacant(ctx, look)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return []string{"no team or channel is made in this run: " + err.Error()}, nil
		}
		for _, name := range look {
			if s := known[name]; vacant[name] {
				known[name] = e.making(name, s, false)
			} else {
				s.Trouble = plan.SpaceArchived
				known[name] = s
			}
		}
	}
	f.Spaces = known
	return nil, nil
}

// making has a team or channel made.
func (e *Engine) making(name string, s plan.Space, along bool) plan.Space {
	title := e.o.NewSpaces.Titles[name]
	if title == "" {
		title = name[strings.Index(name, "/")+1:]
	}
	s.Trouble, s.Make = plan.SpaceUnmade, &plan.Making{Title: title, Public: e.o.NewSpaces.Public[name], Along: along}
	return s
}

// tellMaking adds to what is to be made what operators said about that, and whether a call
// that makes it is still on its way.
func (e *Engine) tellMaking(g *gathered) {
	if !e.o.NewSpaces.Make {
		return
	}
	for name, s := range g.facts.Spaces {
		if s.Make == nil {
			continue
		}
		key, m := e.o.Policy.NewSpaceKey(name), *s.Make
		m.Said = g.heard.said[key]
		m.Busy = still(g.busy.people[key], g.now)
		s.Make = &m
		g.facts.Spaces[name] = s // the map is this run's own
	}
}

// lookAnew has teams and channels looked up anew: one may be there by now.
func (e *Engine) lookAnew() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.teams = nil
}

// madeEffect is effect for an op that makes a team or channel: the account that it gives
// stands for the new one, by its id.
func (e *Engine) madeEffect(ctx context.Context, op plan.Op) (*identity.Account, error) {
	e.lookAnew()
	name, _ := op.Makes()
	found, err := e.o.Target.Spaces(ctx, []string{name})
	if err != nil || found[name].ID == "" || found[name].Trouble != "" {
		return nil, err
	}
	return &identity.Account{ID: found[name].ID}, nil
}

// spaceMade records that a team or channel is there.
func (a *applier) spaceMade(ctx context.Context, ref state.OpRef, d *plan.Decision, id string) error {
	if err := a.record(ctx, state.Outcome{Ref: ref, Status: state.OpDone, AccountID: id, At: time.Now()}); err != nil {
		return err
	}
	a.e.lookAnew()
	a.e.log.InfoContext(ctx, "made", "run", a.runID, "source", d.Key.Source, "op", string(d.Ops[ref.Op].Kind), "id", id)
	a.count(func() {
		a.counts.Done++
		a.inARow, a.personal, a.alike = 0, 0, nil
		a.made++
	})
	return nil
}

// intoMade is the run that follows one which made teams and channels: it puts people into
// them. Whoever else has the lease by now does it. left is what the first run left to be
// looked at again.
func (e *Engine) intoMade(ctx context.Context, o RunOptions, first *Report, left unsettled) (unsettled, error) {
	o.tick, o.request = nil, nil // they were taken by the first
	second, next, err := e.underLease(ctx, "sync", o, nil)
	switch {
	case errors.Is(err, state.ErrHeld):
		return left, nil
	case err != nil:
		return left, fmt.Errorf("put people into the teams and channels that run %s made: %w", first.RunID, err)
	}
	first.Again = &second
	for k, at := range left.due {
		if _, known := next.due[k]; !known {
			next.due[k] = at
		}
	}
	return next, nil
}
