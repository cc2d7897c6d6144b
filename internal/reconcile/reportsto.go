package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Whom somebody reports to is kept in his link, so that it is known when he has left and
// his source names nobody any more. It is nothing that Mattermost is told: that it is
// another one is no change of his, and noting it no op.

// manager gives the account of whom somebody reports to; "" if that is nobody, or not known.
func (find whois) manager(id *identity.Identity) string {
	if ref := strings.TrimSpace(id.Manager); ref != "" {
		return find(id.Key.Source, ref)
	}
	return ""
}

// addManager keeps whom somebody reports to, by his account.
func (g *gathered) addManager(k identity.Key, account string) {
	if account == "" {
		return
	}
	if g.managers == nil {
		g.managers = map[identity.Key]string{}
	}
	g.managers[k] = account
}

// managerNow gives what the link of somebody who was observed is to hold: of whoever has
// left the last one, for many directories take it from his entry first. Of whoever is there
// a manager whose account is not known is none: the one before him is not to be told.
func (g *gathered) managerNow(ob *plan.Observation) string {
	if account := g.managers[ob.Key]; account != "" || ob.Desired.Active {
		return account
	}
	return ob.Link.Applied.Manager
}

// keepManagers notes whom those report to about whom something is decided, where that is
// somebody else than before. Whoever is settled is decided about again when it is.
func (e *Engine) keepManagers(ctx context.Context, g *gathered, l *lease) error {
	if !e.o.Managers || l == nil {
		return nil
	}
	var changed []identity.Link
	for i := range g.observations {
		ob := &g.observations[i]
		if ob.Desired == nil || ob.Desired.Fault != "" || ob.Link == nil || ob.Link.Part == identity.Contributor {
			continue
		}
		if now := g.managerNow(ob); now != ob.Link.Applied.Manager {
			ob.Link.Applied.Manager = now
			changed = append(changed, *ob.Link)
		}
	}
	slices.SortFunc(changed, func(a, b identity.Link) int { return a.Key.Compare(b.Key) })
	return e.putLinks(ctx, g, l, changed, "record whom people report to")
}

// managerOf gives the username, or else the id, of the account of whom somebody reports
// to, as far as the store knows it; "" if nobody is known.
func (e *Engine) managerOf(ctx context.Context, k *identity.Link) (string, error) {
	if k == nil || k.Applied.Manager == "" {
		return "", nil
	}
	links, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{k.Applied.Manager}})
	if err != nil {
		return "", fmt.Errorf("read who the manager of %s is: %w", k.Key, err)
	}
	for i := range links {
		if a := links[i].Observed; links[i].Part == identity.Owner && a != nil {
			return a.Username, nil
		}
	}
	return k.Applied.Manager, nil
}
