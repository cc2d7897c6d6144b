package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Working lists what works on of people who were switched off and whose accounts mmsync
// owns: webhooks, slash commands, OAuth apps and bots, but for bots that are protected.
// Access tokens are left out, as they are dead with the account. Who is off is taken from
// the last look at each account; nothing is written, and it costs a request for each 200
// things of the whole server and one for each team. whole is false if the server does not
// list some kind, so that there may be more.
func (e *Engine) Working(ctx context.Context) (people []Leaver, whole bool, err error) {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return nil, false, fmt.Errorf("read whose accounts are off: %w", err)
	}
	var ids []string
	at := map[string]int{}
	for i := range links {
		k := &links[i]
		if a := k.Observed; k.Part == identity.Owner && a != nil && !a.Active() && !a.Bot && !a.Remote {
			at[a.ID] = len(people)
			ids, people = append(ids, a.ID), append(people, Leaver{Key: k.Key, Account: *a})
		}
	}
	if len(ids) == 0 {
		return nil, true, nil
	}
	slices.Sort(ids)
	kinds := slices.DeleteFunc(plan.LeftoverKinds(), func(k plan.LeftoverKind) bool { return k == plan.LeftToken })
	found, err := e.o.Target.Leftovers(ctx, ids, kinds...)
	if err != nil {
		return nil, false, fmt.Errorf("look for what leavers left behind: %w", err)
	}
	for _, x := range found.Things {
		protected := x.Kind == plan.LeftBot && slices.ContainsFunc(e.o.Protect, func(p string) bool { return plan.Match(p, x.Name) })
		if i, owned := at[x.OwnerID]; owned && !protected {
			people[i].Things = append(people[i].Things, LeftThing{Leftover: x})
		}
	}
	people = slices.DeleteFunc(people, func(p Leaver) bool { return len(p.Things) == 0 })
	slices.SortFunc(people, func(a, b Leaver) int { return a.Key.Compare(b.Key) })
	return people, !LeftBehind{Unlisted: found.Unlisted}.Gaps(), nil
}
