package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/mmsync/mmsync/internal/config"
)

func TestSecret_never_prints(t *testing.T) {
	t.Parallel()
	type holder struct {
		Token  config.Secret
		Hidden *config.Secret
		Many   map[string]config.Secret
		inside config.Secret
	}
	s := config.NewSecret("hunter2")
	h := holder{Token: s, Hidden: &s, Many: map[string]config.Secret{"a": s}, inside: s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, v := range []any{s, &s, h, &h, []config.Secret{s}, h.inside} {
			noCanary(t, fmt.Sprintf(verb, v))
			require.NotContains(t, fmt.Sprintf(verb, v), "68756e74657232", "hexadecimal")
		}
		if verb != "%p" { // fmt answers that one itself, with an address
			require.Equal(t, "<secret>", fmt.Sprintf(verb, s))
		}
	}
	require.Equal(t, "<secret>", s.String())
	require.Equal(t, "<secret>", s.GoString())

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "secret", s, "holder", h)
	}
	noCanary(t, log.String())
	require.Contains(t, log.String(), "secret=<secret>")

	asJSON, err := json.Marshal(h)
	require.NoError(t, err)
	noCanary(t, string(asJSON))
	require.Contains(t, string(asJSON), `"Token":"\u003csecret\u003e"`)
	asKey, err := json.Marshal(map[string]any{"k": &s})
	require.NoError(t, err)
	noCanary(t, string(asKey))
	asYAML, err := yaml.Dump(h)
	require.NoError(t, err)
	noCanary(t, string(asYAML))
	require.Contains(t, string(asYAML), "token: <secret>")
	text, err := s.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "<secret>", string(text))
}

func TestSecret_a_whole_configuration_never_prints_one(t *testing.T) {
	t.Parallel()
	c := parse(t, minimal)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		noCanary(t, fmt.Sprintf(verb, c)+fmt.Sprintf(verb, *c))
	}
	data, err := json.Marshal(c)
	require.NoError(t, err)
	noCanary(t, string(data))
}

func TestSecret_Value(t *testing.T) {
	t.Parallel()
	_, err := config.Secret{}.Value()
	require.EqualError(t, err, "secret is not set")
	require.False(t, config.Secret{}.IsSet())
	value, err := config.NewSecret("x").Value()
	require.NoError(t, err)
	require.Equal(t, "x", value)
}

func TestSecret_Value_a_file_is_read_at_use(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("one\r\n")
	path := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(replace(t, `token: "${TOKEN}"`, "token_file: token")), 0o600))
	c, err := config.Load(path, env)
	require.NoError(t, err, render(t, err))
	require.Equal(t, []config.SecretFile{{Path: "mattermost.token_file", File: file}}, c.SecretFiles())

	token := c.Mattermost.Token
	require.Equal(t, file, token.File())
	for _, step := range []struct{ text, want string }{{"one\r\n", "one"}, {"two\n", "two"}, {" three ", " three "}} {
		write(step.text)
		value, err := token.Value()
		require.NoError(t, err)
		require.Equal(t, step.want, value)
	}
	for text, want := range map[string]string{"": "is empty", "\n": "is empty", "a\n\n": "holds more than one line", "a\x00": "holds a control character"} {
		write(text)
		_, err = token.Value()
		require.EqualError(t, err, "read secret: "+file+" "+want)
	}
	require.NoError(t, os.Remove(file))
	_, err = token.Value()
	require.ErrorIs(t, err, os.ErrNotExist)
}

// One slip of the keyboard anywhere in a file must not bring a secret into a
// message, whatever the parser makes of the file then.
func TestRender_no_secret_in_a_broken_file(t *testing.T) {
	t.Parallel()
	text := replace(t, `mattermost: {url: https://chat.example.com/sub/, token: "${TOKEN}"}
state: {url: "sqlite:/var/lib/mmsync/state.db"}`, `mattermost:
  url: https://chat.example.com
  token: hunter2
state:
  url: postgres://mmsync:hunter3@db/mmsync`)
	text = strings.Replace(text, "${PASSWORD}", `"hunter2 hunter3"`, 1)
	end := strings.Index(text, "    base_dn")
	for i := range end {
		for _, insert := range []string{"", " ", "\t", "\n", "x", ":", ": ", "- ", "'", `"`, "{", "[", "#", "*", "&", "!", "${", "@", "|"} {
			for _, skip := range []int{0, 1} {
				broken := text[:i] + insert + text[i+skip:]
				if _, err := config.Parse("config.yaml", []byte(broken), env); err != nil {
					noCanary(t, render(t, err)+err.Error())
				}
			}
		}
	}
}
