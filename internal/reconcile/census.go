package reconcile

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Kind sorts the accounts that nobody owns by what there is to do about them.
type Kind string

// The kinds of unmanaged accounts, in the order in which they are shown.
const (
	KindAsked       Kind = "asked"       // a match waits for a person's word
	KindPerson      Kind = "person"      // an ordinary active account
	KindGuest       Kind = "guest"       // of guests
	KindAdmin       Kind = "admin"       // more rights than a user
	KindDeactivated Kind = "deactivated" // switched off, by whomever
	KindProtected   Kind = "protected"   // by the configuration, or mmsync's own
	KindRemote      Kind = "remote"      // of another server
	KindBot         Kind = "bot"
)

// Kinds lists every Kind in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{KindAsked, KindPerson, KindGuest, KindAdmin, KindDeactivated, KindProtected, KindRemote, KindBot}
}

// Census sums up all accounts of the server after a walk: whose they are, whose
// they become by a plan, and which stay nobody's.
type Census struct {
	Accounts int `json:"accounts"`
	Owned    int `json:"owned"` // before the plan
	// Adopted are those that the plan gives to somebody, by the rule.
	Adopted map[plan.Reason]int `json:"adopted"`
	// Asked are the people who wait for a word about a match, by the reason.
	Asked map[plan.Reason]int `json:"asked"`
	// Unmanaged are the accounts that stay nobody's.
	Unmanaged map[Kind]int `json:"unmanaged"`
	// First says that somebody is adopted or asked about, as on a server that had
	// accounts before mmsync.
	First bool `json:"-"`
}

// Unmanaged is one account that nobody owns, and the next step.
type Unmanaged struct {
	Kind    Kind
	Account *identity.Account
	// Keys are the people it is asked about.
	Keys []identity.Key
	Next string
}

// census is taken where the whole server was walked, of the plan as it was before the
// guards: an account whose adoption waits for somebody's approval is not nobody's.
func (g *gathered) census(p plan.Plan) *Census {
	if g.walked == nil {
		return nil
	}
	c := &Census{Accounts: len(g.walked), Adopted: map[plan.Reason]int{}, Asked: map[plan.Reason]int{}, Unmanaged: map[Kind]int{}}
	for i := range p.Decisions {
		switch d := &p.Decisions[i]; {
		case d.Action == plan.Adopt:
			c.Adopted[d.Reason]++
		case d.Reason == plan.MatchNeedsWord, d.Reason == plan.MatchPrivileged:
			c.Asked[d.Reason]++
		}
	}
	list := g.unmanaged(p)
	adopted := 0
	for _, n := range c.Adopted {
		adopted += n
	}
	c.Owned = c.Accounts - len(list) - adopted
	for i := range list {
		c.Unmanaged[list[i].Kind]++
	}
	c.First = len(c.Adopted)+len(c.Asked) > 0
	return c
}

// unmanaged lists the walked accounts that nobody owns and a plan gives to nobody,
// by kind and username. The plan is that of before the guards, as for the census.
func (g *gathered) unmanaged(p plan.Plan) []Unmanaged {
	owned := make(map[string]bool, len(g.roster.heads))
	for i := range g.roster.heads {
		if h := &g.roster.heads[i]; h.owner {
			owned[h.account] = true
		}
	}
	asked := map[string][]identity.Key{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		switch {
		case d.Action == plan.Adopt:
			owned[d.AccountID] = true
		case d.Reason == plan.MatchNeedsWord, d.Reason == plan.MatchPrivileged:
			asked[d.AccountID] = append(asked[d.AccountID], d.Key)
		}
	}
	var out []Unmanaged
	for _, a := range g.walked {
		if owned[a.ID] {
			continue
		}
		u := Unmanaged{Account: a, Keys: asked[a.ID]}
		u.Kind, u.Next = g.kind(a, u.Keys)
		out = append(out, u)
	}
	kinds := Kinds()
	slices.SortFunc(out, func(a, b Unmanaged) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), strings.Compare(a.Account.Username, b.Account.Username), strings.Compare(a.Account.ID, b.Account.ID))
	})
	return out
}

func (g *gathered) kind(a *identity.Account, asked []identity.Key) (kind Kind, next string) {
	const set = "mmsync link set PERSON "
	switch {
	case a.Bot:
		return KindBot, "nothing: mmsync never changes bots"
	case a.Remote:
		return KindRemote, "nothing: it belongs to another server"
	case plan.Protection(*a, &g.facts) != "" && !a.MagicLink:
		return KindProtected, "nothing: " + plan.Protection(*a, &g.facts)
	case len(asked) > 0:
		who := asked[0].String()
		return KindAsked, "the same person: mmsync link approve " + plan.Shell(who) + "; somebody else: " + plan.Command("link ignore", who, a.ID)
	case a.Roles.Has(identity.RoleGuest) || a.MagicLink:
		return KindGuest, "nothing, unless a source is to list guests"
	case a.Roles.Privileged():
		return KindAdmin, "if a source lists its person: " + set + a.ID + " --privileged --reason …"
	case !a.Active():
		return KindDeactivated, "nothing; if a source lists its person: " + set + a.ID + " --reason …"
	}
	return KindPerson, "if a source lists its person: " + set + a.ID + " --reason …; if nobody uses it, switch it off in Mattermost"
}

// Unmanaged walks the server and lists the accounts that nobody owns, and that the
// next run gives to nobody, with a next step each.
func (e *Engine) Unmanaged(ctx context.Context, o RunOptions) (Report, []Unmanaged, error) {
	o.Audit = true
	var list []Unmanaged
	rep, err := e.own(ctx, o, everything, true, func(ctx context.Context, w *ownership) error {
		rep, err := e.decide(ctx, w.g, w.o)
		if err != nil {
			return err
		}
		w.problems = w.g.problems
		list = w.g.unmanaged(rep.unguarded)
		return nil
	})
	return rep, list, err
}
