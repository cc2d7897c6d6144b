package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// fewSpaces is up to how many teams and channels of one person are named in a line.
const fewSpaces = 4

// inSpaces sums up what a decision changes in teams and channels: by their names if
// they are few, else how many.
func inSpaces(ops []Op) string {
	var names []string
	at := map[string]int{}
	count := map[string]int{}
	for _, op := range ops {
		space, from, to, ok := op.Space()
		if !ok {
			continue
		}
		what := "team"
		if _, channel := identity.TeamOf(space); channel {
			what = "channel"
		}
		i, joined := at[space]
		switch {
		case to == "":
			names = append(names, "-"+space)
			count["-"+what]++
		case from == "":
			at[space] = len(names)
			names = append(names, "+"+space)
			count["+"+what]++
		case joined: // and made its administrator at once
			names[i] += " as admin"
		case to == admin:
			names = append(names, space+" as admin")
			count["admin"]++
		default:
			names = append(names, space+" as member")
			count["member"]++
		}
	}
	if len(names) <= fewSpaces {
		return strings.Join(names, ", ")
	}
	var parts []string
	for _, k := range []struct{ key, one, more string }{
		{"+team", "+%d team", "+%d teams"},
		{"+channel", "+%d channel", "+%d channels"},
		{"-team", "-%d team", "-%d teams"},
		{"-channel", "-%d channel", "-%d channels"},
		{"admin", "admin of %d", "admin of %d"},
		{"member", "no admin of %d any more", "no admin of %d any more"},
	} {
		switch n := count[k.key]; {
		case n == 1:
			parts = append(parts, fmt.Sprintf(k.one, n))
		case n > 1:
			parts = append(parts, fmt.Sprintf(k.more, n))
		}
	}
	return strings.Join(parts, ", ")
}

// alike joins the notes about teams and channels that have one reason.
func alike(notes []Note) []Note {
	var out []Note
	first, more := map[Reason]int{}, map[Reason]int{}
	for _, n := range notes {
		if _, ok := n.Field.Space(); !ok {
			out = append(out, n)
		} else if _, known := first[n.Reason]; known {
			more[n.Reason]++
		} else {
			first[n.Reason] = len(out)
			out = append(out, n)
		}
	}
	for r, n := range more {
		out[first[r]].Detail += fmt.Sprintf("; likewise %d more", n)
	}
	return out
}

// mostSpaces is how many teams and channels are summed up under a plan.
const mostSpaces = 20

// spaces says of each team and channel how many people a plan adds and takes out, and how
// many messages Mattermost posts for it: one in the channel for each addition, which no
// parameter of the call leaves out (app.AddChannelMember, as of 11.6).
func spaces(b *strings.Builder, p Plan) {
	type sums struct{ added, removed, raised, lowered int }
	of := map[string]*sums{}
	width, posts := 0, 0
	for i := range p.Decisions {
		for _, op := range p.Decisions[i].Ops {
			space, from, to, ok := op.Space()
			if !ok {
				continue
			}
			if of[space] == nil {
				of[space] = &sums{}
				width = max(width, len(space))
			}
			switch n := of[space]; {
			case to == "":
				n.removed++
			case from == "":
				n.added++
				if _, channel := identity.TeamOf(space); channel {
					posts++
				}
			case to == admin:
				n.raised++
			default:
				n.lowered++
			}
		}
	}
	if len(of) == 0 {
		return
	}
	b.WriteString("Teams and channels:\n")
	names := slices.Sorted(maps.Keys(of))
	for _, name := range names[:min(len(names), mostSpaces)] {
		n := of[name]
		var parts []string
		for _, x := range []struct {
			n    int
			what string
		}{{n.added, "added"}, {n.removed, "removed"}, {n.raised, "made admin"}, {n.lowered, "no admin any more"}} {
			if x.n > 0 {
				parts = append(parts, thousands(x.n)+" "+x.what)
			}
		}
		fmt.Fprintf(b, "  %s  %s\n", pad(clean(name), width), strings.Join(parts, ", "))
	}
	if more := len(names) - mostSpaces; more > 0 {
		fmt.Fprintf(b, "  … and %s more\n", thousands(more))
	}
	switch {
	case posts == 1:
		b.WriteString("For the addition to a channel Mattermost posts a message there.\n")
	case posts > 1:
		fmt.Fprintf(b, "For each of the %s additions to channels Mattermost posts a message there.\n", thousands(posts))
	}
	b.WriteByte('\n')
}
