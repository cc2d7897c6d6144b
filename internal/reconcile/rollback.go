package reconcile

import (
	"context"
	"fmt"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Rollback says which logins are given back, and how.
type Rollback struct {
	// Run is the run that moved them.
	Run string
	// ToPassword takes those back, too, whose login was a password: nobody has that
	// any more, so that the account gets one that nobody knows, and the person is
	// mailed a link to set a new one. Without it they keep the login that they have.
	ToPassword bool
	// Expect is how many logins there must be; negative is any number. It is the
	// operator's word, by which they pass the guards.
	Expect int
}

// LoginMismatchError is returned when not as many logins would be given back as
// somebody said.
type LoginMismatchError struct{ Expected, Logins int }

func (e *LoginMismatchError) Error() string {
	return fmt.Sprintf("%d logins would be given back, not %d", e.Logins, e.Expected)
}

// Unwrap makes it a refusal.
func (e *LoginMismatchError) Unwrap() error { return ErrRefused }

// RollBack gives back the logins that a run moved, as Revert takes back a run: whoever
// was moved is held from then on, so that nothing moves him again.
func (e *Engine) RollBack(ctx context.Context, o RunOptions, b Rollback) (Report, error) {
	if err := e.moved(ctx, b.Run); err != nil {
		return Report{}, err
	}
	o.rollback = &b
	return e.Revert(ctx, o, b.Run)
}

// PlanRollback shows what RollBack would do, and writes nothing but its own run row.
func (e *Engine) PlanRollback(ctx context.Context, o RunOptions, b Rollback) (Report, error) {
	if err := e.moved(ctx, b.Run); err != nil {
		return Report{}, err
	}
	b.Expect = -1
	o.rollback = &b
	return e.PlanRevert(ctx, o, b.Run)
}

// moved refuses a run that is no batch of a migration: what else it did is not for a
// rollback of logins to take back.
func (e *Engine) moved(ctx context.Context, id string) error {
	run, err := e.run(ctx, id)
	if err == nil && run.Kind != kindMigrate {
		err = fmt.Errorf("%w: run %s (%s) is no batch of a migration; mmsync sync --revert takes back other runs", ErrRefused, run.ID, run.Kind)
	}
	return err
}

// agreed lets the logins of a rollback pass the guards, if they are as many as the
// operator said.
func (b *Rollback) agreed(p plan.Plan, run state.Run) error {
	var logins []int
	for i := range p.Decisions {
		for _, op := range p.Decisions[i].Ops {
			if op.MovesLogin() {
				logins = append(logins, i)
			}
		}
	}
	if b.Expect < 0 { // a look shows what it would be
		b.Expect = len(logins)
	}
	if b.Expect != len(logins) {
		return &LoginMismatchError{b.Expect, len(logins)}
	}
	for _, i := range logins {
		p.Decisions[i].Approval = "rollback of " + run.ID
	}
	return nil
}
