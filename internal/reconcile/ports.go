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

// Pictures is what a Source can do besides that has pictures of people.
type Pictures interface {
	// Picture reads one person's picture, or fetches it, as it is now, and gives it with
	// its digest as in identity.Picture. An error says in one sentence why there is none.
	Picture(ctx context.Context, anchor string) (data []byte, hash string, err error)
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
	// Belongings gives what accounts own that can be disabled and is not, by their ids:
	// access tokens and, if asked, bots.
	Belongings(ctx context.Context, owners []string, bots bool) (map[string]plan.Belongings, error)
	// Leftovers gives what still lives of what accounts own, by their ids: of some kinds,
	// or of all.
	Leftovers(ctx context.Context, owners []string, kinds ...plan.LeftoverKind) (plan.Leftovers, error)
	// LastActive tells when accounts were last in use, where the server shows it.
	LastActive(ctx context.Context, ids []string) (map[string]time.Time, error)
	// Spaces finds teams and channels by the names that rules give them; one that is not
	// there is given with its trouble.
	Spaces(ctx context.Context, names []string) (map[string]plan.Space, error)
	// Vacant tells of which channels that Spaces did not find the server has no archived
	// one either.
	Vacant(ctx context.Context, channels []string) (map[string]bool, error)
	// Members passes on who is in a team or channel, deactivated accounts included.
	Members(ctx context.Context, name string, s plan.Space, each func(account string, m identity.Membership)) error
	// Memberships gives in which of some teams and channels one account is.
	Memberships(ctx context.Context, account string, spaces map[string]plan.Space) (identity.Memberships, error)
	// Apply makes one op's call and gives the account as the server shows it
	// afterwards; after an op about a team or channel, which leaves the account as it
	// was, only its id; after one that makes a team or channel, the id of that. An error may leave the outcome unknown: read before repeating.
	Apply(ctx context.Context, accountID string, op plan.Op) (identity.Account, error)
	// DeletesForGood tells whether the server lets accounts be deleted for good, as far
	// as it says. Without an error, Apply of an op that does so gives no account: there is
	// none any more.
	DeletesForGood(ctx context.Context) (bool, error)
	// SetPicture is Apply of an op that sets a picture, which is handed over beside it.
	SetPicture(ctx context.Context, accountID string, picture []byte) (identity.Account, error)
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
