package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// route is one way that logins go.
type route struct {
	From   string `json:"from"`
	To     string `json:"to"`
	People int    `json:"people"`
	// Rekeyed are those of them who keep the service and get other login data.
	Rekeyed bool `json:"rekeyed,omitempty"`
}

// stay counts those who are not moved for one reason.
type stay struct {
	Reason plan.Reason `json:"reason"`
	People int         `json:"people"`
}

// migrationDocument is the JSON form of a migration's plan and of a batch.
type migrationDocument struct {
	runDocument
	Moves   []route `json:"moves"`
	Stays   []stay  `json:"stays"`
	Batches int     `json:"batches,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	Left    int     `json:"left,omitempty"`
}

// migrationRuns is the JSON form of what apply and resume did.
type migrationRuns struct {
	FormatVersion string              `json:"format_version"`
	Batches       []migrationDocument `json:"batches_done"`
}

func newMigrationDocument(rep reconcile.Report, size int) migrationDocument {
	d := migrationDocument{runDocument: newRunDocument(rep), Moves: []route{}, Stays: []stay{}}
	ways, holds, moving := map[route]int{}, map[plan.Reason]int{}, 0
	for i := range rep.Plan.Decisions {
		switch x := &rep.Plan.Decisions[i]; {
		case x.Action == plan.Hold:
			holds[x.Reason]++
		case len(x.Ops) > 0:
			ways[routeOf(x.Ops[0])]++
			moving++
		}
	}
	for r, n := range ways {
		r.People = n
		d.Moves = append(d.Moves, r)
	}
	slices.SortFunc(d.Moves, func(a, b route) int { return strings.Compare(a.From+" "+a.To, b.From+" "+b.To) })
	for _, e := range plan.Explanations() {
		if n := holds[e.Reason]; n > 0 {
			d.Stays = append(d.Stays, stay{e.Reason, n})
		}
	}
	d.Batches = (moving + size - 1) / size
	return d
}

func routeOf(op plan.Op) route {
	r := route{}
	for _, c := range op.Changes {
		if c.Field == plan.FieldAuthService {
			r.From, r.To = c.From, c.To
		}
	}
	r.Rekeyed = r.From == r.To
	if r.From == "" {
		r.From = reconcile.ByPassword
	}
	if r.To == "" {
		r.To = reconcile.ByPassword
	}
	return r
}

// printMigration prints the plan, and before it what it comes to.
func (a *app) printMigration(rep reconcile.Report, f planFlags, size int, d *daemon.Daemon) error {
	doc := newMigrationDocument(rep, size)
	a.warn(rep)
	if a.output == "json" {
		return a.printJSON(doc)
	}
	if len(d.Config.Auth.Policy) == 0 {
		a.say("auth.policy has no rule, so that nobody is wanted to log in otherwise")
	}
	if err := a.render(rep, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	moving := rep.Plan.Count(plan.Update)
	rows := [][]string{}
	for _, r := range doc.Moves {
		what := r.From + " -> " + r.To
		if r.Rekeyed {
			what = r.To + ", other login data"
		}
		rows = append(rows, []string{"  moves", what, fmt.Sprint(r.People)})
	}
	for _, s := range doc.Stays {
		rows = append(rows, []string{"  stays", string(s.Reason), fmt.Sprint(s.People)})
	}
	if err := a.table(nil, rows); err != nil {
		return err
	}
	if moving == 0 || a.quiet {
		return nil
	}
	if d.Config.Auth.MigrateExisting.RevokeSessions {
		fmt.Fprintln(a.stdout, "Whoever is moved is logged out, and the old password of an account is gone for good.")
	} else {
		fmt.Fprintln(a.stdout, "Whoever is moved stays logged in, for auth.migrate_existing.revoke_sessions is false; the old password of an account is gone for good.")
	}
	flags := ""
	if size != defaultBatch {
		flags = fmt.Sprintf(" --batch-size %d", size)
	}
	batches := "1 batch"
	if doc.Batches != 1 {
		batches = fmt.Sprintf("%d batches", doc.Batches)
	}
	fmt.Fprintf(a.stdout, "To carry it out, in %s: mmsync migrate-auth apply %s%s --reason …\n", batches, rep.RunID, flags)
	return nil
}
