package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) explainCmd() *cobra.Command {
	var everything bool
	cmd := &cobra.Command{
		Use:   "explain USER|EMAIL|DN|ID",
		Short: "say why a person is as he is, and what happens next",
		Long: "Say why a person is as he is, and what happens next: the entry in the source, what the mapping makes of\n" +
			"it, the account, the link, what the next run does and why, and what was done last. Accounts that mmsync\n" +
			"does not manage are explained too. Nothing is written; passwords and pictures are not shown.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			p := a.progress()
			d, err := a.open(ctx, true, p)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			x, err := d.Engine.Explain(ctx, args[0])
			if err != nil {
				p.clear()
				return err
			}
			e := explain.Person{Explanation: x, Everything: everything}
			d.Look(ctx, &e)
			p.clear()
			a.warn(x.Report)
			if a.output == "json" {
				return a.printJSON(newExplainDocument(e))
			}
			_, err = fmt.Fprint(a.stdout, explain.New(e).String())
			return err
		},
	}
	cmd.Flags().BoolVar(&everything, "attributes", false, "show every attribute of the entry, not only those that the mapping reads")
	return cmd
}

type explainDocument struct {
	FormatVersion string            `json:"format_version"`
	Key           *identity.Key     `json:"key,omitempty"`
	Managed       bool              `json:"managed"`
	Entry         *entryDocument    `json:"entry,omitempty"`
	Wanted        *wantedDocument   `json:"wanted,omitempty"`
	Account       *identity.Account `json:"account,omitempty"`
	Match         *identity.Account `json:"match,omitempty"`
	Link          *linkDocument     `json:"link,omitempty"`
	Applied       *identity.Applied `json:"applied,omitempty"`
	// Manager is the username, or else the id, of the account of whom the person reports to.
	Manager  string        `json:"manager,omitempty"`
	Decision plan.Decision `json:"decision"`
	Summary  string        `json:"summary"`
	Meaning  string        `json:"meaning"`
	Next     string        `json:"next,omitempty"`
	// Untouched says why an account that is not managed is left alone, Near who in
	// the sources looks like its owner.
	Untouched []string        `json:"untouched,omitempty"`
	Near      []plan.Decision `json:"near,omitempty"`
	Past      []identity.Key  `json:"past,omitempty"`
	Others    []identity.Key  `json:"others,omitempty"`
	// Awards say whose the values are that several sources have a say in.
	Awards []plan.Award `json:"awards,omitempty"`
	// Holders are the other accounts that have something the person is to have.
	Holders []identity.Account `json:"holders,omitempty"`
	History []historyOp        `json:"history"`
}

type entryDocument struct {
	Ref        string              `json:"ref"`
	Attributes []explain.Attribute `json:"attributes"`
	Groups     []string            `json:"groups,omitempty"`
	Mapping    []mappingStep       `json:"mapping"`
}

type mappingStep struct {
	Setting string `json:"setting"`
	Expr    string `json:"expression"`
	Value   string `json:"value"`
	Fault   string `json:"fault,omitempty"`
	Gives   string `json:"gives,omitempty"`
}

type wantedDocument struct {
	Ref     string           `json:"ref"`
	Active  bool             `json:"active"`
	Profile identity.Profile `json:"profile"`
	Roles   identity.Roles   `json:"roles,omitempty"`
	Auth    identity.Auth    `json:"auth"`
	Fault   string           `json:"fault,omitempty"`
}

type historyOp struct {
	Run     string         `json:"run"`
	At      *time.Time     `json:"at,omitempty"`
	Kind    plan.OpKind    `json:"kind"`
	Reason  plan.Reason    `json:"reason"`
	Changes []plan.Change  `json:"changes,omitempty"`
	Status  state.OpStatus `json:"status"`
	Error   string         `json:"error,omitempty"`
}

func newExplainDocument(x explain.Person) explainDocument {
	d := explainDocument{
		FormatVersion: plan.FormatVersion, Managed: !x.Unmanaged, Account: x.Account, Match: x.Match, Decision: x.Decision, Summary: explain.Summary(x),
		Meaning: x.Decision.Reason.Explain().Sentence, Next: explain.Next(x), Untouched: x.Untouched, Near: x.Near, Past: x.Past, Others: x.Others, Holders: x.Holders, Awards: x.Awards, Manager: x.Manager,
		History: []historyOp{},
	}
	if x.Unmanaged {
		d.Meaning = explain.UnmanagedMeaning
	} else {
		d.Key = &x.Key
	}
	if t := x.Entry; t != nil {
		e := entryDocument{Ref: t.Ref, Groups: t.Groups, Attributes: []explain.Attribute{}, Mapping: []mappingStep{}}
		for _, at := range t.Attributes {
			if at.Used || x.Everything {
				e.Attributes = append(e.Attributes, at)
			}
		}
		for _, s := range t.Steps {
			e.Mapping = append(e.Mapping, mappingStep{s.Setting, s.Expr, s.Value, s.Fault, s.Gives})
		}
		d.Entry = &e
	}
	if w := x.Desired; w != nil {
		d.Wanted = &wantedDocument{w.Ref, w.Active, w.Profile, w.Roles, w.Auth, w.Fault}
	}
	if x.Link != nil {
		l := newLinkDocument(*x.Link)
		d.Link, d.Applied = &l, &x.Link.Applied
	}
	for _, o := range x.History {
		d.History = append(d.History, historyOp{o.Ref.Run, rfc3339(o.ClosedAt), o.Op.Kind, o.Reason, o.Op.Changes, o.Status, o.Error})
	}
	return d
}
