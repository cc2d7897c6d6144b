package mattermost

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ErrNotAllowed is returned for a request that is not in the table of routes,
// or that writes through a client made with ReadOnly. Nothing was sent.
var ErrNotAllowed = errors.New("mmsync does not make this request")

const apiPrefix = "/api/v4"

const passwordPath = "/users/{user_id}/password"

// permanent is the parameter by which the server deletes an account and all it wrote.
const permanent = "permanent"

// Route is one line of the table of requests this package can make.
type Route struct {
	Method string
	// Path is below /api/v4; {user_id}, {bot_id}, {team_id} and {channel_id} stand for
	// a 26-character id, {email}, {team} and {channel} for one segment.
	Path string
	// Query lists the only parameters that may be sent.
	Query []string
	// Writes tells a request that changes something.
	Writes bool
	// Purpose says in a few words what the request is for.
	Purpose string
}

// Routes is the table of all requests this package can make, reads first.
// Only a client made with Deletions deletes for good, and only one made with Passwords
// sets one, which nobody knows.
func Routes() []Route {
	return []Route{
		{http.MethodGet, "/system/ping", []string{"get_server_status"}, false, "is the server up, and its database"},
		{http.MethodGet, "/config/client", []string{"format"}, false, "version, server id, site URL, e-mail verification, guests"},
		{http.MethodGet, "/config", nil, false, "settings that explain refusals"},
		{http.MethodGet, "/license/client", []string{"format"}, false, "licensed or not, and for what"},
		{http.MethodGet, "/limits/server", nil, false, "seats"},
		{http.MethodGet, "/bots", []string{"page", "per_page", "include_deleted"}, false, "who owns bots, before an account is adopted or switched off"},
		{http.MethodGet, "/bots/{bot_id}", []string{"include_deleted"}, false, "the owner of mmsync's own bot"},
		{http.MethodGet, "/users", []string{"page", "per_page", "role"}, false, "audit, administrators"},
		{http.MethodGet, "/users/me", nil, false, "the token's account"},
		{http.MethodGet, "/users/{user_id}", nil, false, "one account"},
		{http.MethodGet, "/users/{user_id}/tokens", []string{"page", "per_page"}, false, "does an account own access tokens, before it is adopted, after it was switched off, before it is switched on"},
		{http.MethodGet, "/users/{user_id}/sessions", nil, false, "when an account was last in use, for a question about its owner"},
		{http.MethodGet, "/users/email/{email}", nil, false, "one account"},
		{http.MethodGet, "/teams/name/{team}/channels/name/{channel}", []string{"include_deleted"}, false, "the channel that notices go to, and those that rules name"},
		{http.MethodGet, "/teams", []string{"page", "per_page"}, false, "where slash commands of leavers may be"},
		{http.MethodGet, "/hooks/incoming", []string{"page", "per_page"}, false, "webhooks of leavers"},
		{http.MethodGet, "/hooks/outgoing", []string{"page", "per_page"}, false, "webhooks of leavers"},
		{http.MethodGet, "/commands", []string{"team_id", "custom_only"}, false, "slash commands of leavers"},
		{http.MethodGet, "/oauth/apps", []string{"page", "per_page"}, false, "OAuth apps of leavers"},
		{http.MethodGet, "/custom_profile_attributes/fields", nil, false, "which user attributes there are, where a source gives some"},
		{http.MethodGet, "/users/{user_id}/custom_profile_attributes", nil, false, "user attributes of one account, after they were set"},
		{http.MethodGet, "/teams/name/{team}", nil, false, "a team that rules name"},
		{http.MethodGet, "/teams/{team_id}/stats", nil, false, "how full a team is that rules name"},
		{http.MethodGet, "/teams/{team_id}/members", []string{"page", "per_page"}, false, "who is in a team that rules name"},
		{http.MethodGet, "/teams/{team_id}/members/{user_id}", nil, false, "is an account in a team that rules name"},
		{http.MethodGet, "/channels/{channel_id}/members", []string{"page", "per_page"}, false, "who is in a channel that rules name"},
		{http.MethodGet, "/channels/{channel_id}/members/{user_id}", nil, false, "is an account in a channel that rules name"},
		{http.MethodGet, "/users/{user_id}/channel_members", []string{"page", "per_page"}, false, "in which of the channels that rules name an account is"},
		{http.MethodPost, "/users/ids", []string{"since"}, false, "many accounts by id"},
		{http.MethodPost, "/users/usernames", nil, false, "many accounts by username"},

		{http.MethodPost, "/users", nil, true, "create an account"},
		{http.MethodPut, "/users/{user_id}/patch", nil, true, "change profile fields"},
		{http.MethodPut, "/users/{user_id}/active", nil, true, "deactivate, reactivate"},
		{http.MethodPut, "/users/{user_id}/roles", nil, true, "set system roles"},
		{http.MethodPost, "/users/{user_id}/promote", nil, true, "make a full member of a guest"},
		{http.MethodPost, "/users/{user_id}/demote", nil, true, "make a guest of a full member"},
		{http.MethodPut, "/users/{user_id}/auth", nil, true, "set the login service"},
		{http.MethodPut, passwordPath, nil, true, "take an account from its login service, by a password that nobody knows"},
		{http.MethodDelete, "/users/{user_id}", []string{permanent}, true, "deactivate an account of the server's own LDAP sync; delete one for good"},
		{http.MethodPost, "/users/{user_id}/image", nil, true, "set a person's picture"},
		{http.MethodPatch, "/users/{user_id}/custom_profile_attributes", nil, true, "set user attributes"},
		{http.MethodPost, "/users/{user_id}/sessions/revoke/all", nil, true, "end sessions"},
		{http.MethodPost, "/users/tokens/disable", nil, true, "switch off a leaver's access token, or that of whoever comes back"},
		{http.MethodPost, "/bots/{bot_id}/disable", nil, true, "switch off a leaver's bot"},
		{http.MethodPost, "/users/password/reset/send", nil, true, "mail a password reset link"},
		{http.MethodPost, "/teams", nil, true, "make a team that rules name, if memberships.missing_targets says so"},
		{http.MethodPost, "/channels", nil, true, "make a channel that rules name, if memberships.missing_targets says so"},
		{http.MethodPost, "/teams/{team_id}/members", nil, true, "add an account to a team"},
		{http.MethodDelete, "/teams/{team_id}/members/{user_id}", nil, true, "take an account out of a team"},
		{http.MethodPut, "/teams/{team_id}/members/{user_id}/schemeRoles", nil, true, "make an account administrator of a team, or member"},
		{http.MethodPost, "/channels/{channel_id}/members", nil, true, "add an account to a channel"},
		{http.MethodDelete, "/channels/{channel_id}/members/{user_id}", nil, true, "take an account out of a channel"},
		{http.MethodPut, "/channels/{channel_id}/members/{user_id}/schemeRoles", nil, true, "make an account administrator of a channel, or member"},
		{http.MethodPost, "/posts", nil, true, "notices to a channel, and to whom a leaver reported to"},
		{http.MethodPost, "/channels/direct", nil, true, "where to write to whom a leaver reported to"},
	}
}

