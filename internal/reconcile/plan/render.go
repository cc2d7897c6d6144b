package plan

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Style is how a plan is printed.
type Style struct {
	// Color adds ANSI colours; the signs carry the meaning without them.
	Color bool
	// Lines limits how many decisions are listed; 0 lists all. The sums at the
	// end always count every decision.
	Lines int
	// Redact leaves attribute values out.
	Redact bool
}

// Sign is the mark of a decision in listings: + create, ~ update, - deactivate,
// ^ reactivate, @ role, > auth, = adopt, x forget, ! held, # locked.
func (d Decision) Sign() string {
	switch d.Action {
	case Create:
		return "+"
	case Deactivate:
		return "-"
	case Reactivate:
		return "^"
	case Adopt:
		return "="
	case Forget:
		return "x"
	case Hold:
		if d.Locked() {
			return "#"
		}
		return "!"
	case Update:
		switch {
		case len(d.Ops) > 0 && d.Ops[0].Kind == SetRoles:
			return "@"
		case len(d.Ops) > 0 && d.Ops[0].Kind == SetAuth:
			return ">"
		}
		return "~"
	}
	return " "
}

// Locked tells a Hold that nobody has to end: a value the server owns.
func (d Decision) Locked() bool { return d.Action == Hold && d.Reason.Explain().Ender == "" }

// Open tells a Hold that somebody has to end, in the source or as operator.
func (d Decision) Open() bool {
	e := d.Reason.Explain().Ender
	return d.Action == Hold && (e == EndSource || e == EndOperator)
}

