package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

const askServer = "read the server's log, or raise its limit of values in one answer"

const (
	// maxRanges bounds the requests for one attribute of one entry.
	maxRanges = 10_000
	// maxRangeReads bounds how often it is begun anew because it was changed meanwhile.
	maxRangeReads = 5
)

// errShifted is an attribute whose values are not those any more that were read.
var errShifted = errors.New("its values changed while they were read")

// cutRange splits member;range=0-1499 into the name and what follows range=. Options
// are compared without case (RFC 4512 2.5).
func cutRange(name string) (plain, option string, ok bool) {
	const mark = ";range="
	for i := range name {
		if len(name)-i >= len(mark) && strings.EqualFold(name[i:i+len(mark)], mark) {
			return name[:i], name[i+len(mark):], true
		}
	}
	return name, "", false
}

// inParts tells an entry of which not all values came.
func inParts(e *ldap.Entry) bool {
	return slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool {
		_, _, ranged := cutRange(a.Name)
		return ranged
	})
}

// ranged collects the values that a server gives in pieces (MS-ADTS 3.1.1.3.1.3.3):
// option is the "0-1499" of the first, the last one ends in "-*". Each piece is asked
// for from the last value that is known: another value there, one that comes twice, or
// another update number of the entry shows that some were added or removed meanwhile,
// by which others would have been skipped. All is read again then.
func (s *session) ranged(dn, name, option string, values []string) ([]string, error) {
	for range maxRangeReads {
		out, err := s.rangedOnce(dn, name, option, values)
		if !errors.Is(err, errShifted) {
			return out, err
		}
		if option, values, _, err = s.rangeFrom(dn, name, 0); err != nil {
			return nil, err
		}
	}
	return nil, &oddAnswerError{"its values change while they are read, or parts of them do not come", "the next run tells; if it lasts, read the server's log"}
}

func (s *session) rangedOnce(dn, name, option string, first []string) ([]string, error) {
	values := append(make([]string, 0, 2*len(first)), first...)
	seen := make(map[string]struct{}, 2*len(first))
	if !addNew(seen, first) {
		return nil, errShifted
	}
	stamp := ""
	for range maxRanges {
		_, end, _ := strings.Cut(option, "-")
		if end == "*" {
			return values, nil
		}
		if last, err := strconv.Atoi(end); err != nil || last != len(values)-1 {
			return nil, &oddAnswerError{"the server gave the range " + sources.Printable(option) + " with " + strconv.Itoa(len(values)) + " values in all", askServer}
		}
		from := len(values) - 1
		more, piece, now, err := s.rangeFrom(dn, name, from)
		switch {
		case ldap.IsErrorAnyOf(err, ldap.LDAPResultOperationsError, ldap.LDAPResultNoSuchAttribute):
			return nil, errShifted // there are no values that far any more
		case err != nil:
			return nil, err
		case stamp != "" && stamp != now:
			return nil, errShifted
		case len(piece) == 0 || piece[0] != values[from] || !addNew(seen, piece[1:]):
			return nil, errShifted
		case len(piece) == 1 && !strings.HasSuffix(more, "-*"):
			return nil, &oddAnswerError{"the server gave no further range", askServer}
		}
		stamp, option, values = now, more, append(values, piece[1:]...)
	}
	return nil, &oddAnswerError{"the ranges do not end", askServer}
}

// rangeFrom reads one piece from the value with this number, and the entry's update
// number where the server keeps one.
func (s *session) rangeFrom(dn, name string, from int) (option string, values []string, stamp string, err error) {
	e, err := s.entry(dn, "(objectClass=*)", fmt.Sprintf("%s;range=%d-*", name, from), "uSNChanged")
	if err != nil {
		return "", nil, "", err
	}
	if e == nil {
		return "", nil, "", &oddAnswerError{"the entry went away meanwhile", "the next run tells"}
	}
	stamp = e.GetEqualFoldAttributeValue("uSNChanged")
	whole := from == 0
	for _, a := range e.Attributes {
		n, o, ok := cutRange(a.Name)
		switch {
		case !strings.EqualFold(n, name):
		case ok && strings.HasPrefix(o, strconv.Itoa(from)+"-"):
			return o, a.Values, stamp, nil
		case ok:
			return "", nil, "", &oddAnswerError{fmt.Sprintf("the server gave the range %s, asked from %d on", sources.Printable(o), from), askServer}
		case whole && len(a.Values) > 0: // few enough by now to come at once
			return "0-*", a.Values, stamp, nil
		}
	}
	if whole {
		return "0-*", nil, stamp, nil
	}
	return "", nil, "", errShifted
}

// addNew notes values, unless one was there already.
func addNew(seen map[string]struct{}, values []string) bool {
	for _, v := range values {
		if _, twice := seen[v]; twice {
			return false
		}
		seen[v] = struct{}{}
	}
	return true
}
