package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// NoticeKind is what a Notice is about.
type NoticeKind string

// The kinds of Notice.
const (
	NoticeGuard      NoticeKind = "guard_tripped"
	NoticeFailed     NoticeKind = "run_failed"
	NoticeSource     NoticeKind = "source_incomplete"
	NoticeUndone     NoticeKind = "taken_back" // what mmsync takes from an account comes back
	NoticeLocked     NoticeKind = "leaver_locked"
	NoticeLeaverHeld NoticeKind = "leaver_held"
	NoticeApproval   NoticeKind = "approval_needed"
	NoticeRestored   NoticeKind = "store_restored"
	NoticeUnsealed   NoticeKind = "history_not_sealed"
)

// Severity is how soon somebody should look.
type Severity string

// The severities.
const (
	Warn  Severity = "warn"  // within a day
	Alarm Severity = "alarm" // now: somebody may be in who should be out, or nothing goes on
)

// Notice is something that somebody should hear of who is not looking. It names
// people by Key and account alone.
type Notice struct {
	Kind NoticeKind
	// Subject is whom it is about. Without an anchor it is the source as a whole,
	// without a source everything.
	Subject  identity.Key
	Account  string
	Severity Severity
	// Text says what happened, Next what to do about it; one sentence each, without a
	// name, an address or a value of anybody.
	Text string
	Next string
}

// Notices takes what somebody should hear of.
type Notices interface {
	Notify(ctx context.Context, n Notice) error
}

// LogNotices writes each Notice as one line of a log.
type LogNotices struct{ Logger *slog.Logger }

// Notify implements Notices.
func (s LogNotices) Notify(ctx context.Context, n Notice) error {
	s.Logger.WarnContext(ctx, "notice", "notice", string(n.Kind), "severity", string(n.Severity), "source", n.Subject.Source,
		"anchor", n.Subject.Anchor, "account", n.Account, "text", n.Text, "next", n.Next)
	return nil
}

// most notices of a kind that name people; beyond them one says how many there are.
const mostNamed = 10

// notices passes on what a run found, each thing once.
func (e *Engine) notices(ctx context.Context, run *state.Run, rep *Report, ended error) {
	if run.Kind == "plan" {
		return // whoever asked for it is looking
	}
	list := append(ending(run, ended), about(rep)...)
	list = append(list, rep.notices...)
	held, err := e.heldLeavers(ctx, run, rep)
	if err != nil {
		e.log.WarnContext(ctx, "who was held for long could not be read", "run", run.ID, "error", err)
	}
	list = append(list, held...)
	for _, n := range list {
		e.mu.Lock()
		what := n
		what.Next = "" // it may name the run, and a second look is one of its own
		if run.Kind == kindPush && n.Kind == NoticeGuard {
			what.Text = "" // each push counts one more
		}
		known := e.noticed[what]
		if e.noticed == nil {
			e.noticed = map[Notice]bool{}
		}
		e.noticed[what] = true
		e.mu.Unlock()
		if known {
			continue
		}
		if err := e.o.Notices.Notify(ctx, n); err != nil {
			e.log.ErrorContext(ctx, "a notice could not be passed on", "notice", string(n.Kind), "run", run.ID, "error", err)
		}
	}
}

// forgetNotices lets a new run say again what the one before said.
func (e *Engine) forgetNotices() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noticed, e.forgotten = nil, time.Now()
}

// forgetNoticesHourly does it for pushes, which begin all the time.
func (e *Engine) forgetNoticesHourly() {
	e.mu.Lock()
	due := time.Since(e.forgotten) > time.Hour
	e.mu.Unlock()
	if due {
		e.forgetNotices()
	}
}

// ending tells of a run that did not come to its end. One that somebody interrupted
// is no news, nor is a command that was refused: whoever gave it has read why.
func ending(run *state.Run, ended error) []Notice {
	var refused *HistoryError
	switch {
	case ended == nil || run.Status == state.RunInterrupted:
		return nil
	case errors.Is(ended, ErrRefused) && !errors.As(ended, &refused) && !errors.Is(ended, errChanged) && !slices.Contains([]string{"sync", "apply"}, run.Kind):
		return nil
	case errors.As(ended, &refused) && refused.Restored:
		return []Notice{{
			Kind: NoticeRestored, Severity: Alarm, Text: "the store is older than the history sealed last, or another one; nothing is written to it",
			Next: acceptHint,
		}}
	}
	return []Notice{{
		Kind: NoticeFailed, Severity: Alarm, Text: fmt.Sprintf("a run of kind %s ended early", run.Kind),
		Next: "mmsync history --failed lists such runs, and mmsync history RUN says why one ended",
	}}
}

