package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/file"
)

func mapper(t testing.TB, change ...func(*sources.Rules)) *sources.Mapper {
	t.Helper()
	x := func(s string) sources.Expr { return sources.Expr{Source: s} }
	r := sources.Rules{
		ID: x("attr.id"), Username: x("lower(attr.uid)"), Email: x("attr.mail"),
		DisabledWhen: x(`attr.state == "left"`), Roles: []sources.RoleRule{{Role: "system_admin", Groups: []string{"admins"}}},
	}
	for _, f := range change {
		f(&r)
	}
	m, err := sources.Compile("people", r, sources.CompileOptions{})
	require.NoError(t, err)
	return m
}

func newSource(t testing.TB, name, content string, change ...func(*file.Options)) *file.Source {
	t.Helper()
	o := file.Options{Path: name, FS: fstest.MapFS{name: {Data: []byte(content)}}, Mapper: mapper(t)}
	for _, f := range change {
		f(&o)
	}
	s, err := file.New(o)
	require.NoError(t, err)
	return s
}

func snapshot(t testing.TB, s *file.Source) identity.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), nil)
	require.NoError(t, err)
	return snap
}

func anchors(s identity.Snapshot) []string {
	var out []string
	for _, id := range s.Identities {
		out = append(out, id.Key.Anchor)
	}
	return out
}

const goodCSV = "\ufeffid,uid,mail,state,groups\r\n2,Bea,bea@example.test,,admins;staff\r\n1,\"Ada\",ada@example.test,left,\r\n"

func TestSource_Snapshot(t *testing.T) {
	t.Parallel()
	separated := func(o *file.Options) { o.Separator = ";" }
	for name, s := range map[string]*file.Source{
		"CSV": newSource(t, "p.csv", goodCSV, separated),
		"JSON lines": newSource(t, "p.jsonl", `{"id": 2, "uid":"Bea","mail":["bea@example.test","b@example.test"],"groups":["admins","staff"], "extra":null}

{"id":"1","uid":"Ada","mail":"ada@example.test","state":"left","ok":true}`),
		"LDIF": newSource(t, "p.ldif", `version: 1
# people
dn: ou=people,dc=t
objectClass: organizationalUnit
ou: people

dn: cn=Bea,ou=people,dc=t
objectClass: inetOrgPerson
id: 2
uid: Bea
mail: bea@exam
 ple.test

dn: uid=ada,dc=t
objectclass: PERSON
id: 1
uid:: QWRh
mail: ada@example.test
state: left

dn: cn=pc,dc=t
objectClass: user
objectClass: computer

dn: admins
objectClass: groupOfNames
member: CN=bea, ou=people,dc=t
`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap := snapshot(t, s)
			require.True(t, snap.Complete, snap.Incomplete)
			require.Empty(t, snap.Unreadable)
			require.Equal(t, 2, snap.Entries)
			require.Equal(t, []string{"1", "2"}, anchors(snap))
			ada, bea := snap.Identities[0], snap.Identities[1]
			require.Empty(t, ada.Fault+bea.Fault)
			require.False(t, ada.Active)
			require.True(t, bea.Active)
			require.Equal(t, "ada", ada.Profile.Username)
			require.Equal(t, "bea@example.test", bea.Profile.Email)
			require.Equal(t, identity.NewRoles("system_admin"), bea.Roles)
			require.Empty(t, ada.Roles)

			got, err := s.Confirm(t.Context(), []string{"1", "9"})
			require.NoError(t, err)
			require.Equal(t, map[string]identity.Presence{"1": identity.PresencePresent, "9": identity.PresenceGone}, got)
			for query, want := range map[string]string{"1": "Ada", "ADA@example.test": "Ada", "bea": "Bea", bea.Ref: "Bea"} {
				rec, ok, err := s.Lookup(t.Context(), query)
				require.NoError(t, err)
				require.True(t, ok, query)
				require.Equal(t, want, rec.Value("uid"), query)
			}
			_, ok, err := s.Lookup(t.Context(), "nobody")
			require.NoError(t, err)
			require.False(t, ok)
			for _, f := range s.Check(t.Context()) {
				require.Equal(t, identity.LevelOK, f.Level, f.Text)
			}
		})
	}
}

