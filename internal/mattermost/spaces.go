package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// wireSpace is a team or a channel as the server shows it.
type wireSpace struct {
	ID             string `json:"id"`
	TeamID         string `json:"team_id"` // of a channel
	DeleteAt       int64  `json:"delete_at"`
	Constrained    *bool  `json:"group_constrained"`
	Email          string `json:"email"`           // of a team
	AllowedDomains string `json:"allowed_domains"` // of a team
}

// wireMember is somebody's place in a team or channel. A team's list of one person
// keeps those that have ended.
type wireMember struct {
	TeamID    string `json:"team_id"`
	ChannelID string `json:"channel_id"`
	UserID    string `json:"user_id"`
	DeleteAt  int64  `json:"delete_at"`
	Admin     bool   `json:"scheme_admin"`
}

// defaultChannel is the one that nobody in its team can be taken out of.
const defaultChannel = "town-square"

// Spaces finds teams ("team") and channels ("team/channel") by the names that stand in
// their addresses. One that is not there is given with its trouble; the server's answer
// about channels leaves archived ones out. How much room teams have is known where the
// server's configuration may be read. It costs one request for each, and a second one
// for each team.
func (t *Target) Spaces(ctx context.Context, names []string) (map[string]plan.Space, error) {
	if len(names) == 0 {
		return nil, nil
	}
	most, err := t.mostPerTeam(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]plan.Space, len(names))
	var mu sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(cap(t.c.slots))
	for _, name := range names {
		group.Go(func() error {
			s, err := t.c.space(gctx, name)
			if err == nil && most > 0 && s.TeamID == "" && s.ID != "" {
				s.Room, err = t.c.room(gctx, s.ID, most)
			}
			if err != nil {
				return fmt.Errorf("look up %s: %w", cut(name, 140), err)
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = s
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// mostPerTeam is how many active members the server allows a team; 0 if that is not
// known.
func (t *Target) mostPerTeam(ctx context.Context) (int, error) {
	s, _, err := t.settings(ctx)
	return s.MaxUsersPerTeam, err
}

func (c *Client) space(ctx context.Context, name string) (plan.Space, error) {
	team, channel, isChannel := strings.Cut(name, "/")
	if !validSlug(team) || isChannel && !validSlug(channel) {
		return plan.Space{}, &RequestError{"look up team or channel", "nothing can be called " + cut(name, 140)}
	}
	path, shown := "/teams/name/"+team, "/teams/name/{team}"
	if isChannel {
		path, shown = path+"/channels/name/"+channel, shown+"/channels/name/{channel}"
	}
	var w wireSpace
	_, err := c.do(ctx, call{method: http.MethodGet, path: path, shown: shown, decode: into(&w)})
	s := plan.Space{ID: w.ID, TeamID: w.TeamID, Room: -1, ForAll: isChannel && channel == defaultChannel}
	switch {
	case IsNotFound(err):
		return plan.Space{Trouble: plan.SpaceMissing, Room: -1}, nil
	case err != nil:
		return s, err
	case !validID(w.ID):
		return s, &RequestError{"look up " + shown, "the answer holds no id"}
	case w.DeleteAt != 0 && isChannel:
		s.Trouble = plan.SpaceMissing
	case w.DeleteAt != 0:
		s.Trouble = plan.SpaceArchived
	case w.Constrained != nil && *w.Constrained:
		s.Trouble = plan.SpaceByGroups
	}
	if !isChannel {
		s.Email = w.Email
		s.Domains = domainList(w.AllowedDomains)
	}
	return s, nil
}

// room is how many more active members a team takes.
func (c *Client) room(ctx context.Context, team string, most int) (int, error) {
	var b struct {
		Active int `json:"active_member_count"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/teams/" + team + "/stats", shown: "/teams/{team_id}/stats", decode: into(&b)})
	if IsNotFound(err) {
		return -1, nil
	}
	return max(most-b.Active, 0), err
}

// memberWalks is how often the list of a channel is walked at the most.
const memberWalks = 4

// Members passes on who is in a team or channel, deactivated accounts included, each
// once, 200 a request. Somebody who joins or leaves meanwhile may be missed. The server
// gives the people of a channel in no order (SqlChannelStore.GetMembers; those of a team
// are ordered), so that rows go from one page to another while it is read: one of several
// pages is walked until a walk finds nobody new. That is no proof that somebody who is
// missing is out.
func (t *Target) Members(ctx context.Context, name string, s plan.Space, each func(account string, m identity.Membership)) error {
	path := spacePath(s) + "/members"
	seen := map[string]bool{}
	for walk := range memberWalks {
		rows, before := 0, len(seen)
		err := pages(ctx, t.c, path, func(w wireMember) string { return w.UserID }, func(w wireMember) {
			rows++
			if w.DeleteAt == 0 && !seen[w.UserID] {
				seen[w.UserID] = true
				each(w.UserID, identity.Membership{Space: name, ID: s.ID, Admin: w.Admin})
			}
		})
		switch {
		case IsNotFound(err): // it vanished meanwhile, and everybody's place with it
			return nil
		case err != nil:
			return fmt.Errorf("list who is in %s: %w", name, err)
		case s.TeamID == "", rows < usersPerPage, walk > 0 && len(seen) == before:
			return nil
		}
	}
	return nil
}

func spacePath(s plan.Space) string {
	if s.TeamID != "" {
		return "/channels/" + s.ID
	}
	return "/teams/" + s.ID
}

// fewPlaces is up to how many channels are asked for one by one: the list of all that
// somebody is in holds 200 a request.
const fewPlaces = 4

// Memberships gives in which of the teams and channels an account is: with one request
// for each team, and for channels with one each if they are few, else with the list of
// all that it is in.
func (t *Target) Memberships(ctx context.Context, account string, spaces map[string]plan.Space) (identity.Memberships, error) {
	if err := checkID("read memberships of account", account); err != nil {
		return nil, err
	}
	var singly []string
	listed := map[string]string{} // name by id
	for name, s := range spaces {
		switch {
		case s.ID == "":
		case s.TeamID == "":
			singly = append(singly, name)
		default:
			listed[s.ID] = name
		}
	}
	var in []identity.Membership
	if len(listed) > fewPlaces && t.c.Version().AtLeast(6, 2) {
		err := pages(ctx, t.c, "/users/"+account+"/channel_members", func(w wireMember) string { return w.ChannelID }, func(w wireMember) {
			if name, asked := listed[w.ChannelID]; asked {
				in = append(in, identity.Membership{Space: name, ID: w.ChannelID, Admin: w.Admin})
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list the channels of account %s: %w", account, err)
		}
	} else {
		for _, name := range listed {
			singly = append(singly, name)
		}
	}
	slices.Sort(singly)
	for _, name := range singly {
		m, ok, err := t.membership(ctx, account, name, spaces[name], false)
		if err != nil {
			return nil, fmt.Errorf("read whether account %s is in %s: %w", account, name, err)
		}
		if ok {
			in = append(in, m)
		}
	}
	return identity.NewMemberships(in...), nil
}

// membership reads one person's place in one space.
func (t *Target) membership(ctx context.Context, account, name string, s plan.Space, urgent bool) (identity.Membership, bool, error) {
	var w wireMember
	_, err := t.c.do(ctx, call{method: http.MethodGet, path: spacePath(s) + "/members/" + account, urgent: urgent, decode: into(&w)})
	switch {
	case IsNotFound(err):
		return identity.Membership{}, false, nil
	case err != nil:
		return identity.Membership{}, false, err
	case w.UserID != account || w.DeleteAt != 0:
		return identity.Membership{}, false, nil
	}
	return identity.Membership{Space: name, ID: s.ID, Admin: w.Admin}, true, nil
}
