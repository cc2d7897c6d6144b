package mattermost

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Token is a personal access token as the server lists it; nobody is shown its
// secret.
type Token struct {
	ID          string `json:"id"`
	UserID      string `json:"user_id"`
	Description string `json:"description"`
	Active      bool   `json:"is_active"`
}

// owned is what webhooks, slash commands and OAuth apps have in common. Their
// secrets are in the answers, and are not read.
type owned struct {
	ID          string `json:"id"`
	UserID      string `json:"user_id"`    // of incoming webhooks
	CreatorID   string `json:"creator_id"` // of the others
	TeamID      string `json:"team_id"`
	DisplayName string `json:"display_name"`
	Name        string `json:"name"`    // of OAuth apps
	Trigger     string `json:"trigger"` // of slash commands
	Description string `json:"description"`
	DeleteAt    int64  `json:"delete_at"`
}

// Tokens gives the personal access tokens of an account, disabled ones included.
func (c *Client) Tokens(ctx context.Context, id string) ([]Token, error) {
	if err := checkID("read tokens of user", id); err != nil {
		return nil, err
	}
	var out []Token
	err := pages(ctx, c, "/users/"+id+"/tokens", func(t Token) string { return t.ID }, func(t Token) { out = append(out, t) })
	return out, err
}

// pages passes on everything that a list has, once, and ends at the first page that
// brings nothing new: a short one may only mean that the server gives less than it is
// asked for.
func pages[T any](ctx context.Context, c *Client, path string, id func(T) string, each func(T)) error {
	seen := map[string]bool{}
	for page := 0; ; page++ {
		var list []T
		query := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(usersPerPage)}}
		if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, decode: into(&list)}); err != nil {
			return err
		}
		fresh := false
		for _, one := range list {
			if !seen[id(one)] {
				seen[id(one)], fresh = true, true
				each(one)
			}
		}
		if !fresh {
			return nil
		}
	}
}

func (c *Client) each(ctx context.Context, path string, f func(owned)) error {
	return pages(ctx, c, path, func(o owned) string { return o.ID }, f)
}

// commands gives the slash commands that people made in a team.
func (c *Client) commands(ctx context.Context, team string) ([]owned, error) {
	if err := checkID("list the slash commands of team", team); err != nil {
		return nil, err
	}
	var list []owned
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/commands", query: url.Values{"team_id": {team}, "custom_only": {"true"}}, decode: into(&list),
	})
	return list, err
}

// DisableToken switches a personal access token off; whoever may can enable it again.
// owner is whose it is. A token that is not there is answered with 404. ctx governs it
// until it leaves.
func (c *Client) DisableToken(ctx context.Context, owner, token string) error {
	const op = "disable access token"
	if err := checkID(op, token); err != nil {
		return err
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "/users/tokens/disable", body: map[string]string{"token_id": token},
		write: true, urgent: true, account: owner,
	})
	return err
}