// What is wrong in a file costs the proof of absence, never the rest of the file.
func TestSource_Snapshot_incomplete(t *testing.T) {
	t.Parallel()
	const csvHead, ldifGood = "id,uid,mail,state\n", "dn: uid=z,dc=t\nid: z\nuid: z\nmail: z@t\n"
	for name, c := range map[string]struct {
		file, content string
		want          string
		people        []string
		unreadable    int
	}{
		"CSV short row":              {"p.csv", csvHead + "1,a\n2,b,b@t,\n", "p.csv:2: the row has 2 cells and the header 4", []string{"2"}, 1},
		"CSV long row":               {"p.csv", csvHead + "1,a,a@t,,x\n2,b,b@t,\n", "p.csv:2: the row has 5 cells", []string{"2"}, 1},
		"CSV open quote":             {"p.csv", csvHead + "1,a,a@t,\n2,\"b,b@t,\n3,c,c@t,\n", "p.csv:3: ", []string{"1"}, 1},
		"CSV in another encoding":    {"p.csv", csvHead + "1,J\xf6rg,a@t,\n2,b,b@t,\n", "column uid is not UTF-8; save the file as UTF-8", []string{"2"}, 1},
		"CSV header only":            {"p.csv", csvHead, "p.csv holds no people", nil, 0},
		"empty file":                 {"p.csv", "", "p.csv is empty", nil, 0},
		"no anchor":                  {"p.csv", csvHead + ",a,a@t,\n2,b,b@t,\n", "1 of 2 entries cannot be used, more than 1 %: first p.csv:2: the anchor is empty: id has no value", []string{"2"}, 1},
		"an anchor twice":            {"p.csv", csvHead + "1,a,a@t,\n2,b,b@t,\n1,c,c@t,\n", "the anchor 1 occurs twice, in p.csv:2 and p.csv:4", []string{"1", "2"}, 0},
		"no e-mail":                  {"p.csv", csvHead + "1,a,,\n2,b,b@t,\n", "first email is empty: mail has no value (p.csv:2)", []string{"1", "2"}, 0},
		"JSON cut off":               {"p.jsonl", "{\"id\":\"1\",\"uid\":\"a\",\"mail\":\"a@t\"}\n{\"id\":\"2\",\"uid", "p.jsonl:2: the object is not closed; the file ends in the middle of a line", []string{"1"}, 1},
		"JSON key twice":             {"p.jsonl", `{"id":"1","uid":"a","mail":"a@t","ID":"2"}`, `p.jsonl:1: the key "ID" occurs twice`, nil, 1},
		"JSON nested":                {"p.jsonl", `{"id":{"x":1}}`, "flatten nested objects", nil, 1},
		"JSON array":                 {"p.json", `[{"id":"1"}]`, "write one object a line", nil, 1},
		"JSON two on a line":         {"p.jsonl", `{"id":"1"} {"id":"2"}`, "something follows the object", nil, 1},
		"LDIF change record":         {"p.ldif", "dn: uid=a,dc=t\nchangetype: delete\n\n" + ldifGood, "p.ldif:2 (uid=a,dc=t): change records are not read", []string{"z"}, 1},
		"LDIF URL":                   {"p.ldif", "dn: uid=a,dc=t\njpegPhoto:< file:///etc/passwd\n\n" + ldifGood, "values by URL are not read", []string{"z"}, 1},
		"LDIF broken base64":         {"p.ldif", "dn: uid=a,dc=t\nuid:: %%\n\n" + ldifGood, "the base64 value of uid is broken", []string{"z"}, 1},
		"LDIF without blank line":    {"p.ldif", "dn: uid=a,dc=t\ndn: uid=b,dc=t\n\n" + ldifGood, "a second dn in one entry", []string{"z"}, 1},
		"LDIF entry without dn":      {"p.ldif", "uid: a\nmail: a@t\n\n" + ldifGood, "p.ldif:1: an entry starts with uid", []string{"z"}, 1},
		"LDIF line without a colon":  {"p.ldif", "dn: uid=a,dc=t\nnonsense\n\n" + ldifGood, "not a line of the form name: value", []string{"z"}, 1},
		"LDIF of another version":    {"p.ldif", "version: 2\n\n" + ldifGood, "the LDIF version is not 1", []string{"z"}, 1},
		"LDIF raw bytes":             {"p.ldif", "dn: uid=a,dc=t\nsn: M\xfcller\n\n" + ldifGood, "the value of sn is not UTF-8; write it in base64", []string{"z"}, 1},
		"LDIF with a lonely folding": {"p.ldif", " x\n\n" + ldifGood, "a continuation line without a line before it", []string{"z"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, c.file, c.content)
			snap := snapshot(t, s)
			require.False(t, snap.Complete)
			require.Contains(t, snap.Incomplete, c.want)
			require.Equal(t, c.people, anchors(snap))
			require.Len(t, snap.Unreadable, c.unreadable)
			got, err := s.Confirm(t.Context(), []string{"missing"})
			require.NoError(t, err)
			require.Equal(t, identity.PresenceUnknown, got["missing"])
			require.Equal(t, identity.LevelFail, worst(s.Check(t.Context())))
		})
	}
}

