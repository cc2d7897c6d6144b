package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// ExportFormat begins every export.
const ExportFormat = "mmsync audit 1"

// maxLine bounds one line of an export: a row has about 2 kB.
const maxLine = 4 << 20

type exportHead struct {
	Format string `json:"format"`
}

type exportLine struct {
	Batch *exportBatch `json:"batch,omitempty"`
	Row   *exportRow   `json:"row,omitempty"`
}

type exportBatch struct {
	ID       int64      `json:"id"`
	Run      string     `json:"run"`
	FirstRow int64      `json:"first_row"`
	Rows     int64      `json:"rows"`
	Root     Hex        `json:"root"`
	Previous Hex        `json:"previous"`
	Seal     Hex        `json:"seal"`
	SealedAt time.Time  `json:"sealed_at"`
	PrunedAt *time.Time `json:"pruned_at,omitempty"`
	PruneMAC Hex        `json:"prune_mac,omitempty"`
}

type exportRow struct {
	ID             int64     `json:"id"`
	Batch          int64     `json:"batch"`
	At             time.Time `json:"at"`
	Kind           string    `json:"kind"`
	Run            string    `json:"run"`
	Source         string    `json:"source"`
	Anchor         string    `json:"anchor"`
	Account        string    `json:"account"`
	Body           string    `json:"body"`
	Personal       string    `json:"personal,omitempty"`
	Salt           Hex       `json:"salt,omitempty"`
	PersonalDigest Hex       `json:"personal_digest"`
	Digest         Hex       `json:"digest"`
	ForgetMAC      Hex       `json:"forget_mac,omitempty"`
}

// Writer writes an export, one JSON object a line: each batch, then its rows.
type Writer struct{ w io.Writer }

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Begin writes the first line.
func (w *Writer) Begin() error { return w.write(exportHead{ExportFormat}) }

// Batch writes a batch.
func (w *Writer) Batch(b Batch) error {
	return w.write(exportLine{Batch: &exportBatch{
		ID: b.ID, Run: b.Run, FirstRow: b.FirstRow, Rows: b.Rows, Root: b.Root, Previous: b.Previous, Seal: b.Seal,
		SealedAt: b.SealedAt, PrunedAt: Instant(b.PrunedAt), PruneMAC: b.PruneMAC,
	}})
}

// Row writes a row.
func (w *Writer) Row(r Row) error {
	return w.write(exportLine{Row: &exportRow{
		ID: r.ID, Batch: r.Batch, At: r.At, Kind: r.Kind, Run: r.Run, Source: r.Key.Source, Anchor: r.Key.Anchor, Account: r.AccountID,
		Body: r.Body, Personal: r.Personal, Salt: r.Salt, PersonalDigest: r.PersonalDigest, Digest: r.Digest, ForgetMAC: r.ForgetMAC,
	}})
}

func (w *Writer) write(v any) error {
	text, err := encode(v)
	if err == nil {
		_, err = io.WriteString(w.w, plan.EscapeJSON(text)+"\n")
	}
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}

// Export is a history in memory.
type Export struct {
	Batches []Batch
	Rows    []Row
}

// All gives the rows in the form Verify takes.
func (e *Export) All() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := range e.Rows {
			if !yield(e.Rows[i], nil) {
				return
			}
		}
	}
}

// Read reads what a Writer wrote. What is wrong is named by its line; whether the
// history is whole is for Verify to say.
func Read(r io.Reader) (Export, error) {
	var out Export
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for s.Scan() {
		n++
		if err := out.line(n, s.Bytes()); err != nil {
			return Export{}, fmt.Errorf("read the export: line %d: %w", n, err)
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Export{}, fmt.Errorf("read the export: line %d is longer than %d bytes", n+1, maxLine)
	case err != nil:
		return Export{}, fmt.Errorf("read the export: %w", err)
	case n == 0:
		return Export{}, errors.New("read the export: it is empty")
	}
	return out, nil
}

var errNotExport = errors.New("this is no export of mmsync audit export --format jsonl")

func (e *Export) line(n int, text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if n == 1 {
		var h exportHead
		if err := d.Decode(&h); err != nil || h.Format != ExportFormat {
			return errNotExport
		}
		return atEnd(d)
	}
	var l exportLine
	if err := d.Decode(&l); err != nil {
		return fmt.Errorf("it is cut off or was changed: %w", err)
	}
	switch b, r := l.Batch, l.Row; {
	case b != nil && r == nil:
		out := Batch{
			ID: b.ID, Run: b.Run, FirstRow: b.FirstRow, Rows: b.Rows, Root: b.Root, Previous: b.Previous, Seal: b.Seal,
			SealedAt: b.SealedAt.UTC(), PruneMAC: b.PruneMAC,
		}
		if b.PrunedAt != nil {
			out.PrunedAt = b.PrunedAt.UTC()
		}
		e.Batches = append(e.Batches, out)
	case r != nil && b == nil:
		e.Rows = append(e.Rows, Row{
			ID: r.ID, Batch: r.Batch, At: r.At.UTC(), Kind: r.Kind, Run: r.Run, Key: identity.Key{Source: r.Source, Anchor: r.Anchor}, AccountID: r.Account,
			Body: r.Body, Personal: r.Personal, Salt: r.Salt, PersonalDigest: r.PersonalDigest, Digest: r.Digest, ForgetMAC: r.ForgetMAC,
		})
	default:
		return errors.New("it holds neither a batch nor a row")
	}
	return atEnd(d)
}

func atEnd(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it holds more than one object")
	}
	return nil
}
