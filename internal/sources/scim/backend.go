package scim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/scim/filter"
	"github.com/mmsync/mmsync/internal/state"
)

// Engine is what works on people who are due.
type Engine interface {
	// Push has somebody worked on now, and waits until that is settled or ctx ends.
	Push(ctx context.Context, k identity.Key) error
	// Poke has those who are due looked for, and does not wait.
	Poke()
	// Forbids tells why Mattermost would not let somebody be so; "" if nothing is known.
	Forbids(ctx context.Context, id identity.Identity) (string, error)
}

// BackendOptions describe what a client is connected to.
type BackendOptions struct {
	Source *Source
	Store  state.ResourceStore
	Engine Engine
	// Inline is how long an answer waits for Mattermost; 0 does not wait. What is
	// asked is kept before that, and done later if it takes longer.
	Inline time.Duration
	// Refuse answers 409 to what Mattermost would not let be, if it is there to be asked.
	// Without it that is kept, and held by the engine.
	Refuse bool
	// KnownMembers refuses members that are not there. Without it they are kept, and
	// count once they come.
	KnownMembers bool
	// UniqueGroups refuses a second group of one displayName, as Entra expects.
	UniqueGroups bool
}

// Backend is what one client has pushed. It implements the protocol's Backend.
type Backend struct {
	o BackendOptions

	mu         sync.Mutex
	hasGroups  bool
	groupsSeen time.Time
}

// NewBackend gives a client's resources.
func NewBackend(o BackendOptions) *Backend { return &Backend{o: o} }

// fold is the form by which values are found and unique that compare without case.
func fold(s string) string { return filter.Fold(s) }

// Get implements protocol.Backend.
func (b *Backend) Get(ctx context.Context, t *protocol.ResourceType, id string) (protocol.Resource, error) {
	return one(b.read(ctx, t, state.ResourceFilter{IDs: []string{id}}))
}

// Edit implements protocol.Editor.
func (b *Backend) Edit(ctx context.Context, t *protocol.ResourceType, id string) (protocol.Resource, error) {
	if t.Name == groupType {
		return b.Get(ctx, t, id)
	}
	return one(b.plain(ctx, t, state.ResourceFilter{IDs: []string{id}}))
}

func one(list []protocol.Resource, err error) (protocol.Resource, error) {
	if err == nil && len(list) == 0 {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return protocol.Resource{}, err
	}
	return list[0], nil
}

// read gives resources with all that belongs to them.
func (b *Backend) read(ctx context.Context, t *protocol.ResourceType, f state.ResourceFilter) ([]protocol.Resource, error) {
	f.WithDue = t.Name == userType
	out, err := b.plain(ctx, t, f)
	if err != nil || len(out) == 0 {
		return out, err
	}
	if t.Name == groupType {
		return out, b.addMembers(ctx, out)
	}
	return out, b.addGroups(ctx, out)
}

// plain gives resources as they were written, with how far Mattermost has followed if f
// asks for it.
func (b *Backend) plain(ctx context.Context, t *protocol.ResourceType, f state.ResourceFilter) ([]protocol.Resource, error) {
	f.Source, f.Type = b.o.Source.o.Name, t.Name
	stored, err := b.o.Store.Resources(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	out := make([]protocol.Resource, len(stored))
	for i := range stored {
		if out[i], err = resource(stored[i]); err != nil {
			return nil, err
		}
		if f.WithDue {
			out[i].Attributes[StatusURN] = status(stored[i].Due)
		}
	}
	return out, nil
}

func resource(r state.Resource) (protocol.Resource, error) {
	attributes, err := decode(r.Body)
	if err != nil {
		return protocol.Resource{}, fmt.Errorf("read %s %s: %w", r.Type, r.ID, err)
	}
	return protocol.Resource{ID: r.ID, Version: strconv.FormatInt(r.Version, 10), Created: r.Created, Modified: r.Modified, Attributes: attributes}, nil
}

// addMembers puts the members into groups.
func (b *Backend) addMembers(ctx context.Context, groups []protocol.Resource) error {
	at := make(map[string]int, len(groups))
	ids := make([]string, len(groups))
	for i := range groups {
		ids[i], at[groups[i].ID] = groups[i].ID, i
	}
	members, err := b.o.Store.Members(ctx, b.o.Source.o.Name, ids)
	if err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	lists := make([][]any, len(groups))
	for _, m := range members {
		i := at[m.Group]
		lists[i] = append(lists[i], member(m))
	}
	for i, l := range lists {
		if len(l) > 0 {
			groups[i].Attributes["members"] = l
		}
	}
	return nil
}

func member(m state.Member) protocol.Object {
	o := protocol.Object{"value": m.ID}
	if m.Type != "" {
		o["type"] = m.Type
	}
	if m.Display != "" {
		o["display"] = m.Display
	}
	return o
}

// addGroups puts into users the groups they are in directly.
func (b *Backend) addGroups(ctx context.Context, users []protocol.Resource) error {
	if some, err := b.grouped(ctx); err != nil || !some {
		return err
	}
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	list, err := b.o.Store.Memberships(ctx, b.o.Source.o.Name, ids)
	if err != nil || len(list) == 0 {
		if err != nil {
			err = fmt.Errorf("read memberships: %w", err)
		}
		return err
	}
	var groups []string
	of := map[string][]string{}
	for _, m := range list {
		groups = append(groups, m.Group)
		of[m.ID] = append(of[m.ID], m.Group)
	}
	slices.Sort(groups)
	stored, err := b.o.Store.Resources(ctx, state.ResourceFilter{Source: b.o.Source.o.Name, Type: groupType, IDs: slices.Compact(groups)})
	if err != nil {
		return fmt.Errorf("read groups: %w", err)
	}
	names := map[string]any{}
	for _, r := range stored {
		attributes, err := decode(r.Body)
		if err != nil {
			return fmt.Errorf("read %s %s: %w", r.Type, r.ID, err)
		}
		names[r.ID] = attributes["displayName"]
	}
	for i := range users {
		var in []any
		for _, g := range of[users[i].ID] {
			o := protocol.Object{"value": g, "type": "direct"}
			if names[g] != nil {
				o["display"] = names[g]
			}
			in = append(in, o)
		}
		if len(in) > 0 {
			users[i].Attributes["groups"] = in
		}
	}
	return nil
}

// groupsSeenFor is how long it is believed that a source has no groups: another
// process may have made the first.
const groupsSeenFor = 5 * time.Second

// grouped tells whether the source has groups at all: most who push only users would
// pay for a look with every answer.
func (b *Backend) grouped(ctx context.Context) (bool, error) {
	b.mu.Lock()
	has, at := b.hasGroups, b.groupsSeen
	b.mu.Unlock()
	if has || time.Since(at) < groupsSeenFor {
		return has, nil
	}
	list, err := b.o.Store.Resources(ctx, state.ResourceFilter{Source: b.o.Source.o.Name, Type: groupType, Limit: 1})
	if err != nil {
		return false, fmt.Errorf("read groups: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hasGroups, b.groupsSeen = b.hasGroups || len(list) > 0, time.Now()
	return b.hasGroups, nil
}

func (b *Backend) key(id string) identity.Key {
	return identity.Key{Source: b.o.Source.o.Name, Anchor: id}
}
