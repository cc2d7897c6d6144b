package scim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// create serves POST, RFC 7644 section 3.3.
func (h *Handler) create(ctx context.Context, c *call, t *ResourceType, body Object) (answer, error) {
	if err := c.writable(t); err != nil {
		return answer{}, err
	}
	p, err := c.projection()
	if err != nil {
		return answer{}, err
	}
	attributes, err := t.Accept(body, nil, c.lenient, c.noted)
	if err != nil {
		return answer{}, err
	}
	r, err := c.session.Backend.Create(ctx, t, attributes)
	if err != nil {
		return answer{}, err
	}
	c.note(r, t.Diff(nil, r.Attributes))
	return h.shown(c, t, r, p, http.StatusCreated), nil
}

// read serves GET of one resource, RFC 7644 section 3.4.1.
func (h *Handler) read(ctx context.Context, c *call, t *ResourceType, id string) (answer, error) {
	if err := c.readable(t); err != nil {
		return answer{}, err
	}
	p, err := c.projection()
	if err != nil {
		return answer{}, err
	}
	r, err := c.session.Backend.Get(ctx, t, id)
	if err != nil {
		return answer{}, err
	}
	c.note(r, nil)
	cond := c.condition()
	if hasTag(cond.noneMatch, r.Version) {
		return answer{status: http.StatusNotModified, etag: entityTag(r.Version)}, nil
	}
	if err := cond.check(r.Version); err != nil {
		return answer{}, err
	}
	return h.shown(c, t, r, p, http.StatusOK), nil
}

// replace serves PUT, RFC 7644 section 3.5.1.
func (h *Handler) replace(ctx context.Context, c *call, t *ResourceType, id string, body Object) (answer, error) {
	p, err := c.projection()
	if err != nil {
		return answer{}, err
	}
	r, err := h.change(ctx, c, t, id, t.ofBody(body), func(before Resource) (Object, error) {
		return t.Accept(body, &before, c.lenient, c.noted)
	})
	if err != nil {
		return answer{}, err
	}
	return h.shown(c, t, r, p, http.StatusOK), nil
}

// patch serves PATCH, RFC 7644 section 3.5.2.
func (h *Handler) patch(ctx context.Context, c *call, t *ResourceType, id string, doc Object) (answer, error) {
	p, err := c.projection()
	if err != nil {
		return answer{}, err
	}
	ops, fault := c.patchOps(doc)
	r, err := h.change(ctx, c, t, id, c.ofPatch(t, doc), func(before Resource) (Object, error) {
		if fault != nil {
			return nil, fault
		}
		return t.Patch(before, ops, c.lenient, c.noted)
	})
	if err != nil {
		return answer{}, err
	}
	asked := c.params["attributes"] != "" || c.params["excludedAttributes"] != ""
	a := h.shown(c, t, r, p, http.StatusOK)
	if !asked && h.quiet(t, r) {
		a.status, a.body = http.StatusNoContent, nil
	}
	return a, nil
}

// quiet tells whether a PATCH of a resource is answered without it.
func (h *Handler) quiet(t *ResourceType, r Resource) bool {
	if !slices.Contains(h.o.QuietPatch, t.Name) {
		return false
	}
	longest := 0
	for _, v := range r.Attributes {
		list, _ := v.([]any)
		longest = max(longest, len(list))
	}
	return h.o.QuietAbove == 0 || longest > h.o.QuietAbove
}

// change writes what next makes of a resource. What is the same already is not
// written, so that its version stays. What somebody else wrote meanwhile is read
// again, unless the version was asked for. Of a change that is refused the departure is
// left, if it is one.
func (h *Handler) change(
	ctx context.Context, c *call, t *ResourceType, id string, d departure, next func(Resource) (Object, error),
) (Resource, error) {
	if err := c.writable(t); err != nil {
		return Resource{}, err
	}
	free, err := h.locks.take(ctx, t.Name+"/"+id)
	if err != nil {
		return Resource{}, err
	}
	defer free()
	cond := c.condition()
	var r Resource
	err = h.retry(ctx, func() error {
		before, err := edit(ctx, c.session.Backend, t, id)
		if err != nil {
			return err
		}
		c.note(before, nil)
		if err := cond.check(before.Version); err != nil {
			return err
		}
		after, err := next(before)
		if err == nil {
			r, err = h.put(ctx, c, t, before, after)
		}
		if refused(err) {
			if after, ok := c.leave(t, before, d); ok {
				r, err = h.put(ctx, c, t, before, after)
			}
		}
		return err
	})
	return r, err
}

// put has the backend keep what a resource is to be, if that is not what it is.
func (h *Handler) put(ctx context.Context, c *call, t *ResourceType, before Resource, after Object) (Resource, error) {
	changed := t.Diff(before.Attributes, after)
	if len(changed) == 0 {
		return c.session.Backend.Get(ctx, t, before.ID)
	}
	r, err := c.session.Backend.Replace(ctx, t, Change{Before: before, After: after, Changed: changed})
	if err == nil {
		c.note(r, changed)
	}
	return r, err
}

func edit(ctx context.Context, b Backend, t *ResourceType, id string) (Resource, error) {
	if e, ok := b.(Editor); ok {
		return e.Edit(ctx, t, id)
	}
	return b.Get(ctx, t, id)
}

// retry does something again for as long as the version has changed meanwhile.
func (h *Handler) retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if !errors.Is(err, ErrVersion) {
			return err
		}
		if try == h.limits.Tries {
			return fmt.Errorf("%w: others change the resource all the time", ErrBusy)
		}
		pause := time.Duration(1+rand.IntN(min(try, 10)*5)) * time.Millisecond //nolint:gosec // jitter
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove serves DELETE, RFC 7644 section 3.6.
func (h *Handler) remove(ctx context.Context, c *call, t *ResourceType, id string) (answer, error) {
	if err := c.writable(t); err != nil {
		return answer{}, err
	}
	free, err := h.locks.take(ctx, t.Name+"/"+id)
	if err != nil {
		return answer{}, err
	}
	defer free()
	cond := c.condition()
	err = h.retry(ctx, func() error {
		version := ""
		if cond.match != nil || cond.noneMatch != nil {
			r, err := c.session.Backend.Get(ctx, t, id)
			if err != nil {
				return err
			}
			if err := cond.check(r.Version); err != nil {
				return err
			}
			version = r.Version
		}
		return c.session.Backend.Delete(ctx, t, id, version)
	})
	if err != nil {
		return answer{}, err
	}
	c.touched = id
	return answer{status: http.StatusNoContent}, nil
}

// shown answers with a resource. Its address is in the Location of every answer that
// has one, as RFC 7644 section 3.1 shows.
// Who may not read sees that it is there.
func (h *Handler) shown(c *call, t *ResourceType, r Resource, p Projection, status int) answer {
	if !c.mayRead(t) {
		p = Projection{attributes: []filter.Attr{{Name: "id"}}}
	}
	location, _ := t.Meta(r, h.base)["location"].(string)
	return answer{status: status, body: t.Show(r, h.base, p), etag: entityTag(r.Version), location: location}
}

// note remembers which resource was touched and how.
func (c *call) note(r Resource, changed []Changed) {
	c.touched = r.ID
	c.changed = nil
	for _, ch := range changed {
		c.changed = append(c.changed, ch.Attr)
	}
}
