package scim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// writeGroup puts into a write who joins and leaves, and who is due for it.
func (b *Backend) writeGroup(ctx context.Context, w *state.ResourceWrite, c protocol.Change) error {
	var touched []string
	for _, ch := range c.Changed {
		switch ch.Attr {
		case "members":
			w.Join, w.Leave = members(w.ID, ch.Added), members(w.ID, ch.Removed)
			w.Leave = slices.DeleteFunc(w.Leave, func(m state.Member) bool { return has(w.Join, m.ID) })
			for _, m := range slices.Concat(w.Join, w.Leave) {
				touched = append(touched, m.ID)
			}
		case "externalId":
			touched = append(touched, w.ID) // role rules may name it
		}
	}
	if err := b.knows(ctx, w.Join); err != nil {
		return err
	}
	if err := b.noCircle(ctx, w.ID, w.Join); err != nil {
		return err
	}
	if !b.o.Source.groups || len(touched) == 0 {
		return nil
	}
	people, _, err := b.below(ctx, touched)
	if err != nil {
		return err
	}
	w.Due = b.marks(people)
	return nil
}

func has(list []state.Member, id string) bool {
	_, found := slices.BinarySearchFunc(list, id, func(m state.Member, id string) int { return strings.Compare(m.ID, id) })
	return found
}

// members reads elements of a group's members, ordered by id.
func members(group string, list []any) []state.Member {
	out := make([]state.Member, 0, len(list))
	for _, e := range list {
		o, _ := e.(protocol.Object)
		m := state.Member{Group: group}
		m.ID, _ = o["value"].(string)
		m.Type, _ = o["type"].(string)
		m.Display, _ = o["display"].(string)
		if m.ID != "" {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b state.Member) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(out, func(a, b state.Member) bool { return a.ID == b.ID })
}

// knows refuses members that are not there, where that is asked for.
func (b *Backend) knows(ctx context.Context, join []state.Member) error {
	if !b.o.KnownMembers || len(join) == 0 {
		return nil
	}
	there := map[string]bool{}
	for _, kind := range []string{userType, groupType} {
		f := state.ResourceFilter{Source: b.o.Source.o.Name, Type: kind}
		for _, m := range join {
			f.IDs = append(f.IDs, m.ID)
		}
		list, err := b.o.Store.Resources(ctx, f)
		if err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		for _, r := range list {
			there[r.ID] = true
		}
	}
	for _, m := range join {
		if !there[m.ID] {
			return &protocol.Error{Status: http.StatusBadRequest, Type: protocol.InvalidValue, Detail: fmt.Sprintf("members: there is no user and no group %q", m.ID)}
		}
	}
	return nil
}

// noCircle refuses a group that would be in itself by those who join it.
func (b *Backend) noCircle(ctx context.Context, group string, join []state.Member) error {
	var ids []string
	for _, m := range join {
		if m.Type != userType {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	groups, err := b.o.Store.Resources(ctx, state.ResourceFilter{Source: b.o.Source.o.Name, Type: groupType, IDs: ids})
	if err != nil {
		return fmt.Errorf("read groups: %w", err)
	}
	if len(groups) == 0 {
		return nil
	}
	ids = ids[:0]
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	_, nested, err := b.below(ctx, ids)
	if err != nil {
		return err
	}
	if slices.Contains(nested, group) {
		return &protocol.Error{Status: 400, Type: protocol.InvalidValue, Detail: "members: a group cannot be in itself, not even by way of other groups"}
	}
	return nil
}