// Render writes the plan as people read it.
func Render(w io.Writer, p Plan, s Style) error {
	var b strings.Builder
	for _, src := range p.Sources {
		fmt.Fprintf(&b, "Source  %s   %s\n", src.Name, describe(src))
	}
	if p.Target.URL != "" {
		fmt.Fprintf(&b, "Target  %s   %s\n", p.Target.URL, describeTarget(p.Target))
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if err := list(&b, p, s); err != nil {
		return err
	}
	fmt.Fprintf(&b, "Plan %s: %s\n", p.ShortDigest(), p.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func list(b *strings.Builder, p Plan, s Style) error {
	shown := 0
	width := 10
	for i := range p.Decisions {
		width = min(max(width, len(p.Decisions[i].Username)), 24)
	}
	for i := range p.Decisions {
		if s.Lines > 0 && shown == s.Lines {
			fmt.Fprintf(b, "  … and %s more; --limit-lines 0 shows all\n", thousands(len(p.Decisions)-shown))
			break
		}
		shown++
		RenderDecision(b, p.Decisions[i], s, width)
	}
	if shown > 0 {
		b.WriteByte('\n')
	}
	return nil
}

// RenderDecision writes the lines of one decision, the username padded to width.
func RenderDecision(b *strings.Builder, d Decision, s Style, width int) {
	lines := d.lines(s)
	name := visible(d.Username)
	for i, l := range lines {
		sign, who := d.Sign(), name
		if i > 0 {
			sign, who = l.sign, ""
		}
		pad := strings.Repeat(" ", max(0, width-len([]rune(who))))
		text := strings.TrimRight(fmt.Sprintf("  %s %s%s  %-10s %s", sign, who, pad, l.label, l.text), " ")
		fmt.Fprintln(b, paint(text, sign, s.Color))
	}
}

type line struct{ sign, label, text string }

func (d Decision) lines(s Style) []line {
	var out []line
	switch d.Action {
	case Hold:
		text := d.Reason.Explain().Sentence
		if d.Detail != "" {
			text = d.Detail
		}
		if d.Locked() {
			out = append(out, line{"#", "locked", text + "; not changed"})
			return append(out, d.noteLines(1)...)
		}
		if d.Held != "" {
			text = "would " + string(d.Held) + ": " + text
		}
		out = append(out, line{"!", "held", text})
		return append(out, d.noteLines(skipFirst(d))...)
	case Update:
	default:
		out = append(out, line{d.Sign(), string(d.Action), d.Detail})
	}
	for _, op := range d.Ops {
		out = append(out, op.lines(d.Action, s)...)
	}
	return append(out, d.noteLines(0)...)
}

// skipFirst drops the note that became the Hold itself.
func skipFirst(d Decision) int {
	if len(d.Notes) > 0 && d.Notes[0].Reason == d.Reason && d.Notes[0].Detail == d.Detail {
		return 1
	}
	return 0
}

func (d Decision) noteLines(from int) []line {
	var out []line
	for i := from; i < len(d.Notes); i++ {
		n := d.Notes[i]
		if n.Reason.Explain().Ender == "" {
			out = append(out, line{"#", "locked", n.Detail + "; not changed"})
			continue
		}
		out = append(out, line{"!", "held", string(n.Field) + ": " + n.Detail})
	}
	return out
}

func (o Op) lines(a Action, s Style) []line {
	var out []line
	switch o.Kind {
	case SetActive, LinkAccount, UnlinkAccount:
		return nil // the action's own line says it
	case RevokeSessions:
		return []line{{"-", "sessions", "revoked"}}
	}
	for _, c := range o.Changes {
		sign := "~"
		switch c.Field {
		case FieldRoles:
			sign = "@"
		case FieldAuthService, FieldAuthData:
			sign = ">"
		}
		text := quote(c.From) + " -> " + quote(c.To)
		switch {
		case s.Redact:
			text = "(value hidden)"
		case a == Create && o.Kind == CreateAccount:
			text = quote(c.To)
		case o.Parks:
			text += " (for the moment)"
		}
		out = append(out, line{sign, string(c.Field), text})
	}
	return out
}

// Summary counts the decisions: "31 create, 214 update, 2 held, 9 unchanged".
func (p Plan) Summary() string {
	var parts []string
	locked, waiting := 0, 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Locked() {
			locked++
		} else if d.Action == Hold && d.Reason.Explain().Ender == EndWait {
			waiting++
		}
	}
	for _, a := range Actions() {
		n := p.Count(a)
		word := string(a)
		switch a {
		case NoOp:
			continue
		case Hold:
			n, word = n-locked-waiting, "held"
		}
		if n > 0 {
			parts = append(parts, thousands(n)+" "+word)
		}
	}
	if waiting > 0 {
		parts = append(parts, thousands(waiting)+" waiting")
	}
	if locked > 0 {
		parts = append(parts, thousands(locked)+" locked")
	}
	if len(parts) == 0 {
		return "nothing to do, " + thousands(p.Unchanged) + " unchanged"
	}
	return strings.Join(parts, ", ") + ", " + thousands(p.Unchanged) + " unchanged"
}

func describe(s SourceSummary) string {
	text := thousands(s.Entries) + " entries"
	if s.Last > 0 {
		text += fmt.Sprintf(" (last %s, %+.1f %%)", thousands(s.Last), 100*float64(s.Entries-s.Last)/float64(s.Last))
	}
	if s.Faults > 0 {
		text += ", " + thousands(s.Faults) + " unusable"
	}
	if s.Took > 0 {
		text += "   " + s.Took.Round(100*time.Millisecond).String()
	}
	if !s.Complete {
		text += "\n        incomplete: " + s.Doubt + "\n        nobody missing from it is considered for deactivation"
	}
	return text
}

func describeTarget(t TargetSummary) string {
	text := t.Version + "   " + thousands(t.Active) + " linked and active"
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
	code := map[string]string{"+": "32", "-": "31", "x": "31", "~": "33", "@": "35", ">": "35", "^": "36", "=": "36", "!": "33;1", "#": "2"}[sign]
	if !color || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// visible makes a name safe to print without quoting what is plainly readable.
func visible(s string) string {
	q := quote(s)
	if q == `"`+s+`"` {
		return s
	}
	return q
}
