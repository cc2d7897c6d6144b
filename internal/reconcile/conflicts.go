package reconcile

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Conflict is one question about ownership that waits for a person's word: the
// one candidate is a person of a source, the other an account.
type Conflict struct {
	Reason plan.Reason
	Detail string
	// Key is the person; Ref, Username and Email are how the source has him.
	Key                  identity.Key
	Ref, Username, Email string
	// Account is what he wants or has; nil if only people claim the same.
	Account *identity.Account
	// LastActive is when the account was last in use, where the server shows it.
	LastActive time.Time
	// Other is who owns the account, or claims it or the same value as well; zero if
	// nobody does.
	Other identity.Key
	// Next is what to do about it.
	Next string
}

// askedActivity bounds for how many accounts the server is asked when they were
// last in use: that is one request for each.
const askedActivity = 500

// questions are the reasons that wait for a word about ownership.
var questions = []plan.Reason{ //nolint:gochecknoglobals // a constant list
	plan.MatchNeedsWord, plan.MatchPrivileged, plan.UsernameTaken, plan.EmailTaken, plan.AuthDataTaken,
	plan.Contested, plan.HandOver, plan.DeactivatedOther,
}

// Question tells whether a reason waits for a person's word about ownership.
func Question(r plan.Reason) bool { return slices.Contains(questions, r) }

// Conflicts lists all questions about ownership, in the order of the plan. It
// writes nothing but its own run row.
func (e *Engine) Conflicts(ctx context.Context, o RunOptions) (Report, []Conflict, error) {
	var list []Conflict
	rep, err := e.own(ctx, o, everything, true, func(ctx context.Context, w *ownership) error {
		rep, err := e.decide(ctx, w.g, w.o)
		if err != nil {
			return err
		}
		w.problems = w.g.problems
		list = asked(w.g.observations, rep.Plan.Decisions)
		return w.lastActive(ctx, list)
	})
	return rep, list, err
}

