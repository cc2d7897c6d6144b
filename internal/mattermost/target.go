package mattermost

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// TargetOptions shape a Target. The zero value is good.
type TargetOptions struct {
	// SettleFor is how long a security-relevant write that does not show when
	// read back is asked about again before it counts as a mismatch, and so is a
	// membership; behind a cluster's caches and replicas it may take a moment. 0 means it is asked about once.
	// The daemon sets 60 s.
	SettleFor time.Duration
	// Guests and Delegated tell that rules make guests, and that they give a role of
	// [plan.LicenceRoles]: with either Facts and Check ask for the licence.
	Guests, Delegated bool
	// Custom says that user attributes are given, so that Facts asks which there are.
	Custom bool
}

// Target is the Mattermost server as the engine sees it: what there is, and the
// calls of a plan, one at a time.
type Target struct {
	c      *Client
	o      TargetOptions
	trial  trial
	placed placed
	// guests is why the server makes no guests, once it has said so; until the next Facts.
	guests atomic.Pointer[GuestsError]
	// custom are the ids of the user attributes by their names, as Facts found them.
	custom atomic.Pointer[map[string]string]
	met    metLocks
}

// NewTarget makes a Target that talks through c. Its lifetime is c's.
func NewTarget(c *Client, o TargetOptions) *Target { return &Target{c: c, o: o} }

// Client is the client the Target talks through.
func (t *Target) Client() *Client { return t.c }

// TookOver is to be called before the first request when other processes talk to
// the server as well: ago is for how long none did. The rate that one of them has
// used up is not used a second time, and what has gathered since need not be waited
// for.
func (t *Target) TookOver(ago time.Duration) { t.c.limit.gather(ago) }

// Observe asks for the accounts with these ids, 3,000 a request, one request
// after another, and passes on those that exist, ordered within a request as
// the server answers. With since > 0 it passes on only those whose update_at is
// greater, so that a missing one may just be unchanged; with 0 a missing one is
// one the server denies having, which alone proves nothing. The time is the
// server's Date at the first answer; zero if it sent none or nothing was asked.
func (t *Target) Observe(ctx context.Context, ids []string, since int64, each func(identity.Account) error) (time.Time, error) {
	var first time.Time
	for from := 0; from < len(ids); from += idsPerRequest {
		chunk := ids[from:min(from+idsPerRequest, len(ids))]
		list, date, err := t.c.UsersByIDs(ctx, chunk, since)
		if err != nil {
			return first, fmt.Errorf("observe accounts %d to %d of %d: %w", from+1, from+len(chunk), len(ids), err)
		}
		if from == 0 {
			first = date
		}
		for _, a := range list {
			if err := each(a); err != nil {
				return first, err
			}
		}
	}
	return first, nil
}

// Wanted are the values that new identities want, to find who holds them.
type Wanted struct{ Usernames, Emails []string }

// OwnBotOrToken tells which of the accounts own a bot or a personal access token:
// adopting one of those would hand both over. Bots cost one request for each 200,
// tokens one for each account.
func (t *Target) OwnBotOrToken(ctx context.Context, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	owners, err := t.c.BotOwners(ctx)
	if err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	out := map[string]bool{}
	for _, id := range ids {
		has := owners[id]
		if !has {
			if has, err = t.c.HasTokens(ctx, id); err != nil {
				return nil, fmt.Errorf("list access tokens: %w", err)
			}
		}
		if has {
			out[id] = true
		}
	}
	return out, nil
}

