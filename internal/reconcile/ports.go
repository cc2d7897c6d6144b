package reconcile

import (
	"context"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Source is where identities are desired.
type Source interface {
	// Name is the source's name in the configuration, the first half of its Keys.
	Name() string
	// Snapshot reads everybody. An error means that nothing could be read; a
	// read that broke off comes back with Complete false and says why. Everybody
	// for whom known says yes is counted and left out of the Snapshot; known may
	// be nil.
	Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error)
	// Confirm asks directly about anchors that a read lacked. Anchors it leaves
	// out count as unknown.
	Confirm(ctx context.Context, anchors []string) (map[string]identity.Presence, error)
}

// Incremental is a Source that can be asked for what changed.
type Incremental interface {
	Source
	// Changes reads who changed since a mark that an earlier Snapshot or Delta of it
	// gave. An error means that nothing is known; the mark stays good.
	Changes(ctx context.Context, mark string) (identity.Delta, error)
	// Read reads a few people by their anchors. Those it leaves out are not shown, which
	// proves nothing.
	Read(ctx context.Context, anchors []string) ([]identity.Identity, error)
}

// Places is what a Source can do besides whose people have places, such as the OUs of a
// directory.
type Places interface {
	// Place tells whether a place is still there, or hidden from whoever asks. An error
	// means that nobody knows.
	Place(ctx context.Context, dn string) (bool, error)
}

// Target is the Mattermost server.
type Target interface {
	// Facts are read before anything is decided; an error means that nothing
	// may be.
	Facts(ctx context.Context) (plan.Facts, error)
	// Observe reads accounts by id; with since > 0 only those whose update_at is
	// later. It returns the server's clock at the first answer. Ids the server
	// does not know are left out.
	Observe(ctx context.Context, ids []string, since int64, each func(identity.Account) error) (time.Time, error)
	// Lookup finds the accounts that have any of the usernames or e-mails.
	Lookup(ctx context.Context, usernames, emails []string) ([]identity.Account, error)
	// List walks all accounts.
	List(ctx context.Context, each func(identity.Account) error) (time.Time, error)
	// Account reads one account by id; an error that wraps state.ErrNotFound's
	// meaning is reported as ok false.
	Account(ctx context.Context, id string) (a identity.Account, ok bool, err error)
	// TookOver says how long ago another process may last have used up the server's
	// rate; what has gathered since may be used.
	TookOver(ago time.Duration)
	// Announce is one sentence about a server that mmsync was not held to, once
	// Facts has been asked; "" if there is nothing to say.
	Announce() string
	// Estimate is how long carrying a plan out should take.
	Estimate(p plan.Plan) time.Duration
	// OwnBotOrToken tells which accounts own a bot or a personal access token.
	OwnBotOrToken(ctx context.Context, ids []string) (map[string]bool, error)
	// BotsThatStop names, by their owner's id, the bots that the server switches off
	// together with accounts.
	BotsThatStop(ctx context.Context, owners []string) (map[string][]string, error)
	// Leftovers gives what still lives of what accounts own, by their ids.
	Leftovers(ctx context.Context, owners []string) (plan.Leftovers, error)
	// LastActive tells when accounts were last in use, where the server shows it.
	LastActive(ctx context.Context, ids []string) (map[string]time.Time, error)
	// Apply makes one op's call and gives the account as the server shows it
	// afterwards. An error may leave the outcome unknown: read before repeating.
	Apply(ctx context.Context, accountID string, op plan.Op) (identity.Account, error)
	// Healthy fails while the server or its database is away.
	Healthy(ctx context.Context) error
	// Await is Healthy, and waits for a server that is away as long as it may be waited for.
	Await(ctx context.Context) error
	// Reachable fails while calls are kept back because the server is away; it is what
	// asks whether it is back, as rarely as that is right.
	Reachable(ctx context.Context) error
	// Version is the server's release as its last answer told it, as in Facts.
	Version() string
	// Canonical applies the server's own rules to what a source wants.
	Canonical(i identity.Identity) identity.Identity
}
