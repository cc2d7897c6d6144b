package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// errSameServer is a server that was asked already, under another address.
var errSameServer = errors.New("it is the same server")

// second asks another server, if one is named, about those of whom the first says that
// they are gone or out of scope: a replica that lags behind, or is still being filled,
// says so of people who are there. Of whom the two differ nothing is known. The word of
// the first alone counts where no other server answers and a grace time passes before
// anything comes of it.
func (s *Source) second(ctx context.Context, first confirmer, out map[string]identity.Presence) error {
	var absent []string
	patient := true
	for a, p := range out {
		if p == identity.PresenceGone || p == identity.PresenceOutOfScope {
			absent = append(absent, a)
			patient = patient && s.grace(p) > 0
		}
	}
	if len(absent) == 0 {
		return nil
	}
	slices.Sort(absent)
	theirs := map[string]identity.Presence{}
	c, err := s.another(ctx, first, patient)
	if c == nil && err == nil {
		return nil // the first is the only one
	}
	if err == nil {
		err = c.all(ctx, absent, theirs)
		c.sess.close()
	}
	differ, alone := 0, 0
	for _, a := range absent {
		switch other := theirs[a]; {
		case other == out[a]:
			continue
		case other != "":
			differ++
		case s.grace(out[a]) > 0:
			continue
		default:
			alone++
		}
		out[a] = identity.PresenceUnknown
	}
	if differ > 0 {
		s.log.InfoContext(ctx, "directory servers differ about who is there", "source", s.o.Name, "url", first.sess.url, "other", c.sess.url, "people", differ)
	}
	switch {
	case alone > 0:
		return fmt.Errorf("%d of them gone by the word of %s alone, which may lag behind the others, and none of those answered: %w; mend that, take it out of connection_url, or give missing and out_of_scope a grace time", alone, first.sess.url, err)
	case err != nil:
		s.log.InfoContext(ctx, "no second directory server was asked who is missing", "source", s.o.Name, "url", first.sess.url, "reason", err)
	}
	return nil
}

// grace is how long somebody of such a presence is left alone.
func (s *Source) grace(p identity.Presence) time.Duration {
	if p == identity.PresenceOutOfScope {
		return s.o.OutOfScopeGrace
	}
	return s.o.MissingGrace
}

// another finds a server other than the first on which a search by anchor finds somebody,
// nil if there is none. Those that failed lately are left out if patient: one that is dead
// is not to cost a timeout each time.
func (s *Source) another(ctx context.Context, first confirmer, patient bool) (*confirmer, error) {
	list, failed := s.lookUp(ctx)
	now := time.Now()
	list = slices.DeleteFunc(list, func(e endpoint) bool { return e.url == first.sess.url })
	named := len(list)
	if patient {
		list = slices.DeleteFunc(list, func(e endpoint) bool { return s.unwell.recent(e.host, now) })
	}
	switch {
	case named == 0 && failed != nil: // there may be others
		return nil, failed
	case named == 0:
		return nil, nil //nolint:nilnil // "no other" is an answer of its own
	case len(list) == 0:
		return nil, errors.New("all others failed a short time ago")
	}
	c := first
	sess, err := s.connectAmong(ctx, list, func(sess *session) error {
		root, err := sess.root()
		if err != nil {
			return sess.cause(err)
		}
		if root.host != "" && root.host == first.sess.info.host {
			return errSameServer
		}
		c.sess = sess
		return c.witness()
	})
	switch {
	case errors.Is(err, errSameServer):
		return nil, nil //nolint:nilnil // as above
	case err != nil:
		return nil, err
	}
	c.sess = sess
	return &c, nil
}
