package state

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// StopKind is what an operator stopped.
type StopKind string

// The kinds of Stop.
const (
	StopHold StopKind = "hold" // nothing is written
	StopOff  StopKind = "off"  // the person is to be off, whatever the source says
)

// Stop is an operator's word that something must not go on: for everybody, for
// one source's people or for one person.
type Stop struct {
	ID   string
	Kind StopKind
	// Key says whom it is about: a whole source if the anchor is empty, everybody
	// if the source is as well. A StopOff names a person.
	Key    identity.Key
	Reason string
	MadeBy string
	// Run is the run that made it, which may write all the same; "" for a person's.
	Run     string
	MadeAt  time.Time
	Expires time.Time // by the store's clock; zero = never
	EndedAt time.Time // zero = in force, if it has not expired
	EndedBy string
}

// Expired tells whether the stop's time was over at the given moment.
func (s Stop) Expired(now time.Time) bool { return !s.Expires.IsZero() && !now.Before(s.Expires) }

// StopFilter selects stops; the zero filter selects all. Set fields all have to
// match.
type StopFilter struct {
	IDs  []string
	Kind StopKind
	// Open leaves out those that were ended. One that has expired is open until
	// somebody ends it.
	Open bool
	// Run gives those that a run made.
	Run string
	// About gives those that a person is under: his own, his source's and those
	// for everybody.
	About identity.Key
}

// Stops keeps what operators stopped. None of it takes a lease: whoever stops a
// run must not have to wait for it.
type Stops interface {
	// Stops lists stops by ID.
	Stops(ctx context.Context, f StopFilter) ([]Stop, error)
	// PutStops adds stops, all or nothing; ErrConflict if there is one with an ID
	// already.
	PutStops(ctx context.Context, stops []Stop) error
	// EndStops ends those of the stops that are open. All or nothing; ErrNotFound
	// if there is none with an ID.
	EndStops(ctx context.Context, ids []string, by string, at time.Time) error
}

// CheckStops returns ErrInvalid for stops that cannot be kept, or mean nothing.
func CheckStops(stops []Stop) error {
	ids := make(map[string]bool, len(stops))
	for i := range stops {
		s := &stops[i]
		if err := checkStop(s); err != nil {
			return err
		}
		if ids[s.ID] {
			return fmt.Errorf("stop %q is in the list twice: %w", s.ID, ErrInvalid)
		}
		ids[s.ID] = true
	}
	return nil
}

func checkStop(s *Stop) error {
	switch {
	case s.ID == "":
		return fmt.Errorf("a stop has no id: %w", ErrInvalid)
	case s.Kind != StopHold && s.Kind != StopOff:
		return fmt.Errorf("stop %q: kind %q is neither hold nor off: %w", s.ID, s.Kind, ErrInvalid)
	case s.MadeAt.IsZero():
		return fmt.Errorf("stop %q has no time: %w", s.ID, ErrInvalid)
	case s.Key.Source == "" && s.Key.Anchor != "":
		return fmt.Errorf("stop %q has an anchor and no source: %w", s.ID, ErrInvalid)
	case s.Kind == StopOff && s.Key.Anchor == "":
		return fmt.Errorf("stop %q switches off nobody: %w", s.ID, ErrInvalid)
	case len(s.Key.Source) > MaxKeyBytes || len(s.Key.Anchor) > MaxKeyBytes:
		return fmt.Errorf("stop %q: source or anchor is longer than %d bytes: %w", s.ID, MaxKeyBytes, ErrInvalid)
	}
	return CheckText("stop", s.ID, s.Key.Source, s.Key.Anchor, s.Reason, s.MadeBy, s.Run, s.EndedBy)
}

// CheckStopFilter returns ErrInvalid for a filter that no stop can match.
func CheckStopFilter(f StopFilter) error {
	if !f.About.IsZero() {
		if err := CheckKey(f.About); err != nil {
			return err
		}
	}
	if err := CheckText("filter", f.Run, string(f.Kind)); err != nil {
		return err
	}
	return CheckText("filter", f.IDs...)
}

// CheckEnd returns ErrInvalid for an end without a time, or an ID that comes
// twice.
func CheckEnd(ids []string, by string, at time.Time) error {
	if at.IsZero() {
		return fmt.Errorf("the end has no time: %w", ErrInvalid)
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return fmt.Errorf("stop %q is in the list twice: %w", id, ErrInvalid)
		}
		seen[id] = true
	}
	return CheckText("end of a stop", append([]string{by}, ids...)...)
}
