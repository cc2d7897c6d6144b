package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Rekey gives the account of somebody whom his source lacks, or says has left, to
// the same person under another id, perhaps in another source. to is named as the
// source has him, from as his link has him. Unlike RekeyAll it also moves an
// account that mmsync switched off, which the next sync then switches on.
func (e *Engine) Rekey(ctx context.Context, o RunOptions, from, to string, privileged, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		heir, err := w.person(to)
		if err != nil {
			return err
		}
		old, err := w.owner(ctx, from)
		if err != nil {
			return err
		}
		switch {
		case old.Key == heir.Key:
			return fmt.Errorf("%w: %s is one and the same id", ErrRefused, old.Key)
		case heir.Link != nil && heir.Link.Part == identity.Owner:
			return fmt.Errorf("%w: %s has account %s already; %s gives it up", ErrRefused, heir.Key, heir.Link.AccountID, plan.Command("link release", heir.Key.String()))
		case !heir.Desired.Active:
			return fmt.Errorf("%w: %s has left as %s says, so the next run would switch the account off", ErrRefused, heir.Key, heir.Key.Source)
		case heir.Desired.Fault != "":
			return fmt.Errorf("%w: the entry of %s cannot be used: %s", ErrRefused, heir.Key, heir.Desired.Fault)
		}
		// What holds a person alone goes along with him.
		if err := e.unheld(ctx, identity.Key{Source: old.Key.Source}, identity.Key{Source: heir.Key.Source}); err != nil {
			return err
		}
		if old.Desired == nil && (old.Absence.Complete || old.Absence.Explicit) {
			if err := w.confirm(ctx, old.Key.Source, []*plan.Observation{old}); err != nil {
				return err
			}
		}
		if why := w.notMovable(old, privileged); why != "" {
			return fmt.Errorf("%w: %s of %s %s", ErrRefused, accountName(old), old.Key, why)
		}
		why := "said by hand"
		if !old.Linked.Active() {
			why += "; the account is off"
			if old.Link.DeactivatedAt == old.Linked.DeleteAt {
				why += " since mmsync switched it off" + switchesOn
			}
		}
		w.move(old, heir, why)
		w.allow = append(w.allow, w.refused(heir.Key, old.Link.AccountID))
		return nil
	})
}

// switchesOn ends what is said of an account that mmsync switched off.
const switchesOn = ", and the next sync switches it on"

// owner finds who owns an account: by source/anchor, anchor, last place, or the
// account's id, username or e-mail. Of a source that is configured no more the
// links are still there.
func (w *ownership) owner(ctx context.Context, query string) (*plan.Observation, error) {
	links, err := w.e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	k, err := linked(slices.DeleteFunc(links, func(k identity.Link) bool { return k.Part != identity.Owner }), query)
	if err != nil {
		return nil, err
	}
	if o := w.observation(k.Key); o != nil {
		return o, nil
	}
	if slices.ContainsFunc(w.e.o.Sources, func(s Source) bool { return s.Name() == k.Key.Source }) {
		return nil, fmt.Errorf("%w: source %s could not be read, so that nobody knows whether it still lists %s", ErrRefused, k.Key.Source, k.Key)
	}
	a, ok, err := w.e.o.Target.Account(ctx, k.AccountID)
	if err != nil {
		return nil, fmt.Errorf("read account %s: %w", k.AccountID, err)
	}
	o := &plan.Observation{Key: k.Key, Link: k, Absence: plan.Absence{Complete: true}}
	if ok {
		o.Linked = &a
	}
	return o, nil
}

func (w *ownership) observation(k identity.Key) *plan.Observation {
	i := slices.IndexFunc(w.g.observations, func(o plan.Observation) bool { return o.Key == k })
	if i < 0 {
		return nil
	}
	return &w.g.observations[i]
}

func accountName(o *plan.Observation) string {
	if o.Linked == nil {
		return "account " + o.Link.AccountID
	}
	return fmt.Sprintf("account %q (%s)", o.Linked.Username, o.Linked.ID)
}

