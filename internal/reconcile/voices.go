package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Accounts that more than one source knows: what the contributors say is kept in their
// links, so that it stands while their source cannot be read, and goes into what the
// owner's source wants before anything is looked up or decided.

// shared gives the accounts that contributors are linked to, and the heads of these.
func (r *roster) shared() (accounts map[string]bool, contributors []int) {
	for i := range r.heads {
		if h := &r.heads[i]; !h.owner {
			if accounts == nil {
				accounts = map[string]bool{}
			}
			accounts[h.account] = true
			contributors = append(contributors, i)
		}
	}
	return accounts, contributors
}

// hearing is what contributors say, as it is found out.
type hearing struct {
	g      *gathered
	voices map[string][]plan.Voice // by account
	// said are the links whose sources say something else than when they were read last.
	said []identity.Link
}

// hear adds what a contributor says: what its source wants now, or, if stale says why
// that is not known, what it wanted when it was last read.
func (h *hearing) hear(k *identity.Link, now *identity.Identity, stale string) {
	v := plan.Voice{Key: k.Key, Ref: k.Ref}
	if w := h.g.stops.hold(k.Key); now != nil && w != nil {
		now, stale = nil, w.Sentence()
	}
	if now != nil && now.Fault != "" && now.Active {
		now, stale = nil, "its entry cannot be used"
	}
	if now != nil && now.Active && now.RolesUnknown != "" && k.Applied.Owned == 0 {
		now, stale = nil, "the roles it gives are not known" // nor were they ever
	}
	if now != nil {
		if now.Fault == "" {
			h.note(k, saidBy(now, k))
		} else if k.Applied.Active {
			gone := *k
			gone.Applied.Active = false
			h.note(k, gone.Applied)
		}
		v.Ref = now.Ref
	}
	v.Stale, v.Profile, v.Owned, v.Roles = stale, k.Applied.Profile, k.Applied.Owned, k.Applied.Roles
	switch {
	case !k.Applied.Active:
		v.Standing = plan.Gone
	case v.Owned == 0:
		v.Standing = plan.Unknown
	default:
		v.Standing = plan.Speaks
	}
	h.voices[k.AccountID] = append(h.voices[k.AccountID], v)
}

// lacks adds a contributor of whom it is proven that his source has him no more.
func (h *hearing) lacks(k *identity.Link) {
	gone := k.Applied
	gone.Active = false
	h.note(k, gone)
	h.voices[k.AccountID] = append(h.voices[k.AccountID], plan.Voice{Key: k.Key, Ref: k.Ref, Standing: plan.Gone, Profile: gone.Profile, Owned: gone.Owned})
}

func (h *hearing) note(k *identity.Link, said identity.Applied) {
	same := said.Profile == k.Applied.Profile && said.Owned == k.Applied.Owned && said.Roles.Equal(k.Applied.Roles) &&
		said.Active == k.Applied.Active && said.MatchKey == k.Applied.MatchKey && said.Hash == k.Applied.Hash
	if k.Applied = said; !same {
		h.said = append(h.said, *k)
	}
}

// saidBy is what a contributor's link keeps of what its source wants. An empty set of
// fields would say that it was never read. Roles that are not known stay those it gave.
func saidBy(now *identity.Identity, k *identity.Link) identity.Applied {
	said := identity.Applied{
		Owned: now.Owned, Roles: now.Roles, Active: now.Active, Hash: now.Hash, MatchKey: cmp.Or(now.MatchKey, k.Applied.MatchKey),
	}
	if now.RolesUnknown != "" {
		said.Roles = k.Applied.Roles
	}
	for _, a := range now.Owned.List() {
		said.Profile = said.Profile.With(a, now.Profile.Value(a))
	}
	return said
}

// hearContributors finds out what the contributors say, in a run that reads everybody,
// and has the owners' identities say it too. Whoever is then as he was when nothing was
// to be done is settled.
func (e *Engine) hearContributors(ctx context.Context, g *gathered, v *view, snaps []*identity.Snapshot, o RunOptions, l *lease) error {
	accounts, contributors := g.roster.shared()
	if len(contributors) == 0 {
		return nil
	}
	if err := e.load(ctx, g, v, contributors); err != nil {
		return err
	}
	h := hearing{g: g, voices: map[string][]plan.Voice{}}
	for i, src := range e.o.Sources {
		if err := e.hearSource(ctx, g, &h, src, snaps[i], o); err != nil {
			return err
		}
	}
	for _, at := range contributors {
		k := g.links[g.roster.key(at)]
		if k != nil && !slices.ContainsFunc(e.o.Sources, func(s Source) bool { return s.Name() == k.Key.Source }) {
			h.hear(k, nil, "source "+k.Key.Source+" is not in the configuration any more; mmsync link purge forgets what it knew")
		}
	}
	for _, list := range h.voices {
		slices.SortFunc(list, func(a, b plan.Voice) int { return a.Key.Compare(b.Key) })
	}
	g.voices, g.awards = h.voices, map[identity.Key][]plan.Award{}
	if l != nil {
		if err := e.putLinks(ctx, g, l, h.said, "record what contributors say"); err != nil {
			return err
		}
	}
	if !e.o.Policy.ManyVoices() {
		return nil
	}
	for _, s := range snaps {
		if s != nil {
			e.mergeInto(g, s, accounts)
		}
	}
	return nil
}

