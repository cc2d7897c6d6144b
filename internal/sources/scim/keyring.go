package scim

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// How old the tokens in memory may be. A token that is revoked is taken for
// keysFresh at most, and a new one is known after keysMiss.
const (
	keysFresh = 3 * time.Second
	keysMiss  = time.Second
	// noteEvery is how often the use of a token is written down.
	noteEvery = time.Minute
	// keysTimeout bounds one look into the store.
	keysTimeout = 5 * time.Second
)

// keyring holds all tokens, so that a request does not wait for the store.
type keyring struct {
	store Tokens
	now   func() time.Time

	mu   sync.Mutex
	list []state.Token
	read time.Time // when list was read
	// failed is when reading failed last, and how: requests behind it do not queue up
	// for a store that does not answer.
	failed  time.Time
	failure error
	noted   map[string]time.Time
}

func newKeyring(store Tokens, now func() time.Time) *keyring {
	return &keyring{store: store, now: now, noted: map[string]time.Time{}}
}

// find gives the token that has a secret, whatever has become of it. The error says
// that the store could not be asked: tokens older than keysFresh are not believed.
func (k *keyring) find(ctx context.Context, secret string) (state.Token, bool, error) {
	sum := sha256.Sum256([]byte(secret))
	return k.search(ctx, func(t *state.Token) bool { return subtle.ConstantTimeCompare(t.Hash[:], sum[:]) == 1 })
}

// byID gives a token by its public id.
func (k *keyring) byID(ctx context.Context, id string) (state.Token, bool, error) {
	return k.search(ctx, func(t *state.Token) bool { return t.ID == id })
}

func (k *keyring) search(ctx context.Context, is func(*state.Token) bool) (state.Token, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, age := range []time.Duration{keysFresh, keysMiss} {
		if err := k.refresh(ctx, age); err != nil {
			return state.Token{}, false, err
		}
		// All are looked at, so that the time it takes says nothing.
		at := -1
		for i := range k.list {
			if is(&k.list[i]) {
				at = i
			}
		}
		if at >= 0 {
			return k.list[at], true, nil
		}
	}
	return state.Token{}, false, nil
}

// refresh reads the tokens if they are older than age.
func (k *keyring) refresh(ctx context.Context, age time.Duration) error {
	now := k.now()
	if !k.read.IsZero() && now.Sub(k.read) < age {
		return nil
	}
	if k.failure != nil && now.Sub(k.failed) < keysMiss {
		return k.failure
	}
	// Whoever asks, the answer is for all: it does not end with his connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	list, err := k.store.Tokens(ctx, "")
	if err != nil {
		k.failed, k.failure = k.now(), fmt.Errorf("read tokens: %w", err)
		return k.failure
	}
	k.list, k.read, k.failure = list, now, nil
	return nil
}

// unnoted tells whether the use of a token is to be written down now, and takes it
// that it is.
func (k *keyring) unnoted(t state.Token, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.noted[t.ID]
	if t.UsedAt.After(last) {
		last = t.UsedAt
	}
	if now.Sub(last) < noteEvery {
		return false
	}
	k.noted[t.ID] = now
	return true
}
