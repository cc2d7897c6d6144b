package state

import (
	"context"
	"slices"
	"strings"
	"time"
)

// ColumnKind is what a column of a backup holds, whichever database it is in.
type ColumnKind string

// Kinds of columns. The value of each may be null, which is nil.
const (
	ColumnText  ColumnKind = "text"  // string; JSON comes as the text that is kept
	ColumnInt   ColumnKind = "int"   // int64
	ColumnBool  ColumnKind = "bool"  // bool
	ColumnTime  ColumnKind = "time"  // time.Time, UTC, microseconds
	ColumnBytes ColumnKind = "bytes" // []byte
)

// KeptColumn is one column of a KeptTable.
type KeptColumn struct {
	Name string
	Kind ColumnKind
}

// KeptTable is one table that a backup holds whole.
type KeptTable struct {
	Name    string
	Order   []string // what its rows are ordered by: the primary key
	Columns []KeptColumn
}

// Names gives the names of the columns, in order.
func (t *KeptTable) Names() []string {
	out := make([]string, len(t.Columns))
	for i := range t.Columns {
		out[i] = t.Columns[i].Name
	}
	return out
}

// Kept lists what a backup holds, in an order in which the rows can be put back: all
// tables of the schema but those of LeftOut, each with all its columns. A test holds it
// to the schema.
func Kept() []KeptTable {
	return []KeptTable{
		keptTable("leases", "name", "name holder token:int expires_at:time"),
		keptTable("bindings", "name", "name id note bound_at:time"),
		keptTable("links", "source anchor", "source anchor account_id part origin ref applied observed deactivated_at:int written_at:time created_at:time updated_at:time recheck_at:time undone:int"),
		keptTable("link_heads", "source anchor", "source anchor account_id part ref observed_active:bool written_at:time recheck_at:time settled:bytes"),
		keptTable("past_links", "account_id source anchor", "account_id source anchor since:time"),
		keptTable("runs", "id", "id kind triggered_by requested_by reason options status token:int digest policy requested_at:time started_at:time planned_at:time finished_at:time counts message sources target sealed_in:int"),
		keptTable("decisions", "run_id position", "run_id position:int source anchor ref action reason account_id username detail due_at:time held notes chain:int withheld approval planned"),
		keptTable("ops", "run_id decision position", "run_id decision:int position:int kind op account_id status token:int planned_at:time sent_at:time closed_at:time before_image after_image error marked_at:time classes sealed_in:int"),
		keptTable("sightings", "source anchor", "source anchor missed_since:time reads:int last_read_at:time"),
		keptTable("reads", "id", "id:int source read_at:time entries:int faults:int complete:bool doubt took_ns:int"),
		keptTable("marks", "name", "name value:int server_date:time set_at:time"),
		keptTable("read_marks", "source", "source mark full_at:time rules:bytes linked:int again set_at:time"),
		keptTable("account_index", "id", "id username email auth_service auth_data active:bool bot:bool remote:bool admin:bool owner_id seen_at:time"),
		keptTable("protected_accounts", "id", "id pattern protected_since:time"),
		keptTable("verdicts", "id", "id run_id approves:bool reason made_by server policy made_at:time expires_at:time closed_at:time closed_by"),
		keptTable("verdict_items", "verdict_id position", "verdict_id position:int source anchor account_id username action ops used_by"),
		keptTable("stops", "id", "id kind source anchor reason made_by run_id made_at:time expires_at:time ended_at:time ended_by"),
		keptTable("refused_matches", "source anchor account_id", "source anchor account_id reason made_by made_at:time"),
		keptTable("held", "source anchor", "source anchor run_id ops"),
		keptTable("audit_batches", "id", "id:int run_id first_row:int rows:int root:bytes previous:bytes seal:bytes sealed_at:time pruned_at:time prune_mac:bytes"),
		keptTable("audit_rows", "id", "id:int batch:int happened_at:time kind run_id source anchor account_id body personal salt:bytes personal_digest:bytes digest:bytes forget_mac:bytes"),
		keptTable("scim_resources", "source id", "source type id version:int body created_at:time modified_at:time deleted_at:time"),
		keptTable("scim_values", "source id attr value", "source type id attr value is_unique:bool"),
		keptTable("scim_members", "source group_id member_id", "source group_id member_id type display"),
		keptTable("scim_due", "source anchor", "revision:int source anchor is_leaver:bool since_at:time after_at:time attempts:int is_held:bool reason note"),
		keptTable("scim_tokens", "id", "id source name hash:bytes scopes networks created_at:time created_by expires_at:time revoked_at:time used_at:time used_from"),
		keptTable("notices", "sink key", "sink key kind severity text people:int since_at:time told_at:time"),
	}
}

