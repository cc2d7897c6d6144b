package reconcile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// NewToken says what a token is to be.
type NewToken struct {
	Source, Name string
	// Scopes are users, groups and read; none = users and groups.
	Scopes []string
	// Networks are CIDR prefixes; none = any.
	Networks []string
	Lifetime time.Duration // 0 = it never expires
}

// tokenName leaves out what counts generations.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Check tells what is wrong with a wish.
func (n NewToken) Check() error {
	if !tokenName.MatchString(n.Name) {
		return fmt.Errorf("%q cannot be the name of a token: write letters, digits, dot, - and _, 64 at most", n.Name)
	}
	for _, s := range n.Scopes {
		if !slices.Contains([]string{"users", "groups", "read"}, s) {
			return fmt.Errorf("%q is no scope: write users, groups or read", s)
		}
	}
	for _, text := range n.Networks {
		if p, err := netip.ParsePrefix(text); err != nil || p.Masked() != p {
			return fmt.Errorf("%q is no network: write 192.0.2.0/24, or 192.0.2.7/32 for one address", text)
		}
	}
	if n.Lifetime < 0 {
		return errors.New("a token cannot have expired before it is made")
	}
	return nil
}

// CreateToken gives out a token and its secret, which is kept nowhere. It is recorded
// as a run. ErrRefused if the name is in use.
func CreateToken(ctx context.Context, store state.Store, o RunOptions, n NewToken) (t state.Token, secret string, err error) {
	if err := n.Check(); err != nil {
		return t, "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	now, err := store.Now(ctx)
	if err != nil {
		return t, "", fmt.Errorf("read the store's clock: %w", err)
	}
	t = state.Token{Source: n.Source, Name: n.Name, Scopes: n.Scopes, Networks: n.Networks}
	if n.Lifetime > 0 {
		t.ExpiresAt = now.Add(n.Lifetime)
	}
	if secret, err = issue(ctx, store, &t, now, o); err != nil {
		return t, "", err
	}
	return t, secret, noteWord(ctx, store, "token", runID(now), now, o, "created "+tokenSentence(t))
}

// issue gives a token its id and secret and keeps it.
func issue(ctx context.Context, store state.Store, t *state.Token, now time.Time, o RunOptions) (secret string, err error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, by its contract
	secret = state.TokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	t.ID, t.Hash, t.CreatedAt, t.CreatedBy = tokenID(), sha256.Sum256([]byte(secret)), now, o.RequestedBy
	switch err := store.CreateToken(ctx, *t); {
	case errors.Is(err, state.ErrTaken):
		return "", fmt.Errorf("%w: source %s has a token named %s already: mmsync token rotate %s gives it another secret", ErrRefused, t.Source, t.Name, t.Name)
	case err != nil:
		return "", fmt.Errorf("keep the token: %w", err)
	}
	return secret, nil
}

// tokenID is public: it is what logs and clients call a token.
func tokenID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, by its contract
	for i, b := range id {
		id[i] = 'a' + b%26
	}
	return "t_" + string(id)
}

