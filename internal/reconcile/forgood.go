package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Accounts of people who left long ago can be deleted for good: by a command of its own,
// never by a run. Its plan is kept, and naming it, with how many accounts it deletes, is
// the operator's word for exactly those. Each is decided anew when the plan is carried
// out, looked at once more before its call, and journaled before that.
//
//	plan ──► apply ──► what a cut-off apply did not come to: the same apply again
//	           │
//	           └─ the account gone and its link closed in one record; no answer: the next
//	              run looks whether the server still has it
//
// What protects the person is in plan/forgood.go, and holds whatever anybody approves.

// kindForGood is the kind of a run that deletes accounts for good.
const kindForGood = "delete_accounts"

// ForGood is what the configuration says about deleting accounts for good.
type ForGood struct {
	// Enabled lets the command do it at all.
	Enabled bool
	// After is how long an account must have been off.
	After time.Duration
	// Most is how many may be deleted within the window of the guards; no word lets
	// more through.
	Most int
}

// forGoodOptions are the Options of such a plan and of the runs that carry it out.
type forGoodOptions struct {
	Part bool `json:"part"` // like partOnly
	// Deletes is the run of the plan; planOfDeletions in its own.
	Deletes string `json:"deletes"`
}

const planOfDeletions = "plan"

func (f forGoodOptions) String() string {
	text, err := json.Marshal(f)
	if err != nil { // not of two words
		return partOnly
	}
	return string(text)
}

// ofDeletions tells a run, or a plan, that is about nothing but accounts to be deleted.
func ofDeletions(r *state.Run) bool {
	var f forGoodOptions
	return r.Options != "" && json.Unmarshal([]byte(r.Options), &f) == nil && f.Deletes != ""
}

// DeletionMismatchError is returned when a plan does not delete as many accounts as
// somebody said.
type DeletionMismatchError struct {
	Expected, Accounts int
	Plan               string
}

func (e *DeletionMismatchError) Error() string {
	accounts := fmt.Sprintf("%d accounts", e.Accounts)
	if e.Accounts == 1 {
		accounts = "1 account"
	}
	return fmt.Sprintf("plan %s deletes %s, not %d", e.Plan, accounts, e.Expected)
}

// Unwrap makes it a refusal.
func (e *DeletionMismatchError) Unwrap() error { return ErrRefused }

// PlanForGood shows whose accounts would be deleted for good, and of those who left long
// enough ago who keeps his and why; of people who are named, each. The plan is kept, so
// that it can be carried out. Mattermost is only read.
func (e *Engine) PlanForGood(ctx context.Context, o RunOptions, s Selection) (Report, error) {
	left, err := e.mayDelete(ctx)
	if err != nil {
		return Report{}, err
	}
	o = o.forGood(e.o.ForGood.After, s, nil, left)
	o.Keep, o.options = true, forGoodOptions{Part: true, Deletes: planOfDeletions}.String()
	return e.readOnly(ctx, o, nil)
}

// DeleteForGood deletes for good the accounts that a plan of PlanForGood deletes, and
// that are still as it saw them. expect is how many those are in the plan. What an
// earlier call with the same plan did is done; what it left is taken up.
func (e *Engine) DeleteForGood(ctx context.Context, o RunOptions, id string, expect int) (Report, error) {
	run, named, err := e.planForGood(ctx, id)
	if err != nil {
		return Report{}, err
	}
	if expect != len(named) {
		return Report{}, &DeletionMismatchError{expect, len(named), run.ID}
	}
	left, err := e.mayDelete(ctx)
	if err != nil {
		return Report{}, err
	}
	o = o.forGood(e.o.ForGood.After, Selection{}, named, left)
	o.options = forGoodOptions{Part: true, Deletes: run.ID}.String()
	rep, _, err := e.underLease(ctx, kindForGood, o, nil)
	return rep, err
}

// mayDelete gives how many accounts may still be deleted within the window, or refuses.
func (e *Engine) mayDelete(ctx context.Context) (left int, err error) {
	if !e.o.ForGood.Enabled {
		return 0, fmt.Errorf("%w: mmsync deletes no account, because lifecycle.permanent_delete.enabled is false; set it to true if accounts of people who left are to be deleted for good", ErrRefused)
	}
	switch deletes, err := e.o.Target.DeletesForGood(ctx); {
	case err != nil:
		return 0, fmt.Errorf("ask whether the server deletes accounts for good: %w", err)
	case !deletes:
		return 0, fmt.Errorf("%w: %w", ErrRefused, errDeletionOff)
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the store's clock: %w", err)
	}
	done, _, err := e.deletions(ctx, now.Add(-e.o.Limits.Window))
	return max(e.o.ForGood.Most-done, 0), err
}

// errDeletionOff says what the server has to be told first.
var errDeletionOff = errors.New("the server deletes no account for good, because ServiceSettings.EnableAPIUserDeletion is false there; set it to true in Mattermost's configuration, run this again, and set it back afterwards")