// LeftOut names the tables that a backup does not hold, and why that loses nothing.
func LeftOut() map[string]string {
	return map[string]string{
		"goose_db_version": "which migrations the database has had; the store that is restored into has had its own",
		"goose_lock":       "who is migrating at the moment",
		"run_requests":     "who asks for a run at the moment; whoever does asks again",
		"sqlite_sequence":  "SQLite's own; the number that counts is BackupHead.Revision",
	}
}

func keptTable(name, order, columns string) KeptTable {
	t := KeptTable{Name: name, Order: strings.Fields(order)}
	for field := range strings.FieldsSeq(columns) {
		column, kind, typed := strings.Cut(field, ":")
		if !typed {
			kind = string(ColumnText)
		}
		t.Columns = append(t.Columns, KeptColumn{Name: column, Kind: ColumnKind(kind)})
	}
	return t
}

// BackupHead is what a backup says of itself.
type BackupHead struct {
	Schema   int64     // of the store, and of the program that made it
	MadeAt   time.Time // by the store's clock
	Revision int64     // the last one of scim_due, taken away or not
	Tables   []BackupTable
}

// BackupTable is how much of one table there is.
type BackupTable struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
}

// BackupWriter takes a backup: the head, then every row, table by table in the order of
// Kept. The values of a row are those of ColumnKind; they may not be kept or changed.
type BackupWriter interface {
	Head(h BackupHead) error
	Row(t *KeptTable, values []any) error
}

// BackupReader gives a backup.
type BackupReader interface {
	// Row gives the next row of a table; exactly as many as the head says are asked
	// for, table by table in the order of Kept.
	Row(t *KeptTable) ([]any, error)
	// End fails unless nothing is left and all that was read is what was written.
	End() error
}

// Backups is the part of a store that is written out and put back as a whole.
type Backups interface {
	// Backup writes everything to w as it was at one moment, while others go on
	// writing. It takes as long as it takes.
	Backup(ctx context.Context, w BackupWriter) error
	// Restore puts everything back, all or nothing, into a store of this schema
	// that has no row yet; ErrConflict if it has one, ErrSchema if the backup's
	// schema is another. What was fenced stays fenced: leases come back free, with
	// tokens that nobody has held. The mark is set beside what is read.
	Restore(ctx context.Context, h BackupHead, r BackupReader, m Mark) error
}

// MarkRestored names the mark that says that the store was put back from a backup;
// its ServerDate is when that was made. It is zero once somebody accepted that.
const MarkRestored = "restored"

// TokenLeap is how far lease tokens and revisions are moved on by Restore. Some were
// given out after the backup was made, and whoever still has one must not be taken for
// the present holder. Nobody is given as many between two backups.
const TokenLeap = 1 << 32

// CheckBackup refuses a backup that does not hold exactly what Kept names.
func CheckBackup(h *BackupHead, schema int64) error {
	if h.Schema != schema {
		return say(ErrSchema, "the backup has schema %d and this program has %d: restore it with the mmsync that made it, and run mmsync state migrate with this one", h.Schema, schema)
	}
	kept := Kept()
	if len(h.Tables) != len(kept) {
		return say(ErrInvalid, "the backup holds %d tables and this program keeps %d", len(h.Tables), len(kept))
	}
	for i := range kept {
		if t := &h.Tables[i]; t.Name != kept[i].Name || !slices.Equal(t.Columns, kept[i].Names()) || t.Rows < 0 {
			return say(ErrInvalid, "the backup's table %q is not what this program keeps as %s", t.Name, kept[i].Name)
		}
	}
	return nil
}

// ErrNotEmpty says in which table the store has something already; it is an ErrConflict.
func ErrNotEmpty(table string) error {
	return say(ErrConflict, "the store is not empty, there is something in %s: name a new database as state.url", table)
}