// BotsThatStop names, by their owner's id, the bots that the server switches off
// together with the accounts. Where its configuration may not be read, it is taken
// to do what it does by default.
func (t *Target) BotsThatStop(ctx context.Context, owners []string) (map[string][]string, error) {
	if len(owners) == 0 {
		return nil, nil
	}
	switch s, err := t.c.Settings(ctx); {
	case err != nil && !IsRefused(err):
		return nil, fmt.Errorf("read the server's configuration: %w", err)
	case err == nil && !s.DisableBotsWhenOwnerDeactivated:
		return nil, nil
	}
	out := make(map[string][]string, len(owners))
	for _, id := range owners {
		out[id] = nil
	}
	err := t.c.EachBot(ctx, false, func(b Bot) {
		if _, asked := out[b.OwnerID]; asked {
			out[b.OwnerID] = append(out[b.OwnerID], b.Username)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list bots: %w", err)
	}
	return out, nil
}

// LastActive tells when the accounts were last in use, as far as a session that
// still lives shows it. It costs one request for each.
func (t *Target) LastActive(ctx context.Context, ids []string) (map[string]time.Time, error) {
	out := make(map[string]time.Time, len(ids))
	for _, id := range ids {
		last, err := t.c.LastActive(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("read when account %s was last in use: %w", id, err)
		}
		if !last.IsZero() {
			out[id] = last
		}
	}
	return out, nil
}

// Lookup finds the accounts that hold any of the wanted usernames or e-mails,
// deactivated ones and bots included, each once, ordered by id. Usernames cost
// one request for each 5,000, e-mails one each: ask only for those that matter.
// Values that no account can have are not asked about.
func (t *Target) Lookup(ctx context.Context, w Wanted) ([]identity.Account, error) {
	var out []identity.Account
	for names := range chunkNames(distinct(w.Usernames, validUsername)) {
		list, err := t.c.UsersByUsernames(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("look up %d usernames: %w", len(names), err)
		}
		out = append(out, list...)
	}
	byEmail, err := t.lookUpEmails(ctx, distinct(w.Emails, validEmail))
	if err != nil {
		return nil, err
	}
	out = append(out, byEmail...)
	slices.SortFunc(out, func(a, b identity.Account) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(out, func(a, b identity.Account) bool { return a.ID == b.ID }), nil
}

// distinct gives the valid ones in lower case, sorted and once each.
func distinct(values []string, valid func(string) bool) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if v = strings.ToLower(strings.TrimSpace(v)); valid(v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// chunkNames cuts names into requests that the server's body limit lets through.
func chunkNames(names []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(names) > 0 {
			n, _ := fitting(names[:min(len(names), namesPerRequest)], bytesOfList)
			if !yield(names[:n]) {
				return
			}
			names = names[n:]
		}
	}
}

// lookUpEmails asks for each address, several at a time. The first error ends it.
func (t *Target) lookUpEmails(ctx context.Context, emails []string) ([]identity.Account, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan string)
	var (
		mu  sync.Mutex
		out []identity.Account
		wg  sync.WaitGroup
	)
	for range min(cap(t.c.slots), len(emails)) {
		wg.Go(func() {
			for email := range work {
				a, err := t.c.UserByEmail(ctx, email)
				switch e, ok := asAPI(err); {
				case err == nil:
					mu.Lock()
					out = append(out, a)
					mu.Unlock()
				case ok && (e.NotFound() || e.Status == http.StatusBadRequest): // 400: not an address, so nobody has it
				case unknownRoute(err) && strings.Contains(email, "/"): // cannot be asked; a creation will tell
				default:
					cancel(fmt.Errorf("look up an e-mail: %w", err))
				}
			}
		})
	}
feed:
	for _, email := range emails {
		select {
		case work <- email:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// List walks all accounts, each once, ordered by username as far as the server
// keeps that order: active and deactivated people, bots and remote users, told
// apart by their flags. An account renamed during the walk may be missed, so
// that a missing one proves nothing. The time is the server's Date at the first
// answer.
func (t *Target) List(ctx context.Context, each func(identity.Account) error) (time.Time, error) {
	return t.c.EachUser(ctx, "", each)
}

// Account gives one account by id as the server has it stored; see [IsNotFound]
// for "there is none". Before 11.0, where the copy that reads by id come from
// can be stale, that takes a second request. [Target.Observe] has the same stale
// copy there: what counts is to be asked for once more with this.
func (t *Target) Account(ctx context.Context, id string) (identity.Account, error) {
	return t.read(ctx, id, false)
}
