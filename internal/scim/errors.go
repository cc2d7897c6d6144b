package scim

import "time"

// Error is a SCIM error answer, RFC 7644 section 3.12.
type Error struct {
	Status int       // HTTP status
	Type   ErrorType // scimType; "" = none
	Detail string    // for people; no value of a sensitive attribute
	// RetryAfter is sent as Retry-After, in whole seconds; 0 = not sent.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Detail }

// ErrorType is a scimType of RFC 7644 table 9 or RFC 9865.
type ErrorType string

// The error types. invalidVers is for versions of the protocol in the address, which
// are not told apart here.
const (
	InvalidFilter ErrorType = "invalidFilter"
	TooMany       ErrorType = "tooMany"
	UniquenessErr ErrorType = "uniqueness"
	MutabilityErr ErrorType = "mutability"
	InvalidSyntax ErrorType = "invalidSyntax"
	InvalidPath   ErrorType = "invalidPath"
	NoTarget      ErrorType = "noTarget"
	InvalidValue  ErrorType = "invalidValue"
	SensitiveErr  ErrorType = "sensitive"
	InvalidCursor ErrorType = "invalidCursor"
	ExpiredCursor ErrorType = "expiredCursor"
	InvalidCount  ErrorType = "invalidCount"
)
