package explain

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Summary says in half a sentence what the next run does.
func Summary(x Person) string {
	d := x.Decision
	switch {
	case x.Unmanaged:
		return "not managed"
	case d.Action == plan.Hold && d.Reported():
		return "was edited in Mattermost, and that stays"
	case d.Locked():
		return "differs from the source, and that stays"
	case d.Reason == plan.InGrace && d.Until != nil && d.Until.After(x.Now):
		return "is switched off after " + When(*d.Until) + " UTC, unless seen again"
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
	plan.Delete:     "is deleted for good",
}

var held = map[plan.Action]string{ //nolint:gochecknoglobals // read-only words
	plan.Create:     "would get an account",
	plan.Update:     "would be changed",
	plan.Deactivate: "would be switched off",
	plan.Reactivate: "would be switched on again",
	plan.Adopt:      "would be linked to an account that exists",
	plan.Forget:     "would be forgotten",
	plan.Delete:     "would be deleted for good",
}

// waitsFor names who has to act before anything goes on.
func waitsFor(x Person) string {
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
			return "time, until " + When(*u) + " UTC"
		}
		return "a later run"
	}
	return ""
}

// Next says what happens next, or what has to be done, with the command.
func Next(x Person) string {
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
		out = append(out, "If it is the same person: mmsync link approve "+plan.Shell(x.Key.String()),
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
		out = append(out, "The next run makes sure that what was taken on "+When(k.Recheck)+" UTC lasts.")
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

func nextUnmanaged(x Person) string {
	var out []string
	for _, d := range x.Near {
		if d.Reason == plan.MatchNeedsWord || d.Reason == plan.MatchPrivileged {
			out = append(out, "If it is "+Safe(d.Key.String())+"'s: mmsync link approve "+plan.Shell(d.Key.String()))
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
