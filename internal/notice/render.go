package notice

import (
	"strconv"
	"strings"
	"unicode"
)

// blank is a space of no width: seen by nobody, it keeps what stands on its two
// sides from being read as one word of a markup.
const blank = "\u200b"

// neutral makes text from outside mean nothing to a chat that renders it, whichever
// dialect it speaks: no mention, link, channel, emphasis, code or heading comes of it.
// Characters that cannot be seen are written out.
func neutral(s string) string {
	runes := []rune(visible(s))
	edge := func(i int) bool {
		return i < 0 || i >= len(runes) || !unicode.IsLetter(runes[i]) && !unicode.IsDigit(runes[i])
	}
	var b strings.Builder
	for i, r := range runes {
		switch r {
		case '@', '~', '#', ']', '|':
			b.WriteString(string(r) + blank)
		case ':':
			if b.WriteRune(r); i+1 < len(runes) && (runes[i+1] == '/' || unicode.IsLetter(runes[i+1])) {
				b.WriteString(blank) // an address, or the name of a picture
			}
		case '.':
			if b.WriteRune(r); !edge(i + 1) { // a bare domain becomes a link in some chats
				b.WriteString(blank)
			}
		case '<':
			b.WriteRune('‹')
		case '>':
			b.WriteRune('›')
		case '`':
			b.WriteRune('\'')
		case '*':
			b.WriteRune('＊')
		case '\\':
			b.WriteRune('＼')
		case '_':
			if edge(i-1) || edge(i+1) {
				r = '＿'
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// visible makes text one line of characters that can be seen.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == unicode.ReplacementChar || !strconv.IsPrint(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// code puts a command where a chat shows it as it is; "" if it cannot be.
func code(s string) string {
	s = visible(s)
	switch {
	case s == "" || strings.Contains(s, "``"):
		return ""
	case strings.Contains(s, "`"):
		return "`` " + s + " ``"
	}
	return "`" + s + "`"
}

// heading names kind and severity in a few words.
func (n Notice) heading() string {
	switch {
	case n.Kind == Test:
		return "test"
	case n.Over:
		return "recovered: " + string(n.Kind)
	}
	return string(n.Severity) + ": " + string(n.Kind)
}

// Chat is the notice for a chat that renders Markdown or something like it. Line ends
// and what is code are the only markup in it.
func (n Notice) Chat() string {
	lines := []string{"mmsync " + n.heading(), neutral(n.Text)}
	if len(n.People) > 0 && !n.Over {
		names := make([]string, len(n.People))
		for i, p := range n.People {
			names[i] = code(p)
		}
		lines = append(lines, "Among them: "+strings.Join(names, ", "))
	}
	if !n.Over && n.Next != "" {
		lines = append(lines, neutral(n.Next))
	}
	if c := code(n.Command); c != "" && !n.Over {
		lines = append(lines, c)
	}
	if n.Link != "" {
		lines = append(lines, n.Link)
	}
	return strings.Join(lines, "\n")
}

// Subject and Body are the notice as a message of plain text.
func (n Notice) Subject() string { return "[mmsync] " + n.heading() }

// Body is what stands below Subject.
func (n Notice) Body() string {
	parts := []string{visible(n.Text)}
	if n.Next != "" && !n.Over {
		parts = append(parts, visible(n.Next))
	}
	if n.Command != "" && !n.Over {
		parts = append(parts, "    "+visible(n.Command))
	}
	if n.Link != "" {
		parts = append(parts, n.Link)
	}
	return strings.Join(append(parts, "Found at "+clock(n.At)+"; "+n.Key), "\n\n") + "\n"
}
