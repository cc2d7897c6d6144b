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

// ExportFormat begins an export of the history alone, ExportFormatKept one that ends
// with what the store keeps beside it.
const (
	ExportFormat     = "mmsync audit 1"
	ExportFormatKept = "mmsync audit 2"
)

// maxLine bounds one line of an export: a row has about 2 kB.
const maxLine = 4 << 20

type exportHead struct {
	Format string `json:"format"`
}

type exportLine struct {
	Batch *exportBatch `json:"batch,omitempty"`
	Row   *exportRow   `json:"row,omitempty"`
	Kept  string       `json:"kept,omitempty"`
	End   *exportEnd   `json:"end,omitempty"`
}

// exportEnd vouches for the kept texts before it, and names the head of the history
// that they are of.
type exportEnd struct {
	Batch int64 `json:"batch"`
	Seal  Hex   `json:"seal"`
	Kept  int64 `json:"kept"`
	MAC   Hex   `json:"mac"`
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

// Writer writes an export, one JSON object a line: each batch, then its rows; behind
// them, if there is a key, what the store keeps, and its end.
type Writer struct {
	w    io.Writer
	key  *Key
	kept *root
}

// NewWriter writes to w. Without a key nothing can be kept.
func NewWriter(w io.Writer, key *Key) *Writer {
	return &Writer{w: w, key: key, kept: newSum(labelKept)}
}

// Begin writes the first line.
func (w *Writer) Begin() error {
	if w.key == nil {
		return w.write(exportHead{ExportFormat})
	}
	return w.write(exportHead{ExportFormatKept})
}

// Keep writes a text that is not of the history, such as a link. What it means is
// for whoever reads it; that nobody changed it is proven by the end.
func (w *Writer) Keep(text string) error {
	w.kept.add(Hex(text))
	return w.write(exportLine{Kept: text})
}

// End writes the last line, given the head of the history.
func (w *Writer) End(h Head) error {
	n, sum := w.kept.n, w.kept.sum()
	return w.write(exportLine{End: &exportEnd{Batch: h.Batch, Seal: h.Seal, Kept: n, MAC: w.key.keptMAC(h, sum)}})
}

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
	// Kept is what the store kept beside it; End proves that, and is nil if it was
	// written without a key.
	Kept []string
	End  *End

	batchLines, rowLines []int // where in the file they stand
	lines                int
	format               string
}

// End ends an export.
type End struct {
	Head Head // of the whole history at that time
	kept int64
	mac  Hex
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
	case out.format == ExportFormatKept && out.End == nil:
		return Export{}, fmt.Errorf("read the export: line %d is the last, and does not end it: it was cut off", n)
	}
	out.lines = n
	return out, nil
}

// Check tells what became of the export since it was written: of the history, which
// may begin in the middle, and of what stands behind it. Without a head that is kept
// elsewhere the one that the end names has to be there.
func (e *Export) Check(key Key, head *Head) (Report, error) {
	end := e.End
	if end != nil && !end.fits(e.Kept, &key) {
		f := Finding{Verdict: Edited, Text: endText}
		if n := len(e.Batches); n > 0 {
			f.Batch, f.Run = e.Batches[n-1].ID, e.Batches[n-1].Run
		}
		return Report{Verdict: Edited, Findings: []Finding{f}}, nil
	}
	if end != nil && head == nil && len(e.Batches) > 0 {
		head = &end.Head
	}
	return Verify(key, e.Batches, e.All(), Scope{Head: head, Part: true})
}

func (e *End) fits(texts []string, key *Key) bool {
	sum := sumOf(texts)
	return int64(len(texts)) == e.kept && key.gives(e.mac, func(k *Key) Hex { return k.keptMAC(e.Head, sum) }) >= 0
}

// endText is what a finding says about the end of an export.
const endText = "is followed by something kept that reads otherwise than it was written, or that was not sealed with this key"

func sumOf(texts []string) Hex {
	sum := newSum(labelKept)
	for _, t := range texts {
		sum.add(Hex(t))
	}
	return sum.sum()
}

// Line gives the line of the file that a finding is about, or the last before it.
func (e *Export) Line(f Finding) int {
	if f.Text == endText {
		return e.lines
	}
	for i := range e.Rows {
		if f.Row > 0 && e.Rows[i].ID >= f.Row {
			return e.rowLines[i]
		}
	}
	for i := range e.Batches {
		if f.Batch > 0 && f.Row == 0 && e.Batches[i].ID == f.Batch {
			return e.batchLines[i]
		}
	}
	return e.lines
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
		if err := d.Decode(&h); err != nil || h.Format != ExportFormat && h.Format != ExportFormatKept {
			return errNotExport
		}
		e.format = h.Format
		return atEnd(d)
	}
	if e.End != nil {
		return errors.New("it stands behind the end")
	}
	var l exportLine
	if err := d.Decode(&l); err != nil {
		return fmt.Errorf("it is cut off or was changed: %w", err)
	}
	if things(l) != 1 {
		return errors.New("it holds not exactly one of a batch, a row, something kept and the end")
	}
	switch b, r := l.Batch, l.Row; {
	case b != nil:
		out := Batch{
			ID: b.ID, Run: b.Run, FirstRow: b.FirstRow, Rows: b.Rows, Root: b.Root, Previous: b.Previous, Seal: b.Seal,
			SealedAt: b.SealedAt.UTC(), PruneMAC: b.PruneMAC,
		}
		if b.PrunedAt != nil {
			out.PrunedAt = b.PrunedAt.UTC()
		}
		e.Batches, e.batchLines = append(e.Batches, out), append(e.batchLines, n)
	case r != nil:
		e.rowLines = append(e.rowLines, n)
		e.Rows = append(e.Rows, Row{
			ID: r.ID, Batch: r.Batch, At: r.At.UTC(), Kind: r.Kind, Run: r.Run, Key: identity.Key{Source: r.Source, Anchor: r.Anchor}, AccountID: r.Account,
			Body: r.Body, Personal: r.Personal, Salt: r.Salt, PersonalDigest: r.PersonalDigest, Digest: r.Digest, ForgetMAC: r.ForgetMAC,
		})
	case l.End != nil:
		e.End = &End{Head: Head{Batch: l.End.Batch, Seal: l.End.Seal}, kept: l.End.Kept, mac: l.End.MAC}
	default:
		e.Kept = append(e.Kept, l.Kept)
	}
	return atEnd(d)
}

func things(l exportLine) (n int) {
	for _, is := range []bool{l.Batch != nil, l.Row != nil, l.Kept != "", l.End != nil} {
		if is {
			n++
		}
	}
	return n
}

func atEnd(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it holds more than one object")
	}
	return nil
}
