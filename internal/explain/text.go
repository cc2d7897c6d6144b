package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// New begins with what an administrator asks first: what happens, why, and what is to
// be done. What that follows from comes after it.
func New(x Person) Sheet {
	if x.Recalled != nil {
		return Recalled(*x.Recalled)
	}
	var s sheet
	if x.Unmanaged {
		s.Title = Printable(x.Decision.Username) + ": not managed"
		explainUnmanaged(&s, x)
		return s.Sheet
	}
	s.Title = fmt.Sprintf("%s (%s): %s", Printable(x.Decision.Username), oneLine(x.Key.String()), Summary(x))
	explainDecision(&s, x)
	s.gap()
	explainSource(&s, x)
	explainMapping(&s, x)
	s.section("Account")
	s.line("%s", Account(x.Account))
	if m := x.Match; m != nil {
		s.section("Match")
		s.line("%s", Account(m))
		s.line("e-mail %q, name %q, made on %s UTC", m.Email, strings.TrimSpace(m.FirstName+" "+m.LastName), When(time.UnixMilli(m.CreateAt)))
	}
	explainLink(&s, x)
	explainValues(&s, x)
	explainHistory(&s, x)
	return s.Sheet
}

func explainDecision(s *sheet, x Person) {
	d := x.Decision
	s.section("Why")
	s.line("%s", d.Reason.Explain().Sentence)
	if d.Detail != "" && d.Action != plan.Create {
		s.line("%s", d.Detail)
	}
	s.section("What")
	for _, op := range d.Ops {
		for _, l := range opLines(op) {
			s.line("%s", l)
		}
	}
	for _, n := range d.Notes {
		if n.Detail != "" && n.Detail != d.Detail {
			s.line("not %s: %s", n.Field, n.Detail)
		}
	}
	for _, op := range d.Withheld {
		for _, l := range opLines(op) {
			s.line("held back: %s", l)
		}
	}
	if who := waitsFor(x); who != "" {
		s.section("Waits for")
		s.line("%s", who)
	}
	s.section("Next")
	for l := range strings.SplitSeq(Next(x), "\n") {
		s.line("%s", l)
	}
	s.section("See also")
	for _, k := range x.Others {
		s.line("mmsync explain %s, who fits as well", plan.Shell(k.String()))
	}
	for i := range x.Holders {
		s.line("mmsync explain %s, the account %s, which has something that is wanted here", x.Holders[i].ID, Printable(x.Holders[i].Username))
	}
}

// opLines say what one op does.
func opLines(op plan.Op) []string {
	switch op.Kind {
	case plan.LinkAccount:
		return []string{"the account becomes the person's; nothing is written for that"}
	case plan.UnlinkAccount:
		return []string{"the link is removed; nothing is written for that"}
	case plan.DeleteAccount:
		return []string{"the account is deleted for good, with all that the person wrote and uploaded"}
	case plan.RevokeSessions:
		return []string{"all sessions are ended"}
	case plan.Promote:
		return []string{"the guest becomes a full member"}
	case plan.Demote:
		return []string{"the account becomes a guest's, and keeps its teams and channels"}
	case plan.MailReset:
		return []string{"a link to set a password is mailed"}
	case plan.DisableToken:
		return []string{fmt.Sprintf("access token %q is disabled", op.Thing())}
	case plan.DisableBot:
		return []string{fmt.Sprintf("bot %q is disabled", op.Thing())}
	case plan.SetPicture, plan.NotePicture:
		return []string{"picture: " + op.PictureText()}
	case plan.SetActive:
		if to, _ := op.To(plan.FieldActive); to == "true" {
			return []string{"the account is switched on"}
		}
		if op.ByDelete {
			return []string{"the account is switched off, by DELETE, which erases nothing"}
		}
		return []string{"the account is switched off; nothing of it is deleted"}
	case plan.JoinTeam, plan.JoinChannel, plan.LeaveTeam, plan.LeaveChannel, plan.SetTeamRoles, plan.SetChannelRoles:
		return []string{inSpace(op)}
	default:
	}
	var out []string
	for _, c := range op.Changes {
		switch {
		case op.Kind == plan.CreateAccount:
			out = append(out, fmt.Sprintf("%s %q", c.Field, c.To))
		case c.From != c.To:
			out = append(out, fmt.Sprintf("%s %q -> %q", c.Field, c.From, c.To))
		}
	}
	return out
}

// inSpace says what an op about a team or channel does.
func inSpace(op plan.Op) string {
	name, from, to, _ := op.Space()
	what := "team"
	if _, channel := identity.TeamOf(name); channel {
		what = "channel"
	}
	switch {
	case to == "":
		return fmt.Sprintf("taken out of %s %q", what, name)
	case from == "":
		return fmt.Sprintf("added to %s %q", what, name)
	case to == "admin":
		return fmt.Sprintf("made administrator of %s %q", what, name)
	}
	return fmt.Sprintf("no administrator of %s %q any more, but a member", what, name)
}

func explainUnmanaged(s *sheet, x Person) {
	s.section("Why")
	s.line("%s", UnmanagedMeaning)
	for _, why := range x.Untouched {
		s.line("It %s.", why)
	}
	for _, d := range x.Near {
		s.line("%s wants something that it has: %s", d.Key.String(), strings.TrimSuffix(orMeaning(d), "."))
	}
	for _, k := range x.Past {
		s.line("It was linked to %s before.", k)
	}
	s.section("Next")
	for l := range strings.SplitSeq(Next(x), "\n") {
		s.line("%s", l)
	}
	s.gap()
	s.section("Account")
	s.line("%s", Account(x.Account))
	s.line("e-mail %q", x.Account.Email)
	explainHistory(s, x)
}

