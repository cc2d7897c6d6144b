package file

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/sources"
)

// readCSV reads rows under a header row (RFC 4180, quotes strict).
func readCSV(r *read) error {
	c := csv.NewReader(r.in)
	c.FieldsPerRecord = -1 // judged below, with the place
	if r.o.Delimiter != "" {
		c.Comma, _ = utf8.DecodeRuneInString(r.o.Delimiter)
	}
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the header row of %s: %w", r.name, err)
	}
	if err := r.checkHeader(header); err != nil {
		return err
	}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			// Where the next row starts cannot be told behind a broken quote.
			r.spoil(r.at(broken.StartLine), broken.StartLine, fmt.Sprintf("%v in column %d; the rest of the file was not read", broken.Err, broken.Column))
			return nil
		}
		if err != nil {
			r.doubt("reading stopped after %d rows: %v", r.count, err)
			return nil
		}
		if err := r.step(); err != nil {
			return err
		}
		line, _ := c.FieldPos(0)
		r.row(line, header, row)
	}
}

func (r *read) checkHeader(header []string) error {
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		switch {
		case header[i] == "":
			return fmt.Errorf("%s: column %d has no name; name every column in the header row", r.at(1), i+1)
		case !utf8.ValidString(name):
			return fmt.Errorf("%s: the header row is not UTF-8; save the file as UTF-8", r.at(1))
		case r.names[strings.ToLower(header[i])] != "":
			return fmt.Errorf("%s: two columns are called %s; names must differ by more than case", r.at(1), sources.Printable(header[i]))
		}
		r.saw(header[i])
	}
	r.header = header
	known := func(n string) bool { return r.names[strings.ToLower(n)] != "" }
	if err := r.o.Mapper.CheckNames(known, header...); err != nil {
		return fmt.Errorf("%s does not fit the mapping: %w", r.name, err)
	}
	return nil
}

func (r *read) row(line int, header, row []string) {
	if len(row) != len(header) {
		r.spoil(r.at(line), line, fmt.Sprintf("the row has %d cells and the header %d; look for a missing or stray delimiter or quote", len(row), len(header)))
		return
	}
	rec := sources.Record{Ref: r.at(line)}
	for i, cell := range row {
		if !utf8.ValidString(cell) {
			r.spoil(rec.Ref, line, fmt.Sprintf("column %s is not UTF-8; save the file as UTF-8", sources.Printable(header[i])))
			return
		}
		values := r.values(cell)
		rec.Add(header[i], values...)
		if strings.EqualFold(header[i], r.o.Groups) {
			rec.Groups = values
		}
	}
	r.add(rec)
}

// values splits a cell; an empty cell has none.
func (r *read) values(cell string) []string {
	if cell == "" {
		return nil
	}
	if r.o.Separator == "" {
		return []string{cell}
	}
	var out []string
	for v := range strings.SplitSeq(cell, r.o.Separator) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
