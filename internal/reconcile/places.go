package reconcile

import (
	"context"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
)

// tellPlaces says of a source that shrank where those were last whom its read lacks.
func (g *gathered) tellPlaces(source string, absent []*identity.Link) {
	for i := range g.trips {
		t := &g.trips[i]
		if t.Class != guard.SourceShrink || t.Source != source {
			continue
		}
		refs := make([]string, len(absent))
		for n, k := range absent {
			refs[n] = k.Ref
		}
		*t = t.From(refs)
	}
}

// missPlaces asks the sources whether the places are still there from which the people
// of trips have gone: that an OU was renamed is what somebody has to know who is to
// approve it. Where that cannot be found out nothing is said.
func (e *Engine) missPlaces(ctx context.Context, trips []guard.Trip) []guard.Trip {
	type place struct{ source, dn string }
	known := map[place]bool{}
	trips = slices.Clone(trips)
	for i := range trips {
		at := place{trips[i].Source, trips[i].Place}
		if at.dn == "" {
			continue
		}
		there, asked := known[at]
		if !asked {
			there = e.placeThere(ctx, at.source, at.dn)
			known[at] = there
		}
		if !there {
			trips[i] = trips[i].PlaceGone()
		}
	}
	return trips
}

func (e *Engine) placeThere(ctx context.Context, source, dn string) bool {
	for _, src := range e.o.Sources {
		p, able := src.(Places)
		if src.Name() != source || !able {
			continue
		}
		there, err := p.Place(ctx, dn)
		if err != nil {
			e.log.DebugContext(ctx, "whether a place is still there could not be found out", "source", source, "error", err)
			return true
		}
		return there
	}
	return true
}