func orMeaning(d plan.Decision) string {
	if d.Detail != "" {
		return d.Detail
	}
	return d.Reason.Explain().Sentence
}

var origins = map[identity.Origin]string{ //nolint:gochecknoglobals // read-only words
	identity.OriginCreated:  "created by mmsync",
	identity.OriginIntent:   "created by an interrupted run of mmsync and recognised",
	identity.OriginAuthData: "adopted by its login data",
	identity.OriginOperator: "linked by an operator",
}

func explainLink(s *sheet, x Person) {
	s.section("Link")
	k := x.Link
	if k == nil {
		s.line("none: mmsync owns no account for this person")
		return
	}
	text := origins[k.Origin] + " on " + When(k.CreatedAt) + " UTC"
	if k.Part == identity.Contributor {
		text += "; another source owns the account, this one only adds to it"
	}
	s.line("%s", text)
	for i := range x.Voices {
		s.line("%s knows the account as well%s", x.Voices[i].Key, standing(&x.Voices[i]))
	}
	if x.Manager != "" {
		s.line("reports to %s", Printable(x.Manager))
	}
	if k.DeactivatedAt != 0 {
		s.line("mmsync switched it off on %s UTC", When(time.UnixMilli(k.DeactivatedAt)))
	}
	if k.Undone > 0 {
		s.line("what mmsync took was undone %d times in a row", k.Undone)
	}
}

// standing says what a contributor's word is worth.
func standing(v *plan.Voice) string {
	text := ""
	switch v.Standing {
	case plan.Gone:
		text = ", but does not have the person any more"
	case plan.Unknown:
		text = ", and was not read yet"
	case plan.Speaks:
	}
	if v.Stale != "" {
		text += "; this is what it said last: " + v.Stale
	}
	return text
}

// award says whose a value is, and why not another's.
func award(w *plan.Award) []string {
	out := []string{"nobody's now: " + w.Why}
	if w.Source != "" {
		out[0] = "from " + w.Source + ", which " + w.Why
	}
	for _, l := range w.Lost {
		text := "not from " + l.Source
		if l.Value != "" {
			text += fmt.Sprintf(" (%q)", l.Value)
		}
		out = append(out, text+", which "+l.Why)
	}
	return out
}

// Account describes an account in a line; nil is none.
func Account(a *identity.Account) string {
	if a == nil {
		return "none"
	}
	s := Printable(a.Username) + " (" + a.ID + "), "
	switch {
	case a.Bot:
		s += "a bot, "
	case a.Remote:
		s += "of another server, "
	case a.MagicLink:
		s += "a guest by e-mailed link, "
	}
	if a.Active() {
		s += "active"
	} else {
		s += "switched off on " + When(time.UnixMilli(a.DeleteAt)) + " UTC"
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

// explainValues shows each attribute that the source owns: what is there and, if it
// differs, what is wanted and what mmsync set last.
func explainValues(s *sheet, x Person) {
	w := x.Desired
	if w == nil || w.Fault != "" || x.Account == nil {
		return
	}
	var rows [][]string
	awards := map[identity.Attribute]*plan.Award{}
	shown := w.Owned
	for i := range x.Awards {
		awards[x.Awards[i].Attribute] = &x.Awards[i]
		shown = shown.With(x.Awards[i].Attribute)
	}
	for _, at := range shown.List() {
		want, is := w.Profile.Value(at), x.Account.Value(at)
		text := fmt.Sprintf("%q", is)
		mark := "="
		if is != want && w.Owned.Has(at) {
			mark = "~"
			text += fmt.Sprintf(", wanted %q", want)
			if k := x.Link; k != nil && k.Applied.Profile.Value(at) != want && k.Applied.Profile.Value(at) != "" {
				text += fmt.Sprintf(", last set to %q", k.Applied.Profile.Value(at))
			}
			if x.UserOwned.Has(at) {
				mark, text = "=", text+", but it belongs to the user"
			}
		}
		rows = append(rows, []string{mark + " " + string(at), text})
		if a := awards[at]; a != nil {
			for _, l := range award(a) {
				rows = append(rows, []string{"", l})
			}
		}
	}
	if !w.Auth.IsZero() {
		text, mark := login(x.Account.Auth), "="
		if x.Account.Auth != w.Auth && (x.Account.Auth.Service != w.Auth.Service || x.Account.Auth.Data != "") {
			mark, text = "~", text+", wanted "+login(w.Auth)
		}
		rows = append(rows, []string{mark + " login", text})
	}
	if len(w.Roles) > 0 {
		rows = append(rows, []string{"  roles", "the rules give " + w.Roles.String()})
	}
	s.section("Values")
	s.table(rows)
}

func explainHistory(s *sheet, x Person) {
	s.section("History")
	if len(x.History) == 0 {
		s.line("nothing was ever done")
		return
	}
	var rows [][]string
	for _, o := range x.History {
		what := strings.Join(opLines(o.Op), ", ")
		if o.Op.Kind == plan.CreateAccount {
			what = "the account is created"
		}
		status := string(o.Status)
		if o.Status == state.OpDone || o.Status == state.OpObserved {
			status = "done"
		}
		if o.Error != "" {
			status += " (" + o.Error + ")"
		}
		rows = append(rows, []string{When(later(o.ClosedAt, o.PlannedAt)), "run " + o.Ref.Run, status + ": " + what})
	}
	s.table(rows)
}

// later gives a, or b if a has not come.
func later(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