// notMovable says why the account of somebody cannot go to another id, in words
// that follow its name; "" if it can.
func (w *ownership) notMovable(old *plan.Observation, privileged bool) string {
	switch {
	case old.Linked == nil:
		return "is not on the server"
	case old.Desired != nil && old.Desired.Active:
		return "is still in use: " + old.Key.Source + " lists that person as active"
	case old.Desired == nil && !old.Absence.Complete && !old.Absence.Explicit:
		return "may still be in use, for the last read proves nothing about who is missing: " + old.Absence.Doubt
	case old.Absence.Presence == identity.PresencePresent:
		return "may still be in use: " + old.Key.Source + " has the entry when asked for it directly"
	}
	return w.stuck(old, privileged)
}

// stuck says why an account cannot change hands now, whatever the sources say of its
// owner; "" if it can.
func (w *ownership) stuck(old *plan.Observation, privileged bool) string {
	switch {
	case w.facts.SetBack:
		return "may be another than it seems, for the server was set back to an earlier state; run mmsync sync once, which looks at everything anew"
	case w.busy.has(old.Key, old.Link.AccountID):
		return "may still be reached by a call of a run that was cut off; try again in two minutes"
	case old.Linked.Roles.Privileged() && !privileged:
		return "holds " + old.Linked.Roles.String() + "; if it is to go all the same, say --privileged"
	}
	if cause := plan.Protection(*old.Linked, &w.facts); cause != "" {
		return "is protected: " + cause
	}
	return ""
}

// RekeyAll gives the accounts of everybody whom a source lacks to the same people
// under new ids: those who alone agree in one value, an identity.Attribute that is
// Username or Email, or plan.FieldMatchKey. Everybody else is left and named. What
// a run that was cut off has left, the next one does.
func (e *Engine) RekeyAll(ctx context.Context, o RunOptions, source string, by plan.Field, privileged, dry bool) (Report, error) {
	return e.own(ctx, o, everything, dry, func(ctx context.Context, w *ownership) error {
		var found *plan.SourceSummary
		for i := range w.g.summaries {
			if w.g.summaries[i].Name == source {
				found = &w.g.summaries[i]
			}
		}
		if found == nil {
			return fmt.Errorf("%w: there is no source %s in the configuration", ErrRefused, source)
		}
		if !found.Complete {
			return fmt.Errorf("%w: %s was not read whole, so nobody is known to be missing: %s", ErrRefused, source, found.Doubt)
		}
		if err := e.unheld(ctx, identity.Key{Source: source}); err != nil {
			return err
		}
		r := rekeying{w: w, source: source, by: by, old: map[string][]*plan.Observation{}, heirs: map[string][]*plan.Observation{}}
		r.gather()
		if err := r.confirm(ctx); err != nil {
			return err
		}
		r.pair(privileged)
		w.message = fmt.Sprintf("%d people of %s have other ids, by %s", len(w.steps), source, by)
		return nil
	})
}

// rekeying finds who has come back under which id.
type rekeying struct {
	w          *ownership
	source     string
	by         plan.Field
	old, heirs map[string][]*plan.Observation // by value
}

// gather sorts the missing and the new people of the source by the value.
func (r *rekeying) gather() {
	for i := range r.w.g.observations {
		o := &r.w.g.observations[i]
		switch {
		case o.Key.Source != r.source:
		case o.Link != nil && o.Link.Part == identity.Owner:
			if o.Desired == nil {
				if v := r.before(o); v != "" {
					r.old[v] = append(r.old[v], o)
				}
			}
		case o.Link == nil && o.Desired != nil && o.Desired.Active && o.Desired.Fault == "":
			if v := r.value(o.Desired.Profile, o.Desired.MatchKey); v != "" {
				r.heirs[v] = append(r.heirs[v], o)
			}
		}
	}
}

func (r *rekeying) value(p identity.Profile, match string) string {
	if r.by == plan.FieldMatchKey {
		return match
	}
	return strings.ToLower(p.Value(identity.Attribute(r.by)))
}

// before is the value that somebody had before he went missing: what the source
// last wanted of him, or what his account shows if that was never applied.
func (r *rekeying) before(o *plan.Observation) string {
	v := r.value(o.Link.Applied.Profile, o.Link.Applied.MatchKey)
	if v == "" && r.by != plan.FieldMatchKey && o.Linked != nil {
		v = r.value(o.Linked.Profile, "")
	}
	return v
}

