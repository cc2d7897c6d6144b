package scim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// Create implements protocol.Backend.
func (b *Backend) Create(ctx context.Context, t *protocol.ResourceType, attributes protocol.Object) (protocol.Resource, error) {
	c := protocol.Change{Before: protocol.Resource{ID: newID(), Attributes: protocol.Object{}}, After: attributes}
	c.Changed = t.Diff(protocol.Object{}, attributes)
	return b.write(ctx, t, c, 0)
}

// Replace implements protocol.Backend.
func (b *Backend) Replace(ctx context.Context, t *protocol.ResourceType, c protocol.Change) (protocol.Resource, error) {
	expect, err := strconv.ParseInt(c.Before.Version, 10, 64)
	if err != nil {
		return protocol.Resource{}, protocol.ErrVersion
	}
	return b.write(ctx, t, c, expect)
}

// Delete implements protocol.Backend. What is left of a user says that he has left.
func (b *Backend) Delete(ctx context.Context, t *protocol.ResourceType, id, version string) error {
	for {
		was, err := b.Get(ctx, t, id)
		if err != nil {
			return err
		}
		if version != "" && version != was.Version {
			return protocol.ErrVersion
		}
		expect, err := strconv.ParseInt(was.Version, 10, 64)
		if err != nil {
			return protocol.ErrVersion
		}
		w := state.ResourceWrite{Resource: state.Resource{Source: b.o.Source.o.Name, Type: t.Name, ID: id, Deleted: time.Now()}, Expect: expect}
		if w.Body, err = body(t, was.Attributes); err != nil {
			return err
		}
		if w.Due, err = b.dueAfterDelete(ctx, t, id); err != nil {
			return err
		}
		_, err = b.o.Store.WriteResource(ctx, w)
		if errors.Is(err, state.ErrConflict) && version == "" {
			continue // somebody changed it meanwhile, and it is to go all the same
		}
		if err != nil {
			return mended(t, err)
		}
		b.settle(ctx, w.Due)
		return nil
	}
}

func (b *Backend) dueAfterDelete(ctx context.Context, t *protocol.ResourceType, id string) ([]state.DueMark, error) {
	if t.Name == userType {
		return []state.DueMark{{Key: b.key(id), Leaver: true}}, nil
	}
	if !b.o.Source.groups {
		return nil, nil
	}
	people, _, err := b.below(ctx, []string{id})
	return b.marks(people), err
}

func (b *Backend) marks(people []string) []state.DueMark {
	out := make([]state.DueMark, len(people))
	for i, p := range people {
		out[i].Key = b.key(p)
	}
	return out
}

// write keeps a resource and marks whom it is about as due, in one transaction,
// and gives Mattermost a moment to follow.
func (b *Backend) write(ctx context.Context, t *protocol.ResourceType, c protocol.Change, expect int64) (protocol.Resource, error) {
	w := state.ResourceWrite{Resource: state.Resource{Source: b.o.Source.o.Name, Type: t.Name, ID: c.Before.ID}, Expect: expect}
	var err error
	if w.Body, err = body(t, c.After); err != nil {
		return protocol.Resource{}, err
	}
	w.Values = b.values(t, c.After)
	if t.Name == userType && expect > 0 && slices.Equal(w.Values, b.values(t, c.Before.Attributes)) {
		w.Values, w.KeepValues = nil, true // most changes
	}
	if t.Name == groupType {
		err = b.writeGroup(ctx, &w, c)
	} else {
		active, given := c.After["active"].(bool)
		w.Due = []state.DueMark{{Key: b.key(w.ID), Leaver: given && !active}}
		err = b.allowed(ctx, w)
	}
	if err != nil {
		return protocol.Resource{}, err
	}
	kept, err := b.o.Store.WriteResource(ctx, w)
	if name := c.Before.Attributes["userName"]; errors.Is(err, state.ErrTaken) && leaves(w) && name != nil && c.After["userName"] != name {
		// Whoever is to leave is not refused for a name: he leaves under the one he has.
		c.After = maps.Clone(c.After)
		c.After["userName"] = name
		return b.write(ctx, t, c, expect)
	}
	if err != nil {
		return protocol.Resource{}, mended(t, err)
	}
	b.settle(ctx, w.Due)
	return b.written(ctx, t, c, kept)
}

func leaves(w state.ResourceWrite) bool { return len(w.Due) == 1 && w.Due[0].Leaver }

