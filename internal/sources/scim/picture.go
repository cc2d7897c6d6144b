package scim

import (
	"context"
	"errors"
	"fmt"

	"github.com/mmsync/mmsync/internal/state"
)

// Picture gives the picture that was pushed for somebody, or fetches it from the address
// that was, with its digest.
func (s *Source) Picture(ctx context.Context, id string) ([]byte, string, error) {
	list, err := s.o.Store.Resources(ctx, state.ResourceFilter{Source: s.o.Name, Type: userType, IDs: []string{id}})
	if err != nil {
		return nil, "", fmt.Errorf("read what was pushed: %w", err)
	}
	if len(list) == 0 {
		return nil, "", errors.New("the person was deleted since")
	}
	rec, err := s.record(list[0], nil)
	if err != nil {
		return nil, "", err
	}
	return s.o.Mapper.Picture(ctx, rec)
}
