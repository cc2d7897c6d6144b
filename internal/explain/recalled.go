package explain

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/reconcile"
)

// Recalled shows what the store knows about one person, with its age, and says that
// nobody was asked.
func Recalled(r reconcile.Recollection) Sheet {
	x := Person{Explanation: reconcile.Explanation{Key: r.Key, Link: r.Link, History: r.History, Now: r.Now}}
	if r.Link != nil {
		x.Account = r.Link.Observed
	}
	name := r.Key.Anchor
	switch {
	case r.Decision != nil && r.Decision.Username != "":
		name = r.Decision.Username
	case x.Account != nil:
		name = x.Account.Username
	}
	var s sheet
	s.Title = fmt.Sprintf("%s (%s): as the store knows it", Printable(name), oneLine(r.Key.String()))
	s.section("Note")
	s.line("Neither the source nor Mattermost was asked: %s is at work, and is the one who asks Mattermost.", r.Holder)
	s.line("This is what the store knew on %s UTC. Ask again when it pauses, or run mmsync explain.", When(r.Now))
	s.section("Decided")
	switch d := r.Decision; {
	case r.Run.ID == "":
		s.line("there was no run about everybody yet")
	case d == nil:
		s.line("nothing was to be done in run %s on %s UTC", r.Run.ID, When(r.Run.PlannedAt))
	default:
		s.line("%s in run %s on %s UTC: %s", d.Action, r.Run.ID, When(r.Run.PlannedAt), orMeaning(*d))
	}
	if r.Due != nil {
		s.line("waits to be worked on since %s UTC", When(r.Due.Since))
	}
	s.gap()
	s.section("Account")
	s.line("%s", Account(x.Account))
	if r.Link != nil {
		s.line("as mmsync saw it; the link was last written on %s UTC", When(r.Link.UpdatedAt))
	}
	explainLink(&s, x)
	if r.Link != nil && r.Link.Ref != "" {
		s.section("Source")
		s.line("%s: last seen at %s", r.Key.Source, Printable(r.Link.Ref))
	}
	explainHistory(&s, x)
	return s.Sheet
}
