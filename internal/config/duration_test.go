package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "45s": 45 * time.Second, "1.5h": 90 * time.Minute, "72h": 72 * time.Hour,
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "36500d": 36500 * day,
	} {
		got, err := ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := ParseDuration(formatDuration(got))
		require.NoError(t, err, text)
		require.Equal(t, want, again, text)
	}
	for _, text := range []string{"", "d", "30", "x", "-1h", "-1d", "1d-2h", "1.5d", "1d2d", "36501d", "999999999h", "1 h", "99999999999999999999d", "2w"} {
		_, err := ParseDuration(text)
		require.Error(t, err, text)
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{"0s": 0, "45s": 45 * time.Second, "1m": time.Minute, "1m30s": 90 * time.Second, "72h": 72 * time.Hour, "1h30m": 90 * time.Minute, "30d": 30 * day, "10ms": 10 * time.Millisecond} {
		require.Equal(t, want, formatDuration(d))
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"base_dn", "bind_username", "user_filter", "token", "token_file", "url"}
	for word, want := range map[string]string{"basedn": "base_dn", "baseDN": "base_dn", "tokne": "token", "tokenFile": "token_file", "user-filter": "user_filter", "uri": "url", "frobnicate": "", "": "", "x": ""} {
		require.Equal(t, want, nearest(word, known), word)
	}
}
