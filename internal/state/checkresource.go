package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxIDBytes limits a resource's and a member's id, a type and the name of an
	// indexed attribute.
	MaxIDBytes = 255
	// MaxValueBytes limits an indexed value. With the rest of its row it is what an
	// index of Postgres holds.
	MaxValueBytes = 1024
)

// NormalWrite gives w as stores carry it out: values, members and marks are in
// order and come once each, and what is taken away has neither values nor members.
// It returns ErrInvalid for what cannot be kept.
func NormalWrite(w ResourceWrite) (ResourceWrite, error) {
	if w.ID == "" || len(w.ID) > MaxIDBytes {
		return w, fmt.Errorf("resource %.80q: its id is empty or longer than %d bytes: %w", w.ID, MaxIDBytes, ErrInvalid)
	}
	what := w.Type + " " + quote(w.ID)
	if err := checkKind(w.Source, w.Type); err != nil {
		return w, fmt.Errorf("%s: %w", what, err)
	}
	if w.Expect < 0 {
		return w, fmt.Errorf("%s: version %d cannot be replaced: %w", what, w.Expect, ErrInvalid)
	}
	if err := CheckText(what, w.Source, w.Type, w.ID, string(w.Body)); err != nil {
		return w, err
	}
	var err error
	if w.Values, err = normalValues(what, w.Values); err != nil {
		return w, err
	}
	if w.Due, err = NormalMarks(w.Due); err != nil {
		return w, fmt.Errorf("%s: %w", what, err)
	}
	for _, m := range w.Due {
		if m.Key.Source != w.Source {
			return w, fmt.Errorf("%s: %s is of another source: %w", what, fmtKey(m.Key), ErrInvalid)
		}
	}
	if err := w.normalMembers(what); err != nil {
		return w, err
	}
	if w.KeepValues && (w.Expect == 0 || len(w.Values) > 0) {
		return w, fmt.Errorf("%s: values are given, or there is no version that has some to keep: %w", what, ErrInvalid)
	}
	if !w.Deleted.IsZero() {
		w.KeepValues = false
		w.Values, w.Join, w.Leave, w.LeaveAll = nil, nil, nil, true
	}
	return w, nil
}

func checkKind(source, typ string) error {
	if source == "" || typ == "" || len(source) > MaxKeyBytes || len(typ) > MaxIDBytes {
		return fmt.Errorf("source %.80q or type %.80q is empty or too long: %w", source, typ, ErrInvalid)
	}
	return CheckText("resource", source, typ)
}

