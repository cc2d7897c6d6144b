package notice

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const (
	// leftTold is how long after an account was switched off it is told that somebody has
	// left: as long as a receiver, or mmsync, may be away over a weekend. What is older is
	// no news, and when leavers are told for the first time not everybody who ever left is.
	leftTold = 72 * time.Hour
	// departedEvery is how often links are looked through for that between two runs: that
	// reads every link, which takes a tenth of a second of a hundred thousand.
	departedEvery = time.Minute
	// mostSingle is how many leavers of one source a channel is told of one by one within
	// growsEvery; more are one notice.
	mostSingle = 10
)

// Departed is somebody whose account mmsync switched off because he has left.
type Departed struct {
	Leaver
	Account string    // its id
	Name    string    // first and last name; "" if the account has neither
	At      time.Time // when it was switched off, by the server's clock
	// Manager is the id of the account of whom he reported to; "" if that is not known.
	Manager string
}

// departed looks for people who have left of late, after each run and from time to time.
func (w *Watcher) departed(ctx context.Context, s *Snapshot) error {
	if !w.o.Limits.Leavers {
		return nil
	}
	last := ""
	if len(s.Runs) > 0 {
		last = s.Runs[0].ID
	}
	since := s.Now.Add(-leftTold)
	if w.goneAt.IsZero() || last != w.goneRun || time.Since(w.goneAt) >= departedEvery {
		links, err := w.o.Store.Links(ctx, state.LinkFilter{OffSince: since.UnixMilli()})
		if err != nil {
			return fmt.Errorf("read who has left of late: %w", err)
		}
		var gone []Departed
		hasLeft := map[string]bool{}
		for i := range links {
			k := &links[i]
			if !wasOff(k) {
				continue
			}
			x := w.departure(k)
			left, known := w.hasLeft[x.key()]
			if !known {
				if left, err = w.leaves(ctx, k); err != nil {
					return err
				}
			}
			if hasLeft[x.key()] = left; left {
				gone = append(gone, x)
			}
		}
		w.gone, w.goneAt, w.goneRun, w.hasLeft = gone, time.Now(), last, hasLeft
	}
	for _, x := range w.gone {
		if !x.At.Before(since) {
			s.Departed = append(s.Departed, x)
		}
	}
	return nil
}

// wasOff tells of an account that mmsync switched off and that was off when it was last seen.
func wasOff(k *identity.Link) bool {
	a := k.Observed
	return k.Part == identity.Owner && a != nil && !a.Active() && a.DeleteAt == k.DeactivatedAt && !a.Bot && !a.Remote
}

// leaves tells from the history whether the account was switched off because its person's
// source lacks him, or says that he has left. An operator who switches somebody off, takes
// a run back or deletes for good what has been off for long, tells nobody of a leaving.
func (w *Watcher) leaves(ctx context.Context, k *identity.Link) (bool, error) {
	ops, err := w.o.Store.Ops(ctx, state.OpFilter{Key: k.Key, Statuses: []state.OpStatus{state.OpDone, state.OpObserved}})
	if err != nil {
		return false, fmt.Errorf("read why the account of %s was switched off: %w", k.Key, err)
	}
	for _, op := range slices.Backward(ops) {
		if op.Op.Kind == plan.SetActive && op.After != nil && op.AccountID == k.AccountID && op.After.DeleteAt == k.DeactivatedAt {
			return slices.Contains([]plan.Reason{plan.SourceDisabled, plan.SourceDeleted, plan.SourceMissing, plan.OutOfScope}, op.Reason), nil
		}
	}
	return false, nil
}

func (w *Watcher) departure(k *identity.Link) Departed {
	a := k.Observed
	x := Departed{
		Leaver: Leaver{Source: k.Key.Source, Username: a.Username}, Account: k.AccountID, At: time.UnixMilli(k.DeactivatedAt).UTC(),
		Name: strings.TrimSpace(a.FirstName + " " + a.LastName),
	}
	// What a source said once of managers does not count when it is not to say so any more.
	if slices.ContainsFunc(w.o.Sources, func(src WatchedSource) bool { return src.Name == k.Key.Source && src.Managers }) {
		x.Manager = k.Applied.Manager
	}
	return x
}

