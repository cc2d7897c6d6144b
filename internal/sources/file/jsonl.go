package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/sources"
)

// readJSONLines reads one object a line; blank lines do not count.
func readJSONLines(r *read) error {
	for number := 1; ; number++ {
		line, whole, err := r.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			r.doubt("reading stopped at %s: %v", r.at(number), err)
			return nil
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := r.step(); err != nil {
			return err
		}
		rec, err := r.object(line)
		if err != nil {
			if !whole {
				err = fmt.Errorf("%w; the file ends in the middle of a line", err)
			}
			r.spoil(r.at(number), number, err.Error())
			continue
		}
		rec.Ref = r.at(number)
		rec.Groups = rec.Values(r.o.Groups)
		r.add(rec)
	}
}

// object decodes one line by hand, because the standard decoder takes the last
// of two equal keys without a word.
func (r *read) object(line string) (sources.Record, error) {
	var rec sources.Record
	if !utf8.ValidString(line) {
		return rec, errors.New("the line is not UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return rec, errors.New("the line is not a JSON object; write one object a line")
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return rec, notJSON(err)
		}
		name, _ := key.(string) // an object's keys are strings
		if folded := strings.ToLower(name); name == "" || seen[folded] {
			return rec, fmt.Errorf("the key %q occurs twice or is empty", name)
		}
		seen[strings.ToLower(name)] = true
		r.saw(name)
		values, err := jsonValues(d)
		if err != nil {
			return rec, fmt.Errorf("key %q: %w", name, err)
		}
		rec.Add(name, values...)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return rec, notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return rec, errors.New("something follows the object; write one object a line")
	}
	return rec, nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the object is not closed")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// jsonValues reads a scalar or a list of scalars; null is no value.
func jsonValues(d *json.Decoder) ([]string, error) {
	t, err := d.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	if t != json.Delim('[') {
		return scalar(t)
	}
	var out []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		v, err := scalar(t)
		if err != nil {
			return nil, err
		}
		out = append(out, v...)
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	return out, nil
}

func scalar(t json.Token) ([]string, error) {
	switch v := t.(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return nil, nil // as an empty cell of a CSV file
		}
		return []string{v}, nil
	case json.Number:
		return []string{v.String()}, nil
	case bool:
		return []string{fmt.Sprint(v)}, nil
	}
	return nil, errors.New("only texts, numbers, true, false and lists of them are read; flatten nested objects")
}
