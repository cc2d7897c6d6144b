package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// KindRun is the kind of a row about a run as a whole: what an operator said or
// did. The rows of calls have the kind of their op.
const KindRun = "run"

// RunRotate is the kind of the two runs by which another key takes over: the old key
// seals the first, which names the new one, and the new key the second, which names
// both.
const RunRotate = "rotate-key"

// Keys are fingerprints of keys.
type Keys struct {
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// Event is something that was done or said.
type Event struct {
	At        time.Time
	Kind      string // KindRun or a plan.OpKind
	Run       string
	Key       identity.Key // zero for KindRun
	AccountID string
	Body      Body
	Personal  Personal
}

// Body is what stays when a person is forgotten: no name, no address, no value.
type Body struct {
	Op          string       `json:"op,omitempty"` // run/decision/op
	RunKind     string       `json:"run_kind"`
	Trigger     string       `json:"trigger"`
	RequestedBy string       `json:"requested_by"`
	Why         string       `json:"why,omitempty"` // what the operator gave as the run's reason
	Action      plan.Action  `json:"action,omitempty"`
	Reason      plan.Reason  `json:"reason,omitempty"`
	Approval    string       `json:"approval,omitempty"`
	Status      string       `json:"status"`
	Fields      []plan.Field `json:"fields,omitempty"`
	SpaceID     string       `json:"space_id,omitempty"` // the team's or channel's, of an op about one
	PlannedAt   *time.Time   `json:"planned_at,omitempty"`
	SentAt      *time.Time   `json:"sent_at,omitempty"`
	Keys        *Keys        `json:"keys,omitempty"` // of RunRotate
}

// Personal is what goes when a person is forgotten.
type Personal struct {
	Username string        `json:"username,omitempty"`
	Ref      string        `json:"ref,omitempty"`
	Values   []plan.Change `json:"values,omitempty"`
	Before   *Image        `json:"before,omitempty"`
	After    *Image        `json:"after,omitempty"`
	// Message is what the run or the call said about its end.
	Message string `json:"message,omitempty"`
}

// Image is what mmsync can own of an account.
type Image struct {
	identity.Profile
	Roles    identity.Roles `json:"roles,omitempty"`
	Auth     identity.Auth  `json:"auth"`
	DeleteAt int64          `json:"delete_at,omitempty"`
}

// ImageOf gives the image of an account; nil for nil.
func ImageOf(a *identity.Account) *Image {
	if a == nil {
		return nil
	}
	return &Image{Profile: a.Profile, Roles: a.Roles, Auth: a.Auth, DeleteAt: a.DeleteAt}
}

// Instant gives the form in which a body holds a time; nil for none.
func Instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// FieldsOf names what changes change, without the values.
func FieldsOf(changes []plan.Change) []plan.Field {
	out := make([]plan.Field, len(changes))
	for i, c := range changes {
		out[i] = c.Field
	}
	return out
}

func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// ReadBody reads the body of a row. Keys that are not known are passed over.
func ReadBody(r Row) (Body, error) {
	var b Body
	if err := json.Unmarshal([]byte(r.Body), &b); err != nil {
		return b, fmt.Errorf("read the body of row %d: %w", r.ID, err)
	}
	return b, nil
}

// ReadPersonal reads what a row holds of a person; the zero Personal if that was
// forgotten.
func ReadPersonal(r Row) (Personal, error) {
	var p Personal
	if r.Personal == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(r.Personal), &p); err != nil {
		return p, fmt.Errorf("read the values of row %d: %w", r.ID, err)
	}
	return p, nil
}
