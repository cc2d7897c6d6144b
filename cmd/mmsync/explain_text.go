package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// sheet is a page of sections: a label in the first column, and lines beside it.
type sheet struct {
	b     strings.Builder
	label string
}

func (s *sheet) section(label string) { s.label = label }

// line writes one line of the section; it is made safe for a terminal.
func (s *sheet) line(format string, args ...any) {
	fmt.Fprintf(&s.b, "%-9s %s\n", s.label, strings.TrimRight(oneLine(fmt.Sprintf(format, args...)), " "))
	s.label = ""
}

// oneLine makes a sentence safe for a terminal and for the page.
func oneLine(text string) string { return strings.ReplaceAll(safe(text), "\n", `\n`) }

// table writes rows with aligned columns, the last of which may be ragged.
func (s *sheet) table(rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			if n := utf8.RuneCountInString(cell); n <= 40 {
				width[i] = max(width[i], n)
			}
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, cell := range r {
			if b.WriteString(cell); i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell))+2))
			}
		}
		s.line("%s", b.String())
	}
}

func (s *sheet) gap() { s.b.WriteByte('\n') }

// explainText begins with what an administrator asks first: what happens, why, and
// what is to be done. What that follows from comes after it.
func explainText(x explained) string {
	var s sheet
	if x.Unmanaged {
		explainUnmanaged(&s, x)
		return s.b.String()
	}
	fmt.Fprintf(&s.b, "%s (%s): %s\n\n", printable(x.Decision.Username), oneLine(x.Key.String()), summary(x))
	explainDecision(&s, x)
	s.gap()
	explainSource(&s, x)
	explainMapping(&s, x)
	s.section("Account")
	s.line("%s", describeAccount(x.Account))
	if m := x.Match; m != nil {
		s.section("Match")
		s.line("%s", describeAccount(m))
		s.line("e-mail %q, name %q, made on %s UTC", m.Email, strings.TrimSpace(m.FirstName+" "+m.LastName), when(time.UnixMilli(m.CreateAt)))
	}
	explainLink(&s, x)
	explainValues(&s, x)
	explainHistory(&s, x)
	return s.b.String()
}

// summary says in half a sentence what the next run does.
func summary(x explained) string {
	d := x.Decision
	switch {
	case x.Unmanaged:
		return "not managed"
	case d.Action == plan.Hold && d.Reported():
		return "was edited in Mattermost, and that stays"
	case d.Locked():
		return "differs from the source, and that stays"
	case d.Reason == plan.InGrace && d.Until != nil && d.Until.After(x.Now):
		return "is switched off after " + when(*d.Until) + " UTC, unless seen again"
	case d.Action == plan.Hold && d.Held != "":
		return held[d.Held] + ", but that is held back"
	case d.Action == plan.Hold:
		return "is held as he is"
	case d.Action == plan.NoOp && d.Reason == plan.AlreadyOff:
		return "has left, and the account is off"
	case d.Action == plan.NoOp && d.Reason == plan.NotActiveYet:
		return "is not active in the source, and has no account"
	case d.Action == plan.NoOp:
		return "nothing is to be done"
	}
	return coming[d.Action]
}

var coming = map[plan.Action]string{ //nolint:gochecknoglobals // read-only words
	plan.Create:     "gets an account with the next run",
	plan.Update:     "is changed by the next run",
	plan.Deactivate: "is switched off by the next run",
	plan.Reactivate: "is switched on again by the next run",
	plan.Adopt:      "is linked to an account that exists, by the next run",
	plan.Forget:     "is forgotten by the next run, for the account is gone",
}

var held = map[plan.Action]string{ //nolint:gochecknoglobals // read-only words
	plan.Create:     "would get an account",
	plan.Update:     "would be changed",
	plan.Deactivate: "would be switched off",
	plan.Reactivate: "would be switched on again",
	plan.Adopt:      "would be linked to an account that exists",
	plan.Forget:     "would be forgotten",
}

func explainDecision(s *sheet, x explained) {
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
	for l := range strings.SplitSeq(next(x), "\n") {
		s.line("%s", l)
	}
	s.section("See also")
	for _, k := range x.Others {
		s.line("mmsync explain %s, who fits as well", shell(k.String()))
	}
	for i := range x.Holders {
		s.line("mmsync explain %s, the account %s, which has something that is wanted here", x.Holders[i].ID, printable(x.Holders[i].Username))
	}
}