// written is what was kept, as it is answered.
func (b *Backend) written(ctx context.Context, t *protocol.ResourceType, c protocol.Change, kept state.Resource) (protocol.Resource, error) {
	out, err := resource(kept)
	if err != nil {
		return out, err
	}
	if t.Name == groupType {
		b.mu.Lock()
		b.hasGroups = true
		b.mu.Unlock()
		if members := c.After["members"]; members != nil {
			out.Attributes["members"] = members
		}
		return out, nil
	}
	users := []protocol.Resource{out}
	if err := b.addGroups(ctx, users); err != nil {
		return out, err
	}
	if b.o.Inline <= 0 { // nobody can have worked on it
		out.Attributes[StatusURN] = status(&state.Due{Since: kept.Modified})
		return out, nil
	}
	due, err := b.o.Store.DueOf(ctx, []identity.Key{b.key(kept.ID)})
	if err != nil {
		return out, fmt.Errorf("read what is due: %w", err)
	}
	out.Attributes[StatusURN] = status(nil)
	for i := range due {
		out.Attributes[StatusURN] = status(&due[i])
	}
	return out, nil
}

// allowed refuses a person whom Mattermost would not let be so. One that cannot be
// asked now is no reason to refuse anybody: then it shows later, and is held.
func (b *Backend) allowed(ctx context.Context, w state.ResourceWrite) error {
	if !b.o.Refuse {
		return nil
	}
	id, err := b.o.Source.identity(w.Resource, nil)
	if err != nil {
		return err
	}
	if why, err := b.o.Engine.Forbids(ctx, id); err == nil && why != "" {
		return &protocol.Error{Status: http.StatusConflict, Type: protocol.UniquenessErr, Detail: why}
	}
	return nil
}

// settle has those who are due worked on. One person is waited for; what concerns
// many is not.
func (b *Backend) settle(ctx context.Context, due []state.DueMark) {
	if len(due) != 1 || b.o.Inline <= 0 {
		b.o.Engine.Poke()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Inline)
	defer cancel()
	_ = b.o.Engine.Push(ctx, due[0].Key) // it is kept: what could not be done now is done later, and the answer says so
}

// mended says in the protocol's words what the store said.
func mended(t *protocol.ResourceType, err error) error {
	switch {
	case errors.Is(err, state.ErrTaken):
		unique := "userName" // the one value of each type that may be there once
		if t.Name == groupType {
			unique = "displayName"
		}
		return &protocol.Error{Status: http.StatusConflict, Type: protocol.UniquenessErr, Detail: fmt.Sprintf("%s: another %s has this value", unique, t.Name)}
	case errors.Is(err, state.ErrConflict):
		return protocol.ErrVersion
	case errors.Is(err, state.ErrNotFound):
		return protocol.ErrNotFound
	case errors.Is(err, state.ErrInvalid):
		return &protocol.Error{Status: 400, Type: protocol.InvalidValue, Detail: "a value holds a character that cannot be kept (NUL, or not UTF-8)"}
	}
	return fmt.Errorf("keep a resource: %w", err)
}

// body is what is kept of a resource's attributes: not what is answered from
// elsewhere, and never a password.
func body(t *protocol.ResourceType, attributes protocol.Object) ([]byte, error) {
	keep := make(protocol.Object, len(attributes))
	for name, v := range attributes {
		switch {
		case name == "password" || name == StatusURN:
		case t.Name == groupType && name == "members":
		case t.Name == userType && name == "groups":
		default:
			keep[name] = v
		}
	}
	out, err := json.Marshal(keep)
	if err != nil {
		return nil, fmt.Errorf("encode a resource: %w", err)
	}
	return out, nil
}

// values are those by which a resource is found. What is written keeps them where they
// did not change, so that other values need a migration of those that are kept.
func (b *Backend) values(t *protocol.ResourceType, attributes protocol.Object) []state.IndexedValue {
	var out []state.IndexedValue
	put := func(attr string, v any, exact, unique bool) {
		s, _ := v.(string)
		if s == "" {
			return
		}
		if !exact {
			s = fold(s)
		}
		one := state.IndexedValue{Attr: attr, Value: s, Unique: unique}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	put("externalId", attributes["externalId"], true, false)
	if t.Name == groupType {
		put("displayName", attributes["displayName"], false, b.o.UniqueGroups)
		return out
	}
	put("userName", attributes["userName"], false, true)
	mails, _ := attributes["emails"].([]any)
	for _, m := range mails {
		if o, ok := m.(protocol.Object); ok {
			put("emails.value", o["value"], false, false)
		}
	}
	return out
}

// newID is an id that nobody can guess, in the form of a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
