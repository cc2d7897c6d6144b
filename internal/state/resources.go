package state

import (
	"context"
	"errors"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// ErrTaken is returned when a value that may exist once is another resource's.
var ErrTaken = errors.New("taken")

// Resource is what a client pushed into a source: one SCIM resource.
type Resource struct {
	Source, Type, ID string // Type is "User" or "Group"
	Version          int64  // 1 at first
	// Body is JSON, without what Members says. The store does not look into it.
	Body              []byte
	Created, Modified time.Time
	// Deleted is when it was taken away; what is left of it says who that was. Zero
	// while it exists.
	Deleted time.Time
	// Due is what is due of it, nil if nothing is or ResourceFilter.WithDue did not ask.
	Due *Due
}

// IndexedValue is a value by which resources are found, already folded by whoever
// writes it: the store compares byte by byte.
type IndexedValue struct {
	Attr, Value string
	// Unique values exist once per source, type and attribute among resources that
	// exist.
	Unique bool
}

// Member is one member of a group. Whether a resource with that id exists does
// not matter: it may come later.
type Member struct {
	Group, ID string
	Type      string // "User", "Group" or "" if the client did not say
	Display   string
}

// ResourceWrite is one change of a resource, in one transaction.
type ResourceWrite struct {
	Resource
	// Expect is the version that is replaced; 0 makes a new one. With Deleted set the
	// resource is taken away, by the store's clock, and a group loses its members.
	Expect int64
	// Values replace all indexed values of the resource; a deleted one has none. With
	// KeepValues they stay as the version that is replaced has them.
	Values     []IndexedValue
	KeepValues bool
	// Join and Leave change the members of a group, whose Group may be empty; joining
	// again keeps the member as it is, leaving twice is nothing, and who is in both
	// stays. LeaveAll empties it first: who joins is then as Join says.
	Join, Leave []Member
	LeaveAll    bool
	// Due are people of the source to be worked on, by anchor.
	Due []DueMark
}

// DueMark says that somebody has to be worked on.
type DueMark struct {
	Key identity.Key
	// Leaver is worked on before others. It stays one until it is done, whatever is
	// marked later.
	Leaver bool
}

// Due is somebody to be worked on.
type Due struct {
	DueMark
	// Revision rises with every mark.
	Revision int64
	// Since is the first mark that is not done, After until when it is put off.
	Since, After time.Time
	Attempts     int
	// Held tells that it waits for somebody's word or another mark, and not for time.
	Held bool
	// Reason and Note say why it was put off or is held; Reason DueApplied says that
	// all is done and only to be looked at once more.
	Reason, Note string
}

// DueApplied is the Reason of a Due of which nothing is left but a second look.
const DueApplied = "applied"

// ResourceFilter selects resources of one source and type.
type ResourceFilter struct {
	Source, Type string
	IDs          []string
	// Attr and Value select by an indexed value.
	Attr, Value string
	// Member selects groups that have it as a direct member.
	Member string
	// After is where the page before ended: creation, then id; zero = from the start.
	AfterCreated time.Time
	AfterID      string
	Skip         int
	Limit        int // 0 = all
	// Deleted gives those as well that were taken away.
	Deleted bool
	// WithDue gives each with what is due of it.
	WithDue bool
}

// ResourceStore keeps what clients push, and who has to be worked on for it.
// Resources come ordered by Created, then ID.
type ResourceStore interface {
	// Resources gives the resources that match; existing ones unless Deleted is set.
	Resources(ctx context.Context, f ResourceFilter) ([]Resource, error)
	// CountResources counts them; Skip, Limit, After and WithDue do not matter.
	CountResources(ctx context.Context, f ResourceFilter) (int, error)
	// EachResource passes on all existing and deleted resources of a source and type
	// in no order; nothing else may be asked of the store from within each.
	EachResource(ctx context.Context, source, typ string, each func(Resource) error) error
	// WriteResource keeps a new version and gives it with Version, Created and
	// Modified by the store's clock. ErrConflict if the stored version is not Expect
	// or, with Expect 0, the id is in use in the source, by whatever type and deleted or
	// not; ErrNotFound if it does not exist or was deleted; ErrTaken (wrapped with the
	// attribute's name, never the value) if a unique value is another's; ErrInvalid for
	// what NormalWrite refuses. All or nothing.
	WriteResource(ctx context.Context, w ResourceWrite) (Resource, error)
	// Members gives the direct members of groups, by group and id; with no groups, none.
	Members(ctx context.Context, source string, groups []string) ([]Member, error)
	// Memberships gives the direct memberships of members, by member and group;
	// with no members, all of the source.
	Memberships(ctx context.Context, source string, members []string) ([]Member, error)

	// MarkDue has people worked on; who is marked already keeps Since, unless he is
	// Held, and is neither put off nor Held any longer, and has neither Attempts nor
	// Reason nor Note.
	MarkDue(ctx context.Context, marks []DueMark) error
	// WakeDue has those worked on again who are put off for a Reason.
	WakeDue(ctx context.Context, reason string) error
	// Due gives who has to be worked on and is neither put off nor held, leavers first, then the
	// longest waiting; limit 0 = all.
	Due(ctx context.Context, limit int) ([]Due, error)
	// DueOf gives what is due of the given people, put off or not, by Key.
	DueOf(ctx context.Context, keys []identity.Key) ([]Due, error)
	// CountDue tells how many wait, and since when the longest: put off or not, but not
	// held, and not those of whom nothing but a second look is left.
	CountDue(ctx context.Context) (n int, oldest time.Time, err error)
	// Done takes marks away whose Revision is still the one given; later ones stay.
	Done(ctx context.Context, l Lease, done []Due) error
	// PutOff puts marks off whose Revision is still the one given until After, or holds
	// them, with their Reason and Note, and counts an attempt.
	PutOff(ctx context.Context, l Lease, due []Due) error

	TokenStore
}

// Token is a secret by which a client is known. The secret itself is not kept.
type Token struct {
	ID     string // public, "t_" and letters
	Source string
	Name   string   // unique within the source among tokens that are not revoked
	Hash   [32]byte // SHA-256 of the secret
	// Scopes are "users", "groups" and "read"; empty = users and groups.
	Scopes []string
	// Networks are CIDR prefixes from which it is taken; empty = any.
	Networks  []string
	CreatedAt time.Time
	CreatedBy string
	ExpiresAt time.Time // zero = never
	RevokedAt time.Time // zero = not
	// UsedAt and UsedFrom are of its last use, as far as noted.
	UsedAt   time.Time
	UsedFrom string
}

// TokenStore keeps tokens.
type TokenStore interface {
	// Tokens gives all tokens of a source, or of all with "", revoked ones included, by
	// source, creation and id.
	Tokens(ctx context.Context, source string) ([]Token, error)
	// CreateToken adds one, made now if it does not say when; ErrTaken if its name is in
	// use, ErrConflict if its ID is.
	CreateToken(ctx context.Context, t Token) error
	// ChangeToken sets when a token expires and was revoked, and nothing else;
	// ErrNotFound, and ErrTaken if it is in force again and its name in use.
	ChangeToken(ctx context.Context, t Token) error
	// UseToken notes a use, unless a later one is noted; one of no token is nothing.
	UseToken(ctx context.Context, id, from string, at time.Time) error
}
