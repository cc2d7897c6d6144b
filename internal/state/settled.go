package state

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
)

// CheckMarks returns ErrInvalid for a Key that cannot be kept or is in the list
// twice, and for the zero Digest, which settles nothing.
func CheckMarks(marks []SettledMark) error {
	keys := make(map[identity.Key]bool, len(marks))
	for i := range marks {
		m := &marks[i]
		if err := CheckKey(m.Key); err != nil {
			return err
		}
		if keys[m.Key] {
			return fmt.Errorf("%s is in the list twice: %w", fmtKey(m.Key), ErrInvalid)
		}
		if m.Digest == (Digest{}) {
			return fmt.Errorf("%s has no digest: %w", fmtKey(m.Key), ErrInvalid)
		}
		if !storable(m.Ref) {
			return CheckText(fmtKey(m.Key), m.Ref)
		}
		keys[m.Key] = true
	}
	return nil
}
