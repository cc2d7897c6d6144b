package file

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/sources"
)

// readLDIF reads content records (RFC 2849). Groups may stand behind their
// members, so people are mapped only after the last line.
func readLDIF(r *read) error {
	l := ldif{read: r, memberOf: map[string][]string{}, uidOf: map[string][]string{}}
	for {
		e, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad, ok := errors.AsType[*entryError](err); ok {
			ref := r.at(bad.line)
			if e.Ref != "" {
				ref = e.Ref
			}
			r.spoil(ref, bad.line, bad.msg)
			continue
		}
		if err != nil {
			r.doubt("reading stopped at %s: %v", r.at(l.number), err)
			break
		}
		if err := r.step(); err != nil {
			return err
		}
		l.keep(e)
	}
	for _, p := range l.people {
		p.Groups = l.groupsOf(p)
		r.add(p)
	}
	return r.ctx.Err()
}

type ldif struct {
	*read
	number   int    // of the last physical line
	ahead    string // the line after a logical one
	hasAhead bool
	begun    bool // past the version line
	people   []sources.Record
	memberOf map[string][]string // group DNs by the DNKey of a member
	uidOf    map[string][]string // group DNs by memberUid
}

// entryError spoils one entry; the next one can be read.
type entryError struct {
	line int
	msg  string
}

func (e *entryError) Error() string { return e.msg }

// physical gives the next line of the file.
func (l *ldif) physical() (string, error) {
	if l.hasAhead {
		l.hasAhead = false
		return l.ahead, nil
	}
	text, _, err := l.line()
	if err == nil {
		l.number++
	}
	return text, err
}

// logical gives the next line with its continuations joined, and where it
// starts; comments are passed over.
func (l *ldif) logical() (text string, start int, err error) {
	for {
		first, err := l.physical()
		if err != nil {
			return "", l.number, err
		}
		start = l.number
		var more strings.Builder
		for {
			next, err := l.physical()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return "", start, err
			}
			if !strings.HasPrefix(next, " ") {
				l.ahead, l.hasAhead = next, true
				break
			}
			if more.Len() > maxLine {
				return "", start, fmt.Errorf("a value is longer than %d MiB", maxLine>>20)
			}
			more.WriteString(next[1:])
		}
		if !strings.HasPrefix(first, "#") {
			return first + more.String(), start, nil
		}
	}
}

// next gives the next entry. After an entryError the rest of that entry has
// been passed over, and the Record holds its DN if it was readable.
func (l *ldif) next() (sources.Record, error) {
	var rec sources.Record
	var fault *entryError
	for {
		text, line, err := l.logical()
		if err != nil && !errors.Is(err, io.EOF) {
			return rec, err
		}
		if text == "" || err != nil {
			switch {
			case fault != nil:
				return rec, fault
			case rec.Ref != "":
				return rec, nil
			case err != nil:
				return rec, err
			}
			continue
		}
		if fault != nil {
			continue
		}
		if msg := l.attribute(&rec, text); msg != "" {
			fault = &entryError{line, msg}
		}
	}
}

// attribute takes one logical line into the entry; the answer is a fault.
func (l *ldif) attribute(rec *sources.Record, text string) string {
	name, value, msg := splitLine(text)
	if msg != "" {
		return msg
	}
	switch folded := strings.ToLower(name); {
	case folded == "version" && !l.begun && rec.Ref == "":
		l.begun = true
		if value != "1" {
			return "the LDIF version is not 1 (RFC 2849)"
		}
	case folded == "dn":
		l.begun = true
		if rec.Ref != "" {
			return "a second dn in one entry; put a blank line between entries"
		}
		if value == "" || !utf8.ValidString(value) {
			return "the dn is empty or not UTF-8"
		}
		rec.Ref = value
	case rec.Ref == "":
		return "an entry starts with " + sources.Printable(name) + "; it must start with dn"
	case folded == "changetype" || folded == "control":
		return "change records are not read; export the entries themselves (slapcat, ldapsearch -LLL)"
	case value == "":
		rec.Add(name)
	default:
		l.saw(name)
		rec.Add(name, value)
	}
	return ""
}

// splitLine reads "name: text" and "name:: base64".
func splitLine(text string) (name, value, msg string) {
	if strings.HasPrefix(text, " ") {
		return "", "", "a continuation line without a line before it"
	}
	name, rest, ok := strings.Cut(text, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", "", "not a line of the form name: value"
	}
	switch {
	case strings.HasPrefix(rest, "<"):
		return "", "", "values by URL are not read; put the value into the file"
	case strings.HasPrefix(rest, ":"):
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest[1:]))
		if err != nil {
			return "", "", "the base64 value of " + sources.Printable(name) + " is broken"
		}
		return name, string(raw), ""
	case !utf8.ValidString(rest):
		return "", "", "the value of " + sources.Printable(name) + " is not UTF-8; write it in base64"
	}
	return name, strings.TrimLeft(rest, " "), ""
}

// keep sorts an entry into people and groups; all others are structure.
func (l *ldif) keep(e sources.Record) {
	classes := e.Values("objectClass")
	is := func(names ...string) bool {
		return slices.ContainsFunc(classes, func(c string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(c, n) })
		})
	}
	switch {
	case is("groupOfNames", "groupOfUniqueNames", "groupOfMembers", "posixGroup", "group"):
		for _, name := range []string{"member", "uniqueMember"} {
			for _, dn := range e.Values(name) {
				l.memberOf[sources.DNKey(dn)] = append(l.memberOf[sources.DNKey(dn)], e.Ref)
			}
		}
		for _, uid := range e.Values("memberUid") {
			l.uidOf[uid] = append(l.uidOf[uid], e.Ref)
		}
	case l.o.PersonClass != "" && !is(l.o.PersonClass):
	case l.o.PersonClass != "", len(classes) == 0,
		is("person", "inetOrgPerson", "organizationalPerson", "posixAccount", "user", "account") && !is("computer"):
		l.people = append(l.people, e)
	}
}

// groupsOf gives the DNs of a person's groups, from both sides, once each.
func (l *ldif) groupsOf(p sources.Record) []string {
	all := slices.Concat(p.Values("memberOf"), l.memberOf[sources.DNKey(p.Ref)])
	for _, uid := range p.Values("uid") {
		all = append(all, l.uidOf[uid]...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(dn string) bool {
		key := sources.DNKey(dn)
		twice := seen[key]
		seen[key] = true
		return twice
	})
}
