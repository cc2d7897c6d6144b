package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Who is in which team and channel. Only those that rules name are looked at: a run
// over everybody lists each of them once, and what is decided about a few people asks
// about them alone.

// spacesFor is how long pushes believe what was learnt of teams and channels.
const spacesFor = 5 * time.Minute

// named gives the teams and channels that rules name, sorted.
func (e *Engine) named() []string {
	var out []string
	for _, a := range e.o.Policy.Memberships {
		for _, s := range a.Spaces {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spaces gives the teams and channels that rules name, as the server has them or had
// them within the given time; nil if rules name none.
func (e *Engine) spaces(ctx context.Context, believed time.Duration) (map[string]plan.Space, error) {
	names := e.named()
	if len(names) == 0 {
		return nil, nil
	}
	e.mu.Lock()
	known, at := e.teams, e.teamsAt
	e.mu.Unlock()
	if known != nil && time.Since(at) < believed {
		return known, nil
	}
	found, err := e.o.Target.Spaces(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("look up the teams and channels of memberships.rules: %w", err)
	}
	e.mu.Lock()
	e.teams, e.teamsAt = found, time.Now()
	e.mu.Unlock()
	return found, nil
}

// spacesOrNone adds the teams and channels that rules name to the facts. If they cannot
// be looked up, none is known, and the problem says so: nobody's place is changed then,
// and everything else goes on, above all for those who leave.
func (e *Engine) spacesOrNone(ctx context.Context, f *plan.Facts) (problem []string, err error) {
	if f.Spaces, err = e.spaces(ctx, 0); err == nil {
		return e.unmade(ctx, f)
	}
	if ctx.Err() != nil {
		return nil, err
	}
	f.Spaces = map[string]plan.Space{}
	return []string{unplaced + err.Error()}, nil
}

const unplaced = "nobody's place in a team or channel is changed in this run: "

// troubles says which teams and channels that rules name nobody can be added to.
func troubles(spaces map[string]plan.Space) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		what := "team"
		if _, channel := identity.TeamOf(name); channel {
			what = "channel"
		}
		switch spaces[name].Trouble {
		case "", plan.SpaceUnmade: // its own line says so
		case plan.SpaceArchived:
			out = append(out, fmt.Sprintf("%s %q, which memberships.rules names, is archived, so its members stay as they are: restore it in Mattermost, or take it out of the rules", what, name))
		case plan.SpaceByGroups:
			out = append(out, fmt.Sprintf("%s %q, which memberships.rules names, is managed by groups of Mattermost's own, so its members stay as they are: switch that off in Mattermost, or take it out of the rules", what, name))
		default:
			out = append(out, fmt.Sprintf("%s %q, which memberships.rules names, is not on the server, or is archived, so nobody is added to it: create it in Mattermost, or correct the rules", what, name))
		}
	}
	return out
}

// readMembers lists who is in the teams and channels that rules name, as far as they
// are people of ours. About those that cannot be listed, and about the channels of such
// a team, nothing is known then.
func (e *Engine) readMembers(ctx context.Context, g *gathered) error {
	g.members = map[string]identity.Memberships{}
	if len(g.facts.Spaces) == 0 || len(g.roster.heads) == 0 {
		return nil
	}
	e.o.Progress(Progress{Stage: "reading who is in teams and channels"})
	ours := make(map[string]bool, len(g.roster.heads))
	for i := range g.roster.heads {
		if h := &g.roster.heads[i]; h.owner {
			ours[h.account] = true
		}
	}
	var mu sync.Mutex
	unread := map[string]error{}
	g.severalPages = map[string]bool{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(e.o.Workers)
	for name, s := range g.facts.Spaces {
		if s.ID == "" {
			continue
		}
		group.Go(func() error {
			people := 0
			err := e.o.Target.Members(gctx, name, s, func(account string, m identity.Membership) {
				people++
				if !ours[account] {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				g.members[account] = append(g.members[account], m)
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unread[name] = err
			}
			g.severalPages[name] = people >= pageful
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("read who is in teams and channels: %w", err)
	}
	e.forgetSpaces(g, unread)
	for account, list := range g.members {
		g.members[account] = identity.NewMemberships(list...)
	}
	return nil
}

// forgetSpaces takes out of the facts what could not be read: where people are there is
// not known, so that nothing is decided about it.
func (e *Engine) forgetSpaces(g *gathered, unread map[string]error) {
	if len(unread) == 0 {
		return
	}
	known := maps.Clone(g.facts.Spaces)
	for _, name := range slices.Sorted(maps.Keys(unread)) {
		maps.DeleteFunc(known, func(s string, _ plan.Space) bool {
			team, _ := identity.TeamOf(s)
			return s == name || team == name
		})
		g.problems = append(g.problems, fmt.Sprintf("nobody's place in %q is changed in this run: %v", name, unread[name]))
	}
	g.facts.Spaces = known
	g.rules = e.rules(g.facts)
}

// attachMemberships adds to observations in which teams and channels the accounts are.
func (e *Engine) attachMemberships(ctx context.Context, g *gathered, obs []plan.Observation) error {
	if len(e.o.Policy.Memberships) == 0 {
		return nil
	}
	if g.facts.Spaces == nil {
		if !slices.ContainsFunc(obs, func(o plan.Observation) bool { return o.Desired != nil && o.Desired.Active }) {
			return nil // nobody's place changes by his leaving
		}
		spaces, err := e.spaces(ctx, spacesFor)
		if err != nil {
			return e.placesUnknown(ctx, g, err)
		}
		g.facts.Spaces = spaces
	}
	for i := range obs {
		ob := &obs[i]
		if ob.Linked == nil || ob.Link == nil || ob.Link.Part == identity.Contributor {
			continue
		}
		if g.members != nil {
			ob.Memberships = g.members[ob.Linked.ID]
			if err := e.seekMissed(ctx, g, ob); err != nil {
				return e.placesUnknown(ctx, g, err)
			}
			continue
		}
		if ob.Desired == nil || !ob.Desired.Active || ob.Desired.Fault != "" {
			continue
		}
		asked := e.decidedBy(ob.Key.Source, g.facts.Spaces)
		if len(asked) == 0 {
			continue
		}
		var err error
		if ob.Memberships, err = e.o.Target.Memberships(ctx, ob.Linked.ID, asked); err != nil {
			return e.placesUnknown(ctx, g, fmt.Errorf("read the teams and channels of %s: %w", ob.Key, err))
		}
	}
	return nil
}

// seekMissed asks for one person alone whether he is in the channels that mmsync has put
// him into and whose lists lack him: lists of several pages miss people, and whoever is
// not in counts as having left by himself.
func (e *Engine) seekMissed(ctx context.Context, g *gathered, ob *plan.Observation) error {
	if ob.Desired == nil || !ob.Desired.Active {
		return nil
	}
	asked := map[string]plan.Space{}
	for _, was := range ob.Link.Applied.Memberships {
		s, known := g.facts.Spaces[was.Space]
		_, in := ob.Memberships.Of(was.Space)
		_, wanted := ob.Desired.Memberships.Of(was.Space)
		if known && wanted && !in && s.TeamID != "" && s.ID == was.ID && g.severalPages[was.Space] {
			asked[was.Space] = s
		}
	}
	if len(asked) == 0 {
		return nil
	}
	found, err := e.o.Target.Memberships(ctx, ob.Linked.ID, asked)
	if err != nil {
		return fmt.Errorf("read the channels of %s: %w", ob.Key, err)
	}
	ob.Memberships = identity.NewMemberships(slices.Concat(ob.Memberships, found)...)
	return nil
}

// pageful is how many people the server gives in one answer about a channel.
const pageful = 200

// placesUnknown has nothing decided about teams and channels in a run about several
// people, of whom some may leave. A push is about one, and is tried again.
func (e *Engine) placesUnknown(ctx context.Context, g *gathered, why error) error {
	if g.pushed || ctx.Err() != nil {
		return why
	}
	g.facts.Spaces = map[string]plan.Space{}
	g.rules = e.rules(g.facts) // nobody is taken for settled by it, and the next run reads everybody
	for i := range g.readings {
		g.readings[i].next.Rules = g.rules
	}
	g.problems = append(g.problems, unplaced+why.Error())
	return nil
}

// decidedBy gives the teams and channels that a source decides about.
func (e *Engine) decidedBy(source string, all map[string]plan.Space) map[string]plan.Space {
	out := map[string]plan.Space{}
	for _, a := range e.o.Policy.Memberships {
		if a.Source != source {
			continue
		}
		for _, s := range a.Spaces {
			if x, known := all[s.Name]; known {
				out[s.Name] = x
			}
		}
	}
	return out
}

// within adds to the hash of what somebody is to be like where he is: when somebody
// joins or leaves in Mattermost, he is decided about again.
func within(hash string, m identity.Memberships) string {
	if hash == "" || len(m) == 0 {
		return hash
	}
	var b strings.Builder
	b.WriteString(hash)
	for _, x := range m {
		b.WriteByte('|')
		b.WriteString(x.Space)
		b.WriteByte('@')
		b.WriteString(x.ID)
		if x.Admin {
			b.WriteByte('*')
		}
	}
	return b.String()
}

// spaceRules writes what a decision depends on of the teams and channels that rules
// name. How much room they have speaks only where somebody is to be added.
func spaceRules(spaces map[string]plan.Space) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		s := spaces[name]
		fmt.Fprintf(&b, "|%s %s %s %t %s %s", name, s.ID, s.Trouble, s.ForAll, strings.Join(s.Domains, ","), strconv.Quote(s.Email))
	}
	return b.String()
}

// spaceTrouble is what an error of Target.Apply implements when the server does not let
// somebody into a team or channel, or out of it; all tells that it lets nobody.
type spaceTrouble interface {
	error
	SpaceTrouble() (why string, all bool)
}

// barredSpace says why an op about a team or channel is not sent: it turned out before,
// for somebody else, that it cannot be done; "" if it may be.
func (a *applier) barredSpace(op plan.Op) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost[op.SpaceID]
}

// notPlaced records that the server did not let somebody into a team or channel, or out
// of it, and remembers if it lets nobody.
func (a *applier) notPlaced(ctx context.Context, ref state.OpRef, d *plan.Decision, index int, t spaceTrouble) error {
	why, all := t.SpaceTrouble()
	if all {
		a.mu.Lock()
		a.lost[d.Ops[index].SpaceID] = why
		a.mu.Unlock()
	}
	return a.skip(ctx, ref, d, index, why)
}

// forgetPlaces has a link forget, before its account is switched on, where mmsync had put
// the person: once he is in, a place that was given before and is not there any more would
// count as left, also for the next run if this one is cut off, or if there is no room in
// this one. Where he still is the next run finds him.
func (a *applier) forgetPlaces(ctx context.Context, who *person, op plan.Op) error {
	on, _ := op.To(plan.FieldActive)
	if !a.e.o.Policy.RestoreOnReturn || op.Kind != plan.SetActive || on != "true" || who.link == nil {
		return nil
	}
	if len(who.link.Applied.Memberships) == 0 {
		return nil
	}
	link := *who.link
	link.Applied.Memberships = nil
	if err := a.e.o.Store.PutLinks(ctx, a.lease.current(), []identity.Link{link}); err != nil {
		return fmt.Errorf("note where account %s is to be again: %w", link.AccountID, err)
	}
	who.link = &link
	return nil
}

// lookInSpace says why an op that takes somebody out of a team or channel, or his
// rights there, must not be sent any more.
func (a *applier) lookInSpace(ctx context.Context, id string, op plan.Op) (string, error) {
	if !op.Takes() {
		return "", nil // to be in already harms nobody
	}
	now, err := a.e.o.Target.Memberships(ctx, id, op.Where())
	if err != nil {
		return "", fmt.Errorf("read where account %s is before changing it: %w", id, err)
	}
	if !op.Applies(now) && !op.Shows(now) {
		name, _, _, _ := op.Space()
		return "the person's place in " + strconv.Quote(name) + " was changed since the plan was made", nil
	}
	return "", nil
}

// spaceEffect is effect for an op about a team or channel, which the account does not
// show.
func (e *Engine) spaceEffect(ctx context.Context, op state.OpRecord) (*identity.Account, error) {
	in, err := e.o.Target.Memberships(ctx, op.AccountID, op.Op.Where())
	if err != nil || !op.Op.Shows(in) {
		return nil, err
	}
	a, ok, err := e.o.Target.Account(ctx, op.AccountID)
	if err != nil || !ok {
		return nil, err
	}
	return &a, nil
}
