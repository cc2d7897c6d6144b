package mmsim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// Read in the server's source, not recorded.
func TestDirect(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	ada, bob := person(s, "ada"), person(s, "bob")
	c := admin(t, s)
	made := c.want(http.StatusCreated, "POST", "/channels/direct", []string{s.AdminID(), ada.ID})
	require.Equal(t, "D", made["type"])
	require.Empty(t, made["team_id"])
	require.Empty(t, made["display_name"])
	first, second := min(s.AdminID(), ada.ID), max(s.AdminID(), ada.ID)
	require.Equal(t, first+"__"+second, made["name"])
	again := c.want(http.StatusCreated, "POST", "/channels/direct", []string{ada.ID, s.AdminID()})
	require.Equal(t, made["id"], again["id"], "there is one between two people")
	other := c.want(http.StatusCreated, "POST", "/channels/direct", []string{ada.ID, bob.ID})
	require.NotEqual(t, made["id"], other["id"])
	for name, x := range map[string]struct {
		body any
		id   string
	}{
		"one":            {[]string{ada.ID}, "api.context.invalid_body_param.app_error"},
		"the same":       {[]string{ada.ID, ada.ID}, "api.context.invalid_body_param.app_error"},
		"no id":          {[]string{ada.ID, "bob"}, "api.context.invalid_body_param.app_error"},
		"not a list":     {map[string]string{"a": "b"}, "api.payload.parse.error"},
		"no such person": {[]string{ada.ID, "zzzzzzzzzzzzzzzzzzzzzzzzzz"}, "api.channel.create_direct_channel.invalid_user.app_error"},
	} {
		require.Equal(t, x.id, c.want(http.StatusBadRequest, "POST", "/channels/direct", x.body)["id"], name)
	}
}
