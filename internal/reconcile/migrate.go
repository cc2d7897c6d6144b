package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// A migration moves existing accounts to the login that auth.policy wants, and does
// nothing else. Its plan is a plan like any other, of which the logins alone are kept;
// naming the plan is the operator's word for exactly the moves that it shows. It is
// carried out in batches, each a run of its own that reads, decides, guards and
// journals anew, so that a batch that was cut off is found by the one after it.
//
//	plan ──► batch 1 ──► batch 2 ──► … what is left ──► nobody is left
//	              └──► taken back, a batch at a time: rollback.go

// kindMigrate is the kind of a run that moves a batch of logins.
const kindMigrate = "migrate_auth"

// ByPassword names the login by a password of Mattermost's own, which has no service.
const ByPassword = "email"

// Migration says whose logins are to be moved.
type Migration struct {
	// From and To narrow it to people who log in by one service, [ByPassword] among
	// them, or are to; "" is any.
	From, To string
	Selection
}

// migrationOptions are the Options of a migration's plan and of its batches.
type migrationOptions struct {
	Part bool `json:"part"` // like partOnly
	// Migration is the run of the plan; "plan" in its own.
	Migration string `json:"migration"`
	Batch     int    `json:"batch,omitempty"`
}

func (m migrationOptions) String() string {
	text, err := json.Marshal(m)
	if err != nil { // not of two words and a number
		return partOnly
	}
	return string(text)
}

// migrating is the policy of a run that moves logins, whatever auth.migrate_existing
// says about other runs.
func migrating(p plan.Policy) plan.Policy {
	p.Update, p.ChangeAuth = true, true
	return p
}

// PlanMigration shows whose login would be moved, and who has to stay and why. The
// plan is kept, so that it can be carried out.
func (e *Engine) PlanMigration(ctx context.Context, o RunOptions, m Migration) (Report, error) {
	o = o.migrate(m, "migrate-auth", nil)
	o.Audit = true // who holds a login, a deactivated account among them, only a walk tells
	o.Keep, o.options = true, migrationOptions{Part: true, Migration: "plan"}.String()
	return e.readOnly(ctx, o, nil)
}

// migrate narrows a run to the moves of logins, which pass the guards by a word that
// names them; further picks among those.
func (o RunOptions) migrate(m Migration, word string, further func(plan.Plan) plan.Plan) RunOptions {
	var policy plan.Policy
	o.everybody = true // who keeps a login by the policy is settled
	o.policy = func(p plan.Policy) plan.Policy {
		policy = migrating(p)
		return policy
	}
	o.people, o.among, o.selected = m.People, m.Sources, m.Selection
	o.pick = func(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error) {
		kept := p.Decisions[:0:0]
		var facts *plan.Facts
		for _, d := range p.Decisions {
			ob := of[d.Key]
			if ob == nil || !m.means(ob, people) {
				continue
			}
			if d, ok := login(d, ob, word); ok {
				kept, facts = append(kept, d), ob.Facts
			}
		}
		p.Decisions, p.Unchanged = kept, 0
		slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int {
			return slices.Index(plan.Actions(), a.Action) - slices.Index(plan.Actions(), b.Action)
		})
		p.Warnings = nil // of what is left out
		if facts != nil {
			p.Warnings = plan.Warnings(kept, facts, policy)
		}
		if further != nil {
			p = further(p)
		}
		return p, nil
	}
	return o
}

// means tells whether somebody is among those whose logins are to be moved.
func (m *Migration) means(ob *plan.Observation, people map[identity.Key]bool) bool {
	want := ob.Desired
	if want == nil || !want.Active || want.Auth.Service == "" {
		return false
	}
	a := accountOfInterest(ob)
	if a == nil || !a.Active() || a.Auth == want.Auth {
		return false
	}
	switch {
	case m.From != "" && m.From != loginName(a.Auth.Service),
		m.To != "" && m.To != want.Auth.Service,
		len(m.People) > 0 && !people[ob.Key],
		len(m.Groups) > 0 && !want.Pilot:
		return false
	}
	return len(m.Sources) == 0 || slices.Contains(m.Sources, ob.Key.Source)
}

// accountOfInterest is somebody's own account or, for somebody without one, that which
// looks like his.
func accountOfInterest(ob *plan.Observation) *identity.Account {
	if ob.Link != nil {
		return ob.Linked
	}
	for _, h := range []*plan.Holder{ob.ByEmail, ob.ByUsername} {
		if h != nil && h.Account != nil && h.Owner.IsZero() {
			return h.Account
		}
	}
	return nil
}

// loginName names a login service.
func loginName(service string) string {
	if service == "" {
		return ByPassword
	}
	return service
}

