package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Explanation is everything known about one person: what the source wants, what
// the server has, what will be done and why.
type Explanation struct {
	Key identity.Key
	// Desired, Link and Account are nil where there is none.
	Desired *identity.Identity
	Link    *identity.Link
	Account *identity.Account
	// Match is the account that exists already and is held to be looked at, for a
	// person who has none.
	Match *identity.Account
	// Holders are the other accounts that have something the person is to have.
	Holders []identity.Account
	// Decision is what the next run would do, judged together with everybody
	// else; its Action is NoOp for an unmanaged account.
	Decision  plan.Decision
	Unmanaged bool
	// Untouched says of an unmanaged account why mmsync keeps away from it, in
	// words that complete "it ".
	Untouched []string
	// Near are people of the sources who want a value that an unmanaged account has.
	Near []plan.Decision
	// Past are those whom an unmanaged account was linked to.
	Past []identity.Key
	// Awards say whose the values are that more than one source has a say in, and Voices
	// which sources know the account beside its owner's.
	Awards []plan.Award
	Voices []plan.Voice
	// Manager is whom the person reports to, by the username of his account, or its id if
	// the store does not know the name; "" if nobody is known.
	Manager string
	// Missing is set while a source's reads lack the person.
	Missing *plan.Absence
	// Others fit the question as well, but less exactly.
	Others []identity.Key
	// History are the last ops about the person or the account, newest first.
	History []state.OpRecord
	// UserOwned and Reported are the attributes that the user owns, and those whose
	// edits stay.
	UserOwned, Reported identity.Attributes
	Now                 time.Time
	Report              Report
}

// UnknownPersonError is returned when nobody fits the query.
type UnknownPersonError struct {
	Query string
	// Deleted says which account of somebody who fits was deleted for good, and by which
	// run; "" if the history has none.
	Deleted string
}

func (e UnknownPersonError) Error() string {
	if e.Deleted != "" {
		return fmt.Sprintf("nobody is known as %q any more: %s", e.Query, e.Deleted)
	}
	return fmt.Sprintf("nobody is known as %q: not in a source, not linked, no account of the server; give a username, an e-mail, a DN, a source/anchor or an account id", e.Query)
}

// historyLength is how many ops an Explanation tells about.
const historyLength = 5

// Explain looks at everything, as Plan does, and picks one person out: by
// username, e-mail, place in the source (DN), anchor, source/anchor or account
// id.
func (e *Engine) Explain(ctx context.Context, query string) (Explanation, error) {
	start := time.Now()
	facts, err := e.meet(ctx, nil)
	if err != nil {
		return Explanation{}, err
	}
	calls, err := e.calls(ctx, facts)
	if err != nil {
		return Explanation{}, err
	}
	g, err := e.gather(ctx, RunOptions{everybody: true}, nil, facts, calls)
	if err != nil {
		return Explanation{}, err
	}
	rep, err := e.decide(ctx, g, RunOptions{})
	if err != nil {
		return Explanation{}, err
	}
	rep.Took = time.Since(start)
	var x Explanation
	o, others, err := pick(g.observations, query)
	if err != nil {
		return Explanation{}, err
	}
	if o != nil {
		x = e.managed(o, rep)
		x.Others = others
	} else if x, err = e.unmanaged(ctx, query, g, rep); err != nil {
		return Explanation{}, err
	}
	if x.Manager, err = e.managerOf(ctx, x.Link); err != nil {
		return Explanation{}, err
	}
	x.Now, x.Report, x.UserOwned, x.Reported = g.now, rep, e.o.Policy.UserOwned, e.o.Policy.ReportDrift
	filter := state.OpFilter{Key: x.Key, Limit: historyLength}
	if x.Unmanaged {
		filter.AccountID = x.Account.ID
	}
	if x.History, err = e.o.Store.Ops(ctx, filter); err != nil {
		return Explanation{}, fmt.Errorf("read what was done before: %w", err)
	}
	slices.Reverse(x.History)
	slices.SortStableFunc(x.History, func(a, b state.OpRecord) int { return b.PlannedAt.Compare(a.PlannedAt) })
	return x, nil
}

// pick gives the person who fits a query best, and who else fits. Two who fit it
// equally well are refused.
func pick(obs []plan.Observation, query string) (best *plan.Observation, others []identity.Key, err error) {
	top := 0
	var equal []identity.Key
	for i := range obs {
		switch rank := fits(&obs[i], query); {
		case rank == 0:
		case rank > top:
			others = append(others, equal...)
			best, top, equal = &obs[i], rank, []identity.Key{obs[i].Key}
		case rank == top:
			equal = append(equal, obs[i].Key)
		default:
			others = append(others, obs[i].Key)
		}
	}
	if len(equal) > 1 {
		return nil, nil, ambiguous(query, equal)
	}
	return best, others, nil
}

