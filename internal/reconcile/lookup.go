package reconcile

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// walkAbove is how many unknown names are looked up one by one before walking
// the whole server becomes cheaper: one e-mail is one request, and so are 200
// accounts of a walk.
const walkAbove = 100

// wanted are the values that somebody wants and no linked account of his shows.
type wanted struct {
	usernames, emails []string
	auth              []identity.Auth
}

// auditDue tells whether this run walks the whole server, and by that decides
// about everybody anew: when asked to, the first time, daily in runs that write,
// and when the server shows less than mmsync wrote to it.
func (e *Engine) auditDue(ctx context.Context, g *gathered, o RunOptions, l *lease) (bool, error) {
	audit, err := e.o.Store.Mark(ctx, auditMark)
	if err != nil {
		return false, fmt.Errorf("read the age of the last audit: %w", err)
	}
	if !audit.At.IsZero() {
		g.auditAge = g.now.Sub(audit.At)
	}
	nightly := l != nil && g.auditAge > auditEvery
	if !o.Audit && !audit.At.IsZero() && !nightly && !g.facts.SetBack {
		return false, nil
	}
	if l == nil {
		return true, nil
	}
	if err := e.o.Store.Unsettle(ctx, l.current()); err != nil {
		return true, fmt.Errorf("have everybody decided anew: %w", err)
	}
	return true, nil
}

// lookup finds the accounts that hold values somebody wants. Few are asked for
// by name; many, and in an audit, are found by walking the whole server, which
// also fills the index.
func (e *Engine) lookup(ctx context.Context, g *gathered, v *view, snaps []*identity.Snapshot, audit bool, l *lease) error {
	w := e.wanted(g, v, snaps)
	if audit || len(w.emails) > walkAbove {
		if err := e.walk(ctx, g, v, audit, l); err != nil {
			return err
		}
	} else if err := e.find(ctx, v, w); err != nil {
		return err
	}
	if err := e.loadLogins(ctx, g, v, w.auth); err != nil {
		return err
	}
	// Linked accounts hold names as well; they were read last.
	for _, k := range g.links {
		if a := v.byID[k.AccountID]; a != nil && k.Part != identity.Contributor {
			if a.Auth.Data == "" && !g.facts.AuthDataVisible && a.Auth.Service == k.Applied.Auth.Service {
				shown := *a // what was applied last stands in for what the server hides
				shown.Auth.Data = k.Applied.Auth.Data
				a = &shown
			}
			v.index(a)
		}
	}
	return nil
}

// loadLogins loads the links of settled people who have login data that somebody
// else wants.
func (e *Engine) loadLogins(ctx context.Context, g *gathered, v *view, want []identity.Auth) error {
	var load []int
	for _, a := range want {
		for _, has := range g.logins {
			if at, found := has[maphash.String(g.roster.places, a.Data)]; found && a.Data != "" {
				load = append(load, at)
			}
		}
	}
	return e.load(ctx, g, v, load)
}

// find asks for the accounts that have any of the wanted values.
func (e *Engine) find(ctx context.Context, v *view, w wanted) error {
	found, err := e.o.Target.Lookup(ctx, w.usernames, w.emails)
	if err != nil {
		return fmt.Errorf("look up wanted names: %w", err)
	}
	for i := range found {
		v.add(&found[i])
	}
	return e.lookupAuth(ctx, v, w.auth)
}

// auditMark names the moment of the last walk over the whole server.
const auditMark = "audit"

// auditEvery is the age from which a run that writes walks the server again.
const auditEvery = 24 * time.Hour

func (e *Engine) wanted(g *gathered, v *view, snaps []*identity.Snapshot) wanted {
	var w wanted
	for _, s := range snaps {
		if s == nil {
			continue
		}
		for i := range s.Identities {
			d := &s.Identities[i]
			var a *identity.Account
			k := g.links[d.Key]
			if k != nil {
				a = v.byID[k.AccountID]
			}
			if e.asks(d.Key, k) {
				w.add(d, a)
			}
		}
	}
	slices.Sort(w.usernames)
	slices.Sort(w.emails)
	return w
}

// wantedBy are the values that people want whose accounts do not show them.
func (e *Engine) wantedBy(obs []plan.Observation) wanted {
	var w wanted
	for i := range obs {
		if ob := &obs[i]; ob.Desired != nil && e.asks(ob.Key, ob.Link) {
			w.add(ob.Desired, ob.Linked)
		}
	}
	slices.Sort(w.usernames)
	slices.Sort(w.emails)
	return w
}

// add notes what somebody wants that his account does not show.
func (w *wanted) add(d *identity.Identity, a *identity.Account) {
	if d.Fault != "" || (a == nil && !d.Active) {
		return
	}
	if a == nil || a.Username != d.Profile.Username {
		w.usernames = append(w.usernames, d.Profile.Username)
	}
	if a == nil || !strings.EqualFold(a.Email, d.Profile.Email) {
		w.emails = append(w.emails, d.Profile.Email)
	}
	if !d.Auth.IsZero() && (a == nil || a.Auth != d.Auth) {
		w.auth = append(w.auth, d.Auth)
	}
}