// login leaves of a decision what it does about the login. Whoever cannot be moved is
// held, with the cause; ok is false for somebody whose login is not the question.
func login(d plan.Decision, ob *plan.Observation, word string) (_ plan.Decision, ok bool) {
	if d.Action == plan.Hold && len(d.Notes) == 0 {
		d.Ops, d.Chain = nil, 0
		return d, true
	}
	for _, n := range d.Notes { // the login itself has to stay
		if n.Field == plan.FieldAuthService || n.Field == plan.FieldAuthData {
			return stays(d, n.Reason, n.Detail), true
		}
	}
	at := slices.IndexFunc(d.Ops, plan.Op.MovesLogin)
	switch {
	case d.Action == plan.Adopt:
		return stays(d, plan.FieldFirst, "the account has to become this person's first"), true
	case at < 0 || d.Action != plan.Update:
		return d, false
	}
	to, _ := d.Ops[at].To(plan.FieldAuthService)
	if why := lockedBy(to, ob, &d); why != "" {
		return stays(d, plan.FieldFirst, why), true
	}
	ops := slices.DeleteFunc(slices.Clone(d.Ops), func(op plan.Op) bool { return !op.MovesLogin() && op.Kind != plan.RevokeSessions })
	d.Ops, d.Notes, d.Withheld, d.Chain, d.Reason, d.Approval = ops, nil, nil, 0, plan.Differs, word
	d.Detail = rekeyed(ops[0])
	return d, true
}

// stays holds somebody's login. Of what waits for a word the login alone is kept.
func stays(d plan.Decision, why plan.Reason, detail string) plan.Decision {
	var asked []plan.Op
	if why == plan.NeedsApproval || why == plan.Rejected {
		asked = slices.DeleteFunc(slices.Clone(d.Withheld), func(op plan.Op) bool { return !op.MovesLogin() && op.Kind != plan.RevokeSessions })
	}
	d.Action, d.Reason, d.Detail, d.Held, d.Withheld = plan.Hold, why, detail, plan.Update, asked
	d.Ops, d.Notes, d.Chain, d.Approval, d.Until = nil, nil, 0, "", nil
	return d
}

// lockedBy says which field the wanted login would lock that has still to be changed;
// "" if none. What the login of before locks as well nobody can change first.
func lockedBy(to string, ob *plan.Observation, d *plan.Decision) string {
	locks := func(f plan.Field) bool {
		a := identity.Attribute(f)
		return ob.Locked(to, a) && !ob.Locked(ob.Linked.Auth.Service, a)
	}
	for _, op := range d.Ops {
		for _, c := range op.Changes {
			if op.Kind == plan.PatchProfile && locks(c.Field) {
				return fmt.Sprintf("%s has to be changed to %q first, which %s would lock", c.Field, c.To, to)
			}
		}
	}
	for _, n := range d.Notes {
		if locks(n.Field) && n.Reason != plan.Rejected {
			return fmt.Sprintf("%s cannot be changed to %q yet, and %s would lock it: %s", n.Field, n.To, to, n.Detail)
		}
	}
	return ""
}

// rekeyed says what kind of a change of the login data alone it is; "" for another
// service, which the op says.
func rekeyed(op plan.Op) string {
	var service, data plan.Change
	for _, c := range op.Changes {
		if c.Field == plan.FieldAuthService {
			service = c
		} else {
			data = c
		}
	}
	switch {
	case service.From != service.To:
		return ""
	case identity.SameGUID(data.From, data.To):
		return "the same id in another form"
	case strings.Contains(data.From, "@") && !strings.Contains(data.To, "@"):
		return "an id instead of an e-mail"
	}
	return "another id"
}

// Migrating is a migration that is being carried out.
type Migrating struct {
	// Plan is the run of its plan, and Done the batches that were begun, oldest first.
	Plan state.Run
	Done []Batch

	moves map[identity.Key]*plan.Decision
	tried map[identity.Key]bool // in this process, and not moved
}

// Batch is one run of a migration.
type Batch struct {
	Number int
	Run    state.Run
}

// Moves is how many logins the plan moves in all.
func (m *Migrating) Moves() int { return len(m.moves) }

