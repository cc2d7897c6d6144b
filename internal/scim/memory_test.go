package scim_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/scim"
)

// memory is a Backend in memory: what one client has.
type memory struct {
	mu    sync.Mutex
	of    map[string]map[string]scim.Resource // by type and id
	last  int
	calls map[string]int // by method
	// before, if set, is called before each method, without the lock.
	before func(ctx context.Context, method string) error
}

func newMemory() *memory {
	return &memory{of: map[string]map[string]scim.Resource{}, calls: map[string]int{}}
}

func (m *memory) enter(ctx context.Context, method string) error {
	if m.before != nil {
		if err := m.before(ctx, method); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.calls[method]++
	return ctx.Err()
}

func (m *memory) Get(ctx context.Context, t *scim.ResourceType, id string) (scim.Resource, error) {
	err := m.enter(ctx, "Get")
	if err != nil {
		return scim.Resource{}, err
	}
	defer m.mu.Unlock()
	r, ok := m.of[t.Name][id]
	if !ok {
		return scim.Resource{}, fmt.Errorf("%s: %w", t.Name, scim.ErrNotFound)
	}
	return r, nil
}

func (m *memory) List(ctx context.Context, t *scim.ResourceType, q scim.Query) (scim.Page, error) {
	if err := m.enter(ctx, "List"); err != nil {
		return scim.Page{}, err
	}
	defer m.mu.Unlock()
	var all []scim.Resource
	for _, r := range m.of[t.Name] {
		if q.Keep == nil || q.Keep(r) {
			all = append(all, r)
		}
	}
	order := func(a, b scim.Resource) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) }
	slices.SortFunc(all, order)
	page := scim.Page{Total: len(all)}
	if q.After != (scim.Position{}) {
		after := scim.Resource{ID: q.After.ID, Created: q.After.Created}
		all = slices.DeleteFunc(all, func(r scim.Resource) bool { return order(r, after) <= 0 })
	}
	all = all[min(q.Skip, len(all)):]
	if q.Limit >= 0 {
		all = all[:min(q.Limit, len(all))]
	}
	page.Resources = all
	return page, nil
}

func (m *memory) Create(ctx context.Context, t *scim.ResourceType, attributes scim.Object) (scim.Resource, error) {
	if err := m.enter(ctx, "Create"); err != nil {
		return scim.Resource{}, err
	}
	defer m.mu.Unlock()
	return m.create(t, "", attributes)
}

func (m *memory) create(t *scim.ResourceType, id string, attributes scim.Object) (scim.Resource, error) {
	if err := m.unique(t, "", attributes); err != nil {
		return scim.Resource{}, err
	}
	m.last++
	if id == "" {
		id = fmt.Sprintf("new%d", m.last)
	}
	created := time.Date(2026, 1, 2, 3, 4, m.last, 0, time.UTC)
	r := scim.Resource{ID: id, Version: fmt.Sprintf("v%d", m.last), Created: created, Modified: created, Attributes: attributes}
	if m.of[t.Name] == nil {
		m.of[t.Name] = map[string]scim.Resource{}
	}
	m.of[t.Name][id] = r
	return r, nil
}

// unique keeps userName and the displayName of groups apart, without case.
func (m *memory) unique(t *scim.ResourceType, id string, attributes scim.Object) error {
	name := "userName"
	if t.Name == "Group" {
		name = "displayName"
	}
	value, _ := attributes[name].(string)
	for _, r := range m.of[t.Name] {
		if other, _ := r.Attributes[name].(string); r.ID != id && strings.EqualFold(other, value) {
			return fmt.Errorf("%s: %w", name, scim.ErrUniqueness)
		}
	}
	return nil
}

func (m *memory) Replace(ctx context.Context, t *scim.ResourceType, c scim.Change) (scim.Resource, error) {
	if err := m.enter(ctx, "Replace"); err != nil {
		return scim.Resource{}, err
	}
	defer m.mu.Unlock()
	r, ok := m.of[t.Name][c.Before.ID]
	switch {
	case !ok:
		return scim.Resource{}, scim.ErrNotFound
	case r.Version != c.Before.Version:
		return scim.Resource{}, scim.ErrVersion
	}
	if err := m.unique(t, r.ID, c.After); err != nil {
		return scim.Resource{}, err
	}
	m.last++
	r.Version, r.Attributes, r.Modified = fmt.Sprintf("v%d", m.last), c.After, r.Modified.Add(time.Second)
	m.of[t.Name][r.ID] = r
	return r, nil
}

func (m *memory) Delete(ctx context.Context, t *scim.ResourceType, id, version string) error {
	if err := m.enter(ctx, "Delete"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	r, ok := m.of[t.Name][id]
	switch {
	case !ok:
		return scim.ErrNotFound
	case version != "" && version != r.Version:
		return scim.ErrVersion
	}
	delete(m.of[t.Name], id)
	return nil
}

func (m *memory) count(method string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[method]
}
