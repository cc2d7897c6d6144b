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
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/mmsync/mmsync/internal/state"
)

// Reader is a state.BackupReader.
type Reader struct {
	lines *bufio.Reader
	sum   hash.Hash
	head  head
	rows  int64
	want  int64
}

var _ state.BackupReader = (*Reader)(nil)

const (
	sealedMagic = "age-encryption.org/"
	packedMagic = "\x1f\x8b"
)

// NewReader reads the first line. Keys are needed for what is encrypted alone.
// Its errors wrap ErrDamaged, ErrForeign or ErrSealed, unless r itself fails.
func NewReader(r io.Reader, keys Keys) (*Reader, error) {
	from := bufio.NewReader(r)
	magic, err := from.Peek(len(sealedMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	if string(magic) == sealedMagic {
		if len(keys.list) == 0 {
			return nil, fmt.Errorf("%w: name the file with the secret key, as age-keygen wrote it, with --identity", ErrSealed)
		}
		plain, err := age.Decrypt(from, keys.list...)
		if err != nil {
			if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
				return nil, fmt.Errorf("%w: none of the keys of --identity opens it", ErrSealed)
			}
			return nil, damaged(err)
		}
		from = bufio.NewReader(plain)
		if magic, err = from.Peek(len(packedMagic)); err != nil {
			return nil, damaged(err)
		}
	}
	if !strings.HasPrefix(string(magic), packedMagic) {
		return nil, fmt.Errorf("%w: it is no file that mmsync state backup wrote", ErrForeign)
	}
	plain, err := gzip.NewReader(from)
	if err != nil {
		return nil, damaged(err)
	}
	out := &Reader{lines: bufio.NewReader(plain), sum: sha256.New()}
	return out, out.first()
}

// Keys are what opens an encrypted backup; the zero value opens none.
type Keys struct{ list []age.Identity }

// Identities reads secret keys as age-keygen writes them.
func Identities(r io.Reader) (Keys, error) {
	list, err := age.ParseIdentities(r)
	if err != nil { // whose text may hold a part of the key
		return Keys{}, errors.New("it holds no secret key of age, as age-keygen writes them")
	}
	return Keys{list}, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early; take another backup", ErrDamaged)
	}
	return fmt.Errorf("%w: %w; take another backup", ErrDamaged, err)
}

func (r *Reader) first() error {
	line, err := r.next()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &r.head); err != nil || r.head.Format != format {
		return fmt.Errorf("%w: it is no file that mmsync state backup wrote", ErrForeign)
	}
	if major, _, _ := strings.Cut(r.head.Version, "."); major != "1" {
		return fmt.Errorf("%w: it has format %q and this program knows 1: it was made by a newer mmsync (%s), restore it with that one", ErrForeign, r.head.Version, strconv.Quote(r.head.Program))
	}
	for i := range r.head.Tables {
		r.want += r.head.Tables[i].Rows
	}
	return nil
}

// Head is what the backup says of itself.
func (r *Reader) Head() state.BackupHead {
	return state.BackupHead{Schema: r.head.Schema, MadeAt: r.head.MadeAt.UTC(), Revision: r.head.Revision, Tables: r.head.Tables}
}

// Program is the version of the program that made it.
func (r *Reader) Program() string { return r.head.Program }

// Rows is how many rows were read.
func (r *Reader) Rows() int64 { return r.rows }

// next reads one line and adds it to the sum.
func (r *Reader) next() ([]byte, error) {
	var long []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(long)+len(part) > lineBytes {
			return nil, fmt.Errorf("%w: a line is longer than any that mmsync writes; take another backup", ErrDamaged)
		}
		long = append(long, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, damaged(err)
		}
		r.sum.Write(long)
		return long, nil
	}
}

// Row implements state.BackupReader.
func (r *Reader) Row(t *state.KeptTable) ([]any, error) {
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	r.rows++
	bad := func(what string) error {
		return fmt.Errorf("%w: row %d, in %s: %s; take another backup", ErrDamaged, r.rows, t.Name, what)
	}
	var cells []json.RawMessage
	if err := json.Unmarshal(line, &cells); err != nil {
		return nil, bad("it is no row")
	}
	if len(cells) != len(t.Columns) {
		return nil, bad(fmt.Sprintf("it has %d values and not %d", len(cells), len(t.Columns)))
	}
	out := make([]any, len(cells))
	for i, cell := range cells {
		if out[i], err = decode(t.Columns[i].Kind, cell); err != nil {
			return nil, bad(fmt.Sprintf("%s does not hold %s", t.Columns[i].Name, t.Columns[i].Kind))
		}
	}
	return out, nil
}

// decode is the opposite of encode.
func decode(kind state.ColumnKind, cell json.RawMessage) (any, error) {
	if string(cell) == "null" {
		return nil, nil //nolint:nilnil // null is the value
	}
	switch kind {
	case state.ColumnText:
		return value[string](cell)
	case state.ColumnInt:
		return value[int64](cell)
	case state.ColumnBool:
		return value[bool](cell)
	case state.ColumnTime:
		v, err := value[time.Time](cell)
		return v.UTC(), err
	case state.ColumnBytes:
		return value[[]byte](cell)
	}
	return nil, fmt.Errorf("%q is no kind of column", kind)
}

func value[T any](cell json.RawMessage) (T, error) {
	var v T
	err := json.Unmarshal(cell, &v)
	return v, err
}

// End implements state.BackupReader.
func (r *Reader) End() error {
	sum := hex.EncodeToString(r.sum.Sum(nil))
	line, err := r.next()
	if err != nil {
		return err
	}
	var last end
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&last); err != nil || !last.End {
		return fmt.Errorf("%w: it holds more rows than it says at its beginning; take another backup", ErrDamaged)
	}
	if r.rows != r.want || last.Rows != r.rows || last.SHA256 != sum {
		return fmt.Errorf("%w: the sum at its end is not that of its lines; take another backup", ErrDamaged)
	}
	// Reading on to the end has the sums of the compression and of the encryption
	// looked at as well.
	if _, err := r.lines.ReadByte(); err == nil {
		return fmt.Errorf("%w: something stands behind its end; take another backup", ErrDamaged)
	} else if !errors.Is(err, io.EOF) {
		return damaged(err)
	}
	return nil
}
