package state

import (
	"context"
	"fmt"
	"time"
)

// Request asks whoever has the lease for a run. It waits while its asker says again and
// again that somebody still wants to know, is taken once, and is closed with what became
// of it.
type Request struct {
	ID string // in the order in which they were asked for, unique
	// Policy is the digest of the configuration that the asker has: whoever has another
	// one would make another run.
	Policy string
	Asked  string // JSON of what is asked
	At     time.Time
	// Expires is when nobody begins it any more.
	Expires time.Time
	// Token is that of the lease under which it was taken; 0 while it waits.
	Token int64
	// Run is the run that is made for it.
	Run     string
	Closed  time.Time // zero until then
	Outcome string    // JSON of what became of it
}

// RequestStore keeps requests. Times are by the store's clock.
type RequestStore interface {
	// FileRequest adds one that waits for ttl; of r, ID, Policy and Asked count.
	// ErrConflict if the id is in use.
	FileRequest(ctx context.Context, r Request, ttl time.Duration) error
	// RenewRequest lets it expire ttl from now, and gives it; ErrNotFound if it is gone.
	RenewRequest(ctx context.Context, id string, ttl time.Duration) (Request, error)
	// NextRequest gives the oldest one of a policy that waits and has not expired.
	NextRequest(ctx context.Context, policy string) (r Request, ok bool, err error)
	// TakeRequest takes one that waits and has not expired, for the run that is about to
	// be made for it under l; ok is false if it does not or is gone.
	TakeRequest(ctx context.Context, l Lease, id, run string) (r Request, ok bool, err error)
	// CloseRequest closes one that was taken under the token; no lease is needed, for it
	// may have ended by then. ErrNotFound if it is gone, ErrConflict if it was taken under
	// another token or is closed.
	CloseRequest(ctx context.Context, id string, token int64, outcome string) error
	// DropRequest takes one away that waits or is closed. One whose run is being made
	// stays, and taken is true.
	DropRequest(ctx context.Context, id string) (taken bool, err error)
	// ForgetRequests takes those away that expired before the given time.
	ForgetRequests(ctx context.Context, l Lease, before time.Time) error
}

// CheckRequest returns ErrInvalid for a request that cannot be filed.
func CheckRequest(r Request, ttl time.Duration) error {
	switch {
	case r.ID == "" || len(r.ID) > MaxKeyBytes:
		return fmt.Errorf("a request needs an id of at most %d bytes: %w", MaxKeyBytes, ErrInvalid)
	case ttl <= 0:
		return fmt.Errorf("request %s would wait for %s: %w", r.ID, ttl, ErrInvalid)
	}
	return CheckText("request", r.ID, r.Policy, r.Asked)
}