// errClockSet keeps a clock that was set from ending the time that an account is kept.
var errClockSet = fmt.Errorf("%w: the store's clock and the server's did not go on alike since the last run, so it is not known for how long accounts have been off; look at both, run mmsync sync once, then this again", ErrRefused)

// deletionOff tells the server's refusal to delete accounts for good at all.
func deletionOff(err error) bool {
	var off interface{ DeletionOff() bool }
	return errors.As(err, &off) && off.DeletionOff()
}

// saysDeleted tells from the history of whom an account was deleted for good, last of
// those who fit a query; "" if of nobody.
func (e *Engine) saysDeleted(ctx context.Context, query string) (string, error) {
	rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{Person: query})
	if err != nil {
		return "", fmt.Errorf("look for %q in the history: %w", query, err)
	}
	for _, row := range slices.Backward(rows) {
		body, err := audit.ReadBody(row)
		if err != nil || row.Kind != string(plan.DeleteAccount) || body.Status != string(state.OpDone) && body.Status != string(state.OpObserved) {
			continue // a row that nobody can read is for mmsync audit verify
		}
		return fmt.Sprintf("account %s of %s was deleted for good on %s, and a return makes a new one; mmsync history %s tells who asked for it and why",
			row.AccountID, row.Key, row.At.UTC().Format("2006-01-02 15:04 UTC"), row.Run), nil
	}
	return "", nil
}

// planForGood reads a plan that was kept, and whom it names; a refusal says why it
// cannot be carried out.
func (e *Engine) planForGood(ctx context.Context, id string) (state.Run, map[identity.Key]*plan.Decision, error) {
	const again = "; make a new one with mmsync delete-accounts plan, it has only those who are left"
	run, err := e.run(ctx, id)
	if err != nil {
		return run, nil, err
	}
	var o forGoodOptions
	if json.Unmarshal([]byte(run.Options), &o) != nil || o.Deletes != planOfDeletions {
		return run, nil, fmt.Errorf("%w: run %s is no plan of mmsync delete-accounts plan", ErrRefused, run.ID)
	}
	if err := e.freshPlan(ctx, run, again); err != nil {
		return run, nil, err
	}
	records, err := e.o.Store.Decisions(ctx, run.ID)
	if err != nil {
		return run, nil, fmt.Errorf("read the plan: %w", err)
	}
	saved, named := make([]plan.Decision, len(records)), map[identity.Key]*plan.Decision{}
	for i := range records {
		saved[i] = records[i].Decision
		if saved[i].Action == plan.Delete {
			named[saved[i].Key] = &saved[i]
		}
	}
	if (plan.Plan{Decisions: saved}).Digest() != run.Digest {
		return run, nil, &StaleError{Why: "the store does not have this plan as it was written (it was restored, cleaned up or changed)" + again}
	}
	return run, named, nil
}

// forGood narrows a run to the deletion of accounts, left at most, the longest off
// first; of those whom a plan names, if there is one.
func (o RunOptions) forGood(after time.Duration, s Selection, named map[identity.Key]*plan.Decision, left int) RunOptions {
	o.everybody = true
	o.Audit = true // who else wants what an account has, a walk over the server tells best
	o.goodbye = &plan.ForGood{After: after}
	o.policy = func(p plan.Policy) plan.Policy {
		p.ForGood = o.goodbye
		return p
	}
	o.people, o.among, o.selected = s.People, s.Sources, s
	o.pick = func(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error) {
		for _, src := range p.Sources {
			if src.Doubtful() {
				return p, fmt.Errorf("%w: source %s was not read whole (%s), so it is not known who is really gone, and nobody's account is deleted; see mmsync doctor, then run this again", ErrRefused, src.Name, src.Doubt)
			}
			if n := unknownEntries(src, of); n > 0 {
				return p, fmt.Errorf("%w: source %s has %s, so it is not known who is really gone, and nobody's account is deleted; mmsync plan names them: correct them, or leave them out by the source's filter, then run this again", ErrRefused, src.Name, unusable(n))
			}
		}
		c := chooser{s: s, people: people, named: named, left: left}
		kept := c.choose(p.Decisions, of)
		p.Decisions, p.Unchanged, p.Warnings = kept, 0, c.warnings
		return p, nil
	}
	return o
}

// unknownEntries counts the entries of a source of which nobody can tell whose they are:
// one of them may be a leaver's, under another id.
func unknownEntries(src plan.SourceSummary, of map[identity.Key]*plan.Observation) int {
	n := src.Faults
	for k, ob := range of {
		if want := ob.Desired; k.Source == src.Name && want != nil && want.Active && want.Fault != "" && ob.Linked != nil {
			n--
		}
	}
	return n
}

func unusable(n int) string {
	if n == 1 {
		return "1 entry that cannot be used"
	}
	return fmt.Sprintf("%d entries that cannot be used", n)
}