// walk goes through all accounts of the server. In an audit the links of everybody
// are loaded, so that what a walk shows otherwise than the look-ups by id is seen.
func (e *Engine) walk(ctx context.Context, g *gathered, v *view, audit bool, l *lease) error {
	var all []state.IndexedAccount
	_, err := e.o.Target.List(ctx, func(a identity.Account) error {
		e.o.Progress(Progress{Stage: "walking the server", Done: len(all)})
		// A walk reads the database, the look-ups by id the server's memory.
		v.add(&a)
		delete(v.unseen, a.ID)
		g.walked = append(g.walked, &a)
		all = append(all, state.IndexedAccount{
			ID: a.ID, Username: a.Username, Email: a.Email, Auth: a.Auth, Active: a.Active(),
			Bot: a.Bot, Remote: a.Remote, Admin: a.Roles.Has(identity.RoleAdmin), SeenAt: g.now,
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("walk the accounts of the server: %w", err)
	}
	walked := make(map[string]bool, len(all))
	for i := range all {
		walked[all[i].ID] = true
	}
	for _, k := range g.sortedLinks() {
		if id := k.AccountID; !walked[id] && v.byID[id] != nil && k.Part != identity.Contributor {
			delete(v.byID, id)
			if err := e.proveGone(ctx, v, k); err != nil {
				return err
			}
		}
	}
	g.unknown(all)
	if audit {
		g.auditAge = 0
	}
	if l == nil {
		return nil
	}
	if err := e.keepObserved(ctx, g, v, l); err != nil {
		return err
	}
	if err := e.o.Store.ReplaceIndex(ctx, l.current(), all); err != nil {
		return fmt.Errorf("record the index of accounts: %w", err)
	}
	if !audit {
		return nil
	}
	return e.o.Store.SetMark(ctx, l.current(), state.Mark{Name: auditMark, At: g.now})
}

// lookupAuth finds accounts by login data, whichever service they log in by, for
// the server lets no two accounts have the same. The server has no such look-up, so
// the index of the last audit says where to look, and the account itself is
// read before it is believed.
func (e *Engine) lookupAuth(ctx context.Context, v *view, want []identity.Auth) error {
	if len(want) == 0 {
		return nil
	}
	var either []identity.Auth
	for _, a := range want {
		for _, service := range []string{"gitlab", "google", "ldap", "office365", "openid", "saml"} {
			either = append(either, identity.Auth{Service: service, Data: a.Data})
		}
		either = append(either, a)
	}
	hits, err := e.o.Store.Index(ctx, state.IndexFilter{Auth: either})
	if err != nil {
		return fmt.Errorf("look up login data in the index: %w", err)
	}
	var ids []string
	for _, h := range hits {
		ids = append(ids, h.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = e.o.Target.Observe(ctx, ids, 0, func(a identity.Account) error {
		v.add(&a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read accounts with wanted login data: %w", err)
	}
	return nil
}

func (v *view) add(a *identity.Account) {
	v.byID[a.ID] = a
	v.index(a)
}

func (v *view) index(a *identity.Account) {
	v.byUsername[a.Username] = a
	if a.Email != "" {
		v.byEmail[strings.ToLower(a.Email)] = a
	}
	if a.Auth.Data != "" {
		v.byAuth[a.Auth.Data] = a
	}
}

// protect resolves the configured patterns to account ids, so that a rename
// sheds no protection.
func (e *Engine) protect(ctx context.Context, g *gathered, v *view, l *lease) error {
	known, err := e.o.Store.Protected(ctx)
	if err != nil {
		return fmt.Errorf("read protected accounts: %w", err)
	}
	facts := map[string]string{}
	for _, p := range known {
		if !slices.Contains(e.o.Protect, p.Pattern) {
			continue // the operator took the pattern back
		}
		facts[p.ID] = fmt.Sprintf("it matched the protected pattern %q on %s", p.Pattern, p.Since.UTC().Format(time.DateOnly))
	}
	if err := e.loadNamed(ctx, g, v); err != nil {
		return err
	}
	owned := make(map[string]*identity.Link, len(g.links))
	for _, k := range g.links {
		if k.Part != identity.Contributor {
			owned[k.AccountID] = k
		}
	}
	var found []state.ProtectedAccount
	for _, pattern := range e.o.Protect {
		for name, a := range v.byUsername {
			// Somebody who renames himself to such a name does not protect himself.
			if k := owned[a.ID]; k != nil && !plan.Match(pattern, k.Applied.Profile.Username) {
				continue
			}
			if plan.Match(pattern, name) && facts[a.ID] == "" {
				facts[a.ID] = fmt.Sprintf("it matches the protected pattern %q", pattern)
				found = append(found, state.ProtectedAccount{ID: a.ID, Pattern: pattern, Since: g.now})
			}
		}
	}
	maps.Copy(facts, g.facts.Protected)
	g.facts.Protected = facts
	if l == nil || len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b state.ProtectedAccount) int { return strings.Compare(a.ID, b.ID) })
	if err := e.o.Store.Protect(ctx, l.current(), found); err != nil {
		return fmt.Errorf("record protected accounts: %w", err)
	}
	return nil
}

// loadNamed loads the links of linked accounts in view that have a protected name:
// whether that protects them depends on whether mmsync gave it to them.
func (e *Engine) loadNamed(ctx context.Context, g *gathered, v *view) error {
	named := map[string]bool{}
	for name, a := range v.byUsername {
		if slices.ContainsFunc(e.o.Protect, func(p string) bool { return plan.Match(p, name) }) {
			named[a.ID] = true
		}
	}
	if len(named) == 0 {
		return nil
	}
	var load []int
	for i := range g.roster.heads {
		if h := &g.roster.heads[i]; h.owner && named[h.account] {
			load = append(load, i)
		}
	}
	return e.load(ctx, g, v, load)
}
