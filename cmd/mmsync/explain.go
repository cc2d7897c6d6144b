package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain USER|EMAIL|DN|ID",
		Short: "say why a person is as he is, and what happens next",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			p := a.progress()
			d, err := a.open(ctx, true, p)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			x, err := d.Engine.Explain(ctx, args[0])
			p.clear()
			if err != nil {
				return err
			}
			a.warn(x.Report)
			if a.output == "json" {
				return a.printJSON(newExplainDocument(x))
			}
			_, err = fmt.Fprint(a.stdout, explainText(x))
			return err
		},
	}
}

type explainDocument struct {
	FormatVersion string            `json:"format_version"`
	Key           *identity.Key     `json:"key,omitempty"`
	Managed       bool              `json:"managed"`
	Wanted        *wantedDocument   `json:"wanted,omitempty"`
	Account       *identity.Account `json:"account,omitempty"`
	Link          *linkDocument     `json:"link,omitempty"`
	Decision      plan.Decision     `json:"decision"`
	Meaning       string            `json:"meaning"`
	Next          string            `json:"next,omitempty"`
}

type wantedDocument struct {
	Ref     string           `json:"ref"`
	Active  bool             `json:"active"`
	Profile identity.Profile `json:"profile"`
	Roles   identity.Roles   `json:"roles,omitempty"`
	Auth    identity.Auth    `json:"auth"`
	Fault   string           `json:"fault,omitempty"`
}

func newExplainDocument(x reconcile.Explanation) explainDocument {
	why := x.Decision.Reason.Explain()
	d := explainDocument{FormatVersion: plan.FormatVersion, Managed: !x.Unmanaged, Account: x.Account, Decision: x.Decision, Meaning: why.Sentence, Next: why.Next}
	if x.Unmanaged {
		d.Meaning = unmanagedMeaning
	} else {
		d.Key = &x.Key
	}
	if w := x.Desired; w != nil {
		d.Wanted = &wantedDocument{w.Ref, w.Active, w.Profile, w.Roles, w.Auth, w.Fault}
	}
	if x.Link != nil {
		l := newLinkDocument(*x.Link)
		d.Link = &l
	}
	return d
}

const unmanagedMeaning = "No source lists this person and mmsync does not own the account, so it never changes it."

