package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// matched finds for new people of contributing sources whose account they have a value
// in common with. A value that two accounts, or two of the same source, have in common
// says nothing, and is told as a problem.
func (e *Engine) matched(ctx context.Context, g *gathered, obs []plan.Observation) error {
	by := map[string]plan.Field{}
	for _, c := range e.o.Policy.Contributing {
		if c.By != "" {
			by[c.Source] = c.By
		}
	}
	claims := map[matchValue][]int{}
	for i := range obs {
		ob := &obs[i]
		if f := by[ob.Key.Source]; f != "" && ob.Link == nil && ob.Desired != nil && ob.Desired.Active && ob.Desired.Fault == "" {
			if v := matchOf(f, ob.Desired.Profile, ob.Desired.MatchKey); v != "" {
				claims[matchValue{ob.Key.Source, v}] = append(claims[matchValue{ob.Key.Source, v}], i)
			}
		}
	}
	if len(claims) == 0 {
		return nil
	}
	links, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return fmt.Errorf("read whose accounts there are to contribute to: %w", err)
	}
	known := map[string]identity.Key{} // who of a source speaks about an account
	for i := range links {
		if k := &links[i]; k.Part == identity.Contributor && k.Applied.Active && !g.gone(k) {
			known[k.AccountID+" "+k.Key.Source] = k.Key
		}
	}
	found := owning(links, by, claims)
	var doubts []string
	for v, people := range claims {
		owners := found[v]
		switch {
		case len(owners) == 0:
		case len(owners) > 1 || len(people) > 1:
			doubts = append(doubts, undecided(v.source, by[v.source], owners, people, obs))
		case !known[owners[0].AccountID+" "+v.source].IsZero():
			other := known[owners[0].AccountID+" "+v.source]
			doubts = append(doubts, fmt.Sprintf("%s has the same %s as %s, for whom %s speaks already; if that is the same person under a new id: %s",
				obs[people[0]].Key, matchName(by[v.source]), owners[0].Key, other, plan.Command("link release", other.String())))
		default:
			obs[people[0]].Match = &plan.Holder{Account: owners[0].Observed, Owner: owners[0].Key}
		}
	}
	slices.Sort(doubts)
	g.problems = append(g.problems, doubts...)
	return nil
}

// owning gives the owners of accounts who have the values that people of other sources
// are looked for by. What mmsync set counts before what somebody may have changed since.
func owning(links []identity.Link, by map[string]plan.Field, claims map[matchValue][]int) map[matchValue][]*identity.Link {
	found := map[matchValue][]*identity.Link{}
	for i := range links {
		k := &links[i]
		if k.Part != identity.Owner || k.Observed == nil {
			continue
		}
		for source, f := range by {
			p := k.Observed.Profile
			if set := k.Applied.Profile.Value(identity.Attribute(f)); set != "" {
				p = k.Applied.Profile
			}
			if v := (matchValue{source, matchOf(f, p, k.Applied.MatchKey)}); k.Key.Source != source && claims[v] != nil {
				found[v] = append(found[v], k)
			}
		}
	}
	return found
}

// undecided says that a value is that of more than two.
func undecided(source string, by plan.Field, owners []*identity.Link, people []int, obs []plan.Observation) string {
	var keys []string
	for _, k := range owners {
		keys = append(keys, k.Key.String())
	}
	for _, i := range people {
		keys = append(keys, obs[i].Key.String())
	}
	slices.Sort(keys)
	return fmt.Sprintf("%s have the same %s, so that nobody of %s is taken for somebody whom another source has; say who it is with mmsync link contribute", strings.Join(keys, ", "), matchName(by), source)
}

// matchValue is a value that people of one source are found by.
type matchValue struct{ source, value string }

func matchOf(f plan.Field, p identity.Profile, matchKey string) string {
	if f == plan.FieldMatchKey {
		return matchKey
	}
	return strings.ToLower(p.Value(identity.Attribute(f)))
}

func matchName(f plan.Field) string {
	switch f {
	case plan.FieldMatchKey:
		return "match key"
	case plan.Field(identity.Email):
		return "e-mail"
	}
	return string(f)
}