// key tells one leaving from others.
func (x *Departed) key() string {
	return key(Left, x.Source, x.Account, strconv.FormatInt(x.At.UnixMilli(), 10))
}

// departures gives one notice for each who has left. The account's id is in its Key, and
// not the source's: that may be a name.
func departures(s Snapshot, l Limits) []Notice {
	if !l.Leavers {
		return nil
	}
	things := map[string]map[plan.LeftoverKind]int{}
	for _, x := range s.Left {
		if things[x.Account] == nil {
			things[x.Account] = map[plan.LeftoverKind]int{}
		}
		things[x.Account][x.Kind]++
	}
	var out []Notice
	for i := range s.Departed {
		x := &s.Departed[i]
		n := Notice{
			Kind: Left, Key: x.key(), Severity: Warn, Count: 1, Departed: x,
			Text: fmt.Sprintf("1 person of source %s has left: the account was switched off at %s.", x.Source, clock(x.At)),
			Next: "See whether anything that they own works on.", Command: "mmsync leftovers",
		}
		if x.Username != "" {
			n.People = []string{x.Username}
		}
		switch owned := things[x.Account]; {
		case l.LeftBehind && len(owned) > 0:
			n.Things = counted(owned)
			n.Text += " What they own and works on without them: " + n.Things + "."
			n.Next = "Give each to somebody who stays, or delete it; the list has the command for each."
		case l.LeftBehind && s.LeftKnown && s.LeftLooked.After(x.At):
			n.Next, n.Command = "Nothing has to be done.", ""
		}
		out = append(out, n)
	}
	return out
}

// gathered makes few notices of many leavers that are new to a channel: of each source
// mostSingle at most one by one within growsEvery, else one of all that are new. While that
// is fresh, those who come after it wait. told is what the channel was told, and now when
// it was looked.
func gathered(news []Notice, told []state.Told, now time.Time) []Notice {
	fresh := map[string]int{}
	for _, x := range told {
		if Kind(x.Kind) == Left && now.Sub(x.At) < growsEvery {
			fresh[sourceOf(x.Key)]++
		}
	}
	of := map[string][]Notice{}
	for _, n := range news {
		if n.Kind == Left {
			of[sourceOf(n.Key)] = append(of[sourceOf(n.Key)], n)
		}
	}
	var out []Notice
	for _, n := range news {
		if n.Kind != Left {
			out = append(out, n)
			continue
		}
		source := sourceOf(n.Key)
		list, before := of[source], fresh[source]
		switch {
		case before+len(list) <= mostSingle, before <= mostSingle && len(list) == 1:
			out = append(out, n)
		case before <= mostSingle && n.Key == list[0].Key:
			out = append(out, together(list))
		}
	}
	return out
}

// sourceOf gives the source that the Key of a notice of kind Left is about.
func sourceOf(key string) string {
	words := strings.SplitN(key, "/", 3)
	if len(words) < 2 {
		return ""
	}
	return words[1]
}

// together is one notice of several leavers of a source.
func together(list []Notice) Notice {
	n := Notice{
		Kind: Left, Severity: Warn, At: list[0].At, Link: list[0].Link, Count: len(list), covers: list,
		Next: "If so many were not to leave, the last runs say why they did.", Command: "mmsync history",
	}
	first, last := list[0].Departed.At, list[0].Departed.At
	for i := range list {
		x := list[i].Departed
		if x.At.Before(first) {
			first = x.At
		}
		if x.At.After(last) {
			last = x.At
		}
		if x.Username != "" {
			n.People = append(n.People, x.Username)
		}
	}
	slices.Sort(n.People)
	n.People = n.People[:min(len(n.People), mostPeople)]
	source := list[0].Departed.Source
	n.Key = key(Left, source)
	n.Text = fmt.Sprintf("%s of source %s have left: their accounts were switched off from %s to %s.", people(len(list)), source, clock(first), clock(last))
	return n
}