// DisableBot switches a bot off, its account and its record. ctx governs it until it
// leaves.
func (c *Client) DisableBot(ctx context.Context, id string) error {
	if err := checkID("disable bot", id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/bots/" + id + "/disable", write: true, urgent: true, account: id})
	return err
}

// disable carries out an op about something that an account owns, and reads the thing
// back. What is off already is as it was asked to be.
func (t *Target) disable(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	thing := op.Thing()
	call := func() error { return t.c.DisableToken(ctx, id, thing) }
	lives, field := t.tokenLives, plan.FieldToken
	if op.Kind == plan.DisableBot {
		call = func() error { return t.c.DisableBot(ctx, thing) }
		lives, field = t.botLives, plan.FieldBot
	}
	if err := call(); err != nil && !IsNotFound(err) { // one that is not there is looked for below
		return identity.Account{}, err
	}
	after, cancel := t.afterwards(ctx)
	defer cancel()
	var failed error
	a, err := t.readBack(ctx, id, func(identity.Account) *MismatchError {
		on := false
		if on, failed = lives(after, id, thing); failed == nil && on {
			return &MismatchError{AccountID: id, Field: string(field), Want: "disabled", Got: "enabled"}
		}
		return nil
	})
	if failed != nil {
		return identity.Account{}, &UnverifiedError{AccountID: id, Err: failed}
	}
	return a, err
}

func (t *Target) tokenLives(ctx context.Context, owner, id string) (bool, error) {
	list, err := t.c.Tokens(ctx, owner)
	return slices.ContainsFunc(list, func(k Token) bool { return k.ID == id && k.Active }), err
}

func (t *Target) botLives(ctx context.Context, _, id string) (bool, error) {
	a, err := t.c.userByID(ctx, id, true)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil && a.Active(), err
}

// Leftovers gives what still lives of what the accounts own, ordered by the accounts'
// ids, the kinds and the names, and which kinds the server does not list. The things
// of the whole server are read, 200 a request, slash commands with one request for
// each team, tokens with one for each account. No kinds are all.
func (t *Target) Leftovers(ctx context.Context, owners []string, kinds ...plan.LeftoverKind) (plan.Leftovers, error) {
	l := leftovers{t: t, of: make(map[string]bool, len(owners))}
	for _, id := range owners {
		l.of[id] = true
	}
	if len(l.of) == 0 {
		return l.out, nil
	}
	teams, err := t.teams(ctx)
	if err != nil {
		return l.out, fmt.Errorf("list teams: %w", err)
	}
	l.teams = teams
	for _, kind := range plan.LeftoverKinds() {
		if len(kinds) > 0 && !slices.Contains(kinds, kind) {
			continue
		}
		if err := l.list(ctx, kind, owners); IsRefused(err) {
			l.out.Unlisted = append(l.out.Unlisted, unlisted(kind, err))
		} else if err != nil {
			return l.out, fmt.Errorf("list what is left over, %s: %w", kind, err)
		}
	}
	slices.SortFunc(l.out.Things, func(a, b plan.Leftover) int {
		rank := func(k plan.LeftoverKind) int { return slices.Index(plan.LeftoverKinds(), k) }
		return cmp.Or(cmp.Compare(a.OwnerID, b.OwnerID), cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return l.out, nil
}

// Belongings gives the access tokens that are not disabled of each of the accounts, one
// request each, and, if bots is set, their bots that are on. That a server's answer
// does not list the tokens of somebody is said of him; without an answer it is an error.
func (t *Target) Belongings(ctx context.Context, owners []string, bots bool) (map[string]plan.Belongings, error) {
	out := make(map[string]plan.Belongings, len(owners))
	l := leftovers{t: t, of: make(map[string]bool, len(owners))}
	for _, id := range owners {
		if l.of[id] {
			continue
		}
		l.of[id] = true
		var b plan.Belongings
		list, err := t.c.Tokens(ctx, id)
		switch e, answered := asAPI(err); {
		case err == nil:
		case answered && e.Status != http.StatusUnauthorized:
			b.Hidden = strings.TrimSpace(fmt.Sprintf("the server answered %d %s", e.Status, e.ID)) // and not by which request: it stays the same
		default:
			return nil, fmt.Errorf("list the access tokens of account %s: %w", id, err)
		}
		for _, k := range list {
			if k.Active {
				b.Tokens = append(b.Tokens, plan.Leftover{Kind: plan.LeftToken, ID: k.ID, OwnerID: id, Name: k.Description})
			}
		}
		slices.SortFunc(b.Tokens, func(a, b plan.Leftover) int { return cmp.Compare(a.ID, b.ID) })
		out[id] = b
	}
	if !bots || len(l.of) == 0 {
		return out, nil
	}
	if err := l.bots(ctx); err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	slices.SortFunc(l.out.Things, func(a, b plan.Leftover) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	for _, x := range l.out.Things {
		b := out[x.OwnerID]
		b.Bots = append(b.Bots, x)
		out[x.OwnerID] = b
	}
	return out, nil
}

// unlisted takes a 501 for the server's word that it has no such things switched on.
func unlisted(kind plan.LeftoverKind, err error) plan.Unlisted {
	e, ok := asAPI(err)
	return plan.Unlisted{Kind: kind, Why: err.Error(), Off: ok && e.Status == http.StatusNotImplemented}
}

type team struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	DeleteAt int64  `json:"delete_at"`
}

func (t *Target) teams(ctx context.Context) ([]team, error) {
	var out []team
	err := pages(ctx, t.c, "/teams", func(x team) string { return x.ID }, func(x team) { out = append(out, x) })
	return out, err
}

// leftovers is one search.
type leftovers struct {
	t     *Target
	of    map[string]bool
	teams []team
	out   plan.Leftovers
}

func (l *leftovers) list(ctx context.Context, kind plan.LeftoverKind, owners []string) error {
	switch kind {
	case plan.LeftToken:
		for _, id := range owners {
			list, err := l.t.c.Tokens(ctx, id)
			if err != nil {
				return err
			}
			for _, k := range list {
				if k.Active {
					l.add(plan.Leftover{Kind: kind, ID: k.ID, OwnerID: id, Name: k.Description})
				}
			}
		}
		return nil
	case plan.LeftBot:
		return l.bots(ctx)
	case plan.LeftIncoming:
		return l.t.c.each(ctx, "/hooks/incoming", func(o owned) { l.owned(kind, o, o.UserID) })
	case plan.LeftOutgoing:
		return l.t.c.each(ctx, "/hooks/outgoing", func(o owned) { l.owned(kind, o, o.CreatorID) })
	case plan.LeftApp:
		return l.t.c.each(ctx, "/oauth/apps", func(o owned) { l.owned(kind, o, o.CreatorID) })
	case plan.LeftCommand:
		for _, x := range l.teams {
			if x.DeleteAt != 0 {
				continue
			}
			list, err := l.t.c.commands(ctx, x.ID)
			if err != nil {
				return err
			}
			for _, o := range list {
				l.owned(kind, o, o.CreatorID)
			}
		}
	}
	return nil
}

// bots leaves out those whose account is off: switching that off leaves the bot's own
// record as it was.
func (l *leftovers) bots(ctx context.Context) error {
	var mine []Bot
	var ids []string
	err := l.t.c.EachBot(ctx, false, func(b Bot) {
		if l.of[b.OwnerID] && b.UserID != b.OwnerID { // an account that was made a bot owns itself
			mine, ids = append(mine, b), append(ids, b.UserID)
		}
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	on := map[string]bool{}
	_, err = l.t.Observe(ctx, ids, 0, func(a identity.Account) error {
		on[a.ID] = a.Active()
		return nil
	})
	for _, b := range mine {
		if on[b.UserID] {
			l.add(plan.Leftover{Kind: plan.LeftBot, ID: b.UserID, OwnerID: b.OwnerID, Name: b.Username})
		}
	}
	return err
}

func (l *leftovers) owned(kind plan.LeftoverKind, o owned, owner string) {
	if !l.of[owner] || o.DeleteAt != 0 {
		return
	}
	name := cmp.Or(o.DisplayName, o.Name, o.Description)
	if kind == plan.LeftCommand {
		name = "/" + o.Trigger
	}
	found := plan.Leftover{Kind: kind, ID: o.ID, OwnerID: owner, Name: name, Team: o.TeamID}
	for _, x := range l.teams {
		if x.ID == o.TeamID {
			found.Team = x.Name
		}
	}
	l.add(found)
}

func (l *leftovers) add(found plan.Leftover) { l.out.Things = append(l.out.Things, found) }
