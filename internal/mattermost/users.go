package mattermost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Lists are kept below 100,000 bytes, which is ServiceSettings.MaximumPayloadSizeBytes
// where a server ever ran a release with that default: 8.1, 9.4, 9.5 and 9.6 were
// patched in April 2024 to 300,000 (mattermost/mattermost#26651), and whatever the
// configuration held by then stays.
const (
	idsPerRequest   = 3_000  // 29 bytes each
	namesPerRequest = 5_000  //
	bytesOfList     = 90_000 // whichever is reached first
	usersPerPage    = 200    // more is silently cut to this
)

// Me gives the token's own account.
func (c *Client) Me(ctx context.Context) (identity.Account, error) {
	me, err := c.oneUser(ctx, "/users/me", "", false)
	if err == nil {
		c.token.owned(me)
	}
	return me, err
}

// UserByID gives one account, deactivated ones included. The server answers
// from its memory, which its own writes refresh (11.x); 5.38 does not refresh it
// after a change of the login service.
func (c *Client) UserByID(ctx context.Context, id string) (identity.Account, error) {
	return c.userByID(ctx, id, false)
}

func (c *Client) userByID(ctx context.Context, id string, urgent bool) (identity.Account, error) {
	if err := checkID("read account", id); err != nil {
		return identity.Account{}, err
	}
	return c.oneUser(ctx, "/users/"+id, "", urgent)
}

// UserByEmail gives one account, deactivated ones included, read from the
// database. Case does not matter.
func (c *Client) UserByEmail(ctx context.Context, email string) (identity.Account, error) {
	return c.userByEmail(ctx, email, false)
}

func (c *Client) userByEmail(ctx context.Context, email string, urgent bool) (identity.Account, error) {
	if !validEmail(strings.ToLower(email)) {
		return identity.Account{}, &RequestError{"read account by e-mail", "no account can have this address"}
	}
	return c.oneUser(ctx, "/users/email/"+url.PathEscape(email), "/users/email/{email}", urgent)
}

func (c *Client) oneUser(ctx context.Context, path, shown string, urgent bool) (identity.Account, error) {
	var a identity.Account
	_, err := c.do(ctx, call{method: http.MethodGet, path: path, shown: shown, urgent: urgent, decode: intoAccount(&a, c.sawAuth)})
	if err != nil {
		return identity.Account{}, err
	}
	return a, nil
}

// Users gives one page of all accounts, 200 a page, from page 0: active and
// deactivated people and bots, ordered by username. The order is not stable
// between pages: the same account can come twice, and one that is renamed
// meanwhile not at all. role, if not "", keeps accounts with that system role.
func (c *Client) Users(ctx context.Context, page int, role string) ([]identity.Account, time.Time, error) {
	q := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(usersPerPage)}}
	if role != "" {
		q.Set("role", role)
	}
	list := make([]identity.Account, 0, usersPerPage)
	a, err := c.do(ctx, call{
		method: http.MethodGet, path: "/users", query: q, limit: maxList, decode: intoAccounts(&list, c.sawAuth),
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read page %d of the accounts: %w", page, err)
	}
	return list, a.date, nil
}

// EachUser walks all pages and passes on each account once. It ends at the
// first empty page, since a short one may only mean that the server gives less
// than it is asked for. The returned time is the Date of the first answer.
func (c *Client) EachUser(ctx context.Context, role string, each func(identity.Account) error) (time.Time, error) {
	var first time.Time
	seen := map[string]struct{}{}
	stale := 0
	for page := 0; ; page++ {
		list, date, err := c.Users(ctx, page, role)
		if err != nil {
			return first, err
		}
		if page == 0 {
			first = date
		}
		if len(list) == 0 {
			return first, nil
		}
		fresh := false
		for _, a := range list {
			if _, again := seen[a.ID]; again {
				continue
			}
			fresh = true
			seen[a.ID] = struct{}{}
			if err := each(a); err != nil {
				return first, err
			}
		}
		if stale++; fresh {
			stale = 0
		}
		if stale == 3 { // a page or two of repetitions is what many new accounts make
			return first, errors.New("read the accounts: the pages repeat themselves and do not end; " +
				"does a proxy answer instead of the server?")
		}
	}
}

