package notice

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotice_texts(t *testing.T) {
	t.Parallel()
	n := Notice{
		Kind: LeaverHeld, Key: "leaver_held/corp", Severity: Alarm, Text: "2 people of source corp should be off.", Next: "See what holds each of them.",
		Command: "mmsync plan", Link: "https://sync.example.com", Count: 2, People: []string{"k.lee", "a`b"}, At: now,
	}
	over := n
	over.Over = true
	golden(t, "chat", n.Chat())
	golden(t, "chat-over", over.Chat())
	golden(t, "mail", n.Subject()+"\n\n"+n.Body())
	golden(t, "mail-over", over.Subject()+"\n\n"+over.Body())
}

func TestNeutral(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain words, 05:06 UTC.":       "plain words, 05:06 UTC.",
		"@all @channel":                 "@|all @|channel",
		"<!channel> <@U1>":              "‹!channel› ‹@|U1›",
		"[here](https://evil.test/x)":   "[here]|(https:|//evil.|test/x)",
		"see www.evil.test":             "see www.|evil.|test",
		"~town-square #tag :fire:":      "~|town-square #|tag :|fire:",
		"`rm -rf` **now** _really_ a_b": "'rm -rf' ＊＊now＊＊ ＿really＿ a_b",
		"two\nlines\x1b[31m\u202eback":  "two＼nlines＼x1b[31m＼u202eback",
		"# a | b":                       "#| a || b",
	} {
		got := neutral(in)
		require.Equal(t, want, strings.ReplaceAll(got, blank, "|"), in)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	require.Equal(t, "`mmsync plan`", code("mmsync plan"))
	require.Equal(t, "`` a`b ``", code("a`b"))
	require.Empty(t, code("a``b"), "it would end the code")
	require.Equal(t, `a\n@all`, strings.Trim(code("a\n@all"), "`"))
}
