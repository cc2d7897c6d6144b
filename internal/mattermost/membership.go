package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// SpaceError tells that the server does not let somebody into a team or channel, or
// out of it: nothing was changed.
type SpaceError struct {
	Space string // its name
	Why   string // completes "dev "
	All   bool   // it would be so for everybody
	Err   error  // the server's answer
}

func (e *SpaceError) Error() string { return fmt.Sprintf("%s %s: %v", e.Space, e.Why, e.Err) }

// Unwrap gives the server's answer.
func (e *SpaceError) Unwrap() error { return e.Err }

// Refused is always true.
func (e *SpaceError) Refused() bool { return true }

// SpaceTrouble gives what is in the way, in a sentence, and whether it is in everybody's.
func (e *SpaceError) SpaceTrouble() (why string, all bool) { return e.Space + " " + e.Why, e.All }

// spaceRefusal is what the answers about teams and channels mean that do not come from
// the account or the request (seen on 11.6 and 5.38; those about removals from channels
// that groups manage were read in the source).
func spaceRefusal(id string) (why string, all, known bool) {
	switch id {
	case "app.team.get.find.app_error", "app.channel.get.existing.app_error":
		return "is not there any more", true, true
	case "app.team.join_user_to_team.save_member.max_accounts.app_error", "app.team.join_user_to_team.max_accounts.app_error":
		return "is full", true, true
	case "api.team.add_members.user_denied", "api.channel.add_members.user_denied", "api.team.remove_member.group_constrained.app_error",
		"api.channel.remove_member.group_constrained.app_error", "api.channel.remove_members.denied":
		return "is managed by groups of Mattermost's own by now", true, true
	case "api.channel.remove.default.app_error":
		return "is for everybody in its team", true, true
	case "api.team.join_user_to_team.allowed_domains.app_error":
		return "does not take the domain of this e-mail", false, true
	case "app.channel.add_member.deleted_user.app_error":
		return "takes nobody whose account is off", false, true
	case idMissingTeamMember, idLeftTeam:
		return "takes only people who are in its team", false, true
	case "api.channel.add_user.to.channel.rejected":
		return "does not take this person, by rules of the server", false, true
	}
	return "", false, false
}

// ofSpace makes a SpaceError of an answer that comes from the team or channel: of any
// definite refusal, for plugins and policies of a server have ids of their own, and what
// is refused there keeps nothing else from the person. What is said of the token, the
// rate, the call or the account is none.
func ofSpace(name string, err error) error {
	e, ok := asAPI(err)
	if !ok {
		return err
	}
	why, all, known := spaceRefusal(e.ID)
	switch {
	case known:
	case e.Status < 400 || e.Status >= 500, e.away, e.wrongBase, e.ID == "":
		return err
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestEntityTooLarge:
		return err
	case e.ID == "api.context.permissions.app_error", e.ID == idInvalidBody, e.ID == idInvalidParam, e.ID == idMissingAccount:
		return err
	case e.ID == idMissingChannelMember:
		why = "does not have this person any more"
	default:
		why = "stays as it is for this person, by a rule of the server's: " + cut(e.ID, 100)
	}
	return &SpaceError{Space: name, Why: why, All: all, Err: err}
}

const (
	idMissingTeamMember    = "app.team.get_member.missing.app_error"
	idMissingChannelMember = "app.channel.get_member.missing.app_error"
	idLeftTeam             = "api.channel.add_user.to.channel.failed.deleted.app_error"
)

// changeMembership carries out an op about a team or channel. Joining is held to the
// answer, which shows the membership; leaving and roles are read back and
// settled, and what the server does not see yet of a place just given is asked for again. Who is out
// already has left.
func (t *Target) changeMembership(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	name, from, to, _ := op.Space()
	s := plan.Space{ID: op.SpaceID}
	if _, channel := identity.TeamOf(name); channel {
		s.TeamID = "a channel" // which of them does not matter for its address
	}
	kind := string(op.Kind)
	if err := checkID(kind, op.SpaceID); err != nil {
		return identity.Account{}, err
	}
	var err error
	switch {
	case from == "" && to == "" || from == to:
		return identity.Account{}, &RequestError{kind, "nothing to change"}
	case from == "":
		err = t.placed.awaited(ctx, t.o.SettleFor, id, name, func() error { return t.c.join(ctx, id, s) })
		if err == nil {
			t.placed.note(t.o.SettleFor, id, name)
		}
		return identity.Account{ID: id}, ofSpace(name, err)
	case to == "":
		if err = t.c.leave(ctx, id, s); isOut(err) {
			err = nil
		}
	default:
		err = t.placed.awaited(ctx, t.o.SettleFor, id, name, func() error { return t.c.setSpaceAdmin(ctx, id, s, to == "admin") })
	}
	if err != nil {
		return identity.Account{ID: id}, ofSpace(name, err)
	}
	return identity.Account{ID: id}, t.placeShows(ctx, id, op, s)
}

// placeShows reads a membership back until it is as an op leaves it, or SettleFor is
// over: the server reads it from a replica of its database, which may be behind.
func (t *Target) placeShows(ctx context.Context, id string, op plan.Op, s plan.Space) error {
	ctx, cancel := t.afterwards(ctx)
	defer cancel()
	name, _, to, _ := op.Space()
	deadline := time.Now().Add(t.o.SettleFor)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		m, in, err := t.membership(ctx, id, name, s, true)
		if err != nil {
			return &UnverifiedError{AccountID: id, Err: err}
		}
		var now identity.Memberships
		if in {
			now = identity.Memberships{m}
		}
		if op.Shows(now) {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 || sleep(ctx, min(wait, left)) != nil {
			return &MismatchError{AccountID: id, Field: string(op.Changes[0].Field), Want: to, Got: shownPlace(m, in)}
		}
	}
}

// isOut tells the answer about somebody who is not in the team or channel that he was
// to be taken out of.
func isOut(err error) bool {
	e, ok := asAPI(err)
	return ok && e.Status == http.StatusNotFound && (e.ID == idMissingTeamMember || e.ID == idMissingChannelMember)
}

func shownPlace(m identity.Membership, in bool) string {
	switch {
	case !in:
		return ""
	case m.Admin:
		return "admin"
	}
	return "member"
}

// join adds an account to a team or channel. It can be repeated. The answer to another
// account's is no proof.
func (c *Client) join(ctx context.Context, account string, s plan.Space) error {
	body := map[string]string{"user_id": account}
	if s.TeamID == "" {
		body["team_id"] = s.ID
	}
	var w wireMember
	_, err := c.do(ctx, call{method: http.MethodPost, path: spacePath(s) + "/members", body: body, write: true, account: account, decode: into(&w)})
	if err == nil && (w.UserID != account || w.DeleteAt != 0) {
		return &MismatchError{AccountID: account, Field: "membership", Want: "member", Got: ""}
	}
	return err
}

func (c *Client) leave(ctx context.Context, account string, s plan.Space) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: spacePath(s) + "/members/" + account, write: true, account: account})
	return err
}

func (c *Client) setSpaceAdmin(ctx context.Context, account string, s plan.Space, admin bool) error {
	body := map[string]bool{"scheme_admin": admin, "scheme_user": true, "scheme_guest": false}
	_, err := c.do(ctx, call{method: http.MethodPut, path: spacePath(s) + "/members/" + account + "/schemeRoles", body: body, write: true, account: account})
	return err
}
