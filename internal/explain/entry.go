package explain

import (
	"fmt"
	"strings"
)

func explainSource(s *sheet, x Person) {
	s.section("Source")
	switch w := x.Desired; {
	case w == nil && x.Missing != nil && !x.Missing.Complete:
		s.line("%s: not in its last read, which proves nothing: %s", x.Key.Source, x.Missing.Doubt)
	case w == nil && x.Missing != nil && !x.Missing.Since.IsZero():
		s.line("%s: missing since %s UTC, in %s", x.Key.Source, When(x.Missing.Since), reads(x.Missing.Reads))
	case w == nil:
		s.line("%s: not there", x.Key.Source)
	case w.Active:
		s.line("%s: active, %s", x.Key.Source, Printable(w.Ref))
	default:
		s.line("%s: has left (disabled), %s", x.Key.Source, Printable(w.Ref))
	}
	if w := x.Desired; w != nil && w.Fault != "" {
		s.line("cannot be used: %s", w.Fault)
	}
	if w := x.Desired; w != nil && w.RolesUnknown != "" && w.Active {
		s.line("roles, teams and channels stay, since they are not known: %s", w.RolesUnknown)
	}
	switch {
	case x.Unread != "":
		s.line("the entry could not be looked at: %s", x.Unread)
	case x.Entry == nil && x.Link != nil && x.Link.Ref != "" && x.Desired == nil:
		s.line("last seen at %s", Printable(x.Link.Ref))
	case x.Entry == nil:
	case x.Desired == nil:
		s.line("asked directly, it has %s", Printable(x.Entry.Ref))
		explainEntry(s, x)
	default:
		explainEntry(s, x)
	}
}

// explainEntry shows the attributes that the mapping reads.
func explainEntry(s *sheet, x Person) {
	var rows [][]string
	rest := 0
	for _, at := range x.Entry.Attributes {
		if !at.Used && !x.Everything {
			rest++
			continue
		}
		rows = append(rows, []string{"  " + Safe(at.Name), values(at)})
	}
	for _, g := range x.Entry.Groups {
		rows = append(rows, []string{"  in group", fmt.Sprintf("%q", g)})
	}
	s.table(rows)
	switch {
	case rest == 1:
		s.line("  and 1 attribute that the mapping does not read; --attributes shows it")
	case rest > 1:
		s.line("  and %d attributes that the mapping does not read; --attributes shows them", rest)
	}
}

func values(at Attribute) string {
	parts := make([]string, 0, len(at.Values)+1)
	for _, v := range at.Values {
		parts = append(parts, fmt.Sprintf("%q", v))
	}
	text := strings.Join(parts, ", ")
	switch {
	case at.Kept != "" && text == "":
		return "(" + at.Kept + ")"
	case at.Kept != "":
		return text + " (" + at.Kept + ")"
	case text == "":
		return "(empty)"
	}
	return text
}

func explainMapping(s *sheet, x Person) {
	if x.Entry == nil {
		return
	}
	s.section("Mapping")
	var rows [][]string
	for _, st := range x.Entry.Steps {
		value := fmt.Sprintf("%q", cut(st.Value))
		switch {
		case st.Fault != "":
			value = "fault: " + st.Fault
		case st.Value == "true" || st.Value == "false":
			value = map[string]string{"true": "yes", "false": "no"}[st.Value]
		}
		if st.Gives != "" {
			value += ", so " + st.Gives
		}
		rows = append(rows, []string{plainSetting(st.Setting), value, "<- " + strings.Join(strings.Fields(st.Expr), " ")})
	}
	s.table(rows)
}

// plainSetting leaves out of a setting's name what the source makes plain.
func plainSetting(s string) string {
	for _, section := range []string{"mapping.defaults.", "mapping.sources.", "sources["} {
		if strings.HasPrefix(s, section) {
			return s[strings.LastIndexByte(s, '.')+1:]
		}
	}
	return s
}

// cut leaves of a long value what one reads in a line.
func cut(v string) string {
	const most = 80
	if r := []rune(v); len(r) > most {
		return string(r[:most]) + "…"
	}
	return v
}

func reads(n int) string {
	if n == 1 {
		return "one complete read"
	}
	return fmt.Sprintf("%d complete reads", n)
}
