package mattermost

import (
	"context"
	"fmt"
	"sync"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// trial is what is known about the calls of a release that mmsync was not held
// to. The first call of each kind goes alone and is read back; a kind whose
// success turns out to be none is not sent again while the process lives.
type trial struct {
	first keyed // by kind, until it is proven

	mu      sync.Mutex
	proven  map[string]bool
	stopped map[string]error
}

// StoppedError tells that calls of this kind are not sent any more: the server's
// release is one mmsync was not held to, and an earlier call of the kind was
// answered with success without doing what it should.
type StoppedError struct {
	Kind    string // "patch_profile", "set_active false by delete", …
	Version string
	Err     error // the *MismatchError of that call
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("%s is stopped on this server, whose release (%s) mmsync was not held to: %v; "+
		"look at that account, look for a newer mmsync, then start it again", e.Kind, e.Version, e.Err)
}

// Refused is always true.
func (e *StoppedError) Refused() bool { return true }

// Stopped is the sentence that is worth saying once, not for each account.
func (e *StoppedError) Stopped() string { return e.Error() }

// kindOf tells apart what can fail apart.
func kindOf(op plan.Op) string {
	kind := string(op.Kind)
	if op.Kind == plan.SetActive {
		to, _ := op.To(plan.FieldActive)
		kind += " " + to
	}
	if op.ByDelete {
		kind += " by delete"
	}
	return kind
}

// begin lets a call go. What it gives back is to be called with the call's own
// outcome, and gives the outcome after the account was read back.
func (r *trial) begin(ctx context.Context, t *Target, op plan.Op) (func(identity.Account, error) (identity.Account, error), error) {
	as := func(a identity.Account, err error) (identity.Account, error) { return a, err }
	v := t.c.Version()
	kind := kindOf(op)
	if !v.untried() || v.IsZero() && t.c.configVersion.Load() == nil { // nobody has asked for the version yet
		return as, nil
	}
	if proven, err := r.known(kind); proven || err != nil {
		return as, err
	}
	unlock, err := r.first.lock(ctx, kind)
	if err != nil {
		q := call{method: kind, path: "/users", write: true}
		return nil, q.unsent(ctx, nil)
	}
	if proven, err := r.known(kind); proven || err != nil {
		unlock()
		return as, err
	}
	return func(a identity.Account, err error) (identity.Account, error) {
		defer unlock()
		proof := err
		if err == nil && op.Kind != plan.DeleteAccount { // which looked itself, and left nothing to look at
			var seen identity.Account
			seen, proof = t.readBack(ctx, a.ID, func(now identity.Account) *MismatchError { return t.shows(op, now) })
			if _, is := asMismatch(proof); is || proof == nil {
				a, err = seen, proof
			} // else it could not be read; the call's own answer stands, and the next is read back
		}
		r.learn(kind, v, proof)
		return a, err
	}, nil
}

func (r *trial) known(kind string) (proven bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proven[kind], r.stopped[kind]
}

// learn draws no conclusion from a call that was refused or whose outcome is not
// known.
func (r *trial) learn(kind string, v Version, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proven == nil {
		r.proven, r.stopped = map[string]bool{}, map[string]error{}
	}
	if m, is := asMismatch(err); is {
		r.stopped[kind] = &StoppedError{Kind: kind, Version: v.told(), Err: m}
	} else if err == nil {
		r.proven[kind] = true
	}
}

// shows compares an account with what an op asked for.
func (t *Target) shows(op plan.Op, a identity.Account) *MismatchError {
	for _, c := range op.Changes {
		got := ""
		switch {
		case op.Kind == plan.RevokeSessions:
			continue // the change tells why, not what
		case op.Kind == plan.SetCustom:
			continue // the account does not show them, and the call looked itself
		case c.Field.OfThing(), op.SpaceID != "":
			continue // the account does not show it, and the call looked itself
		case op.Kind == plan.CreateAccount && c.Field == plan.Field(identity.Locale):
			continue // see compareNew
		case isAttribute(c.Field):
			got = a.Value(identity.Attribute(c.Field))
		case c.Field == plan.FieldRoles && a.Roles.Equal(identity.ParseRoles(c.To)),
			c.Field == plan.FieldActive && a.Active() == (c.To == "true"),
			c.Field == plan.FieldAuthService && a.Auth.Service == c.To,
			c.Field == plan.FieldAuthData && (a.Auth.Data == c.To || a.Auth.Data == "" && !t.c.showsAuthData()):
			continue
		}
		if got != c.To {
			return &MismatchError{AccountID: a.ID, Field: string(c.Field), Want: c.To, Got: got}
		}
	}
	return nil
}