// Migration opens a migration, by the run of its plan: the newest that was begun for
// "". A refusal says why it cannot be gone on with.
func (e *Engine) Migration(ctx context.Context, id string) (*Migrating, error) {
	batches, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: kindMigrate})
	if err != nil {
		return nil, fmt.Errorf("list the batches of migrations: %w", err)
	}
	if id == "" {
		if len(batches) == 0 {
			return nil, fmt.Errorf("%w: no migration was begun; mmsync migrate-auth plan makes the plan for one", ErrRefused)
		}
		id = migrationOf(batches[0]).Migration
	}
	m := &Migrating{moves: map[identity.Key]*plan.Decision{}, tried: map[identity.Key]bool{}}
	if m.Plan, err = e.run(ctx, id); err != nil {
		return nil, err
	}
	if migrationOf(m.Plan).Migration != "plan" {
		return nil, fmt.Errorf("%w: run %s is no plan of mmsync migrate-auth plan", ErrRefused, m.Plan.ID)
	}
	slices.Reverse(batches)
	for _, r := range batches {
		if o := migrationOf(r); o.Migration == m.Plan.ID && !idle(r) {
			m.Done = append(m.Done, Batch{o.Batch, r})
		}
	}
	records, err := e.o.Store.Decisions(ctx, m.Plan.ID)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	saved := make([]plan.Decision, len(records))
	for i := range records {
		saved[i] = records[i].Decision
		if len(saved[i].Ops) > 0 {
			m.moves[saved[i].Key] = &saved[i]
		}
	}
	if (plan.Plan{Decisions: saved}).Digest() != m.Plan.Digest {
		return nil, &StaleError{Why: "the store does not have this plan as it was written (it was restored, cleaned up or changed); make a new one with mmsync migrate-auth plan"}
	}
	return m, nil
}

// idle tells a batch that found nobody to move: no number is used up by it.
func idle(r state.Run) bool {
	return r.Counts.Done+r.Counts.Failed+r.Counts.Skipped == 0 && slices.Contains(completed(), r.Status)
}

func migrationOf(r state.Run) (o migrationOptions) {
	if json.Unmarshal([]byte(r.Options), &o) != nil {
		return migrationOptions{} // other runs have other options, or none
	}
	return o
}

// fresh refuses a plan that somebody's word holds for no more.
func (e *Engine) fresh(ctx context.Context, m *Migrating) error {
	return e.freshPlan(ctx, m.Plan, "; make a new one with mmsync migrate-auth plan, it has only those who are left")
}

// freshPlan refuses the run of a kept plan that is too old, or of another configuration;
// again is how to get another one.
func (e *Engine) freshPlan(ctx context.Context, r state.Run, again string) error {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	switch age := now.Sub(r.StartedAt); {
	case r.Policy != e.o.PolicyDigest:
		return &StaleError{Why: "the plan was made with another configuration than this one" + again}
	case age < 0:
		return &StaleError{Why: "the plan is dated " + r.StartedAt.UTC().Format(time.RFC3339) + ", and the store's clock was set back behind that" + again}
	case age > savedFor:
		return &StaleError{Why: fmt.Sprintf("the plan is of %s, and plans can be carried out for %s%s", r.StartedAt.UTC().Format("2006-01-02 15:04 UTC"), savedFor, again)}
	}
	return nil
}

// MigrateBatch moves the next logins of a migration, size at most. left is how many
// that the plan moves could still be moved before; of those who would be moved
// otherwise by now, or cannot be any more, nothing is done, and the report says so.
func (e *Engine) MigrateBatch(ctx context.Context, o RunOptions, m *Migrating, size int) (rep Report, left int, err error) {
	if err := e.fresh(ctx, m); err != nil {
		return Report{}, 0, err
	}
	number := len(m.Done) + 1
	var sent []identity.Key
	o = o.migrate(Migration{}, m.Plan.ID, func(p plan.Plan) plan.Plan {
		var kept []plan.Decision
		left, sent = 0, nil
		for _, d := range p.Decisions {
			was := m.moves[d.Key]
			switch {
			case was == nil, m.tried[d.Key]:
				continue
			case len(d.Ops) == 0:
			case was.AccountID != d.AccountID || !slices.EqualFunc(was.Ops, d.Ops, plan.Op.Equal):
				p.Warnings = append(p.Warnings, fmt.Sprintf("%q (%s): the plan says %s; now it would be %s; left out", was.Username, d.Key, tell(*was), tell(d)))
				continue
			default:
				left++
				if size > 0 && len(sent) == size {
					continue
				}
				sent = append(sent, d.Key)
			}
			kept = append(kept, d)
		}
		p.Decisions = kept
		return p
	})
	o.options = migrationOptions{Part: true, Migration: m.Plan.ID, Batch: number}.String()
	rep, next, err := e.underLease(ctx, kindMigrate, o, nil)
	if rep.RunID != "" && next.token != 0 && rep.Plan.Effective() {
		m.Done = append(m.Done, Batch{number, state.Run{ID: rep.RunID, Kind: kindMigrate, Status: rep.Status}})
	}
	for _, f := range rep.Failures {
		m.tried[f.Key] = true
	}
	return rep, left, err
}
