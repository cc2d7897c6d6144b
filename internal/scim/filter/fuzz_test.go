package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// anything has every attribute; its kind goes by the length of the name.
type anything struct{}

func (a anything) Field(of filter.Attr) (filter.Field, error) {
	f := filter.Field{Values: values(of.Name), Kind: filter.Kind(len(of.Name) % 5), Exact: len(of.Sub)%2 == 1}
	if len(of.Name)%7 == 6 {
		f.Element = a
	}
	return f, nil
}

var roomy = filter.Options{Bytes: 1 << 20, Lenient: everything}

// A tree is one again when it was printed, and can be compiled and asked.
func checkTree(t require.TestingT, e filter.Expr, printed string, again filter.Expr, err error) {
	require.NoError(t, err, printed)
	require.Equal(t, e, again, printed)
	require.Equal(t, printed, again.String())
	filter.Equalities(e)
	holds, err := filter.CompileWith(e, anything{}, everything)
	if err != nil {
		require.ErrorAs(t, err, new(*filter.Error))
		return
	}
	holds(nil)
	holds(map[string]any{
		"a": "x", "ab": true, "abc": json.Number("-1.5e3"), "abcd": "2021-03-04T05:06:07Z", "abcde": "TG9n",
		"emails": []any{map[string]any{"value": "x", "type": "work"}, nil, "x"},
	})
}

func checkFault(t require.TestingT, text string, err error) {
	var fault *filter.Error
	require.ErrorAs(t, err, &fault)
	require.LessOrEqual(t, 0, fault.Offset)
	require.LessOrEqual(t, fault.Offset, len(text))
	require.Less(t, len(fault.Text), 600)
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`userName eq "x"`, `a pr and not (b.c co "\ud83d\ude00" or d gt 1e9)`, `emails[type eq work and x eq null].value eq "x"`,
		`urn:x:2.0:y.z ne false`, `abcd gt 2021-03-04T05:06:07.1 02:00`, `((a pr)`, `emails eq "x"`, `ab eq "True"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := filter.Parse(text, filter.Options{Lenient: everything})
		if err != nil {
			checkFault(t, text, err)
			_, err = filter.Parse(text, filter.Options{})
			require.Error(t, err, "strict reads less")
			return
		}
		printed := e.String()
		again, err := filter.Parse(printed, roomy)
		checkTree(t, e, printed, again, err)
	})
}

func FuzzParsePath(f *testing.F) {
	for _, text := range []string{
		`members`, `emails[type eq "work"].value`, `urn:x:2.0:User`, `urn:x:2.0`, `urn:x:y[z pr]`, `a.$ref`, `a[b eq c]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := filter.ParsePath(text, filter.Options{Lenient: everything})
		if err != nil {
			checkFault(t, text, err)
			require.Equal(t, filter.Path{}, path)
			return
		}
		again, err := filter.ParsePath(path.String(), roomy)
		require.NoError(t, err)
		require.Equal(t, path, again)
		if path.Filter != nil {
			checkTree(t, path.Filter, path.Filter.String(), again.Filter, nil)
			return
		}
		a, err := filter.ParseAttr(path.String())
		require.NoError(t, err)
		require.Equal(t, path.Attr, a)
	})
}

func anyAttr(t *rapid.T) filter.Attr {
	name := rapid.StringMatching(`[a-zA-Z$][a-zA-Z0-9$_-]{0,5}|not|and|or|pr|eq`)
	return filter.Attr{
		URN: rapid.StringMatching(`(urn:[a-z.:0-9]{0,6}[a-z0-9])?`).Draw(t, "urn"), Name: name.Draw(t, "name"),
		Sub: rapid.OneOf(rapid.Just(""), name).Draw(t, "sub"),
	}
}

func anyComparison(t *rapid.T, a filter.Attr) filter.Expr {
	if rapid.Bool().Draw(t, "pr") {
		return &filter.Present{Attr: a}
	}
	value := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any](false),
		rapid.Map(rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?`), func(s string) any { return json.Number(s) }),
		rapid.Map(rapid.String(), func(s string) any { return strings.ReplaceAll(s, "\x00", "") }),
	).Draw(t, "value")
	op := rapid.SampledFrom([]filter.Op{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}).Draw(t, "op")
	return &filter.Compare{Attr: a, Op: op, Value: value}
}

func anyExpr(t *rapid.T, depth int, inside bool) filter.Expr {
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 4).Draw(t, "kind")
	}
	switch {
	case kind == 1:
		return &filter.And{Left: anyExpr(t, depth-1, inside), Right: anyExpr(t, depth-1, inside)}
	case kind == 2:
		return &filter.Or{Left: anyExpr(t, depth-1, inside), Right: anyExpr(t, depth-1, inside)}
	case kind == 3:
		return &filter.Not{Of: anyExpr(t, depth-1, inside)}
	case kind == 4 && !inside:
		e := &filter.ValuePath{Attr: anyAttr(t), Filter: anyExpr(t, depth-1, true)}
		if rapid.Bool().Draw(t, "then") {
			e.Then = anyComparison(t, filter.Attr{Name: anyAttr(t).Name})
		}
		return e
	}
	return anyComparison(t, anyAttr(t))
}

func TestExpr_PrintsWhatItWasReadFrom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anyExpr(t, 5, false)
		printed := e.String()
		again, err := filter.Parse(printed, filter.Options{Bytes: 1 << 20, Lenient: func(q string) bool { return q == filter.ValuePathSub }})
		checkTree(t, e, printed, again, err)

		path := filter.Path{Attr: anyAttr(t)}
		if rapid.Bool().Draw(t, "filtered") {
			path.Filter = anyExpr(t, 3, true)
		}
		read, err := filter.ParsePath(path.String(), filter.Options{Bytes: 1 << 20})
		require.NoError(t, err, path)
		require.Equal(t, path, read)
	})
}

func TestExpr_PrintsTreesMadeByHand(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]filter.Expr{
		`emails[(type pr or value pr) and (a pr or b pr)]`: &filter.ValuePath{Attr: attr("emails"), Filter: or(pr("type"), pr("value")), Then: or(pr("a"), pr("b"))},
		`emails[type pr and a.b pr]`:                       &filter.ValuePath{Attr: attr("emails"), Filter: pr("type"), Then: pr("a.b")},
		`emails[type pr and a.b eq 5]`:                     &filter.ValuePath{Attr: attr("emails"), Filter: pr("type"), Then: eq("a.b", 5)},
		`a eq "` + "\uFFFD" + `\u0000\u001f\"\\/"`:         eq("a", "\xff\x00\x1f\"\\/"),
	} {
		require.Equal(t, want, e.String())
	}
}