// confirm asks the source whether it has any of those after all whose account is
// about to go to somebody else.
func (r *rekeying) confirm(ctx context.Context) error {
	var ask []*plan.Observation
	for v, list := range r.old {
		if len(r.heirs[v]) > 0 {
			ask = append(ask, list...)
		}
	}
	return r.w.confirm(ctx, r.source, ask)
}

// confirm asks a source, if it is configured, whether it has people after all whom a
// read lacked.
func (w *ownership) confirm(ctx context.Context, source string, missing []*plan.Observation) error {
	at := slices.IndexFunc(w.e.o.Sources, func(s Source) bool { return s.Name() == source })
	if at < 0 || len(missing) == 0 {
		return nil
	}
	ask := make([]string, len(missing))
	for i, o := range missing {
		ask[i] = o.Key.Anchor
	}
	slices.Sort(ask)
	answers, err := w.e.o.Sources[at].Confirm(ctx, ask)
	if err != nil {
		return fmt.Errorf("ask %s about %d missing people: %w", source, len(ask), err)
	}
	for _, o := range missing {
		if p := answers[o.Key.Anchor]; p != "" {
			o.Absence.Presence = p
		}
	}
	return nil
}

// pair moves the link where exactly one missing and one new person agree.
func (r *rekeying) pair(privileged bool) {
	for v, heirs := range r.heirs {
		old := r.old[v]
		if len(old) == 0 {
			continue // new people
		}
		if len(old) > 1 || len(heirs) > 1 {
			r.w.leave("%s have the same %s: name them one by one with mmsync link rekey OLD NEW --reason …", keysOf(old, heirs), r.name())
			continue
		}
		from, to := old[0], heirs[0]
		if why := r.doubt(from, to, privileged); why != "" {
			r.w.leave("%s of %s, which %s would get, %s", accountName(from), from.Key, to.Key, why)
			continue
		}
		r.w.move(from, to, "same "+r.name())
	}
	slices.Sort(r.w.problems)
}

// doubt says why two who agree in the value are left to a person's word.
func (r *rekeying) doubt(from, to *plan.Observation, privileged bool) string {
	if why := r.w.notMovable(from, privileged); why != "" {
		return why
	}
	byHand := "; if it is the same person: " + plan.Command("link rekey", from.Key.String(), to.Key.String())
	switch {
	case from.Absence.Explicit:
		return "is that of somebody whom the source deleted by name" + byHand
	case !from.Linked.Active():
		return "is switched off" + byHand
	case slices.Contains(to.Refused, from.Link.AccountID):
		return "is not that of the new entry, as an operator said"
	case r.by != plan.FieldMatchKey && r.value(from.Linked.Profile, "") != r.value(to.Desired.Profile, ""):
		return "shows another " + r.name() + " by now, which somebody changed in Mattermost" + byHand
	case r.by == plan.Field(identity.Email) && stranger(from.Linked.Profile, to.Desired.Profile):
		return "shows another username and another last name than " + wantedName(to) + ", so the e-mail may have gone to somebody else" + byHand
	}
	return ""
}

// stranger tells two people apart by what both are known by: addresses are given
// to others, and people change one name at a time as a rule.
func stranger(a, b identity.Profile) bool {
	differ := func(x, y string) bool { return x != "" && y != "" && !strings.EqualFold(x, y) }
	return differ(a.Username, b.Username) && differ(a.LastName, b.LastName)
}

// wantedName is how somebody is called by his source.
func wantedName(o *plan.Observation) string {
	p := o.Desired.Profile
	name := strconv.Quote(p.Username)
	if full := strings.TrimSpace(p.FirstName + " " + p.LastName); full != "" {
		name += ", " + strconv.Quote(full)
	}
	return name
}

func (r *rekeying) name() string {
	switch r.by {
	case plan.Field(identity.Email):
		return "e-mail"
	case plan.FieldMatchKey:
		return "match key"
	}
	return string(r.by)
}

func keysOf(lists ...[]*plan.Observation) string {
	var keys []string
	for _, list := range lists {
		for _, o := range list {
			keys = append(keys, o.Key.String())
		}
	}
	slices.Sort(keys)
	n := len(keys) - 1
	return strings.Join(keys[:n], ", ") + " and " + keys[n]
}
