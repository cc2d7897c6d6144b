package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
)

// Style is how a plan is printed.
type Style struct {
	// Color adds ANSI colours; the signs carry the meaning without them.
	Color bool
	// Lines limits how many decisions are listed; 0 lists all. The sums at the
	// end always count every decision.
	Lines int
	// Redact leaves attribute values and usernames out; people are named by
	// account id, or by anchor before they have an account.
	Redact bool
}

// Sign is the mark of a decision in listings: + create or make, ~ update, - deactivate,
// ^ reactivate, @ role, > auth, = adopt, x forget, X delete for good, ! held, # locked.
func (d Decision) Sign() string {
	switch d.Action {
	case Create, Make:
		return "+"
	case Deactivate:
		return "-"
	case Reactivate:
		return "^"
	case Adopt:
		return "="
	case Forget:
		return "x"
	case Delete:
		return "X"
	case Hold:
		if d.Locked() {
			return "#"
		}
		return "!"
	case Update:
		switch {
		case len(d.Ops) > 0 && (d.Ops[0].Kind == SetRoles || d.Ops[0].Kind == Promote || d.Ops[0].Kind == Demote):
			return "@"
		case len(d.Ops) > 0 && d.Ops[0].MovesLogin():
			return ">"
		}
		return "~"
	case NoOp:
	}
	return " "
}

