package state

import (
	"context"
	"fmt"
	"time"
)

// Told is what one receiver of notices was told and what is not over yet.
type Told struct {
	// Sink is the receiver's name in the configuration.
	Sink string
	// Key says what it is about; at most MaxKeyBytes.
	Key      string
	Kind     string
	Severity string
	// Text is as it was told last; it may name people only if the receiver was told
	// their names.
	Text string
	// People is how many people it was about when it was told last; 0 if about none.
	People int
	// Since is when it was told first, At when last; both by the store's clock.
	Since, At time.Time
}

// ToldStore keeps what receivers of notices were told, so that a restart repeats
// nothing and an end can be told of.
type ToldStore interface {
	// Told lists all that was told and is not over, by sink and key.
	Told(ctx context.Context) ([]Told, error)
	// Tell puts what was told, and takes away what is over, of which Sink and Key
	// count. All or nothing; ErrInvalid for what CheckTold refuses.
	Tell(ctx context.Context, l Lease, told, over []Told) error
	// Waiting gives people who were marked to be worked on at the given time or before
	// and still are, put off and held ones included, but not those of whom only a second
	// look is left: leavers first, then the longest waiting; limit 0 = all.
	Waiting(ctx context.Context, before time.Time, limit int) ([]Due, error)
}

// CheckTold returns ErrInvalid for a list that cannot be kept: a sink or key that is
// missing or too long, one that comes twice, one without its times.
func CheckTold(told, over []Told) error {
	type name struct{ sink, key string }
	seen := make(map[name]bool, len(told)+len(over))
	for i, t := range append(append([]Told(nil), told...), over...) {
		switch n := (name{t.Sink, t.Key}); {
		case t.Sink == "" || t.Key == "":
			return fmt.Errorf("a notice has no sink or no key: %w", ErrInvalid)
		case len(t.Sink) > MaxKeyBytes || len(t.Key) > MaxKeyBytes:
			return fmt.Errorf("sink or key of a notice is longer than %d bytes: %w", MaxKeyBytes, ErrInvalid)
		case i < len(told) && (t.Since.IsZero() || t.At.IsZero()):
			return fmt.Errorf("notice %q of sink %q has no time: %w", t.Key, t.Sink, ErrInvalid)
		case seen[n]:
			return fmt.Errorf("notice %q of sink %q is in the list twice: %w", t.Key, t.Sink, ErrInvalid)
		default:
			seen[n] = true
		}
		if err := CheckText("notice", t.Sink, t.Key, t.Kind, t.Severity, t.Text); err != nil {
			return err
		}
	}
	return nil
}
