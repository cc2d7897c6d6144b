package scim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

const (
	core  = "urn:ietf:params:scim:schemas:core:2.0:User"
	group = "urn:ietf:params:scim:schemas:core:2.0:Group"
	ent   = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	base  = "https://scim.example.org/scim/v2"
)

// decode reads JSON as a Handler does: numbers stay text.
func decodeAny(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), text)
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF, text)
	return v
}

func object(t testing.TB, text string) scim.Object {
	t.Helper()
	o, ok := decodeAny(t, text).(scim.Object)
	require.True(t, ok, text)
	return o
}

// tally collects the quirks that were made use of.
type tally []scim.Quirk

func (n *tally) note(q scim.Quirk) { *n = append(*n, q) }

func refused(t testing.TB, err error, kind scim.ErrorType) {
	t.Helper()
	require.NotEmpty(t, refusal(t, err, kind).Detail)
}

// refusal is refused, to look further at the error.
func refusal(t testing.TB, err error, kind scim.ErrorType) *scim.Error {
	t.Helper()
	require.Error(t, err)
	var e *scim.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kind, e.Type, e.Detail)
	return e
}

// u1 and g1 are the resources that the quirks are told of.
func u1(t testing.TB) scim.Resource {
	t.Helper()
	return scim.Resource{
		ID: "u1", Version: "1", Created: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Modified: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Attributes: object(t, `{"userName":"nora.lind@example.org","externalId":"ext-nora","active":true,
			"name":{"givenName":"Nora","familyName":"Lind"},
			"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"}],
			"`+ent+`":{"department":"Docks","employeeNumber":"4711"}}`),
	}
}

func g1(t testing.TB) scim.Resource {
	t.Helper()
	return scim.Resource{
		ID: "g1", Version: "1", Created: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Modified: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		Attributes: object(t, `{"displayName":"Harbour Crew","externalId":"ext-g1","members":[{"value":"u1"},{"value":"u2"}]}`),
	}
}

// ops reads the operations of a PATCH.
func ops(t testing.TB, text string) []scim.PatchOp {
	t.Helper()
	list, ok := decodeAny(t, text).([]any)
	require.True(t, ok, text)
	var out []scim.PatchOp
	for _, v := range list {
		o, ok := v.(scim.Object)
		require.True(t, ok, text)
		var op scim.PatchOp
		op.Op, _ = o["op"].(string)
		op.Path, _ = o["path"].(string)
		op.Value, op.HasValue = o["value"]
		out = append(out, op)
	}
	return out
}

// patches applies operations leniently and strictly. want are the attributes after
// the former; strictly is an ErrorType, or the attributes after the latter, "" if
// they are the same.
func patches(t *testing.T, rt *scim.ResourceType, r scim.Resource, text, want string, strictly any, quirks ...scim.Quirk) {
	t.Helper()
	before := encode(t, r.Attributes)
	var used tally
	got, err := rt.Patch(r, ops(t, text), scim.AllLenient(), used.note)
	require.NoError(t, err)
	require.Equal(t, object(t, want), got, text)
	require.ElementsMatch(t, quirks, used, text)

	strict, err := rt.Patch(r, ops(t, text), nil, func(q scim.Quirk) { t.Errorf("noted %s", q) })
	switch s := strictly.(type) {
	case scim.ErrorType:
		refused(t, err, s)
	case string:
		require.NoError(t, err)
		if s == "" {
			s = want
		}
		require.Equal(t, object(t, s), strict, text)
	}
	require.Equal(t, before, encode(t, r.Attributes), "the resource itself has changed")
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// with is a resource with some attributes set, or taken away if null.
func with(t testing.TB, r scim.Resource, text string) string {
	t.Helper()
	o := object(t, encode(t, r.Attributes))
	for name, v := range object(t, text) {
		if o[name] = v; v == nil {
			delete(o, name)
		}
	}
	return encode(t, o)
}

// having is with as a resource.
func having(t testing.TB, r scim.Resource, text string) scim.Resource {
	t.Helper()
	r.Attributes = object(t, with(t, r, text))
	return r
}