// hearSource hears the contributors of one source. One that its read lacked has
// something to say until the source itself says that it has nobody of that id.
func (e *Engine) hearSource(ctx context.Context, g *gathered, h *hearing, src Source, s *identity.Snapshot, o RunOptions) error {
	doubt, err := e.doubtOf(ctx, g, src.Name(), s, o)
	if err != nil {
		return err
	}
	now := map[string]*identity.Identity{}
	if s != nil {
		for i := range s.Identities {
			now[s.Identities[i].Key.Anchor] = &s.Identities[i]
		}
	}
	var absent []*identity.Link
	from, to := g.roster.segment(src.Name())
	for i := from; i < to; i++ {
		k := g.links[g.roster.key(i)]
		switch {
		case g.roster.heads[i].owner || k == nil:
		case now[k.Key.Anchor] != nil || doubt != "" || !k.Applied.Active:
			stale := doubt
			if now[k.Key.Anchor] != nil {
				stale = ""
			}
			h.hear(k, now[k.Key.Anchor], stale)
		default:
			absent = append(absent, k)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	ask := make([]string, len(absent))
	for i, k := range absent {
		ask[i] = k.Key.Anchor
	}
	answers, err := src.Confirm(ctx, ask)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		g.problems = append(g.problems, fmt.Sprintf("source %s could not be asked about %d people whom it knew of others' accounts: %v", src.Name(), len(ask), err))
	}
	for _, k := range absent {
		switch answers[k.Key.Anchor] {
		case identity.PresenceGone, identity.PresenceOutOfScope:
			h.lacks(k)
		default:
			h.hear(k, nil, "source "+src.Name()+" does not list the person, and does not say that he is gone")
		}
	}
	return nil
}

// doubtOf says why a read proves nothing about whom it lacks; "" if it does.
func (e *Engine) doubtOf(ctx context.Context, g *gathered, name string, s *identity.Snapshot, o RunOptions) (string, error) {
	switch {
	case s == nil:
		return "source " + name + " could not be read", nil
	case !s.Complete:
		return "source " + name + " was not read whole", nil
	case len(s.Unreadable) > 0:
		return "entries of source " + name + " could not be read", nil
	}
	limits := e.o.Limits
	if o.Limits != nil {
		limits = *o.Limits
	}
	before, err := e.sizeBefore(ctx, g, &plan.SourceSummary{Name: name})
	if err != nil {
		return "", err
	}
	if _, shrunk := guard.Shrunk(name, s.Entries, before, limits); shrunk {
		return "source " + name + " has far fewer entries than before", nil
	}
	return "", nil
}

// mergeInto has a source want what those want together who know the accounts of its
// people, and leaves out whom that settles.
func (e *Engine) mergeInto(g *gathered, s *identity.Snapshot, accounts map[string]bool) {
	known := settledPeople{g: g, find: e.whois(g.roster)}
	kept := s.Identities[:0]
	for i := range s.Identities {
		id := &s.Identities[i]
		at := g.roster.find(id.Key)
		if at < 0 || !g.roster.heads[at].owner || !accounts[g.roster.heads[at].account] {
			kept = append(kept, *id)
			continue
		}
		merged, awards := plan.Merge(id, g.voices[g.roster.heads[at].account], e.o.Policy)
		if known.has(*merged) {
			continue
		}
		g.awards[id.Key] = awards
		kept = append(kept, *merged)
	}
	s.Identities = kept
	g.settled += known.count
	g.moved = append(g.moved, known.moved...)
	g.addNameless(known.nameless)
	if known.logins != nil {
		g.logins = append(g.logins, known.logins)
	}
}

// voicesOf are the contributors of somebody's account, if he owns it.
func (g *gathered) voicesOf(k *identity.Link) []plan.Voice {
	if k == nil || k.Part == identity.Contributor {
		return nil
	}
	return g.voices[k.AccountID]
}

// gone tells of a contributor that his source was just found to have him no more.
func (g *gathered) gone(k *identity.Link) bool {
	return slices.ContainsFunc(g.voices[k.AccountID], func(v plan.Voice) bool { return v.Key == k.Key && v.Standing == plan.Gone })
}

// asks tells whether anything that a source wants of somebody has to be looked up on
// the server: a contributor gets nothing of his own.
func (e *Engine) asks(k identity.Key, link *identity.Link) bool {
	if link != nil {
		return link.Part != identity.Contributor
	}
	return !slices.ContainsFunc(e.o.Policy.Contributing, func(c plan.Contributing) bool { return c.Source == k.Source && c.Only })
}

// hearFew is hearContributors for a few people whose sources were not read: what the
// contributors of their accounts said last stands, and, with add, where a contributor
// himself is among them, the account's owner is added, with what comes from contributors
// alone. merge says of whom what is wanted is known as his source alone wants it.
func (e *Engine) hearFew(ctx context.Context, g *gathered, v *view, l *lease, add bool, merge func(identity.Key) bool) error {
	var accounts []string
	now := map[identity.Key]*identity.Identity{}
	for i := range g.observations {
		ob := &g.observations[i]
		if ob.Link == nil {
			continue
		}
		accounts = append(accounts, ob.Link.AccountID)
		if ob.Link.Part == identity.Contributor && ob.Desired != nil {
			now[ob.Key] = ob.Desired
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	owners, err := e.hearLast(ctx, g, l, accounts, now)
	if err != nil || g.voices == nil {
		return err
	}
	if add && e.o.Policy.ManyVoices() {
		if err := e.addOwners(ctx, g, v, now, owners); err != nil {
			return err
		}
	}
	for i := range g.observations {
		ob := &g.observations[i]
		ob.Voices = g.voicesOf(ob.Link)
		if ob.Desired != nil && len(ob.Voices) > 0 && e.o.Policy.ManyVoices() && merge(ob.Key) {
			ob.Desired, ob.Awards = plan.Merge(ob.Desired, ob.Voices, e.o.Policy)
		}
	}
	return nil
}

// hearLast hears the contributors of some accounts: those of whom now says it with what
// they want now, the others with what they said last. It gives who owns the accounts,
// and sets no voices if there are none.
func (e *Engine) hearLast(ctx context.Context, g *gathered, l *lease, accounts []string, now map[identity.Key]*identity.Identity) (map[string]identity.Key, error) {
	slices.Sort(accounts)
	links, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: slices.Compact(accounts)})
	if err != nil {
		return nil, fmt.Errorf("read who knows these accounts: %w", err)
	}
	var others []identity.Key
	owners := map[string]identity.Key{}
	for i := range links {
		switch k := &links[i]; {
		case k.Part == identity.Owner:
			owners[k.AccountID] = k.Key
		case now[k.Key] == nil:
			others = append(others, k.Key)
		}
	}
	if len(others)+len(now) == 0 {
		return owners, nil
	}
	wants, err := e.wantedNow(ctx, others)
	if err != nil {
		return nil, err
	}
	h := hearing{g: g, voices: map[string][]plan.Voice{}}
	for i := range links {
		k := &links[i]
		if k.Part != identity.Contributor {
			continue
		}
		id, stale := cmp.Or(now[k.Key], wants[k.Key]), ""
		if id == nil {
			stale = "source " + k.Key.Source + " was not read in this run"
		}
		h.hear(k, id, stale)
	}
	if g.voices = h.voices; l == nil {
		return owners, nil
	}
	return owners, e.putLinks(ctx, g, l, h.said, "record what contributors say")
}

// addOwners observes the owners of the accounts of those contributors who are
// observed. Of a source that was not read nothing of its own is wanted.
func (e *Engine) addOwners(ctx context.Context, g *gathered, v *view, contributors map[identity.Key]*identity.Identity, owners map[string]identity.Key) error {
	var keys []identity.Key
	for k := range contributors {
		if link := g.links[k]; link != nil && !owners[link.AccountID].IsZero() {
			keys = append(keys, owners[link.AccountID])
		}
	}
	keys = slices.DeleteFunc(keys, func(k identity.Key) bool {
		return slices.ContainsFunc(g.observations, func(o plan.Observation) bool { return o.Key == k })
	})
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, identity.Key.Compare)
	keys = slices.Compact(keys)
	if err := e.reread(ctx, g, v, keys); err != nil {
		return err
	}
	wants, err := e.wantedNow(ctx, keys)
	if err != nil {
		return err
	}
	for _, k := range keys {
		ob := plan.Observation{Key: k, Link: g.links[k], Desired: wants[k]}
		v.attach(&ob)
		if ob.Desired == nil && ob.Linked != nil && ob.Linked.Active() {
			ob.Desired = plan.AsItIs(&ob, e.o.Policy)
		}
		if ob.Desired != nil && ob.Linked != nil {
			g.observations = append(g.observations, ob)
		}
	}
	return nil
}

// everyone is who is observed as his own source wants him.
func everyone(identity.Key) bool { return true }
