package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/archive"
	"github.com/mmsync/mmsync/internal/state/postgres"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

type store interface {
	state.Store
	Migrate(ctx context.Context) ([]string, error)
	Schema(ctx context.Context) (current, wanted int64, err error)
}

// kinds opens an empty store of each kind.
func kinds() map[string]func(t *testing.T) store {
	return map[string]func(t *testing.T) store{
		"sqlite": func(t *testing.T) store {
			t.Helper()
			s, err := sqlite.Open(t.Context(), sqlite.Scheme+filepath.Join(t.TempDir(), "state.db"), sqlite.Options{Volatile: true})
			return ready(t, s, err)
		},
		"postgres": func(t *testing.T) store {
			t.Helper()
			s, err := postgres.Open(t.Context(), pgtest.URL(t), postgres.Options{})
			return ready(t, s, err)
		},
	}
}

func ready(t *testing.T, s store, err error) store {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	return s
}

const rowsEach = 3

var madeAt = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

// sample gives a row with every column set; every third also with null where the schema
// lets it. Ids that tables share agree.
func sample(t *state.KeptTable, n int) []any {
	out := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		switch c.Kind {
		case state.ColumnText:
			out[i] = fmt.Sprintf("%s %d <&> \u2028 Zoë \"\\\n", c.Name, n)
		case state.ColumnInt:
			out[i] = int64(1)<<53 + 1 + int64(n) // not a float64
		case state.ColumnBool:
			out[i] = n%2 == 0
		case state.ColumnTime:
			out[i] = madeAt.Add(time.Duration(n) * time.Microsecond)
		case state.ColumnBytes:
			out[i] = []byte(fmt.Sprintf("\x00\xff 16 bytes %4d", n))
		}
		if v, ok := special(t.Name, c.Name, n); ok {
			out[i] = v
		}
	}
	return out
}

// special are the values that a constraint, or a type that only one of the databases
// has, asks for.
func special(table, column string, n int) (any, bool) {
	null := n == 2
	switch table + "." + column {
	case "links.part":
		return []any{"owner", "contributor", "owner"}[n], true
	case "stops.kind":
		return []any{"hold", "off", "hold"}[n], true
	case "decisions.position", "decisions.chain", "ops.decision", "ops.position", "scim_due.attempts", "audit_batches.id", "audit_rows.batch":
		return int64(n), true // four bytes in PostgreSQL, or known to another table
	case "audit_batches.previous":
		return [][]byte{{}, {0}, {1, 2}}[n], true
	case "ops.run_id", "decisions.run_id", "runs.id", "verdicts.id", "verdict_items.verdict_id":
		return fmt.Sprintf("run %d", n), true
	case "links.applied", "runs.counts", "runs.sources", "runs.target", "ops.op", "verdict_items.ops", "scim_tokens.scopes", "scim_tokens.networks":
		return fmt.Sprintf(`{"b":  %d, "a": "Zoë <&>", "a": 1e400}`, n), true // kept as it is, blanks, doubles and all
	case "links.observed", "decisions.notes", "decisions.withheld", "decisions.planned", "ops.before_image", "ops.after_image":
		return []any{"null", `[ 1,2 ]`, nil}[n], true
	case "links.written_at", "link_heads.observed_active", "link_heads.settled", "runs.sealed_in", "audit_rows.personal", "audit_rows.salt",
		"audit_batches.pruned_at", "audit_batches.prune_mac", "scim_resources.deleted_at", "scim_tokens.expires_at":
		return nil, null
	}
	return nil, false
}

// samples is a state.BackupReader of them.
type samples struct{ read map[string]int }

func (s samples) Row(t *state.KeptTable) ([]any, error) {
	n := s.read[t.Name]
	s.read[t.Name]++
	return sample(t, n), nil
}

func (samples) End() error { return nil }

func samplesHead(t *testing.T, s store) state.BackupHead {
	t.Helper()
	_, schema, err := s.Schema(t.Context())
	require.NoError(t, err)
	h := state.BackupHead{Schema: schema, MadeAt: madeAt, Revision: 1<<53 + 100}
	for _, table := range state.Kept() {
		h.Tables = append(h.Tables, state.BackupTable{Name: table.Name, Columns: table.Names(), Rows: rowsEach})
	}
	return h
}