// lastActive is worth knowing, and no reason to fail.
func (w *ownership) lastActive(ctx context.Context, list []Conflict) error {
	var ids []string
	for i := range list {
		if a := list[i].Account; a != nil {
			ids = append(ids, a.ID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if n := len(ids); n > askedActivity {
		ids = ids[:askedActivity]
		w.leave("when the accounts were last in use was asked for %d of %d of them, for it costs one request each", askedActivity, n)
	}
	last, err := w.e.o.Target.LastActive(ctx, ids)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		w.leave("when accounts were last in use is not known: %v", err)
		return nil
	}
	for i := range list {
		if a := list[i].Account; a != nil {
			list[i].LastActive = last[a.ID]
		}
	}
	return nil
}

// asking knows who wants what, to name both sides of a question.
type asking struct {
	obs    []plan.Observation
	byKey  map[identity.Key]int
	claims map[claim][]int // people by a value they want
	heirs  map[string]int  // account -> the first without one who wants it
}

type claim struct {
	field plan.Field
	value string
}

func asked(obs []plan.Observation, decisions []plan.Decision) []Conflict {
	a := asking{obs: obs, byKey: make(map[identity.Key]int, len(obs)), claims: map[claim][]int{}, heirs: map[string]int{}}
	for i := range obs {
		a.byKey[obs[i].Key] = i
	}
	for i := range obs {
		a.note(i)
	}
	var out []Conflict
	for i := range decisions {
		d := &decisions[i]
		if d.Action == plan.Hold && slices.Contains(questions, d.Reason) {
			out = a.add(out, d, d.Reason, d.Detail, "")
		}
		for _, n := range d.Notes {
			if slices.Contains(questions, n.Reason) && !(d.Action == plan.Hold && n.Reason == d.Reason && n.Detail == d.Detail) {
				out = a.add(out, d, n.Reason, n.Detail, n.Field)
			}
		}
	}
	// Somebody who is missing and the one who wants his account are one question; it
	// is put where both have their values.
	put := map[identity.Key]bool{}
	for i := range out {
		if c := &out[i]; c.Reason != plan.HandOver && c.Account != nil {
			put[c.Other] = true
		}
	}
	return slices.DeleteFunc(out, func(c Conflict) bool { return c.Reason == plan.HandOver && c.Account != nil && put[c.Key] })
}

func (a *asking) note(i int) {
	o := &a.obs[i]
	d := o.Desired
	if d == nil || !d.Active || d.Fault != "" {
		return
	}
	for f, v := range map[plan.Field]string{
		plan.Field(identity.Username): strings.ToLower(d.Profile.Username), plan.Field(identity.Email): strings.ToLower(d.Profile.Email), plan.FieldAuthData: d.Auth.Data,
	} {
		if v != "" {
			a.claims[claim{f, v}] = append(a.claims[claim{f, v}], i)
		}
	}
	if o.Link != nil {
		return
	}
	for _, h := range []*plan.Holder{o.ByUsername, o.ByEmail, o.ByAuth} {
		if h == nil {
			continue
		}
		if first, found := a.heirs[h.Account.ID]; !found || o.Key.Compare(a.obs[first].Key) < 0 {
			a.heirs[h.Account.ID] = i
		}
	}
}

// add makes a row of what is held, or of one value of it that a note is about.
func (a *asking) add(out []Conflict, d *plan.Decision, why plan.Reason, detail string, field plan.Field) []Conflict {
	i, known := a.byKey[d.Key]
	if !known {
		return out
	}
	o := &a.obs[i]
	c := Conflict{Reason: why, Detail: detail, Key: d.Key, Ref: d.Ref, Account: o.Linked}
	if w := o.Desired; w != nil {
		c.Username, c.Email = w.Profile.Username, w.Profile.Email
	}
	switch why {
	case plan.MatchNeedsWord, plan.MatchPrivileged:
		c.Account = adoptee(o, d.AccountID)
	case plan.UsernameTaken:
		c.held(o.ByUsername)
	case plan.EmailTaken:
		c.held(o.ByEmail)
	case plan.AuthDataTaken:
		c.held(o.ByAuth)
	case plan.Contested:
		c.Other = a.rival(i, field)
	case plan.HandOver:
		if o.Linked == nil { // a new entry with the match key of somebody
			break
		}
		if heir, found := a.heirs[o.Linked.ID]; found {
			c.Other = a.obs[heir].Key
		}
	default:
	}
	c.Next = a.next(&c)
	return append(out, c)
}

func (c *Conflict) held(h *plan.Holder) {
	if h != nil {
		c.Account, c.Other = h.Account, h.Owner
	}
}

// rival finds somebody else who claims the same value, of one field or of any.
func (a *asking) rival(i int, field plan.Field) identity.Key {
	d := a.obs[i].Desired
	if d == nil {
		return identity.Key{}
	}
	for _, x := range []claim{
		{plan.Field(identity.Username), strings.ToLower(d.Profile.Username)}, {plan.Field(identity.Email), strings.ToLower(d.Profile.Email)}, {plan.FieldAuthData, d.Auth.Data},
	} {
		if field != "" && field != x.field {
			continue
		}
		for _, n := range a.claims[x] {
			if n != i {
				return a.obs[n].Key
			}
		}
	}
	return identity.Key{}
}

// next names the step, with the command where there is one.
func (a *asking) next(c *Conflict) string {
	usual := c.Reason.Explain().Next
	switch c.Reason {
	case plan.MatchNeedsWord, plan.MatchPrivileged:
		if c.Account == nil {
			return usual
		}
		return "the same person: mmsync link approve " + plan.Shell(c.Key.String()) + "; somebody else: " + plan.Command("link ignore", c.Key.String(), c.Account.ID)
	case plan.HandOver:
		if c.Other.IsZero() || c.Account == nil {
			return usual
		}
		return "the same person: " + plan.Command("link rekey", c.Key.String(), c.Other.String()) + "; somebody else: " + plan.Command("link ignore", c.Other.String(), c.Account.ID)
	case plan.UsernameTaken, plan.EmailTaken, plan.AuthDataTaken:
		if i, known := a.byKey[c.Other]; known && a.obs[i].Desired != nil && a.obs[i].Desired.Active {
			return usual // both are there
		}
		if c.Other.IsZero() || c.Account == nil || a.linkedElsewhere(c) {
			return usual
		}
		text := "the same person: " + plan.Command("link rekey", c.Other.String(), c.Key.String())
		switch {
		case c.Account.Active():
			text += "; somebody else: " + plan.Command("link ignore", c.Key.String(), c.Account.ID)
		case c.Reason == plan.UsernameTaken:
			text += "; somebody else: " + plan.Command("link free-name", c.Account.Username)
		case c.Reason == plan.EmailTaken:
			text += "; somebody else: " + plan.Command("link free-name", c.Account.Email)
		}
		return text
	case plan.DeactivatedOther:
		return usual + " If mmsync is to leave the account alone: " + plan.Command("link release", c.Key.String())
	default:
		return usual
	}
}

// linkedElsewhere tells that the person has an account of his own already.
func (a *asking) linkedElsewhere(c *Conflict) bool {
	i, known := a.byKey[c.Key]
	return known && a.obs[i].Link != nil
}