// opLines say what one op does.
func opLines(op plan.Op) []string {
	switch op.Kind {
	case plan.LinkAccount:
		return []string{"the account becomes the person's; nothing is written for that"}
	case plan.UnlinkAccount:
		return []string{"the link is removed; nothing is written for that"}
	case plan.RevokeSessions:
		return []string{"all sessions are ended"}
	case plan.SetActive:
		if to, _ := op.To(plan.FieldActive); to == "true" {
			return []string{"the account is switched on"}
		}
		if op.ByDelete {
			return []string{"the account is switched off, by DELETE, which erases nothing"}
		}
		return []string{"the account is switched off; nothing of it is deleted"}
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

// waitsFor names who has to act before anything goes on.
func waitsFor(x explained) string {
	ender := x.Decision.Reason.Explain().Ender
	if x.Decision.Action != plan.Hold {
		ender = ""
		for _, n := range x.Decision.Notes {
			if e := n.Reason.Explain().Ender; e != "" && ender != plan.EndOperator {
				ender = e
			}
		}
	}
	switch ender {
	case plan.EndSource:
		return "whoever keeps " + x.Key.Source
	case plan.EndOperator:
		return "an administrator"
	case plan.EndWait:
		if u := x.Decision.Until; u != nil && u.After(x.Now) {
			return "time, until " + when(*u) + " UTC"
		}
		return "a later run"
	}
	return ""
}

// next says what happens next, or what has to be done, with the command.
func next(x explained) string {
	d := x.Decision
	var out []string
	add := func(r plan.Reason) {
		if n := r.Explain().Next; n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if x.Unmanaged {
		return nextUnmanaged(x)
	}
	switch {
	case len(d.Ops) > 0 && d.Action == plan.Hold:
		out = append(out, "The next run does that much: mmsync sync")
	case len(d.Ops) > 0:
		out = append(out, "The next run carries it out: mmsync sync")
	}
	switch {
	case d.Reason == plan.MatchNeedsWord || d.Reason == plan.MatchPrivileged:
		out = append(out, "If it is the same person: mmsync link approve "+shell(x.Key.String()),
			"If not, change the value that both have, in "+x.Key.Source+" or in Mattermost.")
	case d.Reason == plan.InGrace && d.Until != nil && d.Until.After(x.Now):
		out = append(out, "The first run after that switches the account off, if "+x.Key.Source+" still says so when asked; if the person is seen again before, nothing happens.")
	case d.Action == plan.Hold:
		add(d.Reason)
	}
	for _, n := range d.Notes {
		add(n.Reason)
	}
	if k := x.Link; k != nil && !k.Recheck.IsZero() {
		out = append(out, "The next run makes sure that what was taken on "+when(k.Recheck)+" UTC lasts.")
	}
	if len(out) > 0 {
		return strings.Join(out, "\n")
	}
	switch {
	case d.Reported():
		return "Nothing, until the source's own value changes; it is set again then."
	case d.Reason == plan.LockedByLogin || d.Reason == plan.LockedByVerify:
		return "Nothing: the server does not let it be changed."
	case d.Locked():
		return "Nothing: it stays as it is."
	}
	return "Nothing, until the source or the account changes."
}

func nextUnmanaged(x explained) string {
	var out []string
	for _, d := range x.Near {
		if d.Reason == plan.MatchNeedsWord || d.Reason == plan.MatchPrivileged {
			out = append(out, "If it is "+safe(d.Key.String())+"'s: mmsync link approve "+shell(d.Key.String()))
		}
	}
	if len(out) > 0 {
		return strings.Join(out, "\n")
	}
	if slices.ContainsFunc(x.Untouched, func(s string) bool { return strings.HasPrefix(s, "is protected") }) {
		return "Nothing: it stays as it is, whatever a source wants."
	}
	return "Nothing. If a source is to manage it, the person has to be in a source with the same login, e-mail or username."
}

// shell quotes a word for a shell where it needs it, and for the terminal.
func shell(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%=", r))
	}) < 0 {
		return s
	}
	if safe(s) != s || strings.ContainsRune(s, '\n') {
		return "$'" + strings.NewReplacer("\n", `\n`, "'", `\'`).Replace(safe(strings.ReplaceAll(s, `\`, `\\`))) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func explainUnmanaged(s *sheet, x explained) {
	fmt.Fprintf(&s.b, "%s: not managed\n\n", printable(x.Decision.Username))
	s.section("Why")
	s.line("%s", unmanagedMeaning)
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
	for l := range strings.SplitSeq(next(x), "\n") {
		s.line("%s", l)
	}
	s.gap()
	s.section("Account")
	s.line("%s", describeAccount(x.Account))
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

func explainLink(s *sheet, x explained) {
	s.section("Link")
	k := x.Link
	if k == nil {
		s.line("none: mmsync owns no account for this person")
		return
	}
	text := origins[k.Origin] + " on " + when(k.CreatedAt) + " UTC"
	if k.Part == identity.Contributor {
		text += "; another source owns the account, this one only knows the person as well"
	}
	s.line("%s", text)
	if k.DeactivatedAt != 0 {
		s.line("mmsync switched it off on %s UTC", when(time.UnixMilli(k.DeactivatedAt)))
	}
	if k.Undone > 0 {
		s.line("what mmsync took was undone %d times in a row", k.Undone)
	}
}

func explainSource(s *sheet, x explained) {
	s.section("Source")
	switch w := x.Desired; {
	case w == nil && x.Missing != nil && !x.Missing.Complete:
		s.line("%s: not in its last read, which proves nothing: %s", x.Key.Source, x.Missing.Doubt)
	case w == nil && x.Missing != nil && !x.Missing.Since.IsZero():
		s.line("%s: missing since %s UTC, in %s", x.Key.Source, when(x.Missing.Since), reads(x.Missing.Reads))
	case w == nil:
		s.line("%s: not there", x.Key.Source)
	case w.Active:
		s.line("%s: active, %s", x.Key.Source, printable(w.Ref))
	default:
		s.line("%s: has left (disabled), %s", x.Key.Source, printable(w.Ref))
	}
	if w := x.Desired; w != nil && w.Fault != "" {
		s.line("cannot be used: %s", w.Fault)
	}
	switch {
	case x.unread != "":
		s.line("the entry could not be looked at: %s", x.unread)
	case x.entry == nil && x.Link != nil && x.Link.Ref != "" && x.Desired == nil:
		s.line("last seen at %s", printable(x.Link.Ref))
	case x.entry == nil:
	case x.Desired == nil:
		s.line("asked directly, it has %s", printable(x.entry.Ref))
		explainEntry(s, x)
	default:
		explainEntry(s, x)
	}
}

// explainEntry shows the attributes that the mapping reads.
func explainEntry(s *sheet, x explained) {
	var rows [][]string
	rest := 0
	for _, at := range x.entry.Attributes {
		if !at.Used && !x.everything {
			rest++
			continue
		}
		rows = append(rows, []string{"  " + safe(at.Name), values(at)})
	}
	for _, g := range x.entry.Groups {
		rows = append(rows, []string{"  in group", fmt.Sprintf("%q", g)})
	}
	s.table(rows)
	switch {
	case rest == 1:
		s.line("  and 1 attribute that the mapping does not read; --attributes shows it")
	case rest > 1:
		s.line("  and %d attributes that the mapping does not read; --attributes shows them", rest)
	}
}

func values(at daemon.Attribute) string {
	parts := make([]string, 0, len(at.Values)+1)
	for _, v := range at.Values {
		parts = append(parts, fmt.Sprintf("%q", v))
	}
	text := strings.Join(parts, ", ")
	switch {
	case at.Kept != "" && text == "":
		return "(" + at.Kept + ")"
	case at.Kept != "":
		return text + " (" + at.Kept + ")"
	case text == "":
		return "(empty)"
	}
	return text
}

func explainMapping(s *sheet, x explained) {
	if x.entry == nil {
		return
	}
	s.section("Mapping")
	var rows [][]string
	for _, st := range x.entry.Steps {
		value := fmt.Sprintf("%q", cut(st.Value))
		switch {
		case st.Fault != "":
			value = "fault: " + st.Fault
		case st.Value == "true" || st.Value == "false":
			value = map[string]string{"true": "yes", "false": "no"}[st.Value]
		}
		if st.Gives != "" {
			value += ", so " + st.Gives
		}
		rows = append(rows, []string{plainSetting(st.Setting), value, "<- " + strings.Join(strings.Fields(st.Expr), " ")})
	}
	s.table(rows)
}

// plainSetting leaves out of a setting's name what the source makes plain.
func plainSetting(s string) string {
	for _, section := range []string{"mapping.defaults.", "mapping.sources.", "sources["} {
		if strings.HasPrefix(s, section) {
			return s[strings.LastIndexByte(s, '.')+1:]
		}
	}
	return s
}

// cut leaves of a long value what one reads in a line.
func cut(v string) string {
	const most = 80
	if r := []rune(v); len(r) > most {
		return string(r[:most]) + "…"
	}
	return v
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
	s := printable(a.Username) + " (" + a.ID + "), "
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
		s += "switched off on " + when(time.UnixMilli(a.DeleteAt)) + " UTC"
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
func explainValues(s *sheet, x explained) {
	w := x.Desired
	if w == nil || w.Fault != "" || x.Account == nil {
		return
	}
	var rows [][]string
	for _, at := range w.Owned.List() {
		want, is := w.Profile.Value(at), x.Account.Value(at)
		text := fmt.Sprintf("%q", is)
		mark := "="
		if is != want {
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

func explainHistory(s *sheet, x explained) {
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
		rows = append(rows, []string{when(later(o.ClosedAt, o.PlannedAt)), "run " + o.Ref.Run, status + ": " + what})
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