// Render writes the plan as people read it.
func Render(w io.Writer, p Plan, s Style) error {
	var b strings.Builder
	width := 0
	for _, src := range p.Sources {
		width = max(width, utf8.RuneCountInString(visible(src.Name)))
	}
	for _, src := range p.Sources {
		fmt.Fprintf(&b, "Source  %s   %s\n", pad(visible(src.Name), width), describe(src))
	}
	if p.Target.URL != "" {
		fmt.Fprintf(&b, "Target  %s   %s\n", clean(p.Target.URL), describeTarget(p.Target))
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	list(&b, p, s)
	spaces(&b, p)
	legend(&b, p)
	foot(&b, p, s)
	_, err := io.WriteString(w, b.String())
	return err
}

func list(b *strings.Builder, p Plan, s Style) {
	all := apart(p.Decisions)
	shown := all
	if s.Lines > 0 && len(shown) > s.Lines {
		shown = shown[:s.Lines]
	}
	width := 10
	for i := range shown {
		width = min(max(width, utf8.RuneCountInString(shown[i].who(s))), 24)
	}
	for i := range shown {
		RenderDecision(b, shown[i], s, width)
	}
	if more := len(all) - len(shown); more > 0 {
		fmt.Fprintf(b, "  … and %s more; --limit-lines 0 shows all\n", thousands(more))
	}
	if len(shown) > 0 {
		b.WriteByte('\n')
	}
}

// legend says once for each reason what ends the Holds that carry it.
func legend(b *strings.Builder, p Plan) {
	count := map[Reason]int{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Action == Hold {
			count[d.Reason]++
		}
		for _, n := range d.openNotes() {
			count[n.Reason]++
		}
	}
	width, found := 0, false
	for r := range count {
		if r.Explain().Next != "" {
			width, found = max(width, len(r)), true
		}
	}
	if !found {
		return
	}
	b.WriteString("What is held, and what ends it:\n")
	for _, e := range Explanations() {
		if n := count[e.Reason]; n > 0 && e.Next != "" {
			fmt.Fprintf(b, "  %s  %s: %s\n", pad(string(e.Reason), width), thousands(n), e.Next)
		}
	}
	b.WriteByte('\n')
}

// RenderDecision writes the lines of one decision, the name padded to width.
func RenderDecision(b *strings.Builder, d Decision, s Style, width int) {
	who := d.who(s)
	for i, l := range d.lines(s) {
		sign := l.sign
		if i == 0 {
			sign = d.Sign()
		} else {
			who = ""
		}
		text := clean(l.text)
		if s.Redact {
			text = hide(text)
		}
		text = strings.TrimRight(fmt.Sprintf("  %s %s  %-10s %s", sign, pad(who, width), l.label, text), " ")
		fmt.Fprintln(b, paint(text, sign, s.Color))
	}
}

// who names the person of a decision in its first column.
func (d Decision) who(s Style) string {
	switch {
	case !s.Redact:
		return visible(d.Username)
	case d.AccountID != "":
		return visible(d.AccountID)
	}
	return visible(d.Key.Anchor)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

type line struct{ sign, label, text string }

func (d Decision) lines(s Style) []line {
	var out []line
	switch d.Action {
	case Hold:
		l := d.holdLine()
		if s.Redact && d.Reason == EntryFault {
			l.text = "the source's entry cannot be used [" + string(d.Reason) + "]" // a fault names its entry
		}
		out = append(out, l)
	case Create:
		out = append(out, line{"+", string(Create), d.person()})
	case Update:
	default:
		out = append(out, line{d.Sign(), string(d.Action), d.Detail})
	}
	for _, op := range d.Ops {
		for _, l := range op.lines() {
			l.text += d.from(Field(l.label))
			out = append(out, l)
		}
	}
	if text := inSpaces(d.Ops); text != "" {
		out = append(out, line{"~", "teams", text})
	}
	if d.Reason == Drifted && len(out) > 0 {
		out[0].text += " (it was changed in Mattermost)"
	}
	for _, n := range alike(d.restNotes()) {
		if n.Reason.Explain().Ender == "" {
			out = append(out, n.Reason.lockedLine(n.Detail))
			continue
		}
		out = append(out, line{"!", "held", n.Detail + " [" + string(n.Reason) + "]"})
	}
	return out
}

func (d Decision) holdLine() line {
	text := d.Detail
	if text == "" {
		text = strings.TrimSuffix(d.Reason.Explain().Sentence, ".")
	}
	if d.Locked() {
		return d.Reason.lockedLine(text)
	}
	if d.Held != "" {
		text = "would " + string(d.Held) + ": " + text
	}
	return line{"!", "held", text + " [" + string(d.Reason) + "]"}
}

// lockedLine is about a value that stays and that nobody has to do anything about.
func (r Reason) lockedLine(text string) line {
	switch {
	case r == DriftReported:
		return line{"#", "edited", text}
	case r == NotDeleted:
		return line{"#", "kept", text}
	case r == LeftByThemselves:
		return line{"#", "stays out", text}
	case (Note{Reason: r}).reported():
		return line{"#", "left alone", text}
	}
	return line{"#", "locked", text + "; not changed"}
}

// person sums up who gets an account: e-mail, name, way to log in, source.
func (d Decision) person() string {
	var email, first, last, login string
	for _, op := range d.Ops {
		if op.Kind == CreateAccount {
			email, _ = op.To(Field(identity.Email))
			first, _ = op.To(Field(identity.FirstName))
			last, _ = op.To(Field(identity.LastName))
			login, _ = op.To(FieldAuthService)
		}
	}
	parts := []string{quote(email)}
	if name := strings.TrimSpace(first + " " + last); name != "" {
		parts = append(parts, quote(name))
	}
	if login != "" {
		parts = append(parts, "login by "+login)
	}
	return strings.Join(append(parts, d.Detail), ", ")
}

// restNotes are the notes less the one that is the headline of a Hold.
func (d Decision) restNotes() []Note {
	for i, n := range d.Notes {
		if d.Action == Hold && n.Reason == d.Reason && n.Detail == d.Detail {
			return slices.Concat(d.Notes[:i], d.Notes[i+1:])
		}
	}
	return d.Notes
}

// openNotes are the rest of the notes that somebody, or time, has to end.
func (d Decision) openNotes() []Note {
	return slices.DeleteFunc(slices.Clone(d.restNotes()), func(n Note) bool { return n.Reason.Explain().Ender == "" })
}

func describe(s SourceSummary) string {
	kind := ""
	if s.Changes {
		kind = "changed "
	}
	text := thousands(s.Entries) + " " + kind + "entries"
	if s.Entries == 1 {
		text = "1 " + kind + "entry"
	}
	switch {
	case s.Last > 0 && s.Last < tellingBase:
		text += " (last " + thousands(s.Last) + ")"
	case s.Last > 0:
		text += fmt.Sprintf(" (last %s, %+.1f %%)", thousands(s.Last), 100*float64(s.Entries-s.Last)/float64(s.Last))
	}
	if s.Faults > 0 {
		text += ", " + thousands(s.Faults) + " unusable"
	}
	if s.Took > 0 {
		text += fmt.Sprintf("   %.1f s", s.Took.Seconds())
	}
	switch {
	case s.Changes && s.Doubt != "":
		text += "\n        " + clean(s.Doubt)
	case s.Changes:
	case !s.Complete:
		text += "\n        incomplete: " + clean(s.Doubt) + "\n        nobody missing from it is considered for deactivation"
	}
	return text
}

func describeTarget(t TargetSummary) string {
	text := clean(t.Version) + "   " + thousands(t.Active) + " linked and active"
	if t.SeatsLeft >= 0 {
		text += ", " + thousands(t.SeatsLeft) + " seats free"
	}
	return text
}

// thousands groups digits by a thin form that stays ASCII: 12 377.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

func paint(s, sign string, color bool) string {
	if !color {
		return s
	}
	code := ""
	switch sign {
	case "+":
		code = "32"
	case "-", "x", "X":
		code = "31"
	case "~":
		code = "33"
	case "@", ">":
		code = "35"
	case "^", "=":
		code = "36"
	case "!":
		code = "33;1"
	case "#":
		code = "2"
	default:
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
