package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/state"
)

// The names of the resource types.
const (
	userType  = "User"
	groupType = "Group"
)

// Options describe one source.
type Options struct {
	Name   string
	Mapper *sources.Mapper
	Store  state.ResourceStore // may come later, by Use
	// User is the type whose attributes the mapping names; nil is UserType.
	User *protocol.ResourceType
}

// Source is the people whom one client pushes.
type Source struct {
	o      Options
	groups bool // whether groups matter to anybody's roles
}

// New checks that the mapping names what a User has, and keeps people by their id.
func New(o Options) (*Source, error) {
	if o.User == nil {
		o.User = UserType(false)
	}
	if name, _, ok := o.Mapper.AnchorAttribute(); !ok || !strings.EqualFold(name, "id") {
		return nil, fmt.Errorf("source %s: people who are pushed are kept by the id that mmsync gives them; write id_attribute: attr.id", o.Name)
	}
	has, among := known(o.User)
	if err := o.Mapper.CheckNames(has, among...); err != nil {
		return nil, err
	}
	names, all := o.Mapper.GroupNames()
	return &Source{o: o, groups: all || len(names) > 0}, nil
}

// Use says where the resources are kept.
func (s *Source) Use(store state.ResourceStore) { s.o.Store = store }

// Name gives the source's name.
func (s *Source) Name() string { return s.o.Name }

// Snapshot gives everybody who was ever pushed; whoever was deleted has left.
// It is complete: what clients pushed is all there is. Those for whom known, if not
// nil, says yes are counted and left out.
func (s *Source) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	up, err := s.ancestry(ctx)
	if err != nil {
		return identity.Snapshot{}, err
	}
	if known == nil {
		known = func(identity.Identity) bool { return false }
	}
	c := sources.NewCollector(s.o.Mapper, known)
	err = s.o.Store.EachResource(ctx, s.o.Name, userType, func(r state.Resource) error {
		rec, err := s.record(r, up.of(r.ID))
		if err != nil {
			return err
		}
		c.Add(rec)
		return ctx.Err()
	})
	if err != nil {
		return identity.Snapshot{}, fmt.Errorf("read what was pushed: %w", err)
	}
	return c.Snapshot("scim:" + s.o.Name), nil
}

// record makes a Record of a resource; who was deleted or is not active has left.
func (s *Source) record(r state.Resource, groups []string) (sources.Record, error) {
	attributes, err := decode(r.Body)
	if err != nil {
		return sources.Record{}, fmt.Errorf("read %s %s: %w", r.Type, r.ID, err)
	}
	active, given := attributes["active"].(bool)
	rec := record(s.o.User, r.ID, attributes, groups)
	rec.Left, rec.Deleted = !r.Deleted.IsZero() || (given && !active), r.Deleted
	return rec, nil
}

// identity maps a resource, once it is known in which groups it is.
func (s *Source) identity(r state.Resource, groups []string) (identity.Identity, error) {
	rec, err := s.record(r, groups)
	if err != nil {
		return identity.Identity{}, err
	}
	return s.o.Mapper.Identity(rec)
}

// Wanted gives how people are wanted now; ids that were never pushed are left out.
func (s *Source) Wanted(ctx context.Context, ids []string) ([]identity.Identity, error) {
	list, err := s.o.Store.Resources(ctx, state.ResourceFilter{Source: s.o.Name, Type: userType, IDs: ids, Deleted: true})
	if err != nil {
		return nil, fmt.Errorf("read what was pushed: %w", err)
	}
	out := make([]identity.Identity, 0, len(list))
	for _, r := range list {
		var groups []string
		if s.groups {
			if groups, err = s.groupsOf(ctx, r.ID); err != nil {
				return nil, err
			}
		}
		id, err := s.identity(r, groups)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	slices.SortFunc(out, identity.CompareIdentity)
	return out, nil
}

// Confirm knows nothing: that somebody was not pushed does not say that he left.
func (s *Source) Confirm(_ context.Context, ids []string) (map[string]identity.Presence, error) {
	out := make(map[string]identity.Presence, len(ids))
	for _, id := range ids {
		out[id] = identity.PresenceUnknown
	}
	return out, nil
}

// Check tells how much was pushed.
func (s *Source) Check(ctx context.Context) []identity.Finding {
	users, err := s.o.Store.CountResources(ctx, state.ResourceFilter{Source: s.o.Name, Type: userType})
	groups := 0
	if err == nil {
		groups, err = s.o.Store.CountResources(ctx, state.ResourceFilter{Source: s.o.Name, Type: groupType})
	}
	if err != nil {
		return []identity.Finding{{Part: "resources", Level: identity.LevelFail, Text: "what was pushed cannot be read: " + err.Error(), Mend: "see that the store is up"}}
	}
	if users == 0 {
		return []identity.Finding{{
			Part: "resources", Level: identity.LevelWarn, Text: "nobody was pushed yet",
			Mend: "make a token with mmsync token create --source " + s.o.Name + " --name …, and give it to the identity provider together with the address of mmsync serve",
		}}
	}
	return []identity.Finding{{Part: "resources", Level: identity.LevelOK, Text: fmt.Sprintf("%d users and %d groups were pushed", users, groups)}}
}

// Lookup finds a person's raw entry by id, externalId, userName or e-mail address.
func (s *Source) Lookup(ctx context.Context, query string) (sources.Record, bool, error) {
	for _, f := range []state.ResourceFilter{
		{IDs: []string{query}}, {Attr: "externalId", Value: query}, {Attr: "userName", Value: fold(query)}, {Attr: "emails.value", Value: fold(query)},
	} {
		f.Source, f.Type, f.Deleted, f.Limit = s.o.Name, userType, len(f.IDs) > 0, 1
		list, err := s.o.Store.Resources(ctx, f)
		if err != nil {
			return sources.Record{}, false, fmt.Errorf("look for a person: %w", err)
		}
		if len(list) == 0 {
			continue
		}
		groups, err := s.groupsOf(ctx, list[0].ID)
		if err != nil {
			return sources.Record{}, false, err
		}
		rec, err := s.record(list[0], groups)
		return rec, err == nil, err
	}
	return sources.Record{}, false, nil
}

// decode reads the attributes of a stored resource.
func decode(body []byte) (protocol.Object, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var o protocol.Object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("decode its attributes: %w", err)
	}
	if o == nil {
		return nil, errors.New("it has no attributes")
	}
	return o, nil
}