func (e *Engine) managed(o *plan.Observation, rep Report) Explanation {
	x := Explanation{Key: o.Key, Desired: o.Desired, Link: o.Link, Account: o.Linked, Awards: o.Awards, Voices: o.Voices}
	x.Decision = plan.Decide(*o, e.o.Policy)
	for _, d := range rep.Plan.Decisions {
		if d.Key == o.Key {
			x.Decision = d
		}
	}
	for _, h := range []*plan.Holder{o.ByAuth, o.ByEmail, o.ByUsername} {
		switch {
		case h == nil:
		case o.Link == nil && h.Account.ID == x.Decision.AccountID:
			x.Match = h.Account
		case !slices.ContainsFunc(x.Holders, func(a identity.Account) bool { return a.ID == h.Account.ID }):
			x.Holders = append(x.Holders, *h.Account)
		}
	}
	if o.Desired == nil {
		x.Missing = &o.Absence
	}
	return x
}

func (e *Engine) unmanaged(ctx context.Context, query string, g *gathered, rep Report) (Explanation, error) {
	a, ok, err := e.account(ctx, query)
	switch {
	case err != nil:
		return Explanation{}, fmt.Errorf("look for %q on the server: %w", query, err)
	case !ok:
		deleted, err := e.saysDeleted(ctx, query)
		return Explanation{}, errors.Join(err, UnknownPersonError{Query: query, Deleted: deleted})
	}
	x := Explanation{
		Account: &a, Unmanaged: true,
		Decision: plan.Decision{Action: plan.NoOp, Reason: plan.Kept, AccountID: a.ID, Username: a.Username},
	}
	if cause := plan.Protection(a, &g.facts); cause != "" {
		x.Untouched = append(x.Untouched, "is protected: "+cause)
	}
	if rights := a.Roles.Minus(identity.NewRoles(identity.RoleUser, identity.RoleGuest)); len(rights) > 0 {
		x.Untouched = append(x.Untouched, "holds "+rights.String()+", and no such account is taken over without a person's word")
	}
	if a.Roles.Has(identity.RoleGuest) {
		x.Untouched = append(x.Untouched, "is a guest's")
	}
	for i := range g.observations {
		o := &g.observations[i]
		for _, h := range []*plan.Holder{o.ByAuth, o.ByEmail, o.ByUsername} {
			if h == nil || h.Account.ID != a.ID {
				continue
			}
			x.Near = append(x.Near, e.managed(o, rep).Decision)
			break
		}
	}
	if len(x.Near) == 0 {
		x.Untouched = append(x.Untouched, "is wanted by nobody: no source has a person with its username, e-mail or login")
	}
	past, err := e.o.Store.PastLinks(ctx, []string{a.ID})
	if err != nil {
		return Explanation{}, fmt.Errorf("read earlier owners: %w", err)
	}
	for _, p := range past {
		x.Past = append(x.Past, p.Key)
	}
	return x, nil
}

// account finds an account of the server by id, username or e-mail.
func (e *Engine) account(ctx context.Context, query string) (a identity.Account, ok bool, err error) {
	if len(query) == 26 && !strings.ContainsAny(query, "@.-_") {
		if a, ok, err = e.o.Target.Account(ctx, query); err != nil || ok {
			return a, ok, err
		}
	}
	var names, emails []string
	if strings.Contains(query, "@") {
		emails = []string{query}
	} else {
		names = []string{strings.ToLower(query)}
	}
	found, err := e.o.Target.Lookup(ctx, names, emails)
	if err != nil || len(found) == 0 {
		return a, false, err
	}
	return found[0], true, nil
}

// fits grades how a query names a person, 0 is not at all. Of those whom it names
// equally well the one who has an account comes before who only adds to it.
func fits(o *plan.Observation, q string) int {
	rank := 2 * graded(o, q)
	if rank > 0 && (o.Link == nil || o.Link.Part != identity.Contributor) {
		rank++
	}
	return rank
}

// graded is that: by source/anchor, which is one person's alone, by what never
// changes, by where the source has him, by the account he has, by what he is to be.
func graded(o *plan.Observation, q string) int {
	same := func(s string) bool { return s != "" && strings.EqualFold(s, q) }
	d, k, a := o.Desired, o.Link, o.Linked
	switch {
	case o.Key.String() == q:
		return 5
	case same(o.Key.Anchor) || same(o.Key.String()) || (k != nil && same(k.AccountID)):
		return 4
	case (d != nil && same(d.Ref)) || (k != nil && same(k.Ref)):
		return 3
	case a != nil && (same(a.Username) || same(a.Email)):
		return 2
	case d != nil && (same(d.Profile.Username) || same(d.Profile.Email)):
		return 1
	}
	return 0
}
