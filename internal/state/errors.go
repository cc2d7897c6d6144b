package state

import (
	"errors"
	"fmt"
)

// Errors a caller branches on. Stores wrap them with what was attempted.
var (
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a record says otherwise (an account that another Key owns, a
	// binding to another server).
	ErrConflict = errors.New("conflict")
	// ErrFenced: the caller's lease is no longer the current one; it must stop
	// writing at once.
	ErrFenced = errors.New("lease lost to another instance")
	// ErrHeld: somebody else holds the lease.
	ErrHeld = errors.New("lease is held by another instance")
	// ErrInvalid: the record itself cannot be kept, whatever is stored (text that
	// is not UTF-8, a Key twice in one list). A fault of the caller's input.
	ErrInvalid = errors.New("invalid record")
	// ErrSchema: the database's schema is older or newer than the program's.
	ErrSchema = errors.New("schema version does not fit")
)

// sentence is an error that a person reads whole: what a caller branches on is in it and
// is not printed.
type sentence struct {
	text string
	kind error
}

func say(kind error, format string, args ...any) error {
	return &sentence{fmt.Sprintf(format, args...), kind}
}

func (e *sentence) Error() string { return e.text }

func (e *sentence) Unwrap() error { return e.kind }