// UsersByIDs gives those of at most 3,000 accounts that exist, in no order;
// with since > 0 only those whose update_at is greater (server milliseconds).
func (c *Client) UsersByIDs(ctx context.Context, ids []string, since int64) ([]identity.Account, time.Time, error) {
	if len(ids) == 0 {
		return nil, time.Time{}, nil // the server answers 400 to an empty list
	}
	if len(ids) > idsPerRequest {
		return nil, time.Time{}, &RequestError{"read accounts by id", "more than 3,000 at a time"}
	}
	var q url.Values
	if since > 0 {
		q = url.Values{"since": {strconv.FormatInt(since, 10)}}
	}
	return c.lookUp(ctx, "/users/ids", q, ids, false)
}

// UsersByUsernames gives those of the names (at most 5,000) that exist, read from the database: deactivated ones and bots included. Names
// match in lower case only.
func (c *Client) UsersByUsernames(ctx context.Context, names []string) ([]identity.Account, error) {
	return c.usersByUsernames(ctx, names, false)
}

func (c *Client) usersByUsernames(ctx context.Context, names []string, urgent bool) ([]identity.Account, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if len(names) > namesPerRequest {
		return nil, &RequestError{"read accounts by username", "more than 5,000 at a time"}
	}
	list, _, err := c.lookUp(ctx, "/users/usernames", nil, names, urgent)
	return list, err
}

// lookUp asks for what a list of keys names, in as many requests as the server's limit
// of a body takes. The time is the server's Date at the first answer.
func (c *Client) lookUp(ctx context.Context, path string, q url.Values, keys []string, urgent bool) ([]identity.Account, time.Time, error) {
	var list []identity.Account
	var first time.Time
	for asked := false; len(keys) > 0; {
		n, size := fitting(keys, c.listBytes())
		var part []identity.Account
		a, err := c.do(ctx, call{
			method: http.MethodPost, path: path, query: q, body: keys[:n], urgent: urgent, limit: maxList, decode: intoAccounts(&part, c.sawAuth),
		})
		switch {
		case n > 1 && tooLarge(err, size):
			c.lowerListBytes(size / 2)
			continue
		case err != nil:
			return nil, time.Time{}, err
		case !asked:
			first, asked = a.date, true
		}
		list, keys = append(list, part...), keys[n:]
	}
	return list, first, nil
}

// fitting is how many of the keys, one at least, a body of limit bytes holds, and how
// many bytes they are.
func fitting(keys []string, limit int) (n, size int) {
	size = 2
	for _, k := range keys {
		if n > 0 && size+len(k)+3 > limit {
			break
		}
		size += len(k) + 3
		n++
	}
	return n, size
}

// tooLarge tells that a list of so many bytes was refused because of them: 413 by the
// server since 10.0 (api.context.request_body_too_large.app_error) or by what stands
// before it. Older ones say of a body that was cut off at their limit what they say of
// any that they cannot read.
func tooLarge(err error, size int) bool {
	e, ok := asAPI(err)
	if !ok {
		return false
	}
	cut := e.Status == http.StatusBadRequest && (e.ID == idInvalidBody || e.ID == "api.payload.parse.error")
	return (e.Status == http.StatusRequestEntityTooLarge || cut) && size > smallList
}

// smallList is how many bytes of a list every server was seen to take: where a smaller
// one is refused, something else is wrong.
const smallList = 10_000

// listBytes is how many bytes of a list this server takes, as far as is known.
func (c *Client) listBytes() int {
	if n := c.listLimit.Load(); n > 0 {
		return int(n)
	}
	return bytesOfList
}

func (c *Client) lowerListBytes(to int) {
	for {
		was := c.listLimit.Load()
		if was > 0 && was <= int64(to) || c.listLimit.CompareAndSwap(was, int64(to)) {
			return
		}
	}
}
