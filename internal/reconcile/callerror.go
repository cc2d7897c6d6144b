package reconcile

import (
	"context"
	"errors"
)

// keptBack tells a call that did not leave because its time was over.
func keptBack(err error) bool {
	return !isUnknown(err) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
}

// courtesy tells an error that came after the op itself was done: a mail that
// was not sent, a mark that was not set.
func courtesy(err error) bool {
	var done interface{ OpDone() bool }
	return errors.As(err, &done) && done.OpDone()
}

// stoppedKind gives the sentence about a kind of call that is not sent any more,
// because it did not do on this server what it should; "" for other errors.
func stoppedKind(err error) string {
	var s interface{ Stopped() string }
	if errors.As(err, &s) {
		return s.Stopped()
	}
	return ""
}

// notSent says of a call that was not sent, though its turn had come, what is
// counted and what is recorded; "" for other errors.
func notSent(err error) (why, said string) {
	if held, ok := errors.AsType[heldError](err); ok {
		return held.why, held.why
	}
	return stoppedKind(err), "this kind of call is stopped on this server"
}

// mismatch tells that the server answered success and shows something else.
func mismatch(err error) bool {
	var m interface{ Mismatch() string }
	return errors.As(err, &m)
}

// unauthorized tells that the token is dead, proven twice against a healthy
// server.
func unauthorized(err error) bool {
	var dead interface{ Unauthorized() bool }
	return errors.As(err, &dead) && dead.Unauthorized()
}

// passing tells a call that may succeed later as it is.
func passing(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// refusal gives the id of a definite no about one person, "" for all else, and whether
// its cause is known and is that person's alone.
func refusal(err error) (id string, known bool) {
	var r interface {
		Refusal() (id string, known bool)
	}
	if errors.As(err, &r) {
		return r.Refusal()
	}
	return "", false
}
