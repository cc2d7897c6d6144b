package plan

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Summary counts the decisions: "31 create, 214 update, 2 held, 9 unchanged".
func (p Plan) Summary() string {
	var parts []string
	locked, waiting, edited, alone, kept := 0, 0, 0, 0, 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Reported() && d.Reason == DriftReported {
			edited++
		} else if d.Reported() {
			alone++
		} else if d.Action == Hold && d.Reason == NotDeleted {
			kept++
		} else if d.Locked() {
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
			n, word = n-locked-waiting-edited-alone-kept, "held"
		default:
		}
		if n > 0 {
			parts = append(parts, thousands(n)+" "+word)
		}
	}
	if waiting > 0 {
		parts = append(parts, thousands(waiting)+" waiting")
	}
	if kept > 0 {
		parts = append(parts, thousands(kept)+" kept")
	}
	if locked > 0 {
		parts = append(parts, thousands(locked)+" locked")
	}
	if edited > 0 {
		parts = append(parts, thousands(edited)+" edited in Mattermost")
	}
	if alone > 0 {
		parts = append(parts, thousands(alone)+" left alone")
	}
	if len(parts) == 0 {
		return "nothing to do, " + thousands(p.Unchanged) + " unchanged"
	}
	return strings.Join(parts, ", ") + ", " + thousands(p.Unchanged) + " unchanged"
}

// roughly says how long something takes, as exactly as one can tell beforehand.
func roughly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return "a few seconds"
	case d < 55*time.Second:
		return "about " + strconv.Itoa(int((d+5*time.Second)/(10*time.Second))*10) + " s"
	case d < 55*time.Minute:
		return "about " + strconv.Itoa(max(1, int(d.Round(time.Minute)/time.Minute))) + " min"
	}
	d = d.Round(10 * time.Minute)
	text := "about " + strconv.Itoa(int(d/time.Hour)) + " h"
	if m := int(d % time.Hour / time.Minute); m > 0 {
		text += " " + strconv.Itoa(m) + " min"
	}
	return text
}

// foot is the end of a printed plan: the warnings, and the line that sums it up.
func foot(b *strings.Builder, p Plan, s Style) {
	said := p.Warnings
	if bots := p.botsLine(s); bots != "" {
		said = slices.Concat(said, []string{bots})
	}
	for _, w := range said {
		b.WriteString("Warning: " + clean(w) + ".\n")
	}
	if len(said) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString("Plan " + p.ShortDigest() + ": " + p.Summary())
	if p.Target.Estimate > 0 {
		b.WriteString("; takes " + roughly(p.Target.Estimate))
	}
	b.WriteByte('\n')
	outlook(b, p)
}
