package notice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// leftEvery is how often it is looked for what leavers left behind between two runs, and
// leftWithin how long that may take: everything of its kinds on the server is listed.
const (
	leftEvery  = time.Hour
	leftWithin = 2 * time.Minute
)

// LeftBehind is something that works on after whose it is was switched off.
type LeftBehind struct {
	Leaver
	Account string
	Kind    plan.LeftoverKind
}

// leftBehind asks what leavers left behind, after each run and from time to time. What
// cannot be learned is not known, and nothing else waits for it.
func (w *Watcher) leftBehind(ctx context.Context, s *Snapshot) {
	if w.o.Left == nil || !w.o.Limits.LeftBehind {
		return
	}
	last := ""
	if len(s.Runs) > 0 {
		last = s.Runs[0].ID
	}
	if w.leftAt.IsZero() || last != w.leftRun || time.Since(w.leftAt) >= leftEvery {
		asking, cancel := context.WithTimeout(ctx, leftWithin)
		w.left, w.leftKnown = w.o.Left(asking)
		cancel()
		w.leftAt, w.leftRun, w.leftLooked = time.Now(), last, s.Now
	}
	s.Left, s.LeftKnown, s.LeftLooked = w.left, w.leftKnown, w.leftLooked
}

// leftOvers tells of each source whose leavers left something that works on. Access
// tokens are not among it: they are dead with their accounts.
func leftOvers(s Snapshot, l Limits) []Notice {
	if !l.LeftBehind {
		return nil
	}
	things := map[string]map[plan.LeftoverKind]int{}
	owners, names := map[string]map[string]bool{}, map[string][]string{}
	for _, x := range s.Left {
		if things[x.Source] == nil {
			things[x.Source], owners[x.Source] = map[plan.LeftoverKind]int{}, map[string]bool{}
		}
		things[x.Source][x.Kind]++
		if !owners[x.Source][x.Account] {
			owners[x.Source][x.Account] = true
			names[x.Source] = append(names[x.Source], x.Username)
		}
	}
	var out []Notice
	for source, of := range things {
		n := Notice{
			Kind: LeftOver, Key: key(LeftOver, source), Severity: Warn, Count: len(owners[source]),
			Text: fmt.Sprintf("%s of source %s who left own things that work on without them: %s.", people(len(owners[source])), source, counted(of)),
			Next: "Give each to somebody who stays, or delete it; the list has the command for each.", Command: "mmsync leftovers",
		}
		list := names[source]
		slices.Sort(list)
		for _, name := range slices.Compact(list) {
			if name != "" && len(n.People) < mostPeople {
				n.People = append(n.People, name)
			}
		}
		out = append(out, n)
	}
	return out
}

// counted counts things by their kinds, in the order in which those are listed.
func counted(of map[plan.LeftoverKind]int) string {
	words := map[plan.LeftoverKind][2]string{
		plan.LeftBot: {"bot", "bots"}, plan.LeftIncoming: {"incoming webhook", "incoming webhooks"},
		plan.LeftOutgoing: {"outgoing webhook", "outgoing webhooks"}, plan.LeftCommand: {"slash command", "slash commands"},
		plan.LeftApp: {"OAuth app", "OAuth apps"}, plan.LeftToken: {"access token", "access tokens"},
	}
	text := ""
	for _, kind := range plan.LeftoverKinds() {
		n := of[kind]
		if n == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		word := words[kind][1]
		if n == 1 {
			word = words[kind][0]
		}
		text += fmt.Sprintf("%d %s", n, word)
	}
	return text
}