func worst(list []identity.Finding) identity.Level {
	level := identity.LevelOK
	for _, f := range list {
		if f.Level == identity.LevelFail || level == identity.LevelOK {
			level = f.Level
		}
	}
	return level
}

func TestSource_Snapshot_error(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"a mapped column is missing": {"id,uid,mial,state\n1,a,a@t,\n", "the source has no attribute mail; did you mean mial?"},
		"a column twice":             {"id,uid,mail,state,UID\n", "p.csv:1: two columns are called UID"},
		"a column without a name":    {"id,,mail\n", "p.csv:1: column 2 has no name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, "p.csv", c.content)
			_, err := s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, c.want)
			got, err := s.Confirm(t.Context(), []string{"1"})
			require.Error(t, err)
			require.Equal(t, identity.PresenceUnknown, got["1"])
			require.Equal(t, identity.LevelFail, worst(s.Check(t.Context())))
		})
	}
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		s, err := file.New(file.Options{Path: filepath.Join(t.TempDir(), "none.csv"), Mapper: mapper(t)})
		require.NoError(t, err)
		_, err = s.Snapshot(t.Context(), nil)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		var b strings.Builder
		b.WriteString("id,uid,mail,state\n")
		for i := range 1000 {
			fmt.Fprintf(&b, "%d,u%d,u%d@t,\n", i, i, i)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newSource(t, "p.csv", b.String()).Snapshot(ctx, nil)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestSource_Snapshot_leaver(t *testing.T) {
	t.Parallel()
	snap := snapshot(t, newSource(t, "p.csv", "id,uid,mail,state\n1,,,left\n2,b,b@t,\n"))
	require.True(t, snap.Complete, "an emptied entry of a leaver is no sign of trouble: %s", snap.Incomplete)
	require.False(t, snap.Identities[0].Active)
	require.NotEmpty(t, snap.Identities[0].Fault)
}

func TestSource_Snapshot_canary(t *testing.T) {
	t.Parallel()
	for canary, complete := range map[string]bool{"2": true, "bea@example.test": true, "boss": false} {
		snap := snapshot(t, newSource(t, "p.csv", goodCSV, func(o *file.Options) { o.Canary = canary }))
		require.Equal(t, complete, snap.Complete, canary)
		if !complete {
			require.Contains(t, snap.Incomplete, "boss, who must be in p.csv, is not")
		}
	}
}

func TestSource_Snapshot_changedMeanwhile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"id":"1","uid":"a","mail":"a@t"}`+"\n"), 0o600))
	s, err := file.New(file.Options{Path: path, Mapper: mapper(t), FS: growing{os.DirFS(filepath.Dir(path)), path}})
	require.NoError(t, err)
	_, err = s.Snapshot(t.Context(), nil)
	require.Error(t, err, "an absolute path is no path inside an FS")
	s, err = file.New(file.Options{Path: "p.jsonl", Mapper: mapper(t), FS: growing{os.DirFS(filepath.Dir(path)), path}})
	require.NoError(t, err)
	snap := snapshot(t, s)
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "changed while it was read")
}

func TestSource_Snapshot_delimiter(t *testing.T) {
	t.Parallel()
	s := newSource(t, "export.txt", "id;uid;mail;state\n1;a;a@t;\n", func(o *file.Options) { o.Format, o.Delimiter = file.CSV, ";" })
	require.True(t, snapshot(t, s).Complete)
}

func TestNew(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]file.Options{
		"no mapping given":           {Path: "p.csv"},
		"path is missing":            {Mapper: mapper(t)},
		"the format of p.xls":        {Mapper: mapper(t), Path: "p.xls"},
		"delimiter must be one":      {Mapper: mapper(t), Path: "p.csv", Delimiter: ";;"},
		"was made for source people": {Mapper: mapper(t), Path: "p.csv", Name: "other"},
	} {
		_, err := file.New(o)
		require.ErrorContains(t, err, want)
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add("csv", goodCSV)
	f.Add("ldif", "version: 1\ndn: uid=a,dc=t\nid:: MQ==\nmail: a\n b\n")
	f.Add("jsonl", `{"id":1,"mail":["a",true,null]}`)
	f.Fuzz(func(t *testing.T, format, content string) {
		if format != file.CSV && format != file.LDIF && format != file.JSONLines {
			return
		}
		snap, err := newSource(t, "p", content, func(o *file.Options) { o.Format = format }).Snapshot(t.Context(), nil)
		if err != nil {
			return
		}
		require.Equal(t, snap.Complete, snap.Incomplete == "")
		require.LessOrEqual(t, len(snap.Identities)+len(snap.Unreadable), snap.Entries)
	})
}
