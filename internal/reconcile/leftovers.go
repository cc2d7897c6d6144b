package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// kindLeftovers is the kind of a run that disables what leavers left behind.
const kindLeftovers = "leftovers"

// LeftBehind is what accounts that are off still have on the server.
type LeftBehind struct {
	// People are those who left something, by username.
	People []Leaver
	// Looked counts the accounts that are off and were looked at.
	Looked int
	// Unlisted are the kinds of things that the server does not list.
	Unlisted []plan.Unlisted
}

// Leaver is one account that is off, with what it left.
type Leaver struct {
	Key     identity.Key // zero if mmsync does not own the account
	Account identity.Account
	Things  []LeftThing
}

// LeftThing is one thing, and why mmsync leaves it as it is; Kept is "" for what it
// may disable.
type LeftThing struct {
	plan.Leftover
	Kept string
}

// Disabling counts what would be disabled.
func (l LeftBehind) Disabling() int {
	n := 0
	for i := range l.People {
		n += len(l.People[i].disabling())
	}
	return n
}

// Gaps says whether things may be missing from the list.
func (l LeftBehind) Gaps() bool {
	return slices.ContainsFunc(l.Unlisted, func(u plan.Unlisted) bool { return !u.Off })
}

func (l *Leaver) disabling() []plan.Op {
	var ops []plan.Op
	for _, x := range l.Things {
		if op, may := x.Disabling(false); may && x.Kept == "" {
			ops = append(ops, op)
		}
	}
	return ops
}

// Leftovers lists what still lives of what people own who are off: of one, or of all
// whose accounts mmsync owns, or with strangers of everybody on the server. Who is off
// is taken from the last look at each account, and proved by another. Nothing is
// written.
func (e *Engine) Leftovers(ctx context.Context, query string, strangers bool) (LeftBehind, error) {
	facts, calls, _, err := e.opening(ctx, nil)
	if err != nil {
		return LeftBehind{}, err
	}
	_, _, left, err := e.survey(ctx, nil, facts, calls, query, strangers)
	return left, err
}

// CountMismatchError is returned when not as many things would be disabled as
// somebody said.
type CountMismatchError struct{ Expected, Things int }

func (e *CountMismatchError) Error() string {
	return fmt.Sprintf("%d tokens and bots would be disabled, not %d", e.Things, e.Expected)
}

// Unwrap makes it a refusal.
func (e *CountMismatchError) Unwrap() error { return ErrRefused }

// DisableLeftovers disables the access tokens and bots that Leftovers shows as such:
// of one person, or of all whose accounts mmsync owns. It is journaled and carried out
// like any run, and nothing is sent about somebody who is back. expect is how many
// there must be; negative is any number. What can only be deleted stays.
func (e *Engine) DisableLeftovers(ctx context.Context, o RunOptions, query string, expect int) (Report, LeftBehind, error) {
	var left LeftBehind
	rep, err := e.oneRun(ctx, kindLeftovers, o, func(l *lease, run *state.Run) (Report, error) {
		facts, calls, offset, err := e.opening(l.ctx, l)
		if err != nil {
			return Report{}, err
		}
		var g *gathered
		var v *view
		if g, v, left, err = e.survey(l.ctx, l, facts, calls, query, false); err != nil {
			return Report{}, err
		}
		switch n := left.Disabling(); {
		case expect >= 0 && n != expect:
			return Report{}, &CountMismatchError{expect, n}
		case n > 0 && g.facts.SetBack:
			return Report{}, fmt.Errorf("%w: the server was set back to an earlier state, or is another one; run mmsync sync once, which looks at everything anew", ErrRefused)
		}
		p := g.disabling(v, left)
		rep, err := e.judge(l.ctx, g, p, p, o)
		if err != nil {
			return Report{}, err
		}
		rep.Plan.Sources, rep.Guards = nil, "" // no source was read, and no guard counts these
		rep, _, err = e.carryOut(l.ctx, l, run, g, rep, offset)
		return rep, err
	})
	return rep, left, err
}

// disabling decides about everybody who left something that can be disabled.
func (g *gathered) disabling(v *view, left LeftBehind) plan.Plan {
	var p plan.Plan
	for i := range left.People {
		who := &left.People[i]
		ops := who.disabling()
		if len(ops) == 0 {
			continue
		}
		ob := plan.Observation{Key: who.Key, Link: g.links[who.Key]}
		v.attach(&ob)
		g.observations = append(g.observations, ob)
		p.Decisions = append(p.Decisions, plan.Decision{
			Key: who.Key, Ref: ob.Link.Ref, Action: plan.Update, Reason: plan.LeftBehind, AccountID: who.Account.ID, Username: who.Account.Username,
			Detail: who.summary(), Ops: ops,
		})
	}
	slices.SortFunc(p.Decisions, func(a, b plan.Decision) int { return a.Key.Compare(b.Key) })
	return p
}

// summary names what is disabled, as far as names may stand in the history: a token's
// description is its owner's own words.
func (l *Leaver) summary() string {
	tokens, bots := 0, []string(nil)
	for _, x := range l.Things {
		switch {
		case x.Kept != "":
		case x.Kind == plan.LeftToken:
			tokens++
		case x.Kind == plan.LeftBot:
			bots = append(bots, strconv.Quote(x.Name))
		}
	}
	var parts []string
	switch {
	case tokens == 1:
		parts = append(parts, "1 access token")
	case tokens > 1:
		parts = append(parts, fmt.Sprintf("%d access tokens", tokens))
	}
	if len(bots) > 0 {
		parts = append(parts, "bot "+some(bots))
	}
	return "left behind: " + strings.Join(parts, ", ")
}