var mark = state.Mark{Name: state.MarkRestored, ServerDate: madeAt, At: madeAt.Add(time.Hour)}

// filled gives a store with rows in every table.
func filled(t *testing.T, open func(*testing.T) store) store {
	t.Helper()
	s := open(t)
	require.NoError(t, s.Restore(t.Context(), samplesHead(t, s), samples{map[string]int{}}, mark))
	return s
}

func backup(t *testing.T, s store, keys ...age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, "test", keys...)
	require.NoError(t, err)
	require.NoError(t, s.Backup(t.Context(), w))
	require.NoError(t, w.Close())
	return b.Bytes()
}

func restore(t *testing.T, s store, file []byte) error {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(file), archive.Keys{})
	if err != nil {
		return err
	}
	return s.Restore(t.Context(), r.Head(), r, mark)
}

// content gives what a backup holds, but for what restoring changes: the lease rows, and
// the line about when it was made.
func content(t *testing.T, file []byte) (head map[string]any, rows []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(unpack(t, file), "\n"), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &head))
	delete(head, "made_at")
	delete(head, "revision")
	leases, ok := head["tables"].([]any)[0].(map[string]any)["rows"].(float64)
	require.True(t, ok)
	return head, lines[1+int(leases) : len(lines)-1]
}

func unpack(t *testing.T, file []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(file))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func pack(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// Every value of every column of every table comes back as it was, from either kind of
// store into either.
func TestBackup_GoesAnywhereAndBack(t *testing.T) {
	t.Parallel()
	for from, openFrom := range kinds() {
		for to, openTo := range kinds() {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				first := backup(t, filled(t, openFrom))
				s := openTo(t)
				require.NoError(t, restore(t, s, first))
				wantHead, want := content(t, first)
				gotHead, got := content(t, backup(t, s))
				require.Equal(t, wantHead, gotHead)
				require.Equal(t, want, got)
				require.Len(t, want, rowsEach*(len(state.Kept())-1)+1, "and the mark")
				for _, table := range state.Kept()[1:] {
					for n := range rowsEach {
						require.Contains(t, want, line(t, &table, sample(&table, n)), table.Name)
					}
				}
				m, err := s.Mark(t.Context(), state.MarkRestored)
				require.NoError(t, err)
				require.Equal(t, mark, m)
			})
		}
	}
}

// line is how a row stands in the file.
func line(t *testing.T, table *state.KeptTable, values []any) string {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, "")
	require.NoError(t, err)
	require.NoError(t, w.Head(state.BackupHead{Tables: []state.BackupTable{{}}}))
	require.NoError(t, w.Row(table, values))
	require.NoError(t, w.Close())
	return strings.Split(unpack(t, b.Bytes()), "\n")[1]
}

// Whoever held a lease when the backup was made, or got one after it, does not hold it
// after it was put back; nor is a mark taken for one that was given before.
func TestRestore_FencesWhoWasThere(t *testing.T) {
	t.Parallel()
	for from, openFrom := range kinds() {
		for to, openTo := range kinds() {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				old := openFrom(t)
				held, err := old.AcquireLease(t.Context(), "reconcile", "old:1", time.Hour)
				require.NoError(t, err)
				require.NoError(t, old.MarkDue(t.Context(), due()))
				file := backup(t, old)
				require.NoError(t, old.ReleaseLease(t.Context(), held))
				later, err := old.AcquireLease(t.Context(), "reconcile", "old:2", time.Hour)
				require.NoError(t, err)

				s := openTo(t)
				require.NoError(t, restore(t, s, file))
				for _, l := range []state.Lease{held, later} {
					require.ErrorIs(t, s.SetMark(t.Context(), l, state.Mark{Name: "x"}), state.ErrFenced)
				}
				got, err := s.AcquireLease(t.Context(), "reconcile", "new:1", time.Hour)
				require.NoError(t, err, "it is free at once")
				require.Greater(t, got.Token, later.Token+state.TokenLeap/2)
				before := revision(t, s)
				require.NoError(t, s.MarkDue(t.Context(), due()))
				require.Greater(t, revision(t, s), before+state.TokenLeap/2)
				require.NoError(t, s.RecordRead(t.Context(), state.Read{Source: "hr", At: madeAt}))
			})
		}
	}
}

