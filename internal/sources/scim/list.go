package scim

import (
	"context"
	"fmt"
	"strings"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/scim/filter"
	"github.com/mmsync/mmsync/internal/state"
)

// scanPage is how many resources are read at a time where no index answers.
const scanPage = 500

// List implements protocol.Backend. An equality of an indexed attribute is
// answered from the index; everything else is looked through.
func (b *Backend) List(ctx context.Context, t *protocol.ResourceType, q protocol.Query) (protocol.Page, error) {
	if q.Where == nil {
		return b.all(ctx, t, q)
	}
	f := index(t, q.Where)
	f.Limit = scanPage
	var page protocol.Page
	passed := 0
	for {
		part, err := b.read(ctx, t, f)
		if err != nil {
			return page, err
		}
		for _, r := range part {
			if q.Keep != nil && !q.Keep(r) {
				continue
			}
			page.Total++
			if before(r, q.After) {
				continue
			}
			if passed++; passed > q.Skip && (q.Limit < 0 || len(page.Resources) < q.Limit) {
				page.Resources = append(page.Resources, r)
			}
		}
		if len(part) < scanPage {
			return page, nil
		}
		if err := ctx.Err(); err != nil {
			return page, err
		}
		last := part[len(part)-1]
		f.AfterCreated, f.AfterID = last.Created, last.ID
	}
}

// before tells a resource that an earlier page had.
func before(r protocol.Resource, at protocol.Position) bool {
	if at.ID == "" {
		return false
	}
	c := r.Created.Compare(at.Created)
	return c < 0 || (c == 0 && r.ID <= at.ID)
}

// all gives a page of everything.
func (b *Backend) all(ctx context.Context, t *protocol.ResourceType, q protocol.Query) (protocol.Page, error) {
	var page protocol.Page
	var err error
	if page.Total, err = b.o.Store.CountResources(ctx, state.ResourceFilter{Source: b.o.Source.o.Name, Type: t.Name}); err != nil {
		return page, fmt.Errorf("count resources: %w", err)
	}
	if q.Limit == 0 {
		return page, nil
	}
	page.Resources, err = b.read(ctx, t, state.ResourceFilter{
		Skip: q.Skip, Limit: max(q.Limit, 0), AfterCreated: q.After.Created, AfterID: q.After.ID,
	})
	return page, err
}

// index gives what of a filter an index answers: one equality that every match has.
func index(t *protocol.ResourceType, where filter.Expr) state.ResourceFilter {
	var f state.ResourceFilter
	for _, eq := range filter.Equalities(where) {
		value, ok := eq.Value.(string)
		if !ok {
			continue
		}
		name := eq.Attr.Name
		if eq.Attr.Sub != "" {
			name += "." + eq.Attr.Sub
		}
		if eq.Attr.URN != "" && !strings.EqualFold(eq.Attr.URN, t.Schema.ID) {
			continue
		}
		switch strings.ToLower(name) {
		case "id":
			f.IDs = []string{value}
			return f
		case "externalid":
			f.Attr, f.Value = "externalId", value
			return f
		case "username":
			if t.Name == userType {
				f.Attr, f.Value = "userName", fold(value)
				return f
			}
		case "displayname":
			if t.Name == groupType {
				f.Attr, f.Value = "displayName", fold(value)
				return f
			}
		case "emails", "emails.value":
			if t.Name == userType && f.Attr == "" {
				f.Attr, f.Value = "emails.value", fold(value)
			}
		case "members", "members.value":
			if t.Name == groupType && f.Member == "" && f.Attr == "" {
				f.Member = value
			}
		}
	}
	return f
}
