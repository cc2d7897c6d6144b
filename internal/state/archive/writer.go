package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/mmsync/mmsync/internal/state"
)

// Writer is a state.BackupWriter. Without Close, what it wrote cannot be read.
type Writer struct {
	program string
	sealed  io.WriteCloser // nil if nothing is encrypted
	packed  *gzip.Writer
	lines   *bufio.Writer
	sum     hash.Hash
	line    bytes.Buffer
	json    *json.Encoder
	head    state.BackupHead
	rows    int64
}

var _ state.BackupWriter = (*Writer)(nil)

// NewWriter writes to w, which stays open. The program's version is noted in the file.
// With recipients only those can read it.
func NewWriter(w io.Writer, program string, recipients ...age.Recipient) (*Writer, error) {
	out := &Writer{program: program, sum: sha256.New()}
	if len(recipients) > 0 {
		var err error
		if out.sealed, err = age.Encrypt(w, recipients...); err != nil {
			return nil, fmt.Errorf("encrypt the backup: %w", err)
		}
		w = out.sealed
	}
	out.packed = gzip.NewWriter(w)
	out.lines = bufio.NewWriter(io.MultiWriter(out.packed, out.sum))
	out.json = json.NewEncoder(&out.line)
	out.json.SetEscapeHTML(false)
	return out, nil
}

// Recipients parses who may read a backup: age's public keys, as age-keygen prints
// them.
func Recipients(keys []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, key := range keys {
		list, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil {
			return nil, fmt.Errorf("%q is no public key of age; age-keygen -y prints one, age1…", key)
		}
		out = append(out, list...)
	}
	return out, nil
}

// Head implements state.BackupWriter.
func (w *Writer) Head(h state.BackupHead) error {
	w.head = h
	return w.write(head{
		Format: format, Version: version, Schema: h.Schema, MadeAt: h.MadeAt, Program: w.program, Revision: h.Revision, Tables: h.Tables,
	})
}

// Row implements state.BackupWriter. It refuses a value that would not come back as it
// is.
func (w *Writer) Row(t *state.KeptTable, values []any) error {
	out := make([]any, len(values))
	for i, v := range values {
		var err error
		if out[i], err = encode(t.Columns[i].Kind, v); err != nil {
			return fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
		}
	}
	w.rows++
	return w.write(out)
}

// encode gives what the line holds of a value: bytes become base64, times their text.
func encode(kind state.ColumnKind, v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil //nolint:nilnil // null is the value
	case string:
		if kind == state.ColumnText && utf8.ValidString(v) {
			return v, nil
		}
	case int64:
		if kind == state.ColumnInt {
			return v, nil
		}
	case bool:
		if kind == state.ColumnBool {
			return v, nil
		}
	case time.Time:
		if kind == state.ColumnTime {
			return v.UTC().Format(time.RFC3339Nano), nil
		}
	case []byte:
		if kind == state.ColumnBytes {
			return append([]byte{}, v...), nil // not nil, which would be null
		}
	}
	return nil, fmt.Errorf("a value of type %T cannot be kept as %s", v, kind)
}

func (w *Writer) write(v any) error {
	w.line.Reset()
	if err := w.json.Encode(v); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if w.line.Len() > lineBytes {
		return fmt.Errorf("a row of %d bytes is longer than a backup can hold", w.line.Len())
	}
	if _, err := w.lines.Write(w.line.Bytes()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// Written is what the file holds, and how many rows that are.
func (w *Writer) Written() (state.BackupHead, int64) { return w.head, w.rows }

// Close writes the last line and what is still held back.
func (w *Writer) Close() error {
	if len(w.head.Tables) == 0 {
		return errors.New("write the backup: it has no first line")
	}
	if err := w.lines.Flush(); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	err := w.write(end{End: true, Rows: w.rows, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	if err != nil {
		return err
	}
	err = errors.Join(w.lines.Flush(), w.packed.Close())
	if w.sealed != nil {
		err = errors.Join(err, w.sealed.Close())
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}