var person = identity.Key{Source: "okta", Anchor: "e1"}

func due() []state.DueMark { return []state.DueMark{{Key: person}} }

func revision(t *testing.T, s store) int64 {
	t.Helper()
	list, err := s.DueOf(t.Context(), []identity.Key{person})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0].Revision
}

// What is damaged in any way is refused, and leaves the store as empty as it was.
func TestRestore_RefusesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	good := backup(t, filled(t, kinds()["sqlite"]))
	text := unpack(t, good)
	lines := strings.SplitAfter(text, "\n")
	without := func(n int) string { return strings.Join(append(append([]string{}, lines[:n]...), lines[n+1:]...), "") }
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	tests := map[string]struct {
		file []byte
		is   error
		says string
	}{
		"nothing":               {nil, archive.ErrForeign, "it is no file that mmsync state backup wrote"},
		"another file":          {[]byte("id,login,mail\ne1,ada,ada@example.test\n"), archive.ErrForeign, "it is no file that mmsync state backup wrote"},
		"another packed file":   {pack(t, "{}\n"), archive.ErrForeign, "it is no file that mmsync state backup wrote"},
		"cut":                   {good[:len(good)-40], archive.ErrDamaged, "it ends too early"},
		"cut in half":           {good[:len(good)/2], archive.ErrDamaged, "it ends too early"},
		"cut before packing":    {pack(t, strings.Join(lines[:len(lines)/2], "")), archive.ErrDamaged, "it ends too early"},
		"without its last line": {pack(t, without(len(lines)-2)), archive.ErrDamaged, "it ends too early"},
		"a bit":                 {flipped, archive.ErrDamaged, "take another backup"},
		"a value":               {pack(t, strings.Replace(text, "ref 1", "ref 9", 1)), archive.ErrDamaged, "the sum at its end is not that of its lines"},
		"a row less":            {pack(t, without(4)), archive.ErrDamaged, "take another backup"},
		"a row twice":           {pack(t, strings.Join(append(append([]string{}, lines[:5]...), lines[4:]...), "")), nil, ""},
		"something behind it":   {pack(t, text+"[]\n"), archive.ErrDamaged, "something stands behind its end"},
		"another packed behind": {append(bytes.Clone(good), pack(t, "x")...), archive.ErrDamaged, "something stands behind its end"},
		"a newer format":        {pack(t, strings.Replace(text, `"format_version":"1.0"`, `"format_version":"2.0"`, 1)), archive.ErrForeign, `it was made by a newer mmsync ("test")`},
		"another schema":        {pack(t, strings.Replace(text, `"schema":`, `"schema":9`, 1)), state.ErrSchema, "restore it with the mmsync that made it"},
		"a table less":          {pack(t, strings.Replace(text, `{"name":"leases","columns":["name","holder","token","expires_at"],"rows":3},`, "", 1)), state.ErrInvalid, "and this program keeps"},
		"a column less":         {pack(t, strings.Replace(text, `"holder",`, "", 1)), state.ErrInvalid, `table "leases" is not what this program keeps`},
		"fewer rows announced":  {pack(t, strings.Replace(text, `"rows":3`, `"rows":2`, 1)), nil, ""},
	}
	for kind, open := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			for name, test := range tests {
				err := restore(t, s, test.file)
				require.Error(t, err, name)
				if test.is != nil {
					require.ErrorIs(t, err, test.is, name)
				}
				require.ErrorContains(t, err, test.says, name)
				_, rows := content(t, backup(t, s))
				require.Empty(t, rows, name)
			}
			require.NoError(t, restore(t, s, good), "and is still empty")
		})
	}
}

