package main

import (
	"bytes"
	"database/sql"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/audit"
)

// cmdSQL: sql FILE STATEMENT runs a statement on an SQLite store, as somebody does
// who can write to it; it has to change something.
func cmdSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db := database(ts, args[0])
	defer func() { ts.Check(db.Close()) }()
	r, err := db.Exec(args[1])
	ts.Check(err)
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		ts.Fatalf("%q changed %d rows (%v)", args[1], n, err)
	}
}

func database(ts *testscript.TestScript, file string) *sql.DB {
	db, err := sql.Open("sqlite", ts.MkAbs(file)) // the store's own driver
	ts.Check(err)
	return db
}

// cmdPruned: pruned FILE KEY BATCH prunes a batch of an SQLite store as mmsync audit
// prune does once it is old enough.
func cmdPruned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pruned FILE KEY BATCH")
	}
	secret, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	key, err := audit.NewKey(secret)
	ts.Check(err)
	id, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	db := database(ts, args[0])
	defer func() { ts.Check(db.Close()) }()
	var seal []byte
	ts.Check(db.QueryRow(`select seal from audit_batches where id = ?`, id).Scan(&seal))
	b := key.Prune(audit.Batch{ID: id, Seal: seal}, time.Now())
	_, err = db.Exec(`update audit_batches set pruned_at = ?, prune_mac = ? where id = ?`, b.PrunedAt.UnixMicro(), []byte(b.PruneMAC), id)
	ts.Check(err)
	_, err = db.Exec(`delete from audit_rows where batch = ?`, id)
	ts.Check(err)
}

// cmdHoldsText: holds-text FILE TEXT looks for a text among the bytes of a file,
// whatever its case.
func cmdHoldsText(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: holds-text FILE TEXT")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at := bytes.Index(bytes.ToLower(b), bytes.ToLower([]byte(args[1])))
	switch {
	case at < 0 && !neg:
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	case at >= 0 && neg:
		ts.Fatalf("%s holds %q", args[0], b[max(0, at-80):min(len(b), at+80)])
	}
}
