package sources_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources"
)

func TestMapper_custom(t *testing.T) {
	t.Parallel()
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	rules := sources.Rules{ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail"), Custom: []sources.CustomRule{
		{Name: "Department", Value: at("upper(attr.dept)")}, {Name: "Floor", Value: at("attr.room.substring(0, 1)")},
	}}
	m, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	var rec sources.Record
	for _, f := range []string{"id", "uid", "mail", "dept"} {
		rec.Add(f, "x")
	}
	rec.Add("room", "4.12")
	id, err := m.Identity(rec)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Department": "X", "Floor": "4"}, id.Custom)
	require.Contains(t, m.Attributes(), "dept")
	var other sources.Record
	for _, f := range []string{"id", "uid", "mail", "dept"} {
		other.Add(f, "x")
	}
	other.Add("room", "5.12")
	moved, err := m.Identity(other)
	require.NoError(t, err)
	require.NotEqual(t, id.Hash, moved.Hash)
	other = sources.Record{}
	for _, f := range []string{"id", "uid", "mail"} {
		other.Add(f, "x")
	}
	faulty, err := m.Identity(other)
	require.NoError(t, err)
	require.Contains(t, faulty.Fault, "user_attributes.Floor cannot be computed")
	require.Nil(t, faulty.Custom)
	rules.Custom[0].Value = sources.Expr{}
	_, err = sources.Compile("s", rules, sources.CompileOptions{})
	require.ErrorContains(t, err, "user_attributes.Department: is missing")
}

func TestMapper_people(t *testing.T) {
	t.Parallel()
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	person := func(fields ...string) (rec sources.Record) {
		for i := 0; i < len(fields); i += 2 {
			rec.Add(fields[i], fields[i+1])
		}
		return rec
	}
	rules := sources.Rules{ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail")}
	without, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	rules.People = []sources.CustomRule{{Name: "Manager", Value: at("attr.manager")}}
	m, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	require.Contains(t, m.Attributes(), "manager", "a directory is asked for it")
	led, err := m.Identity(person("id", "1", "uid", "x", "mail", "x", "manager", "uid=boss,dc=x"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Manager": "uid=boss,dc=x"}, led.People)
	require.Nil(t, led.Custom)
	free, err := m.Identity(person("id", "1", "uid", "x", "mail", "x"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Manager": ""}, free.People, "that there is nobody is known")
	require.NotEqual(t, led.Hash, free.Hash)
	none, err := without.Identity(person("id", "1", "uid", "x", "mail", "x"))
	require.NoError(t, err)
	require.Nil(t, none.People)
	faulty, err := m.Identity(person("id", "1", "mail", "x", "manager", "2"))
	require.NoError(t, err)
	require.NotEmpty(t, faulty.Fault)
	require.Nil(t, faulty.People)

	rules.People, rules.Custom = nil, []sources.CustomRule{{Name: "Manager", Value: at("attr.manager")}}
	text, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	told, err := text.Identity(person("id", "1", "uid", "x", "mail", "x", "manager", "uid=boss,dc=x"))
	require.NoError(t, err)
	require.NotEqual(t, led.Hash, told.Hash, "a text is another thing than whom it names")
	rules.Custom, rules.People = nil, []sources.CustomRule{{Name: "Manager"}}
	_, err = sources.Compile("s", rules, sources.CompileOptions{})
	require.ErrorContains(t, err, "person_attributes.Manager: is missing")
}

func TestMapper_manager(t *testing.T) {
	t.Parallel()
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	person := func(fields ...string) (rec sources.Record) {
		for i := 0; i < len(fields); i += 2 {
			rec.Add(fields[i], fields[i+1])
		}
		return rec
	}
	identified := func(m *sources.Mapper, fields ...string) (out struct{ Hash, Manager, Fault string }) {
		id, err := m.Identity(person(append([]string{"id", "1", "mail", "x"}, fields...)...))
		require.NoError(t, err)
		require.Nil(t, id.People, "nothing of it is set in Mattermost")
		out.Hash, out.Manager, out.Fault = id.Hash, id.Manager, id.Fault
		return out
	}
	rules := sources.Rules{ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail")}
	without, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	rules.Manager = at("attr.boss")
	m, err := sources.Compile("s", rules, sources.CompileOptions{})
	require.NoError(t, err)
	require.Contains(t, m.Attributes(), "boss", "a directory is asked for it")
	plain, led, free := identified(without, "uid", "x", "boss", "uid=a"), identified(m, "uid", "x", "boss", "uid=a"), identified(m, "uid", "x")
	require.Empty(t, plain.Manager)
	require.Equal(t, "uid=a", led.Manager)
	require.Empty(t, free.Manager)
	require.Equal(t, plain.Hash, free.Hash, "whoever names nobody is digested as ever")
	require.NotEqual(t, free.Hash, led.Hash)
	require.NotEqual(t, led.Hash, identified(m, "uid", "x", "boss", "uid=b").Hash)
	faulty := identified(m, "boss", "uid=a")
	require.NotEmpty(t, faulty.Fault)
	require.Empty(t, faulty.Manager, "of an entry with a fault nothing counts but whether it is active")
	steps := m.Trace(person("id", "1", "uid", "x", "mail", "x", "boss", "uid=a"))
	require.Equal(t, sources.Step{Setting: "manager", Expr: "attr.boss", Names: []string{"boss"}, Value: "uid=a"}, steps[len(steps)-1])
	rules.Manager = at("1 + 1")
	_, err = sources.Compile("s", rules, sources.CompileOptions{})
	require.ErrorContains(t, err, "manager, column 1: gives a number where text is needed")
}
