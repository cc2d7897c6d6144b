package scim

import (
	"context"
	"errors"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// Object is a JSON object with attribute names in the spelling of the schema.
// Values are string, bool, json.Number, Object and []any; none is nil. Attributes
// of an extension are in an Object under the extension's URN.
type Object = map[string]any

// Resource is one resource as a Backend keeps it.
type Resource struct {
	ID string
	// Version changes with every change: an opaque text of letters and digits.
	Version           string
	Created, Modified time.Time
	// Attributes are all but id, schemas and meta. Whoever gets a Resource must not
	// change them: they may be shared.
	Attributes Object
}

// Backend keeps the resources of one client: what another client has does not
// exist for it. All methods may be called at once from several goroutines. An
// error that wraps none of the errors below, and is no *Error, is answered with 500 and
// logged, its text never shown; one that wraps ErrBusy with 503.
type Backend interface {
	// Get gives one resource; ErrNotFound.
	Get(ctx context.Context, t *ResourceType, id string) (Resource, error)
	// List gives the resources that Query selects, ordered by Created, then ID.
	List(ctx context.Context, t *ResourceType, q Query) (Page, error)
	// Create keeps a new resource and gives it with its id, version and times;
	// ErrUniqueness.
	Create(ctx context.Context, t *ResourceType, attributes Object) (Resource, error)
	// Replace keeps c.After in the place of c.Before and gives it with its new version
	// and time. ErrVersion if the version is not c.Before.Version any more,
	// ErrNotFound, ErrUniqueness.
	Replace(ctx context.Context, t *ResourceType, c Change) (Resource, error)
	// Delete takes a resource away, if version is not "" only while that is its
	// version; ErrNotFound, ErrVersion.
	Delete(ctx context.Context, t *ResourceType, id, version string) error
}

// Editor is a Backend for which it is less work to read a resource for changing it.
type Editor interface {
	// Edit is what Get is, without the attributes that clients cannot write.
	Edit(ctx context.Context, t *ResourceType, id string) (Resource, error)
}

// Query selects resources.
type Query struct {
	// Where is the filter as it was asked; nil selects all. filter.Equalities tells
	// what an index may answer. It need not be used.
	Where filter.Expr
	// Keep tells whether a resource fits Where; nil keeps all. A Backend that does not
	// answer Where exactly has to ask.
	Keep func(Resource) bool
	// After is the last resource of the page before; the zero Position begins at the
	// start.
	After Position
	// Skip is how many of those selected are passed over, Limit how many are given;
	// negative: all, 0: only counted.
	Skip, Limit int
}

// Position is where a page ended.
type Position struct {
	Created time.Time
	ID      string
}

// Page is what a Query selected.
type Page struct {
	Resources []Resource
	// Total is how many fit Where, whatever Skip, Limit and After say.
	Total int
}

// Change is one accepted change of a resource.
type Change struct {
	Before Resource
	After  Object // the attributes
	// Changed are the attributes that differ, ordered by name.
	Changed []Changed
}

// Changed is one attribute that a change touched.
type Changed struct {
	// Attr is "userName", or URN:NAME of an extension.
	Attr string
	// Added and Removed are elements of a multi-valued attribute, told apart by their
	// value; nil for others.
	Added, Removed []any
}

// What a Backend answers with.
var (
	ErrNotFound   = errors.New("no such resource")
	ErrUniqueness = errors.New("value is taken") // wrap it with what is taken: the text is shown
	ErrVersion    = errors.New("changed meanwhile")
	ErrBusy       = errors.New("not available for now") // answered with 503 and Retry-After
)
