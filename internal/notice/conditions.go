package notice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Conditions gives what lasts at the moment of a Snapshot, by Key. The same Snapshot
// gives the same.
func Conditions(s Snapshot, l Limits) []Notice {
	out := slices.Concat(guards(s), approvals(s), leavers(s, l), failing(s, l), sources(s, l), silent(s, l), ends(s, l), server(s, l), undone(s), leftOvers(s, l), departures(s, l), history(s))
	for i := range out {
		out[i].At = s.Now
	}
	slices.SortFunc(out, func(a, b Notice) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// unknown tells whether a Snapshot cannot say if what a Key is about still lasts.
func (s Snapshot) unknown(key string) bool {
	asked := []string{string(TokenDead), string(SeatsGone), string(Expiring) + "/licence"}
	switch {
	case strings.HasPrefix(key, string(LeftOver)+"/"):
		return !s.LeftKnown
	case !slices.Contains(asked, key):
		return false
	case s.Server == nil:
		return true
	default:
		return s.Server.TokenDead && key != string(TokenDead)
	}
}

func guards(s Snapshot) []Notice {
	type sum struct {
		people, off int
		runs        []string
	}
	of := map[string]*sum{}
	for _, h := range s.Held {
		x := of[h.Key.Source]
		if x == nil {
			x = &sum{}
			of[h.Key.Source] = x
		}
		x.people++
		if slices.ContainsFunc(h.Ops, switchesOff) {
			x.off++
		}
		x.runs = append(x.runs, h.Run)
	}
	var out []Notice
	for source, x := range of {
		slices.Sort(x.runs)
		x.runs = slices.Compact(x.runs)
		n := Notice{
			Kind: GuardTripped, Key: key(GuardTripped, source), Severity: Alarm, Count: x.people,
			Text: fmt.Sprintf("A guard holds back changes of %s of source %s, %d of whom would be switched off.", people(x.people), source, x.off),
			Next: "Read what is held; if it is right, approve exactly that.",
		}
		if n.Command = "mmsync plan"; len(x.runs) == 1 && x.runs[0] != "" {
			n.Command = plan.Command("approve", x.runs[0])
			n.Next = "Read it with mmsync history " + x.runs[0] + "; if it is right, approve exactly that."
		}
		out = append(out, n)
	}
	if len(out) > 0 || len(s.Runs) == 0 || s.Runs[0].Status != state.RunWithheld {
		return out
	}
	// A source that shrank holds nobody in particular: its read is not believed.
	return []Notice{{
		Kind: GuardTripped, Key: key(GuardTripped), Severity: Alarm, Text: "A guard tripped in the last run, and what it is about was not written.",
		Next: "Read which guard it was and what it found.", Command: "mmsync history " + plan.Shell(s.Runs[0].ID),
	}}
}

func switchesOff(op plan.Op) bool {
	to, ok := op.To(plan.FieldActive)
	return ok && to == "false"
}

func approvals(s Snapshot) []Notice {
	var out []Notice
	for reason, n := range s.Asked {
		if n == 0 {
			continue
		}
		x := Notice{Kind: ApprovalNeeded, Key: key(ApprovalNeeded, string(reason)), Severity: Warn, Count: n}
		switch reason {
		case plan.MatchNeedsWord, plan.MatchPrivileged:
			x.Text = "Accounts that mmsync does not own look like those of " + people(n) + "."
			if reason == plan.MatchPrivileged {
				x.Text = "Accounts with more rights than a user, which mmsync does not own, look like those of " + people(n) + "."
			}
			x.Next, x.Command = "Say of each whether it is the same person; the list has the command for either answer.", "mmsync link conflicts"
		default:
			x.Text = "Changes of who is an administrator wait for somebody's word, about " + people(n) + "."
			x.Next, x.Command = "Read them, and approve the run that it names.", "mmsync plan"
			if s.Run != "" {
				x.Next, x.Command = "Read them with mmsync history "+s.Run+"; if they are right, approve them.", plan.Command("approve", s.Run)
			}
		}
		out = append(out, x)
	}
	return out
}

func leavers(s Snapshot, l Limits) []Notice {
	if l.LeaverHeldAfter == 0 {
		return nil
	}
	of := map[string][]string{}
	for _, x := range s.Leavers {
		of[x.Source] = append(of[x.Source], x.Username)
	}
	var out []Notice
	for source, names := range of {
		n := Notice{
			Kind: LeaverHeld, Key: key(LeaverHeld, source), Severity: Alarm, Count: len(names),
			Text: fmt.Sprintf("%s of source %s who left can still log in; what would switch them off is held back for %s or longer.", people(len(names)), source, span(l.LeaverHeldAfter)),
			Next: "See what holds each of them; mmsync deactivate PERSON --now --reason … switches one off whatever that is.", Command: "mmsync plan",
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if name != "" && len(n.People) < mostPeople {
				n.People = append(n.People, name)
			}
		}
		out = append(out, n)
	}
	return out
}

// broke tells a run that did not come to its end: it failed, was cut off, or whoever made
// it died.
func broke(r *state.Run) bool { return r.Status == state.RunFailed || r.Status == state.RunInterrupted }

// failing looks at each schedule by itself: one that fails every night is not well because
// another goes well every hour. Runs that people start are one row.
func failing(s Snapshot, l Limits) []Notice {
	if l.RunsFailed == 0 {
		return nil
	}
	of := map[string][]state.Run{}
	for _, r := range s.Runs {
		by := ""
		if strings.HasPrefix(r.RequestedBy, "schedule ") {
			by = r.RequestedBy
		}
		of[by] = append(of[by], r)
	}
	var out []Notice
	for by, runs := range of {
		n := slices.IndexFunc(runs, func(r state.Run) bool { return !broke(&r) })
		if n < 0 {
			n = len(runs)
		}
		if n < l.RunsFailed {
			continue
		}
		ended := "failed"
		if slices.ContainsFunc(runs[:n], func(r state.Run) bool { return r.Status == state.RunInterrupted }) {
			ended = "failed or were cut off"
		}
		one := Notice{
			Kind: RunsFailing, Key: key(RunsFailing), Severity: Alarm,
			Text: fmt.Sprintf("The last %d runs %s, the first of them at %s; nobody is created, changed or switched off by runs meanwhile.", n, ended, clock(runs[n-1].FinishedAt)),
			Next: "Read why the last one ended; mmsync doctor looks at every part.", Command: "mmsync history " + plan.Shell(runs[0].ID),
		}
		if by != "" {
			one.Key = key(RunsFailing, by)
			one.Text = fmt.Sprintf("The last %d runs by %s %s, the first of them at %s; what it is for is not done meanwhile.", n, by, ended, clock(runs[n-1].FinishedAt))
		}
		out = append(out, one)
	}
	return out
}

func sources(s Snapshot, l Limits) []Notice {
	var out []Notice
	for _, x := range s.Sources {
		if x.Pushed {
			continue
		}
		if !x.Complete.Equal(x.Read) {
			out = append(out, Notice{
				Kind: SourceDegraded, Key: key(SourceDegraded, x.Name), Severity: Warn,
				Text: fmt.Sprintf("No read of source %s since %s was complete, so that nobody's absence counts.", x.Name, clock(x.Since)),
				Next: "Let mmsync look at the source and say what to mend.", Command: "mmsync doctor",
			})
		}
		n := Notice{
			Kind: SourceStale, Key: key(SourceStale, x.Name), Severity: Alarm,
			Next: "See whether runs still take place and what ends them.", Command: "mmsync history",
		}
		at := x.Complete
		switch {
		case !at.IsZero():
			n.Text = fmt.Sprintf("Source %s was last read completely at %s; whoever left since then is still in.", x.Name, clock(at))
		case x.Read.IsZero():
			at, n.Text = x.Since, fmt.Sprintf("Source %s was never read, and should have been since %s; nobody of it is created, changed or switched off.", x.Name, clock(x.Since))
		default:
			at, n.Text = x.Since, fmt.Sprintf("Source %s was never read completely, and was tried since %s; whoever left it is still in.", x.Name, clock(x.Since))
		}
		if l.SourceStale > 0 && !at.IsZero() && s.Now.Sub(at) > l.SourceStale {
			out = append(out, n)
		}
	}
	return out
}

func silent(s Snapshot, l Limits) []Notice {
	var out []Notice
	for _, x := range s.Sources {
		if !x.Pushed || l.IDPSilent == 0 || x.Request.IsZero() || s.Now.Sub(x.Request) <= l.IDPSilent {
			continue
		}
		out = append(out, Notice{
			Kind: IDPSilent, Key: key(IDPSilent, x.Name), Severity: Warn,
			Text: fmt.Sprintf("No identity provider has asked for anything at source %s since %s; if it stopped pushing, whoever left since then is still in.", x.Name, clock(x.Request)),
			Next: "See in the provider whether its provisioning is on and what its log says.", Command: "mmsync token list --source " + plan.Shell(x.Name),
		})
	}
	return out
}

// soon is how long before its end something is an alarm.
const soon = 48 * time.Hour

func ends(s Snapshot, l Limits) []Notice {
	var out []Notice
	for _, x := range s.Ends {
		left := x.At.Sub(s.Now)
		if l.ExpiringWithin == 0 || left > l.ExpiringWithin {
			continue
		}
		n := Notice{Kind: Expiring, Key: key(Expiring, x.Key), Severity: Warn, Next: x.Next, Command: x.Command}
		if left <= soon {
			n.Severity = Alarm
		}
		if n.Text = fmt.Sprintf("%s ends at %s.", capital(x.What), clock(x.At)); left <= 0 {
			n.Text = fmt.Sprintf("%s ended at %s.", capital(x.What), clock(x.At))
		}
		out = append(out, n)
	}
	return out
}

func server(s Snapshot, l Limits) []Notice {
	switch {
	case s.Server == nil:
		return nil
	case s.Server.TokenDead:
		return []Notice{{
			Kind: TokenDead, Key: key(TokenDead), Severity: Alarm,
			Text: "Mattermost does not take mmsync's token any more: it was revoked or has expired, or its owner was switched off; nobody is created, changed or switched off meanwhile.",
			Next: "Make a new one in Mattermost and put it where mattermost.token or token_file says, then see whether it is taken.", Command: "mmsync doctor",
		}}
	case s.Server.SeatsLeft < 0 || l.SeatsLeft == 0 || s.Server.SeatsLeft > l.SeatsLeft:
		return nil
	}
	n := Notice{
		Kind: SeatsGone, Key: key(SeatsGone), Severity: Warn, Text: fmt.Sprintf("Mattermost has %d seats left for active accounts.", s.Server.SeatsLeft),
		Next: "Free seats or extend the licence; whoever comes without one is held.", Command: "mmsync doctor",
	}
	if s.Server.SeatsLeft == 0 {
		n.Severity, n.Text = Alarm, "Mattermost has no seat left for another active account."
	}
	return []Notice{n}
}

// key joins what names a Notice. It is cut to what a store takes, at a rune.
func key(k Kind, words ...string) string {
	out := strings.Join(append([]string{string(k)}, words...), "/")
	if len(out) > state.MaxKeyBytes {
		out = strings.ToValidUTF8(out[:state.MaxKeyBytes], "")
	}
	return out
}

func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// clock gives a moment to the minute, in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span gives a duration without parts that are zero.
func span(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" {
		return "0s"
	}
	return s
}
