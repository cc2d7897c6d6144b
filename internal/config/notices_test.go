package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

func TestNotices_defaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, config.Notices{
		RepeatAfter: 24 * time.Hour, LeaverHeldAfter: 15 * time.Minute, RunsFailed: 3, SourceStaleAfter: 26 * time.Hour, SeatsLeft: 10, ExpiringWithin: 14 * 24 * time.Hour,
	}, parse(t, pushed).Notices)
}

func TestNotices_sinks(t *testing.T) {
	t.Parallel()
	c := parse(t, pushed+`notices:
  runs_failed: 0
  source_stale_after: 0s
  sinks:
    - {name: ops, type: mattermost, channel: ops/identity, details: true, min_severity: alarm}
    - {name: by-id, type: mattermost, channel: abcdefghijklmnopqrstuvwxyz}
    - name: hook
      type: webhook
      url: http://127.0.0.1:8080/x
      secret: hunter2
    - {name: mail, type: email, server: "localhost:25", security: none, from: mmsync@example.com, to: ops@example.com}
`)
	list := c.Notices.Sinks
	require.Len(t, list, 4)
	require.Equal(t, "alarm", list[0].MinSeverity)
	require.Equal(t, "warn", list[1].MinSeverity)
	value, err := list[2].Secret.Value()
	require.NoError(t, err)
	require.Equal(t, "hunter2", value)
	require.Equal(t, []string{"ops@example.com"}, list[3].To)
	require.Zero(t, c.Notices.SourceStaleAfter)
	text, err := c.Effective()
	require.NoError(t, err)
	noCanary(t, string(text))
	require.NotContains(t, string(text), "allow_http: true")
	require.True(t, list[0].ShowsPeople())
	require.False(t, list[1].ShowsPeople())
	require.False(t, list[2].TakesHTTP())
	// A key that is not of its type must not be shown: it would be a fault when it is read.
	_, mail, _ := strings.Cut(string(text), "name: mail")
	mail, _, _ = strings.Cut(mail, "repeat_after")
	require.NotContains(t, mail, "details")
	require.NotContains(t, mail, "allow_http")
	require.NotContains(t, mail, "url")
}

func TestNotices_nobody_hears_of_a_dead_token(t *testing.T) {
	t.Parallel()
	listens := pushed + "scim: {listen: 127.0.0.1:8443}\n"
	chat := "notices:\n  sinks:\n    - {name: ops, type: mattermost, channel: ops/identity}\n"
	warned := parse(t, listens+chat).Warnings()
	require.Len(t, warned, 1)
	require.Contains(t, warned[0].Error(), "notices.sinks: all are in Mattermost")
	require.Empty(t, parse(t, listens+chat+"    - {name: mail, type: email, server: \"smtp.example.com:465\", security: tls, from: a@example.com, to: b@example.com}\n").Warnings())
	require.Empty(t, parse(t, listens).Warnings())
}

func TestNotices_managers(t *testing.T) {
	t.Parallel()
	warnings := func(source, notices string) (out []string) {
		text := strings.Replace(pushed, "type: scim", "type: scim"+source, 1)
		require.Contains(t, text, source)
		for _, w := range parse(t, text+"scim: {listen: 127.0.0.1:8443}\nnotices:\n"+notices).Warnings() {
			out = append(out, w.Error())
		}
		return out
	}
	const (
		manager = "\n    manager: attr.manager"
		sink    = "  sinks:\n    - {name: managers, type: manager}\n    - {name: mail, type: email, server: \"smtp.example.com:465\", security: tls, from: a@example.com, to: b@example.com}\n"
	)
	require.Empty(t, warnings(manager, "  leavers: true\n"+sink))
	require.Empty(t, warnings(manager, "  leavers: true\n"), "somebody else may be told")
	got := warnings(manager, sink)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "notices.sinks[0].type: nobody is written to: notices.leavers is false")
	got = warnings("", "  leavers: true\n"+sink)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "notices.sinks[0].type: nobody is written to: no source has the key manager")
	got = warnings(manager, "  leavers: true\n  sinks: [{name: managers, type: manager}]\n")
	require.Len(t, got, 1)
	require.Contains(t, got[0], "nobody hears that it takes mmsync's token no more")
}

// Who is told, and of whom, decides nothing; whom somebody reports to is noted for everybody
// once it is known how.
func TestNotices_digest(t *testing.T) {
	t.Parallel()
	digest := func(text string) string {
		out, err := parse(t, text).Digest()
		require.NoError(t, err)
		return out
	}
	require.Equal(t, digest(pushed), digest(pushed+"notices: {leavers: true, sinks: [{name: managers, type: manager}]}\n"))
	require.NotEqual(t, digest(pushed), digest(strings.Replace(pushed, "type: scim", "type: scim\n    manager: attr.manager", 1)))
}
