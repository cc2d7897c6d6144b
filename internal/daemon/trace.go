package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// Look adds to what is known of a person what the source's entry says. That it cannot
// be looked at is told, not an error: all else is known.
func (d *Daemon) Look(ctx context.Context, p *explain.Person) {
	if p.Unmanaged {
		return
	}
	ref := ""
	switch {
	case p.Desired != nil:
		ref = p.Desired.Ref
	case p.Link != nil:
		ref = p.Link.Ref
	}
	t, found, err := d.Trace(ctx, p.Key, ref)
	switch {
	case err != nil:
		p.Unread = err.Error()
	case found:
		p.Entry = &t
	}
}

// Trace reads the entry of a person straight from his source, by the place it was
// last seen at or by its anchor. found is false if it is not there, or if another
// person stands in that place now.
func (d *Daemon) Trace(ctx context.Context, k identity.Key, ref string) (t explain.Entry, found bool, err error) {
	i := slices.IndexFunc(d.Sources, func(s Source) bool { return s.Name() == k.Source })
	if i < 0 {
		return t, false, nil
	}
	m, err := mapper(d.Config, i)
	if err != nil {
		return t, false, err
	}
	for _, query := range []string{ref, k.Anchor} {
		if query == "" {
			continue
		}
		rec, ok, err := d.Sources[i].Lookup(ctx, query)
		if err != nil {
			return t, false, fmt.Errorf("look at the entry in source %s: %w", k.Source, err)
		}
		if anchor, err := m.Anchor(rec); !ok || err != nil || anchor != k.Anchor {
			continue
		}
		steps := m.Trace(rec)
		for i := range steps {
			if slices.ContainsFunc(steps[i].Names, secret) {
				steps[i].Value = "(from a secret, not shown)"
			}
		}
		return explain.Entry{Ref: rec.Ref, Attributes: shown(rec, m.Attributes()), Groups: rec.Groups, Steps: steps}, true, nil
	}
	return t, false, nil
}

const (
	mostValues = 3
	mostRunes  = 80
)

// shown makes a Record fit to be shown: those that the mapping reads first.
func shown(rec sources.Record, used []string) []explain.Attribute {
	reads := func(name string) bool {
		return slices.ContainsFunc(used, func(u string) bool { return strings.EqualFold(u, name) })
	}
	var out []explain.Attribute
	for _, name := range rec.Names() {
		out = append(out, attribute(name, rec.Values(name), reads(name)))
	}
	slices.SortStableFunc(out, func(a, b explain.Attribute) int {
		switch {
		case a.Used == b.Used:
			return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		case a.Used:
			return -1
		}
		return 1
	})
	return out
}

func attribute(name string, values []string, used bool) explain.Attribute {
	a := explain.Attribute{Name: name, Used: used}
	size, binary := 0, false
	for _, v := range values {
		size += len(v)
		binary = binary || !utf8.ValidString(v) || strings.ContainsRune(v, 0)
	}
	switch {
	case secret(name):
		a.Kept = "a secret, not shown"
		return a
	case binary:
		a.Kept = fmt.Sprintf("%d bytes that are no text", size)
		return a
	}
	for _, v := range values[:min(len(values), mostValues)] {
		if r := []rune(v); len(r) > mostRunes {
			v = string(r[:mostRunes]) + "…"
		}
		a.Values = append(a.Values, v)
	}
	if more := len(values) - len(a.Values); more > 0 {
		a.Kept = fmt.Sprintf("and %d more", more)
	}
	return a
}

// secret tells attributes that hold what somebody could log in with: passwords and
// their digests, keys, and what stands in for them in common directories.
func secret(name string) bool {
	name = strings.ToLower(name)
	if slices.Contains([]string{"pwdlastset", "badpwdcount", "pwdchangedtime", "passwordexpirationtime", "krblastpwdchange", "krbpasswordexpiration", "shadowlastchange"}, name) {
		return false
	}
	return slices.ContainsFunc([]string{
		"password", "passwd", "pwd", "secret", "token", "privatekey", "principalkey", "laps", "recovery", "keymaterial", "keycredential", "authenticator", "totp", "hotp", "credential", "nthash", "lmhash", "nthash", "lmhash",
	}, func(part string) bool { return strings.Contains(name, part) })
}
