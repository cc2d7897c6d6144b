package state

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// RefusedMatch says that an account is not a person's, although some value of
// both is the same.
type RefusedMatch struct {
	Key       identity.Key
	AccountID string
	Reason    string
	MadeBy    string // user@host
	MadeAt    time.Time
}

// Refusals keeps the matches that an operator said are not the same person.
type Refusals interface {
	// RefusedMatches lists them all, by Key and account.
	RefusedMatches(ctx context.Context) ([]RefusedMatch, error)
	// RefuseMatches adds matches; of known ones the reason, the name and the time
	// become the new ones. All or nothing; ErrInvalid if one comes twice.
	RefuseMatches(ctx context.Context, l Lease, list []RefusedMatch) error
	// AllowMatches takes refusals back, by Key and account; unknown ones are passed
	// over. All or nothing.
	AllowMatches(ctx context.Context, l Lease, list []RefusedMatch) error
}

// CheckRefused returns ErrInvalid for a match that comes twice, names no account,
// or cannot be kept.
func CheckRefused(list []RefusedMatch) error {
	type pair struct {
		key     identity.Key
		account string
	}
	seen := make(map[pair]bool, len(list))
	for i := range list {
		m := &list[i]
		if err := CheckKey(m.Key); err != nil {
			return err
		}
		p := pair{m.Key, m.AccountID}
		if m.AccountID == "" || seen[p] {
			return fmt.Errorf("refused match of %s has no account or is in the list twice: %w", fmtKey(m.Key), ErrInvalid)
		}
		seen[p] = true
		if err := CheckText("refused match of "+fmtKey(m.Key), m.AccountID, m.Reason, m.MadeBy); err != nil {
			return err
		}
	}
	return nil
}