func explainText(x reconcile.Explanation) string {
	var b strings.Builder
	name := x.Decision.Username
	if x.Unmanaged {
		fmt.Fprintf(&b, "%s is not managed\n\n", printable(name))
		fmt.Fprintf(&b, "Account   %s\n", describeAccount(x.Account))
		fmt.Fprintf(&b, "Decision  nothing: %s\n", unmanagedMeaning)
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n\n", printable(name))
	fmt.Fprintf(&b, "Key       %s\n", printable(x.Key.String()))
	explainSource(&b, x)
	if x.Link != nil {
		fmt.Fprintf(&b, "Link      to %s, %s on %s", x.Link.AccountID, origins[x.Link.Origin], when(x.Link.CreatedAt))
		if x.Link.DeactivatedAt != 0 {
			fmt.Fprintf(&b, "; mmsync switched it off on %s", when(time.UnixMilli(x.Link.DeactivatedAt)))
		}
		b.WriteByte('\n')
	} else {
		b.WriteString("Link      none: mmsync owns no account for this person\n")
	}
	fmt.Fprintf(&b, "Account   %s\n\n", describeAccount(x.Account))
	explainValues(&b, x)
	explainDecision(&b, x.Decision)
	return b.String()
}

var origins = map[identity.Origin]string{ //nolint:gochecknoglobals // read-only words
	identity.OriginCreated:  "created by mmsync",
	identity.OriginIntent:   "created by an interrupted run of mmsync and recognised",
	identity.OriginAuthData: "adopted by its login data",
	identity.OriginOperator: "linked by an operator",
}

func explainSource(b *strings.Builder, x reconcile.Explanation) {
	switch w := x.Desired; {
	case w == nil && x.Missing != nil && !x.Missing.Complete:
		fmt.Fprintf(b, "Source    not in the last read of %s, which proves nothing: %s\n", x.Key.Source, safe(x.Missing.Doubt))
	case w == nil && x.Missing != nil:
		fmt.Fprintf(b, "Source    missing from %s since %s, in %s\n", x.Key.Source, when(x.Missing.Since), reads(x.Missing.Reads))
		if x.Link != nil && x.Link.Ref != "" {
			fmt.Fprintf(b, "          last seen at %s\n", printable(x.Link.Ref))
		}
	case w == nil:
		fmt.Fprintf(b, "Source    not in %s\n", x.Key.Source)
	default:
		active := "active"
		if !w.Active {
			active = "has left (disabled)"
		}
		fmt.Fprintf(b, "Source    %s, %s\n", printable(w.Ref), active)
		if w.Fault != "" {
			fmt.Fprintf(b, "          cannot be used: %s\n", safe(w.Fault))
		}
	}
}

func reads(n int) string {
	if n == 1 {
		return "one complete read"
	}
	return fmt.Sprintf("%d complete reads", n)
}

func describeAccount(a *identity.Account) string {
	if a == nil {
		return "none"
	}
	s := a.ID + " " + printable(a.Username)
	if a.Active() {
		s += ", active"
	} else {
		s += ", switched off on " + when(time.UnixMilli(a.DeleteAt))
	}
	service := a.Auth.Service
	if service == "" {
		service = "password"
	}
	return s + ", logs in by " + service + ", " + a.Roles.String()
}

// login writes by what somebody logs in. Servers before 11.0 do not show the
// data.
func login(a identity.Auth) string {
	switch {
	case a.Service == "":
		return "password"
	case a.Data == "":
		return a.Service + ", its data not shown by the server"
	}
	return fmt.Sprintf("%s %q", a.Service, a.Data)
}

// explainValues shows each owned attribute: what is wanted and what is there.
func explainValues(b *strings.Builder, x reconcile.Explanation) {
	w := x.Desired
	if w == nil || w.Fault != "" {
		return
	}
	for _, at := range w.Owned.List() {
		want, is := fmt.Sprintf("%q", w.Profile.Value(at)), "-"
		mark := " "
		if x.Account != nil {
			is = fmt.Sprintf("%q", x.Account.Value(at))
			if is != want {
				mark = "~"
			}
		}
		fmt.Fprintf(b, "  %s %-11s wanted %s, is %s\n", mark, at, want, is)
	}
	if !w.Auth.IsZero() {
		is, mark := "-", " "
		if x.Account != nil {
			if is = login(x.Account.Auth); x.Account.Auth != w.Auth {
				mark = "~"
			}
		}
		fmt.Fprintf(b, "  %s %-11s wanted %s, is %s\n", mark, "login", login(w.Auth), is)
	}
	if len(w.Roles) > 0 {
		fmt.Fprintf(b, "    %-11s wanted beyond the usual: %s\n", "roles", w.Roles.String())
	}
	b.WriteByte('\n')
}

func explainDecision(b *strings.Builder, d plan.Decision) {
	why := d.Reason.Explain()
	what := string(d.Action)
	if d.Action == plan.NoOp {
		what = "nothing"
	}
	fmt.Fprintf(b, "Decision  %s: %s\n", what, why.Sentence)
	if d.Detail != "" {
		fmt.Fprintf(b, "          %s\n", safe(d.Detail))
	}
	for _, op := range d.Ops {
		for _, c := range op.Changes {
			fmt.Fprintf(b, "  %s %-11s %q -> %q\n", d.Sign(), c.Field, c.From, c.To)
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(b, "  # %-11s stays: %s\n", n.Field, safe(n.Detail))
	}
	switch {
	case why.Next != "":
		fmt.Fprintf(b, "Next      %s\n", why.Next)
	case len(d.Ops) > 0:
		b.WriteString("Next      mmsync sync carries it out\n")
	default:
		b.WriteString("Next      nothing\n")
	}
}
