package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} and unescapes $${. It reports the first thing wrong
// by its offset in characters.
func expand(text string, lookup func(string) (string, bool)) (string, *expandFault) {
	var b strings.Builder
	rest := text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			return b.String() + rest, nil
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		rest = rest[i:]
		offset := utf8.RuneCountInString(text[:len(text)-len(rest)])
		m := variable.FindStringSubmatch(rest)
		if m == nil {
			return "", &expandFault{offset, "${ does not begin a variable", "write ${NAME} with letters, digits and _, or $${ for a literal ${"}
		}
		value, ok := lookup(m[1])
		if !ok {
			return "", &expandFault{offset, fmt.Sprintf("the environment variable %s is not set", m[1]), "set it, or write $${ for a literal ${"}
		}
		b.WriteString(value)
		rest = rest[len(m[0]):]
	}
}

type expandFault struct {
	offset    int
	msg, hint string
}