// normalValues orders values, so that two writers of the same ones wait for each
// other and not both.
func normalValues(what string, values []IndexedValue) ([]IndexedValue, error) {
	for _, v := range values {
		if v.Attr == "" || len(v.Attr) > MaxIDBytes || len(v.Value) > MaxValueBytes {
			return nil, fmt.Errorf("%s: the attribute of an indexed value is empty, or it is longer than %d bytes: %.80q: %w",
				what, MaxValueBytes, v.Attr, ErrInvalid)
		}
		if err := CheckText(what, v.Attr, v.Value); err != nil {
			return nil, err
		}
	}
	out := slices.SortedFunc(slices.Values(values), func(a, b IndexedValue) int {
		return cmp.Or(strings.Compare(a.Attr, b.Attr), strings.Compare(a.Value, b.Value), -compareBool(a.Unique, b.Unique))
	})
	return slices.CompactFunc(out, func(a, b IndexedValue) bool { return a.Attr == b.Attr && a.Value == b.Value }), nil
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (w *ResourceWrite) normalMembers(what string) error {
	joins := make(map[string]bool, len(w.Join))
	var err error
	if w.Join, err = w.membersOnce(what, w.Join, joins); err != nil {
		return err
	}
	w.Leave, err = w.membersOnce(what, w.Leave, joins) // who joins as well stays
	if w.LeaveAll {
		w.Leave = nil
	}
	return err
}

// membersOnce gives the members that are not in seen yet, as members of w.
func (w *ResourceWrite) membersOnce(what string, members []Member, seen map[string]bool) ([]Member, error) {
	var out []Member
	for _, m := range members {
		if m.Group != "" && m.Group != w.ID {
			return nil, fmt.Errorf("%s: %q is a member of another group: %w", what, m.ID, ErrInvalid)
		}
		if m.ID == "" || len(m.ID) > MaxIDBytes {
			return nil, fmt.Errorf("%s: member %.80q: its id is empty or longer than %d bytes: %w", what, m.ID, MaxIDBytes, ErrInvalid)
		}
		if err := CheckText(what, m.ID, m.Type, m.Display); err != nil {
			return nil, err
		}
		if !seen[m.ID] {
			seen[m.ID], m.Group = true, w.ID
			out = append(out, m)
		}
	}
	return out, nil
}

// NormalMarks gives each Key once and in order; who is a leaver in one of its marks
// is one. It returns ErrInvalid for Keys that cannot be kept.
func NormalMarks(marks []DueMark) ([]DueMark, error) {
	for i := range marks {
		if err := CheckKey(marks[i].Key); err != nil {
			return nil, err
		}
	}
	out := slices.SortedFunc(slices.Values(marks), func(a, b DueMark) int {
		return cmp.Or(a.Key.Compare(b.Key), -compareBool(a.Leaver, b.Leaver))
	})
	return slices.CompactFunc(out, func(a, b DueMark) bool { return a.Key == b.Key }), nil
}

// NormalDue orders what is done or put off by Key, so that two writers never wait
// for each other. It returns ErrInvalid if a Key comes twice or cannot be kept.
func NormalDue(due []Due) ([]Due, error) {
	out := slices.SortedFunc(slices.Values(due), func(a, b Due) int { return a.Key.Compare(b.Key) })
	for i := range out {
		if err := CheckKey(out[i].Key); err != nil {
			return nil, err
		}
		if i > 0 && out[i].Key == out[i-1].Key {
			return nil, fmt.Errorf("%s comes twice: %w", fmtKey(out[i].Key), ErrInvalid)
		}
		if err := CheckText(fmtKey(out[i].Key), out[i].Reason, out[i].Note); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// CheckResourceFilter returns ErrInvalid for a filter that no resource can match.
func CheckResourceFilter(f ResourceFilter) error {
	if err := checkKind(f.Source, f.Type); err != nil {
		return err
	}
	if f.Skip < 0 || f.Limit < 0 {
		return fmt.Errorf("skip %d and limit %d: less than none: %w", f.Skip, f.Limit, ErrInvalid)
	}
	if err := CheckText("filter", f.Attr, f.Value, f.Member, f.AfterID); err != nil {
		return err
	}
	return CheckText("filter", f.IDs...)
}

// CheckToken returns ErrInvalid for a token that cannot be kept.
func CheckToken(t Token) error {
	if t.ID == "" || t.Source == "" || t.Name == "" || len(t.ID) > MaxIDBytes || len(t.Source) > MaxKeyBytes || len(t.Name) > MaxIDBytes {
		return fmt.Errorf("token %.80q: its id, source or name is empty or too long: %w", t.ID, ErrInvalid)
	}
	if t.Hash == [32]byte{} {
		return fmt.Errorf("token %q has no hash: %w", t.ID, ErrInvalid)
	}
	text := slices.Concat(t.Scopes, t.Networks, []string{t.ID, t.Source, t.Name, t.CreatedBy, t.UsedFrom})
	return CheckText("token "+quote(t.ID), text...)
}

// Replaceable returns why version expect of a resource of the type cannot be
// replaced: stored, version and deleted are what is kept under the id.
func Replaceable(expect int64, typ, stored string, version int64, deleted bool) error {
	switch {
	case stored != typ || deleted:
		return ErrNotFound
	default:
		return fmt.Errorf("it has version %d and not %d: %w", version, expect, ErrConflict)
	}
}
