package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Encode gives the JSON that stores keep v as: compact, and with <, > and & as
// they are. A nil pointer and a nil slice become "null".
func Encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// Decode reads what Encode wrote. Nothing at all leaves v as it is.
func Decode(b []byte, v any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// PrefixEnd gives the first string after all that start with prefix, byte by
// byte.
func PrefixEnd(prefix string) string { return prefix + "\U0010ffff" }

// Steps names every op of the decisions, in order.
func Steps(decisions []plan.Decision) []plan.Step {
	n := 0
	for i := range decisions {
		n += len(decisions[i].Ops)
	}
	out := make([]plan.Step, 0, n)
	for i := range decisions {
		for j := range decisions[i].Ops {
			out = append(out, plan.Step{Decision: i, Op: j})
		}
	}
	return out
}

// MessageInterrupted is the Message of a run whose process went away.
const MessageInterrupted = "the process that carried it out ended or lost its lease"