func TestRestore_RefusesAStoreWithSomethingInIt(t *testing.T) {
	t.Parallel()
	for kind, open := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			file := backup(t, filled(t, open))
			s := open(t)
			require.NoError(t, s.RecordRead(t.Context(), state.Read{Source: "hr", At: madeAt}))
			err := restore(t, s, file)
			require.ErrorIs(t, err, state.ErrConflict)
			require.ErrorContains(t, err, "the store is not empty, there is something in reads: name a new database as state.url")
			require.NotContains(t, err.Error(), state.ErrConflict.Error(), "that is for callers")
			links, err := s.Links(t.Context(), state.LinkFilter{})
			require.NoError(t, err)
			require.Empty(t, links)
		})
	}
}

// A backup that is taken while others write is of one moment.
func TestBackup_IsOfOneMoment(t *testing.T) {
	t.Parallel()
	for kind, open := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := filled(t, open)
			_, want := content(t, backup(t, s))
			var b bytes.Buffer
			w, err := archive.NewWriter(&b, "test")
			require.NoError(t, err)
			late := &meanwhile{BackupWriter: w, do: func() {
				require.NoError(t, s.RecordRead(t.Context(), state.Read{Source: "hr", At: madeAt}))
			}}
			require.NoError(t, s.Backup(t.Context(), late))
			require.NoError(t, w.Close())
			_, got := content(t, b.Bytes())
			require.Equal(t, want, got)
			reads, err := s.Reads(t.Context(), "hr", time.Time{})
			require.NoError(t, err)
			require.Len(t, reads, 1, "it was written all the same")
		})
	}
}

// meanwhile does something behind the head of a backup.
type meanwhile struct {
	state.BackupWriter
	do func()
}

func (m *meanwhile) Head(h state.BackupHead) error {
	defer m.do()
	return m.BackupWriter.Head(h)
}

func TestReader_Sealed(t *testing.T) {
	t.Parallel()
	s := filled(t, kinds()["sqlite"])
	mine, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	to, err := archive.Recipients([]string{mine.Recipient().String()})
	require.NoError(t, err)
	file := backup(t, s, to...)
	require.NotContains(t, string(file), "Zoë")

	open := func(file []byte, secret string) (*archive.Reader, error) {
		keys, err := archive.Identities(strings.NewReader(secret))
		require.NoError(t, err)
		return archive.NewReader(bytes.NewReader(file), keys)
	}
	_, err = archive.NewReader(bytes.NewReader(file), archive.Keys{})
	require.ErrorIs(t, err, archive.ErrSealed)
	require.ErrorContains(t, err, "with --identity")
	_, err = open(file, other.String())
	require.ErrorIs(t, err, archive.ErrSealed)
	for _, cut := range []int{100, 300, 1} {
		r, err := open(file[:len(file)-cut], mine.String())
		if err == nil {
			empty := kinds()["sqlite"](t)
			err = empty.Restore(t.Context(), r.Head(), r, mark)
		}
		require.ErrorIs(t, err, archive.ErrDamaged, "cut by %d", cut)
	}
	r, err := open(file, mine.String())
	require.NoError(t, err)
	empty := kinds()["sqlite"](t)
	require.NoError(t, empty.Restore(t.Context(), r.Head(), r, mark))
	_, want := content(t, backup(t, s))
	_, got := content(t, backup(t, empty))
	require.Equal(t, want, got)

	_, err = archive.Recipients([]string{"age1nobody"})
	require.ErrorContains(t, err, `"age1nobody" is no public key of age`)
	_, err = archive.Identities(strings.NewReader("AGE-SECRET-KEY-1NOTONE"))
	require.ErrorContains(t, err, "it holds no secret key of age")
	require.NotContains(t, err.Error(), "NOTONE")
}

// What would not come back as it is, is not written.
func TestWriter_RefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	table := state.KeptTable{Name: "x", Columns: []state.KeptColumn{{Name: "c", Kind: state.ColumnText}}}
	w, err := archive.NewWriter(io.Discard, "test")
	require.NoError(t, err)
	require.ErrorContains(t, w.Row(&table, []any{"a\xff"}), "column c")
	require.ErrorContains(t, w.Row(&table, []any{int64(1)}), "cannot be kept as text")
	require.ErrorContains(t, w.Row(&table, []any{3.5}), "cannot be kept as text")
	require.ErrorContains(t, w.Close(), "no first line")
}