// RotateToken gives out the next generation of a token: the same name with # and a
// number, the same rights and, with lifetime 0, as long a life. The one before is
// taken until overlap has passed. It is recorded as a run. The token is named by any
// generation's name or its id; source may be "". ErrRefused if there is none, or it is
// not clear which.
func RotateToken(ctx context.Context, store state.Store, o RunOptions, source, name string, overlap, lifetime time.Duration) (next, before state.Token, secret string, err error) {
	now, err := store.Now(ctx)
	if err != nil {
		return next, before, "", fmt.Errorf("read the store's clock: %w", err)
	}
	fits := func(t state.Token) bool { return t.ID == name || family(t.Name) == family(name) }
	before, relatives, err := findToken(ctx, store, source, name, fits)
	if err != nil {
		return next, before, "", err
	}
	// The youngest has the rights and the life that were asked for: those before it
	// were made to expire, and it may have been revoked since.
	model, last := relatives[0], 0
	for _, t := range relatives {
		last = max(last, generation(t.Name))
		if t.CreatedAt.After(model.CreatedAt) {
			model = t
		}
	}
	next = state.Token{Source: before.Source, Name: family(before.Name) + "#" + strconv.Itoa(last+1), Scopes: model.Scopes, Networks: model.Networks}
	switch {
	case lifetime > 0:
		next.ExpiresAt = now.Add(lifetime)
	case !model.ExpiresAt.IsZero():
		next.ExpiresAt = now.Add(model.ExpiresAt.Sub(model.CreatedAt))
	}
	if secret, err = issue(ctx, store, &next, now, o); err != nil {
		return next, before, "", err
	}
	if end := now.Add(overlap); before.ExpiresAt.IsZero() || end.Before(before.ExpiresAt) {
		before.ExpiresAt = end
		if err := store.ChangeToken(ctx, before); err != nil {
			return next, before, "", fmt.Errorf("let the token before expire: %w", err)
		}
	}
	return next, before, secret, noteWord(ctx, store, "token", runID(now), now, o, fmt.Sprintf("rotated %s; %s is taken until %s",
		tokenSentence(next), before.Name, before.ExpiresAt.UTC().Format(time.RFC3339)))
}

// findToken gives the youngest of those that are not revoked and fit, and all
// generations of it, revoked ones included.
func findToken(ctx context.Context, store state.TokenStore, source, name string, fits func(state.Token) bool) (found state.Token, relatives []state.Token, err error) {
	all, err := store.Tokens(ctx, source)
	if err != nil {
		return found, nil, fmt.Errorf("list tokens: %w", err)
	}
	for _, t := range all {
		switch {
		case !t.RevokedAt.IsZero() || !fits(t):
		case found.ID != "" && found.Source != t.Source:
			return found, nil, fmt.Errorf("%w: sources %s and %s both have a token %s: say which with --source", ErrRefused, found.Source, t.Source, name)
		case found.ID == "" || !t.CreatedAt.Before(found.CreatedAt):
			found = t
		}
	}
	if found.ID == "" {
		return found, nil, fmt.Errorf("%w: there is no token %q; mmsync token list shows those there are", ErrRefused, name)
	}
	return found, slices.DeleteFunc(all, func(t state.Token) bool {
		return t.Source != found.Source || family(t.Name) != family(found.Name)
	}), nil
}

// RevokeToken ends one token, named by its own name or its id. It is recorded as a
// run. ErrRefused if there is none, or it is not clear which.
func RevokeToken(ctx context.Context, store state.Store, o RunOptions, source, name string) (state.Token, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return state.Token{}, fmt.Errorf("read the store's clock: %w", err)
	}
	t, _, err := findToken(ctx, store, source, name, func(t state.Token) bool { return t.ID == name || t.Name == name })
	if err != nil {
		return t, err
	}
	t.RevokedAt = now
	if err := store.ChangeToken(ctx, t); err != nil {
		return t, fmt.Errorf("revoke the token: %w", err)
	}
	return t, noteWord(ctx, store, "token", runID(now), now, o, "revoked "+tokenSentence(t))
}

// family is the name that all generations of a token share.
func family(name string) string {
	base, _, _ := strings.Cut(name, "#")
	return base
}

// generation counts from 1.
func generation(name string) int {
	_, n, _ := strings.Cut(name, "#")
	i, err := strconv.Atoi(n)
	if err != nil {
		return 1
	}
	return i
}

// tokenSentence describes a token, without anything of its secret.
func tokenSentence(t state.Token) string {
	s := fmt.Sprintf("token %s (%s) of source %s", t.Name, t.ID, t.Source)
	if len(t.Scopes) > 0 {
		s += " for " + strings.Join(t.Scopes, ", ")
	}
	if len(t.Networks) > 0 {
		s += " from " + strings.Join(t.Networks, ", ")
	}
	if !t.ExpiresAt.IsZero() {
		s += " until " + t.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return s
}
