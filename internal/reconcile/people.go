package reconcile

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// People whom a source names: as values of custom profile attributes, and as somebody's
// manager. It names them by their anchors or places, and Mattermost takes accounts: in between are the
// links as they are when a run begins. Somebody whose manager gets an account, or loses it,
// has not changed himself; so what somebody is decided by holds the accounts that he names
// as well, and he is decided about again when they are others.

// whois gives the account of somebody whom a source names; "" if he has none that is
// known and on.
type whois func(source, ref string) string

// directory finds the heads of people by their places.
type directory struct {
	places map[uint64]int
	// off are the accounts that are not on.
	off map[string]bool
}

// manyThere stands for a place that more than one person has whose account is on.
const manyThere = -1

// looksUp tells whether anybody is looked up for whom a source names.
func (e *Engine) looksUp() bool { return e.o.Managers || len(e.o.Policy.People) > 0 }

// spot is the hash of a place, without regard to how it is spelled; 0 where there is
// none, and where nobody is looked for by it.
func (e *Engine) spot(r *roster, source, place string) uint64 {
	if place == "" || !e.looksUp() {
		return 0
	}
	return maphash.String(r.places, source+"\x00"+e.o.PlaceKey(place))
}

// list makes the directory of a roster, if anybody is looked for in one. While sources are
// read it is read by several at once.
func (e *Engine) list(r *roster) {
	if !e.looksUp() {
		return
	}
	d := &directory{places: map[uint64]int{}, off: map[string]bool{}}
	for i := range r.heads {
		if h := &r.heads[i]; h.owner && !h.active {
			d.off[h.account] = true
		}
	}
	for i := range r.heads {
		h := &r.heads[i]
		if h.named == 0 || d.off[h.account] { // a leaver's place may be somebody else's by now
			continue
		}
		if _, taken := d.places[h.named]; taken {
			d.places[h.named] = manyThere
			continue
		}
		d.places[h.named] = i
	}
	r.directory = d
}

// whois looks people up in a roster.
func (e *Engine) whois(r *roster) whois {
	return func(source, ref string) string {
		if r.directory == nil {
			return ""
		}
		at := r.find(identity.Key{Source: source, Anchor: ref})
		if at < 0 {
			var found bool
			if at, found = r.directory.places[e.spot(r, source, ref)]; !found || at == manyThere {
				return ""
			}
		}
		if account := r.heads[at].account; !r.directory.off[account] {
			return account
		}
		return ""
	}
}

// people gives the accounts of those whom somebody is to have as values, and the names of
// the attributes whose are not known.
func (find whois) people(id *identity.Identity) (known map[string]string, unknown []string) {
	if len(id.People) == 0 {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(id.People)) {
		account := ""
		if ref := strings.TrimSpace(id.People[name]); ref != "" {
			if account = find(id.Key.Source, ref); account == "" {
				unknown = append(unknown, name)
				continue
			}
		}
		if known == nil {
			known = make(map[string]string, len(id.People))
		}
		known[name] = account
	}
	return known, unknown
}

// naming adds to what somebody is decided by the accounts that he names, and that of his
// manager. That he names nobody is in the hash already.
func naming(hash string, people map[string]string, manager string) string {
	if hash == "" || len(people) == 0 && manager == "" {
		return hash
	}
	var b strings.Builder
	b.WriteString(hash)
	if manager != "" {
		b.WriteString("|manager=" + manager)
	}
	for _, name := range slices.Sorted(maps.Keys(people)) {
		if account := people[name]; account != "" {
			fmt.Fprintf(&b, "|%q=%s", name, account)
		}
	}
	return b.String()
}

// addNameless counts settled people whose values are not known.
func (g *gathered) addNameless(names []string) {
	for _, name := range names {
		if g.nameless == nil {
			g.nameless = map[string]int{}
		}
		g.nameless[name]++
	}
}

// attachPeople adds to observations the accounts that they name, and counts those that
// are not known.
func (e *Engine) attachPeople(ctx context.Context, g *gathered, obs []plan.Observation) error {
	if !e.looksUp() {
		return nil
	}
	find, err := e.whoisFor(ctx, g, obs)
	if err != nil {
		return err
	}
	unknown := maps.Clone(g.nameless)
	if unknown == nil {
		unknown = map[string]int{}
	}
	for i := range obs {
		ob := &obs[i]
		if ob.Desired == nil || ob.Link != nil && ob.Link.Part == identity.Contributor {
			continue
		}
		g.addManager(ob.Key, find.manager(ob.Desired))
		var missing []string
		ob.People, missing = find.people(ob.Desired)
		for _, name := range missing {
			if ob.Desired.Active {
				unknown[name]++
			}
		}
	}
	g.facts.PeopleUnknown = unknown
	return nil
}

// whoisFor gives the way in which a gathering looks people up: in its roster, in one that
// is read for it if only what changed was read, or one by one for somebody who was pushed,
// whose source names people by their anchors.
func (e *Engine) whoisFor(ctx context.Context, g *gathered, obs []plan.Observation) (whois, error) {
	switch {
	case g.pushed:
		return e.whoisOf(ctx, obs)
	case g.changes && slices.ContainsFunc(obs, func(ob plan.Observation) bool {
		return ob.Desired != nil && (len(ob.Desired.People) > 0 || ob.Desired.Manager != "")
	}):
		r, err := e.readRoster(ctx)
		if err != nil {
			return nil, err
		}
		e.list(r)
		return e.whois(r), nil
	case g.roster.directory == nil && len(g.roster.heads) > 0:
		e.list(g.roster)
	}
	return e.whois(g.roster), nil
}

// whoisOf looks up the people whom a few name by their anchors.
func (e *Engine) whoisOf(ctx context.Context, obs []plan.Observation) (whois, error) {
	var keys []identity.Key
	for i := range obs {
		if d := obs[i].Desired; d != nil {
			for _, ref := range d.People {
				keys = append(keys, identity.Key{Source: d.Key.Source, Anchor: strings.TrimSpace(ref)})
			}
			keys = append(keys, identity.Key{Source: d.Key.Source, Anchor: strings.TrimSpace(d.Manager)})
		}
	}
	keys = slices.DeleteFunc(keys, func(k identity.Key) bool { return k.Anchor == "" })
	if len(keys) == 0 {
		return func(string, string) string { return "" }, nil
	}
	slices.SortFunc(keys, identity.Key.Compare)
	links, err := e.o.Store.Links(ctx, state.LinkFilter{Keys: slices.Compact(keys)})
	if err != nil {
		return nil, fmt.Errorf("read the links of people who are named: %w", err)
	}
	of := map[identity.Key]string{}
	var accounts []string
	for i := range links {
		of[links[i].Key] = links[i].AccountID
		accounts = append(accounts, links[i].AccountID)
	}
	on := map[string]bool{}
	if len(accounts) > 0 {
		slices.Sort(accounts)
		owners, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: slices.Compact(accounts)})
		if err != nil {
			return nil, fmt.Errorf("read whose the accounts of people are who are named: %w", err)
		}
		for i := range owners {
			if k := &owners[i]; k.Part != identity.Contributor && k.Observed != nil && k.Observed.Active() {
				on[k.AccountID] = true
			}
		}
	}
	return func(source, ref string) string {
		if account := of[identity.Key{Source: source, Anchor: ref}]; on[account] {
			return account
		}
		return ""
	}, nil
}
