package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mmsync/mmsync/internal/state"
)

// relayed is the outcome of a run that one process made for another.
type relayed struct {
	Report Report
	// First is that of the Census, which its own form leaves out.
	First bool   `json:",omitempty"`
	Error string `json:",omitempty"`
	Kind  string `json:",omitempty"`
}

// The kinds of errors that whoever asked tells apart.
const (
	relayedRefused     = "refused"
	relayedBinding     = "binding"
	relayedDenied      = "unauthorized"
	relayedInterrupted = "interrupted"
)

// RelayedError is what ended a run that another process made, as that one told it.
type RelayedError struct{ text, kind string }

func (e *RelayedError) Error() string { return e.text }

// Is tells what the error was to the process that made the run.
func (e *RelayedError) Is(target error) bool {
	return e.kind == relayedRefused && target == ErrRefused || e.kind == relayedBinding && target == ErrBinding
}

// Unauthorized tells whether Mattermost did not accept the token.
func (e *RelayedError) Unauthorized() bool { return e.kind == relayedDenied }

func encodeOutcome(rep Report, ended error) (string, error) {
	out := relayed{Report: rep, First: rep.Census != nil && rep.Census.First}
	if ended != nil {
		out.Error = ended.Error()
		switch {
		case errors.Is(ended, ErrBinding):
			out.Kind = relayedBinding
		case errors.Is(ended, ErrRefused):
			out.Kind = relayedRefused
		case unauthorized(ended):
			out.Kind = relayedDenied
		case errors.Is(ended, context.Canceled), errors.Is(ended, state.ErrFenced):
			out.Kind = relayedInterrupted
		}
	}
	b, err := json.Marshal(out)
	return string(b), err
}

// decodeOutcome gives what encodeOutcome wrote of a run.
func decodeOutcome(r *state.Request) (Report, error) {
	var in relayed
	if err := json.Unmarshal([]byte(r.Outcome), &in); err != nil {
		return Report{RunID: r.Run}, fmt.Errorf("read what became of run %s, see mmsync history %s: %w", r.Run, r.Run, err)
	}
	if in.Report.Census != nil {
		in.Report.Census.First = in.First
	}
	switch {
	case in.Kind == relayedInterrupted:
		return in.Report, cutOff(r.Run)
	case in.Error != "":
		return in.Report, &RelayedError{in.Error, in.Kind}
	}
	return in.Report, nil
}

// cutOff says that whoever made a run died or was stopped.
func cutOff(run string) error {
	return &RelayedError{fmt.Sprintf("the process that made run %s ended in the middle of it; what was done is recorded, and mmsync sync goes on from there", run), relayedInterrupted}
}
