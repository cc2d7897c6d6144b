package scim

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/mmsync/mmsync/internal/state"
)

// ancestry is who is a member of what, upwards.
type ancestry struct {
	parents map[string][]string // by member
	names   map[string][]string // what a group is called in role rules, by id
}

// ancestry reads all memberships of the source, if anybody's roles depend on them.
func (s *Source) ancestry(ctx context.Context) (ancestry, error) {
	up := ancestry{parents: map[string][]string{}, names: map[string][]string{}}
	if !s.groups {
		return up, nil
	}
	all, err := s.o.Store.Memberships(ctx, s.o.Name, nil)
	if err != nil {
		return up, fmt.Errorf("read memberships: %w", err)
	}
	for _, m := range all {
		up.parents[m.ID] = append(up.parents[m.ID], m.Group)
	}
	err = s.o.Store.EachResource(ctx, s.o.Name, groupType, func(r state.Resource) error {
		if !r.Deleted.IsZero() {
			return nil
		}
		names, err := groupNames(r)
		up.names[r.ID] = names
		return err
	})
	if err != nil {
		return up, fmt.Errorf("read groups: %w", err)
	}
	return up, nil
}

// of gives what the groups are called that somebody is in, directly or by other
// groups. Groups may be members of each other in a circle.
func (a ancestry) of(id string) []string {
	seen := map[string]bool{}
	for todo := a.parents[id]; len(todo) > 0; {
		g := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[g] {
			seen[g] = true
			todo = append(todo, a.parents[g]...)
		}
	}
	var out []string
	for _, g := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, a.names[g]...)
	}
	return out
}

// groupNames are the ids by which role rules may name a group: mmsync's own and the
// client's, which stay when it is renamed.
func groupNames(r state.Resource) ([]string, error) {
	attributes, err := decode(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", r.Type, r.ID, err)
	}
	if own, _ := attributes["externalId"].(string); own != "" {
		return []string{r.ID, own}, nil
	}
	return []string{r.ID}, nil
}

// groupsOf is what ancestry.of is, for one person.
func (s *Source) groupsOf(ctx context.Context, id string) ([]string, error) {
	up := ancestry{parents: map[string][]string{}, names: map[string][]string{}}
	var groups []string
	for todo := []string{id}; len(todo) > 0; {
		direct, err := s.o.Store.Memberships(ctx, s.o.Name, todo)
		if err != nil {
			return nil, fmt.Errorf("read memberships: %w", err)
		}
		todo = nil
		for _, m := range direct {
			up.parents[m.ID] = append(up.parents[m.ID], m.Group)
			if !slices.Contains(groups, m.Group) {
				groups, todo = append(groups, m.Group), append(todo, m.Group)
			}
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	list, err := s.o.Store.Resources(ctx, state.ResourceFilter{Source: s.o.Name, Type: groupType, IDs: groups})
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	for _, r := range list {
		if up.names[r.ID], err = groupNames(r); err != nil {
			return nil, err
		}
	}
	return up.of(id), nil
}

// below gives everybody who is in one of the groups, directly or by other groups,
// and the groups that are, the given ones included. Whether a member is a group
// shows by its having members.
func (b *Backend) below(ctx context.Context, groups []string) (people, nested []string, err error) {
	seen := map[string]bool{}
	for todo := groups; len(todo) > 0; {
		for _, g := range todo {
			seen[g] = true
		}
		members, err := b.o.Store.Members(ctx, b.o.Source.o.Name, todo)
		if err != nil {
			return nil, nil, fmt.Errorf("read members: %w", err)
		}
		todo = nil
		for _, m := range members {
			if !seen[m.ID] {
				seen[m.ID] = true
				todo = append(todo, m.ID)
			}
		}
	}
	all := slices.Sorted(maps.Keys(seen))
	list, err := b.o.Store.Resources(ctx, state.ResourceFilter{Source: b.o.Source.o.Name, Type: groupType, IDs: all})
	if err != nil {
		return nil, nil, fmt.Errorf("read groups: %w", err)
	}
	isGroup := make(map[string]bool, len(list))
	for _, r := range list {
		isGroup[r.ID] = true
		nested = append(nested, r.ID)
	}
	for _, id := range all {
		if !isGroup[id] {
			people = append(people, id)
		}
	}
	return people, nested, nil
}