// about tells what a plan shows.
func about(rep *Report) []Notice {
	var out []Notice
	for _, t := range rep.Verdict.Trips {
		text, next := t.Notice()
		out = append(out, Notice{
			Kind: NoticeGuard, Subject: identity.Key{Source: t.Source}, Severity: Alarm,
			Text: text, Next: next,
		})
	}
	for _, s := range rep.Plan.Sources {
		if s.Doubtful() {
			out = append(out, Notice{
				Kind: NoticeSource, Subject: identity.Key{Source: s.Name}, Severity: Warn,
				Text: "the source could not be read completely, so nobody's absence counts", Next: "mmsync doctor looks at the source",
			})
		}
	}
	asked := map[plan.Reason]int{}
	var locked []Notice
	for i := range rep.Plan.Decisions {
		d := &rep.Plan.Decisions[i]
		if d.Reason != plan.NeedsApproval && slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Reason == plan.NeedsApproval }) {
			asked[plan.NeedsApproval]++ // of a part of it
		}
		switch d.Reason {
		case plan.NeedsApproval, plan.MatchNeedsWord, plan.MatchPrivileged:
			asked[d.Reason]++
		case plan.LockedByLDAP:
			if d.Held == plan.Deactivate {
				locked = append(locked, Notice{
					Kind: NoticeLocked, Subject: d.Key, Account: d.AccountID, Severity: Alarm,
					Text: "the person has left, and the server does not let mmsync switch the account off", Next: d.Reason.Explain().Next,
				})
			}
		default:
		}
	}
	for _, r := range []plan.Reason{plan.NeedsApproval, plan.MatchNeedsWord, plan.MatchPrivileged} {
		if n := asked[r]; n > 0 {
			out = append(out, Notice{
				Kind: NoticeApproval, Severity: Warn, Text: fmt.Sprintf("%d held for somebody's word (%s)", n, r), Next: "read mmsync plan",
			})
		}
	}
	return append(out, few(locked, "leavers whom the server does not let mmsync switch off")...)
}

// few names people while they are few.
func few(list []Notice, whom string) []Notice {
	if len(list) <= mostNamed {
		return list
	}
	n := list[0]
	n.Subject, n.Account, n.Text = identity.Key{}, "", fmt.Sprintf("%d %s", len(list), whom)
	return []Notice{n}
}

// heldFor is how long a leaver may be held without anybody hearing of it.
const heldFor = 15 * time.Minute

// heldLeavers tells of leavers who are held now and were held as long as heldFor
// ago. What a guard holds back has been told of as a whole, grace is meant, and
// whoever is only missing may not have left.
func (e *Engine) heldLeavers(ctx context.Context, run *state.Run, rep *Report) ([]Notice, error) {
	now := leavers(rep.Plan.Decisions)
	if len(now) == 0 || run.PlannedAt.IsZero() {
		return nil, nil
	}
	ended, err := e.o.Store.Runs(ctx, state.RunFilter{
		Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld}, Limit: 200,
	})
	if err != nil {
		return nil, fmt.Errorf("list earlier runs: %w", err)
	}
	at := slices.IndexFunc(ended, func(r state.Run) bool {
		return r.Trigger != secondLook && !r.PlannedAt.IsZero() && run.PlannedAt.Sub(r.PlannedAt) >= heldFor
	})
	if at < 0 {
		return nil, nil
	}
	records, err := e.o.Store.Decisions(ctx, ended[at].ID)
	if err != nil {
		return nil, fmt.Errorf("list the decisions of run %s: %w", ended[at].ID, err)
	}
	then := make([]plan.Decision, len(records))
	for i := range records {
		then[i] = records[i].Decision
	}
	was := map[identity.Key]bool{}
	for _, d := range leavers(then) {
		was[d.Key] = true
	}
	var out []Notice
	for _, d := range now {
		if was[d.Key] {
			out = append(out, Notice{
				Kind: NoticeLeaverHeld, Subject: d.Key, Account: d.AccountID, Severity: Alarm,
				Text: fmt.Sprintf("the person has left, and the account is still on (%s)", d.Reason), Next: d.Reason.Explain().Next,
			})
		}
	}
	return few(out, "people have left, and their accounts are still on"), nil
}

func leavers(list []plan.Decision) []plan.Decision {
	var out []plan.Decision
	for _, d := range list {
		switch {
		case d.Action != plan.Hold || d.Held != plan.Deactivate:
		case slices.Contains([]plan.Reason{
			plan.InGrace, plan.GuardTripped, plan.LockedByLDAP, plan.ReadIncomplete, plan.Unconfirmed, plan.StillPresent, plan.HandOver,
		}, d.Reason):
		default:
			out = append(out, d)
		}
	}
	return out
}

// secondLook is what triggered a run that looks again at what was just changed.
const secondLook = "second look"

// undoneNotice tells of an account to which what mmsync took comes back each time.
func undoneNotice(k *identity.Link, what string) Notice {
	return Notice{
		Kind: NoticeUndone, Subject: k.Key, Account: k.AccountID, Severity: Alarm,
		Text: fmt.Sprintf("the account was %s after mmsync had taken that away, %d times in a row", what, k.Undone),
		Next: "find out who or what does it: another sync, an administrator, or a client that saves its profile all the time",
	}
}

func unsealedNotice() Notice {
	return Notice{
		Kind: NoticeUnsealed, Severity: Warn, Text: "what was done could not be sealed; the next run does it",
		Next: "read the log of this run, and see what mmsync audit verify says",
	}
}
