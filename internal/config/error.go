package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Error is one fault in a configuration file. Load and Parse return all of
// them, joined; Errors takes them apart.
type Error struct {
	File string
	// Line and Col count from 1, Col in characters; Line is 0 if the fault
	// belongs to the file as a whole.
	Line, Col int
	// Path is where the value stands, such as sources[0].base_dn; "" if the file
	// could not be read that far.
	Path string
	Msg  string
	// Hint says what to do; "" if Msg says it already.
	Hint string

	// keyFault marks a key that is not known: what stands behind it may be a
	// secret under a misspelt name, so it is never shown.
	keyFault bool
	keyEnd   int
	// warning marks what is allowed.
	warning bool
	// syntax marks a fault of the YAML itself: what is a key is a guess then.
	syntax bool
	source string
	caret  int
	cause  error
}

// Error gives file:line:col: path: message, without the hint; before the path
// of a warning it says so.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	if e.warning {
		b.WriteString(": warning")
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Msg)
	return b.String()
}

// Unwrap gives the error of the operating system, if that was the fault.
func (e *Error) Unwrap() error { return e.cause }

// Errors gives every *Error that err wraps or joins, ordered by line and
// column.
func Errors(err error) []*Error {
	var out []*Error
	walk(err, func(err error) bool {
		e, ok := err.(*Error) //nolint:errorlint // the tree is walked here, one error at a time
		if ok {
			out = append(out, e)
		}
		return ok
	})
	slices.SortStableFunc(out, compareErrors)
	return out
}

func compareErrors(a, b *Error) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Msg, b.Msg))
}

// walk visits err and what it wraps, depth first, until visit says it is done
// with a branch.
func walk(err error, visit func(error) bool) {
	if err == nil || visit(err) {
		return
	}
	switch x := err.(type) { //nolint:errorlint // taking the tree apart is the point
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			walk(e, visit)
		}
	case interface{ Unwrap() error }:
		walk(x.Unwrap(), visit)
	}
}

// Render writes err for a person: each fault with its source line, a caret
// under the place, and a hint. A line that holds a secret is not shown. An err
// without any *Error is written as it is.
func Render(w io.Writer, err error) error {
	if err == nil {
		return nil
	}
	list := Errors(err)
	if len(list) == 0 {
		_, werr := fmt.Fprintln(w, err)
		return werr
	}
	var b strings.Builder
	for _, e := range list {
		b.WriteString(e.Error() + "\n")
		if e.source != "" {
			number := fmt.Sprintf("%5d", e.Line)
			fmt.Fprintf(&b, "%s | %s\n", number, e.source)
			fmt.Fprintf(&b, "%s | %s^\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", e.caret))
		}
		if e.Hint != "" {
			b.WriteString("  hint: " + e.Hint + "\n")
		}
	}
	_, werr := io.WriteString(w, b.String())
	return werr
}

// join orders the faults and makes one error of them; nil if there are none.
func join(list []*Error) error {
	slices.SortStableFunc(list, compareErrors)
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
	}
	return errors.Join(errs...)
}