// survey finds who is off, and what those people left.
func (e *Engine) survey(ctx context.Context, l *lease, facts plan.Facts, calls busy, query string, strangers bool) (*gathered, *view, LeftBehind, error) {
	var left LeftBehind
	keys, people, err := e.whoIsOff(ctx, query, strangers)
	if err != nil {
		return nil, nil, left, err
	}
	g, v := &gathered{facts: facts, since: e.claims.now(), claims: e.claims, byHand: true, auditAge: -1}, newView()
	if len(keys) > 0 { // no keys would stand for everybody
		if g, v, err = e.few(ctx, l, facts, calls, keys, true); err != nil {
			return nil, nil, left, err
		}
	}
	for k, link := range g.links {
		if a := v.byID[link.AccountID]; a != nil && link.Part != identity.Contributor {
			people = append(people, Leaver{Key: k, Account: *a})
		}
	}
	people = slices.DeleteFunc(people, func(p Leaver) bool { return p.Account.Active() || p.Account.Bot || p.Account.Remote })
	left.Looked = len(people)
	if err := e.protect(ctx, g, v, l); err != nil {
		return nil, nil, left, err
	}
	ids := make([]string, len(people))
	for i := range people {
		ids[i] = people[i].Account.ID
	}
	slices.Sort(ids)
	e.o.Progress(Progress{Stage: "looking for what leavers left behind"})
	found, err := e.o.Target.Leftovers(ctx, ids)
	if err != nil {
		return nil, nil, left, fmt.Errorf("look for what leavers left behind: %w", err)
	}
	left.Unlisted = found.Unlisted
	of := map[string][]plan.Leftover{}
	for _, x := range found.Things {
		of[x.OwnerID] = append(of[x.OwnerID], x)
	}
	for _, p := range people {
		for _, x := range of[p.Account.ID] {
			p.Things = append(p.Things, LeftThing{x, e.kept(g, &p, x)})
		}
		if len(p.Things) > 0 {
			left.People = append(left.People, p)
		}
	}
	slices.SortFunc(left.People, func(a, b Leaver) int {
		return cmp.Or(strings.Compare(a.Account.Username, b.Account.Username), strings.Compare(a.Account.ID, b.Account.ID))
	})
	return g, v, left, nil
}

// kept says why a thing is not disabled; "" if it may be.
func (e *Engine) kept(g *gathered, p *Leaver, x plan.Leftover) string {
	protected := func(id string) string { return g.facts.Protected[id] }
	_, may := x.Disabling(false)
	switch {
	case !may:
		return "the server can only delete it, which mmsync never does"
	case p.Key.IsZero():
		return "mmsync does not own the account"
	case protected(p.Account.ID) != "":
		return "the account is protected: " + protected(p.Account.ID)
	case g.busy.has(p.Key, p.Account.ID):
		return "a call of a run that was cut off may still reach the account"
	case x.Kind != plan.LeftBot:
		return ""
	case protected(x.ID) != "":
		return "the bot is protected: " + protected(x.ID)
	}
	for _, pattern := range e.o.Protect {
		if plan.Match(pattern, x.Name) {
			return fmt.Sprintf("the bot is protected: it matches the protected pattern %q", pattern)
		}
	}
	return ""
}

// whoIsOff gives the Keys of people who may be off, and accounts that nobody owns.
func (e *Engine) whoIsOff(ctx context.Context, query string, strangers bool) ([]identity.Key, []Leaver, error) {
	if query != "" {
		return e.offNamed(ctx, query, strangers)
	}
	r, err := e.readRoster(ctx)
	if err != nil {
		return nil, nil, err
	}
	var keys []identity.Key
	owned := map[string]bool{}
	for i := range r.heads {
		h := &r.heads[i]
		if !h.owner {
			continue
		}
		owned[h.account] = true
		if !h.active {
			keys = append(keys, r.key(i))
		}
	}
	if !strangers {
		return keys, nil, nil
	}
	var others []Leaver
	_, err = e.o.Target.List(ctx, func(a identity.Account) error {
		if !a.Active() && !owned[a.ID] {
			others = append(others, Leaver{Account: a})
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("walk all accounts: %w", err)
	}
	return keys, others, nil
}

// offNamed is whoIsOff for one person, who has to be off.
func (e *Engine) offNamed(ctx context.Context, query string, strangers bool) ([]identity.Key, []Leaver, error) {
	link, err := e.person(ctx, query)
	id := link.AccountID
	if err != nil {
		a, found, lerr := e.accountOf(ctx, query)
		if lerr != nil || !found || !strangers {
			return nil, nil, err
		}
		id = a.ID
	}
	a, there, err := e.o.Target.Account(ctx, id)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read account %s: %w", id, err)
	case !there:
		return nil, nil, fmt.Errorf("%w: the server has no account %s any more, and what it owned went with it or belongs to nobody", ErrRefused, id)
	case a.Active():
		return nil, nil, fmt.Errorf("%w: %q (%s) is not off, so nothing is left over", ErrRefused, a.Username, a.ID)
	case link.Key.IsZero():
		return nil, []Leaver{{Account: a}}, nil
	}
	return []identity.Key{link.Key}, nil, nil
}