// chooser picks whose accounts are deleted.
type chooser struct {
	s        Selection
	people   map[identity.Key]bool
	named    map[identity.Key]*plan.Decision
	left     int
	warnings []string
}

func (c *chooser) choose(all []plan.Decision, of map[identity.Key]*plan.Observation) []plan.Decision {
	var goes, kept []plan.Decision
	for _, d := range all {
		ob := of[d.Key]
		if !c.means(d, ob) {
			continue
		}
		if was := c.named[d.Key]; was != nil && d.Action == plan.Delete && (was.AccountID != d.AccountID || !slices.EqualFunc(was.Ops, d.Ops, plan.Op.Equal)) {
			c.warnings = append(c.warnings, fmt.Sprintf("%q (%s) is left out, because the account was switched on or off since the plan was made", was.Username, d.Key))
			continue
		}
		if d.Action == plan.Delete {
			goes = append(goes, d)
		} else {
			kept = append(kept, d)
		}
	}
	slices.SortStableFunc(goes, func(a, b plan.Decision) int { return cmp.Compare(of[a.Key].Linked.DeleteAt, of[b.Key].Linked.DeleteAt) })
	if over := len(goes) - c.left; over > 0 {
		goes = goes[:c.left]
		c.warnings = append(c.warnings, fmt.Sprintf("%d more wait, because lifecycle.permanent_delete.max lets no more be deleted within guards.window", over))
	}
	slices.SortFunc(goes, func(a, b plan.Decision) int { return a.Key.Compare(b.Key) })
	if c.named == nil && len(goes) > 0 {
		c.warnings = append(c.warnings, "what these people wrote and uploaded on the server (posts, files, reactions, tokens) is deleted with their accounts, and the answers of others in threads that they began; bots of theirs stay without an owner; neither mmsync nor Mattermost brings any of it back")
	}
	for i := range goes {
		goes[i].Approval = "delete-accounts"
	}
	return append(goes, kept...)
}

// means tells whether a decision is shown, or carried out: in a plan whoever left long
// enough ago, and of people who are named each; else whom the plan names.
func (c *chooser) means(d plan.Decision, ob *plan.Observation) bool {
	switch {
	case ob == nil || ob.Link == nil:
		return false
	case c.named != nil:
		return c.named[d.Key] != nil
	case len(c.s.Sources) > 0 && !slices.Contains(c.s.Sources, d.Key.Source),
		len(c.s.People) > 0 && !c.people[d.Key]:
		return false
	}
	waits := d.Action == plan.Hold && d.Reason == plan.InGrace
	in := ob.Linked == nil || ob.Linked.Active() || ob.Desired != nil && ob.Desired.Active
	return len(c.s.People) > 0 || d.Action == plan.Delete || !waits && !in
}

// asksAgain tells whether a source is asked about somebody who is off already: whose
// account may be deleted for good.
func (g *gathered) asksAgain(ob *plan.Observation) bool {
	return g.forGood != nil && mine(ob) && !ob.Linked.Active() && ob.Link.DeactivatedAt == ob.Linked.DeleteAt &&
		g.now.Sub(time.UnixMilli(g.forGood.OffSince(ob.Linked))) >= g.forGood.After
}

// stillDeletable says why an account must not be deleted for good any more, by what it
// shows just before; "" if it may.
func (a *applier) stillDeletable(who *person, op plan.Op) string {
	switch now := who.account; {
	case who.link == nil || who.link.DeactivatedAt == 0 || who.link.DeactivatedAt != now.DeleteAt,
		a.forGood == nil || strconv.FormatInt(a.forGood.OffSince(now), 10) != op.Changes[0].From:
		return "the account was switched on or off since the plan was made"
	case now.Bot || now.Remote || now.MagicLink || now.Roles.Privileged():
		return "the account was given more rights since the plan was made"
	}
	return ""
}

// backAgain asks somebody's source once more, just before his account is deleted, and
// says why it must not be; "" if the person is still gone.
func (e *Engine) backAgain(ctx context.Context, k identity.Key) (string, error) {
	at := slices.IndexFunc(e.o.Sources, func(s Source) bool { return s.Name() == k.Source })
	if at < 0 {
		return "source " + k.Source + " is not configured any more", nil
	}
	if _, told := e.pushed()[k.Source]; told { // it knows whom a client deleted, and nothing of others
		now, err := e.wantedNow(ctx, []identity.Key{k})
		if id := now[k]; err == nil && id != nil && id.Deleted.IsZero() {
			return k.Source + " has the person again", nil
		}
		return "", err
	}
	answers, err := e.o.Sources[at].Confirm(ctx, []string{k.Anchor})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return fmt.Sprintf("%s could not be asked once more whether the person is gone: %v", k.Source, err), nil
	case answers[k.Anchor] != identity.PresenceGone:
		return k.Source + " does not say any more that the person is gone", nil
	}
	return "", nil
}
