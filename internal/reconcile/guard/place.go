package guard

import (
	"fmt"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Where the people of a trip have gone from.

// left gives the place that most of the planned leavers were last at and are no more;
// "" if they are still there, or the source knows no places.
func left(list map[cause]int, class plan.Class) string {
	c, _ := most(list)
	switch c.reason {
	case plan.SourceMissing, plan.SourceDeleted, plan.OutOfScope:
		if class == plan.Deactivations {
			return c.place
		}
	default:
	}
	return ""
}

const spared = " Nobody missing from it is deactivated."

// From says of a source that shrank where most of the linked people were last whom its
// read lacks. refs are their last places.
func (t Trip) From(refs []string) Trip {
	list := map[cause]int{}
	for _, ref := range refs {
		if place := parent(ref); place != "" {
			list[cause{place: place}]++
		}
	}
	c, n := most(list)
	if n == 0 {
		return t
	}
	t.Place, t.where = c.place, fmt.Sprintf(" Of the linked people who are missing, %d of %d were last under %q.", n, len(refs), c.place)
	t.Message = strings.Replace(t.Message, spared, t.where+spared, 1)
	return t
}

// A directory does not tell what does not exist from what must not be seen.
const placeGone = ", which no longer exists or is hidden from the account that reads the source"

// PlaceGone says of a trip that its Place is not there any more.
func (t Trip) PlaceGone() Trip {
	at := fmt.Sprintf("last under %q", t.Place)
	for _, text := range []*string{&t.Cause, &t.Message, &t.where} {
		*text = strings.Replace(*text, at, at+placeGone, 1)
	}
	return t
}