// String gives "GET /users/{user_id}".
func (r Route) String() string { return r.Method + " " + r.Path }

// fence lets only the table's requests to the configured server through. It
// sits below the client's own code, so that a mistake there cannot leave.
type fence struct {
	next      http.RoundTripper
	base      *url.URL
	routes    []Route
	readOnly  bool
	passwords bool
	deletions bool
}

func (f *fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := f.check(r); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must, and there is nobody to tell
		}
		return nil, err
	}
	return f.next.RoundTrip(r)
}

func (f *fence) check(r *http.Request) error {
	if r.URL.Scheme != f.base.Scheme || r.URL.Host != f.base.Host {
		return fmt.Errorf("%w: %s to another host", ErrNotAllowed, r.Method)
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), f.base.EscapedPath()+apiPrefix)
	if !ok {
		return fmt.Errorf("%w: %s outside %s", ErrNotAllowed, r.Method, apiPrefix)
	}
	i := slices.IndexFunc(f.routes, func(rt Route) bool { return rt.Method == r.Method && rt.matches(path) })
	if i < 0 {
		return fmt.Errorf("%w: %s on a path that is not in the table", ErrNotAllowed, r.Method)
	}
	rt := f.routes[i]
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || r.URL.ForceQuery || r.URL.RawQuery != "" && len(rt.Query) == 0 {
		return fmt.Errorf("%w: %s with a query that is not in the table", ErrNotAllowed, rt)
	}
	for name, values := range query {
		if !slices.Contains(rt.Query, name) || len(values) != 1 {
			return fmt.Errorf("%w: %s with a parameter that is not in the table", ErrNotAllowed, rt)
		}
	}
	if rt.Path == passwordPath && !f.passwords {
		return fmt.Errorf("%w: %s sets a password, and only a command that takes accounts from their login service may", ErrNotAllowed, rt)
	}
	if values, is := query[permanent]; is && (!f.deletions || values[0] != "true") {
		return fmt.Errorf("%w: %s deletes for good, and only a command that was asked to may", ErrNotAllowed, rt)
	}
	if rt.Writes && f.readOnly {
		return fmt.Errorf("%w: %s writes, and this client only reads", ErrNotAllowed, rt)
	}
	return nil
}

func (r Route) matches(path string) bool {
	want, got := strings.Split(r.Path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		switch w {
		case "{user_id}", "{bot_id}", "{team_id}", "{channel_id}":
			if !validID(got[i]) {
				return false
			}
		case "{email}", "{team}", "{channel}":
			if got[i] == "" || got[i] == "." || got[i] == ".." {
				return false
			}
		default:
			if w != got[i] {
				return false
			}
		}
	}
	return true
}

// validID tells the server's id syntax: 26 characters of [a-z0-9].
func validID(id string) bool {
	if len(id) != 26 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
