package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Vacant tells of channels that [Target.Spaces] did not find which of them really have
// nothing of their name: an archived one keeps it, and is found when it is asked for. A
// private channel that the token may not see looks like none; the server refuses to make
// another one of its name.
func (t *Target) Vacant(ctx context.Context, channels []string) (map[string]bool, error) {
	out := make(map[string]bool, len(channels))
	for _, name := range channels {
		team, channel, isChannel := strings.Cut(name, "/")
		if !isChannel || !validSlug(team) || !validSlug(channel) {
			return nil, &RequestError{"look up archived channel", "nothing can be called " + cut(name, 140)}
		}
		var w wireSpace
		_, err := t.c.do(ctx, call{
			method: http.MethodGet, path: "/teams/name/" + team + "/channels/name/" + channel, shown: "/teams/name/{team}/channels/name/{channel}",
			query: url.Values{"include_deleted": {"true"}}, decode: into(&w),
		})
		switch {
		case IsNotFound(err):
			out[name] = true
		case err != nil:
			return nil, fmt.Errorf("look whether %s is archived: %w", cut(name, 140), err)
		}
	}
	return out, nil
}

// madeSpace is a team or channel as the server shows it to whoever has made it.
type madeSpace struct {
	wireSpace
	Name string `json:"name"`
	Type string `json:"type"`
}

// unmakeable says why the server did not make a team or channel, in words that complete
// its name; "" if the answer is about something else. (Names that are taken and names
// that are not allowed were seen on 11.6 and 5.38, the rest is read in its source.)
func unmakeable(e *APIError) string {
	switch id := e.ID; {
	case id == "store.sql_team.save_team.existing.app_error", id == "app.team.save.existing.app_error",
		id == "store.sql_channel.save_channel.exists.app_error", id == "store.sql_channel.save_channel.previously.app_error":
		return "is not made, for its name is taken, by one that is archived or that mmsync's token may not see: restore that one, or write another name in the rules"
	case strings.HasPrefix(id, "model.team.is_valid."), strings.HasPrefix(id, "model.channel.is_valid."):
		return "is not made, for the server allows no such name or display name: correct it in the configuration"
	case strings.HasPrefix(id, "api.channel.create_channel.max_channel_limit"), strings.HasPrefix(id, "store.sql_channel.save_channel.limit"):
		return "is not made, for its team has as many channels as the server allows: raise TeamSettings.MaxChannelsPerTeam, or archive some"
	case id == idMissingTeam:
		return "is not made, for its team is not there"
	case IsForbidden(e):
		return "is not made, for mmsync's token may not make it: give its owner system_admin, or make it in Mattermost"
	}
	return ""
}

const idMissingTeam = "app.team.get_by_name.missing.app_error"

// makeSpace makes a team by invitation only, or a channel of a team that is there. The
// account it gives has the new one's id and nothing else. What the server makes is held
// to what was asked. The token's own account is its member and administrator from then on.
func (t *Target) makeSpace(ctx context.Context, op plan.Op) (identity.Account, error) {
	name, _ := op.Makes()
	title, _ := op.To(plan.FieldTitle)
	team, channel, isChannel := strings.Cut(name, "/")
	path, body := "/teams", map[string]string{"name": team, "display_name": title, "type": "I"}
	if isChannel {
		of, err := t.c.space(ctx, team)
		switch {
		case err != nil:
			return identity.Account{}, fmt.Errorf("look up the team of %s: %w", cut(name, 140), err)
		case of.ID == "" || of.Trouble == plan.SpaceArchived:
			return identity.Account{}, &SpaceError{Space: name, Why: "is not made, for its team is not there, or is archived", Err: &RequestError{string(op.Kind), "there is no such team"}}
		}
		path, body = "/channels", map[string]string{"team_id": of.ID, "name": channel, "display_name": title, "type": "P"}
		if op.Changes[0].To == plan.Public {
			body["type"] = "O"
		}
	}
	var w madeSpace
	_, err := t.c.do(ctx, call{method: http.MethodPost, path: path, body: body, write: true, decode: into(&w)})
	if e, ok := asAPI(err); ok {
		if why := unmakeable(e); why != "" {
			return identity.Account{}, &SpaceError{Space: name, Why: why, Err: err}
		}
	}
	if err != nil {
		return identity.Account{}, err
	}
	if w.Name != body["name"] || w.Type != body["type"] || w.DeleteAt != 0 || !validID(w.ID) || w.TeamID != body["team_id"] {
		return identity.Account{ID: w.ID}, &MismatchError{AccountID: w.ID, Field: string(op.Changes[0].Field), Want: body["type"] + " " + body["name"], Got: w.Type + " " + w.Name}
	}
	return identity.Account{ID: w.ID}, nil
}
