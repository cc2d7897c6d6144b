package notice

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
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

// Whatever comes from outside, nobody is called, nothing becomes a link, and no line is
// made of it.
func TestNotice_Chat_means_nothing(t *testing.T) {
	t.Parallel()
	pieces := []string{"@", "all", "<", "!channel", ">", "[", "]", "(", ")", "://", "http", "www", ".", "com", "~", "town", "`", "``", "\n", "\r", "\\", "*", "_", "#", ":", "|", " ", "\u202e", "\xff", "é"}
	mark := regexp.MustCompile(`@[\pL\pN]|<|\]\(|://|www\.[\pL]|~[\pL]|#[\pL]|[*\\]`)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "word"), "")
		})
		n := Notice{Kind: GuardTripped, Severity: Warn, Text: word.Draw(t, "text"), Next: "n" + word.Draw(t, "next")}
		lines := strings.Split(n.Chat(), "\n")
		if len(lines) != 3 {
			t.Fatalf("%q has %d lines", n.Chat(), len(lines))
		}
		for _, line := range lines[1:] {
			if found := mark.FindString(line); found != "" || strings.Contains(line, "`") {
				t.Fatalf("%q still has %q", line, found)
			}
		}
		n.Command = word.Draw(t, "command")
		if c := code(n.Command); c != "" && strings.Count(c, "`") > strings.Count(n.Command, "`")+4 || strings.ContainsAny(c, "\n\r") {
			t.Fatalf("%q is not one piece of code", c)
		}
	})
}
